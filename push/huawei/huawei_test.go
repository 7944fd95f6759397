package huawei_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/huawei"
)

// TestCodes: every code of the table comes from the simulator and leads where the
// table says.
func TestCodes(t *testing.T) {
	l := newLab(t)
	for code, info := range huawei.Spec().Codes {
		switch code {
		case "80000000", "80100000": // not faults of a whole request: TestPartialFailures
			continue
		case "80300011": // TestPriorityIsLowered
			continue
		}
		l.say(t, code, 0)
		r := l.open(t).Send(context.Background(), hello(), targets(1))[0]
		if r.Outcome != info.Outcome || r.Code != code || r.Text == "" {
			t.Errorf("code %s: %+v, want %v", code, r, info.Outcome)
		}
	}
}

// TestPartialFailures: results keep the targets' order over several requests, and a
// token that is not named was accepted.
func TestPartialFailures(t *testing.T) {
	l := newLab(t)
	ts := targets(2300)
	for i := range ts {
		if i%7 == 3 {
			l.kill(t, ts[i].Token, "80300007")
		}
		if i%2 == 1 {
			n := i % 3
			ts[i].Badge = &n
		}
	}
	rs := l.open(t).Send(context.Background(), hello(), ts)
	for i, r := range rs {
		if i%7 == 3 {
			if r.Outcome != push.BadTarget || r.Code != "80100000" || r.KeepToken {
				t.Fatalf("target %d: %+v", i, r)
			}
		} else if r.Outcome != push.Accepted || r.VendorID == "" {
			t.Fatalf("target %d: %+v", i, r)
		}
	}
	// 1150 without a badge make two requests, the others one for each of three badges.
	if n := l.sim.Requests(); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	for _, got := range l.inbox.List() {
		var m struct {
			Android struct {
				Notification struct {
					Badge *struct {
						Set int `json:"set_num"`
					} `json:"badge"`
				} `json:"notification"`
			} `json:"android"`
		}
		if err := json.Unmarshal(got.Payload, &m); err != nil {
			t.Fatal(err)
		}
		for _, tg := range ts {
			if tg.Token != got.Token {
				continue
			}
			b := m.Android.Notification.Badge
			if (tg.Badge == nil) != (b == nil) || b != nil && b.Set != *tg.Badge {
				t.Fatalf("badge of %v went out as %+v", tg.Badge, b)
			}
		}
	}
}

// TestPriorityIsLowered: an app without the right to high priority sends with normal
// priority, and asks for the high one only once.
func TestPriorityIsLowered(t *testing.T) {
	l := newLab(t)
	s := l.open(t)
	l.say(t, "80300011", 0)
	for range 3 {
		if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
			t.Fatalf("%+v", r)
		}
	}
	if n := l.sim.Requests(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// TestForeignToken: a complaint about permissions is about the token if others can be
// sent to, which one dry run finds out; such a token is kept. TestCodes has the
// complaint that is about the credential.
func TestForeignToken(t *testing.T) {
	l := newLab(t)
	s := l.open(t)
	l.kill(t, target(1).Token, "80300002")
	for i := range 2 {
		if r := s.Send(context.Background(), hello(), []push.Target{target(1)})[0]; r.Outcome != push.BadTarget || !r.KeepToken {
			t.Errorf("%+v", r)
		}
		if n := l.sim.Requests(); n != 2+i {
			t.Errorf("%d requests", n)
		}
	}
}

// TestTokenIsFetchedOnce: a hundred sends that find their access token revoked get one
// new token between them.
func TestTokenIsFetchedOnce(t *testing.T) {
	l := newLab(t)
	s := l.open(t)
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
		if n := l.sim.Fetches(); n != round {
			t.Fatalf("%d tokens fetched in round %d", n, round)
		}
		l.sim.Revoke()
	}
}

func TestExpiredTokenIsReplaced(t *testing.T) {
	var mu sync.Mutex
	at := time.Now()
	l := newLabAt(t, func() time.Time { mu.Lock(); defer mu.Unlock(); return at }, nil)
	s := l.open(t) // its own clock stands still at the token's beginning
	s.Send(context.Background(), hello(), targets(1))
	mu.Lock()
	at = at.Add(2 * time.Hour)
	mu.Unlock()
	if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted || l.sim.Fetches() != 2 {
		t.Errorf("%+v after %d fetches", r, l.sim.Fetches())
	}
}

func TestWrongSecret(t *testing.T) {
	l := newLab(t)
	f := map[string]string{"app_id": l.fields["app_id"], "app_secret": "another-secret"}
	s, err := huawei.Open(context.Background(), f, l.options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "oauth_1101" {
		t.Errorf("%+v", r)
	}
	if l.sim.Requests() != 0 {
		t.Error("sent without a token")
	}
}

func TestCheckReachesNobody(t *testing.T) {
	l := newLab(t)
	if r := l.open(t).Check(context.Background()); r.Outcome != push.Accepted {
		t.Errorf("%+v", r)
	}
	if l.sim.Requests() != 1 || l.inbox.Total() != 0 {
		t.Errorf("%d requests, %d pushes", l.sim.Requests(), l.inbox.Total())
	}
}

// sent sends one message and returns what the simulator took.
func (l *lab) sent(t *testing.T, m push.Message, tg push.Target) map[string]any {
	t.Helper()
	if r := l.open(t).Send(context.Background(), m, []push.Target{tg})[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	list := l.inbox.List()
	var out map[string]any
	if err := json.Unmarshal(list[len(list)-1].Payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// at follows a path of keys.
func at(v any, path string) any {
	for k := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func TestPayload(t *testing.T) {
	l := newLab(t)
	l.fields["channel_id"], l.fields["receipt_id"] = "im", "RCP1"
	m := push.Message{
		Kind: push.Alert, Title: strings.Repeat("题", 60), Subtitle: "群", Body: strings.Repeat("文", 200), Sound: "bell.caf", ThreadID: "c1",
		CollapseKey: "k", ExpiresAt: time.Now().Add(90 * time.Second), Data: map[string]any{"conv": "a&b"},
	}
	got := l.sent(t, m, target(1))
	want := map[string]any{
		"notification.title": strings.Repeat("题", 39) + "…", "notification.body": "群\n" + strings.Repeat("文", 77) + "…",
		"data": `{"conv":"a&b"}`, "android.urgency": "NORMAL", "android.category": "IM", "android.bi_tag": target(1).Ref, "android.receipt_id": "RCP1",
		"android.notification.click_action.type": 3.0, "android.notification.channel_id": "im", "android.notification.importance": "NORMAL",
		"android.notification.sound": "/raw/bell", "android.notification.group": "c1", "android.notification.notify_id": float64(push.NotifyID("k")),
	}
	own := m
	own.ChannelIDs = map[push.Channel]string{push.Huawei: "calls"}
	if got := at(l.sent(t, own, target(1)), "android.notification.channel_id"); got != "calls" {
		t.Errorf("the message's channel: %v", got)
	}
	for path, v := range want {
		if at(got, path) != v {
			t.Errorf("%s = %v, want %v", path, at(got, path), v)
		}
	}
	if ttl := at(got, "android.ttl"); ttl != "90s" && ttl != "89s" {
		t.Errorf("ttl %v", ttl)
	}

	// Without a key the id makes a repeat replace itself, and an operator's intent
	// carries the data.
	l.fields["click_intent"] = "intent://im.example/chat#Intent;scheme=demo;end"
	m.CollapseKey, m.ExpiresAt, m.Title = "", time.Time{}, ""
	m.Data = map[string]any{"conv": "a b&c", "n": 1}
	got = l.sent(t, m, target(2))
	if at(got, "android.notification.notify_id") != float64(push.NotifyID(target(2).ID)) || at(got, "android.ttl") != nil || at(got, "data") != nil {
		t.Errorf("%v", got)
	}
	if v := at(got, "android.notification.click_action.intent"); v != "intent://im.example/chat#Intent;scheme=demo;S.conv=a%20b%26c;S.n=1;end" {
		t.Errorf("intent %v", v)
	}

	got = l.sent(t, push.Message{Kind: push.Silent, Data: map[string]any{"a": 1}}, target(3))
	if at(got, "data") != `{"a":1}` || at(got, "android.notification") != nil || at(got, "notification") != nil {
		t.Errorf("silent %v", got)
	}
	n := 3
	if r := l.open(t).Send(context.Background(), push.Message{Kind: push.Badge, Badge: &n}, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
		t.Errorf("badge alone: %+v", r)
	}
}

// TestBodyIsCutToFit: data that leaves little room shortens the body, never a rune.
func TestBodyIsCutToFit(t *testing.T) {
	l := newLab(t)
	m := hello()
	m.Body = strings.Repeat("长", 80)
	m.Data = map[string]any{"x": strings.Repeat("x", 3700)}
	got := l.sent(t, m, target(1))
	body, _ := at(got, "notification.body").(string)
	if !strings.HasSuffix(body, "长…") || len(body) >= len(m.Body) {
		t.Errorf("body %q", body)
	}
}

func TestFields(t *testing.T) {
	good := newLab(t).fields
	for key, bad := range map[string]string{
		"app_id": "abc", "app_secret": "", "category": "CHAT", "importance": "HIGH", "click_intent": "https://example.com", "badge_class": "x y",
	} {
		f := map[string]string{}
		for k, v := range good {
			f[k] = v
		}
		f[key] = bad
		var fe *push.FieldError
		if _, err := huawei.Spec().Inspect(f, "", time.Now()); !errors.As(err, &fe) || fe.Field != key {
			t.Errorf("%s = %q: %v", key, bad, err)
		}
	}
}
