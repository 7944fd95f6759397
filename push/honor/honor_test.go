package honor_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/honor"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

// TestCodes: every code of the table comes from the simulator and leads where the
// table says.
func TestCodes(t *testing.T) {
	l := newLab(t)
	for code, info := range honor.Spec().Codes {
		if code == "200" {
			continue // not a fault
		}
		l.Say(code, 0)
		r := l.Open().Send(context.Background(), hello(), targets(1))[0]
		if r.Outcome != info.Outcome || r.Code != code || r.Text == "" {
			t.Errorf("code %s: %+v, want %v", code, r, info.Outcome)
		}
	}
}

// TestPartialFailures: results keep the targets' order over several requests; expired
// tokens are dead, failed ones are kept.
func TestPartialFailures(t *testing.T) {
	l := newLab(t)
	ts := targets(2300)
	codes := []string{"", "expireTokens", "", "", "failTokens"}
	for i := range ts {
		if code := codes[i%5]; code != "" {
			l.Kill(ts[i].Token, code)
		}
		if i%2 == 1 {
			n := i % 3
			ts[i].Badge = &n
		}
	}
	rs := l.Open().Send(context.Background(), hello(), ts)
	for i, r := range rs {
		want := push.BadTarget
		if codes[i%5] == "" {
			want = push.Accepted
		}
		if r.Outcome != want || r.Code != codes[i%5] || r.KeepToken != (r.Code == "failTokens") {
			t.Fatalf("target %d: %+v", i, r)
		}
	}
	if n := l.Sim.Requests(); n != 10 { // 5 batches, each tried once more for failTokens
		t.Errorf("%d requests, want 10", n)
	}
}

// TestFailTokensAreTriedOnceMore: half of the tokens fail each time, so about a quarter
// fails twice.
func TestFailTokensAreTriedOnceMore(t *testing.T) {
	l := newLab(t)
	if err := l.Sim.Set(sandbox.Settings{Mix: map[string]float64{"failTokens": 50}}); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, r := range l.Open().Send(context.Background(), hello(), targets(800)) {
		if r.Outcome != push.Accepted {
			failed++
		}
	}
	if failed < 100 || failed > 300 || l.Sim.Requests() != 2 {
		t.Errorf("%d of 800 failed after %d requests", failed, l.Sim.Requests())
	}
}

// TestUnknownCodes: what the table lacks has an explicit default.
func TestNamelessPartialFailure(t *testing.T) {
	l := newLab(t)
	pushtest.Nameless(t, pushtest.Harness{Spec: honor.Spec(), Fields: l.Fields, Options: l.Options(), Target: target},
		`{"code":80100000,"message":"partly","data":{}}`, `{"code":200,"message":"ok","data":{"sendResult":true,"requestId":"1"}}`)
}

func TestUnknownCodes(t *testing.T) {
	answer, status := "", http.StatusOK
	requests := 0
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/auth/") {
			_, _ = io.WriteString(w, `{"access_token":"a","expires_in":3600}`)
			return
		}
		requests++
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer srv.Close()
	l := newLab(t)
	s, err := honor.Open(context.Background(), l.Fields, push.Options{Endpoint: srv.URL, RootCAs: pemOf(srv)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		status   int
		answer   string
		outcome  push.Outcome
		code     string
		requests int
	}{
		{200, `{"code":80200099}`, push.BadCredential, "80200099", 2},
		{200, `{"code":"80399999","message":"app under review: 你好"}`, push.BadMessage, "80399999", 1},
		{500, `{"code":81099999}`, push.Retry, "81099999", 1},
		{200, `{"code":200,"data":{"requestId":"r"}}`, push.Retry, "sendResult", 1},
		{200, `{"code":200,"data":{"sendResult":true,"failTokens":["somebody else's"]}}`, push.Retry, push.CodeBadReply, 1},
		{200, `<html>`, push.Retry, push.CodeBadReply, 1},
		{302, `{}`, push.Retry, push.CodeBadReply, 1},
	} {
		status, answer, requests = c.status, c.answer, 0
		if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != c.outcome || r.Code != c.code || requests != c.requests {
			t.Errorf("%s: %+v after %d requests", c.answer, r, requests)
		} else if strings.Contains(c.answer, "review") != strings.HasSuffix(r.Text, ": app under review") {
			t.Errorf("%s: %s", c.answer, r.Text) // what Honor says about it is shown, up to what it repeats
		}
	}
}

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

// TestTokenIsFetchedOnce: a hundred sends that find their access token revoked get one
// new token between them.
func TestTokenIsFetchedOnce(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	for round := 1; round <= 2; round++ {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if r := s.Send(context.Background(), hello(), []push.Target{target(i)})[0]; r.Outcome != push.Accepted {
					t.Errorf("%+v", r)
				}
			})
		}
		wg.Wait()
		if n := l.Sim.Fetches(); n != round {
			t.Fatalf("%d tokens fetched in round %d", n, round)
		}
		l.Sim.Revoke()
	}
}

func TestWrongSecret(t *testing.T) {
	l := newLab(t)
	f := map[string]string{"app_id": "104411111", "client_id": "0a1b2c3d4e5f", "client_secret": "another-secret"}
	s, err := honor.Open(context.Background(), f, l.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "oauth_invalid_client" {
		t.Errorf("%+v", r)
	}
	// The client's own token does not open another app.
	f["client_secret"], f["app_id"] = l.Fields["client_secret"], "104422222"
	s2, err := honor.Open(context.Background(), f, l.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s2.Close()
	if r := s2.Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "80200001" {
		t.Errorf("%+v", r)
	}
}

func TestPayload(t *testing.T) {
	l := newLab(t)
	n := -4
	m := push.Message{
		Kind: push.Alert, Title: "题", Subtitle: "群", Body: "文", ThreadID: "c1", CollapseKey: "k", Badge: &n,
		ExpiresAt: time.Now().Add(-time.Hour), Data: map[string]any{"conv": "a&b"},
	}
	got := l.Sent(m, target(1))
	for path, v := range map[string]any{
		"android.notification.title": "题", "android.notification.body": "群\n文", "data": `{"conv":"a&b"}`, "android.ttl": "1s",
		"android.biTag": target(1).Ref, "android.notification.importance": "NORMAL", "android.notification.group": "c1",
		"android.notification.notifyId": float64(push.NotifyID("k")), "android.notification.clickAction.type": 3.0,
		"android.notification.badge.setNum": 0.0, "android.notification.badge.badgeClass": l.Fields["badge_class"],
	} {
		if lab.At(got, path) != v {
			t.Errorf("%s = %v, want %v", path, lab.At(got, path), v)
		}
	}
	l.Fields["click_intent"], l.Fields["importance"] = "intent://im.example/chat#Intent;scheme=demo;end", "LOW"
	m.CollapseKey, m.ExpiresAt = "", time.Time{}
	got = l.Sent(m, target(2))
	if lab.At(got, "android.notification.clickAction.intent") != "intent://im.example/chat#Intent;scheme=demo;S.conv=a%26b;end" || lab.At(got, "android.ttl") != nil ||
		lab.At(got, "android.notification.importance") != "LOW" || lab.At(got, "android.notification.notifyId") != float64(push.NotifyID(target(2).ID)) {
		t.Errorf("%v", got)
	}
	if got = l.Sent(push.Message{Kind: push.Silent, Data: map[string]any{"a": 1}}, target(3)); lab.At(got, "data") != `{"a":1}` || lab.At(got, "android.notification") != nil {
		t.Errorf("silent %v", got)
	}
	m.Body = strings.Repeat("长", 5000)
	body, _ := lab.At(l.Sent(m, target(4)), "android.notification.body").(string)
	if !strings.HasSuffix(body, "长…") || len(body) < 3000 {
		t.Errorf("%d bytes of the body", len(body))
	}
	if r := l.Open().Send(context.Background(), push.Message{Kind: push.Badge, Badge: &n}, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
		t.Errorf("badge alone: %+v", r)
	}
}

func TestReceipts(t *testing.T) {
	got := make(chan push.ReceiptRequest, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()}
	}))
	defer srv.Close()
	l := newLabAt(t, time.Now, lab.PostsReceipts)
	p := sandbox.Delivered{Account: l.Account, Token: target(1).Token, VendorID: "req1", Param: "cmVm", URL: srv.URL}
	for _, e := range []push.ReceiptEvent{push.EventArrived, push.EventOther} {
		if err := l.Sim.Report(context.Background(), p, e); err != nil {
			t.Fatal(err)
		}
		req := <-got
		req.Fields = l.Fields
		rep, err := honor.ParseReceipt(req)
		if err != nil || len(rep.Receipts) != 1 || len(rep.Answer) == 0 {
			t.Fatalf("%v %+v", err, rep)
		}
		r := rep.Receipts[0]
		if r.Event != e || r.Ref != "cmVm" || r.VendorID != "req1" || r.Token != p.Token || time.Since(r.At).Abs() > time.Minute {
			t.Errorf("%+v", r)
		}
		// What the operator entered counts instead.
		req.Fields = map[string]string{"app_id": l.Fields["app_id"], "arrived_status": "0," + r.Code}
		if rep, err := honor.ParseReceipt(req); err != nil || rep.Receipts[0].Event != push.EventArrived {
			t.Errorf("%v %+v", err, rep)
		}
		req.Fields = map[string]string{"app_id": "2"}
		if _, err := honor.ParseReceipt(req); !errors.Is(err, push.ErrReceiptForged) {
			t.Errorf("another app's: %v", err)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte(`{"statuses":[{"biTag":"a","appId":"1","token":"t","status":40000002,"timestamp":1563105451261,"requestId":"r"}]}`))
	f.Add([]byte(`{"statuses":[{"status":"x"},null,{"status":1e3}]}`))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		rep, err := honor.ParseReceipt(push.ReceiptRequest{Header: http.Header{}, Body: body, Now: time.Now(), Fields: map[string]string{"app_id": "1"}})
		if err != nil && len(rep.Receipts) > 0 {
			t.Fatal("a refused report was read")
		}
		for _, r := range rep.Receipts {
			if r.Event == "" || r.Code == "" {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// TestClassOfMessage: what a message says of itself comes before the credential's.
func TestClassOfMessage(t *testing.T) {
	const importance = "android.notification.importance"
	newLab(t).Classes(t, hello(), target(1),
		lab.Class{Got: map[string]any{importance: "NORMAL"}},
		lab.Class{Own: map[string]string{"importance": "LOW"}, Got: map[string]any{importance: "LOW"}},
		lab.Class{Own: map[string]string{"importance": "1"}, Refused: "importance"},
	)
}
