package handlers

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/views"
	"hongyan/views/locale"
	"hongyan/xmpp"
)

func FuzzXMPP(f *testing.F) {
	whole := string(fixture(f, "xmpp/prosody_message.xml"))
	for _, seed := range []string{
		`<!DOCTYPE iq [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><iq>&b;</iq>`,
		strings.Repeat("<pubsub>", 10_000), whole + whole, whole[:len(whole)/2],
		strings.ReplaceAll(whole, "token-of-bob", "&#0;\xff\xfe"), strings.ReplaceAll(whole, "你好", "\xff\xfe&#xFFFE;"),
		strings.ReplaceAll(whole, "<value>1<", "<value>99999999999999999999<"), strings.ReplaceAll(whole, "<value>1<", "<value>-1<"),
		strings.ReplaceAll(whole, "你好", strings.Repeat("长", 50_000)), strings.ReplaceAll(whole, "last-message-sender", "aps"),
		strings.ReplaceAll(whole, "<field", "<field var='x' "), strings.ReplaceAll(whole, "alice@localhost/dev1", strings.Repeat("@/", 500)),
		strings.ReplaceAll(whole, "</notification>", strings.Repeat("<a xmlns='b' c='d'/>", 5000)+"</notification>"),
	} {
		f.Add([]byte(seed))
	}
	fuzzTokens(f, xmppPush{}, "xmpp")
}

// The same publication is recognised; one that says another thing under the same id
// is another.
func TestXMPPSourceID(t *testing.T) {
	t.Parallel()
	id := func(old, new string) string {
		t.Helper()
		in, err := xmppPush{}.parse(tokenRequest(bytes.ReplaceAll(fixture(t, "xmpp/prosody_message.xml"), []byte(old), []byte(new))))
		if err != nil {
			t.Fatal(err)
		}
		return in.messages[0].SourceID
	}
	if id("", "") != id("s3cret", "other") {
		t.Error("a rotated secret makes another message")
	}
	for _, c := range [][2]string{{"eeb8", "eeb9"}, {"from='localhost'", "from='example.com'"}, {"offline", "again"}} {
		if id("", "") == id(c[0], c[1]) {
			t.Errorf("with %s it is the same message", c[1])
		}
	}
	if id(" id='eeb8'", "") != "" {
		t.Error("without an id it can be recognised")
	}
}

func TestXMPPRefuses(t *testing.T) {
	t.Parallel()
	whole := string(fixture(t, "xmpp/prosody_message.xml"))
	for body, want := range map[string]string{
		"": "bad_xml", "{}": "bad_xml", "<iq>": "bad_xml", whole + "x": "bad_xml", `<!DOCTYPE iq [<!ENTITY a "b">]><iq>&a;</iq>`: "bad_xml",
		"<message/>": "required (iq)", "<iq/>": "required (publish)", strings.ReplaceAll(whole, "<publish ", "<retract "): "bad_xml",
		strings.ReplaceAll(whole, " node='token-of-bob'", ""):                                 "required (publish.node)",
		strings.ReplaceAll(whole, "token-of-bob", " a "):                                      "wrong_type (publish.node)",
		strings.ReplaceAll(whole, "token-of-bob", strings.Repeat("x", 5000)):                  "wrong_type (publish.node)",
		strings.ReplaceAll(strings.ReplaceAll(whole, "<item>", ""), "</item>", ""):            "required (publish.item.notification)",
		strings.ReplaceAll(whole, "你好", strings.Repeat("x", xmpp.MaxBytes)):                   "too_large",
		strings.ReplaceAll(whole, "你好", strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40)): "too_large",
	} {
		_, err := xmppPush{}.parse(tokenRequest([]byte(body)))
		if err == nil {
			t.Errorf("%.60s: parsed", body)
			continue
		}
		if got := xmppError(apiErrorOf(err)); got.Type != xmpp.Modify || got.Text != want {
			t.Errorf("%.60s: %v %s, want %s", body, got, got.Text, want)
		}
	}
}

// What is answered makes a server forget a node only where the device is gone.
func TestXMPPErrors(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		400: "modify bad-request", 413: "modify policy-violation", 415: "modify bad-request", 404: "cancel item-not-found", 405: "cancel feature-not-implemented",
		401: "wait forbidden", 403: "wait forbidden", 429: "wait resource-constraint", 500: "wait internal-server-error", 503: "wait service-unavailable", 409: "wait internal-server-error",
	} {
		if got := xmppError(&apiError{status: status, code: "x"}); got.Type+" "+got.Condition != want {
			t.Errorf("%d is %s %s, want %s", status, got.Type, got.Condition, want)
		}
	}
}

// Over the component and over HTTP alike: stored once, answered by what became of the
// token, counted.
func TestXMPPEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "xmpp", Rates{UnknownSecrets: Rate{Every: time.Hour, Burst: 3}, NamedAddress: Rate{Every: time.Millisecond, Burst: 100}, NamedApp: Rate{Every: time.Millisecond, Burst: 100}}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		publish := PublishXMPP(s.server)
		iq := func(node, id, secret string) string {
			text := string(fixture(t, "xmpp/prosody_message.xml"))
			return strings.NewReplacer("token-of-bob", node, "eeb8", id, "s3cret", secret).Replace(text)
		}
		over := func(what, text, want string) {
			t.Helper()
			e, err := xmpp.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if fault := publish(context.Background(), "192.0.2.7:4711", e); fault != nil {
				got = fault.Type + " " + fault.Condition + " " + fault.Text
			}
			if got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			if strings.Contains(e.String(), s.secret) {
				t.Errorf("%s: the secret is handed on", what)
			}
		}
		over("a message", iq(bob.token, "m1", s.secret), "")
		over("again", iq(bob.token, "m1", s.secret), "")
		over("unknown token", iq("nobody", "m2", s.secret), "cancel item-not-found unknown_device")
		over("wrong secret", iq(bob.token, "m3", "wrong"), "cancel item-not-found unknown_address")
		over("no secret at all", iq(bob.token, "m4", ""), "cancel item-not-found unknown_device") // nobody has registered localhost
		over("a path", iq(bob.token, "m5", "../"+s.secret), "cancel item-not-found unknown_address")
		over("a sample's", iq(bob.token, "m5", "sample."+s.secret), "cancel item-not-found unknown_address")
		over("no notification", strings.ReplaceAll(iq(bob.token, "m6", s.secret), "urn:xmpp:push:0", "x"), "modify bad-request required (publish.item.notification)")
		for range 2 {
			over("wrong secrets", iq(bob.token, "m7", "wrong"), "cancel item-not-found unknown_address")
			s.advance(time.Second) // what is not there is remembered for as long
		}
		over("one too many", iq(bob.token, "m7", "wronger"), "wait resource-constraint too_many_requests")
		over("a good one all the same", iq(bob.token, "m8", s.secret), "")

		if r := s.post(s.im("/xmpp"), []byte(iq(bob.token, "m9", ""))); r.status != 200 || string(r.body) != `<iq xmlns="" type="result" id="m9" from="push.localhost" to="localhost"/>` {
			t.Errorf("posted: %d %s", r.status, r.body)
		}
		if r := s.post(s.im("/xmpp"), []byte("<iq")); r.status != 400 || !strings.Contains(string(r.body), "bad-request") {
			t.Errorf("no XML: %d %s", r.status, r.body)
		}
		if r := s.do("GET", "/xmpp", nil); r.status != 405 || !strings.Contains(string(r.body), "feature-not-implemented") {
			t.Errorf("GET: %d %s", r.status, r.body)
		}

		sample := xmppPush{}.bridge().Sample("friend", bob.token, "m9", "hello", s.clock())
		if r := s.post(s.im("/xmpp"), sample.Body); r.status != 200 || !strings.Contains(string(r.body), `type="result"`) {
			t.Errorf("the sample: %d %s", r.status, r.body)
		}

		in := models.IMAppInput{Name: "IM", Bridge: "xmpp", Names: "localhost", AllowIPs: "192.0.2.0/24 127.0.0.1"}
		if _, err := s.store.UpdateIMApp(t.Context(), s.who, s.imApp.ID, in, []string{"xmpp"}); err != nil {
			t.Fatal(err)
		}
		over("by the server's name", iq(bob.token, "n1", ""), "")
		over("by another's", strings.ReplaceAll(iq(bob.token, "n2", ""), "from='localhost'", "from='example.com'"), "cancel item-not-found unknown_device")
		if n := s.count("messages"); n != 5 {
			t.Errorf("%d messages are stored, want 5", n)
		}
		in.AllowIPs = "198.51.100.1"
		if _, err := s.store.UpdateIMApp(t.Context(), s.who, s.imApp.ID, in, []string{"xmpp"}); err != nil {
			t.Fatal(err)
		}
		over("from elsewhere", iq(bob.token, "n3", s.secret), "wait forbidden address_not_allowed")
		in.AllowIPs = ""
		if _, err := s.store.UpdateIMApp(t.Context(), s.who, s.imApp.ID, in, []string{"xmpp"}); err != nil {
			t.Fatal(err)
		}
		bob.unregister()
		over("dead token", iq(bob.token, "n4", s.secret), "cancel item-not-found dead_device")
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		over("unauthorized", iq(bob.token, "n5", s.secret), "wait forbidden not_authorized")
		got := s.stats()
		if got["accepted"] != 5 || got["duplicate"] != 1 || got["unknown"] != 1 || got["dead"] != 1 || got["unauthorized"] != 1 || got["invalid"] != 2 {
			t.Errorf("counted %v", got)
		}
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), s.secret) || strings.Contains(s.log.String(), "offline") {
			t.Error("the log holds a token, a secret or a text")
		}
	})
}

// Every state has a sentence that says what to do, and the steps name the domain that is
// configured.
func TestXMPPLink(t *testing.T) {
	t.Parallel()
	bundle, err := locale.NewBundle(func(_, key string) { t.Errorf("no sentence %s", key) })
	if err != nil {
		t.Fatal(err)
	}
	ctx := locale.With(t.Context(), bundle.Localizer(locale.Chinese))
	seen := map[string]bool{}
	for _, st := range []xmpp.State{
		{Phase: xmpp.Connecting}, {Phase: xmpp.Connected}, {Phase: xmpp.Standby, Fault: xmpp.FaultConflict}, {Phase: xmpp.Stopped},
		{Phase: xmpp.Disconnected, Fault: xmpp.FaultUnreachable}, {Phase: xmpp.Disconnected, Fault: xmpp.FaultSecret}, {Phase: xmpp.Disconnected, Fault: xmpp.FaultDomain},
		{Phase: xmpp.Disconnected, Fault: xmpp.FaultClosed}, {Phase: xmpp.Disconnected, Fault: xmpp.FaultSilent}, {Phase: xmpp.Disconnected, Fault: xmpp.FaultNoStream},
		{Phase: xmpp.Disconnected, Fault: xmpp.FaultStreamError},
	} {
		st.Domain, st.Addr, st.Since = "push.acme.example", "10.0.0.5:5347", testNow()
		h := &console{Deps: Deps{XMPP: func() xmpp.State { return st }, Now: testNow}}
		var p views.IMAppPage
		for _, step := range (xmppPush{}).bridge().Setup("https://console.example/im/the-secret/xmpp") {
			p.Steps = append(p.Steps, views.SetupStep{Code: step.Code})
		}
		h.xmppLink(ctx, clock{now: testNow(), zone: time.UTC}, &p)
		if !strings.Contains(p.Link, st.Domain) || strings.Contains(p.Link, "{{") || strings.HasPrefix(p.Link, "bridges.") || seen[p.Link] {
			t.Errorf("%s %s: %q", st.Phase, st.Fault, p.Link)
		}
		seen[p.Link] = true
		steps := fmt.Sprint(p.Steps)
		if strings.Contains(steps, xmppDomain) || strings.Count(steps, st.Domain) < 5 || !strings.Contains(steps, "<value>the-secret</value>") {
			t.Errorf("the steps are %s", steps)
		}
	}
}
