package oppo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

const (
	appKey       = "6f2e4c7a9b0d4e1f8a3b5c6d7e8f9012"
	appSecret    = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
	masterSecret = "0f9e8d7c6b5a49382716f5e4d3c2b1a0"
	receiptURL   = "https://push.example.com/r/oppo/5c1f0e6a"
)

// lab is a simulator that knows one app.
type lab struct {
	sim    *sandbox.Simulator
	inbox  *sandbox.Memory
	fields map[string]string
}

func newLab(t testing.TB, cfg sandbox.Config) *lab {
	t.Helper()
	l := &lab{inbox: sandbox.NewMemory(1 << 14), fields: map[string]string{
		"app_key": appKey, "app_secret": appSecret, "master_secret": masterSecret, "region": "cn",
		"channel_id": "im_high", "category": "IM", "notify_level": "2",
	}}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: appKey, Fields: map[string]string{"master_secret": masterSecret, "category": "IM"}, Packages: []string{"im.hongyan.demo"}})
	cfg.Channel, cfg.Accounts, cfg.Recorder = push.OPPO, accounts, l.inbox
	var err error
	if l.sim, err = sandbox.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	return l
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Environment: push.Production, Topic: "im.hongyan.demo", Timeout: 30 * time.Second}
}

func (l *lab) open(t testing.TB, o push.Options) push.Sender {
	t.Helper()
	s, err := oppo.Open(context.Background(), l.fields, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// answer makes the simulator give one code to everything.
func (l *lab) answer(t testing.TB, code string, after time.Duration) {
	t.Helper()
	set := sandbox.Settings{RetryAfter: after}
	if code != "" {
		set.Mix = map[string]float64{code: 100}
	}
	if err := l.sim.Set(set); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) kill(t testing.TB, token, code string) {
	t.Helper()
	if err := l.sim.SetToken(token, sandbox.TokenState{Reason: code}); err != nil {
		t.Fatal(err)
	}
}

// last is the newest notification as the simulator saw it.
func (l *lab) last(t testing.TB) map[string]any {
	t.Helper()
	list := l.inbox.List()
	if len(list) == 0 {
		t.Fatal("nothing arrived")
	}
	var m map[string]any
	if err := json.Unmarshal(list[len(list)-1].Payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("OPPO_CN_%032x", n+1), Topic: "im.hongyan.demo", ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n)}
}

func targets(n int) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = target(i)
	}
	return out
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", Sound: "default", HighPriority: true}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t, sandbox.Config{})
		return pushtest.Harness{
			Spec: oppo.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "one;two",
			Answer: func(a pushtest.Answer) {
				l.answer(t, map[push.Outcome]string{
					push.Retry: "-1", push.Throttled: "13", push.BadTarget: "10000", push.BadMessage: "41", push.BadCredential: "30",
				}[a.Outcome], a.RetryAfter)
			},
			Kill:   func(tg push.Target) { l.kill(t, tg.Token, "10000") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
