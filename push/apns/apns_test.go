package apns_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/sandbox"
)

const topic = "im.hongyan.demo"

// lab is a simulator with one registered key.
type lab struct {
	sim    *sandbox.APNs
	keys   *sandbox.MemoryKeys
	inbox  *sandbox.Memory
	file   sandbox.KeyFile
	fields map[string]string
}

func newLab(t testing.TB, cfg sandbox.APNsConfig) *lab {
	t.Helper()
	l := &lab{keys: &sandbox.MemoryKeys{}, inbox: sandbox.NewMemory(1 << 16)}
	if cfg.Keys == nil {
		cfg.Keys = l.keys
	}
	if cfg.Recorder == nil {
		cfg.Recorder = l.inbox
	}
	file, key, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l.keys.Add(key)
	l.file = file
	l.fields = map[string]string{
		"kind": "p8", "p8": string(file.PEM), "key_id": file.KeyID, "team_id": file.TeamID, "environments": "both",
	}
	if l.sim, err = sandbox.StartAPNs(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	return l
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Environment: push.Production, Topic: topic, Timeout: 30 * time.Second}
}

func (l *lab) open(t testing.TB, o push.Options) push.Sender {
	t.Helper()
	s, err := apns.Open(context.Background(), l.fields, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// target makes the n-th healthy target.
func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("%064x", n+1), Topic: topic, ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n)}
}

func targets(n int) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = target(i)
	}
	return out
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", HighPriority: true}
}

func count(rs []push.Result) string {
	n := map[string]int{}
	var keys []string
	for _, r := range rs {
		k := r.Outcome.String() + ":" + r.Code
		if n[k]++; n[k] == 1 {
			keys = append(keys, k)
		}
	}
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s=%d ", k, n[k])
	}
	return b.String()
}

func TestSendReachesThePhone(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	s := l.open(t, l.options())
	rs := s.Send(context.Background(), hello(), targets(3))
	for i, r := range rs {
		if r.Outcome != push.Accepted || r.VendorID != target(i).ID || r.Elapsed <= 0 {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if n := l.inbox.Total(); n != 3 {
		t.Errorf("simulator saw %d pushes, want 3", n)
	}
	if c := s.Check(context.Background()); c.Outcome != push.Accepted {
		t.Errorf("check: %+v", c)
	}
	if n := l.sim.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestColdBurstUsesOneConnection(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{Settings: sandbox.Settings{Latency: 20 * time.Millisecond}})
	s := l.open(t, l.options())
	if got := count(s.Send(context.Background(), hello(), targets(1000))); got != "accepted:=1000 " {
		t.Error(got)
	}
	if n := l.sim.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
