package handlers

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"hongyan/push"
)

func bodyContext(encoding string, body []byte) echo.Context {
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	r.Header.Set("Content-Encoding", encoding)
	return echo.New().NewContext(r, httptest.NewRecorder())
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 100)
	for _, c := range []struct {
		name, encoding string
		body           []byte
		code           string
	}{
		{"plain", "", []byte(text), ""},
		{"identity", "identity", []byte(text), ""},
		{"gzip", "gzip", gzipped(t, text), ""},
		{"gzip in capitals", "GZIP", gzipped(t, text), ""},
		{"plain too large", "", []byte(text + "x"), "too_large"},
		{"bomb", "gzip", gzipped(t, strings.Repeat("x", 201)), "too_large"},
		{"no gzip", "gzip", []byte(text), "bad_gzip"},
		{"cut gzip", "gzip", gzipped(t, text)[:15], "bad_gzip"},
		{"brotli", "br", []byte(text), "unsupported_encoding"},
		{"twice", "gzip, gzip", []byte(text), "unsupported_encoding"},
	} {
		got, err := readBody(bodyContext(c.encoding, c.body), 100, 200)
		switch {
		case c.code == "" && (err != nil || string(got) != text):
			t.Errorf("%s: %v, %d bytes", c.name, err, len(got))
		case c.code != "" && (err == nil || apiErrorOf(err).code != c.code):
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

func FuzzUnzip(f *testing.F) {
	f.Add(gzipped(f, "hello"))
	f.Add(gzipped(f, strings.Repeat("a", 5000)))
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, packed []byte) {
		got, err := unzip(packed, 1000)
		if err == nil && len(got) > 1000 {
			t.Fatalf("%d bytes came through", len(got))
		}
	})
}

// FuzzReadBody holds every reader of a body to its limits.
func FuzzReadBody(f *testing.F) {
	f.Add("gzip", gzipped(f, strings.Repeat(" ", 1<<20)))
	f.Add("gzip", append(gzipped(f, "[1"), gzipped(f, ",2]")...)) // two members are one body
	f.Add("gzip", gzipped(f, "{}")[:12])
	f.Add("GZIP", append(gzipped(f, "{}"), 0, 0, 0))
	f.Add(" x-gzip ", gzipped(f, "["+strings.Repeat("{},", 30_000)+"{}]"))
	f.Add("deflate", []byte("x"))
	f.Add("", []byte("\xef\xbb\xbf{\"a\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, encoding string, sent []byte) {
		const limit, length = 32 << 10, 256 << 10
		before := allocated()
		body, err := readBody(bodyContext(encoding, sent), limit, length)
		if used := allocated() - before; used > 4<<20 {
			t.Fatalf("%d bytes were allocated to read %d", used, len(sent))
		}
		if err != nil {
			if e := apiErrorOf(err); e.status < 400 || e.status > 499 {
				t.Fatalf("input answered with %d: %v", e.status, err)
			}
			return
		}
		if len(sent) > limit || len(body) > length {
			t.Fatalf("%d bytes were read as %d", len(sent), len(body))
		}
	})
}

// FuzzManyValues compares the count with what a parser finds.
func FuzzManyValues(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b,[{":"\\\"",",":null}],"c":{}}`))
	f.Add([]byte(`["[","\"{",[[]],{"":""}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if !json.Valid(body) {
			push.ManyValues(body, 3)
			return
		}
		values := 0
		for {
			token, err := dec.Token()
			if err != nil {
				break
			}
			if d, ok := token.(json.Delim); !ok || d == '[' || d == '{' {
				values++ // and keys, which count as well
			}
		}
		if push.ManyValues(body, 2*values) {
			t.Fatalf("%d values are counted as more than twice as many", values)
		}
		if values > 8 && !push.ManyValues(body, values/4) {
			t.Fatalf("%d values are counted as less than a quarter", values)
		}
	})
}

func TestAddressAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list, ip string
		want     bool
	}{
		{"", "203.0.113.7", true},
		{" \n", "203.0.113.7", true},
		{"203.0.113.7", "203.0.113.7", true},
		{"203.0.113.7", "203.0.113.8", false},
		{"198.51.100.0/24, 203.0.113.0/24", "203.0.113.8", true},
		{"198.51.100.0/24\n203.0.113.9", "203.0.113.8", false},
		{"203.0.113.0/24", "::ffff:203.0.113.8", true},
		{"2001:db8::/32", "2001:db8:1::5", true},
		{"2001:db8::/32", "203.0.113.8", false},
		{"nonsense", "203.0.113.8", false},
		{"203.0.113.0/24", "nonsense", false},
	} {
		if got := addressAllowed(c.list, c.ip); got != c.want {
			t.Errorf("addressAllowed(%q, %q) = %v", c.list, c.ip, got)
		}
	}
}

func TestCutRunes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"你好吗", 3, "你好吗"}, {"你好吗？", 3, "你好…"}, {"", 3, ""}, {"ab", 1, "…"},
	} {
		if got := cutRunes(c.in, c.n); got != c.want {
			t.Errorf("cutRunes(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
