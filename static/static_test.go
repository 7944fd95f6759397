package static

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func newAssets(t *testing.T) *Assets {
	t.Helper()
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDarkBlocksAreEqual(t *testing.T) {
	css, err := os.ReadFile("css/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	property := regexp.MustCompile(`([a-z0-9-]+):\s*([^;{}]+);`)
	read := func(start string) map[string]string {
		_, rest, ok := strings.Cut(string(css), start)
		if !ok {
			t.Fatalf("no block %q", start)
		}
		block, _, _ := strings.Cut(rest, "}")
		out := map[string]string{}
		for _, m := range property.FindAllStringSubmatch(block, -1) {
			out[m[1]] = m[2]
		}
		return out
	}
	system, chosen := read(`:root:not([data-theme="light"]) {`), read(`:root[data-theme="dark"] {`)
	if len(system) < 50 {
		t.Fatalf("read only %d values of the dark theme", len(system))
	}
	for name, value := range system {
		if chosen[name] != value {
			t.Errorf("%s is %q by the system's choice and %q by the user's", name, value, chosen[name])
		}
	}
	if len(chosen) != len(system) {
		t.Errorf("%d values by the user's choice, %d by the system's", len(chosen), len(system))
	}
}

// Components must take every colour from a token: one written in app.css would be
// the same in both themes. Phone previews are the exception.
func TestTokensExist(t *testing.T) {
	tokens, err := os.ReadFile("css/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	css, err := os.ReadFile("css/app.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`var\((--[a-z0-9-]+)\)`).FindAllStringSubmatch(string(css), -1) {
		if m[1] != "--p-ink" && !strings.Contains(string(tokens), m[1]+":") {
			t.Errorf("app.css uses %s, which tokens.css does not define", m[1])
		}
	}
}

func TestServe(t *testing.T) {
	a := newAssets(t)
	url := a.URL("css/app.css")
	tests := []struct {
		name, path, accept, match string
		status                    int
		cache, encoding           string
	}{
		{"current", url, "", "", 200, "public, max-age=31536000, immutable", ""},
		{"gzip", url, "br, gzip", "", 200, "public, max-age=31536000, immutable", "gzip"},
		{"gzip refused", url, "gzip;q=0", "", 200, "public, max-age=31536000, immutable", ""},
		{"another process's hash", "/static/00112233445566778899/css/app.css", "", "", 200, "no-cache", ""},
		{"known to the browser", url, "", strings.Split(url, "/")[2], 304, "public, max-age=31536000, immutable", ""},
		{"unknown", "/static/00112233445566778899/css/none.css", "", "", 404, "", ""},
		{"placeholder", "/static/00112233445566778899/vendor/.keep", "", "", 404, "", ""},
		{"no name", "/static/", "", "", 404, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.path, nil)
			r.Header.Set("Accept-Encoding", tt.accept)
			if tt.match != "" {
				r.Header.Set("If-None-Match", `"`+tt.match+`"`)
			}
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			h := w.Result().Header
			if w.Code != tt.status || h.Get("Cache-Control") != tt.cache || h.Get("Content-Encoding") != tt.encoding {
				t.Errorf("got %d, cache %q, encoding %q", w.Code, h.Get("Cache-Control"), h.Get("Content-Encoding"))
			}
		})
	}
}

func TestGzippedIsTheSame(t *testing.T) {
	a := newAssets(t)
	for name, f := range a.byName {
		if f.gzipped == nil {
			continue
		}
		zr, err := gzip.NewReader(strings.NewReader(string(f.gzipped)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(zr)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(f.body) {
			t.Errorf("%s differs when unpacked", name)
		}
	}
}

// A clean clone has no third-party files: it must build, start and say so.
func TestMissing(t *testing.T) {
	bare, err := load(fstest.MapFS{"vendor/.keep": {}, "css/app.css": {Data: []byte("a{}")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := bare.Missing(); len(got) != len(required()) {
		t.Errorf("missing = %v, want all of %v", got, required())
	}
	full, err := load(fstest.MapFS{"vendor/htmx.min.js": {}, "vendor/sprite.svg": {}})
	if err != nil {
		t.Fatal(err)
	}
	if got := full.Missing(); len(got) != 0 {
		t.Errorf("missing = %v, want none", got)
	}
}

// Inline code in our script or style sheet would be refused by the browser.
func TestNothingFromElsewhere(t *testing.T) {
	a := newAssets(t)
	for _, name := range []string{"css/tokens.css", "css/app.css", "js/app.js"} {
		body := string(a.byName[name].body)
		for _, bad := range []string{"http://", "https://", "eval(", "@import", "innerHTML"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", name, bad)
			}
		}
	}
}
