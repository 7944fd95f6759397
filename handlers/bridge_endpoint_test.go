package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ownEndpoint asks for a phone's endpoint and returns its path.
func (p *phone) ownEndpoint(body string) string {
	p.s.t.Helper()
	r := p.call("/endpoint", body)
	address, _ := r.json(p.s.t)["endpoint"].(string)
	u, err := url.Parse(address)
	if r.status != 200 || err != nil || !strings.HasPrefix(address, p.s.url+"/up/") || len(u.Path) < len("/up/")+27 { // 160 bits
		p.s.t.Fatalf("endpoint: %d %s", r.status, r.body)
	}
	return u.Path
}

// An endpoint reaches its device alone, holds no key, lives as long as the device, and
// ends at once when it is renewed.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	eachMachine(t, "unifiedpush", Rates{}, func(t *testing.T, s *machineSite) {
		bob, carol := registeredPhone(t, s, siteVendorToken), registeredPhone(t, s, strings.Repeat("ab", 32))
		at, other := bob.ownEndpoint("{}"), carol.ownEndpoint("{}")
		if at == other || at != bob.ownEndpoint(`{"renew":false}`) {
			t.Error("endpoints are neither apart nor lasting")
		}
		for _, secret := range []string{s.secret, bob.token, bob.secret, s.accessKey} {
			if strings.Contains(at, secret) {
				t.Error("the endpoint holds a key")
			}
		}
		ask := func(method, path string, body []byte, want int, header ...string) {
			t.Helper()
			r := s.do(method, path, body, header...)
			if r.status != want || (want == 201) != (r.header.Get("TTL") == "0") {
				t.Errorf("%s, %d bytes: %d %s, want %d", method, len(body), r.status, r.body, want)
			}
		}
		if r := s.do("GET", at, nil); r.status != 200 || strings.TrimSpace(string(r.body)) != `{"unifiedpush":{"version":1}}` {
			t.Errorf("GET: %d %s", r.status, r.body)
		}
		ask("POST", at, []byte("hello"), 201)
		ask("POST", at, bytes.Repeat([]byte{0xfe}, 4096), 201, "Content-Encoding", "aes128gcm", "TTL", "60", "Urgency", "high")
		ask("POST", at, nil, 400)
		ask("POST", at, bytes.Repeat([]byte("x"), 4097), 413)
		ask("PUT", at, []byte("x"), 405)
		ask("POST", at+"x", []byte("x"), 404)
		ask("GET", "/up/nobody", nil, 404)
		ask("POST", "/up/"+bob.token, []byte("x"), 404)
		ask("POST", other, []byte("x"), 201)
		if n := s.count("messages"); n != 3 {
			t.Errorf("%d messages", n)
		}
		renewed := bob.ownEndpoint(`{"renew":true}`)
		ask("POST", at, []byte("x"), 404)
		ask("POST", renewed, []byte("x"), 201)
		// Secrets are sealed and hashed at rest.
		name := strings.TrimPrefix(renewed, "/up/")
		if n := s.count("device_endpoints WHERE token = ? OR hash = ?", []byte(name), []byte(name)); n != 0 {
			t.Error("the endpoint lies open in the database")
		}

		s.store.GuardDisk("/", 1<<62, nil)
		ask("POST", renewed, []byte("x"), 503)
		s.store.GuardDisk("/", 0, nil)
		s.exec("UPDATE devices SET retired_at = ? WHERE token = ?", s.clock(), carol.token) // the vendor called its token dead
		ask("POST", other, []byte("x"), 404)
		if r := carol.call("/endpoint", "{}"); r.status != 409 {
			t.Errorf("an endpoint of a dead phone: %d %s", r.status, r.body)
		}
		bob.unregister()
		ask("POST", renewed, []byte("x"), 404)
		if n := s.count("device_endpoints"); n != 1 {
			t.Errorf("%d endpoints after one said goodbye", n)
		}
		want := map[string]int{"accepted": 4, "invalid": 2, "refused": 1, "dead": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if strings.Contains(s.log.String(), name) || strings.Contains(s.log.String(), strings.TrimPrefix(other, "/up/")) {
			t.Error("the log holds an endpoint")
		}
	})
}

// Without an authorization an endpoint is not gone: the subscription would be lost.
func TestEndpointWithoutIMApp(t *testing.T) {
	t.Parallel()
	eachMachine(t, "unifiedpush", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		at := bob.ownEndpoint("{}")
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		if r := s.post(at, []byte("x")); r.status != 403 {
			t.Errorf("%d %s, want 403", r.status, r.body)
		}
		r := bob.call("/endpoint", "{}")
		if code, _ := r.errorCode(t); r.status != 404 || code != "no_unifiedpush" {
			t.Errorf("%d %s", r.status, r.body)
		}
		s.authorize()
		s.advance(2 * time.Second)
		if r := s.post(bob.ownEndpoint("{}"), []byte("x")); r.status != 201 {
			t.Errorf("authorized again: %d %s", r.status, r.body)
		}
	})
}

// Who guesses is slowed, and so is a server that floods one device, but not the others.
func TestEndpointRates(t *testing.T) {
	t.Parallel()
	rates := Rates{UnknownSecrets: Rate{Every: time.Hour, Burst: 2}, Endpoint: Rate{Every: time.Hour, Burst: 2}}
	eachMachine(t, "unifiedpush", rates, func(t *testing.T, s *machineSite) {
		bob, carol := registeredPhone(t, s, siteVendorToken), registeredPhone(t, s, strings.Repeat("ab", 32))
		at, other := bob.ownEndpoint("{}"), carol.ownEndpoint("{}")
		for i, want := range []int{201, 201, 429} {
			r := s.post(at, []byte(fmt.Sprint(i)))
			if r.status != want || (want == 429) != (r.header.Get("Retry-After") != "") {
				t.Errorf("push %d: %d, want %d", i, r.status, want)
			}
		}
		if r := s.post(other, []byte("x")); r.status != 201 {
			t.Errorf("another device: %d", r.status)
		}
		for i, want := range []int{404, 404, 429} {
			if r := s.post(fmt.Sprint("/up/guess", i), []byte("x")); r.status != want {
				t.Errorf("guess %d: %d, want %d", i, r.status, want)
			}
		}
		if r := s.do("GET", other, nil); r.status != 200 {
			t.Errorf("a good endpoint of the same address: %d", r.status)
		}
	})
}

// A Matrix server's pushkey may be an endpoint: the device gets the event's text and the
// bytes of the request.
func TestEndpointAsMatrixPushkey(t *testing.T) {
	t.Parallel()
	eachMachine(t, "unifiedpush", Rates{}, func(t *testing.T, s *machineSite) {
		const root = "/" + matrixPath
		if r := s.do("GET", root, nil); r.status != 200 || strings.TrimSpace(string(r.body)) != `{"unifiedpush":{"gateway":"matrix"}}` {
			t.Errorf("GET: %d %s", r.status, r.body)
		}
		bob := registeredPhone(t, s, siteVendorToken)
		at := s.url + bob.ownEndpoint("{}")
		body := func(content, id string, keys ...string) []byte {
			var devices []any
			for _, k := range keys {
				devices = append(devices, map[string]any{"app_id": "org.example.client", "pushkey": k, "data": nil})
			}
			n := map[string]any{"counts": map[string]int{"unread": 3}, "devices": devices}
			if content != "" {
				n["content"], n["event_id"], n["type"], n["room_id"] = map[string]string{"msgtype": "m.text", "body": content}, id, "m.room.message", "!r:localhost"
			}
			b, _ := json.Marshal(map[string]any{"notification": n}) // strings and ints always marshal
			return b
		}
		push := func(b []byte, rejected ...string) {
			t.Helper()
			var got struct{ Rejected []string }
			r := s.post(root, b)
			if err := json.Unmarshal(r.body, &got); err != nil || r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if diff := cmp.Diff(append([]string{}, rejected...), got.Rejected); diff != "" {
				t.Errorf("rejected (-want +got)\n%s", diff)
			}
		}
		gone := s.url + "/up/gone"
		push(body("你好", "$1", at, gone, "https://elsewhere.example/up/x"), gone)
		push(body("你好", "$1", at)) // again
		push(body("", "", at))
		if n := s.count("messages WHERE kind = 'alert' AND source_id = '$1'") + s.count("messages WHERE kind = 'badge'"); n != 2 {
			t.Errorf("%d messages, want an alert and a badge", n)
		}
		bob.unregister()
		push(body("x", "$2", at), at)
	})
}

// The bytes of a push message travel whole, or as their number.
func TestPassBytes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 1400, 4096} {
		body := bytes.Repeat([]byte{0x80}, n)
		r := tokenRequest(body)
		r.device = "token-of-bob"
		got, err := unifiedPush{}.parse(r)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"up": base64.StdEncoding.EncodeToString(body)}
		if n > 1500 {
			want = map[string]any{"up_size": json.Number(fmt.Sprint(n))}
		}
		if diff := cmp.Diff(want, got.messages[0].Content.Data); diff != "" {
			t.Errorf("%d bytes (-want +got)\n%s", n, diff)
		}
	}
}
