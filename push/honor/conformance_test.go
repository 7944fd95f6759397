package honor_test

import (
	"fmt"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/honor"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

func newLab(t testing.TB) *lab.Lab { return newLabAt(t, time.Now) }

// newLabAt is a simulator that knows one app, by a clock of its own.
func newLabAt(t testing.TB, now func() time.Time, change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"app_id": "104411111", "client_id": "0a1b2c3d4e5f", "client_secret": "secret-of-the-app-0123456789",
		"badge_class": "im.hongyan.demo.MainActivity",
	}
	account := sandbox.Account{ID: fields["client_id"], Fields: fields, Packages: []string{"im.hongyan.demo"}}
	return lab.New(t, honor.Spec(), fields, account, append(change, func(c *sandbox.Config) { c.Now = now })...)
}

func targets(n int) []push.Target { return lab.Targets(n, target) }

// target makes the n-th healthy target.
func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("BAEAAAAAB.jkT_%04d-%08x", n, n), Topic: "im.hongyan.demo",
		ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n), Ref: "cHVzaC0x",
	}
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "你好", Body: "在吗", HighPriority: true}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		return newLab(t).Harness(target, "not a token", "expireTokens", map[push.Outcome]string{
			push.Retry: "81000001", push.Throttled: "80200021", push.BadTarget: "expireTokens",
			push.BadMessage: "80100001", push.BadCredential: "80200001",
		})
	})
}
