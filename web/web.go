// Package web is the HTTP kit of the console: server, middleware, rendering,
// errors, forms, sessions, permissions and limits. It knows Echo; it knows no
// products, plans or pushes, and keeps no data of its own.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/static"
	"hongyan/views"
	"hongyan/views/locale"
)

// Defaults of Options.
const (
	DefaultBodyLimit = "2M"             // of one request, in bytes
	DefaultTimeout   = 15 * time.Second // of one request's context
)

// Options is what a Server needs.
type Options struct {
	Log            *slog.Logger
	Now            func() time.Time
	PublicURL      *url.URL       // how browsers reach the console; its scheme decides whether cookies are Secure
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; none by default
	CookieKeys     [2][]byte      // 32 bytes to sign and 32 bytes to encrypt the session cookie
	Version        string
	BodyLimit      string        // such as "2M"
	Timeout        time.Duration // of a request's context
	Sessions       Sessions
	// Decorate fills in what the kit does not know of a page's frame: the
	// navigation and the app of the page. It may be nil.
	Decorate func(c echo.Context, ch *views.Chrome)
	// SaveLanguage keeps a signed-in user's choice of language. It may be nil.
	SaveLanguage func(ctx context.Context, u User, lang string) error
	// Ready says why this process cannot serve now, for /readyz. It may be nil.
	Ready func(ctx context.Context) error
	// Registerer takes the HTTP metrics. It may be nil.
	Registerer prometheus.Registerer
}

// Server is the HTTP side of one process. Routes are added before it serves.
type Server struct {
	opts   Options
	echo   *echo.Echo
	assets *static.Assets
	bundle *locale.Bundle
	forms  map[string]*formChecker
	store  *sessions.CookieStore
	routes []Route
	apis   []apiArea
	plain  map[string]plainPage
}

// New builds a Server with the middleware that every request passes, and the
// routes that belong to nobody else: static files, health, language and theme.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	assets, err := static.New()
	if err != nil {
		return nil, err
	}
	if missing := assets.Missing(); len(missing) > 0 {
		o.Log.Warn("browser files are missing, pages show no icons: run make assets and build again", "files", missing)
	}
	bundle, err := locale.NewBundle(func(lang, key string) {
		o.Log.Warn("no sentence for key", "lang", lang, "key", key)
	})
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, echo: echo.New(), assets: assets, bundle: bundle, store: newCookieStore(o)}
	if s.forms, err = newFormCheckers(bundle); err != nil {
		return nil, err
	}
	if s.plain, err = s.renderPlainPages(); err != nil {
		return nil, err
	}
	s.setUp()
	return s, nil
}

func (o *Options) check() error {
	if o.Log == nil || o.Now == nil || o.PublicURL == nil || o.Sessions == nil {
		return errors.New("options: Log, Now, PublicURL and Sessions are needed")
	}
	if len(o.CookieKeys[0]) != 32 || len(o.CookieKeys[1]) != 32 {
		return errors.New("options: CookieKeys must be 32 bytes each")
	}
	if o.BodyLimit == "" {
		o.BodyLimit = DefaultBodyLimit
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return nil
}

// setUp installs the middleware in the order of the design.
func (s *Server) setUp() {
	e := s.echo
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = ipExtractor(s.opts.TrustedProxies)
	e.Logger.SetOutput(logBridge{s.opts.Log})
	e.Use(s.recoverer())
	if s.opts.Registerer != nil {
		e.Use(s.metrics())
	}
	e.Use(s.requestID, s.accessLog(), s.securityHeaders)
	e.Use(middleware.BodyLimit(s.opts.BodyLimit))
	e.Use(middleware.ContextTimeout(s.opts.Timeout))
	e.Use(s.staticFiles, s.preferences)
	s.addOwnRoutes()
}

func (s *Server) addOwnRoutes() {
	// Load balancers and container engines.
	s.add(s.echo.Add(http.MethodGet, "/healthz", s.healthz), Public)
	s.add(s.echo.Add(http.MethodGet, "/readyz", s.readyz), Public)
}

// ServeHTTP answers one request. HEAD is answered like GET on every route; the
// standard library, which keeps the request it read, leaves the body out.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		get := *r
		get.Method = http.MethodGet
		r = &get
	}
	s.echo.ServeHTTP(w, r)
}

// Translator returns the translator for lang; an unknown one gives Chinese.
func (s *Server) Translator(lang string) *locale.Localizer { return s.bundle.Localizer(lang) }

func (s *Server) secure() bool { return s.opts.PublicURL.Scheme == "https" }

// logBridge takes what Echo itself has to say into our log.
type logBridge struct{ log *slog.Logger }

func (b logBridge) Write(p []byte) (int, error) {
	b.log.Warn("echo", "text", string(p))
	return len(p), nil
}
