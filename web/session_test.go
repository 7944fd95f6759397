package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"hongyan/views"
	"hongyan/views/components"
)

// visitor keeps cookies between requests, as far as these tests need.
type visitor struct {
	t *testing.T
	s *Server
	c map[string]*http.Cookie
}

func (b *visitor) do(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	for _, c := range b.c {
		r.AddCookie(c)
	}
	w := do(b.s, r)
	for _, c := range w.Result().Cookies() {
		b.c[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.c, c.Name)
		}
	}
	return w
}

func (b *visitor) get(path string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// site is a server with sign-in, pages of each permission, and users in a map.
func site(t *testing.T, change func(*Options)) (*Server, tokens) {
	t.Helper()
	live := tokens{}
	s := newServer(t, func(o *Options) {
		o.Sessions = live
		if change != nil {
			change(o)
		}
	})
	g := s.Console()
	g.POST("/login", Public, func(c echo.Context) error {
		token := rand.Text()
		live[hashToken(token)] = User{ID: 7, Name: "ops", Main: c.FormValue("main") != "", Permissions: []Permission{"plans.read"}, Lang: c.FormValue("lang")}
		SignIn(c, token, c.FormValue("stay") != "")
		Flash(c, "welcome", "more")
		return SeeOther(c, SafePath(c.FormValue("next")))
	})
	g.POST("/logout", SignedIn, func(c echo.Context) error { SignOut(c); return SeeOther(c, "/login") })
	page := func(c echo.Context) error {
		return Page(c, views.Error(views.ErrorPage{Chrome: Chrome(c), Title: "page", Text: c.Path()}))
	}
	g.GET("/", SignedIn, page)
	g.GET("/public", Public, page)
	g.GET("/plans", "plans.read", page)
	g.POST("/plans", "plans.write", page)
	g.GET("/users", MainOnly, page)
	return s, live
}

func newVisitor(t *testing.T, s *Server) *visitor {
	return &visitor{t: t, s: s, c: map[string]*http.Cookie{}}
}

func TestPermissions(t *testing.T) {
	s, _ := site(t, nil)
	stranger, sub, main := newVisitor(t, s), newVisitor(t, s), newVisitor(t, s)
	sub.do(post("/login", url.Values{}))
	main.do(post("/login", url.Values{"main": {"1"}}))
	tests := []struct {
		name string
		b    *visitor
		want map[string]int
	}{
		{"stranger", stranger, map[string]int{"GET /": 303, "GET /public": 200, "GET /plans": 303, "POST /plans": 401, "GET /users": 303}},
		{"sub", sub, map[string]int{"GET /": 200, "GET /public": 200, "GET /plans": 200, "POST /plans": 403, "GET /users": 403}},
		{"main", main, map[string]int{"GET /": 200, "GET /public": 200, "GET /plans": 200, "POST /plans": 200, "GET /users": 200}},
	}
	for _, tt := range tests {
		for route, want := range tt.want {
			method, path, _ := strings.Cut(route, " ")
			if w := tt.b.do(httptest.NewRequest(method, path, nil)); w.Code != want {
				t.Errorf("%s %s: %d, want %d", tt.name, route, w.Code, want)
			}
		}
	}
	if got := stranger.get("/plans?state=failed").Header().Get("Location"); got != "/login?next=%2Fplans%3Fstate%3Dfailed" {
		t.Errorf("led to %s", got)
	}
}

func TestSignOutAndRevoke(t *testing.T) {
	s, live := site(t, nil)
	b := newVisitor(t, s)
	b.do(post("/login", url.Values{}))
	if w := b.get("/plans"); w.Code != 200 {
		t.Fatalf("signed in: %d", w.Code)
	}
	clear(live) // revoked from elsewhere
	if w := b.get("/plans"); w.Code != 303 {
		t.Errorf("revoked: %d, want to be led to sign-in", w.Code)
	}
	if len(b.c) != 0 {
		t.Errorf("cookies stay behind: %v", b.c)
	}
	b.do(post("/login", url.Values{}))
	b.get("/plans") // takes the flash
	if b.do(post("/logout", nil)); len(b.c) != 0 {
		t.Errorf("signing out leaves %v", b.c)
	}
}

func TestCookie(t *testing.T) {
	tests := []struct {
		scheme, stay string
		secure       bool
		age          int
	}{
		{"http", "", false, 0},
		{"https", "", true, 0},
		{"https", "1", true, int((7 * 24 * time.Hour).Seconds())},
	}
	for _, tt := range tests {
		s, live := site(t, func(o *Options) { o.PublicURL = &url.URL{Scheme: tt.scheme, Host: "console.example"} })
		w := do(s, post("/login", url.Values{"stay": {tt.stay}}))
		cookies := w.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies, want 1", len(cookies))
		}
		c := cookies[0]
		got := []any{c.HttpOnly, c.SameSite, c.Secure, c.Path, c.Domain, c.MaxAge}
		if d := cmp.Diff([]any{true, http.SameSiteLaxMode, tt.secure, "/", "", tt.age}, got); d != "" {
			t.Errorf("%s: cookie attributes:\n%s", tt.scheme, d)
		}
		for hash := range live {
			if strings.Contains(c.Value, string(hash[:])) {
				t.Error("the cookie holds the hash")
			}
		}
	}
}

func TestCleanRequestsSetNoCookie(t *testing.T) {
	s, _ := site(t, nil)
	if c := get(t, s, "/public").Result().Cookies(); len(c) != 0 {
		t.Errorf("got %v", c)
	}
	forged := httptest.NewRequest(http.MethodGet, "/plans", nil)
	forged.AddCookie(&http.Cookie{Name: "hongyan", Value: "bm90aGluZw=="})
	if w := do(s, forged); w.Code != 303 {
		t.Errorf("a forged cookie: %d", w.Code)
	}
}

func TestFlashIsShownOnce(t *testing.T) {
	s, _ := site(t, nil)
	b := newVisitor(t, s)
	b.do(post("/login", url.Values{}))
	shown := []bool{}
	for range 3 {
		shown = append(shown, strings.Contains(b.get("/").Body.String(), "welcome"))
	}
	if d := cmp.Diff([]bool{true, false, false}, shown); d != "" {
		t.Error(d)
	}
}

// Sentences that nobody came to read must not fill the cookie, or the session in it
// is lost with them: the latest stay.
func TestFlashesDoNotFillTheCookie(t *testing.T) {
	s, _ := site(t, nil)
	b := newVisitor(t, s)
	for range 60 {
		b.do(post("/login", url.Values{}))
	}
	if n := len(b.c[cookieSession].Value); n > 3000 {
		t.Errorf("the cookie has %d bytes", n)
	}
	w := b.get("/")
	if n := strings.Count(w.Body.String(), `class="toast"`); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "welcome") {
		t.Errorf("%d with %d sentences", w.Code, n)
	}
}

func TestSeeOtherForScript(t *testing.T) {
	s, _ := site(t, nil)
	w := do(s, post("/login", url.Values{}, "HX-Request", "true"))
	if w.Code != 204 || w.Header().Get("HX-Redirect") != "/" || len(w.Result().Cookies()) != 1 {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
}

func TestLanguageAndTheme(t *testing.T) {
	var saved string
	s, _ := site(t, func(o *Options) {
		o.SaveLanguage = func(_ context.Context, u User, lang string) error { saved = u.Name + " " + lang; return nil }
	})
	b := newVisitor(t, s)
	has := func(want ...string) {
		t.Helper()
		body := b.get("/public").Body.String()
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("no %s", w)
			}
		}
	}
	has(`<html lang="zh-CN">`)
	w := b.do(post("/preferences", url.Values{"lang": {"en"}, "back": {"/public?x=1"}}))
	if w.Code != 303 || w.Header().Get("Location") != "/public?x=1" {
		t.Errorf("got %d to %s", w.Code, w.Header().Get("Location"))
	}
	has(`<html lang="en">`)
	b.do(post("/preferences", url.Values{"theme": {"dark"}}))
	has(`<html lang="en" data-theme="dark">`)
	b.do(post("/preferences", url.Values{"theme": {`"><script>`}, "lang": {"xx"}}))
	has(`<html lang="en" data-theme="dark">`)
	b.do(post("/login", url.Values{"lang": {"zh-CN"}}))
	has(`<html lang="zh-CN" data-theme="dark">`) // the user's own setting goes before the cookie
	b.do(post("/preferences", url.Values{"lang": {"en"}}))
	if saved != "ops en" {
		t.Errorf("saved %q", saved)
	}
}

func TestSafePath(t *testing.T) {
	for path, want := range map[string]string{
		"/plans?a=1": "/plans?a=1", "": "/", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/",
		"javascript:alert(1)": "/", "/a\nb": "/", "plans": "/", "/a#b": "/a#b",
	} {
		if got := SafePath(path); got != want {
			t.Errorf("SafePath(%q) = %q, want %q", path, got, want)
		}
	}
}

type sampleForm struct {
	Name     string   `form:"name" label:"auth.name" validate:"required,max=5"`
	Password string   `form:"password" label:"auth.password" trim:"no"`
	Apps     []string `form:"apps"`
	Count    int      `form:"count" label:"auth.account_id" validate:"gte=0"`
}

func TestForms(t *testing.T) {
	s := newServer(t, nil)
	var got sampleForm
	var faults components.FormErrors
	s.Console().POST("/form/:name", Public, func(c echo.Context) error {
		got = sampleForm{}
		if err := Bind(c, &got); err != nil {
			return err
		}
		faults = Validate(c, &got)
		return c.NoContent(200)
	})
	do(s, post("/form/from-path?name=from-query", url.Values{"name": {"  雁 "}, "password": {" p "}, "apps": {"a", "b"}, "count": {"3"}}))
	if d := cmp.Diff(sampleForm{Name: "雁", Password: " p ", Apps: []string{"a", "b"}, Count: 3}, got); d != "" {
		t.Error(d)
	}
	if faults != nil {
		t.Errorf("faults: %v", faults)
	}
	do(s, post("/form/from-path?name=from-query", url.Values{"count": {"-1"}}, "Accept-Language", "en"))
	if d := cmp.Diff(components.FormErrors{"name": "Account is required", "count": "Main account ID must not be under 0"}, faults); d != "" {
		t.Error(d)
	}
	do(s, post("/form/x", url.Values{"name": {"一二三四五六"}}))
	if d := cmp.Diff(components.FormErrors{"name": "账号最多 5 个字符，现在是 6 个"}, faults); d != "" {
		t.Error(d)
	}
	if w := do(s, post("/form/x", url.Values{"count": {"many"}})); w.Code != http.StatusBadRequest {
		t.Errorf("a word for a number: %d", w.Code)
	}
}

func TestBindRefusesModels(t *testing.T) {
	s := newServer(t, nil)
	var model struct {
		Name  string `form:"name"`
		Admin bool
	}
	var err error
	s.Console().POST("/form", Public, func(c echo.Context) error { err = Bind(c, &model); return err })
	if do(s, post("/form", url.Values{"Admin": {"true"}})); err == nil || model.Admin {
		t.Errorf("bound %+v, %v", model, err)
	}
}

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	l := NewLimiter(time.Second, 2, func() time.Time { return now })
	var got []bool
	for range 3 {
		got = append(got, l.Allow("a"))
	}
	got = append(got, l.Allow("b"))
	now = now.Add(time.Second)
	got = append(got, l.Allow("a"), l.Allow("a"))
	if d := cmp.Diff([]bool{true, true, false, true, true, false}, got); d != "" {
		t.Error(d)
	}
	for i := range maxLimitKeys + 10 {
		l.Allow(string(rune(i)) + "x")
	}
	if len(l.perKey) > maxLimitKeys {
		t.Errorf("%d keys kept", len(l.perKey))
	}
}

func TestKeyset(t *testing.T) {
	s := newServer(t, nil)
	var previous, next, filter string
	var keys Keyset
	s.Console().GET("/list", Public, func(c echo.Context) error {
		keys = ReadKeyset(c)
		previous, next = KeysetURLs(c, "10", "20")
		filter = FilterURL(c, "state", "failed")
		return nil
	})
	get(t, s, "/list?state=sent&after=9")
	got := []string{keys.After, keys.Before, previous, next, filter}
	if d := cmp.Diff([]string{"9", "", "/list?before=10&state=sent", "/list?after=20&state=sent", "/list?state=failed"}, got); d != "" {
		t.Error(d)
	}
}
