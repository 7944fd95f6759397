package meizu_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/meizu"
	"hongyan/sandbox"
)

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// TestReceiptRoundTrip: what the simulator reports about an accepted push names it.
func TestReceiptRoundTrip(t *testing.T) {
	t.Parallel()
	got := make(chan push.ReceiptReport, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		report, err := meizu.ParseReceipt(push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		got <- report
	}))
	defer server.Close()
	var account sandbox.Account
	l := newLab(t, func(c *sandbox.Config, a *sandbox.Account) {
		c.Receipts, c.Settings = server.Client(), sandbox.Settings{Receipts: true}
		a.ReceiptURL = server.URL
		account = *a
	})
	m := alert()
	m.ReceiptURL = server.URL
	sent := l.Open().Send(context.Background(), m, targets(1))[0]
	want := push.Receipt{Ref: "ref0", VendorID: sent.VendorID, Token: target(0).Token, Event: push.EventArrived, Code: "1"}
	expect := func() {
		t.Helper()
		select {
		case report := <-got:
			if len(report.Receipts) != 1 || report.Receipts[0] != want {
				t.Errorf("%+v, want %+v", report.Receipts, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no receipt")
		}
	}
	expect()
	p := sandbox.Delivered{Account: account, Token: target(0).Token, VendorID: sent.VendorID, Param: "ref0"}
	if err := l.Sim.Report(context.Background(), p, push.EventClicked); err != nil {
		t.Fatal(err)
	}
	want.Event, want.Code = push.EventClicked, "2"
	expect()
}

// TestReceiptAddress: it is sent when there is one, and Meizu refuses one that was not
// registered; that is why the caller sets it only after its activation.
func TestReceiptAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	if r := s.Send(context.Background(), alert(), targets(1))[0]; r.Outcome != push.Accepted || last(l)["extra"] != nil {
		t.Errorf("none: %+v, %v", r, last(l))
	}
	m := alert()
	m.ReceiptURL = receiptURL
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != "1005" {
		t.Errorf("not registered: %+v", r)
	}
	l = newLab(t, func(_ *sandbox.Config, a *sandbox.Account) { a.ReceiptURL = receiptURL })
	if r := l.Open().Send(context.Background(), m, targets(2))[0]; r.Outcome != push.Accepted {
		t.Errorf("registered: %+v", r)
	}
	if e := last(l)["extra"]; e["callback"] != receiptURL || e["callback.param"] != "ref0" || e["callback.type"] != 3.0 {
		t.Errorf("%v", e)
	}
}

func TestParseReceipt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cb  string
		n   int
		err error
	}{
		{`{"msgId2-1":{"param":"param2","type":1,"targets":["pushId3","pushId2","pushId1"]},"msgId1-2":{"param":"param1","type":2,"targets":["a"]}}`, 4, nil},
		{`{"m-2":{"targets":["a",""]}}`, 1, nil},
		{`{}`, 0, nil},
		{`{"m-1":{"type":1,"targets":"a"}}`, 0, push.ErrReceiptShape},
		{`null`, 0, push.ErrReceiptShape},
		{``, 0, push.ErrReceiptShape},
	} {
		body := url.Values{"cb": {c.cb}, "access_token": {"x"}}.Encode()
		report, err := meizu.ParseReceipt(push.ReceiptRequest{Body: []byte(body)})
		if !errors.Is(err, c.err) || len(report.Receipts) != c.n {
			t.Errorf("%s: %+v, %v", c.cb, report, err)
		}
	}
	for _, body := range []string{"", "cb=%zz", "cb={}&cb={}", "access_token=x"} {
		if _, err := meizu.ParseReceipt(push.ReceiptRequest{Body: []byte(body)}); !errors.Is(err, push.ErrReceiptShape) {
			t.Errorf("%s: %v", body, err)
		}
	}
	body := url.Values{"cb": {`{"a-b-9":{"targets":["t"]}}`}}.Encode()
	report, err := meizu.ParseReceipt(push.ReceiptRequest{Body: []byte(body)})
	if want := (push.Receipt{VendorID: "a-b", Token: "t", Event: push.EventOther, Code: "9"}); err != nil || report.Receipts[0] != want {
		t.Errorf("%+v, %v", report, err)
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte("cb=%7B%22m-1%22%3A%7B%22param%22%3A%22p%22%2C%22type%22%3A1%2C%22targets%22%3A%5B%22id%22%5D%7D%7D&access_token=x"))
	f.Add([]byte(`cb={"-":{"targets":["a"]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := meizu.ParseReceipt(push.ReceiptRequest{Body: body})
		if err != nil && len(report.Receipts) != 0 {
			t.Errorf("receipts beside %v", err)
		}
		for _, r := range report.Receipts {
			if r.Event == "" || r.Token == "" {
				t.Errorf("%+v", r)
			}
		}
	})
}
