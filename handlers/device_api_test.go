package handlers

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// phone is an app in a phone that talks to the device API.
type phone struct {
	s             *machineSite
	token, secret string
}

// call posts v with the app's keys and, once it has them, the device's.
func (p *phone) call(path string, v any) reply {
	p.s.t.Helper()
	body, ok := v.(string)
	if !ok && v != nil {
		b, err := json.Marshal(v)
		if err != nil {
			p.s.t.Fatal(err)
		}
		body = string(b)
	}
	header := []string{"X-Access-ID", strconv.FormatInt(p.s.appID, 10), "X-Access-Key", p.s.accessKey}
	if p.token != "" {
		header = append(header, "X-Device-Token", p.token, "X-Device-Secret", p.secret)
	}
	return p.s.post("/device/v1"+path, []byte(body), header...)
}

const siteVendorToken = "7D9F3C0A51E84B6F9D2C7E1A5B3F8D04C6A2E9B7F1D34850A9C8E7B6D5F4A3B2"

// registered makes a phone that is registered.
func registeredPhone(t *testing.T, s *machineSite, vendorToken string) *phone {
	t.Helper()
	p := &phone{s: s}
	r := p.call("/register", map[string]any{
		"routes": []any{map[string]any{"channel": "apns", "environment": "production", "token": vendorToken}},
		"brand":  "Apple", "model": "iPhone16,2", "os_version": "19.1", "app_version": "3.2.0", "sdk_version": "1.0.0",
		"language": "zh-Hans-CN", "time_zone": "Asia/Shanghai", "notifications": true,
	})
	m := r.json(t)
	p.token, _ = m["device_token"].(string)
	p.secret, _ = m["device_secret"].(string)
	if r.status != 201 || len(p.token) != 36 || len(p.secret) < 32 || m["created"] != true {
		t.Fatalf("register: %d %s", r.status, r.body)
	}
	return p
}

func (p *phone) must(path string, v any, status int) reply {
	p.s.t.Helper()
	r := p.call(path, v)
	if r.status != status {
		p.s.t.Errorf("%s: %d %s, want %d", path, r.status, r.body, status)
	}
	return r
}

// eachDeviceSite is eachMachine for tests that do not care about the bridge.
func eachDeviceSite(t *testing.T, fn func(t *testing.T, s *machineSite)) {
	t.Helper()
	eachMachine(t, "generic", Rates{}, fn)
}

func TestDeviceLife(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p := registeredPhone(t, s, siteVendorToken)
		if n := s.count("devices WHERE token = ? AND platform = 'ios' AND model = 'iPhone16,2' AND notify = 1 AND retired_at IS NULL", p.token); n != 1 {
			t.Error("the device is not as it registered")
		}
		if n := s.count("routes WHERE channel = 'apns' AND environment = 'production' AND token = ?", strings.ToLower(siteVendorToken)); n != 1 {
			t.Error("the route is not as it registered")
		}
		// A refresh keeps what it does not mention, and shows no secret.
		r := p.must("/register", map[string]any{"app_version": "3.3.0", "notifications": false}, 200)
		if m := r.json(t); m["created"] != false || m["device_token"] != p.token || m["device_secret"] != nil {
			t.Errorf("refresh: %s", r.body)
		}
		if n := s.count("devices WHERE token = ? AND model = 'iPhone16,2' AND app_version = '3.3.0' AND notify = 2", p.token); n != 1 {
			t.Error("the refresh lost something")
		}
		if n := s.count("routes WHERE retired_at IS NULL"); n != 1 {
			t.Error("a refresh without routes touched the routes")
		}
		p.must("/notifications", map[string]any{"enabled": true}, 204)
		p.must("/badge", map[string]any{"badge": 7}, 204)
		if n := s.count("devices WHERE badge = 7 AND notify = 1"); n != 1 {
			t.Error("badge or notifications not kept")
		}
		// One account per type, then logout.
		p.must("/accounts/bind", map[string]any{"account": "bob"}, 204)
		p.must("/accounts/bind", map[string]any{"account": "carol"}, 204)
		p.must("/accounts/bind", map[string]any{"account": "c-3", "account_type": 3}, 204)
		if n := s.count("device_accounts WHERE account IN ('carol', 'c-3')"); n != 2 || s.count("device_accounts") != 2 {
			t.Errorf("%d bindings", s.count("device_accounts"))
		}
		p.must("/accounts/unbind", map[string]any{"account": "bob"}, 204) // not bound any more
		p.must("/accounts/unbind", map[string]any{"account": "carol"}, 204)
		if n := s.count("device_accounts"); n != 1 {
			t.Errorf("%d bindings after unbind, want 1", n)
		}
		p.must("/unregister", nil, 204)
		if s.count("device_accounts") != 0 || s.count("devices WHERE retired_at IS NOT NULL") != 1 || s.count("routes WHERE retired_at IS NULL") != 0 {
			t.Error("unregister left something")
		}
		p.must("/register", map[string]any{"routes": []any{map[string]any{"channel": "apns", "token": siteVendorToken}}}, 200)
		if s.count("devices WHERE retired_at IS NULL") != 1 || s.count("routes WHERE retired_at IS NULL") != 1 {
			t.Error("registering again does not revive")
		}
		for _, private := range []string{p.secret, s.accessKey, siteVendorToken, strings.ToLower(siteVendorToken), "carol"} {
			if strings.Contains(s.log.String(), private) {
				t.Errorf("the log contains %q", private)
			}
		}
	})
}

// A vendor token belongs to one device of the app.
func TestVendorTokenMoves(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		old := registeredPhone(t, s, siteVendorToken)
		fresh := registeredPhone(t, s, siteVendorToken)
		if old.token == fresh.token {
			t.Fatal("two devices with one token")
		}
		if s.count("routes") != 1 || s.count("devices WHERE token = ? AND retired_at IS NOT NULL", old.token) != 1 {
			t.Error("the vendor token did not move")
		}
	})
}

func TestDeviceCredentials(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p := registeredPhone(t, s, siteVendorToken)
		id := strconv.FormatInt(s.appID, 10)
		for _, c := range []struct {
			name   string
			header []string
			code   string
		}{
			{"nothing", nil, "bad_access_key"},
			{"wrong key", []string{"X-Access-ID", id, "X-Access-Key", "no"}, "bad_access_key"},
			{"unknown app", []string{"X-Access-ID", "1", "X-Access-Key", s.accessKey}, "bad_access_key"},
			{"no number", []string{"X-Access-ID", "x", "X-Access-Key", s.accessKey}, "bad_access_key"},
			{"no device", []string{"X-Access-ID", id, "X-Access-Key", s.accessKey}, "bad_device"},
			{"wrong secret", []string{"X-Access-ID", id, "X-Access-Key", s.accessKey, "X-Device-Token", p.token, "X-Device-Secret", "no"}, "bad_device"},
			{"unknown device", []string{"X-Access-ID", id, "X-Access-Key", s.accessKey, "X-Device-Token", strings.Repeat("a", 36), "X-Device-Secret", p.secret}, "bad_device"},
		} {
			r := s.post("/device/v1/badge", []byte(`{"badge":1}`), c.header...)
			if code, _ := r.errorCode(t); r.status != 401 || code != c.code {
				t.Errorf("%s: %d %s, want 401 %s", c.name, r.status, r.body, c.code)
			}
		}
		bad := &phone{s: s, token: p.token, secret: "no"}
		r := bad.must("/register", map[string]any{}, 401)
		if code, _ := r.errorCode(t); code != "bad_device" {
			t.Errorf("register with a wrong secret: %s", r.body)
		}
		if _, err := s.store.ResetAccessKey(t.Context(), s.who, s.appID); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		p.must("/badge", map[string]any{"badge": 1}, 401)
	})
}

// What the API refuses names the field. seen says whether the contract can tell,
// too: what it cannot, its text does.
func TestDeviceFieldErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 5000)
	route := func(fields string) string { return `{"routes":[{"channel":"apns","token":"00"},{` + fields + `}]}` }
	receipt := func(fields string) string { return `{"receipts":[{` + fields + `}]}` }
	const someID = `"message_id":"0193a5c2-7b1e-7d4f-9a60-3c5e7f8190ab"`
	cases := []struct {
		path, body, code, field string
		seen                    bool
	}{
		{"/register", `{`, "bad_json", "", true},
		{"/register", `[]`, "wrong_type", "", true},
		{"/register", `null`, "wrong_type", "", true},
		{"/register", `{"brand":5}`, "wrong_type", "brand", true},
		{"/register", `{"model":"` + long[:65] + `"}`, "too_long", "model", true},
		{"/register", `{"notifications":"yes"}`, "wrong_type", "notifications", true},
		{"/register", `{"routes":{}}`, "wrong_type", "routes", true},
		{"/register", `{"routes":[` + strings.Repeat(`{"channel":"apns","token":"00"},`, 10) + `{"channel":"apns","token":"00"}]}`, "too_many_items", "routes", true},
		{"/register", route(`"token":"00"`), "required", "routes[1].channel", true},
		{"/register", route(`"channel":"pigeon","token":"00"`), "not_one_of", "routes[1].channel", true},
		{"/register", route(`"channel":"apns","environment":"test","token":"00"`), "not_one_of", "routes[1].environment", true},
		{"/register", route(`"channel":"apns"`), "required", "routes[1].token", true},
		{"/register", route(`"channel":"fcm","token":"` + long + `"`), "too_long", "routes[1].token", true},
		{"/register", route(`"channel":"apns","token":"<7d9f 3c0a>"`), "not_hex", "routes[1].token", false},
		{"/register", route(`"channel":"fcm","token":"x","package":"` + long[:256] + `"`), "too_long", "routes[1].package", true},
		{"/accounts/bind", ``, "bad_json", "", true},
		{"/accounts/bind", `{}`, "required", "account", true},
		{"/accounts/bind", `{"account":"a"}`, "too_short", "account", true},
		{"/accounts/bind", `{"account":"` + long[:101] + `"}`, "bad_account", "account", true},
		{"/accounts/bind", `{"account":"a\u0000b"}`, "bad_account", "account", false},
		{"/accounts/bind", `{"account":"bob","account_type":-1}`, "out_of_range", "account_type", true},
		{"/accounts/bind", `{"account":"bob","time":"now"}`, "wrong_type", "time", true},
		{"/accounts/bind", `{"account":"b\ud800b"}`, "bad_account", "account", false},
		{"/accounts/bind", "{\"account\":\"b\xff\"}", "bad_account", "account", false},
		{"/accounts/unbind", `{"account":""}`, "required", "account", true},
		{"/badge", `{}`, "required", "badge", true},
		{"/badge", `{"badge":-1}`, "out_of_range", "badge", true},
		{"/badge", `{"badge":100000}`, "out_of_range", "badge", true},
		{"/badge", `{"badge":1.5}`, "wrong_type", "badge", true},
		{"/notifications", `{"enabled":null}`, "required", "enabled", true},
		{"/receipts", `{}`, "required", "receipts", true},
		{"/receipts", `{"receipts":[]}`, "required", "receipts", true},
		{"/receipts", `{"receipts":[` + strings.Repeat(`{`+someID+`,"status":"arrived"},`, 100) + `{` + someID + `,"status":"arrived"}]}`, "too_many_items", "receipts", true},
		{"/receipts", receipt(`"status":"arrived"`), "required", "receipts[0].message_id", true},
		{"/receipts", receipt(someID + `,"status":"seen"`), "not_one_of", "receipts[0].status", true},
		{"/receipts", receipt(someID + `,"status":"arrived","at":"noon"`), "bad_time", "receipts[0].at", true},
		{"/receipts", receipt(`"message_id":"` + long[:36] + `","status":"arrived"`), "malformed", "receipts[0].message_id", false},
		{"/badge", `{"badge":1,"x":"` + strings.Repeat("a", maxDeviceBody) + `"}`, "too_large", "", false},
	}
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p := registeredPhone(t, s, siteVendorToken)
		for _, c := range cases {
			r := p.call(c.path, c.body)
			if code, field := r.errorCode(t); r.status < 400 || r.status > 499 || code != c.code || field != c.field {
				t.Errorf("%s %.60s: %d %s, want %s in %q", c.path, c.body, r.status, r.body, c.code, c.field)
			}
			if strings.Contains(string(r.body), `"message":" `) || strings.Contains(string(r.body), `"message":"errors.`) {
				t.Errorf("%s %.60s: %s is no sentence", c.path, c.body, r.body)
			}
			if (s.judged != nil) != c.seen {
				t.Errorf("%s %.60s: the contract says %v", c.path, c.body, s.judged)
			}
		}
		if s.count("device_accounts") != 0 || s.count("devices") != 1 {
			t.Error("a refused call changed something")
		}
	})
}

func TestBindSignature(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p := registeredPhone(t, s, siteVendorToken)
		key := s.requireSignatures()
		now := s.clock().Unix()
		sign := func(token, account string, accountType int, at int64) string {
			return models.BindSignature(key, token, models.Binding{Type: accountType, Account: account, Time: at})
		}
		for _, c := range []struct {
			name string
			body map[string]any
			code string
		}{
			{"none", map[string]any{"account": "bob"}, "bind_signature_missing"},
			{"another person's", map[string]any{"account": "bob", "time": now, "signature": sign(p.token, "eve", 0, now)}, "bind_signature_wrong"},
			{"another device's", map[string]any{"account": "bob", "time": now, "signature": sign("other", "bob", 0, now)}, "bind_signature_wrong"},
			{"another type's", map[string]any{"account": "bob", "account_type": 2, "time": now, "signature": sign(p.token, "bob", 0, now)}, "bind_signature_wrong"},
			{"old", map[string]any{"account": "bob", "time": now - 700, "signature": sign(p.token, "bob", 0, now-700)}, "bind_signature_time"},
			{"from the future", map[string]any{"account": "bob", "time": now + 700, "signature": sign(p.token, "bob", 0, now+700)}, "bind_signature_time"},
		} {
			r := p.must("/accounts/bind", c.body, 403)
			if code, _ := r.errorCode(t); code != c.code {
				t.Errorf("%s: %s, want %s", c.name, r.body, c.code)
			}
		}
		if n := s.count("device_accounts"); n != 0 {
			t.Fatalf("%d bindings without a good signature", n)
		}
		p.must("/accounts/bind", map[string]any{"account": "bob", "time": now, "signature": sign(p.token, "bob", 0, now)}, 204)
		p.must("/accounts/bind", map[string]any{"account": "b-2", "account_type": 2, "time": now - 500, "signature": sign(p.token, "b-2", 2, now-500)}, 204)
		p.must("/accounts/unbind", map[string]any{"account": "bob"}, 204) // logout needs no signature
	})
}

// requireSignatures makes the app require binding signatures and returns its key.
func (s *machineSite) requireSignatures() []byte {
	s.t.Helper()
	_, key, err := s.store.SetBindRequired(context.Background(), s.who, s.appID, true)
	if err != nil {
		s.t.Fatal(err)
	}
	return []byte(key.Reveal())
}

// A message goes through the generic bridge, and the phone reports on it with the
// id that the bridge answered, which is the push's hy_mid.
func TestReceipts(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p, other := registeredPhone(t, s, siteVendorToken), registeredPhone(t, s, strings.Repeat("ab", 32))
		r := s.post(s.im("/messages"), []byte(`{"id":"m-1","from":"alice","to":["bob"],"body":"hi"}`))
		ids, _ := r.json(t)["ids"].([]any)
		id, _ := ids[0].(string)
		s.exec(`INSERT INTO deliveries (message_id, device_id, app_id, plan_id, channel, state, resolved_at, at)
			SELECT ?, id, app_id, 7, 'apns', 'accepted', ?, ? FROM devices WHERE token = ?`, id, s.clock(), s.clock(), p.token)
		report := func(p *phone, status string) {
			p.must("/receipts", map[string]any{"receipts": []any{map[string]any{"message_id": id, "status": status, "at": s.clock().Format(time.RFC3339)}}}, 204)
		}
		report(p, "arrived")
		report(p, "clicked")
		report(p, "arrived")     // late
		report(other, "clicked") // was not sent to it
		var state string
		if err := s.raw.QueryRow(s.query("SELECT state FROM deliveries WHERE message_id = ?"), id).Scan(&state); err != nil || state != "clicked" {
			t.Errorf("delivery is %q, %v", state, err)
		}
		got := map[string]int{}
		for _, metric := range []string{"arrived", "clicked"} {
			got[metric] = s.count("counters WHERE metric = ? AND n = 1", metric)
		}
		if diff := cmp.Diff(map[string]int{"arrived": 1, "clicked": 1}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDeviceRates(t *testing.T) {
	t.Parallel()
	rates := DefaultRates()
	rates.DeviceApp = Rate{Every: time.Hour, Burst: 3}
	rates.DeviceAddress = Rate{Every: time.Hour, Burst: 6}
	eachMachine(t, "generic", rates, func(t *testing.T, s *machineSite) {
		p := registeredPhone(t, s, siteVendorToken)
		var got []int
		for range 7 {
			r := p.call("/badge", map[string]any{"badge": 1})
			if got = append(got, r.status); r.status == 429 && r.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
		// The app's share ends first, then the address's.
		if diff := cmp.Diff([]int{204, 204, 429, 429, 429, 429, 429}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// The contract's own examples work: what the file shows is what the server takes.
func TestContractExamples(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		p := &phone{s: s}
		for _, path := range []string{"/register", "/accounts/bind", "/accounts/unbind", "/badge", "/notifications", "/receipts"} {
			for name, example := range s.contract.examples("/device/v1" + path) {
				if path == "/register" {
					p.token, p.secret = "", "" // each is an install of its own
				}
				r := p.call(path, example)
				if r.status > 299 {
					t.Errorf("example %s of %s: %d %s", name, path, r.status, r.body)
				}
				if path == "/register" {
					p.token, p.secret = r.json(t)["device_token"].(string), r.json(t)["device_secret"].(string)
				}
			}
		}
		for name, example := range s.contract.examples("/im/{secret}/messages") {
			b, err := json.Marshal(example)
			if err != nil {
				t.Fatal(err)
			}
			if r := s.post(s.im("/messages"), b); r.status != 202 {
				t.Errorf("example %s of messages: %d %s", name, r.status, r.body)
			}
		}
		if n := s.count("messages"); n == 0 {
			t.Error("no example of the bridge was stored")
		}
	})
}

func FuzzDeviceBodies(f *testing.F) {
	f.Add([]byte(`{"routes":[{"channel":"apns","environment":"production","token":"00ff"}],"brand":"Apple","notifications":true}`))
	f.Add([]byte(`{"account":"bob","account_type":3,"time":1795395377,"signature":"00"}`))
	f.Add([]byte(`{"receipts":[{"message_id":"0193a5c2-7b1e-7d4f-9a60-3c5e7f8190ab","status":"clicked","at":"2026-11-24T02:15:07Z"}]}`))
	f.Add([]byte("{\"account\":\"\xff\xfe\",\"routes\":[null],\"receipts\":[{\"at\":\"9999-12-31T23:59:60Z\"}]}"))
	f.Add([]byte(`{"time":1e400,"account_type":99999999999999999999}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		refused := func(err error) {
			if e := apiErrorOf(err); e.status < 400 || e.status > 499 {
				t.Fatalf("input answered with %d: %v", e.status, err)
			}
		}
		var r registerBody
		if err := decodeJSON(body, &r); err != nil {
			refused(err)
		} else if got, err := r.registration(); err != nil {
			refused(err)
		} else if len(got.Routes) > models.MaxRoutes {
			t.Fatalf("%d routes", len(got.Routes))
		}
		var b bindBody
		if err := decodeJSON(body, &b); err != nil {
			refused(err)
		} else if got, err := b.binding(); err != nil {
			refused(err)
		} else if !validAccount(got.Account) {
			t.Fatalf("account %q", got.Account)
		}
		var rs receiptsBody
		if err := decodeJSON(body, &rs); err != nil {
			refused(err)
		} else if got, err := rs.receipts(); err != nil {
			refused(err)
		} else if len(got) == 0 || len(got) > maxReceipts {
			t.Fatalf("%d receipts", len(got))
		}
	})
}
