package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Permission is what a route asks of its caller.
type Permission string

// Permissions that are not rights of their own.
const (
	Public   Permission = "public"    // anybody
	SignedIn Permission = "signed-in" // every user of the console
	MainOnly Permission = "main"      // the main user
	ByKey    Permission = "key"       // not a browser: the group's own middleware checks a key or secret
)

// Route is one line of the site map.
type Route struct {
	Method     string
	Path       string // pattern, such as /products/:id
	Permission Permission
}

// Routes returns every route with its permission, in the order they were added.
func (s *Server) Routes() []Route { return slices.Clone(s.routes) }

// Registered returns what Echo itself knows, for the test that no route was added
// past the permission check.
func (s *Server) Registered() []*echo.Route { return s.echo.Routes() }

func (s *Server) add(r *echo.Route, p Permission) {
	s.routes = append(s.routes, Route{Method: r.Method, Path: r.Path, Permission: p})
}

// Group is an area of the site; every route in it names its permission.
type Group struct {
	s       *Server
	g       *echo.Group
	console bool
}

// Console returns the area of pages: session, cross-origin check, user and
// permission. It may be called once.
func (s *Server) Console() *Group {
	g := s.echo.Group("", s.sameOrigin(), s.loadSession, s.loadUser, noStore)
	group := &Group{s: s, g: g, console: true}
	group.POST("/preferences", Public, s.savePreferences)
	return group
}

// ErrorWriter answers a failed request of an API. status and kind come from the one
// table; message is in the caller's language and safe to show.
type ErrorWriter func(c echo.Context, status int, kind, message string) error

type apiArea struct {
	prefix string
	write  ErrorWriter
}

// API returns an area of programs rather than pages. Errors under prefix are
// written by write; nil gives WriteJSONError.
func (s *Server) API(prefix string, write ErrorWriter, middleware ...echo.MiddlewareFunc) *Group {
	if write == nil {
		write = WriteJSONError
	}
	s.apis = append(s.apis, apiArea{prefix: prefix, write: write})
	return &Group{s: s, g: s.echo.Group(prefix, middleware...)}
}

// With returns the same area with more middleware and a longer path.
func (g *Group) With(prefix string, middleware ...echo.MiddlewareFunc) *Group {
	return &Group{s: g.s, g: g.g.Group(prefix, middleware...), console: g.console}
}

// Add registers one route. In the console the permission is checked before h runs.
func (g *Group) Add(method, path string, p Permission, h echo.HandlerFunc, middleware ...echo.MiddlewareFunc) {
	if g.console {
		middleware = append([]echo.MiddlewareFunc{require(p)}, middleware...)
	}
	g.s.add(g.g.Add(method, path, h, middleware...), p)
}

// GET registers a page.
func (g *Group) GET(path string, p Permission, h echo.HandlerFunc, middleware ...echo.MiddlewareFunc) {
	g.Add(http.MethodGet, path, p, h, middleware...)
}

// POST registers an act.
func (g *Group) POST(path string, p Permission, h echo.HandlerFunc, middleware ...echo.MiddlewareFunc) {
	g.Add(http.MethodPost, path, p, h, middleware...)
}

// require lets through who may. A stranger who asks for a page is led to sign-in
// and back; other strangers get 401.
func require(p Permission) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if p == Public {
				return next(c)
			}
			u, ok := CurrentUser(c)
			switch {
			case ok && u.Can(p):
				return next(c)
			case ok:
				// The sentence says who can grant the right.
				return &Error{Kind: KindForbidden, Key: "errors.forbidden." + string(p)}
			case c.Request().Method == http.MethodGet:
				return SeeOther(c, "/login?next="+url.QueryEscape(c.Request().URL.RequestURI()))
			default:
				return &Error{Kind: KindUnauthorized}
			}
		}
	}
}

// sameOrigin refuses what another site makes a browser send. Programs without the
// browser headers pass: they hold no session.
func (s *Server) sameOrigin() echo.MiddlewareFunc {
	check := http.NewCrossOriginProtection()
	origin := s.opts.PublicURL.Scheme + "://" + s.opts.PublicURL.Host
	if err := check.AddTrustedOrigin(origin); err != nil {
		// Without it only installations behind a proxy that changes Host suffer.
		s.opts.Log.Warn("PUBLIC_URL cannot be trusted as an origin", "error", err)
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := check.Check(c.Request()); err != nil {
				return &Error{Kind: KindForbidden, Key: "errors.cross_origin", Err: err}
			}
			return next(c)
		}
	}
}

// noStore keeps pages with other people's data out of caches.
func noStore(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		return next(c)
	}
}

// SeeOther leads the browser on after a form was accepted. Script that sent the form
// itself gets the address in a header, so that the next page is loaded only once
// and its flash message is not lost.
func SeeOther(c echo.Context, to string) error {
	if c.Request().Header.Get("HX-Request") == "true" {
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// SafePath returns path when it leads to a page of this site, else "/".
func SafePath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(path, "/") ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
