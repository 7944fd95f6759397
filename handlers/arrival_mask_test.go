package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/models"
)

// What any bridge's server sends shows neither the text nor the token nor the secret
// when masked, and no token or secret with its texts.
func TestMaskedSamples(t *testing.T) {
	t.Parallel()
	const text, token, secret = "geheime Nachricht", "c0ffee:APA91b-Zx_yW0123456789", "s3cr3ts3cr3ts3cr3t"
	for _, b := range Bridges() {
		to := "bob"
		if b.Tokens {
			to = token
		}
		sample := b.Sample("Frank the Sender", to, "id-1", text, time.Now())
		u, err := url.Parse("http://x/im/" + secret + "/" + b.Path + "?" + sample.Query)
		if err != nil {
			t.Fatal(err)
		}
		r := rawRequest{method: "POST", route: "/im/:secret/" + b.Path, url: u, header: http.Header{"Authorization": {"Bearer " + secret}}, secret: secret, body: sample.Body}
		masked := r.masked()
		r.tokens = []string{to}
		told := r.told()
		for _, private := range []string{text, "Frank", secret} {
			if strings.Contains(masked, private) {
				t.Errorf("%s: %q is shown:\n%s", b.ID, private, masked)
			}
		}
		for _, shown := range []string{masked, told} {
			if b.Tokens && strings.Contains(shown, token) || strings.Contains(shown, secret) {
				t.Errorf("%s: the token or the secret is shown:\n%s", b.ID, shown)
			}
		}
		if len(sample.Body) > 0 && sample.Body[0] == '{' && !strings.Contains(masked, "•••") {
			t.Errorf("%s: nothing is masked:\n%s", b.ID, masked)
		}
	}
}

// Names and values that an app chooses are not those of a protocol.
func TestMaskedPlaces(t *testing.T) {
	t.Parallel()
	body := `{"id":"ok-1","data":{"id":"inner","0123456789abcdef0123456789":1,"n":42},"body":7,"list":[1,2],"to":["a","张三","has space"],"nested":{"type":"deep"},"token":"x","ok":true,"none":null}`
	r := rawRequest{method: "POST", route: "/im/:secret", header: http.Header{}, body: []byte(body)}
	got := r.masked()
	for _, has := range []string{`"id": "ok-1"`, `"a"`, `"••• 2"`, `"••• 9"`, `"ok": true`, `"none": null`, `"token": "••• 1"`, `"body": •••`} {
		if !strings.Contains(got, has) {
			t.Errorf("%q is not in\n%s", has, got)
		}
	}
	for _, not := range []string{"inner", "deep", "张三", "has space", "0123456789abcdef", "42"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in\n%s", not, got)
		}
	}
}

// Tokens are hidden in one pass: none is looked for in what stands for another, which
// would make a bullet grow without end, and none leaves the rest of a longer one.
func TestMaskedTokens(t *testing.T) {
	t.Parallel()
	r := rawRequest{method: "POST", route: "/x", header: http.Header{"User-Agent": {"• app-token-of-bob"}}, tokens: []string{"app-token", "app-token-of-bob"}}
	for range 100 {
		r.tokens = append(r.tokens, "•")
	}
	if got := r.masked(); len(got) > 100 || strings.Contains(got, "of-bob") {
		t.Errorf("%d bytes: %.200s", len(got), got)
	}
}

// Of a field that nobody knows a number may be a telephone's.
func TestMaskedNumbers(t *testing.T) {
	t.Parallel()
	r := rawRequest{method: "POST", route: "/x", header: http.Header{}, body: []byte(`{"phone":13800138000,"unread":12,"timestamp":1790000000,"notification":{"otp":482913}}`)}
	got := r.masked()
	if strings.Contains(got, "138") || strings.Contains(got, "482913") || !strings.Contains(got, "12") || !strings.Contains(got, "1790000000") {
		t.Error(got)
	}
}

// However a request is made, masking ends, stays small and shows nothing of a text in a
// field that nobody knows.
func FuzzMask(f *testing.F) {
	for _, b := range Bridges() {
		f.Add(b.Sample("a", "b", "c", "d", time.Unix(0, 0)).Body)
	}
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte(`{"a":`))
	f.Add([]byte(strings.Repeat("[", 5000)))
	f.Add([]byte(`[` + strings.Repeat(`"x",`, 5000) + `1]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := rawRequest{method: "POST", route: "/im/:secret", header: http.Header{}, body: body}
		for _, s := range []string{r.masked(), r.told()} {
			if len(s) > 4*models.MaxShape || utf8.Valid(body) && !utf8.ValidString(s) {
				t.Fatalf("%d bytes", len(s))
			}
		}
		if json.Valid(body) {
			wrapped := append(append([]byte(`{"whatever":{"id":"canary-text","x":`), body...), `}}`...)
			r.body = wrapped
			if out := r.masked(); strings.Contains(out, "canary-text") && !bytes.Contains(body, []byte("canary-text")) {
				t.Fatal(out)
			}
		}
	})
}
