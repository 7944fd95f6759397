package oppo_test

import (
	"fmt"
	"testing"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

const (
	appKey       = "6f2e4c7a9b0d4e1f8a3b5c6d7e8f9012"
	appSecret    = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
	masterSecret = "0f9e8d7c6b5a49382716f5e4d3c2b1a0"
	receiptURL   = "https://push.example.com/r/oppo/5c1f0e6a"
)

// newLab is a simulator that knows one app.
func newLab(t testing.TB, change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"app_key": appKey, "app_secret": appSecret, "master_secret": masterSecret, "region": "cn",
		"channel_id": "im_high", "category": "IM", "notify_level": "2",
	}
	account := sandbox.Account{ID: appKey, Fields: map[string]string{"master_secret": masterSecret, "category": "IM"}, Packages: []string{"im.hongyan.demo"}}
	return lab.New(t, oppo.Spec(), fields, account, change...)
}

func targets(n int) []push.Target { return lab.Targets(n, target) }

func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("OPPO_CN_%032x", n+1), Topic: "im.hongyan.demo", ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n)}
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", Sound: "default", HighPriority: true}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		return newLab(t).Harness(target, "one;two", "10000", map[push.Outcome]string{
			push.Retry: "-1", push.Throttled: "13", push.BadTarget: "10000", push.BadMessage: "41", push.BadCredential: "30",
		})
	})
}
