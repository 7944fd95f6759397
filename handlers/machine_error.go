package handlers

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views/locale"
)

// apiError is what a machine endpoint answers instead of a result:
//
//	{"error":{"code":"too_long","message":"to[1] 最长 100 个字符","field":"to[1]"}}
//
// code is a word for programs, message a sentence for people in the language of
// Accept-Language, field the part of the request at fault.
type apiError struct {
	status int
	code   string
	field  string
	data   map[string]any // fills the sentence
	key    string         // the sentence's catalog key; "" for api.<code>
	wait   time.Duration  // Retry-After
	err    error          // cause, for the log
}

func (e *apiError) Error() string {
	s := "api: " + e.code
	if e.field != "" {
		s += " (" + e.field + ")"
	}
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *apiError) Unwrap() error { return e.err }

// fieldError is a 400 that names a field.
func fieldError(code, field string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, field: field}
}

// fieldLimit is a fieldError whose sentence names a limit.
func fieldLimit(code, field string, limit int) *apiError {
	e := fieldError(code, field)
	e.data = limitData(limit)
	return e
}

// fieldRange is a fieldError for a number that is not from low to high.
func fieldRange(field string, low, high int) *apiError {
	e := fieldLimit("out_of_range", field, high)
	e.data["Min"] = low
	return e
}

func limitData(limit int) map[string]any { return map[string]any{"Limit": limit} }

// below puts a field's name below the part that holds it: "to" below "[2]".
func (e *apiError) below(parent string) *apiError {
	c := *e
	switch {
	case c.field == "":
		c.field = parent
	case strings.HasPrefix(c.field, "[") || parent == "":
		c.field = parent + c.field
	default:
		c.field = parent + "." + c.field
	}
	return &c
}

// apiErrorOf is the one table from errors to answers.
func apiErrorOf(err error) *apiError {
	var a *apiError
	if errors.As(err, &a) {
		return a
	}
	var m *models.Error
	if errors.As(err, &m) {
		return modelError(m)
	}
	var h *echo.HTTPError
	if errors.As(err, &h) {
		return httpError(h)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &apiError{status: http.StatusServiceUnavailable, code: "unavailable", wait: retryLater, err: err}
	}
	if models.KindOf(err) == models.Unavailable { // the database does not answer
		return &apiError{status: http.StatusServiceUnavailable, code: "unavailable", wait: retryLater, err: err}
	}
	return &apiError{status: http.StatusInternalServerError, code: "internal", err: err}
}

// retryLater is how long a caller should wait after a 503.
const retryLater = 5 * time.Second

func modelError(m *models.Error) *apiError {
	e := &apiError{status: http.StatusInternalServerError, code: "internal", field: m.Field, data: m.Data, err: m}
	switch m.Kind {
	case models.Invalid:
		e.status, e.code = http.StatusBadRequest, "invalid"
	case models.NotFound:
		e.status, e.code = http.StatusNotFound, "not_found"
	case models.Conflict:
		e.status, e.code = http.StatusConflict, "conflict"
	case models.Forbidden:
		e.status, e.code = http.StatusForbidden, "forbidden"
	case models.Unauthorized:
		e.status, e.code = http.StatusUnauthorized, "unauthorized"
	case models.TooMany:
		e.status, e.code, e.wait = http.StatusTooManyRequests, "too_many_requests", time.Second
	case models.TooLarge:
		e.status, e.code = http.StatusRequestEntityTooLarge, "too_large"
	case models.Unavailable:
		e.status, e.code, e.wait = http.StatusServiceUnavailable, "unavailable", retryLater
	case models.Internal:
	}
	if e.status >= http.StatusInternalServerError {
		e.field, e.data = "", nil // details are for the log
		return e
	}
	if m.Key != "" {
		// The word of a model's error is more exact than its kind, and has a sentence
		// of its own in the catalog.
		word := strings.TrimPrefix(m.Key, modelKeys)
		e.key = modelKeys + word
		if m.Kind == models.Invalid || m.Kind == models.Forbidden || m.Kind == models.Conflict {
			e.code = word
		}
	}
	return e
}

// modelKeys starts the catalog keys of models' errors.
const modelKeys = "errors."

func httpError(h *echo.HTTPError) *apiError {
	codes := map[int]string{
		http.StatusNotFound:              "not_found",
		http.StatusMethodNotAllowed:      "method_not_allowed",
		http.StatusRequestEntityTooLarge: "too_large",
		http.StatusUnsupportedMediaType:  "unsupported_encoding",
		http.StatusTooManyRequests:       "too_many_requests",
		http.StatusServiceUnavailable:    "unavailable",
	}
	e := &apiError{status: h.Code, code: codes[h.Code], err: h}
	if e.code == "" {
		e.code = "invalid"
		if h.Code >= 500 {
			e.code = "internal"
		}
	}
	return e
}

// writeStatus is the web.ErrorWriter of the machine endpoints: for requests that
// no route of theirs took.
func writeStatus(c echo.Context, status int, _, _ string) error {
	return writeError(c, httpError(echo.NewHTTPError(status)))
}

// writeError answers e.
func writeError(c echo.Context, e *apiError) error {
	retryAfter(c, e)
	return c.JSON(e.status, map[string]any{"error": errorBody(c, e)})
}

// retryAfter says how long a caller should wait, where e does.
func retryAfter(c echo.Context, e *apiError) {
	if e.wait > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
}

// errorText is the part of an answer that tells of an error.
type errorText struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

func errorBody(c echo.Context, e *apiError) errorText {
	return errorText{Code: e.code, Message: errorWords(c.Request().Context(), e), Field: e.field}
}

// errorWords is e in a sentence for people.
func errorWords(ctx context.Context, e *apiError) string {
	data := map[string]any{"Field": e.field}
	for k, v := range e.data {
		data[k] = v
	}
	key := e.key
	if e.code == codeWrongType && e.field == "" {
		key = "api.wrong_shape" // the body itself
	}
	if key == "" {
		key = "api." + e.code
	}
	return locale.T(ctx, key, data)
}
