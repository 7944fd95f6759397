package web

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/views"
	"hongyan/views/locale"
)

// Render draws the page whole before a byte is sent, so that a page that fails
// half-way becomes an error page instead of half a page.
func Render(c echo.Context, status int, page templ.Component) error {
	buf := templ.GetBuffer()
	defer templ.ReleaseBuffer(buf)
	if err := page.Render(c.Request().Context(), buf); err != nil {
		return err
	}
	return c.HTMLBlob(status, bytes.Clone(buf.Bytes()))
}

// Page answers 200 with a page.
func Page(c echo.Context, page templ.Component) error { return Render(c, http.StatusOK, page) }

// FormPage answers a form that was not accepted: 422 with the same page.
func FormPage(c echo.Context, page templ.Component) error {
	return Render(c, http.StatusUnprocessableEntity, page)
}

// Chrome builds the frame of a page: language, theme, user, navigation and the flash
// messages, which are shown once. Call it once per request, after the page's act.
func Chrome(c echo.Context) views.Chrome {
	s, ok := c.Get(keyServer).(*Server)
	if !ok {
		return views.Chrome{Lang: locale.Lang(c.Request().Context())}
	}
	return s.chrome(c)
}

func (s *Server) chrome(c echo.Context) views.Chrome {
	theme, _ := c.Get(keyTheme).(string)
	ch := views.Chrome{
		Lang:    locale.Lang(c.Request().Context()),
		Theme:   theme,
		Path:    s.backPath(c),
		Version: s.opts.Version,
		Flashes: takeFlashes(c),
	}
	if u, ok := CurrentUser(c); ok {
		ch.User = &views.ChromeUser{Name: u.Name, Main: u.Main}
		if s.opts.Decorate != nil {
			s.opts.Decorate(c, &ch)
		}
	}
	return ch
}

// backPath is where changing the language or theme comes back to: this page, or the
// one that a form which failed belongs to: its own address if that can be opened, else
// the nearest one above it.
func (s *Server) backPath(c echo.Context) string {
	if c.Request().Method == http.MethodGet {
		return c.Request().URL.RequestURI()
	}
	pattern, path := c.Path(), c.Request().URL.Path
	if s.opens(pattern) {
		return c.Request().URL.RequestURI()
	}
	for pattern != "" {
		pattern, path = parent(pattern), parent(path)
		if s.opens(pattern) {
			return path
		}
	}
	return "/"
}

// opens reports whether there is a page at a pattern.
func (s *Server) opens(pattern string) bool {
	return slices.ContainsFunc(s.routes, func(r Route) bool { return r.Method == http.MethodGet && r.Path == pattern })
}

// parent cuts the last segment off a path.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
