package fcm_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/fcm"
	"hongyan/sandbox"
)

const (
	project = "hongyan-demo"
	topic   = "im.hongyan.demo"
	// elsewhere stands in every test's service account file; nothing may ever go there.
	elsewhere = "https://token.invalid/steal"
)

// key is made once: RSA keys take their time.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// lab is a simulator with one registered service account.
type lab struct {
	sim      *sandbox.Simulator
	accounts *sandbox.MemoryAccounts
	inbox    *sandbox.Memory
	fields   map[string]string
}

func newLab(t testing.TB, cfg sandbox.Config) *lab {
	t.Helper()
	file, err := sandbox.ServiceAccount(project, elsewhere, key())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{accounts: &sandbox.MemoryAccounts{}, inbox: sandbox.NewMemory(1 << 14)}
	l.fields = map[string]string{"service_account": string(file), "channel_id": "im_messages"}
	l.accounts.Add(sandbox.Account{ID: project, Fields: l.fields})
	cfg.Channel, cfg.Accounts, cfg.Recorder = push.FCM, l.accounts, l.inbox
	if l.sim, err = sandbox.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	return l
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sim.URL(), RootCAs: l.sim.CA().PEM(), Environment: push.Production, Topic: topic, Timeout: 30 * time.Second}
}

func (l *lab) open(t testing.TB) push.Sender {
	t.Helper()
	s, err := fcm.Open(context.Background(), l.fields, l.options())
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

func (l *lab) say(t testing.TB, code string) {
	l.set(t, sandbox.Settings{Mix: map[string]float64{code: 100}})
}

// target makes the n-th healthy target.
func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("d%07d:APA91b%s", n, strings.Repeat("x", 120)), Topic: topic, ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n)}
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "hello", Body: "there", HighPriority: true}
}
