package webpush_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
	"hongyan/push/webpush"
	"hongyan/sandbox"
)

// Every code, from the simulator's answer to our Result.
func TestCodes(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	type row struct {
		outcome push.Outcome
		code    string
		keep    bool
	}
	rows := map[string]row{
		"307": {push.BadTarget, "307", true}, "400": {push.BadMessage, "400", false}, "400:vapid": {push.BadCredential, "400:vapid", false},
		"401": {push.BadCredential, "401", false}, "403": {push.BadCredential, "403", false}, "key_mismatch": {push.BadTarget, "key_mismatch", true},
		"404": {push.BadTarget, "404", false}, "406": {push.Throttled, "406", false}, "410": {push.BadTarget, "410", false},
		"413": {push.BadMessage, "413", false}, "429": {push.Throttled, "429", false},
		"500": {push.Retry, "500", false}, "502": {push.Retry, "502", false}, "503": {push.Retry, "503", false}, "504": {push.Retry, "504", false},
	}
	for said, want := range rows {
		l.set(t, sandbox.Settings{Mix: map[string]float64{said: 100}, RetryAfter: 9 * time.Second})
		before := l.sim.Requests()
		r := s.Send(context.Background(), hello(), []push.Target{l.target(t, 0)})[0]
		if got := (row{r.Outcome, r.Code, r.KeepToken}); got != want || r.RetryAfter != 9*time.Second || r.DeviceOnly || r.Text == "" {
			t.Errorf("%s: %+v, want %+v", said, r, want)
		}
		if n := l.sim.Requests() - before; n != 1 {
			t.Errorf("%s: %d requests; a redirect must not be followed", said, n)
		}
		if c, ok := webpush.Spec().Codes[r.Code]; said != "307" && (!ok || c.Outcome != r.Outcome) {
			t.Errorf("%s: the table says %+v", said, c)
		}
	}
	for code := range webpush.Spec().Codes {
		if _, ok := rows[code]; !ok {
			t.Errorf("%s is in the table and was never said", code)
		}
	}
}

// Whoever runs a server can subscribe with its address: what it says concerns that
// subscription alone.
func TestStrangersAreNotBelieved(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	for status, want := range map[int]push.Result{
		400: {Outcome: push.BadMessage}, 401: {Outcome: push.BadTarget, KeepToken: true}, 403: {Outcome: push.BadTarget, KeepToken: true},
		429: {Outcome: push.Throttled, DeviceOnly: true}, 406: {Outcome: push.Throttled, DeviceOnly: true}, 410: {Outcome: push.BadTarget}, 418: {Outcome: push.BadMessage},
		301: {Outcome: push.BadTarget, KeepToken: true}, 500: {Outcome: push.Retry, DeviceOnly: true}, 599: {Outcome: push.Retry, DeviceOnly: true}, 201: {Outcome: push.Accepted}, 200: {Outcome: push.Accepted},
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		o := l.options()
		o.Endpoint, o.RootCAs = "", pemOf(server)
		tg := l.target(t, 0)
		tg.Token = strings.Replace(tg.Token, l.sim.URL(), server.URL, 1)
		r := l.open(t, o).Send(context.Background(), hello(), []push.Target{tg})[0]
		if r.Outcome != want.Outcome || r.KeepToken != want.KeepToken || r.DeviceOnly != want.DeviceOnly {
			t.Errorf("%d: %+v, want %+v", status, r, want)
		}
		server.Close()
	}
}

// A server that refuses connections, or that never answers, is slow for its own
// subscriptions alone, and holds none of the places of the browsers' services.
func TestStrangersHoldNobodyUp(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	release := make(chan struct{})
	silent := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	defer close(release)
	o := l.options()
	o.Endpoint, o.RootCAs, o.Timeout = "", pemOf(silent), 300*time.Millisecond
	s := l.open(t, o)
	tg := l.target(t, 0)
	for _, address := range []string{silent.URL, "https://127.0.0.1:1"} {
		tg.Token = strings.Replace(l.target(t, 0).Token, l.sim.URL(), address, 1)
		if r := s.Send(context.Background(), hello(), []push.Target{tg})[0]; r.Outcome != push.Retry || !r.DeviceOnly {
			t.Errorf("%s: %+v", address, r)
		}
	}
	// The installation's own address, and a browser's, stand for their service.
	l.sim.Freeze(true)
	o = l.options()
	o.Timeout = 300 * time.Millisecond
	if r := l.open(t, o).Send(context.Background(), hello(), []push.Target{l.target(t, 0)})[0]; r.Outcome != push.Retry || r.DeviceOnly {
		t.Errorf("the service itself: %+v", r)
	}
}

// Without a guard the channel opens only for one address, and calls only that.
func TestAddresses(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	o := l.options()
	o.Endpoint, o.DialControl = "", nil
	if s, err := webpush.Open(context.Background(), l.fields, o); err == nil {
		s.Close()
		t.Fatal("opened without control over addresses")
	}
	o.Endpoint = "http://127.0.0.1:1"
	if s, err := webpush.Open(context.Background(), l.fields, o); err == nil {
		s.Close()
		t.Fatal("opened for an address without TLS")
	}
	asked := 0
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	send := func(o push.Options, endpoint string) push.Result {
		o.RootCAs = append(append([]byte{}, o.RootCAs...), pemOf(other)...)
		tg := l.target(t, 0)
		tg.Token = strings.Replace(tg.Token, l.sim.URL(), endpoint, 1)
		return l.open(t, o).Send(context.Background(), hello(), []push.Target{tg})[0]
	}
	refused := func(name string, r push.Result) {
		t.Helper()
		if r.Outcome != push.BadTarget || r.Code != push.CodeRefusedAddress || !r.KeepToken {
			t.Errorf("%s: %+v", name, r)
		}
	}
	refused("another address than the installation's", send(l.options(), other.URL))
	refused("a name like a reserved one", send(l.options(), "https://invalid.example"))
	// A name that is reserved for nothing stands for the installation's own address.
	if r := send(l.options(), sandbox.WebPushOrigin); r.Outcome != push.Accepted {
		t.Errorf("a subscription that names no port: %+v", r)
	}
	o = l.options()
	o.DialControl = nil
	if r := send(o, l.sim.URL()); r.Outcome != push.Accepted {
		t.Errorf("the installation's own address: %+v", r)
	}
	o = l.options()
	o.Endpoint, o.DialControl = "", push.Guard(nil)
	refused("loopback", send(o, other.URL))
	refused("a name for loopback", send(o, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)))
	refused("loopback within IPv6", send(o, strings.Replace(other.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)))
	refused("the cloud's own address", send(o, "https://169.254.169.254"))
	o.DialControl = push.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	if asked != 0 {
		t.Errorf("%d calls to an address that is not allowed", asked)
	}
	if r := send(o, other.URL); r.Outcome != push.Accepted || asked != 1 {
		t.Errorf("allowed by the installation: %+v", r)
	}
}

func TestTokens(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	good := l.target(t, 0).Token
	change := func(key string, value any) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		if key == "endpoint" || key == "expirationTime" {
			m[key] = value
		} else {
			m["keys"].(map[string]any)[key] = value
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var m struct{ Keys struct{ P256dh, Auth string } }
	if err := json.Unmarshal([]byte(good), &m); err != nil {
		t.Fatal(err)
	}
	std := strings.NewReplacer("-", "+", "_", "/").Replace(m.Keys.P256dh) + "="
	for _, ok := range []string{good, change("expirationTime", nil), change("p256dh", std), change("auth", m.Keys.Auth+"==")} {
		if r := s.Send(context.Background(), hello(), []push.Target{{Token: ok}})[0]; r.Outcome != push.Accepted {
			t.Errorf("%+v", r)
		}
	}
	before := l.sim.Requests()
	for name, bad := range map[string]string{
		"plain http": change("endpoint", strings.Replace(l.sim.URL(), "https", "http", 1)+"/push/x"), "a file": change("endpoint", "file:///etc/passwd"),
		"no host": change("endpoint", "https:///x"), "a user": change("endpoint", "https://u:p@127.0.0.1/x"), "a fragment": change("endpoint", l.sim.URL()+"/push/x#y"),
		"control": change("endpoint", l.sim.URL()+"/push/\r\nX: y"), "opaque": change("endpoint", "https:push"), "long": change("endpoint", l.sim.URL()+"/"+strings.Repeat("x", 2048)),
		"short auth": change("auth", "AAAA"), "no auth": change("auth", ""), "short key": change("p256dh", "BAAA"), "off the curve": change("p256dh", "B"+strings.Repeat("A", 86)),
		"a number": change("auth", 1), "array": "[]", "null": "null", "empty": "", "text": "hello",
	} {
		if r := s.Send(context.Background(), hello(), []push.Target{{Token: bad}})[0]; r.Outcome != push.BadTarget || r.Code != push.CodeBadToken {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := l.sim.Requests() - before; n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestMessage(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	l := newLab(t, sandbox.Config{})
	o := l.options()
	o.Now = func() time.Time { return now }
	s := l.open(t, o)
	five, nine := 5, 9
	m := push.Message{
		Kind: push.Alert, Title: "鸿雁 <b>", Body: "你好", Badge: &five, CollapseKey: "会话 1", ThreadID: "t", HighPriority: true,
		ExpiresAt: now.Add(time.Minute), Data: map[string]any{"n": 7.0, "o": map[string]any{"a": "b"}},
	}
	ts := []push.Target{l.target(t, 1), l.target(t, 2)}
	ts[1].Badge = &nine
	for i, r := range s.Send(context.Background(), m, ts) {
		if r.Outcome != push.Accepted || r.VendorID == "" {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	for _, got := range l.inbox.List() {
		badge, id := 5.0, ts[0].ID
		if got.Token == ts[1].Token {
			badge, id = 9, ts[1].ID
		}
		want := map[string]any{
			"id": id, "title": "鸿雁 <b>", "body": "你好", "badge": badge, "tag": "会话 1", "thread": "t", "silent": true,
			"data": map[string]any{"n": 7.0, "o": map[string]any{"a": "b"}},
		}
		var p map[string]any
		if err := json.Unmarshal(got.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Error(d)
		}
		h := got.Headers
		if h["ttl"] != "60" || h["urgency"] != "high" || len(h["topic"]) != 32 {
			t.Errorf("%v", h)
		}
	}
	if a, b := l.inbox.List()[0].Headers["topic"], l.inbox.List()[1].Headers["topic"]; a != b {
		t.Errorf("topics of one key: %s, %s", a, b)
	}
	m = push.Message{Kind: push.Alert, Title: "x", Sound: "default", InterruptionLevel: "passive", ExpiresAt: now}
	if r := s.Send(context.Background(), m, ts[:1])[0]; r.Outcome != push.Accepted {
		t.Fatalf("%+v", r)
	}
	last := l.inbox.List()[2]
	if last.Headers["ttl"] != "0" || last.Headers["urgency"] != "low" || last.Headers["topic"] != "" || strings.Contains(string(last.Payload), "silent") {
		t.Errorf("%v %s", last.Headers, last.Payload)
	}
	for _, kind := range []push.Kind{push.Silent, push.Badge} {
		if r := s.Send(context.Background(), push.Message{Kind: kind, Title: "x", Badge: &five}, ts[:1])[0]; r.Outcome != push.BadMessage || r.Code != push.CodeBadContent {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestLongBody(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	for _, piece := range []string{"a", "长", "👩‍👩‍👧", "\"\\\n"} {
		m := hello()
		m.Body = strings.Repeat(piece, 5000)
		if r := s.Send(context.Background(), m, []push.Target{l.target(t, 0)})[0]; r.Outcome != push.Accepted {
			t.Fatalf("%q: %+v", piece, r)
		}
		list := l.inbox.List()
		var p struct{ Body string }
		payload := list[len(list)-1].Payload
		if err := json.Unmarshal(payload, &p); err != nil {
			t.Fatal(err)
		}
		if len(payload) > 3000 || len(payload) < 2950 || !strings.HasSuffix(p.Body, "…") || !strings.HasPrefix(m.Body, strings.TrimSuffix(p.Body, "…")) {
			t.Errorf("%q: %d bytes, %.30q…", piece, len(payload), p.Body)
		}
	}
}

func TestOrder(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	states := []string{"", "410", "key_mismatch"}
	var ts []push.Target
	for i := range 200 {
		ts = append(ts, l.target(t, i))
		if err := l.sim.SetToken(ts[i].Token, sandbox.TokenState{Reason: states[i%3]}); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range s.Send(context.Background(), hello(), ts) {
		if want := []string{"", "410", "key_mismatch"}[i%3]; r.Code != want {
			t.Errorf("target %d: %+v", i, r)
		}
	}
}

// A browser that subscribed with another key gets nothing, and the key is not blamed.
func TestAnotherKey(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	tg := l.target(t, 0)
	l.fields = keys(t)
	s := l.open(t, l.options())
	if r := s.Send(context.Background(), hello(), []push.Target{tg})[0]; r.Outcome != push.BadTarget || r.Code != "key_mismatch" || !r.KeepToken {
		t.Errorf("a key that the service has never seen: %+v", r)
	}
	l.accounts.Add(sandbox.Account{ID: l.fields["public_key"]})
	if r := s.Send(context.Background(), hello(), []push.Target{tg})[0]; r.Outcome != push.BadTarget || r.Code != "key_mismatch" || !r.KeepToken {
		t.Errorf("another app's key: %+v", r)
	}
}

func TestInspect(t *testing.T) {
	good, other := keys(t), keys(t)
	info, err := webpush.Spec().Inspect(good, "", time.Now())
	if err != nil || info.Kind != "vapid" || info.Subject != good["subject"] {
		t.Errorf("%+v, %v", info, err)
	}
	for name, c := range map[string]struct{ key, value, field, code string }{
		"no public key":   {"public_key", "", "public_key", push.FieldMissing},
		"short":           {"public_key", "BAAA", "public_key", push.FieldInvalid},
		"off the curve":   {"public_key", "B" + strings.Repeat("A", 86), "public_key", push.FieldInvalid},
		"another's":       {"public_key", other["public_key"], "private_key", push.FieldKeyMismatch},
		"zero":            {"private_key", strings.Repeat("A", 43), "private_key", push.FieldInvalid},
		"no subject":      {"subject", "", "subject", push.FieldMissing},
		"a bare address":  {"subject", "ops@hongyan.example", "subject", push.FieldInvalid},
		"localhost":       {"subject", "mailto:ops@localhost", "subject", push.FieldInvalid},
		"plain http":      {"subject", "http://hongyan.example", "subject", push.FieldInvalid},
		"a name with one": {"subject", "mailto:Ops <ops@hongyan.example>", "subject", push.FieldInvalid},
	} {
		fields := map[string]string{}
		for k, v := range good {
			fields[k] = v
		}
		fields[c.key] = c.value
		_, err := webpush.Spec().Inspect(fields, "", time.Now())
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Field != c.field || fe.Code != c.code {
			t.Errorf("%s: %v, want %s %s", name, err, c.field, c.code)
		}
	}
	good["subject"] = "https://hongyan.example/contact"
	if _, err := webpush.Spec().Inspect(good, "", time.Now()); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t, l.options())
	if r := s.Check(context.Background()); r.Outcome != push.Accepted || r.Code != "404" {
		t.Errorf("%+v", r)
	}
	l.fields = keys(t) // a key that the service refuses
	for code, want := range map[string]push.Outcome{"403": push.BadCredential, "400:vapid": push.BadCredential, "503": push.Retry, "429": push.Throttled} {
		l.set(t, sandbox.Settings{Mix: map[string]float64{code: 100}})
		if r := s.Check(context.Background()); r.Outcome != want {
			t.Errorf("%s: %+v", code, r)
		}
	}
}
