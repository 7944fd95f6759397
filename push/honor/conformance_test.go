package honor_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/honor"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

// lab is a simulator that knows one app.
type lab struct {
	sim     *sandbox.Simulator
	inbox   *sandbox.Memory
	fields  map[string]string
	account sandbox.Account
}

func newLab(t testing.TB) *lab { return newLabAt(t, time.Now, nil) }

func newLabAt(t testing.TB, now func() time.Time, receipts *http.Client) *lab {
	t.Helper()
	l := &lab{inbox: sandbox.NewMemory(1 << 14), fields: map[string]string{
		"app_id": "104411111", "client_id": "0a1b2c3d4e5f", "client_secret": "secret-of-the-app-0123456789",
		"badge_class": "im.hongyan.demo.MainActivity",
	}}
	l.account = sandbox.Account{ID: l.fields["client_id"], Fields: l.fields, Packages: []string{"im.hongyan.demo"}}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(l.account)
	var err error
	l.sim, err = sandbox.Start(sandbox.Config{
		Channel: push.Honor, Accounts: accounts, Recorder: l.inbox, Now: now, Receipts: receipts,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	return l
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Environment: push.Production, Topic: "im.hongyan.demo", Timeout: 30 * time.Second}
}

func (l *lab) open(t testing.TB) push.Sender {
	t.Helper()
	s, err := honor.Open(context.Background(), l.fields, l.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// say makes the simulator answer everything with a code, "" for well.
func (l *lab) say(t testing.TB, code string, wait time.Duration) {
	t.Helper()
	set := sandbox.Settings{RetryAfter: wait}
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

// target makes the n-th healthy target.
func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("BAEAAAAAB.jkT_%04d-%08x", n, n), Topic: "im.hongyan.demo",
		ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n), Ref: "cHVzaC0x",
	}
}

func targets(n int) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = target(i)
	}
	return out
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "你好", Body: "在吗", HighPriority: true}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t)
		return pushtest.Harness{
			Spec: honor.Spec(), Fields: l.fields, Options: l.options(), Target: target, BadToken: "not a token",
			Answer: func(a pushtest.Answer) {
				l.say(t, map[push.Outcome]string{
					push.Retry: "81000001", push.Throttled: "80200021", push.BadTarget: "expireTokens",
					push.BadMessage: "80100001", push.BadCredential: "80200001",
				}[a.Outcome], a.RetryAfter)
			},
			Kill:   func(tg push.Target) { l.kill(t, tg.Token, "expireTokens") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
