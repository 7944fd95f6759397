package meizu_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/meizu"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t)
		return pushtest.Harness{
			Spec: meizu.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "two,pushIds",
			Answer: func(a pushtest.Answer) {
				code := map[push.Outcome]string{
					push.Retry: "1003", push.Throttled: "110010", push.BadTarget: "110003", push.BadMessage: "1005", push.BadCredential: "1006",
				}[a.Outcome]
				set := sandbox.Settings{RetryAfter: a.RetryAfter}
				if code != "" {
					set.Mix = map[string]float64{code: 100}
				}
				if err := l.sim.Set(set); err != nil {
					t.Fatal(err)
				}
			},
			Kill:   func(tg push.Target) { l.kill(tg.Token, "110002") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
