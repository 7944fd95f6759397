package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	"hongyan/views/components"
	"hongyan/views/locale"
)

// Kinds of Error: those of models.Error, as words.
const (
	KindInvalid      = string(models.Invalid)
	KindUnauthorized = string(models.Unauthorized)
	KindForbidden    = string(models.Forbidden)
	KindNotFound     = string(models.NotFound)
	KindConflict     = string(models.Conflict)
	KindTooMany      = string(models.TooMany)
	KindTooLarge     = string(models.TooLarge)
	KindUnavailable  = string(models.Unavailable)
	KindInternal     = string(models.Internal)
	kindMethod       = "method" // a method that the route does not know
)

// Error is a failure that the HTTP kit or a handler itself found. Key names the
// sentence shown; without one the kind has its own. Err is for the log only.
type Error struct {
	Kind  string
	Key   string
	Field string
	Data  map[string]any
	Err   error
}

func (e *Error) Error() string {
	s := "web: " + strings.TrimSpace(e.Kind+" "+e.Key)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// statuses is the one table from kind to HTTP status.
func statuses() map[string]int {
	return map[string]int{
		KindInvalid:      http.StatusUnprocessableEntity,
		KindUnauthorized: http.StatusUnauthorized,
		KindForbidden:    http.StatusForbidden,
		KindNotFound:     http.StatusNotFound,
		kindMethod:       http.StatusMethodNotAllowed,
		KindConflict:     http.StatusConflict,
		KindTooLarge:     http.StatusRequestEntityTooLarge,
		KindTooMany:      http.StatusTooManyRequests,
		KindUnavailable:  http.StatusServiceUnavailable,
		KindInternal:     http.StatusInternalServerError,
	}
}

// classify finds what kind of failure err is.
func classify(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var model *models.Error
	if errors.As(err, &model) {
		return &Error{Kind: string(model.Kind), Key: model.Key, Field: model.Field, Data: model.Data, Err: err}
	}
	var web *echo.HTTPError
	if errors.As(err, &web) {
		return &Error{Kind: kindOfStatus(web.Code), Err: err}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Kind: KindUnavailable, Err: err}
	}
	// Internal, or Unavailable while the database does not answer.
	return &Error{Kind: string(models.KindOf(err)), Err: err}
}

func kindOfStatus(status int) string {
	for kind, s := range statuses() {
		if s == status {
			return kind
		}
	}
	if status >= 400 && status < 500 {
		return KindInvalid
	}
	return KindInternal
}

// handleError is the only place that answers a failed request.
func (s *Server) handleError(err error, c echo.Context) {
	if handled, _ := c.Get(keyHandled).(bool); handled {
		return // Echo asks again after the access log did
	}
	c.Set(keyHandled, true)
	e := classify(err)
	status, known := statuses()[e.Kind]
	if !known {
		e.Kind, status = KindInternal, http.StatusInternalServerError
	}
	// An answer of Echo's own keeps its exact status, such as 415.
	var fromEcho *echo.HTTPError
	if errors.As(err, &fromEcho) && fromEcho.Code >= 400 {
		status = fromEcho.Code
	}
	// Who went away is no fault of ours, and reads no answer. One is written all the
	// same: without it the server would say 200, and a caller that is still there
	// would take its message for accepted.
	if status >= 500 && !errors.Is(err, context.Canceled) {
		s.opts.Log.Error("request failed", "error", err, "kind", e.Kind, "route", c.Path(), "request_id", RequestID(c))
	}
	if c.Response().Committed {
		return
	}
	// The request's own context ended with the handler, or timed out.
	c.SetRequest(c.Request().WithContext(context.WithoutCancel(c.Request().Context())))
	if locale.From(c.Request().Context()) == nil {
		// Refused before its language was read, such as a body over the limit.
		s.speak(c, s.bundle.Match(c.Request().Header.Get("Accept-Language")))
	}
	if answerErr := s.answerError(c, status, e); answerErr != nil {
		s.opts.Log.Error("error page failed", "error", answerErr, "route", c.Path(), "request_id", RequestID(c))
		if !c.Response().Committed {
			s.plainError(c)
		}
	}
}

func (s *Server) answerError(c echo.Context, status int, e *Error) error {
	title, text := message(c, e)
	if api := s.apiOf(c); api != nil {
		return api.write(c, status, e.Kind, text)
	}
	if e.Kind == KindInternal {
		s.plainError(c)
		return nil
	}
	page := views.ErrorPage{Chrome: s.chrome(c), Status: status, Title: title, Text: text}
	if status >= 500 {
		page.RequestID = RequestID(c)
	}
	return Render(c, status, views.Error(page))
}

// apiOf returns the API area that the request belongs to, or nil for pages.
func (s *Server) apiOf(c echo.Context) *apiArea {
	for i := range s.apis {
		if underPrefix(c.Request().URL.Path, s.apis[i].prefix) {
			return &s.apis[i]
		}
	}
	return nil
}

func underPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/"))
}

// message returns the sentences for e: the kind's own, or the one its key names.
func message(c echo.Context, e *Error) (title, text string) {
	title, text = T(c, "errors."+e.Kind+"_title"), T(c, "errors."+e.Kind+"_text")
	if e.Key != "" && e.Kind != KindInternal {
		text = T(c, e.Key, e.Data)
	}
	return title, text
}

// WriteJSONError is the error answer of our own APIs.
func WriteJSONError(c echo.Context, status int, kind, message string) error {
	return c.JSON(status, map[string]any{"error": map[string]string{
		"kind": kind, "message": message, "request_id": RequestID(c),
	}})
}

// plainPage is the page for a fault of ours, rendered at start so that it cannot
// fail, cut where the request id goes.
type plainPage struct{ before, after []byte }

func (s *Server) renderPlainPages() (map[string]plainPage, error) {
	const mark = "REQUEST-ID-GOES-HERE"
	out := map[string]plainPage{}
	for _, lang := range []string{locale.Chinese, locale.English} {
		l := s.bundle.Localizer(lang)
		ctx := components.WithAssets(locale.With(context.Background(), l), s.assets.URL)
		var buf bytes.Buffer
		err := views.Error(views.ErrorPage{
			Chrome:    views.Chrome{Lang: lang, Path: "/", Version: s.opts.Version},
			Status:    http.StatusInternalServerError,
			Title:     l.T("errors.internal_title"),
			Text:      l.T("errors.internal_text"),
			RequestID: mark,
		}).Render(ctx, &buf)
		if err != nil {
			return nil, err
		}
		before, after, _ := bytes.Cut(buf.Bytes(), []byte(mark))
		out[lang] = plainPage{before: before, after: after}
	}
	return out, nil
}

func (s *Server) plainError(c echo.Context) {
	page, ok := s.plain[locale.Lang(c.Request().Context())]
	if !ok {
		page = s.plain[locale.Chinese]
	}
	body := bytes.Join([][]byte{page.before, page.after}, []byte(RequestID(c)))
	if err := c.HTMLBlob(http.StatusInternalServerError, body); err != nil {
		s.opts.Log.Warn("error page not written", "error", err, "request_id", RequestID(c))
	}
}
