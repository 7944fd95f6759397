package webpush_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/webpush"
	"hongyan/sandbox"
)

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t, sandbox.Config{})
		return pushtest.Harness{
			Spec: webpush.Spec(), Fields: l.fields, Options: l.options(),
			Target: func(n int) push.Target { return l.target(t, n) }, BadToken: `{"endpoint":"https://push.example.com/x"}`,
			Answer: func(a pushtest.Answer) {
				code := map[push.Outcome]string{
					push.Retry: "503", push.Throttled: "429", push.BadTarget: "410", push.BadMessage: "413", push.BadCredential: "403",
				}[a.Outcome]
				set := sandbox.Settings{RetryAfter: a.RetryAfter}
				if code != "" {
					set.Mix = map[string]float64{code: 100}
				}
				l.set(t, set)
			},
			Kill: func(tg push.Target) {
				if err := l.sim.SetToken(tg.Token, sandbox.TokenState{Reason: "410"}); err != nil {
					t.Fatal(err)
				}
			},
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
