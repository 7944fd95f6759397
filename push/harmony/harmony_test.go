package harmony_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/harmony"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
)

// TestCodes: every code of the table comes from the simulator and leads where the
// table says; for a reason, as the only token's.
func TestCodes(t *testing.T) {
	l := newLab(t)
	for code, info := range harmony.Spec().Codes {
		if code == "80000000" || code == "80100000" || code == "80300007" {
			continue // their tokens have reasons: TestPartialFailures
		}
		l.Say(code, 0)
		r := l.Open().Send(context.Background(), hello(), targets(1))[0]
		if r.Outcome != info.Outcome || r.Code != code || r.Text == "" {
			t.Errorf("code %s: %+v, want %v", code, r, info.Outcome)
		}
	}
}

// TestPartialFailures: results keep the targets' order over several requests, each
// with its own reason.
func TestPartialFailures(t *testing.T) {
	l := newLab(t)
	ts := targets(2300)
	reasons := []string{"", "tokenFormatError", "", "noPushTypeRight", "countryNotSupport", "", "noRight"}
	for i := range ts {
		if reason := reasons[i%7]; reason != "" {
			l.Kill(ts[i].Token, reason)
		}
		if i%2 == 1 {
			n := i % 3
			ts[i].Badge = &n
		}
	}
	rs := l.Open().Send(context.Background(), hello(), ts)
	codes := harmony.Spec().Codes
	for i, r := range rs {
		reason := reasons[i%7]
		want := push.Accepted
		if reason != "" {
			want = codes[reason].Outcome
		}
		if r.Outcome != want || r.Code != reason || r.KeepToken != (reason == "countryNotSupport") {
			t.Fatalf("target %d (%s): %+v", i, reason, r)
		}
	}
	if n := l.Sim.Requests(); n != 5 { // 1150 without a badge, three badges
		t.Errorf("%d requests, want 5", n)
	}
}

// TestForeignToken: a token of another project is kept as long as the project may be
// the wrong one.
func TestForeignToken(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	l.Kill(target(1).Token, "noRight")
	l.Kill(target(3).Token, "80300002")
	one := func(n int) push.Result { return s.Send(context.Background(), hello(), []push.Target{target(n)})[0] }
	if r := one(1); r.Outcome != push.BadTarget || !r.KeepToken {
		t.Errorf("before: %+v", r)
	}
	one(2)
	if r := one(1); r.Outcome != push.BadTarget || r.KeepToken {
		t.Errorf("after: %+v", r)
	}

	// A complaint about permissions alone costs one test message to nobody; TestCodes
	// has the one that is about the credential.
	s = l.Open()
	for i := range 2 {
		before := l.Sim.Requests()
		if r := one(3); r.Outcome != push.BadTarget || !r.KeepToken || l.Sim.Requests()-before != 2-i {
			t.Errorf("%+v after %d requests", r, l.Sim.Requests()-before)
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
	pushtest.Nameless(t, pushtest.Harness{Spec: harmony.Spec(), Fields: l.Fields, Options: l.Options(), Target: target},
		`{"code":"80100000","msg":"{}","requestId":"1"}`, `{"code":"80000000","msg":"Success","requestId":"1"}`)
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) add(d time.Duration) { c.mu.Lock(); c.at = c.at.Add(d); c.mu.Unlock() }

// TestTokenIsSignedAnew: a token that Huawei calls expired is replaced, once for a
// hundred sends, and a clock that is wrong altogether is the credential's fault.
func TestTokenIsSignedAnew(t *testing.T) {
	ours, theirs := &clock{at: time.Now()}, &clock{at: time.Now()}
	l := newLabAt(t, theirs.now)
	o := l.Options()
	o.Now = ours.now
	s, err := harmony.Open(context.Background(), l.Fields, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	send := func(n int) push.Result {
		return s.Send(context.Background(), hello(), []push.Target{target(n)})[0]
	}
	send(0)
	ours.add(40 * time.Minute)
	theirs.add(70 * time.Minute)
	before := l.Sim.Requests()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if r := send(i); r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if n := l.Sim.Requests() - before; n <= 100 || n > 200 {
		t.Errorf("%d requests for 100 sends", n)
	}
	before = l.Sim.Requests()
	if send(0); l.Sim.Requests() != before+1 {
		t.Error("the new token was not kept")
	}
	theirs.add(2 * time.Hour)
	if r := send(0); r.Outcome != push.BadCredential || r.Code != "80200005" {
		t.Errorf("%+v", r)
	}
	theirs.add(-48 * time.Hour)
	if r := send(0); r.Outcome != push.BadCredential || r.Code != "80300036" {
		t.Errorf("%+v", r)
	}
}

func TestWrongKey(t *testing.T) {
	l := newLab(t)
	f := map[string]string{"service_account": serviceAccount(t, l.Account.ID, signingKey(t))}
	s, err := harmony.Open(context.Background(), f, l.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "80200001" {
		t.Errorf("%+v", r)
	}
}

func TestFiles(t *testing.T) {
	good := newLab(t).Fields["service_account"]
	for name, c := range map[string]struct{ file, code string }{
		"nothing":     {"", push.FieldMissing},
		"no json":     {"-----BEGIN PRIVATE KEY-----", push.FieldInvalid},
		"no key":      {`{"project_id":"1","key_id":"2","sub_account":"3"}`, push.FieldNoPrivateKey},
		"broken key":  {`{"project_id":"1","key_id":"2","sub_account":"3","private_key":"x"}`, push.FieldNoPrivateKey},
		"odd project": {strings.Replace(good, "388421841222", "../v1/1", 1), push.FieldInvalid},
		"no account":  {strings.Replace(good, "110123456", "", 1), push.FieldInvalid},
		"large":       {good + strings.Repeat(" ", 40<<10), push.FieldTooLarge},
	} {
		_, err := harmony.Spec().Inspect(map[string]string{"service_account": c.file}, "", time.Now())
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Code != c.code || fe.Field != "service_account" {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestPayload(t *testing.T) {
	l := newLab(t)
	n := 500
	m := push.Message{
		Kind: push.Alert, Title: "题", Subtitle: "群", Body: "文", Sound: "bell.mp3", CollapseKey: "k", Badge: &n,
		ExpiresAt: time.Now().Add(time.Hour), Data: map[string]any{"conv": "a&b", "n": 1},
	}
	got := l.Sent(m, target(1))
	for path, v := range map[string]any{
		"notification.title": "题", "notification.body": "群\n文", "notification.category": "IM", "notification.sound": "bell.mp3",
		"notification.notifyId": float64(push.NotifyID("k")), "notification.appMessageId": target(1).ID, "notification.badge.setNum": 99.0,
		"notification.clickAction.actionType": 0.0, "notification.clickAction.data.conv": "a&b", "notification.clickAction.data.n": 1.0,
	} {
		if lab.At(got, path) != v {
			t.Errorf("%s = %v, want %v", path, lab.At(got, path), v)
		}
	}
	l.Fields["click_action"], l.Fields["category"] = "im.hongyan.chat", "MARKETING"
	m.CollapseKey = ""
	got = l.Sent(m, target(2))
	if lab.At(got, "notification.clickAction.actionType") != 1.0 || lab.At(got, "notification.clickAction.action") != "im.hongyan.chat" ||
		lab.At(got, "notification.category") != "MARKETING" || lab.At(got, "notification.notifyId") != float64(push.NotifyID(target(2).ID)) {
		t.Errorf("%v", got)
	}
	if got = l.Sent(push.Message{Kind: push.Silent, Data: map[string]any{"a": 1}}, target(3)); lab.At(got, "extraData") != `{"a":1}` || lab.At(got, "notification") != nil {
		t.Errorf("silent %v", got)
	}
	m.Body = strings.Repeat("长", 5000)
	body, _ := lab.At(l.Sent(m, target(4)), "notification.body").(string)
	if !strings.HasSuffix(body, "长…") || len(body) < 3000 {
		t.Errorf("%d bytes of the body", len(body))
	}
	if r := l.Open().Send(context.Background(), push.Message{Kind: push.Badge, Badge: &n}, targets(1))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
		t.Errorf("badge alone: %+v", r)
	}
}
