package handlers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzTinode(f *testing.F) { fuzzTokens(f, tinodeGateway{}, "tinode") }

func TestTinodeEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tinode", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		const root = "/pushv1/demo"
		// ask posts a fixture as Tinode does and returns the counts and each item's code.
		ask := func(path, file, token, secret string) string {
			t.Helper()
			body := gzipped(t, string(atToken(fixture(t, "tinode/"+file+".json"), token, "")))
			r := s.post(path, body, "Content-Encoding", "gzip", "Authorization", "Bearer "+secret)
			var a tinodeAnswer
			if err := json.Unmarshal(r.body, &a); err != nil {
				t.Fatalf("%d %s: %v", r.status, r.body, err)
			}
			out := fmt.Sprint(r.status, " ", a.Sent, "+", a.Failed, " ", a.Code)
			for i, one := range a.Response {
				if i > 0 {
					out += ","
				}
				out += one.Code
				if one.Index != i || (one.Code == "") != (one.HTTP == 200) || (one.Code == "") != (one.Message == "") {
					t.Errorf("item %d: %s", i, r.body)
				}
			}
			return out
		}
		check := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		}
		for _, path := range []string{root, s.im(root), s.im("")} { // once, and two duplicates
			check(ask(path, "message", bob.token, s.secret), "200 1+0 ")
		}
		if n := s.count("messages"); n != 1 {
			t.Errorf("%d messages", n)
		}
		check(ask(root, "read_ios", bob.token, s.secret), "200 1+0 ")
		check(ask(root, "silent", bob.token, s.secret), "200 0+0 ")
		check(ask(root, "sub", "never-registered", s.secret), "200 0+1 NOT_FOUND")
		check(ask(root, "mixed", bob.token, s.secret), "200 2+5 ,,INVALID_ARGUMENT,INVALID_ARGUMENT,INVALID_ARGUMENT,INVALID_ARGUMENT,,INVALID_ARGUMENT")
		check(ask(root, "message", bob.token, "nope"), "401 0+0 UNAUTHENTICATED")
		check(ask(root, "message", bob.token, ""), "401 0+0 UNAUTHENTICATED")
		check(ask("/im/nope"+root, "message", bob.token, s.secret), "404 0+0 NOT_FOUND")
		s.store.GuardDisk("/", 1<<62, nil)
		check(ask(root, "sub", bob.token, s.secret), "503 0+0 UNAVAILABLE")
		s.store.GuardDisk("/", 0, nil)
		bob.unregister()
		check(ask(root, "sub", bob.token, s.secret), "200 0+1 UNREGISTERED")
		want := map[string]int{"accepted": 1, "duplicate": 3, "badge": 1, "skipped": 2, "unknown": 1, "invalid": 5, "refused": 1, "dead": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		check(ask(root, "sub", bob.token, s.secret), "200 0+1 PERMISSION_DENIED")
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), "你好") || strings.Contains(s.log.String(), s.secret) {
			t.Error("the log holds a token, a text or the secret")
		}
	})
}

func TestTinodeErrors(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tinode", Rates{}, func(t *testing.T, s *machineSite) {
		bearer := []string{"Authorization", "bearer " + s.secret}
		for _, c := range []struct {
			method string
			body   string
			gzip   bool
			want   string
		}{
			{"GET", "", false, "405 NOT_FOUND"},
			{"POST", "{", false, "400 INVALID_ARGUMENT"},
			{"POST", `{"token":"a"}`, false, "400 INVALID_ARGUMENT"},
			{"POST", "[" + strings.Repeat("{},", maxTinodeMessages) + "{}]", false, "400 INVALID_ARGUMENT"},
			{"POST", strings.Repeat(" ", maxBridgeLength+1), true, "413 INVALID_ARGUMENT"}, // a bomb
			{"POST", "[]", true, "200 "},
		} {
			body, header := []byte(c.body), bearer
			if c.gzip {
				body, header = gzipped(t, c.body), append([]string{"Content-Encoding", "gzip"}, bearer...)
			}
			for _, path := range []string{"/pushv1/demo", s.im("/pushv1/demo")} {
				if c.method == "GET" && path != "/pushv1/demo" {
					continue // below the secret the answer is every bridge's
				}
				r := s.do(c.method, path, body, header...)
				code, _ := r.json(t)["errcode"].(string)
				if got := fmt.Sprint(r.status, " ", code); got != c.want {
					t.Errorf("%s %.20q: %d %s, want %s", c.method, c.body, r.status, r.body, c.want)
				}
			}
		}
	})
}
