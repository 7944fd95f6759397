package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// reports are the events that Huawei's simulators can post.
func reports() []push.ReceiptEvent {
	return []push.ReceiptEvent{
		push.EventArrived, push.EventUninstalled, push.EventNotifyOff, push.EventDropped, push.EventReplaced, push.EventExpired, push.EventOther,
	}
}

// SignedReceipts proves that the channel reads what its simulator reports, signed with
// keys of both kinds, and refuses it as forged after any one change; forge adds changes
// of the channel's own. The lab's simulator must be able to post receipts.
func (l *Lab) SignedReceipts(t *testing.T, to push.Target, forge map[string]func(*push.ReceiptRequest)) {
	t.Helper()
	url, got := Mailbox(t)
	for name, key := range map[string]string{
		"old": "a plain key of old", "new": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7, 200}, 16)),
	} {
		fields := maps.Clone(l.Fields)
		fields["receipt_key"] = key
		p := sandbox.Delivered{
			Account: sandbox.Account{ID: l.Account.ID, Fields: fields}, Token: to.Token, VendorID: "req1", Param: "cmVm", URL: url,
		}
		for _, e := range reports() {
			if err := l.Sim.Report(context.Background(), p, e); err != nil {
				t.Fatal(err)
			}
			req := <-got
			req.Fields = fields
			rep, err := l.spec.ParseReceipt(req)
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
			l.forgeries(t, req, forge)
		}
	}
	// 测试回执 of AppGallery Connect has neither signature nor contents.
	for _, body := range []string{"", "{}", `{"statuses":[]}`} {
		rep, err := l.spec.ParseReceipt(push.ReceiptRequest{Body: []byte(body), Header: http.Header{}, Now: time.Now()})
		if err != nil || len(rep.Receipts) != 0 {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// forgeries changes one thing of a good request at a time.
func (l *Lab) forgeries(t *testing.T, good push.ReceiptRequest, more map[string]func(*push.ReceiptRequest)) {
	t.Helper()
	changes := map[string]func(*push.ReceiptRequest){
		"no signature": func(r *push.ReceiptRequest) { r.Header.Del(push.CallbackHeader) },
		"other key":    func(r *push.ReceiptRequest) { r.Fields["receipt_key"] = "another key" },
		"no key":       func(r *push.ReceiptRequest) { delete(r.Fields, "receipt_key") },
		"other user":   func(r *push.ReceiptRequest) { r.Fields["receipt_user"] = "somebody" },
		"stale":        func(r *push.ReceiptRequest) { r.Now = r.Now.Add(time.Hour) },
		"early":        func(r *push.ReceiptRequest) { r.Now = r.Now.Add(-time.Hour) },
	}
	maps.Copy(changes, more)
	for name, change := range changes {
		r := good
		r.Header, r.Fields = good.Header.Clone(), maps.Clone(good.Fields)
		change(&r)
		if rep, err := l.spec.ParseReceipt(r); !errors.Is(err, push.ErrReceiptForged) || len(rep.Receipts) != 0 {
			t.Errorf("%s: %v %+v", name, err, rep)
		}
	}
}

// ArrivalReported proves that a push which the simulator takes is reported to the address
// that the account has entered, with what leads back to it. The lab's simulator must be
// one that ReportsAll.
func (l *Lab) ArrivalReported(t *testing.T, got <-chan push.ReceiptRequest, to push.Target) {
	t.Helper()
	sent := l.Open().Send(context.Background(), push.Message{Kind: push.Alert, Title: "hello", Body: "there"}, []push.Target{to})[0]
	req := <-got
	req.Fields = l.Fields
	rep, err := l.spec.ParseReceipt(req)
	if err != nil || len(rep.Receipts) != 1 || rep.Receipts[0].VendorID != sent.VendorID || rep.Receipts[0].Ref != to.Ref {
		t.Errorf("%v %+v, sent %+v", err, rep, sent)
	}
}

// PostsReceipts lets a simulator post what it is asked to report.
func PostsReceipts(c *sandbox.Config) { c.Receipts = http.DefaultClient }

// ReportsAll lets a simulator report every push that it takes.
func ReportsAll(c *sandbox.Config) { PostsReceipts(c); c.Settings.Receipts = true }
