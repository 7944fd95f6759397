package oppo_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/oppo"
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

// TestCodes has the simulator give every code of the documents in turn, to one
// message and to a batch.
func TestCodes(t *testing.T) {
	// 23:30 in Shanghai: the daily quota starts anew in half an hour.
	now := func() time.Time { return time.Date(2026, 3, 1, 15, 30, 0, 0, time.UTC) }
	l := newLab(t, func(c *sandbox.Config) { c.Now = now })
	o := l.Options()
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
			l.Say(code, 0)
			s := l.OpenWith(o)
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
	l := newLab(t)
	s := l.Open()
	for try := range 2 {
		r := s.Send(context.Background(), hello(), targets(1))[0]
		if want := []string{"", "32"}[try]; r.Outcome != push.Accepted || r.Code != want {
			t.Errorf("try %d: %+v", try, r)
		}
	}
	l.Say("32", 0)
	tg := target(0)
	tg.ID = ""
	if r := s.Send(context.Background(), hello(), []push.Target{tg})[0]; r.Outcome != push.BadMessage || r.Code != "32" {
		t.Errorf("no id: %+v", r)
	}
}

// TestOneFetchForAll: a hundred sends find their access token revoked.
func TestOneFetchForAll(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	if r := s.Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	l.Sim.Revoke()
	before := l.Sim.Fetches()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if r := s.Send(context.Background(), hello(), []push.Target{target(i + 1)})[0]; r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if n := l.Sim.Fetches() - before; n != 1 {
		t.Errorf("%d tokens were fetched, want 1", n)
	}
}

// TestTokenEndsInTime: a token is replaced before its day is over.
func TestTokenEndsInTime(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	l := newLab(t, func(c *sandbox.Config) { c.Now = clock })
	o := l.Options()
	o.Now = clock
	s := l.OpenWith(o)
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
		if n := l.Sim.Fetches(); n != step.fetches {
			t.Errorf("step %d: %d fetches, want %d", i, n, step.fetches)
		}
	}
}

func TestBatchKeepsOrder(t *testing.T) {
	l := newLab(t)
	s := l.Open()
	ts := targets(2500)
	for i := range ts {
		n := i % 120
		ts[i].Badge = &n
		if i%7 == 3 {
			l.Kill(ts[i].Token, "10000")
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
	if n := l.Sim.Requests(); n < 3 || n > 8 {
		t.Errorf("%d requests", n)
	}
	if n := l.Inbox.Total(); n != 2499 {
		t.Errorf("%d messages", n)
	}
}

// noon is the clock of strangers: twelve hours before midnight in Shanghai.
func noon() time.Time { return time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC) }

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
		Now: noon, Endpoint: srv.URL, RootCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
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
		{200, `{"code":33}`, push.Throttled, "33", 12 * time.Hour}, // not before the day's end
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

func TestWrongKeys(t *testing.T) {
	l := newLab(t)
	good := l.Fields
	for name, c := range map[string]struct{ field, value, code string }{
		"app key": {"app_key", "ffffffffffffffff", "14"}, "master secret": {"master_secret", "ffffffffffffffff", "16"},
		"category": {"category", "ORDER", "67"},
	} {
		l.Fields = map[string]string{c.field: c.value}
		for k, v := range good {
			if k != c.field {
				l.Fields[k] = v
			}
		}
		r := l.Open().Check(context.Background())
		if r.Outcome != push.BadCredential || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
		pushtest.AssertNoSecret(t, []string{masterSecret, appSecret, c.value}, r)
	}
	l.Fields = good
	o := l.Options()
	o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	if r := l.OpenWith(o).Check(context.Background()); r.Outcome != push.BadCredential || r.Code != "19" {
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
	l := newLab(t)
	l.Fields["category"] = "none"
	if r := l.Open().Send(context.Background(), hello(), targets(1))[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	if got := lab.Last[map[string]any](l); got["category"] != nil || got["notify_level"] != nil || got["channel_id"] != "im_high" {
		t.Errorf("%v", got)
	}
}

// What OPPO says about a code that no table explains is quoted, unless it repeats what
// was sent; about others only the table speaks.
func TestUnknownCodeQuotes(t *testing.T) {
	said := ""
	s := stranger(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, said) })
	m := push.Message{Kind: push.Alert, Title: "salary list", Body: "see the attachment"}
	for body, want := range map[string]string{
		`{"code":20099,"message":"Category frozen"}`:                 "Category frozen",
		`{"code":20099,"message":"salary list not allowed"}`:         "",
		`{"code":20099,"message":"no such ` + target(1).Token + `"}`: "",
		`{"code":41,"message":"Category frozen"}`:                    "",
	} {
		said = body
		if r := s.Send(context.Background(), m, targets(1)[:1])[0]; push.SaidIn(r.Text) != want {
			t.Errorf("%s: %q", body, r.Text)
		}
	}
	said = `{"code":20099,"message":"Category frozen"}`
	if r := s.Check(context.Background()); r.Code != "20099" || push.SaidIn(r.Text) != "Category frozen" {
		t.Errorf("check: %+v", r)
	}
}

// TestOtherRegion: phones of the other region's service fail in words and keep their
// tokens; nobody is asked about them.
func TestOtherRegion(t *testing.T) {
	l := newLab(t)
	china, abroad := []string{"b6bbd94b59cd", "CN_b6bbd94b59cd", "OPPO_CN_b6bbd94b59cd"}, []string{"US_b6bbd94b59cd", "OPPO_IN_b6bbd94b59cd", "CN_OPPO_b6bbd94b59cd"}
	var all []push.Target
	for _, token := range append(china, abroad...) {
		all = append(all, push.Target{Token: token})
	}
	for region, here := range map[string][]string{"": china, "cn": china, "intl": abroad} {
		l.Fields["region"] = region
		s := l.Open()
		for i, r := range s.Send(context.Background(), hello(), all) {
			served := slices.Contains(here, all[i].Token)
			refused := r.Outcome == push.BadTarget && r.Code == push.CodeOtherRegion && r.KeepToken
			if served == refused || served && r.Outcome != push.Accepted {
				t.Errorf("region %q, %s: %+v", region, all[i].Token, r)
			}
		}
		if r := s.Check(context.Background()); r.Outcome != push.Accepted {
			t.Errorf("region %q: %+v", region, r)
		}
	}
	if n := len(l.Inbox.List()); n != 3*(len(china)+1) {
		t.Errorf("%d messages arrived", n)
	}
}
