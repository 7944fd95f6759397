package meizu_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/meizu"
	"hongyan/sandbox"
)

// lab is a simulator with one app and its credential.
type lab struct {
	*testing.T
	sim    *sandbox.Simulator
	inbox  *sandbox.Memory
	fields map[string]string
}

const (
	secretOfLab = "5f0c7d1be29a4386a1c4d7e0f3b6985a"
	receiptURL  = "https://push.example.com/r/abc"
)

// noon is the clock of tests about the day's end: twelve hours before midnight in
// Shanghai.
func noon() time.Time { return time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC) }

func newLab(t *testing.T, change ...func(*sandbox.Config, *sandbox.Account)) *lab {
	t.Helper()
	l := &lab{T: t, inbox: sandbox.NewMemory(10000), fields: map[string]string{
		"app_id": "140001", "app_key": "0f2d6c3b7e5a49c8a1d4e6f708192a3b", "app_secret": secretOfLab,
	}}
	account := sandbox.Account{ID: l.fields["app_id"], Fields: l.fields, Packages: []string{"com.example.im"}}
	cfg := sandbox.Config{Channel: push.Meizu, Recorder: l.inbox}
	for _, f := range change {
		f(&cfg, &account)
	}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(account)
	cfg.Accounts = accounts
	sim, err := sandbox.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	l.sim = sim
	return l
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Topic: "com.example.im", Now: noon}
}

func (l *lab) open() push.Sender {
	l.Helper()
	return l.openWith(l.fields)
}

func (l *lab) openWith(fields map[string]string) push.Sender {
	l.Helper()
	s, err := meizu.Spec().Open(context.Background(), fields, l.options())
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(s.Close)
	return s
}

// mix has every answer be this code; "" makes the simulator well.
func (l *lab) mix(code string) {
	l.Helper()
	set := sandbox.Settings{}
	if code != "" {
		set.Mix = map[string]float64{code: 100}
	}
	if err := l.sim.Set(set); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) kill(token, code string) {
	l.Helper()
	if err := l.sim.SetToken(token, sandbox.TokenState{Reason: code}); err != nil {
		l.Fatal(err)
	}
}

// last is the message recorded last.
func (l *lab) last() map[string]map[string]any {
	l.Helper()
	all := l.inbox.List()
	if len(all) == 0 {
		l.Fatal("nothing recorded")
	}
	var out map[string]map[string]any
	if err := json.Unmarshal(all[len(all)-1].Payload, &out); err != nil {
		l.Fatal(err)
	}
	return out
}

func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("RA50c6348036344485d01776773577c%014d", n), Topic: "com.example.im",
		ID: fmt.Sprintf("3f2504e0-4f89-41d3-9a0c-%012d", n), Ref: fmt.Sprintf("ref%d", n),
	}
}

func targets(n int) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = target(i)
	}
	return out
}

func alert() push.Message {
	return push.Message{Kind: push.Alert, Title: "李雷", Body: "晚上一起吃饭吗？", Sound: "default"}
}
