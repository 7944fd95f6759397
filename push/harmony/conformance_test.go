package harmony_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/harmony"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

func newLab(t testing.TB) *lab.Lab { return newLabAt(t, time.Now) }

// newLabAt is a simulator that knows one app, by a clock of its own.
func newLabAt(t testing.TB, now func() time.Time, change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	return newLabWith(t, func(*sandbox.Account) {}, append(change, func(c *sandbox.Config) { c.Now = now })...)
}

// newLabWith is the same with another account.
func newLabWith(t testing.TB, account func(*sandbox.Account), change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"service_account": serviceAccount(t, "388421841222", labKey()),
		"receipt_user":    "hongyan", "receipt_key": "a plain key of old",
	}
	a := sandbox.Account{ID: "388421841222", Fields: fields, Packages: []string{"im.hongyan.demo"}}
	account(&a)
	return lab.New(t, harmony.Spec(), fields, a, change...)
}

func targets(n int) []push.Target { return lab.Targets(n, target) }

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

// target makes the n-th healthy target.
func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("MAMzLgIkEUUU%04d-%08x", n, n), Topic: "im.hongyan.demo",
		ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n), Ref: "cHVzaC0x",
	}
}

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: "你好", Body: "在吗", HighPriority: true}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Harness {
		return newLab(t).Harness(target, "not a token", "tokenFormatError", map[push.Outcome]string{
			push.Retry: "81000001", push.Throttled: "503", push.BadTarget: "tokenFormatError",
			push.BadMessage: "80100003", push.BadCredential: "80200001",
		})
	})
}
