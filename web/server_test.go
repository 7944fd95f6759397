package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/internal/htmlcheck"
	"hongyan/models"
	"hongyan/views"
	"hongyan/views/components/kit"
)

func do(s *Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func post(path string, form url.Values, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestErrorsBecomePages(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	fails := map[string]error{
		"invalid":      &models.Error{Kind: models.Invalid},
		"unauthorized": &models.Error{Kind: models.Unauthorized},
		"forbidden":    fmt.Errorf("handlers: x: %w", &models.Error{Kind: models.Forbidden}),
		"not-found":    &models.Error{Kind: models.NotFound, Key: "errors.cross_origin"},
		"conflict":     &models.Error{Kind: models.Conflict},
		"too-many":     &Error{Kind: KindTooMany},
		"too-large":    &Error{Kind: KindTooLarge},
		"unavailable":  &Error{Kind: KindUnavailable},
		"internal":     errors.New("database password is hunter2"),
		"unknown-kind": &Error{Kind: "strange"},
		"deadline":     context.DeadlineExceeded,
		"canceled":     fmt.Errorf("models: accept: %w", context.Canceled),
		"teapot":       echo.NewHTTPError(http.StatusTeapot),
	}
	g := s.Console()
	for name, err := range fails {
		g.GET("/fail/"+name, Public, func(echo.Context) error { return err })
	}
	g.GET("/panic", Public, func(echo.Context) error { panic("boom") })
	tests := map[string]int{
		"/fail/invalid": 422, "/fail/unauthorized": 401, "/fail/forbidden": 403, "/fail/not-found": 404,
		"/fail/conflict": 409, "/fail/too-many": 429, "/fail/too-large": 413, "/fail/unavailable": 503,
		"/fail/internal": 500, "/fail/unknown-kind": 500, "/fail/deadline": 503, "/fail/canceled": 503, "/fail/teapot": 418,
		"/panic": 500, "/nowhere": 404,
	}
	for path, status := range tests {
		for _, lang := range []string{"zh-CN", "en"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Accept-Language", lang)
			w := do(s, r)
			if w.Code != status {
				t.Errorf("GET %s: %d, want %d", path, w.Code, status)
			}
			body := w.Body.String()
			for _, fault := range htmlcheck.Page([]byte(body)) {
				t.Errorf("GET %s: %s", path, fault)
			}
			if !strings.Contains(body, `lang="`+lang+`"`) {
				t.Errorf("GET %s: not in %s", path, lang)
			}
			if strings.Contains(body, "hunter2") || strings.Contains(body, "boom") {
				t.Errorf("GET %s shows its cause", path)
			}
			id := w.Header().Get("X-Request-Id")
			if status >= 500 && !strings.Contains(body, id) {
				t.Errorf("GET %s does not show request id %s", path, id)
			}
		}
	}
	if !strings.Contains(log.String(), "hunter2") {
		t.Error("the cause of a fault is not in the log")
	}
	if n := strings.Count(log.String(), "hunter2"); n != 2 {
		t.Errorf("the cause stands %d times in the log, want once per request", n)
	}
}

// A page that fails half-way must not leave half a page with status 200.
func TestRenderIsWhole(t *testing.T) {
	s := newServer(t, nil)
	s.Console().GET("/half", Public, func(c echo.Context) error { return Page(c, brokenPage{}) })
	w := get(t, s, "/half")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "first half") {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

type brokenPage struct{}

func (brokenPage) Render(_ context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, "first half"); err != nil {
		return err
	}
	return errors.New("no second half")
}

func TestHeaders(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		s := newServer(t, func(o *Options) {
			o.PublicURL.Scheme = scheme
			o.Decorate = func(c echo.Context, ch *views.Chrome) { kit.Decorate(c.Path(), ch) }
		})
		addKit(s)
		a, b := get(t, s, "/kit"), get(t, s, "/kit")
		nonce := regexp.MustCompile(`'nonce-([^']+)'`)
		first := nonce.FindStringSubmatch(a.Header().Get("Content-Security-Policy"))
		second := nonce.FindStringSubmatch(b.Header().Get("Content-Security-Policy"))
		if first == nil || second == nil || first[1] == second[1] {
			t.Fatalf("nonces %v and %v", first, second)
		}
		if !strings.Contains(a.Body.String(), `nonce="`+first[1]+`"`) {
			t.Error("the page does not carry its nonce")
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cache-Control": "no-store", "Content-Type": "text/html; charset=UTF-8",
		} {
			if got := a.Header().Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if hsts := a.Header().Get("Strict-Transport-Security") != ""; hsts != (scheme == "https") {
			t.Errorf("%s: HSTS %v", scheme, hsts)
		}
		if fault := htmlcheck.Page(a.Body.Bytes()); fault != nil {
			t.Error(fault)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	s := newServer(t, nil)
	g := s.Console()
	g.POST("/act", Public, func(c echo.Context) error { return SeeOther(c, "/") })
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"own page", []string{"Sec-Fetch-Site", "same-origin"}, 303},
		{"another site", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another host of the site", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"plain HTTP, own origin", []string{"Origin", "http://example.com"}, 303},
		{"plain HTTP, foreign origin", []string{"Origin", "http://evil.example"}, 403},
		{"proxy changed the host", []string{"Origin", "http://console.example"}, 303},
		{"a program", nil, 303},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w := do(s, post("/act", nil, tt.header...)); w.Code != tt.status {
				t.Errorf("got %d, want %d", w.Code, tt.status)
			}
		})
	}
}

func TestIPExtractor(t *testing.T) {
	tests := []struct {
		name, remote, forwarded, want string
		trusted                       []netip.Prefix
	}{
		{"nobody is believed", "10.0.0.1:1", "1.2.3.4", "10.0.0.1", nil},
		{"trusted proxy", "10.0.0.1:1", "1.2.3.4", "1.2.3.4", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{"forged by the client", "10.0.0.1:1", "9.9.9.9, 1.2.3.4", "1.2.3.4", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{"not from the proxy", "192.168.0.1:1", "1.2.3.4", "192.168.0.1", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{"loopback is not special", "127.0.0.1:1", "1.2.3.4", "127.0.0.1", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.remote
			r.Header.Set("X-Forwarded-For", tt.forwarded)
			if got := ipExtractor(tt.trusted)(r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLogAndMetricsCarryPatternsOnly(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	s := newServer(t, func(o *Options) {
		o.Log, o.Registerer = slog.New(slog.NewJSONHandler(&log, nil)), registry
	})
	s.API("/im", nil).POST("/:secret/messages", ByKey, func(echo.Context) error { return &Error{Kind: KindForbidden} })
	r := post("/im/s3cr3t-path/messages?token=s3cr3t-query", nil)
	r.Host = "attacker.example"
	do(s, r)
	do(s, httptest.NewRequest("INVENTED", "/s3cr3t-nowhere", nil))
	get(t, s, "/im/s3cr3t-path/other")
	var out bytes.Buffer
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		fmt.Fprintln(&out, f)
	}
	for where, text := range map[string]string{"log": log.String(), "metrics": out.String()} {
		for _, bad := range []string{"s3cr3t", "attacker", "INVENTED"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s contains %q:\n%s", where, bad, text)
			}
		}
		if !strings.Contains(text, "/im/:secret/messages") {
			t.Errorf("%s has no route pattern", where)
		}
	}
	if !strings.Contains(out.String(), "hongyan_http_requests_total") {
		t.Error("no request counted")
	}
}

func TestAPIErrorsAreJSON(t *testing.T) {
	s := newServer(t, nil)
	s.API("/device/v1", nil).POST("/x", ByKey, func(echo.Context) error { return &Error{Kind: KindConflict} })
	s.API("/v3", func(c echo.Context, status int, kind, message string) error {
		return c.JSON(http.StatusOK, map[string]any{"ret_code": status})
	})
	for path, want := range map[string]int{"/device/v1/x": 409, "/device/v1/none": 404, "/v3/none": 200} {
		w := do(s, post(path, nil))
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != want {
			t.Errorf("POST %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := get(t, s, "/v30"); !strings.Contains(w.Header().Get("Content-Type"), "html") {
		t.Error("/v30 is not under /v3")
	}
}

func TestHeadAndHealth(t *testing.T) {
	ready := errors.New("database is locked")
	s := newServer(t, func(o *Options) { o.Ready = func(context.Context) error { return ready } })
	srv := httptest.NewServer(s)
	defer srv.Close()
	res, err := http.Head(srv.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != 200 {
		t.Errorf("HEAD /healthz: %d, %v", res.StatusCode, err)
	}
	if w := get(t, s, "/readyz"); w.Code != 503 || strings.Contains(w.Body.String(), "locked") {
		t.Errorf("GET /readyz: %d %s", w.Code, w.Body)
	}
	ready = nil
	if w := get(t, s, "/readyz"); w.Code != 200 {
		t.Errorf("GET /readyz: %d", w.Code)
	}
}

func TestListenSaysWhichAddress(t *testing.T) {
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if _, err := Listen(t.Context(), ln.Addr().String()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// A request under way at shutdown is answered; Serve returns only then.
func TestServeDrains(t *testing.T) {
	s := newServer(t, nil)
	started, finish := make(chan struct{}), make(chan struct{})
	s.API("/slow", nil).GET("", ByKey, func(c echo.Context) error {
		close(started)
		<-finish
		return c.NoContent(http.StatusOK)
	})
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- Serve(ctx, ln, "test", s, time.Minute, s.opts.Log) }()
	go func() {
		res, err := http.Get("http://" + ln.Addr().String() + "/slow")
		if err == nil {
			err = res.Body.Close()
		}
		answered <- err
	}()
	<-started
	stop()
	select {
	case err := <-served:
		t.Fatalf("Serve returned with a request under way: %v", err)
	default:
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the request under way failed: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestBodyLimit(t *testing.T) {
	s := newServer(t, func(o *Options) { o.BodyLimit = "1K" })
	s.Console().POST("/form", Public, func(c echo.Context) error {
		var f sampleForm
		return Bind(c, &f)
	})
	if w := do(s, post("/form", url.Values{"name": {strings.Repeat("x", 2000)}})); w.Code != 413 {
		t.Errorf("got %d, want 413", w.Code)
	}
}

func TestEveryRouteHasAPermission(t *testing.T) {
	s := newServer(t, nil)
	addKit(s)
	s.API("/v3", nil).POST("/x", ByKey, func(echo.Context) error { return nil })
	known := map[string]bool{}
	for _, r := range s.Routes() {
		known[r.Method+" "+r.Path] = r.Permission != ""
	}
	for _, r := range s.Registered() {
		if r.Method != echo.RouteNotFound && !known[r.Method+" "+r.Path] {
			t.Errorf("%s %s stands in no list", r.Method, r.Path)
		}
	}
}
