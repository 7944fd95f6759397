package vivo_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/vivo"
	"hongyan/sandbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t)
		return pushtest.Harness{
			Spec: vivo.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "not a regId",
			Answer: func(a pushtest.Answer) {
				code := map[push.Outcome]string{
					push.Retry: "500", push.Throttled: "10072", push.BadTarget: "10302", push.BadMessage: "10099",
					// Not 10000, which would make the sender fetch a token anew.
					push.BadCredential: "10094",
				}[a.Outcome]
				set := sandbox.Settings{RetryAfter: a.RetryAfter}
				if code != "" {
					set.Mix = map[string]float64{code: 100}
				}
				if err := l.sim.Set(set); err != nil {
					t.Fatal(err)
				}
			},
			Kill:   func(tg push.Target) { l.kill(tg.Token, "user_2") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
