package vivo_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/pushtest/lab"
	"hongyan/push/vivo"
	"hongyan/sandbox"
)

func withNoon(c *sandbox.Config) { c.Now = noon }

// TestReceiptRoundTrip: what the simulator reports about an accepted push names it.
func TestReceiptRoundTrip(t *testing.T) {
	t.Parallel()
	got := make(chan push.ReceiptReport, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		report, err := vivo.ParseReceipt(push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		got <- report
	}))
	defer server.Close()
	l := newLab(t, withNoon, func(c *sandbox.Config) {
		c.Receipts, c.Settings = server.Client(), sandbox.Settings{Receipts: true}
	})
	m := alert()
	m.ReceiptURL = server.URL + "/r/abc"
	sent := l.OpenBut(func(o *push.Options) { o.Now = noon }).Send(context.Background(), m, targets(1))[0]
	select {
	case report := <-got:
		want := push.Receipt{Ref: "ref0", VendorID: sent.VendorID, Token: target(0).Token, Event: push.EventArrived, Code: "0", At: noon()}
		if len(report.Receipts) != 1 || report.Receipts[0] != want {
			t.Errorf("%+v, want %+v", report.Receipts, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no receipt")
	}
}

// TestNoReceiptInTestMode: receipts exist for the formal mode only.
func TestNoReceiptInTestMode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Fields["push_mode"] = "1"
	m := alert()
	m.ReceiptURL = "https://push.example.com/r/abc"
	if r := l.Open().Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	if got := lab.Last[map[string]any](l); got["extra"] != nil || got["pushMode"] != 1.0 {
		t.Errorf("%v", got)
	}
}

func TestParseReceipt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		n    int
		err  error
	}{
		{`{"1":{"param":"r","targets":"a,b","ackType":"0","ackTime":1501484120000},"2":{"targets":"c","ackType":0,"ackTime":"1501484120000"}}`, 3, nil},
		{`{"1":{"param":"r","targets":""}}`, 1, nil},
		{`{"1":{"targets":","}}`, 0, nil},
		{`{}`, 0, nil},
		{`{"1":5}`, 0, push.ErrReceiptShape},
		{`null`, 0, push.ErrReceiptShape},
		{`[]`, 0, push.ErrReceiptShape},
		{``, 0, push.ErrReceiptShape},
	} {
		report, err := vivo.ParseReceipt(push.ReceiptRequest{Body: []byte(c.body)})
		if !errors.Is(err, c.err) || len(report.Receipts) != c.n {
			t.Errorf("%s: %+v, %v", c.body, report, err)
		}
	}
	report, err := vivo.ParseReceipt(push.ReceiptRequest{Body: []byte(`{"1":{"targets":"a","ackType":"7"}}`)})
	if err != nil || report.Receipts[0].Event != push.EventOther || report.Receipts[0].Code != "7" {
		t.Errorf("an unknown type: %+v, %v", report, err)
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte(`{"121397329":{"param":"vivo","targets":"15638535410301000000001","ackType":"0","ackTime":1501484120000}}`))
	f.Add([]byte(`{"":{"targets":",,","ackType":null,"ackTime":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := vivo.ParseReceipt(push.ReceiptRequest{Body: body})
		if err != nil && len(report.Receipts) != 0 {
			t.Errorf("receipts beside %v", err)
		}
		for _, r := range report.Receipts {
			if r.Event == "" || r.Token == "" && r.Ref == "" {
				t.Errorf("%+v", r)
			}
		}
	})
}
