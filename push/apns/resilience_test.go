package apns_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/sandbox"
)

// TestGoAway: connections that end in good order lose nothing and say nothing.
func TestGoAway(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{Settings: sandbox.Settings{GoAwayEvery: 500, Latency: 5 * time.Millisecond}})
	s := l.open(t, l.options())
	const callers, each = 100, 50
	var mu sync.Mutex
	bad := map[string]int{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				r := s.Send(context.Background(), hello(), []push.Target{target(c*each + i)})[0]
				if r.Outcome != push.Accepted {
					mu.Lock()
					bad[fmt.Sprintf("%v %s", r.Outcome, r.Code)]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(bad) != 0 {
		t.Errorf("not accepted: %v", bad)
	}
	if n := l.inbox.Total(); n != callers*each {
		t.Errorf("simulator took %d, want %d", n, callers*each)
	}
	if n := l.sim.Accepted(); n < callers*each/500 {
		t.Errorf("only %d connections", n)
	}
}

// cutter disconnects after every so many pushes.
type cutter struct {
	*sandbox.Memory
	sim   *sandbox.APNs
	every int
}

func (c *cutter) Record(ctx context.Context, r sandbox.Received) {
	c.Memory.Record(ctx, r)
	if c.Total()%c.every == 0 {
		c.sim.Disconnect()
	}
}

// TestDisconnect: connections cut under load give Retry and nothing else, and every
// push that was reported accepted did arrive.
func TestDisconnect(t *testing.T) {
	cut := &cutter{Memory: sandbox.NewMemory(1 << 16), every: 500}
	l := newLab(t, sandbox.APNsConfig{Recorder: cut})
	cut.sim = l.sim
	l.inbox = cut.Memory
	s := l.open(t, l.options())
	rs := s.Send(context.Background(), hello(), targets(5000))
	took := map[string]bool{}
	for _, r := range l.inbox.List() {
		took[r.ID] = true
	}
	accepted := 0
	for i, r := range rs {
		switch {
		case r.Outcome == push.Accepted:
			accepted++
			if !took[target(i).ID] {
				t.Errorf("push %d accepted, but never arrived", i)
			}
		case r.Outcome != push.Retry:
			t.Errorf("push %d: %+v", i, r)
		}
	}
	if accepted == 0 {
		t.Error("nothing got through")
	}
	eventually(t, func() bool {
		return s.Send(context.Background(), hello(), targets(1))[0].Outcome == push.Accepted
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("did not happen")
		}
	}
}

// TestFreeze: a vendor that stops answering gives Retry with the timeout's code, in
// time; the connection is given up, so that a vendor that is back is used at once.
func TestFreeze(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	o := l.options()
	o.Timeout = 400 * time.Millisecond
	s := l.open(t, o)
	s.Send(context.Background(), hello(), targets(1))
	l.sim.Freeze(true)
	start := time.Now()
	rs := s.Send(context.Background(), hello(), targets(100))
	if got := count(rs); got != "retry:hy_timeout=100 " {
		t.Error(got)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	before := l.sim.Accepted()
	l.sim.Freeze(false)
	eventually(t, func() bool {
		return s.Send(context.Background(), hello(), targets(1))[0].Outcome == push.Accepted
	})
	if l.sim.Accepted() == before {
		t.Error("the frozen connection was used again")
	}
	eventually(t, func() bool { return l.sim.Connections() == 1 }) // it was closed
	s.Close()
	eventually(t, func() bool { return l.sim.Connections() == 0 })
}

// TestCloseLetsPushesFinish: what is under way when a sender is closed ends well,
// and then its connection is gone long before the timeout.
func TestCloseLetsPushesFinish(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	s := l.open(t, l.options())
	s.Send(context.Background(), hello(), targets(1))
	if err := l.sim.Set(sandbox.Settings{Latency: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	done := make(chan []push.Result)
	go func() { done <- s.Send(context.Background(), hello(), targets(20)) }()
	eventually(t, func() bool { return l.inbox.Total() == 21 })
	s.Close()
	if got := count(<-done); got != "accepted:=20 " {
		t.Error(got)
	}
	eventually(t, func() bool { return l.sim.Connections() == 0 })
}

// TestGrows: a full connection is joined by others, up to the limit and no further.
func TestGrows(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{Settings: sandbox.Settings{Latency: 100 * time.Millisecond}})
	o := l.options()
	o.MaxConns, o.Timeout = 2, time.Minute
	s := l.open(t, o)
	s.Send(context.Background(), hello(), targets(2))
	var wg sync.WaitGroup
	for range 8 { // a Send has 256 under way, two connections 1800
		wg.Go(func() {
			if got := count(s.Send(context.Background(), hello(), targets(256))); got != "accepted:=256 " {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if n := l.sim.Accepted(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestRefusedConnection: with nobody listening a push fails at once and says Retry.
func TestRefusedConnection(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	s := l.open(t, l.options())
	if err := l.sim.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := s.Send(context.Background(), hello(), targets(1))[0]
		if r.Outcome != push.Retry || r.Code != push.CodeNetwork {
			t.Errorf("%+v", r)
		}
	}
}

// clock is a fake clock both sides read.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// TestProviderTokenOverADay: two hundred pushes each minute for a day of the fake
// clock; the simulator refuses tokens over an hour and changes within 20 minutes.
func TestProviderTokenOverADay(t *testing.T) {
	c := &clock{t: time.Now()}
	l := newLab(t, sandbox.APNsConfig{Now: c.now})
	o := l.options()
	o.Now = c.now
	s := l.open(t, o)
	for range 24 * 12 {
		if got := count(s.Send(context.Background(), hello(), targets(5))); got != "accepted:=5 " {
			t.Fatal(got)
		}
		c.add(5 * time.Minute)
	}
}

// TestExpiredProviderToken: Apple calls the token expired before its time. One new
// token is signed for all pushes that were under way, and they go through.
func TestExpiredProviderToken(t *testing.T) {
	apple, ours := &clock{t: time.Now()}, &clock{t: time.Now()}
	l := newLab(t, sandbox.APNsConfig{Now: apple.now})
	o := l.options()
	o.Now = ours.now
	s := l.open(t, o)
	if got := count(s.Send(context.Background(), hello(), targets(50))); got != "accepted:=50 " {
		t.Fatal(got)
	}
	apple.add(62 * time.Minute)
	ours.add(30 * time.Minute)
	l2 := count(s.Send(context.Background(), hello(), targets(50)))
	if l2 != "accepted:=50 " {
		t.Error(l2)
	}
	// Refused again within 20 minutes: no third token, and the clock is to blame.
	apple.add(62 * time.Minute)
	ours.add(10 * time.Minute)
	if got := count(s.Send(context.Background(), hello(), targets(3))); got != "bad_credential:ExpiredProviderToken=3 " {
		t.Error(got)
	}
}

func TestCheck(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	other, _, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	with := func(k, v string) map[string]string {
		f := map[string]string{}
		for a, b := range l.fields {
			f[a] = b
		}
		f[k] = v
		return f
	}
	for name, c := range map[string]struct {
		fields map[string]string
		want   push.Result
	}{
		"good":       {l.fields, push.Result{Outcome: push.Accepted, Code: "BadDeviceToken"}},
		"other key":  {with("p8", string(other.PEM)), push.Result{Outcome: push.BadCredential, Code: "InvalidProviderToken"}},
		"other id":   {with("key_id", "ABCDEFGHIJ"), push.Result{Outcome: push.BadCredential, Code: "InvalidProviderToken"}},
		"other team": {with("team_id", "ABCDEFGHIJ"), push.Result{Outcome: push.BadCredential, Code: "InvalidProviderToken"}},
	} {
		s, err := apns.Open(context.Background(), c.fields, l.options())
		if err != nil {
			t.Fatal(err)
		}
		got := s.Check(context.Background())
		s.Close()
		if got.Outcome != c.want.Outcome || got.Code != c.want.Code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCertificateSender(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	stranger, err := sandbox.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	year := time.Now().AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		ca   *sandbox.CA
		cert sandbox.AppCertificate
		want string
	}{
		"good":        {l.sim.CA(), sandbox.AppCertificate{BundleID: topic, NotAfter: year}, "accepted:=300 "},
		"not Apple's": {stranger, sandbox.AppCertificate{BundleID: topic, NotAfter: year}, "bad_credential:BadCertificate=300 "},
		"other app":   {l.sim.CA(), sandbox.AppCertificate{BundleID: "im.other", NotAfter: year}, "bad_credential:TopicDisallowed=300 "},
	} {
		c.cert.NotBefore = time.Now()
		p12, err := c.ca.P12(c.cert, "secret-of-the-file")
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{"kind": "p12", "p12": string(p12), "password": "secret-of-the-file"}
		s, err := apns.Open(context.Background(), fields, l.options())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := count(s.Send(context.Background(), hello(), targets(300))); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		s.Close()
	}
}

func TestOpenErrors(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	dev := map[string]string{}
	for k, v := range l.fields {
		dev[k] = v
	}
	dev["environments"] = "development"
	_, err := apns.Open(context.Background(), dev, l.options())
	var fe *push.FieldError
	if !errors.As(err, &fe) {
		t.Fatal(err)
	}
	if d := cmp.Diff(push.FieldError{Field: "environments", Code: push.FieldEnvironment}, *fe); d != "" {
		t.Error(d)
	}
	o := l.options()
	o.Endpoint = "http://127.0.0.1:1"
	if _, err := apns.Open(context.Background(), l.fields, o); err == nil {
		t.Error("a plain endpoint was taken")
	}
	o = l.options()
	o.RootCAs = []byte("nonsense")
	if _, err := apns.Open(context.Background(), l.fields, o); err == nil {
		t.Error("bad roots were taken")
	}
}
