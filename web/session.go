package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"hongyan/views/components"
)

// Cookies of the console.
const (
	cookieSession = "hongyan"
	cookieLang    = "lang"
	cookieTheme   = "theme"

	// StayFor is how long a browser keeps the session cookie when the user asks to
	// stay signed in. The session's own limits are the Sessions' business.
	StayFor = 7 * 24 * time.Hour
	// themeSystem follows the system's choice, as without a cookie.
	themeSystem = "system"
	// keepPreferences is how long a browser keeps language and theme.
	keepPreferences = 365 * 24 * time.Hour
	maxFlashes      = 3
)

// Values in the session cookie.
const (
	valueToken = "t"
	valueStay  = "s"
	valueFlash = "f"
)

// TokenHash is the SHA-256 of a session token: what the database holds.
type TokenHash [sha256.Size]byte

// User is who is signed in, as far as the kit cares.
type User struct {
	ID          int64
	AccountID   int64
	SessionID   int64
	Name        string
	Main        bool
	Permissions []Permission // of a sub-account
	Lang        string       // the user's own choice, or ""
	Value       any          // what the Sessions found besides, for the handlers
}

// Can reports whether u has p.
func (u User) Can(p Permission) bool {
	switch p {
	case Public, SignedIn:
		return true
	case MainOnly:
		return u.Main
	case ByKey:
		return false
	}
	return u.Main || slices.Contains(u.Permissions, p)
}

// Sessions looks up who holds a session.
type Sessions interface {
	// SessionUser returns the user of a live session and marks it as used. It fails
	// with ErrNoSession when there is none, it was revoked, or it is too old.
	SessionUser(ctx context.Context, hash TokenHash) (User, error)
}

// ErrNoSession says that a token belongs to no live session.
var ErrNoSession = errors.New("web: no session")

func hashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// newCookieStore sets every option itself: the library's defaults are SameSite=None
// and Secure, which break plain-HTTP installations.
func newCookieStore(o Options) *sessions.CookieStore {
	store := sessions.NewCookieStore(o.CookieKeys[0], o.CookieKeys[1])
	store.Options = &sessions.Options{
		Path:     "/",
		HttpOnly: true,
		Secure:   o.PublicURL.Scheme == "https",
		SameSite: http.SameSiteLaxMode,
	}
	return store
}

// session is the cookie of one request; it is written back only when changed.
type session struct {
	inner   *sessions.Session
	changed bool
}

func (s *session) get(name string) string {
	v, _ := s.inner.Values[name].(string)
	return v
}

func (s *session) set(name, value string) {
	if s.get(name) == value {
		return
	}
	s.changed = true
	if value == "" {
		delete(s.inner.Values, name)
		return
	}
	s.inner.Values[name] = value
}

func sessionOf(c echo.Context) *session {
	s, _ := c.Get(keySession).(*session)
	return s
}

// loadSession reads the cookie and saves it, when it changed, just before the
// headers leave: once, also with redirects and error pages.
func (s *Server) loadSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// A cookie that does not open (another key, damage) gives an empty session.
		inner, err := s.store.New(c.Request(), cookieSession)
		if inner == nil {
			return fmt.Errorf("web: session: %w", err)
		}
		// Whatever PUBLIC_URL says: what came over TLS does not go back without it.
		inner.Options.Secure = inner.Options.Secure || c.IsTLS()
		sess := &session{inner: inner}
		c.Set(keySession, sess)
		c.Response().Before(func() {
			if !sess.changed {
				return
			}
			sess.inner.Options.MaxAge = 0
			if len(sess.inner.Values) == 0 {
				sess.inner.Options.MaxAge = -1
			} else if sess.get(valueStay) != "" {
				sess.inner.Options.MaxAge = int(StayFor.Seconds())
			}
			if err := s.store.Save(c.Request(), c.Response().Writer, sess.inner); err != nil {
				s.opts.Log.Error("session not saved", "error", err, "request_id", RequestID(c))
			}
		})
		return next(c)
	}
}

// loadUser finds who holds the cookie's token.
func (s *Server) loadUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		token := sessionOf(c).get(valueToken)
		if token == "" {
			return next(c)
		}
		u, err := s.opts.Sessions.SessionUser(c.Request().Context(), hashToken(token))
		switch {
		case errors.Is(err, ErrNoSession):
			sessionOf(c).set(valueToken, "")
		case err != nil:
			return err
		default:
			c.Set(keyUser, u)
			if s.bundle.Known(u.Lang) {
				s.speak(c, u.Lang)
			}
		}
		return next(c)
	}
}

// CurrentUser returns who is signed in.
func CurrentUser(c echo.Context) (User, bool) {
	u, ok := c.Get(keyUser).(User)
	return u, ok
}

// SignIn puts a token into the browser's cookie. The caller has stored its hash.
func SignIn(c echo.Context, token string, stay bool) {
	sess := sessionOf(c)
	sess.set(valueToken, token)
	sess.set(valueStay, "")
	if stay {
		sess.set(valueStay, "1")
	}
}

// SignOut forgets the token. The caller deletes the session's row.
func SignOut(c echo.Context) {
	sess := sessionOf(c)
	sess.set(valueToken, "")
	sess.set(valueStay, "")
	c.Set(keyUser, nil)
}

// Flash keeps a sentence for the next page: a success, with its consequence in
// detail, both translated.
func Flash(c echo.Context, text, detail string) {
	addFlash(c, components.Flash{Tone: components.OK, Text: text, Detail: detail})
}

func addFlash(c echo.Context, f components.Flash) {
	sess := sessionOf(c)
	if sess == nil {
		return
	}
	// A cookie holds 4 KB, and one that is full loses everything in it: what nobody
	// came to read gives way to what is new.
	list := append(readFlashes(sess), f)
	list = list[max(len(list)-maxFlashes, 0):]
	// Strings always encode.
	data, _ := json.Marshal(list)
	sess.set(valueFlash, string(data))
}

func readFlashes(sess *session) []components.Flash {
	var list []components.Flash
	if data := sess.get(valueFlash); data != "" {
		// An unreadable flash is of another version of ours and is dropped.
		_ = json.Unmarshal([]byte(data), &list)
	}
	return list
}

func takeFlashes(c echo.Context) []components.Flash {
	sess := sessionOf(c)
	if sess == nil {
		return nil
	}
	list := readFlashes(sess)
	sess.set(valueFlash, "")
	return list
}

// savePreferences keeps language and theme in cookies of their own, which work
// before sign-in.
func (s *Server) savePreferences(c echo.Context) error {
	if lang := c.FormValue("lang"); s.bundle.Known(lang) {
		s.setCookie(c, cookieLang, lang)
		if u, ok := CurrentUser(c); ok && s.opts.SaveLanguage != nil {
			if err := s.opts.SaveLanguage(c.Request().Context(), u, lang); err != nil {
				return err
			}
		}
	}
	switch theme := c.FormValue("theme"); theme {
	case "light", "dark", themeSystem:
		s.setCookie(c, cookieTheme, theme)
	}
	return SeeOther(c, SafePath(c.FormValue("back")))
}

func (s *Server) setCookie(c echo.Context, name, value string) {
	c.SetCookie(&http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(keepPreferences.Seconds()),
		HttpOnly: true, Secure: s.secure() || c.IsTLS(), SameSite: http.SameSiteLaxMode,
	})
}
