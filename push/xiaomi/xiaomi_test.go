package xiaomi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/push/xiaomi"
	"hongyan/sandbox"
)

// TestCodes has the simulator give every code of the documents in turn.
func TestCodes(t *testing.T) {
	l := newLab(t)
	// 23:30 in Shanghai: the daily quota starts anew in half an hour.
	o := l.Options()
	o.Now = func() time.Time { return time.Date(2026, 3, 1, 15, 30, 0, 0, time.UTC) }
	s := l.OpenWith(o)
	rows := []struct {
		codes     string
		outcome   push.Outcome
		wait      time.Duration
		keepToken bool
	}{
		{"-1 1 10001 10002 10003 20301 20607 26003 65029", push.Retry, 0, false},
		{"10008 10012 10016 10017 65009 65011 65014 65015 65036 65037 65038 26004 26006", push.BadMessage, 0, false},
		{"10027 200002", push.Throttled, 0, false},
		{"10034 200001", push.Throttled, 30 * time.Minute, false},
		{"10029", push.BadTarget, 0, false},
		{"65003", push.BadTarget, 0, true},
		{"10031 10036 10037 21301 21302 21303 21305 22000 22006 22007 22022 22102 27001", push.BadCredential, 0, false},
	}
	seen := map[string]bool{"0": true, "bad_regids": true} // see TestBatchKeepsOrder
	for _, row := range rows {
		for code := range strings.FieldsSeq(row.codes) {
			seen[code] = true
			l.Say(code, 0)
			r := s.Send(context.Background(), hello(), targets(1))[0]
			if r.Outcome != row.outcome || r.Code != code || r.RetryAfter != row.wait || r.KeepToken != row.keepToken || r.Text == "" {
				t.Errorf("code %s: %+v", code, r)
			}
			if info := xiaomi.Spec().Codes[code]; info.Outcome != row.outcome {
				t.Errorf("code %s: the table says %v", code, info.Outcome)
			}
		}
	}
	for code := range xiaomi.Spec().Codes {
		if !seen[code] {
			t.Errorf("code %s is in the table and in no row here", code)
		}
	}
}

// noon is the clock of strangers: twelve hours before midnight in Shanghai.
func noon() time.Time { return time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC) }

// stranger serves one fixed answer.
func stranger(t *testing.T, status int, body string) push.Sender {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	ca := pemOf(srv)
	s, err := xiaomi.Open(context.Background(), map[string]string{"app_secret": secret}, push.Options{Endpoint: srv.URL, RootCAs: ca, Topic: topic, Now: noon})
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
		keep    bool
	}{
		{200, `{"result":"error","code":99999}`, push.BadMessage, "99999", 0, false},
		{500, `{"result":"error","code":99999}`, push.Retry, "99999", 9 * time.Second, false},
		{200, `{"result":"error","code":200001}`, push.Throttled, "200001", 12 * time.Hour, false}, // not before the day's end
		{200, `{"result":"error","code":"10027"}`, push.Throttled, "10027", 9 * time.Second, false},
		{200, `{"result":"error","code":0}`, push.Retry, push.CodeBadReply, 9 * time.Second, false},
		{200, `{"result":"error","code":20301,"reason":"No valid targets!"}`, push.BadTarget, "20301", 0, true},
		{200, `{"result":"ok"}`, push.Retry, push.CodeBadReply, 9 * time.Second, false},
		{200, `<html>`, push.Retry, push.CodeBadReply, 9 * time.Second, false},
		{200, `{"result":"ok","code":` + strings.Repeat("1", 100) + `}`, push.Retry, push.CodeBadReply, 9 * time.Second, false},
		{401, ``, push.BadCredential, push.CodeBadReply, 0, false},
		{429, ``, push.Throttled, push.CodeBadReply, 9 * time.Second, false},
		{502, `<html>`, push.Retry, push.CodeBadReply, 9 * time.Second, false},
	} {
		r := stranger(t, c.status, c.body).Send(context.Background(), hello(), targets(1))[0]
		if r.Outcome != c.outcome || r.Code != c.code || r.RetryAfter != c.wait || r.KeepToken != c.keep {
			t.Errorf("%d %.60s: %+v", c.status, c.body, r)
		}
	}
	r := stranger(t, 200, `{"result":"ok","code":0,"data":"{\"id\":\"sdm1\"}"}`).Send(context.Background(), hello(), targets(1))[0]
	if r.Outcome != push.Accepted || r.VendorID != "sdm1" {
		t.Errorf("data as text: %+v", r)
	}
}

func TestBatchKeepsOrder(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	ts := targets(2500)
	for i := range ts {
		if i%7 == 3 {
			l.Kill(ts[i].Token, "10029")
		}
		if i%2 == 1 {
			ts[i].Topic = topic + ".beta"
		}
	}
	for i, r := range s.Send(context.Background(), hello(), ts) {
		if i%7 == 3 {
			if r.Outcome != push.BadTarget || r.Code != "bad_regids" || r.KeepToken {
				t.Errorf("target %d: %+v, want bad_regids", i, r)
			}
		} else if r.Outcome != push.Accepted || !strings.HasPrefix(r.VendorID, "sdm") {
			t.Errorf("target %d: %+v, want accepted", i, r)
		}
	}
	if n := l.Sim.Requests(); n != 4 { // 1250 of each package
		t.Errorf("%d requests, want 4", n)
	}
	for _, got := range l.Inbox.List() {
		n, _ := strconv.Atoi(got.Token[len(got.Token)-11 : len(got.Token)-1])
		if want := ts[n].Topic; got.Topic != want {
			t.Fatalf("target %d went to %s", n, got.Topic)
		}
	}
}

// TestWholeRefusalFindsTheTarget: MiPush refuses a request for an id it does not name.
func TestWholeRefusalFindsTheTarget(t *testing.T) {
	ts := targets(9)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("registration_id"), ts[5].Token) {
			_, _ = io.WriteString(w, `{"result":"error","code":10029}`)
			return
		}
		_, _ = io.WriteString(w, `{"result":"ok","code":0,"data":{"id":"sdm2"}}`)
	}))
	defer srv.Close()
	s, err := xiaomi.Open(context.Background(), map[string]string{"app_secret": secret}, push.Options{Endpoint: srv.URL, RootCAs: pemOf(srv)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, r := range s.Send(context.Background(), hello(), ts) {
		if want := i == 5; (r.Outcome == push.BadTarget) != want || (r.Outcome == push.Accepted) == want {
			t.Errorf("target %d: %+v", i, r)
		}
	}
}

func TestMessageFields(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLab(t)
	o := l.Options()
	o.Now = func() time.Time { return now }
	s := l.OpenWith(o)
	send := func(m push.Message, tg push.Target) map[string]string {
		t.Helper()
		if r := s.Send(context.Background(), m, []push.Target{tg})[0]; r.Outcome != push.Accepted {
			t.Fatalf("%+v", r)
		}
		return lab.Last[map[string]string](l)
	}
	tg := target(1)
	tg.Ref = "bWVzc2FnZQ"
	m := hello()
	m.CollapseKey, m.ExpiresAt, m.ReceiptURL, m.Sound = "chat-7", now.Add(time.Hour), receiptURL, "bell_2.mp3"
	m.Data = map[string]any{"ext": map[string]any{"chat": "c 7&=+"}}
	first := send(m, tg)
	for k, want := range map[string]string{
		"restricted_package_name": topic, "pass_through": "0", "title": "hello", "description": "there",
		"payload": `{"ext":{"chat":"c 7\u0026=+"}}`, "time_to_live": "3600000", "notify_type": "-1",
		"extra.channel_id": "high_im", "extra.notify_effect": "1", "extra.sound_uri": "android.resource://" + topic + "/raw/bell_2",
		"extra.callback": receiptURL, "extra.callback.param": "bWVzc2FnZQ", "extra.callback.type": "243",
	} {
		if first[k] != want {
			t.Errorf("%s is %q, want %q", k, first[k], want)
		}
	}
	second := send(m, target(2))
	if first["notify_id"] == "" || first["notify_id"] == "0" || first["notify_id"] != second["notify_id"] {
		t.Errorf("notify ids of one key: %q and %q", first["notify_id"], second["notify_id"])
	}
	if again := send(m, tg); again["extra.jobkey"] == "" || again["extra.jobkey"] != first["extra.jobkey"] || second["extra.jobkey"] == first["extra.jobkey"] {
		t.Errorf("jobkeys %q, again %q, of another %q", first["extra.jobkey"], again["extra.jobkey"], second["extra.jobkey"])
	}
	// Without a key no notification replaces another.
	a, b := send(hello(), target(1)), send(hello(), target(2))
	if a["notify_id"] == "" || a["notify_id"] == b["notify_id"] {
		t.Errorf("notify ids %q and %q of unrelated messages", a["notify_id"], b["notify_id"])
	}
	if a["time_to_live"] != "" || a["extra.callback"] != "" || a["extra.only_send_once"] != "" || a["payload"] != "" {
		t.Errorf("more was said than asked: %v", a)
	}
	m = hello()
	m.ExpiresAt, m.Sound = now, ""
	if got := send(m, tg); got["extra.only_send_once"] != "1" || got["time_to_live"] != "" || got["notify_type"] != "4" {
		t.Errorf("try once, without sound: %v", got)
	}
	if got := send(push.Message{Kind: push.Alert, Body: "only", Subtitle: "sub"}, tg); got["title"] != "sub\nonly" || got["description"] != "sub\nonly" {
		t.Errorf("no title: %v", got)
	}
	got := send(push.Message{Kind: push.Silent, Title: "x"}, tg)
	if got["pass_through"] != "1" || got["payload"] != "{}" || got["title"] != "" {
		t.Errorf("silent: %v", got)
	}
	long := strings.Repeat("鸿👩‍👩‍👧", 100)
	got = send(push.Message{Kind: push.Alert, Title: long, Body: long}, tg)
	if n, k := utf8.RuneCountInString(got["title"]), utf8.RuneCountInString(got["description"]); n != 49 || k != 127 || !utf8.ValidString(got["title"]) {
		t.Errorf("cut to %d and %d characters", n, k)
	}
	for _, bad := range []push.Message{{Kind: push.Badge}, {Kind: push.Alert, Title: " "}, {Kind: push.Alert, Title: "x", Data: map[string]any{"f": func() {}}}} {
		if r := s.Send(context.Background(), bad, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
			t.Errorf("%+v", r)
		}
	}
}

// TestSizeIsJudgedToTheByte: what fits is taken by the vendor, a byte more is not sent.
func TestSizeIsJudgedToTheByte(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	for over, want := range map[int]push.Outcome{0: push.Accepted, 1: push.BadMessage} {
		before := l.Sim.Requests()
		m := push.Message{Kind: push.Alert, Title: "12345", Body: "67890"}
		m.Data = map[string]any{"d": strings.Repeat("x", 4096-10-len(`{"d":""}`)+over)}
		r := s.Send(context.Background(), m, targets(1))[0]
		if r.Outcome != want || over == 1 && (r.Code != push.CodeTooLarge || l.Sim.Requests() != before) {
			t.Errorf("%d over: %+v", over, r)
		}
	}
}

func TestWrongKeys(t *testing.T) {
	l := newLab(t)
	l.Fields["app_secret"] = "another-secret-of-somebody"
	if r := l.Open().Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "21301" {
		t.Errorf("wrong secret: %+v", r)
	}
	l.Fields["app_secret"] = secret
	o := l.Options()
	o.Topic = "im.hongyan.other"
	if r := l.OpenWith(o).Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "22022" {
		t.Errorf("wrong package: %+v", r)
	}
	l.Fields["channel_id"] = "unknown"
	if r := l.Open().Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "27001" {
		t.Errorf("wrong channel: %+v", r)
	}
	own := hello()
	own.ChannelIDs = map[push.Channel]string{push.Xiaomi: "high_im", push.Huawei: "x"}
	if r := l.Open().Send(context.Background(), own, targets(1))[0]; r.Outcome != push.Accepted || lab.Last[map[string]string](l)["extra.channel_id"] != "high_im" {
		t.Errorf("a message with a channel of its own: %+v", r)
	}
	l.Fields["channel_id"] = ""
	if r := l.Open().Check(context.Background()); r.Outcome != push.Accepted {
		t.Errorf("good keys: %+v", r)
	}
	// A channel that a message names is that message's fault alone.
	m := hello()
	m.ChannelIDs = map[push.Channel]string{push.Xiaomi: "unknown"}
	if r := l.Open().Send(context.Background(), m, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != "27001" {
		t.Errorf("wrong channel of a message: %+v", r)
	}
	m = hello()
	m.ReceiptURL = "https://push.example.com/not-registered"
	if r := l.Open().Send(context.Background(), m, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != "65038" {
		t.Errorf("receipt address that is not registered: %+v", r)
	}
	for field, bad := range map[string]string{"app_secret": "short", "region": "mars", "app_id": "abc"} {
		fields := map[string]string{"app_secret": secret, field: bad}
		_, err := xiaomi.Inspect(fields, topic, time.Now())
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Field != field || fe.Code != push.FieldInvalid {
			t.Errorf("%s: %v", field, err)
		}
		pushtest.AssertNoSecret(t, []string{bad}, err)
	}
}

func TestReceipts(t *testing.T) {
	got := make(chan push.ReceiptReport, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		report, err := xiaomi.ParseReceipt(push.ReceiptRequest{Header: r.Header, Body: body, Now: time.Now()})
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
		push.EventArrived: "1", push.EventClicked: "2", push.EventUninstalled: "16", push.EventNotifyOff: "32",
		push.EventOther: "64", push.EventDropped: "128", push.EventExpired: "1024",
	} {
		p := sandbox.Delivered{URL: srv.URL, Param: "cmVm", Token: target(1).Token, VendorID: "sdm7"}
		if err := l.Sim.Report(context.Background(), p, event); err != nil {
			t.Fatal(err)
		}
		want := push.Receipt{Ref: "cmVm", VendorID: "sdm7", Token: p.Token, Event: event, Code: code, At: now, DayOver: event == push.EventDropped}
		if r := <-got; len(r.Receipts) != 1 || r.Receipts[0] != want {
			t.Errorf("%s: %+v", event, r)
		}
	}
}

func parse(data string) (push.ReceiptReport, error) {
	return xiaomi.ParseReceipt(push.ReceiptRequest{Body: []byte(url.Values{"data": {data}}.Encode())})
}

func TestReceiptShapes(t *testing.T) {
	r, err := parse(`{"m2":{"param":null,"type":"16","targets":"a, b,,c","timestamp":"","extra":{"ack":"1"}},"m1":{"type":4096,"targets":"z"}}`)
	if err != nil || len(r.Receipts) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	if x := r.Receipts[0]; x.VendorID != "m1" || x.Event != push.EventOther || x.Code != "4096" || !x.At.IsZero() {
		t.Errorf("%+v", x)
	}
	if x := r.Receipts[2]; x.VendorID != "m2" || x.Event != push.EventUninstalled || x.Token != "b" {
		t.Errorf("%+v", x)
	}
	for _, bad := range []string{"", "[]", "null", "{", `{"m":1}`} {
		if _, err := parse(bad); !errors.Is(err, push.ErrReceiptShape) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte("data=" + url.QueryEscape(`{"m":{"param":"p","type":1,"targets":"a,b","timestamp":1772366400123}}`)))
	f.Add([]byte("data=%7B%7D"))
	f.Add([]byte("%zz"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := xiaomi.ParseReceipt(push.ReceiptRequest{Body: body})
		if err != nil && !errors.Is(err, push.ErrReceiptShape) {
			t.Fatal(err)
		}
		for _, x := range r.Receipts {
			if x.Event == "" || x.Token == "" || len(x.Ref) > push.MaxRef || len(x.Token) > 512 || len(x.Code) > 16 {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// What MiPush says about a code that no table explains is quoted, unless it repeats
// what was sent; about others only the table speaks.
func TestUnknownCodeQuotes(t *testing.T) {
	m := push.Message{Kind: push.Alert, Title: "salary list", Body: "see the attachment"}
	for body, want := range map[string]string{
		`{"result":"error","code":99999,"description":"失败","reason":"Category frozen"}`: "Category frozen",
		`{"result":"error","code":99999,"description":"该应用已冻结"}`:                        "该应用已冻结",
		`{"result":"error","code":99999,"reason":"salary list not allowed"}`:            "",
		`{"result":"error","code":10017,"reason":"Category frozen"}`:                    "",
	} {
		s := stranger(t, http.StatusOK, body)
		if r := s.Send(context.Background(), m, targets(1))[0]; push.SaidIn(r.Text) != want {
			t.Errorf("%s: %q", body, r.Text)
		}
		if r := s.Check(context.Background()); strings.Contains(body, "99999") && strings.Contains(body, "frozen") && push.SaidIn(r.Text) != want {
			t.Errorf("check, %s: %q", body, r.Text)
		}
	}
}
