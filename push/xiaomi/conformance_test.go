package xiaomi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/xiaomi"
	"hongyan/sandbox"
)

const (
	topic      = "im.hongyan.demo"
	secret     = "Kq3vXh0dQ1c2e4uJ8m7pZw=="
	receiptURL = "https://push.example.com/r/xm/5c1f0e6a"
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
		"app_id": "2882303761517000001", "app_key": "5001700000001", "app_secret": secret, "region": "cn", "channel_id": "high_im",
	}}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{
		ID: secret, Fields: map[string]string{"app_secret": secret, "channel_id": "high_im"},
		Packages: []string{topic, topic + ".beta"}, ReceiptURL: receiptURL,
	})
	cfg.Channel, cfg.Accounts, cfg.Recorder = push.Xiaomi, accounts, l.inbox
	var err error
	if l.sim, err = sandbox.Start(cfg); err != nil {
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
	s, err := xiaomi.Open(context.Background(), l.fields, o)
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

// last is the newest message as the simulator saw it.
func (l *lab) last(t testing.TB) map[string]string {
	t.Helper()
	list := l.inbox.List()
	if len(list) == 0 {
		t.Fatal("nothing arrived")
	}
	var m map[string]string
	if err := json.Unmarshal(list[len(list)-1].Payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("d//igwEhgBGCI2TG6lWqlL%010d=", n), Topic: topic,
		ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n),
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
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", Sound: "default", HighPriority: true}
}

// pemOf is the certificate of a test server, for push.Options.RootCAs.
func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		l := newLab(t, sandbox.Config{})
		return pushtest.Harness{
			Spec: xiaomi.Spec(), Fields: l.fields, Options: l.options(),
			Target: target, BadToken: "one,two",
			Answer: func(a pushtest.Answer) {
				l.answer(t, map[push.Outcome]string{
					push.Retry: "10002", push.Throttled: "10027", push.BadTarget: "10029", push.BadMessage: "10008", push.BadCredential: "21301",
				}[a.Outcome], a.RetryAfter)
			},
			Kill:   func(tg push.Target) { l.kill(t, tg.Token, "10029") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
