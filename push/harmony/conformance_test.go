package harmony_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/harmony"
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
		"service_account": serviceAccount(t, "388421841222", labKey()),
		"receipt_user":    "hongyan", "receipt_key": "a plain key of old",
	}}
	l.account = sandbox.Account{ID: "388421841222", Fields: l.fields, Packages: []string{"im.hongyan.demo"}}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(l.account)
	var err error
	l.sim, err = sandbox.Start(sandbox.Config{
		Channel: push.Harmony, Accounts: accounts, Recorder: l.inbox, Now: now, Receipts: receipts,
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
	s, err := harmony.Open(context.Background(), l.fields, l.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// signingKey makes a key; Huawei's have 4096 bits, which only takes longer.
func signingKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// labKey is the one key of all labs: making one takes a while.
var labKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// serviceAccount is a file as AppGallery Connect hands it out, with a token_uri that
// nobody may call.
func serviceAccount(t testing.TB, project string, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.MarshalIndent(map[string]string{
		"project_id": project, "key_id": "4b1cf6fd5d4e4a56a2a0bd20c4dc0d5f", "sub_account": "110123456",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"auth_uri":    "https://attacker.example/authorize", "token_uri": "https://attacker.example/token",
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
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
		Token: fmt.Sprintf("MAMzLgIkEUUU%04d-%08x", n, n), Topic: "im.hongyan.demo",
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
			Spec: harmony.Spec(), Fields: l.fields, Options: l.options(), Target: target, BadToken: "not a token",
			Answer: func(a pushtest.Answer) {
				l.say(t, map[push.Outcome]string{
					push.Retry: "81000001", push.Throttled: "503", push.BadTarget: "tokenFormatError",
					push.BadMessage: "80100003", push.BadCredential: "80200001",
				}[a.Outcome], a.RetryAfter)
			},
			Kill:   func(tg push.Target) { l.kill(t, tg.Token, "tokenFormatError") },
			Freeze: l.sim.Freeze, Cut: l.sim.Disconnect, Received: l.sim.Requests,
		}
	})
}
