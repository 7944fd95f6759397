package webpush_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/webpush"
	"hongyan/sandbox"
)

// lab is a simulator with one registered key.
type lab struct {
	sim      *sandbox.Simulator
	accounts *sandbox.MemoryAccounts
	inbox    *sandbox.Memory
	fields   map[string]string
}

func newLab(t testing.TB, cfg sandbox.Config) *lab {
	t.Helper()
	l := &lab{accounts: &sandbox.MemoryAccounts{}, inbox: sandbox.NewMemory(1 << 14)}
	l.fields = keys(t)
	l.accounts.Add(sandbox.Account{ID: l.fields["public_key"]})
	cfg.Channel, cfg.Accounts, cfg.Recorder = push.WebPush, l.accounts, l.inbox
	var err error
	if l.sim, err = sandbox.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	return l
}

func keys(t testing.TB) map[string]string {
	t.Helper()
	public, private, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"public_key": public, "private_key": private, "subject": "mailto:ops@hongyan.example"}
}

func (l *lab) options() push.Options {
	return push.Options{
		Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Environment: push.Production, Timeout: 30 * time.Second,
		DialControl: push.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}),
	}
}

func (l *lab) open(t testing.TB, o push.Options) push.Sender {
	t.Helper()
	s, err := webpush.Open(context.Background(), l.fields, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (l *lab) set(t testing.TB, set sandbox.Settings) {
	t.Helper()
	if err := l.sim.Set(set); err != nil {
		t.Fatal(err)
	}
}

// target makes the n-th healthy target.
func (l *lab) target(t testing.TB, n int) push.Target {
	t.Helper()
	sub, err := sandbox.WebPushSubscription(l.sim.URL(), l.fields["public_key"], fmt.Sprint("browser ", n))
	if err != nil {
		t.Fatal(err)
	}
	return push.Target{Token: sub, ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n)}
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", HighPriority: true}
}

// pemOf is a test server's certificate, for push.Options.RootCAs.
func pemOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
