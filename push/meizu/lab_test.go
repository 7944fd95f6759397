package meizu_test

import (
	"fmt"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/meizu"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

const (
	secretOfLab = "5f0c7d1be29a4386a1c4d7e0f3b6985a"
	receiptURL  = "https://push.example.com/r/abc"
)

// noon is the clock of tests about the day's end: twelve hours before midnight in
// Shanghai.
func noon() time.Time { return time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC) }

// newLab is a simulator with one app, whose senders live at noon.
func newLab(t *testing.T, change ...func(*sandbox.Config, *sandbox.Account)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"app_id": "140001", "app_key": "0f2d6c3b7e5a49c8a1d4e6f708192a3b", "app_secret": secretOfLab,
	}
	account := sandbox.Account{ID: fields["app_id"], Fields: fields, Packages: []string{"com.example.im"}}
	var cfg sandbox.Config
	for _, f := range change {
		f(&cfg, &account)
	}
	l := lab.New(t, meizu.Spec(), fields, account, func(c *sandbox.Config) { c.Now, c.Receipts, c.Settings = cfg.Now, cfg.Receipts, cfg.Settings })
	l.Now = noon
	return l
}

// last is the message recorded last.
func last(l *lab.Lab) map[string]map[string]any { return lab.Last[map[string]map[string]any](l) }

func targets(n int) []push.Target { return lab.Targets(n, target) }

func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("RA50c6348036344485d01776773577c%014d", n), Topic: "com.example.im",
		ID: fmt.Sprintf("3f2504e0-4f89-41d3-9a0c-%012d", n), Ref: fmt.Sprintf("ref%d", n),
	}
}

func alert() push.Message {
	return push.Message{Kind: push.Alert, Title: "李雷", Body: "晚上一起吃饭吗？", Sound: "default"}
}
