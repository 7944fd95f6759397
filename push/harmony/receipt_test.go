package harmony_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/harmony"
	"hongyan/sandbox"
)

// mailbox keeps the receipts that the simulator posts.
func mailbox(t *testing.T) (string, chan push.ReceiptRequest) {
	t.Helper()
	got := make(chan push.ReceiptRequest, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func TestReceipts(t *testing.T) {
	url, got := mailbox(t)
	l := newLabAt(t, time.Now, http.DefaultClient)
	keys := map[string]string{
		"old": "a plain key of old", "new": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7, 200}, 16)),
	}
	for name, key := range keys {
		fields := maps.Clone(l.fields)
		fields["receipt_key"] = key
		p := sandbox.Delivered{
			Account: sandbox.Account{ID: l.account.ID, Fields: fields}, Token: target(1).Token, VendorID: "req1", Param: "cmVm", URL: url,
		}
		for _, e := range []push.ReceiptEvent{
			push.EventArrived, push.EventUninstalled, push.EventNotifyOff, push.EventDropped, push.EventReplaced, push.EventExpired, push.EventOther,
		} {
			if err := l.sim.Report(context.Background(), p, e); err != nil {
				t.Fatal(err)
			}
			req := <-got
			req.Fields = fields
			rep, err := harmony.ParseReceipt(req)
			if err != nil || len(rep.Receipts) != 1 {
				t.Fatalf("%s key, %s: %v %+v", name, e, err, rep)
			}
			r := rep.Receipts[0]
			if r.Event != e || r.Ref != "cmVm" || r.VendorID != "req1" || r.Token != p.Token || time.Since(r.At).Abs() > time.Minute {
				t.Errorf("%s: %+v", e, r)
			}
			if string(rep.Answer) != `{"code":"0","message":"success"}` {
				t.Errorf("answer %s", rep.Answer)
			}
			forgeries(t, req)
		}
	}
}

// forgeries changes one thing of a good request at a time.
func forgeries(t *testing.T, good push.ReceiptRequest) {
	t.Helper()
	for name, change := range map[string]func(*push.ReceiptRequest){
		"no signature": func(r *push.ReceiptRequest) { r.Header.Del(push.CallbackHeader) },
		"other key":    func(r *push.ReceiptRequest) { r.Fields["receipt_key"] = "another key" },
		"no key":       func(r *push.ReceiptRequest) { delete(r.Fields, "receipt_key") },
		"other user":   func(r *push.ReceiptRequest) { r.Fields["receipt_user"] = "somebody" },
		"stale":        func(r *push.ReceiptRequest) { r.Now = r.Now.Add(time.Hour) },
		"early":        func(r *push.ReceiptRequest) { r.Now = r.Now.Add(-time.Hour) },
	} {
		r := good
		r.Header, r.Fields = good.Header.Clone(), maps.Clone(good.Fields)
		change(&r)
		if rep, err := harmony.ParseReceipt(r); !errors.Is(err, push.ErrReceiptForged) || len(rep.Receipts) != 0 {
			t.Errorf("%s: %v %+v", name, err, rep)
		}
	}
}

// TestConsoleProbe: 测试回执 of AppGallery Connect has neither signature nor contents.
func TestConsoleProbe(t *testing.T) {
	for _, body := range []string{"", "{}", `{"statuses":[]}`} {
		rep, err := harmony.ParseReceipt(push.ReceiptRequest{Body: []byte(body), Header: http.Header{}, Now: time.Now()})
		if err != nil || len(rep.Receipts) != 0 {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestSettingReceipts: with the setting on, an accepted push reports its arrival.
func TestSettingReceipts(t *testing.T) {
	url, got := mailbox(t)
	l := newLabAt(t, time.Now, http.DefaultClient)
	accounts := &sandbox.MemoryAccounts{}
	l.account.ReceiptURL = url
	accounts.Add(l.account)
	sim, err := sandbox.Start(sandbox.Config{
		Channel: push.Harmony, Accounts: accounts, Receipts: http.DefaultClient, Settings: sandbox.Settings{Receipts: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sim.Close() }()
	s, err := harmony.Open(context.Background(), l.fields, push.Options{Endpoint: sim.URL(), RootCAs: sim.CA().PEM()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sent := s.Send(context.Background(), hello(), []push.Target{target(5)})[0]
	req := <-got
	req.Fields = l.fields
	rep, err := harmony.ParseReceipt(req)
	if err != nil || len(rep.Receipts) != 1 || rep.Receipts[0].VendorID != sent.VendorID || rep.Receipts[0].Ref != target(5).Ref {
		t.Errorf("%v %+v, sent %+v", err, rep, sent)
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("", []byte(`{"statuses":[{"biTag":"a","token":"t","deliveryStatus":{"result":0,"timestamp":1563105451261}}]}`))
	f.Add("timestamp=1563105451261; nonce=a; value=AAAA", []byte(`{"statuses":[{"status":"x"}]}`))
	f.Add("timestamp=;;=; value", []byte("\xff"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		r := push.ReceiptRequest{Header: http.Header{}, Body: body, Now: time.UnixMilli(1563105451261), Fields: map[string]string{"receipt_key": "k"}}
		r.Header.Set(push.CallbackHeader, header)
		if rep, err := harmony.ParseReceipt(r); err == nil && len(rep.Receipts) > 0 {
			t.Fatal("an unsigned report was taken")
		}
	})
}
