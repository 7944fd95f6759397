package web

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/labstack/echo-contrib/echoprometheus"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"hongyan/static"
	"hongyan/views/components"
	"hongyan/views/locale"
)

// Names of what middleware leaves in Echo's context.
const (
	keyServer  = "hongyan.server"
	keySession = "hongyan.session"
	keyUser    = "hongyan.user"
	keyTheme   = "hongyan.theme"
	keyHandled = "hongyan.handled"
)

func ipExtractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	// Private networks are believed only when the operator names them.
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		p = p.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

func (s *Server) recoverer() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableErrorHandler: true,
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.opts.Log.Error("panic in a request", "error", err, "route", c.Path(),
				"request_id", RequestID(c), "stack", string(stack))
			return err
		},
	})
}

// metrics labels requests by route pattern. The host label is fixed, because the
// library would take it from the client.
func (s *Server) metrics() echo.MiddlewareFunc {
	return echoprometheus.NewMiddlewareWithConfig(echoprometheus.MiddlewareConfig{
		Namespace:                 "hongyan",
		Subsystem:                 "http",
		Registerer:                s.opts.Registerer,
		DoNotUseRequestPathFor404: true,
		LabelFuncs: map[string]echoprometheus.LabelValueFunc{
			"host":   func(echo.Context, error) string { return "" },
			"url":    func(c echo.Context, _ error) string { return c.Path() },
			"method": func(c echo.Context, _ error) string { return knownMethod(c.Request().Method) },
		},
	})
}

// knownMethod keeps invented methods from making metric series of their own.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// requestID gives every request an id of ours; one sent by the client is not
// believed, so that ids in the log are unique.
func (s *Server) requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("web: request id: %w", err)
		}
		c.Set(keyServer, s)
		c.Response().Header().Set(echo.HeaderXRequestID, id.String())
		return next(c)
	}
}

// RequestID returns the id of the request, as it stands in the log and on error pages.
func RequestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// accessLog writes one line for every request (of machines, for failed ones), with the route's pattern: a path may
// hold a secret and a query a token.
func (s *Server) accessLog() echo.MiddlewareFunc {
	return middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		HandleError:  true,
		LogLatency:   true,
		LogStatus:    true,
		LogMethod:    true,
		LogRoutePath: true,
		LogRemoteIP:  true,
		Skipper:      func(c echo.Context) bool { return strings.HasPrefix(c.Request().URL.Path, static.Prefix) },
		LogValuesFunc: func(c echo.Context, v middleware.RequestLoggerValues) error {
			level := slog.LevelInfo
			// Machines call thousands of times a second; metrics count what went well.
			quiet := v.RoutePath == "/healthz" || v.RoutePath == "/readyz" || s.apiOf(c) != nil
			if quiet && v.Status < http.StatusBadRequest {
				level = slog.LevelDebug
			}
			s.opts.Log.LogAttrs(c.Request().Context(), level, "request",
				slog.String("method", knownMethod(v.Method)), slog.String("route", v.RoutePath),
				slog.Int("status", v.Status), slog.Duration("took", v.Latency),
				slog.String("ip", v.RemoteIP), slog.String("request_id", RequestID(c)))
			return nil
		},
	})
}

// securityHeaders sets the strict headers and makes the nonce of this page's scripts.
func (s *Server) securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		var raw [16]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return fmt.Errorf("web: nonce: %w", err)
		}
		nonce := base64.RawURLEncoding.EncodeToString(raw[:])
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'nonce-"+nonce+"'; style-src 'self'; "+
			"img-src 'self' data:; connect-src 'self'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: it makes browsers send "Origin: null" with our own forms,
		// which the cross-origin check must refuse on plain HTTP.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		if s.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r := c.Request()
		ctx := templ.WithNonce(r.Context(), nonce)
		c.SetRequest(r.WithContext(components.WithAssets(ctx, s.assets.URL)))
		return next(c)
	}
}

func (s *Server) staticFiles(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !strings.HasPrefix(r.URL.Path, static.Prefix) {
			return next(c)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return echo.ErrMethodNotAllowed
		}
		s.assets.ServeHTTP(c.Response(), r)
		return nil
	}
}

// preferences reads language and theme from their cookies. The signed-in user's own
// language comes later, with the session.
func (s *Server) preferences(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		wish := cookieValue(c, cookieLang)
		s.speak(c, s.bundle.Match(c.Request().Header.Get("Accept-Language"), wish))
		if theme := cookieValue(c, cookieTheme); theme == "light" || theme == "dark" {
			c.Set(keyTheme, theme)
		}
		return next(c)
	}
}

// speak sets the language of the rest of the request.
func (s *Server) speak(c echo.Context, lang string) {
	r := c.Request()
	c.SetRequest(r.WithContext(locale.With(r.Context(), s.bundle.Localizer(lang))))
}

func cookieValue(c echo.Context, name string) string {
	cookie, err := c.Cookie(name)
	if err != nil {
		return "" // the only error is that there is none
	}
	return cookie.Value
}

// T translates key into the language of the request.
func T(c echo.Context, key string, data ...any) string {
	return locale.T(c.Request().Context(), key, data...)
}

// Tn translates key into the language of the request in the plural form of n.
func Tn(c echo.Context, key string, n int, data ...any) string {
	return locale.Tn(c.Request().Context(), key, n, data...)
}
