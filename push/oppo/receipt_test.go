package oppo_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/sandbox"
)

func TestReceipts(t *testing.T) {
	got := make(chan push.ReceiptReport, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		report, err := oppo.ParseReceipt(push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			t.Error(err)
		}
		got <- report
		w.Header().Set("Content-Type", report.ContentType)
		_, _ = w.Write(report.Answer)
	}))
	defer srv.Close()
	now := time.UnixMilli(1772366400123).UTC()
	l := newLab(t, func(c *sandbox.Config) { c.Receipts, c.Now = srv.Client(), func() time.Time { return now } })
	for event, code := range map[push.ReceiptEvent]string{
		push.EventArrived: "push_arrive", push.EventUninstalled: "regid_invalid", push.EventDropped: "user_daily_limit",
	} {
		p := sandbox.Delivered{URL: srv.URL, Param: "cmVm", Token: target(1).Token, VendorID: "app-1-1-7"}
		if err := l.Sim.Report(context.Background(), p, event); err != nil {
			t.Fatal(err)
		}
		want := push.Receipt{Ref: "cmVm", VendorID: "app-1-1-7", Token: p.Token, Event: event, Code: code, At: now}
		if r := <-got; len(r.Receipts) != 1 || r.Receipts[0] != want {
			t.Errorf("%s: %+v", event, r)
		}
	}
	// And of a message that was sent, without being asked for.
	if err := l.Sim.Set(sandbox.Settings{Receipts: true}); err != nil {
		t.Fatal(err)
	}
	m := hello()
	m.ReceiptURL = srv.URL
	tg := target(2)
	tg.Ref = "dHdv"
	o := l.Options()
	o.Now = func() time.Time { return now }
	r := l.OpenWith(o).Send(context.Background(), m, []push.Target{tg})[0]
	if got := <-got; len(got.Receipts) != 1 || got.Receipts[0].VendorID != r.VendorID || got.Receipts[0].Ref != "dHdv" || got.Receipts[0].Token != tg.Token {
		t.Errorf("%+v of %+v", got, r)
	}
}

func TestReceiptShapes(t *testing.T) {
	r, err := oppo.ParseReceipt(push.ReceiptRequest{Body: []byte(`[{"messageId":"m1","registrationIds":"a, b,,","eventTime":"timestamp","eventType":"push_new"},{"registrationIds":"c","eventTime":1772366400123,"eventType":"push_arrive","param":null}]`)})
	if err != nil || len(r.Receipts) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if x := r.Receipts[1]; x.Token != "b" || x.Event != push.EventOther || x.Code != "push_new" || !x.At.IsZero() {
		t.Errorf("%+v", x)
	}
	if x := r.Receipts[2]; x.Event != push.EventArrived || x.At.UnixMilli() != 1772366400123 {
		t.Errorf("%+v", x)
	}
	for _, bad := range []string{"", "{}", "null", "[1]", "["} {
		if _, err := oppo.ParseReceipt(push.ReceiptRequest{Body: []byte(bad)}); !errors.Is(err, push.ErrReceiptShape) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte(`[{"messageId":"m","appId":"a","taskId":"t","registrationIds":"a,b","eventTime":"1772366400123","param":"p","eventType":"push_arrive"}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := oppo.ParseReceipt(push.ReceiptRequest{Body: body})
		if err != nil && !errors.Is(err, push.ErrReceiptShape) {
			t.Fatal(err)
		}
		for _, x := range r.Receipts {
			if x.Event == "" || x.Token == "" || len(x.Ref) > push.MaxRef || len(x.Token) > 512 || len(x.Code) > 32 {
				t.Fatalf("%+v", x)
			}
		}
	})
}
