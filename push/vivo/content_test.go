package vivo_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/pushtest/lab"
)

// width counts as vivo's document does.
func width(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x2e80 && r <= 0xffdc {
			n++
		}
	}
	return n
}

// TestContent: what a full message looks like at vivo, alone and in a batch.
func TestContent(t *testing.T) {
	t.Parallel()
	l := newLab(t, withNoon)
	s := l.OpenBut(func(o *push.Options) { o.Now = noon })
	five := 5
	m := alert()
	m.Badge, m.CollapseKey, m.ExpiresAt, m.ReceiptURL = &five, "c1", noon().Add(2*time.Hour), "https://push.example.com/r/abc"
	m.Data = map[string]any{"conversation": "c1", "n": 3, "who": []string{"a"}}
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted || r.VendorID == "" {
		t.Fatalf("%+v", r)
	}
	got := lab.Last[map[string]any](l)
	want := map[string]any{
		"regId": target(0).Token, "requestId": target(0).ID, "title": "李雷", "content": "晚上一起吃饭吗？", "notifyType": 4.0,
		"timeToLive": 7200.0, "skipType": 1.0, "networkType": -1.0, "classification": 1.0, "category": "IM", "addBadge": true,
		"appId": 105613227.0, "notifyId": float64(push.NotifyID("c1")),
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %v, want %v", k, got[k], v)
		}
	}
	if c, _ := got["clientCustomMap"].(map[string]any); !maps.Equal(c, map[string]any{"conversation": "c1", "n": "3", "who": `["a"]`}) {
		t.Errorf("custom data %v", c)
	}
	if e, _ := got["extra"].(map[string]any); e["callback"] != m.ReceiptURL || e["callback.param"] != "ref0" {
		t.Errorf("extra %v", e)
	}
	m.Sound = ""
	s.Send(context.Background(), m, targets(2))
	got = lab.Last[map[string]any](l)
	if got["extra"] != nil || got["regId"] != nil || got["notifyType"] != 1.0 || got["requestId"] == "" {
		t.Errorf("batch: %v", got)
	}
}

// TestText: texts are cut to what vivo takes and never inside a rune.
func TestText(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	for _, text := range []string{
		strings.Repeat("长", 500), strings.Repeat("long ", 200), strings.Repeat("a长", 300), strings.Repeat("👩‍👩‍👧", 90), strings.Repeat("a\xff", 300),
	} {
		m := alert()
		m.Title, m.Body = text, text
		if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
			t.Errorf("%.10q: %+v", text, r)
			continue
		}
		for key, most := range map[string]int{"title": 40, "content": 100} {
			v, _ := lab.Last[map[string]any](l)[key].(string)
			if width(v) > most || width(v) < most/4 || !utf8.ValidString(v) || !strings.HasSuffix(v, "…") {
				t.Errorf("%s of %.10q: %q, %d wide", key, text, v, width(v))
			}
		}
	}
	m := alert()
	m.Title, m.Body = strings.Repeat("长", 20), strings.Repeat("x", 100)
	s.Send(context.Background(), m, targets(1))
	if got := lab.Last[map[string]any](l); got["title"] != m.Title || got["content"] != m.Body {
		t.Errorf("what fits was changed: %v", got)
	}
	m.Title = " "
	s.Send(context.Background(), m, targets(1))
	if got := lab.Last[map[string]any](l); got["title"] == "" || got["content"] != m.Body {
		t.Errorf("without a title: %v", got)
	}
}

// TestNotExpressible: what vivo cannot do is refused here, and said.
func TestNotExpressible(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	one := 1
	for name, c := range map[string]struct {
		m    push.Message
		code string
	}{
		"silent":    {push.Message{Kind: push.Silent}, push.CodeBadContent},
		"badge":     {push.Message{Kind: push.Badge, Badge: &one}, push.CodeBadContent},
		"no text":   {push.Message{Kind: push.Alert}, push.CodeBadContent},
		"long data": {push.Message{Kind: push.Alert, Title: "x", Data: map[string]any{"k": strings.Repeat("长", 1024)}}, push.CodeTooLarge},
	} {
		if r := s.Send(context.Background(), c.m, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := l.Sim.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
	m := alert()
	m.Data = map[string]any{"k": strings.Repeat("长", 1023)}
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
		t.Errorf("data that just fits: %+v", r)
	}
	m = alert()
	m.Subtitle, m.Data = "群", map[string]any{"hy_mid": "the id of the message"}
	for _, k := range strings.Split("abcdefghijk", "") {
		m.Data[k] = 1
	}
	if r := s.Send(context.Background(), m, targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("12 pairs: %+v", r)
	}
	got := lab.Last[map[string]any](l)
	custom, _ := got["clientCustomMap"].(map[string]any)
	if len(custom) != 10 || custom["hy_mid"] != m.Data["hy_mid"] || custom["hy_more"] != `{"i":1,"j":1,"k":1}` || got["content"] != "群\n"+m.Body {
		t.Errorf("12 pairs: %v", got)
	}
}

// TestBadgeSplits: targets whose badges ask for different requests get them.
func TestBadgeSplits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	zero, three := 0, 3
	m := alert()
	m.Badge = &three
	ts := targets(5)
	ts[1].Badge, ts[3].Badge = &zero, &zero
	for i, r := range l.Open().Send(context.Background(), m, ts) {
		if r.Outcome != push.Accepted {
			t.Errorf("%d: %+v", i, r)
		}
	}
	for _, got := range l.Inbox.List() {
		none := got.Token == ts[1].Token || got.Token == ts[3].Token
		if strings.Contains(string(got.Payload), `"addBadge":true`) == none {
			t.Errorf("%s: %s", got.Token, got.Payload)
		}
	}
	if n := l.Sim.Requests(); n != 4 {
		t.Errorf("%d requests, want two batches", n)
	}
}

// TestStableID: the same targets have the same request id, and a Send without ids one
// of its own.
func TestStableID(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	id := func(ts []push.Target) any {
		s.Send(context.Background(), alert(), ts)
		return lab.Last[map[string]any](l)["requestId"]
	}
	if a, b := id(targets(3)), id(targets(3)); a != b || a == "" {
		t.Errorf("%v then %v", a, b)
	}
	if a, b := id(targets(3)), id(targets(2)); a == b {
		t.Errorf("other targets, the same id %v", a)
	}
	bare := []push.Target{{Token: target(0).Token}}
	if a, b := id(bare), id(bare); a == b || a == "" || a == nil {
		t.Errorf("%v then %v", a, b)
	}
}

// TestClassOfMessage: what a message says of itself comes before the credential's, and
// where it says half, the other half fits.
func TestClassOfMessage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Fields["category"] = "ORDER"
	got := func(classification float64, category any) map[string]any {
		return map[string]any{"classification": classification, "category": category}
	}
	l.Classes(t, alert(), target(1),
		lab.Class{Got: got(1, "ORDER")},
		lab.Class{Own: map[string]string{"classification": "0", "category": "MARKETING"}, Got: got(0, "MARKETING")},
		lab.Class{Own: map[string]string{"classification": "0"}, Got: got(0, nil)},
		lab.Class{Own: map[string]string{"classification": "1"}, Got: got(1, "ORDER")},
		lab.Class{Own: map[string]string{"category": "MARKETING"}, Got: got(0, "MARKETING")},
		lab.Class{Own: map[string]string{"category": "IM"}, Got: got(1, "IM")},
		lab.Class{Own: map[string]string{"classification": "1", "category": "MARKETING"}, Refused: "category"},
		lab.Class{Own: map[string]string{"classification": "2"}, Refused: "classification"},
		lab.Class{Own: map[string]string{"category": "CHAT"}, Refused: "category"},
	)
	l.Fields["category"], l.Fields["classification"] = "NEWS", "0"
	l.Classes(t, alert(), target(1), lab.Class{Own: map[string]string{"classification": "1"}, Got: got(1, "IM")})
}

// TestQuotaOfClass: system messages and those of operations have a day's total each.
func TestQuotaOfClass(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	s.Send(context.Background(), alert(), targets(1)) // with the access token that the others need
	for code, operations := range map[string]bool{"10070": true, "10072": false} {
		l.Say(code, 0)
		for category, only := range map[string]bool{"": false, "ORDER": false, "MARKETING": operations} {
			m := alert()
			m.Classes = map[push.Channel]map[string]string{push.Vivo: {"category": category}}
			for _, r := range s.Send(context.Background(), m, targets(3)) {
				if r.Outcome != push.Throttled || r.Code != code || r.ClassOnly != only {
					t.Errorf("%s %q: %+v", code, category, r)
				}
			}
		}
	}
}
