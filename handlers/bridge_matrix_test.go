package handlers

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// tokenRequest is a request to a bridge that addresses devices.
func tokenRequest(body []byte) ingestRequest {
	return ingestRequest{header: http.Header{}, body: body, now: testNow(), language: models.LanguageChinese}
}

// fuzzTokens fuzzes the parser of a bridge, from its fixtures and from what breaks
// parsers.
func fuzzTokens(f *testing.F, p protocol, folder string) {
	f.Helper()
	files, err := filepath.Glob("testdata/" + folder + "/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		// The same with every text broken, every number a text, every value null.
		f.Add(bytes.ReplaceAll(b, []byte(`":"`), []byte("\":\"\xff\xfe")))
		f.Add(bytes.ReplaceAll(b, []byte(`1`), []byte(`"1"`)))
		f.Add(bytes.ReplaceAll(b, []byte(`":"`), []byte(`":7,"x":"`)))
	}
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Add([]byte(`{"notification":{"devices":[` + strings.Repeat(`{},`, 200) + `{}]}}`))
	f.Add([]byte(`{"badge":1e400,"counts":{"unread":-1e308}}`))
	f.Add([]byte("null"))
	hostileSeeds(f, p, "", func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) { checkParse(t, p, tokenRequest(body)) })
}

func FuzzMatrix(f *testing.F) { fuzzTokens(f, matrixGateway{}, "matrix") }

func TestMatrixRefuses(t *testing.T) {
	t.Parallel()
	device := `{"app_id":"a","pushkey":"k"}`
	for body, want := range map[string]string{
		``: "bad_json ", `[]`: "wrong_type ", `{}`: "required notification", `{"notification":7}`: "wrong_type notification",
		`{"notification":{"devices":[]}}`:                                                 "required notification.devices",
		`{"notification":{"devices":[{"pushkey":"k"}]}}`:                                  "required notification.devices[0].app_id",
		`{"notification":{"devices":[` + device + `,{"app_id":"a"}]}}`:                    "required notification.devices[1].pushkey",
		`{"notification":{"devices":[{"app_id":"a","pushkey":7}]}}`:                       "wrong_type notification.devices.pushkey",
		`{"notification":{"devices":[{"app_id":"a","pushkey":"a\u0000b"}]}}`:              "wrong_type notification.devices[0].pushkey",
		`{"notification":{"devices":[` + strings.Repeat(device+",", 100) + device + `]}}`: "too_many_items notification.devices",
	} {
		_, err := matrixGateway{}.parse(tokenRequest([]byte(body)))
		e := apiErrorOf(err)
		if got := e.code + " " + e.field; err == nil || got != want {
			t.Errorf("%.70s: %q, want %q", body, got, want)
		}
	}
}

// atToken puts a device's token and an app id in the place of a fixture's.
func atToken(body []byte, token, app string) []byte {
	body = bytes.ReplaceAll(body, []byte("token-of-bob"), []byte(token))
	return bytes.ReplaceAll(body, []byte("com.example.im.android"), []byte(app))
}

// name registers app or server ids for the site's IM app.
func (s *machineSite) name(names ...string) {
	s.t.Helper()
	in := models.IMAppInput{Name: s.imApp.Name, Bridge: s.imApp.Bridge, Names: strings.Join(names, " "), AllowIPs: s.imApp.AllowIPs}
	if _, err := s.store.UpdateIMApp(s.t.Context(), s.who, s.imApp.ID, in, bridgeIDs()); err != nil {
		s.t.Fatal(err)
	}
	s.advance(2 * time.Second)
}

// unregister makes a phone's token a dead one.
func (p *phone) unregister() {
	p.s.t.Helper()
	if r := p.call("/unregister", map[string]any{}); r.status/100 != 2 {
		p.s.t.Fatalf("unregister: %d %s", r.status, r.body)
	}
}

func TestMatrixEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "matrix", Rates{}, func(t *testing.T, s *machineSite) {
		const root, app = "/" + matrixPath, "com.example.im.android"
		bob := registeredPhone(t, s, siteVendorToken)
		ask := func(path, file, token, app, want string) {
			t.Helper()
			r := s.post(path, atToken(fixture(t, "matrix/"+file+".json"), token, app))
			if got := strings.TrimSpace(string(r.body)); r.status != 200 || got != want {
				t.Errorf("%s to %s: %d %s, want %s", file, path[:min(len(path), 4)], r.status, got, want)
			}
		}
		none := `{"rejected":[]}`
		ask(root, "dendrite_message", bob.token, app, none) // nobody has registered the app_id
		if n := s.count("messages"); n != 0 {
			t.Fatalf("%d messages for an app_id that is not registered", n)
		}
		s.name(app)
		for _, path := range []string{root, root, s.im(root), s.im("")} { // once, and three duplicates
			ask(path, "dendrite_message", bob.token, app, none)
		}
		ask(root, "dendrite_invite", bob.token, app, none)
		ask(root, "dendrite_invite", bob.token, app, none) // Dendrite's second one
		ask(root, "synapse_badge", bob.token, app, none)
		ask(root, "dendrite_read", bob.token, app, none)
		ask(root, "encrypted", "never-registered", app, none)
		ask(root, "encrypted", bob.token, "com.example.other", none)
		bob.unregister()
		ask(root, "encrypted", bob.token, app, `{"rejected":["`+bob.token+`"]}`)
		ask(root, "synapse_badge", bob.token, app, `{"rejected":["`+bob.token+`"]}`)
		ask(root, "encrypted", bob.token, "com.example.other", none) // not told under another's name
		want := map[string]int{"accepted": 2, "duplicate": 4, "badge": 2, "unknown": 1, "dead": 2}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		ask(root, "encrypted", bob.token, app, none) // without authorization nobody is dropped
		ask(s.im(root), "encrypted", bob.token, app, none)
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), "你好") {
			t.Error("the log holds a token or a text")
		}
	})
}

func TestMatrixErrors(t *testing.T) {
	t.Parallel()
	rates := DefaultRates()
	rates.NamedApp = Rate{Every: time.Hour, Burst: 3}
	rates.NamedAddress = Rate{Every: time.Hour, Burst: 9}
	eachMachine(t, "matrix", rates, func(t *testing.T, s *machineSite) {
		const root = "/" + matrixPath
		good := fixture(t, "matrix/encrypted.json")
		for _, c := range []struct {
			method, path string
			body         []byte
			header       []string
			want         string
		}{
			{"PUT", root, nil, nil, "405 M_UNRECOGNIZED"},
			{"GET", root, nil, nil, "200 "}, // UnifiedPush's question
			{"POST", s.im("x" + root), good, nil, "404 M_UNRECOGNIZED"},
			{"POST", root, []byte("{"), nil, "400 M_NOT_JSON"},
			{"POST", root, []byte(`{"notification":{}}`), nil, "400 M_BAD_JSON"},
			{"POST", root, bytes.Repeat([]byte(" "), maxBridgeBody+1), nil, "413 M_TOO_LARGE"},
			{"POST", root, gzipped(t, strings.Repeat(" ", maxBridgeLength+1)), []string{"Content-Encoding", "gzip"}, "413 M_TOO_LARGE"},
			{"POST", root, good, nil, "200 "},
			{"POST", root, good, nil, "200 "},
			{"POST", root, good, nil, "200 "},
			{"POST", root, good, nil, "429 M_LIMIT_EXCEEDED"}, // the app's
			{"POST", root, atToken(good, "t", "another"), nil, "200 "},
			{"POST", root, atToken(good, "t", "another"), nil, "429 M_LIMIT_EXCEEDED"}, // the address's
			{"POST", s.im(root), good, nil, "200 "},                                    // with the secret there is no limit
		} {
			r := s.do(c.method, c.path, c.body, c.header...)
			code, _ := r.json(t)["errcode"].(string)
			if got := strconv.Itoa(r.status) + " " + code; got != c.want {
				t.Errorf("%s %.40s: %d %s, want %s", c.method, c.path, r.status, r.body, c.want)
			}
		}
		s.store.GuardDisk("/", 1<<62, nil)
		bob := registeredPhone(t, s, siteVendorToken)
		if r := s.post(s.im(root), atToken(good, bob.token, "a")); r.status != 503 || r.json(t)["errcode"] != "M_UNKNOWN" {
			t.Errorf("when it cannot be stored: %d %s", r.status, r.body)
		}
	})
}
