package handlers

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzZulip(f *testing.F) { fuzzTokens(f, zulipBouncer{}, "zulip") }

func FuzzZulipToken(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", []byte("user_uuid=u&user_id=7&token=t&token_kind=1"))
	f.Add("application/json", []byte(`{"user_id":7,"token":"t","token_kind":2}`))
	f.Add("application/x-www-form-urlencoded", []byte("user_uuid=%ff%fe&token=%00&%zz"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		user, token, err := readZulipToken(contentType, body)
		if err != nil {
			if e := apiErrorOf(err); e.status != 400 {
				t.Fatalf("input answered with %d: %v", e.status, err)
			}
			return
		}
		if !validAccount(user) || token.Token != "" && !validToken(token.Token) {
			t.Fatalf("read %q %q", user, token.Token)
		}
	})
}

func TestZulipEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "zulip", Rates{}, func(t *testing.T, s *machineSite) {
		basic := func(secret string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte("org-1:"+secret))
		}
		key := basic(s.secret)
		bob := registeredPhone(t, s, siteVendorToken)
		const form = "application/x-www-form-urlencoded"
		token := func(path, body string, want int) {
			t.Helper()
			r := s.post(zulipBase+path, []byte(body), "Authorization", key, "Content-Type", form)
			if r.status != want || (want == 200) != (r.json(t)["result"] == "success") {
				t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
			}
		}
		ask := func(file, listed string, android, apple int, deleted string) {
			t.Helper()
			r := s.post(zulipBase+"notify", atToken(fixture(t, "zulip/"+file+".json"), listed, ""), "Authorization", key)
			m := r.json(t)
			got := fmt.Sprintln(m["result"], m["total_android_devices"], m["total_apple_devices"], m["deleted_devices"])
			want := fmt.Sprintln("success", android, apple, "map[android_devices:[] apple_devices:["+deleted+"]]")
			if r.status != 200 || got != want {
				t.Errorf("%s: %d %s, want %s", file, r.status, r.body, want)
			}
		}
		ask("stream", "nobody", 0, 0, "")
		token("register", "user_uuid=uuid-bob&user_id=10&token_kind=1&token="+bob.token, 200)
		token("register", "user_uuid=uuid-bob&user_id=10&token_kind=1&token="+bob.token, 200)
		token("register", "user_uuid=uuid-bob", 400)
		token("register", "token="+bob.token, 400)
		ask("stream", "nobody", 0, 1, "") // the server lists a device that Hongyan does not know, and forgets bob's
		ask("stream", "nobody", 0, 1, "") // repeated
		ask("remove", "nobody", 0, 1, "")
		token("unregister", "user_uuid=uuid-bob&token_kind=1&token="+bob.token, 200)
		token("unregister", "user_uuid=uuid-bob&token_kind=1&token="+bob.token, 400)
		ask("test", "nobody", 0, 0, "")
		token("register", "user_uuid=uuid-bob&token_kind=1&token="+bob.token, 200)
		token("unregister/all", "user_uuid=uuid-bob", 200)
		ask("test", "nobody", 0, 0, "")
		token("register", "user_uuid=uuid-bob&token_kind=1&token="+bob.token, 200)
		bob.unregister()
		ask("test", "nobody", 0, 0, bob.token)
		ask("test", "nobody", 0, 0, "") // forgotten here too
		if n := s.count("im_app_tokens"); n != 0 {
			t.Errorf("%d tokens kept", n)
		}
		want := map[string]int{"accepted": 1, "duplicate": 1, "badge": 1, "unknown": 8, "dead": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		for _, c := range []struct {
			name, header string
			body         string
			status       int
			code         string
		}{
			{"no key", "", `{}`, 401, "INVALID_ZULIP_SERVER"},
			{"another key", basic("nope"), `{}`, 401, "INVALID_ZULIP_SERVER"},
			{"no JSON", key, `{`, 400, "BAD_JSON"},
			{"no user", key, `{}`, 400, "REQUIRED"},
			{"wrong type", key, `{"user_uuid":"u","android_devices":7}`, 400, "WRONG_TYPE"},
			{"many", key, `{"user_uuid":"u","apple_devices":[` + strings.Repeat(`"a",`, 100) + `"a"]}`, 400, "TOO_MANY_ITEMS"},
		} {
			r := s.post(zulipBase+"notify", []byte(c.body), "Authorization", c.header)
			if m := r.json(t); r.status != c.status || m["result"] != "error" || m["code"] != c.code || m["msg"] == "" {
				t.Errorf("%s: %d %s, want %d %s", c.name, r.status, r.body, c.status, c.code)
			}
		}
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		if r := s.post(zulipBase+"notify", fixture(t, "zulip/test.json"), "Authorization", key); r.status != 403 {
			t.Errorf("without authorization: %d %s", r.status, r.body)
		}
		for _, private := range []string{bob.token, s.secret, "你好"} {
			if strings.Contains(s.log.String(), private) {
				t.Error("the log holds a secret, a token or a text")
			}
		}
	})
}
