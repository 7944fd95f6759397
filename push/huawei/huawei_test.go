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
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
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
		l.Say(code, 0)
		r := l.Open().Send(context.Background(), hello(), targets(1))[0]
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
			l.Kill(ts[i].Token, "80300007")
		}
		if i%2 == 1 {
			n := i % 3
			ts[i].Badge = &n
		}
	}
	rs := l.Open().Send(context.Background(), hello(), ts)
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
	if n := l.Sim.Requests(); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	for _, got := range l.Inbox.List() {
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
	s := l.Open()
	l.Say("80300011", 0)
	for range 3 {
		if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
			t.Fatalf("%+v", r)
		}
	}
	if n := l.Sim.Requests(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// TestForeignToken: a complaint about permissions is about the token if others can be
// sent to, which one dry run finds out; such a token is kept. TestCodes has the
// complaint that is about the credential.
func TestForeignToken(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	l.Kill(target(1).Token, "80300002")
	for i := range 2 {
		if r := s.Send(context.Background(), hello(), []push.Target{target(1)})[0]; r.Outcome != push.BadTarget || !r.KeepToken {
			t.Errorf("%+v", r)
		}
		if n := l.Sim.Requests(); n != 2+i {
			t.Errorf("%d requests", n)
		}
	}
}

// TestForeignTokensInABatch: they fail alone.
func TestForeignTokensInABatch(t *testing.T) {
	l := newLab(t)
	foreign := map[int]bool{0: true, 17: true, 18: true, 999: true}
	for i := range foreign {
		l.Kill(target(i).Token, "80300002")
	}
	pushtest.Foreign(t, l.Open(), targets(1000), foreign, l.Sim.Requests)
}

// TestNamelessPartialFailure: an answer that some failed and does not say which is asked
// for each until it does, and a token that alone fails so is tried again later.
func TestNamelessPartialFailure(t *testing.T) {
	l := newLab(t)
	pushtest.Nameless(t, pushtest.Harness{Spec: huawei.Spec(), Fields: l.Fields, Options: l.Options(), Target: target},
		`{"code":"80100000","msg":"{}","requestId":"1"}`, `{"code":"80000000","msg":"Success","requestId":"1"}`)
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

func TestExpiredTokenIsReplaced(t *testing.T) {
	var mu sync.Mutex
	at := time.Now()
	l := newLabAt(t, func() time.Time { mu.Lock(); defer mu.Unlock(); return at })
	s := l.Open() // its own clock stands still at the token's beginning
	s.Send(context.Background(), hello(), targets(1))
	mu.Lock()
	at = at.Add(2 * time.Hour)
	mu.Unlock()
	if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted || l.Sim.Fetches() != 2 {
		t.Errorf("%+v after %d fetches", r, l.Sim.Fetches())
	}
}

func TestWrongSecret(t *testing.T) {
	l := newLab(t)
	f := map[string]string{"app_id": l.Fields["app_id"], "app_secret": "another-secret"}
	s, err := huawei.Open(context.Background(), f, l.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "oauth_1101" {
		t.Errorf("%+v", r)
	}
	if l.Sim.Requests() != 0 {
		t.Error("sent without a token")
	}
}

func TestCheckReachesNobody(t *testing.T) {
	l := newLab(t)
	if r := l.Open().Check(context.Background()); r.Outcome != push.Accepted {
		t.Errorf("%+v", r)
	}
	if l.Sim.Requests() != 1 || l.Inbox.Total() != 0 {
		t.Errorf("%d requests, %d pushes", l.Sim.Requests(), l.Inbox.Total())
	}
}

func TestPayload(t *testing.T) {
	l := newLab(t)
	l.Fields["channel_id"], l.Fields["receipt_id"] = "im", "RCP1"
	m := push.Message{
		Kind: push.Alert, Title: strings.Repeat("题", 60), Subtitle: "群", Body: strings.Repeat("文", 200), Sound: "bell.caf", ThreadID: "c1",
		CollapseKey: "k", ExpiresAt: time.Now().Add(90 * time.Second), Data: map[string]any{"conv": "a&b"},
	}
	got := l.Sent(m, target(1))
	want := map[string]any{
		"notification.title": strings.Repeat("题", 39) + "…", "notification.body": "群\n" + strings.Repeat("文", 77) + "…",
		"data": `{"conv":"a&b"}`, "android.urgency": "NORMAL", "android.category": "IM", "android.bi_tag": target(1).Ref, "android.receipt_id": "RCP1",
		"android.notification.click_action.type": 3.0, "android.notification.channel_id": "im", "android.notification.importance": "NORMAL",
		"android.notification.sound": "/raw/bell", "android.notification.group": "c1", "android.notification.notify_id": float64(push.NotifyID("k")),
	}
	own := m
	own.ChannelIDs = map[push.Channel]string{push.Huawei: "calls"}
	if got := lab.At(l.Sent(own, target(1)), "android.notification.channel_id"); got != "calls" {
		t.Errorf("the message's channel: %v", got)
	}
	for path, v := range want {
		if lab.At(got, path) != v {
			t.Errorf("%s = %v, want %v", path, lab.At(got, path), v)
		}
	}
	if ttl := lab.At(got, "android.ttl"); ttl != "90s" && ttl != "89s" {
		t.Errorf("ttl %v", ttl)
	}

	// Without a key the id makes a repeat replace itself, and an operator's intent
	// carries the data.
	l.Fields["click_intent"] = "intent://im.example/chat#Intent;scheme=demo;end"
	m.CollapseKey, m.ExpiresAt, m.Title = "", time.Time{}, ""
	m.Data = map[string]any{"conv": "a b&c", "n": 1}
	got = l.Sent(m, target(2))
	if lab.At(got, "android.notification.notify_id") != float64(push.NotifyID(target(2).ID)) || lab.At(got, "android.ttl") != nil || lab.At(got, "data") != nil {
		t.Errorf("%v", got)
	}
	if v := lab.At(got, "android.notification.click_action.intent"); v != "intent://im.example/chat#Intent;scheme=demo;S.conv=a%20b%26c;S.n=1;end" {
		t.Errorf("intent %v", v)
	}

	got = l.Sent(push.Message{Kind: push.Silent, Data: map[string]any{"a": 1}}, target(3))
	if lab.At(got, "data") != `{"a":1}` || lab.At(got, "android.notification") != nil || lab.At(got, "notification") != nil {
		t.Errorf("silent %v", got)
	}
	n := 3
	if r := l.Open().Send(context.Background(), push.Message{Kind: push.Badge, Badge: &n}, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
		t.Errorf("badge alone: %+v", r)
	}
}

// TestBodyIsCutToFit: data that leaves little room shortens the body, never a rune.
func TestBodyIsCutToFit(t *testing.T) {
	l := newLab(t)
	m := hello()
	m.Body = strings.Repeat("长", 80)
	m.Data = map[string]any{"x": strings.Repeat("x", 3700)}
	got := l.Sent(m, target(1))
	body, _ := lab.At(got, "notification.body").(string)
	if !strings.HasSuffix(body, "长…") || len(body) >= len(m.Body) {
		t.Errorf("body %q", body)
	}
}

func TestFields(t *testing.T) {
	good := newLab(t).Fields
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

// TestClassOfMessage: what a message says of itself comes before the credential's.
func TestClassOfMessage(t *testing.T) {
	l := newLab(t)
	category, importance := "android.category", "android.notification.importance"
	l.Classes(t, hello(), target(1),
		lab.Class{Got: map[string]any{category: "IM", importance: "NORMAL"}},
		lab.Class{Own: map[string]string{"category": "MARKETING", "importance": "LOW"}, Got: map[string]any{category: "MARKETING", importance: "LOW"}},
		lab.Class{Own: map[string]string{"importance": "LOW"}, Got: map[string]any{category: "IM", importance: "LOW"}},
		lab.Class{Own: map[string]string{"category": "", "importance": ""}, Got: map[string]any{category: "IM", importance: "NORMAL"}},
		lab.Class{Own: map[string]string{"category": "CHAT"}, Refused: "category"},
		lab.Class{Own: map[string]string{"importance": "HIGH"}, Refused: "importance"},
		lab.Class{Own: map[string]string{"badge_class": "a.B"}, Refused: "badge_class"},
	)
}
