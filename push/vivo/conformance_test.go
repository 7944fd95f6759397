package vivo_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		return newLab(t).Harness(target, "not a regId", "user_2", map[push.Outcome]string{
			push.Retry: "500", push.Throttled: "10072", push.BadTarget: "10302", push.BadMessage: "10099",
			// Not 10000, which would make the sender fetch a token anew.
			push.BadCredential: "10094",
		})
	})
}
