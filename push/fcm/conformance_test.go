package fcm_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/fcm"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t, sandbox.Config{})
		return pushtest.Harness{
			Spec: fcm.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "with a blank",
			Answer: func(a pushtest.Answer) {
				code := map[push.Outcome]string{
					push.Retry: "INTERNAL", push.Throttled: "QUOTA_EXCEEDED", push.BadTarget: "UNREGISTERED",
					push.BadMessage: "INVALID_ARGUMENT", push.BadCredential: "PERMISSION_DENIED",
				}[a.Outcome]
				set := sandbox.Settings{RetryAfter: a.RetryAfter}
				if code != "" {
					set.Mix = map[string]float64{code: 100}
				}
				l.set(t, set)
			},
			Kill: func(tg push.Target) {
				if err := l.sim.SetToken(tg.Token, sandbox.TokenState{Reason: "UNREGISTERED"}); err != nil {
					t.Fatal(err)
				}
			},
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
