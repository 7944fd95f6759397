package oppo_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

func TestMessageFields(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLab(t, func(c *sandbox.Config) { c.Now = func() time.Time { return now } })
	o := l.Options()
	o.Now = func() time.Time { return now }
	s := l.OpenWith(o)
	n := 100
	send := func(m push.Message, tg push.Target) map[string]any {
		t.Helper()
		n++
		tg.Token = target(n).Token
		if r := s.Send(context.Background(), m, []push.Target{tg})[0]; r.Outcome != push.Accepted || r.Code != "" {
			t.Fatalf("%+v", r)
		}
		return lab.Last[map[string]any](l)
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
	l := newLab(t)
	s := l.Open()
	for over, want := range map[int]push.Outcome{0: push.Accepted, 1: push.BadMessage} {
		before := l.Sim.Requests()
		m := hello()
		m.Data = map[string]any{"d": strings.Repeat("雁", 4000-len(`{"d":""}`)+over)}
		r := s.Send(context.Background(), m, targets(1))[0]
		if r.Outcome != want || over == 1 && (r.Code != push.CodeTooLarge || l.Sim.Requests() != before) {
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

// anyClass is a simulator whose app may send messages of any class.
func anyClass(t *testing.T) *lab.Lab {
	l := newLab(t)
	account := l.Account
	account.Fields = map[string]string{"master_secret": masterSecret}
	return lab.New(t, oppo.Spec(), l.Fields, account)
}

// TestClassOfMessage: what a message says of itself comes before the credential's, whose
// level goes with its own category alone.
func TestClassOfMessage(t *testing.T) {
	l := anyClass(t)
	fields := l.Fields
	got := func(category, level any) map[string]any {
		return map[string]any{"category": category, "notify_level": level}
	}
	l.Classes(t, hello(), target(1),
		lab.Class{Got: got("IM", 2.0)},
		lab.Class{Own: map[string]string{"category": "MARKETING"}, Got: got("MARKETING", nil)},
		lab.Class{Own: map[string]string{"category": "IM"}, Got: got("IM", 2.0)},
		lab.Class{Own: map[string]string{"category": "ORDER", "notify_level": "16"}, Got: got("ORDER", 16.0)},
		lab.Class{Own: map[string]string{"notify_level": "1"}, Got: got("IM", 1.0)},
		lab.Class{Own: map[string]string{"category": "CHAT"}, Refused: "category"},
		lab.Class{Own: map[string]string{"notify_level": "3"}, Refused: "notify_level"},
	)
	fields["category"] = "none"
	l.Classes(t, hello(), target(1),
		lab.Class{Own: map[string]string{"category": "NEWS"}, Got: got("NEWS", nil)},
		lab.Class{Own: map[string]string{"notify_level": "16"}, Refused: "notify_level"},
	)
}

// TestRefusedClassIsTheMessages: the app's rights do not reach to the class that a
// message chose, which says nothing about the credential's.
func TestRefusedClassIsTheMessages(t *testing.T) {
	l := newLab(t) // may send IM alone
	m := hello()
	m.Classes = map[push.Channel]map[string]string{push.OPPO: {"category": "ORDER"}}
	for _, r := range l.Open().Send(context.Background(), m, targets(2)) {
		if r.Outcome != push.BadMessage || r.Code != "67" {
			t.Errorf("the message's: %+v", r)
		}
	}
	l.Fields["category"] = "ORDER"
	if r := l.Open().Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.BadCredential || r.Code != "67" {
		t.Errorf("the credential's: %+v", r)
	}
}

// TestQuotaOfClass: the day that is used up is the credential's only where the message
// has the credential's class and channel.
func TestQuotaOfClass(t *testing.T) {
	l := anyClass(t)
	s := l.Open()
	l.Say("33", 0)
	for i, m := range []push.Message{
		{}, {Classes: map[push.Channel]map[string]string{push.OPPO: {"category": "IM"}}}, {ChannelIDs: map[push.Channel]string{push.OPPO: "im_high"}},
		{Classes: map[push.Channel]map[string]string{push.OPPO: {"category": "MARKETING"}}}, {ChannelIDs: map[push.Channel]string{push.OPPO: "sale"}},
	} {
		m.Kind, m.Title, m.Body = push.Alert, "hello", "there"
		if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Throttled || r.Code != "33" || r.ClassOnly != (i >= 3) {
			t.Errorf("%d: %+v", i, r)
		}
	}
}
