package xiaomi_test

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/push/xiaomi"
	"hongyan/sandbox"
)

const (
	topic      = "im.hongyan.demo"
	secret     = "Kq3vXh0dQ1c2e4uJ8m7pZw=="
	receiptURL = "https://push.example.com/r/xm/5c1f0e6a"
)

// newLab is a simulator that knows one app.
func newLab(t testing.TB, change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"app_id": "2882303761517000001", "app_key": "5001700000001", "app_secret": secret, "region": "cn", "channel_id": "high_im",
	}
	account := sandbox.Account{
		ID: secret, Fields: map[string]string{"app_secret": secret, "channel_id": "high_im"},
		Packages: []string{topic, topic + ".beta"}, ReceiptURL: receiptURL,
	}
	return lab.New(t, xiaomi.Spec(), fields, account, change...)
}

func targets(n int) []push.Target { return lab.Targets(n, target) }

func target(n int) push.Target {
	return push.Target{
		Token: fmt.Sprintf("d//igwEhgBGCI2TG6lWqlL%010d=", n), Topic: topic,
		ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n),
	}
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
		return newLab(t).Harness(target, "one,two", "10029", map[push.Outcome]string{
			push.Retry: "10002", push.Throttled: "10027", push.BadTarget: "10029", push.BadMessage: "10008", push.BadCredential: "21301",
		})
	})
}
