package vivo_test

import (
	"context"
	"fmt"
	"testing"

	"hongyan/push"
	"hongyan/push/vivo"
	"hongyan/sandbox"
)

// lab is a simulator with one app and its credential.
type lab struct {
	*testing.T
	sim    *sandbox.Simulator
	inbox  *sandbox.Memory
	fields map[string]string
}

const secretOfLab = "8b1fd2a9-77aa-4c31-b0f3-a75d1e06c9d4"

func newLab(t *testing.T, change ...func(*sandbox.Config)) *lab {
	t.Helper()
	l := &lab{T: t, inbox: sandbox.NewMemory(10000), fields: map[string]string{
		"app_id": "105613227", "app_key": "0f2d6c3b7e5a49c8a1d4e6f708192a3b", "app_secret": secretOfLab,
	}}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: l.fields["app_id"], Fields: l.fields, Packages: []string{"com.example.im"}})
	cfg := sandbox.Config{Channel: push.Vivo, Accounts: accounts, Recorder: l.inbox}
	for _, f := range change {
		f(&cfg)
	}
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
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Topic: "com.example.im"}
}

func (l *lab) open(change ...func(*push.Options)) push.Sender {
	l.Helper()
	o := l.options()
	for _, f := range change {
		f(&o)
	}
	s, err := vivo.Spec().Open(context.Background(), l.fields, o)
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

func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("1690%019d", n), Topic: "com.example.im", ID: fmt.Sprintf("3f2504e0-4f89-41d3-9a0c-%012d", n), Ref: fmt.Sprintf("ref%d", n)}
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
