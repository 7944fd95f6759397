package apns_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t, sandbox.APNsConfig{})
		return pushtest.Harness{
			Spec: apns.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "not-hexadecimal",
			Answer: func(a pushtest.Answer) {
				reason := map[push.Outcome]string{
					push.Retry: "ServiceUnavailable", push.Throttled: "TooManyRequests", push.BadTarget: "Unregistered",
					push.BadMessage: "BadCollapseId", push.BadCredential: "InvalidProviderToken",
				}[a.Outcome]
				set := sandbox.Settings{RetryAfter: a.RetryAfter}
				if reason != "" {
					set.Mix = map[string]float64{reason: 100}
				}
				if err := l.sim.Set(set); err != nil {
					t.Fatal(err)
				}
			},
			Kill: func(tg push.Target) {
				if err := l.sim.SetToken(tg.Token, sandbox.TokenState{Reason: "Unregistered"}); err != nil {
					t.Fatal(err)
				}
			},
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.inbox.Total,
		}
	})
}
