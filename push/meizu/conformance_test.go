package meizu_test

import (
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		return newLab(t).Harness(target, "two,pushIds", "110002", map[push.Outcome]string{
			push.Retry: "1003", push.Throttled: "110010", push.BadTarget: "110003", push.BadMessage: "1005", push.BadCredential: "1006",
		})
	})
}
