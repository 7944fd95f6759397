package meizu_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/meizu"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

// TestCodes: every row of both tables, answered by the simulator.
func TestCodes(t *testing.T) {
	t.Parallel()
	device := []string{"520", "110011"}
	keep := []string{"110005", "device_110010"}
	midnight := []string{"110019", "110011"}
	l := newLab(t, func(c *sandbox.Config, _ *sandbox.Account) { c.Now = noon })
	s := l.Open()
	for code, info := range meizu.Spec().Codes {
		l.Say(code, 0)
		for i, r := range s.Send(context.Background(), alert(), targets(3)) {
			if r.Outcome != info.Outcome || r.Code != code || r.Text == "" {
				t.Errorf("code %s, %d: %+v, want %v", code, i, r, info.Outcome)
			}
			if r.DeviceOnly != slices.Contains(device, code) || r.KeepToken != slices.Contains(keep, code) || r.NotifyOff != (code == "device_110010") {
				t.Errorf("code %s: %+v", code, r)
			}
			if slices.Contains(midnight, code) != (r.RetryAfter == 12*time.Hour) {
				t.Errorf("code %s: waits %v", code, r.RetryAfter)
			}
		}
	}
	l.Say("999999", 0)
	r := s.Send(context.Background(), alert(), targets(1))[0]
	if r.Outcome != push.BadMessage || r.Code != "999999" || !strings.Contains(r.Text, "refused by the settings") {
		t.Errorf("an unknown code: %+v", r)
	}
}

// TestAgain: a device that Meizu failed to take gets one more request, the others none.
func TestAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Kill(target(1).Token, "513")
	rs := l.Open().Send(context.Background(), alert(), targets(3))
	if rs[0].Outcome != push.Accepted || rs[1].Outcome != push.BadMessage || rs[1].Code != "513" || rs[2].Outcome != push.Accepted {
		t.Errorf("%+v", rs)
	}
	if n := l.Sim.Requests(); n != 2 || l.Inbox.Total() != 4 {
		t.Errorf("%d requests for %d devices", n, l.Inbox.Total())
	}
}

// TestOrder: partial failures over several requests end at their targets.
func TestOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ts := targets(350)
	codes := map[int]string{0: "110003", 99: "110002", 100: "520", 250: "device_110010", 349: "519"}
	outcomes := meizu.Spec().Codes
	for i, code := range codes {
		l.Kill(ts[i].Token, code)
	}
	ts[7].Token = "a,b"
	for i, r := range l.Open().Send(context.Background(), alert(), ts) {
		want, code := push.Accepted, ""
		switch {
		case i == 7:
			want, code = push.BadTarget, push.CodeBadToken
		case codes[i] != "":
			want, code = outcomes[codes[i]].Outcome, codes[i]
		}
		if r.Outcome != want || r.Code != code || want == push.Accepted && r.VendorID == "" {
			t.Errorf("target %d: %+v, want %v %s", i, r, want, code)
		}
	}
	if n := l.Sim.Requests(); n != 4 {
		t.Errorf("%d requests, want four of at most a hundred", n)
	}
}

// TestDeviceCodeForAll: a device's code over a whole request is asked for device by
// device, since one bad pushId must not retire a hundred.
func TestDeviceCodeForAll(t *testing.T) {
	t.Parallel()
	bad := target(1).Token
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := "200"
		if strings.Contains(r.FormValue("pushIds"), bad) {
			code = "110003"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "value": "", "msgId": "m"})
	}))
	defer server.Close()
	l := newLab(t)
	o := l.Options()
	o.Endpoint, o.RootCAs = server.URL, pemOf(server)
	s, err := meizu.Spec().Open(context.Background(), l.Fields, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rs := s.Send(context.Background(), alert(), targets(3))
	if rs[0].Outcome != push.Accepted || rs[1].Outcome != push.BadTarget || rs[2].Outcome != push.Accepted {
		t.Errorf("%+v", rs)
	}
}

// TestCheck: keys are told from devices, and nobody is reached.
func TestCheck(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.Fields
	for name, c := range map[string]struct{ key, value, code string }{
		"secret": {"app_secret", "ffffffffffffffffffffffffffffffff", "1006"},
		"app id": {"app_id", "140002", "110000"},
	} {
		fields := maps.Clone(good)
		fields[c.key] = c.value
		l.Fields = fields
		r := l.Open().Check(context.Background())
		if r.Outcome != push.BadCredential || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
		pushtest.AssertNoSecret(t, []string{secretOfLab, fields["app_secret"]}, r)
	}
	l.Fields = good
	s := l.Open()
	if r := s.Check(context.Background()); r.Outcome != push.Accepted {
		t.Errorf("%+v", r)
	}
	for _, got := range l.Inbox.List() {
		if got.Reason == "" {
			t.Errorf("a check reached %s", got.Token)
		}
	}
	l.Say("1003", 0)
	if r := s.Check(context.Background()); r.Outcome != push.Retry {
		t.Errorf("%+v", r)
	}
	l.Say("110010", 0)
	if r := s.Check(context.Background()); r.Outcome != push.Throttled {
		t.Errorf("%+v", r)
	}
}

// TestContent: what a full message looks like at Meizu.
func TestContent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	m := alert()
	m.CollapseKey, m.ExpiresAt = "a conversation of a long name", noon().Add(90*time.Minute)
	m.Data = map[string]any{"conversation": "c1", "n": 3}
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted || r.VendorID == "" {
		t.Fatalf("%+v", r)
	}
	got := last(l)
	key, _ := got["advanceInfo"]["notifyKey"].(string)
	if got["noticeBarInfo"]["noticeMsgType"] != 1.0 || got["noticeBarInfo"]["title"] != m.Title || got["noticeBarInfo"]["content"] != m.Body ||
		got["pushTimeInfo"]["validTime"] != 2.0 || len(key) != 8 || got["extra"] != nil {
		t.Errorf("%v", got)
	}
	if p, _ := got["clickTypeInfo"]["parameters"].(map[string]any); !maps.Equal(p, map[string]any{"conversation": "c1", "n": "3"}) {
		t.Errorf("custom data %v", p)
	}
	m.ExpiresAt, m.Sound = noon(), ""
	s.Send(context.Background(), m, targets(1))
	got = last(l)
	n, _ := got["advanceInfo"]["notificationType"].(map[string]any)
	if got["pushTimeInfo"]["offLine"] != 0.0 || n["sound"] != 0.0 || got["advanceInfo"]["notifyKey"] != key {
		t.Errorf("%v", got)
	}
	l.Fields["notice_msg_type"] = "0"
	l.Open().Send(context.Background(), m, targets(1))
	if got := last(l); got["noticeBarInfo"]["noticeMsgType"] != 0.0 {
		t.Errorf("%v", got)
	}
}

// TestText: texts are cut to what Meizu takes and never inside a rune.
func TestText(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	for _, text := range []string{strings.Repeat("长", 500), strings.Repeat("a长", 300), strings.Repeat("👩‍👩‍👧", 90), strings.Repeat("a\xff", 300)} {
		m := alert()
		m.Title, m.Body = text, text
		if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
			t.Errorf("%.10q: %+v", text, r)
			continue
		}
		for key, most := range map[string]int{"title": 32, "content": 100} {
			v, _ := last(l)["noticeBarInfo"][key].(string)
			if utf8.RuneCountInString(v) != most || !utf8.ValidString(v) || !strings.HasSuffix(v, "…") {
				t.Errorf("%s of %.10q: %q", key, text, v)
			}
		}
	}
	m := alert()
	m.Title, m.Body = strings.Repeat("长", 32), strings.Repeat("长", 100)
	s.Send(context.Background(), m, targets(1))
	if got := last(l); got["noticeBarInfo"]["title"] != m.Title || got["noticeBarInfo"]["content"] != m.Body {
		t.Errorf("what fits was changed: %v", got)
	}
}

// TestNotExpressible: what Meizu cannot do is refused here, and said.
func TestNotExpressible(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	one := 1
	for name, c := range map[string]struct {
		m    push.Message
		code string
	}{
		"silent":  {push.Message{Kind: push.Silent}, push.CodeBadContent},
		"badge":   {push.Message{Kind: push.Badge, Badge: &one}, push.CodeBadContent},
		"no text": {push.Message{Kind: push.Alert, Title: " "}, push.CodeBadContent},
		"no JSON": {push.Message{Kind: push.Alert, Title: "x", Data: map[string]any{"k": make(chan int)}}, push.CodeBadContent},
	} {
		if r := s.Send(context.Background(), c.m, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := l.Sim.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
	// The 1000 bytes are customAttribute's; the README has none for parameters.
	m := alert()
	m.Subtitle, m.Data = "群", map[string]any{"k": strings.Repeat("长", 600), "": 1}
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	got := last(l)
	if data, _ := got["clickTypeInfo"]["parameters"].(map[string]any); data["k"] != m.Data["k"] || data["hy_more"] != `{"":1}` || got["noticeBarInfo"]["content"] != "群\n"+m.Body {
		t.Errorf("%v", got)
	}
}

// TestClassOfMessage: what a message says of itself comes before the credential's.
func TestClassOfMessage(t *testing.T) {
	t.Parallel()
	const kind = "noticeBarInfo.noticeMsgType"
	newLab(t).Classes(t, alert(), target(1),
		lab.Class{Got: map[string]any{kind: 1.0}},
		lab.Class{Own: map[string]string{"notice_msg_type": "0"}, Got: map[string]any{kind: 0.0}},
		lab.Class{Own: map[string]string{"notice_msg_type": "1"}, Got: map[string]any{kind: 1.0}},
		lab.Class{Own: map[string]string{"notice_msg_type": "2"}, Refused: "notice_msg_type"},
	)
}
