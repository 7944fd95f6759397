package vivo_test

import (
	"context"
	"encoding/json"
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
	"hongyan/push/pushtest"
	"hongyan/push/pushtest/lab"
	"hongyan/push/vivo"
	"hongyan/sandbox"
)

// noon is the clock of tests about the day's end: twelve hours before midnight in
// Shanghai.
func noon() time.Time { return time.Date(2026, 3, 4, 4, 0, 0, 0, time.UTC) }

// TestCodes: every row of the table, answered by the simulator to one target and to a
// batch.
func TestCodes(t *testing.T) {
	t.Parallel()
	midnight := map[string]bool{"10070": true, "10254": true}
	for code, info := range vivo.Spec().Codes {
		if code == "10252" {
			continue // ends well, see TestBatchesUsedUp
		}
		l := newLab(t, func(c *sandbox.Config) { c.Now = noon })
		s := l.OpenBut(func(o *push.Options) { o.Now = noon })
		if code != "10200" && code != "10201" { // of the token service alone
			s.Send(context.Background(), alert(), targets(1)) // fetches the token
		}
		l.Say(code, 0)
		for _, n := range []int{1, 3} {
			for i, r := range s.Send(context.Background(), alert(), targets(n)) {
				want := code
				switch {
				case code == "10302" && n > 1, code == "user_1" && n > 1:
					want = "user_1"
				case code == "user_1":
					want = "10302" // what vivo says of a single one
				}
				if r.Outcome != info.Outcome || r.Code != want || r.Text == "" {
					t.Errorf("code %s, %d targets, %d: %+v, want %v", code, n, i, r, info.Outcome)
				}
				if midnight[code] != (r.RetryAfter == 12*time.Hour) {
					t.Errorf("code %s: waits %v", code, r.RetryAfter)
				}
				if keep := code == "user_3" || code == "user_4"; r.KeepToken != keep {
					t.Errorf("code %s: keeps the token: %v", code, r.KeepToken)
				}
			}
		}
	}
}

// An unknown code refuses the message and shows what vivo says.
func TestUnknownCode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Say("10099", 0)
	r := l.Open().Send(context.Background(), alert(), targets(1))[0]
	if r.Outcome != push.BadMessage || r.Code != "10099" || !strings.Contains(r.Text, "refused by the settings") {
		t.Errorf("%+v", r)
	}
}

// TestBatchesUsedUp: 10252 turns batches into single pushes until midnight, and vivo
// is not asked for a batch again before that.
func TestBatchesUsedUp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := noon()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	l := newLab(t, func(c *sandbox.Config) { c.Now = clock })
	s := l.OpenBut(func(o *push.Options) { o.Now = clock })
	l.Say("10252", 0)
	var told time.Duration
	m := alert()
	send := func() int {
		t.Helper()
		before := l.Sim.Requests()
		told = 0
		for _, r := range s.Send(context.Background(), m, targets(5)) {
			if r.Outcome != push.Accepted || r.VendorID == "" {
				t.Errorf("%+v", r)
			}
			told += r.SinglyFor
		}
		return l.Sim.Requests() - before
	}
	if n := send(); n != 1+5 || told != 12*time.Hour {
		t.Errorf("%d requests, want one refused batch and five pushes; %v told", n, told)
	}
	l.Say("", 0)
	if n := send(); n != 5 {
		t.Errorf("%d requests later that day, want five pushes", n)
	}
	mu.Lock()
	now = now.Add(12*time.Hour + time.Minute)
	mu.Unlock()
	if n := send(); n != 2 {
		t.Errorf("%d requests the next day, want a batch's two", n)
	}
	m.Singly = true // another process was told
	if n := send(); n != 5 || told != 0 {
		t.Errorf("%d requests, want five pushes; %v told", n, told)
	}
}

// TestDayUsedUp: once the day's total is used up, the targets left over are not tried.
func TestDayUsedUp(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	l.Say("10252", 0)
	s.Send(context.Background(), alert(), targets(2)) // from now on single pushes
	l.Say("10070", 0)
	before := l.Sim.Requests()
	for i, r := range s.Send(context.Background(), alert(), targets(500)) {
		if r.Outcome != push.Throttled || r.Code != "10070" || r.RetryAfter < time.Minute {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if n := l.Sim.Requests() - before; n > 16 {
		t.Errorf("%d requests after the quota's end", n)
	}
}

// TestOrder: partial failures over several requests end at their targets.
func TestOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ts := targets(2300)
	codes := map[int]string{0: "user_1", 999: "user_2", 1000: "user_3", 1999: "10302", 2000: "user_4", 2299: "user_1"}
	for i, code := range codes {
		l.Kill(ts[i].Token, code)
	}
	ts[7].Token, ts[2298].Token = "x", "a token"
	rs := l.Open().Send(context.Background(), alert(), ts)
	for i, r := range rs {
		want, code := push.Accepted, ""
		switch {
		case i == 7 || i == 2298:
			want, code = push.BadTarget, push.CodeBadToken
		case codes[i] == "10302":
			want, code = push.BadTarget, "user_1"
		case codes[i] != "":
			want, code = push.BadTarget, codes[i]
		}
		if r.Outcome != want || r.Code != code {
			t.Errorf("target %d: %+v, want %v %s", i, r, want, code)
		}
	}
	if n := l.Sim.Requests(); n != 6 {
		t.Errorf("%d requests, want three batches of two", n)
	}
	if n := len(l.Inbox.List()); n != 2298 {
		t.Errorf("%d pushes recorded", n)
	}
}

// TestTokenRefresh: a hundred sends that meet a token vivo no longer knows fetch one.
func TestTokenRefresh(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	s.Send(context.Background(), alert(), targets(1))
	l.Sim.Revoke()
	before := l.Sim.Fetches()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if r := s.Send(context.Background(), alert(), []push.Target{target(i)})[0]; r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if n := l.Sim.Fetches() - before; n != 1 {
		t.Errorf("%d tokens fetched", n)
	}
}

// TestAuthRefused: a refusal that a new token does not cure costs one resend.
func TestAuthRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.Open()
	s.Send(context.Background(), alert(), targets(1))
	l.Say("10000", 0)
	before := l.Sim.Requests()
	r := s.Send(context.Background(), alert(), targets(1))[0]
	if r.Outcome != push.BadCredential || r.Code != "10000" {
		t.Errorf("%+v", r)
	}
	if n := l.Sim.Requests() - before; n > 2 {
		t.Errorf("%d requests", n)
	}
}

// TestCheck: wrong keys and a wrong clock are told from a fault at vivo.
func TestCheck(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, change := range map[string]func(*push.Options){
		"secret": func(*push.Options) { l.Fields["app_secret"] = "another-secret-of-nobody" },
		"clock":  func(o *push.Options) { o.Now = func() time.Time { return time.Now().Add(11 * time.Minute) } },
		"app id": func(*push.Options) { l.Fields["app_id"] = "105613228" },
	} {
		l.Fields = map[string]string{"app_id": "105613227", "app_key": l.Fields["app_key"], "app_secret": secretOfLab}
		r := l.OpenBut(change).Check(context.Background())
		if r.Outcome != push.BadCredential || r.Code != "10000" {
			t.Errorf("%s: %+v", name, r)
		}
		pushtest.AssertNoSecret(t, []string{secretOfLab, "another-secret-of-nobody"}, r)
	}
	l.Fields = map[string]string{"app_id": "105613227", "app_key": l.Fields["app_key"], "app_secret": secretOfLab}
	l.Say("500", 0)
	if r := l.Open().Check(context.Background()); r.Outcome != push.Retry {
		t.Errorf("%+v", r)
	}
	if n := l.Inbox.Total(); n != 0 {
		t.Errorf("a check sent %d pushes", n)
	}
}

// TestClass: a category must be one of the classification's.
func TestClass(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Fields["classification"], l.Fields["category"] = "0", "IM"
	_, err := vivo.Spec().Inspect(l.Fields, "", time.Now())
	var fe *push.FieldError
	if !errors.As(err, &fe) || fe.Field != "category" {
		t.Errorf("%v", err)
	}
	for category, want := range map[string]string{"SOCIAL": "SOCIAL", "": ""} {
		l.Fields["category"] = category
		if r := l.Open().Send(context.Background(), alert(), targets(1))[0]; r.Outcome != push.Accepted {
			t.Errorf("%+v", r)
		}
		if got := lab.Last[map[string]any](l)["category"]; got != want && (want != "" || got != nil) {
			t.Errorf("category %v, want %q", got, want)
		}
	}
}

// TestOneBadForAll: a batch refused because of a regId that vivo does not name is sent
// one by one, since one bad regId must not retire a thousand.
func TestOneBadForAll(t *testing.T) {
	t.Parallel()
	bad := target(1).Token
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		out := map[string]any{"result": 0, "authToken": "token-of-vivo", "taskId": 7}
		if strings.Contains(string(body), bad) {
			out = map[string]any{"result": 10302, "desc": "regId不合法"}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	defer server.Close()
	l := newLab(t)
	s := l.OpenBut(func(o *push.Options) {
		o.Endpoint, o.RootCAs = server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	})
	rs := s.Send(context.Background(), alert(), targets(3))
	if rs[0].Outcome != push.Accepted || rs[0].VendorID != "7" || rs[1].Outcome != push.BadTarget || rs[1].Code != "10302" || rs[2].Outcome != push.Accepted {
		t.Errorf("%+v", rs)
	}
}
