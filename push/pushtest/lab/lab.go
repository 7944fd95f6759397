// Package lab is what the vendors' own tests share: a simulator with one app, and what
// they do with it. The simulators know nothing of the senders, and this package does
// nothing that would tell either about the other.
package lab

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

// inboxSize is how many pushes a lab remembers.
const inboxSize = 1 << 14

// Lab is a simulator that knows one app, and the app's keys.
type Lab struct {
	Sim   *sandbox.Simulator
	Inbox *sandbox.Memory
	// Fields are the credential that senders are opened with.
	Fields  map[string]string
	Account sandbox.Account
	// Now is the senders' clock, nil for time.Now.
	Now func() time.Time

	t    testing.TB
	spec push.Spec
}

// New starts the channel's simulator, which knows the account, until the test ends.
// change may set what else the simulator is to be.
func New(t testing.TB, spec push.Spec, fields map[string]string, account sandbox.Account, change ...func(*sandbox.Config)) *Lab {
	t.Helper()
	l := &Lab{Inbox: sandbox.NewMemory(inboxSize), Fields: fields, Account: account, t: t, spec: spec}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(account)
	cfg := sandbox.Config{Channel: spec.Channel, Accounts: accounts, Recorder: l.Inbox}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if l.Sim, err = sandbox.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Options lead a sender to the simulator.
func (l *Lab) Options() push.Options {
	o := push.Options{Endpoint: l.Sim.URL(), RootCAs: l.Sim.CA().PEM(), Environment: push.Production, Timeout: 30 * time.Second, Now: l.Now}
	if len(l.Account.Packages) > 0 {
		o.Topic = l.Account.Packages[0]
	}
	return o
}

// Open opens a sender until the test ends.
func (l *Lab) Open() push.Sender {
	l.t.Helper()
	return l.OpenWith(l.Options())
}

// OpenBut is Open with options that change has changed.
func (l *Lab) OpenBut(change func(*push.Options)) push.Sender {
	l.t.Helper()
	o := l.Options()
	change(&o)
	return l.OpenWith(o)
}

// OpenWith is Open with other options.
func (l *Lab) OpenWith(o push.Options) push.Sender {
	l.t.Helper()
	s, err := l.spec.Open(context.Background(), l.Fields, o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.Close)
	return s
}

// Say makes the simulator answer everything with a code, "" for well, and with a
// Retry-After if there is one.
func (l *Lab) Say(code string, wait time.Duration) {
	l.t.Helper()
	set := sandbox.Settings{RetryAfter: wait}
	if code != "" {
		set.Mix = map[string]float64{code: 100}
	}
	if err := l.Sim.Set(set); err != nil {
		l.t.Fatal(err)
	}
}

// Kill makes the simulator answer one token with a code.
func (l *Lab) Kill(token, code string) {
	l.t.Helper()
	if err := l.Sim.SetToken(token, sandbox.TokenState{Reason: code}); err != nil {
		l.t.Fatal(err)
	}
}

// Last is the newest push as the simulator saw it.
func Last[T any](l *Lab) T {
	l.t.Helper()
	list := l.Inbox.List()
	if len(list) == 0 {
		l.t.Fatal("nothing arrived")
	}
	var out T
	if err := json.Unmarshal(list[len(list)-1].Payload, &out); err != nil {
		l.t.Fatal(err)
	}
	return out
}

// Sent sends one message through a sender of its own and returns what the simulator took.
func (l *Lab) Sent(m push.Message, to push.Target) map[string]any {
	l.t.Helper()
	if r := l.Open().Send(context.Background(), m, []push.Target{to})[0]; r.Outcome != push.Accepted {
		l.t.Fatalf("%+v", r)
	}
	return Last[map[string]any](l)
}

// At follows a path of keys, with dots between them.
func At(v any, path string) any {
	for k := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// Harness is the lab for the conformance suite: dead is the code of a dead token, codes
// has one for each outcome.
func (l *Lab) Harness(target func(int) push.Target, badToken, dead string, codes map[push.Outcome]string) pushtest.Harness {
	return pushtest.Harness{
		Spec: l.spec, Fields: l.Fields, Options: l.Options(), Target: target, BadToken: badToken,
		Answer: func(a pushtest.Answer) { l.Say(codes[a.Outcome], a.RetryAfter) },
		Kill:   func(t push.Target) { l.Kill(t.Token, dead) },
		Freeze: l.Sim.Freeze, Cut: l.Sim.Disconnect, Received: l.Sim.Requests,
	}
}

// Targets makes the first n of a vendor's healthy targets.
func Targets(n int, target func(int) push.Target) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = target(i)
	}
	return out
}

// Mailbox is an address that keeps the receipts posted to it.
func Mailbox(t testing.TB) (url string, got <-chan push.ReceiptRequest) {
	t.Helper()
	letters := make(chan push.ReceiptRequest, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what was cut short does not parse
		letters <- push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, letters
}
