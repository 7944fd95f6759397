package handlers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// tinodeSays posts a body as Tinode's server does and returns the answer in short: the
// counts, the code of the whole, and the place and code of each that failed.
func tinodeSays(t *testing.T, s *machineSite, path, body string) string {
	t.Helper()
	r := s.post(path, gzipped(t, body), "Content-Encoding", "gzip", "Authorization", "Bearer "+s.secret)
	var a tinodeAnswer
	if err := json.Unmarshal(r.body, &a); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	out := fmt.Sprint(r.status, " ", a.Sent, "+", a.Failed, " ", a.Code)
	for _, one := range a.Response {
		if one.Code != "" {
			out += fmt.Sprint(" ", one.Index, ":", one.Code)
		}
		if (one.Code == "") != (one.Message == "") {
			t.Errorf("an item without a reason: %s", r.body)
		}
	}
	return out
}

// channelMessage is a message of a channel as Tinode sends it: without a sender.
func channelMessage(channel, seq, from string) string {
	b, _ := json.Marshal([]any{map[string]any{ // strings always marshal
		"topic": channel, "android": map[string]string{"priority": "NORMAL", "ttl": "3600s"},
		"data": map[string]string{"what": "msg", "topic": channel, "seq": seq, "content": "频道公告", "xfrom": from, "ts": "2026-11-23T00:59:46.429Z"},
		"apns": map[string]any{"payload": map[string]any{"aps": map[string]any{"badge": 7}}},
	}})
	return string(b)
}

func FuzzTinodeSub(f *testing.F) {
	for _, seed := range []string{
		`{"channel":"chnA","devices":["a","b"],"unsub":false}`, `{"channels":["chnA","chnB"],"device":"a","unsub":true}`,
		`{"channels":7,"device":null}`, `{"channels":[null,1,{}],"devices":["\xff"]}`, `[]`, `null`, "\x1f\x8b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var s tinodeSubscription
		if decodeJSON(body, &s) != nil {
			return
		}
		c, err := s.change()
		if err != nil {
			if e := apiErrorOf(err); e.status != 400 {
				t.Fatalf("answered with %d", e.status)
			}
			return
		}
		if len(c.Tokens) == 0 || len(c.Topics) == 0 || min(len(c.Tokens), len(c.Topics)) != 1 || max(len(c.Tokens), len(c.Topics)) > maxTinodeDevices {
			t.Fatalf("%d devices, %d channels", len(c.Tokens), len(c.Topics))
		}
	})
}

func TestTinodeChannels(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tinode", Rates{}, func(t *testing.T, s *machineSite) {
		check := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		}
		sub := func(body string) string { return tinodeSays(t, s, "/sub/demo", body) }
		push := func(channel, seq, from string) string {
			return tinodeSays(t, s, "/pushv1/demo", channelMessage(channel, seq, from))
		}
		var tokens []string
		phones := make([]*phone, 3)
		for i := range phones {
			phones[i] = registeredPhone(t, s, strings.Repeat(fmt.Sprintf("%02x", i+1), 32))
			tokens = append(tokens, phones[i].token)
		}
		phones[2].must("/accounts/bind", map[string]any{"account": "usrAlice"}, 204)
		devices, _ := json.Marshal(tokens)

		check(push("chnNews", "1", ""), "200 1+0 ") // nobody reads it
		check(sub(`{"channel":"chnNews","devices":`+string(devices)+`,"unsub":false}`), "200 3+0 ")
		check(sub(`{"channel":"chnNews","devices":`+string(devices)+`,"unsub":false}`), "200 3+0 ") // again
		check(sub(`{"channels":["chnNews","chnOther"],"device":"`+tokens[0]+`"}`), "200 2+0 ")
		check(tinodeSays(t, s, s.im("/sub/demo"), `{"channel":"chnNews","devices":["never-registered","`+tokens[1]+`"]}`), "200 1+1  0:NOT_FOUND")
		if n := s.count("device_topics"); n != 4 {
			t.Errorf("%d subscriptions", n)
		}
		check(push("chnNews", "2", ""), "200 1+0 ")
		check(push("chnNews", "2", ""), "200 1+0 ") // a repetition
		check(push("chnNews", "3", "usrAlice"), "200 1+0 ")
		check(push("chnOther", "1", ""), "200 1+0 ")
		if n := s.count("messages"); n != 3+2+1 {
			t.Errorf("%d messages, want 6: three readers, two without the sender, one", n)
		}
		if n := s.count("messages WHERE conversation = 'chnNews' AND account = ''"); n != 2*2 {
			t.Errorf("%d messages for phones that nobody is signed in to", n)
		}
		check(sub(`{"channel":"chnNews","device":"`+tokens[0]+`","unsub":true}`), "200 1+0 ")
		check(sub(`{"channel":"chnNews","device":"never-registered","unsub":true}`), "200 1+0 ")
		phones[1].unregister()
		check(sub(`{"channel":"chnNews","device":"`+tokens[1]+`"}`), "200 0+1  0:UNREGISTERED")
		check(push("chnNews", "4", ""), "200 1+0 ") // to phones[2] alone
		if n := s.count("messages WHERE source_id = 'chnNews 4'"); n != 1 {
			t.Errorf("%d messages after two left", n)
		}
		want := map[string]int{"accepted": 7, "duplicate": 3, "sender": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}

		for body, want := range map[string]string{
			`{"device":"a"}`:     "400 0+0 INVALID_ARGUMENT",
			`{"channel":"chnA"}`: "400 0+0 INVALID_ARGUMENT",
			`{"channel":"c","devices":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`:                            "400 0+0 INVALID_ARGUMENT",
			`{"channels":["a","b"],"devices":["c","d"]}`:                                                     "400 0+0 INVALID_ARGUMENT",
			`{"channel":"` + strings.Repeat("c", models.MaxTopicBytes+1) + `","device":"` + tokens[0] + `"}`: "200 0+1  0:INVALID_ARGUMENT",
			`[]`: "400 0+0 INVALID_ARGUMENT",
		} {
			check(sub(body), want)
		}
		check(push(strings.Repeat("c", models.MaxTopicBytes+1), "1", ""), "200 0+1  0:INVALID_ARGUMENT")
		s.store.GuardDisk("/", 1<<62, nil)
		check(push("chnNews", "5", ""), "503 0+0 UNAVAILABLE")
		s.store.GuardDisk("/", 0, nil)
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2e9)
		check(sub(`{"channel":"chnNews","device":"`+tokens[0]+`"}`), "200 0+1 PERMISSION_DENIED")
		for _, secret := range append(tokens, "频道公告", s.secret) {
			if strings.Contains(s.log.String(), secret) {
				t.Error("the log holds a token, a text or the secret")
			}
		}
	})
}
