package oppo_test

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
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/push/pushtest"
	"hongyan/sandbox"
)

// TestCodes has the simulator give every code of the documents in turn, to one
// message and to a batch.
func TestCodes(t *testing.T) {
	// 23:30 in Shanghai: the daily quota starts anew in half an hour.
	now := func() time.Time { return time.Date(2026, 3, 1, 15, 30, 0, 0, time.UTC) }
	l := newLab(t, sandbox.Config{Now: now})
	o := l.options()
	o.Now = now
	rows := []struct {
		codes   string
		outcome push.Outcome
		wait    time.Duration
	}{
		{"-1", push.Retry, 0},
		{"-2 13 55", push.Throttled, 0},
		{"33", push.Throttled, 30 * time.Minute},
		{"11 29 14 15 16 17 18 19 26 27 28 30 67", push.BadCredential, 0},
		{"12 20 21 22 23 24 25 31 34 40 41 51 59", push.BadMessage, 0},
		{"10000", push.BadTarget, 0},
		{"32", push.Accepted, 0},
	}
	seen := map[string]bool{"0": true}
	for _, row := range rows {
		for code := range strings.FieldsSeq(row.codes) {
			seen[code] = true
			l.answer(t, code, 0)
			s := l.open(t, o)
			for _, n := range []int{1, 3} {
				for i, r := range s.Send(context.Background(), hello(), targets(n)) {
					if r.Outcome != row.outcome || r.Code != code || r.RetryAfter != row.wait || r.KeepToken || r.Text == "" {
						t.Errorf("code %s, %d of %d: %+v", code, i, n, r)
					}
				}
			}
			if info := oppo.Spec().Codes[code]; info.Outcome != row.outcome {
				t.Errorf("code %s: the table says %v", code, info.Outcome)
			}
		}
	}
	for code := range oppo.Spec().Codes {
		if !seen[code] {
			t.Errorf("code %s is in the table and in no row here", code)
		}
	}
}

// TestDuplicateWithoutID: "duplicate" is a success only for an id that we gave.
func TestDuplicateWithoutID(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	for try := range 2 {
		r := s.Send(context.Background(), hello(), targets(1))[0]
		if want := []string{"", "32"}[try]; r.Outcome != push.Accepted || r.Code != want {
			t.Errorf("try %d: %+v", try, r)
		}
	}
	l.answer(t, "32", 0)
	tg := target(0)
	tg.ID = ""
	if r := s.Send(context.Background(), hello(), []push.Target{tg})[0]; r.Outcome != push.BadMessage || r.Code != "32" {
		t.Errorf("no id: %+v", r)
	}
}

// TestOneFetchForAll: a hundred sends find their access token revoked.
func TestOneFetchForAll(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	l.sim.Revoke()
	before := l.sim.Fetches()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if r := s.Send(context.Background(), hello(), []push.Target{target(i + 1)})[0]; r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if n := l.sim.Fetches() - before; n != 1 {
		t.Errorf("%d tokens were fetched, want 1", n)
	}
}

// TestTokenEndsInTime: a token is replaced before its day is over.
func TestTokenEndsInTime(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	l := newLab(t, sandbox.Config{Now: clock})
	o := l.options()
	o.Now = clock
	s := l.open(t, o)
	for i, step := range []struct {
		forward time.Duration
		fetches int
	}{{0, 1}, {23 * time.Hour, 1}, {58 * time.Minute, 2}} {
		mu.Lock()
		now = now.Add(step.forward)
		mu.Unlock()
		if r := s.Send(context.Background(), hello(), []push.Target{target(i)})[0]; r.Outcome != push.Accepted {
			t.Errorf("step %d: %+v", i, r)
		}
		if n := l.sim.Fetches(); n != step.fetches {
			t.Errorf("step %d: %d fetches, want %d", i, n, step.fetches)
		}
	}
}

func TestBatchKeepsOrder(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	ts := targets(2500)
	for i := range ts {
		n := i % 120
		ts[i].Badge = &n
		if i%7 == 3 {
			l.kill(t, ts[i].Token, "10000")
		}
	}
	ts[20].Token = "not a token"
	for i, r := range s.Send(context.Background(), hello(), ts) {
		switch {
		case i == 20:
			if r.Outcome != push.BadTarget || r.Code != push.CodeBadToken {
				t.Errorf("target %d: %+v", i, r)
			}
		case i%7 == 3:
			if r.Outcome != push.BadTarget || r.Code != "10000" || r.KeepToken {
				t.Errorf("target %d: %+v, want 10000", i, r)
			}
		case r.Outcome != push.Accepted || r.VendorID == "":
			t.Errorf("target %d: %+v, want accepted", i, r)
		}
	}
	if n := l.sim.Requests(); n < 3 || n > 8 {
		t.Errorf("%d requests", n)
	}
	if n := l.inbox.Total(); n != 2499 {
		t.Errorf("%d messages", n)
	}
}

// stranger serves answers that the simulator would not give.
func stranger(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) push.Sender {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/auth") {
			_, _ = io.WriteString(w, `{"code":0,"data":{"auth_token":"t"}}`)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	s, err := oppo.Open(context.Background(), map[string]string{"app_key": appKey, "master_secret": masterSecret}, push.Options{
		Endpoint: srv.URL, RootCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestUnknownAnswers(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		outcome push.Outcome
		code    string
		wait    time.Duration
	}{
		{200, `{"code":99}`, push.BadMessage, "99", 0},
		{500, `{"code":99}`, push.Retry, "99", 9 * time.Second},
		{200, `{"code":"13"}`, push.Throttled, "13", 9 * time.Second},
		{200, `{"code":33}`, push.Throttled, "33", 9 * time.Second},
		{500, `{"code":0}`, push.Retry, push.CodeBadReply, 9 * time.Second},
		{200, `{}`, push.Retry, push.CodeBadReply, 9 * time.Second},
		{429, ``, push.Throttled, push.CodeBadReply, 9 * time.Second},
		{502, `<html>`, push.Retry, push.CodeBadReply, 9 * time.Second},
	} {
		s := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		for _, r := range s.Send(context.Background(), hello(), targets(2)) {
			if r.Outcome != c.outcome || r.Code != c.code || r.RetryAfter != c.wait {
				t.Errorf("%d %s: %+v", c.status, c.body, r)
			}
		}
	}
}

// TestBatchAnswersInAnyOrder: results follow the registration ids, and a message that
// the answer leaves out is not taken for sent.
func TestBatchAnswersInAnyOrder(t *testing.T) {
	ts := targets(4)
	s := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"code":0,"data":[{"messageId":"m3","registrationId":"`+ts[3].Token+`"},`+
			`{"registrationId":"`+ts[1].Token+`","errorCode":10000},{"messageId":"m0","registrationId":"`+ts[0].Token+`","errorCode":0}]}`)
	})
	rs := s.Send(context.Background(), hello(), ts)
	if rs[0].VendorID != "m0" || rs[1].Outcome != push.BadTarget || rs[3].VendorID != "m3" || rs[3].Outcome != push.Accepted {
		t.Errorf("%+v", rs)
	}
	if rs[2].Outcome != push.Retry || rs[2].Code != push.CodeBadReply {
		t.Errorf("left out: %+v", rs[2])
	}
}

// TestWholeRefusalFindsTheTarget: a batch is refused for one target it does not name.
func TestWholeRefusalFindsTheTarget(t *testing.T) {
	ts := targets(9)
	s := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("message") + r.FormValue("messages")
		if strings.Contains(text, ts[5].Token) {
			_, _ = io.WriteString(w, `{"code":10000}`)
			return
		}
		data := `{"messageId":"m"}`
		if r.FormValue("messages") != "" {
			data = "["
			for _, tg := range ts {
				if strings.Contains(text, tg.Token) {
					data += `{"messageId":"m","registrationId":"` + tg.Token + `"},`
				}
			}
			data = strings.TrimSuffix(data, ",") + "]"
		}
		_, _ = io.WriteString(w, `{"code":0,"data":`+data+`}`)
	})
	for i, r := range s.Send(context.Background(), hello(), ts) {
		if want := i == 5; (r.Outcome == push.BadTarget) != want || (r.Outcome == push.Accepted) == want {
			t.Errorf("target %d: %+v", i, r)
		}
	}
}

func TestMessageFields(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLab(t, sandbox.Config{Now: func() time.Time { return now }})
	o := l.options()
	o.Now = func() time.Time { return now }
	s := l.open(t, o)
	n := 100
	send := func(m push.Message, tg push.Target) map[string]any {
		t.Helper()
		n++
		tg.Token = target(n).Token
		if r := s.Send(context.Background(), m, []push.Target{tg})[0]; r.Outcome != push.Accepted || r.Code != "" {
			t.Fatalf("%+v", r)
		}
		return l.last(t)
	}
	tg := target(1)
	tg.Ref = "bWVzc2FnZQ"
	m := hello()
	five, nine := 5, 900
	m.Badge, m.CollapseKey, m.ExpiresAt, m.ReceiptURL, m.Subtitle = &five, "chat-7", now.Add(time.Hour), receiptURL, "a subtitle that is long"
	m.Data = map[string]any{"ext": map[string]any{"chat": "c 7&=+"}}
	got := send(m, tg)
	for k, want := range map[string]any{
		"app_message_id": tg.ID, "title": "hello", "content": "there", "sub_title": "a subtitl…", "action_parameters": `{"ext":{"chat":"c 7\u0026=+"}}`,
		"off_line": true, "off_line_ttl": 3600.0, "call_back_url": receiptURL, "call_back_parameter": "bWVzc2FnZQ",
		"channel_id": "im_high", "category": "IM", "notify_level": 2.0, "notify_id": float64(push.NotifyID("chat-7")),
		"badge_operation_type": 0.0, "badge_message_count": 5.0,
	} {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
	m.ChannelIDs = map[push.Channel]string{push.OPPO: "calls"}
	if got = send(m, tg); got["channel_id"] != "calls" {
		t.Errorf("the message's channel: %v", got["channel_id"])
	}
	tg.Badge = &nine
	if got = send(m, tg); got["badge_message_count"] != 100.0 {
		t.Errorf("badge %v, want 100, which shows as 99+", got["badge_message_count"])
	}
	tg = target(1)
	tg.Ref = "ref"
	got = send(hello(), tg)
	for _, k := range []string{"off_line_ttl", "call_back_url", "call_back_parameter", "notify_id", "badge_message_count", "action_parameters", "sub_title"} {
		if got[k] != nil {
			t.Errorf("%s was said without being asked: %v", k, got[k])
		}
	}
	m = hello()
	m.ExpiresAt = now
	if got = send(m, target(1)); got["off_line"] != false || got["off_line_ttl"] != nil {
		t.Errorf("try once: %v", got)
	}
	m.ExpiresAt = now.AddDate(1, 0, 0)
	if got = send(m, target(1)); got["off_line_ttl"] != 864000.0 {
		t.Errorf("a year: %v", got)
	}
	if got = send(push.Message{Kind: push.Alert, Body: "only"}, target(1)); got["title"] != "only" || got["content"] != "only" {
		t.Errorf("no title: %v", got)
	}
	long := strings.Repeat("鸿👩‍👩‍👧", 100)
	got = send(push.Message{Kind: push.Alert, Title: long, Body: long}, target(1))
	title, _ := got["title"].(string)
	content, _ := got["content"].(string)
	if n, k := utf8.RuneCountInString(title), utf8.RuneCountInString(content); n != 50 || k != 200 {
		t.Errorf("cut to %d and %d characters", n, k)
	}
	for _, bad := range []push.Message{
		{Kind: push.Badge, Badge: &five}, {Kind: push.Silent}, {Kind: push.Alert, Title: " "}, {Kind: push.Alert, Title: "x", Data: map[string]any{"f": func() {}}},
	} {
		if r := s.Send(context.Background(), bad, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
			t.Errorf("%+v", r)
		}
	}
}

// TestDataIsJudgedToTheCharacter: what fits is taken by the vendor, one more is not sent.
func TestDataIsJudgedToTheCharacter(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	for over, want := range map[int]push.Outcome{0: push.Accepted, 1: push.BadMessage} {
		before := l.sim.Requests()
		m := hello()
		m.Data = map[string]any{"d": strings.Repeat("雁", 4000-len(`{"d":""}`)+over)}
		r := s.Send(context.Background(), m, targets(1))[0]
		if r.Outcome != want || over == 1 && (r.Code != push.CodeTooLarge || l.sim.Requests() != before) {
			t.Errorf("%d over: %+v", over, r)
		}
	}
}

// TestLargeMessagesShareSmallerRequests: a thousand long messages are under the size
// that a gateway takes.
func TestLargeMessagesShareSmallerRequests(t *testing.T) {
	var most int
	var mu sync.Mutex
	s := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		most = max(most, len(body))
		mu.Unlock()
		_, _ = io.WriteString(w, `{"code":33}`)
	})
	m := push.Message{Kind: push.Alert, Title: strings.Repeat("鸿", 50), Body: strings.Repeat("雁", 200), Data: map[string]any{"d": strings.Repeat("x", 3900)}}
	s.Send(context.Background(), m, targets(1000))
	if most == 0 || most > 2<<20 {
		t.Errorf("the largest request has %d bytes", most)
	}
}

func TestWrongKeys(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	good := l.fields
	for name, c := range map[string]struct{ field, value, code string }{
		"app key": {"app_key", "ffffffffffffffff", "14"}, "master secret": {"master_secret", "ffffffffffffffff", "16"},
		"category": {"category", "ORDER", "67"},
	} {
		l.fields = map[string]string{c.field: c.value}
		for k, v := range good {
			if k != c.field {
				l.fields[k] = v
			}
		}
		r := l.open(t, l.options()).Check(context.Background())
		if r.Outcome != push.BadCredential || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
		pushtest.AssertNoSecret(t, []string{masterSecret, appSecret, c.value}, r)
	}
	l.fields = good
	o := l.options()
	o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	if r := l.open(t, o).Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "19" {
		t.Errorf("clock: %+v", r)
	}
	for field, bad := range map[string]string{"master_secret": "short", "region": "mars", "category": "CHAT", "notify_level": "3"} {
		fields := map[string]string{"app_key": appKey, "master_secret": masterSecret}
		fields[field] = bad
		_, err := oppo.Inspect(fields, "", time.Now())
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Field != field || fe.Code != push.FieldInvalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err := oppo.Inspect(map[string]string{"app_key": appKey, "app_secret": appSecret, "master_secret": appSecret}, "", time.Now())
	var fe *push.FieldError
	if !errors.As(err, &fe) || fe.Field != "master_secret" {
		t.Errorf("AppSecret for MasterSecret: %v", err)
	}
}

// TestClassNone: an app without the new classes sends none, and no level either.
func TestClassNone(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	l.fields["category"] = "none"
	if r := l.open(t, l.options()).Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	if got := l.last(t); got["category"] != nil || got["notify_level"] != nil || got["channel_id"] != "im_high" {
		t.Errorf("%v", got)
	}
}
