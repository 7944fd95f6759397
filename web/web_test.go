package web

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/views"
	"hongyan/views/components/kit"
)

// listen lets a person look at the kit page: go test ./web -run TestLook -listen 127.0.0.1:8099
var listen = flag.String("listen", "", "serve the kit page on this address until interrupted")

// pictures keeps what the browser test sees: go test ./web -run TestKit -pictures /tmp/pictures
var pictures = flag.String("pictures", "", "write a picture of every page into this folder")

// tokens holds sessions by hash.
type tokens map[TokenHash]User

func (t tokens) SessionUser(_ context.Context, hash TokenHash) (User, error) {
	u, ok := t[hash]
	if !ok {
		return User{}, ErrNoSession
	}
	return u, nil
}

func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now:        time.Now,
		PublicURL:  &url.URL{Scheme: "http", Host: "console.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)},
		Version:    "1.2.3",
		Sessions:   tokens{},
	}
}

func newServer(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	o := testOptions(t)
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLook(t *testing.T) {
	if *listen == "" {
		t.Skip("only with -listen")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	s := newServer(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
		o.Decorate = func(c echo.Context, ch *views.Chrome) { kit.Decorate(c.Path(), ch) }
	})
	addKit(s)
	ln, err := Listen(ctx, *listen)
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(ctx, ln, "kit", s, time.Second, s.opts.Log); err != nil {
		t.Fatal(err)
	}
}

// addKit adds pages that show everything once.
func addKit(s *Server) {
	g := s.Console()
	user := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set(keyUser, User{ID: 1, AccountID: 1, Name: "林若溪", Main: true})
			return next(c)
		}
	}
	g.GET("/kit", Public, func(c echo.Context) error { return Page(c, kit.Page(Chrome(c), false)) }, user)
	g.GET("/kit/dialog", Public, func(c echo.Context) error { return Page(c, kit.Page(Chrome(c), true)) }, user)
	g.POST("/kit/dialog", Public, func(c echo.Context) error { return FormPage(c, kit.Page(Chrome(c), true)) }, user)
	g.POST("/kit/saved", Public, func(c echo.Context) error {
		Flash(c, "已保存 OPPO 通道", "1,206 条消息开始续发")
		return SeeOther(c, "/kit")
	})
	g.GET("/login", Public, func(c echo.Context) error {
		return Page(c, views.Login(views.LoginPage{Chrome: Chrome(c), As: c.QueryParam("as")}))
	})
	g.GET("/login/sub", Public, func(c echo.Context) error {
		return Page(c, views.Login(views.LoginPage{Chrome: Chrome(c), As: "sub"}))
	})
	g.POST("/login/sub", Public, func(c echo.Context) error {
		p := views.LoginPage{Chrome: Chrome(c), As: "sub", Name: c.FormValue("name"), Account: c.FormValue("account"), Errors: map[string]string{"": "账号或密码不正确，还可以再试 4 次"}}
		return FormPage(c, views.Login(p))
	})
	g.POST("/login", Public, func(c echo.Context) error {
		p := views.LoginPage{Chrome: Chrome(c), As: c.FormValue("as"), Name: c.FormValue("name"), Account: c.FormValue("account"), Errors: map[string]string{"": "账号或密码不正确，还可以再试 4 次"}}
		return FormPage(c, views.Login(p))
	})
	g.GET("/setup", Public, func(c echo.Context) error { return Page(c, views.Setup(views.SetupPage{Chrome: Chrome(c)})) })
	g.GET("/fails", SignedIn, func(echo.Context) error { return io.ErrUnexpectedEOF }, user)
	g.GET("/broken", Public, func(echo.Context) error { return io.ErrUnexpectedEOF })
	g.GET("/forbidden", Public, func(echo.Context) error { return &Error{Kind: KindForbidden} }, user)
}

func get(t *testing.T, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}
