package main

import (
	"cmp"
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hongyan/internal/race"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/views/locale"
)

// unlisted are answers of the simulators that the vendors' lists of codes do not hold,
// and what each asks of a sender.
func unlisted() map[push.Channel]map[push.Outcome]string {
	return map[push.Channel]map[push.Outcome]string{
		push.APNs: {push.Retry: "UnrelatedKeyIdInToken"}, // of the connection, which another key opened
		// What HTTP itself says, and codes that Huawei's page has and Honor's only shows.
		push.Honor: {
			push.BadMessage: "400 80100001 80100003 80100004", push.BadCredential: "403 404", push.Throttled: "429 503", push.Retry: "500 502 sendResult",
		},
		push.Harmony: {push.BadCredential: "401 404", push.Retry: "500 502"},
		push.Xiaomi:  {push.BadMessage: "65011", push.Throttled: "200002", push.Retry: "20607 26003 65029"},
		// vivo does not publish the numbers of its checks of parameters, nor Meizu all: what
		// nobody documents refuses the request as it is.
		push.Vivo:  {push.BadCredential: "10200 10201", push.BadMessage: "10099"},
		push.Meizu: {push.BadMessage: "999999"},
		push.FCM: {
			push.BadTarget: "INVALID_ARGUMENT:token", push.BadMessage: "INVALID_ARGUMENT:size", push.BadCredential: "NOT_FOUND",
			push.Throttled: "QUOTA_EXCEEDED:device", push.Retry: "BAD_GATEWAY",
		},
		push.WebPush: {
			// 307: a redirect could lead anywhere, so it is not followed.
			push.BadTarget: "key_mismatch 307", push.BadMessage: "400", push.BadCredential: "400:vapid", push.Throttled: "406", push.Retry: "502 504",
		},
	}
}

// untried are documented codes that no simulator gives as the answer to a message, by
// channel, and why.
func untried() map[string]string {
	yes := "the vendor's yes, which every other message gets"
	some := "of requests with several targets, as the channel's own tests send them"
	key := "of Google's token service and not of a message: the channel's own tests have it"
	return map[string]string{
		"apns BadEnvironmentKeyIdInToken": "Apple names it, and answers BadEnvironmentKeyInToken",
		"hw 80000000":                     yes, "harmony 80000000": yes, "honor 200": yes, "xm 0": yes, "oppo 0": yes,
		"hw 80100000": some, "harmony 80100000": some, "xm bad_regids": some,
		"harmony 80300007":  "a single target's fault has a name of its own there, such as tokenFormatError",
		"fcm access_denied": key, "fcm deleted_client": key, "fcm invalid_client": key, "fcm invalid_grant": key,
		"fcm invalid_request": key, "fcm invalid_scope": key, "fcm org_internal": key, "fcm unauthorized_client": key,
	}
}

// recordedAs are the answers that the record has under another code than the name by
// which the simulator is asked for them.
func recordedAs() map[string]string {
	return map[string]string{
		"vivo user_1": "10302", // the status says no more than the code that it comes with
		// One code of Google's for several things, and a page for people that holds none.
		"fcm INVALID_ARGUMENT:size": "INVALID_ARGUMENT", "fcm QUOTA_EXCEEDED:device": "QUOTA_EXCEEDED", "fcm BAD_GATEWAY": push.CodeBadReply,
	}
}

// unexplained are the codes that nobody documents: the page shows them as they came.
func unexplained() []string { return []string{"vivo 10099", "mz 999999", "web 307"} }

// recovered are the codes after which the channel itself finds a way.
func recovered() map[string]bool {
	return map[string]bool{
		"hw 80300011": true, // no right to high urgency: sent again without
		"vivo 10252":  true, // of batches, and this is a single push
	}
}

// wanted is what each code of a channel asks of a sender, by the vendors' pages.
func wanted(t *testing.T, channel push.Channel) map[string]push.Outcome {
	t.Helper()
	out := map[string]push.Outcome{}
	for _, table := range []map[push.Channel]map[push.Outcome]string{pushtest.Documented(), unlisted()} {
		for outcome, list := range table[channel] {
			for code := range strings.FieldsSeq(list) {
				if _, twice := out[code]; twice {
					t.Errorf("%s %s stands in the tables twice", channel, code)
				}
				out[code] = outcome
			}
		}
	}
	return out
}

// unread takes what the simulators tell of their requests, which nobody looks at.
type unread struct{}

// Record implements sandbox.Recorder.
func (unread) Record(context.Context, sandbox.Received) {}

// appsASecond is less than the access tokens that vivo gives an account in one second:
// each app asks for one, and all share the sandbox's account.
const appsASecond = 8

func nextSecond() {
	now := time.Now()
	<-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// Every answer of every vendor's simulator leads, through the real worker, to what the
// vendor's page asks for, and stands in the record and on the message's page with its
// words. A code that is neither tried nor named with a reason fails.
func TestEveryVendorCode(t *testing.T) {
	race.Skip(t)
	t.Parallel()
	l := newChannelsLabOn(t, filepath.Join(t.TempDir(), "test.db"), unread{})
	console := l.pages(t)
	for _, spec := range registry.All() {
		sim := l.vendor(spec.Channel)
		t.Run(string(spec.Channel), func(t *testing.T) {
			a := l.app(t, spec.Channel)
			account, _ := a.device()
			if d, _ := a.send(account); d.State != models.StateAccepted || d.Channel != string(spec.Channel) {
				t.Fatalf("without a fault: %+v", d)
			}
			want, given := wanted(t, spec.Channel), sandbox.Codes(spec.Channel)
			for code := range want {
				if reason := untried()[string(spec.Channel)+" "+code]; slices.Contains(given, code) == (reason != "") {
					t.Errorf("%s: the simulator gives it: %v; why it is not tried: %q", code, reason == "", reason)
				}
			}
			for code := range spec.Codes {
				if _, ok := want[code]; !ok && untried()[string(spec.Channel)+" "+code] == "" {
					t.Errorf("%s is in the channel's table alone", code)
				}
			}
			for i, code := range given {
				outcome, ok := want[code]
				if !ok {
					t.Errorf("%s: nobody says what it asks for", code)
					continue
				}
				// An app for each code: what an earlier one still tries again must not
				// pause or vouch for the keys of this one.
				if spec.Channel == push.Vivo && i%appsASecond == appsASecond-1 {
					nextSecond()
				}
				a := l.app(t, spec.Channel)
				account, _ := a.device()
				a.must(sim.Set(sandbox.Settings{Mix: map[string]float64{code: 100}}))
				d, attempts := a.send(account)
				a.must(sim.Set(sandbox.Settings{}))
				a.judge(code, outcome, d, attempts)
				a.shown(console, code, d, attempts)
			}
		})
	}
}

// judge compares a message's record with what the code asks for.
func (a *channelApp) judge(code string, want push.Outcome, d models.Delivery, attempts []models.Attempt) {
	a.t.Helper()
	if recovered()[string(a.channel)+" "+code] {
		want = push.Accepted
	}
	states := map[push.Outcome][]string{
		push.Accepted: {models.StateAccepted}, push.Retry: {models.StatePending, models.StateAccepted},
		push.Throttled: {models.StatePending}, push.BadTarget: {models.StateFailed},
		push.BadMessage: {models.StateFailed}, push.BadCredential: {models.StatePending},
	}[want]
	if !slices.Contains(states, d.State) {
		a.t.Errorf("%s: %s %s (%s), want %v", code, d.State, d.Reason, d.Code, states)
	}
	if want == push.Accepted {
		return
	}
	if len(attempts) == 0 || attempts[0].Outcome != want.String() || attempts[0].Code != a.recorded(code) {
		a.t.Errorf("%s: attempts %+v, want %s with the code %s", code, attempts, want, a.recorded(code))
	}
}

// recorded is the code that the record has for an answer of the simulator.
func (a *channelApp) recorded(code string) string {
	return cmp.Or(recordedAs()[string(a.channel)+" "+code], code)
}

// shown looks for the vendor's code and its words on the message's page.
func (a *channelApp) shown(console *pages, code string, d models.Delivery, attempts []models.Attempt) {
	a.t.Helper()
	text := console.get("/apps/" + strconv.FormatInt(a.app, 10) + "/messages/" + d.MessageID)
	if len(attempts) == 0 { // the vendor said yes in the end
		return
	}
	words := console.code(a.channel, a.recorded(code))
	if slices.Contains(unexplained(), string(a.channel)+" "+code) {
		words = code + " · "
	}
	if words == "" || !strings.Contains(text, html.EscapeString(words)) {
		a.t.Errorf("%s: the message's page does not say %q", code, words)
	}
}

// pages is the lab's console as a person who signed in reads it, in Chinese.
type pages struct {
	t       *testing.T
	server  http.Handler
	host    string
	cookies []*http.Cookie
	words   map[string]locale.Message
}

func (l *channelsLab) pages(t *testing.T) *pages {
	t.Helper()
	l.base = &url.URL{Scheme: "http", Host: "console.example"}
	server, err := l.newServer()
	l.must(err)
	catalogs, err := locale.Load()
	l.must(err)
	p := &pages{t: t, server: server, host: l.base.Host, words: catalogs[locale.Chinese]}
	form := url.Values{"name": {l.who.Name}, "password": {labPassword}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	p.cookies = p.do(r, http.StatusSeeOther).Result().Cookies()
	return p
}

func (p *pages) do(r *http.Request, want int) *httptest.ResponseRecorder {
	p.t.Helper()
	r.Host = p.host
	r.Header.Set("Accept-Language", "zh-CN")
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, r)
	if w.Code != want {
		p.t.Fatalf("%s: status %d, want %d", r.URL.Path, w.Code, want)
	}
	return w
}

// get returns a page as it is sent.
func (p *pages) get(path string) string {
	p.t.Helper()
	return p.do(httptest.NewRequestWithContext(p.t.Context(), http.MethodGet, path, nil), http.StatusOK).Body.String()
}

// code is what people read of a vendor's code, "" when there are no words.
func (p *pages) code(channel push.Channel, code string) string {
	for _, key := range []string{"codes." + string(channel) + "." + code, "codes." + code} {
		if m, ok := p.words[key]; ok {
			return m.Other + " (" + code + ")"
		}
	}
	return ""
}
