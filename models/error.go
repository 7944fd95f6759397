package models

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// Kind classifies an Error for callers; the console maps it to an HTTP status.
type Kind string

// Kinds of Error.
const (
	Invalid      Kind = "invalid"      // input breaks a rule; Field says which
	NotFound     Kind = "not_found"    // no such thing for this account
	Conflict     Kind = "conflict"     // the state does not allow it, or it exists already
	Forbidden    Kind = "forbidden"    // known user, missing right
	Unauthorized Kind = "unauthorized" // unknown user or wrong secret
	TooMany      Kind = "too_many"     // throttled
	TooLarge     Kind = "too_large"    // over a size limit
	Unavailable  Kind = "unavailable"  // cannot be stored now; try again
	Internal     Kind = "internal"     // ours
)

// Error is every failure that a caller may tell a person about. Key names the
// sentence in the message catalog, Data fills it; Field names the form field at
// fault, if any. Err is the cause, for logs only.
type Error struct {
	Kind  Kind
	Key   string
	Field string
	Data  map[string]any
	Err   error
}

func (e *Error) Error() string {
	s := "models: " + string(e.Kind)
	if e.Key != "" {
		s += " " + e.Key
	}
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorKind returns the kind as a word, for packages that must not import models.
func (e *Error) ErrorKind() string { return string(e.Kind) }

// KindOf returns err's kind: that of the first Error in its chain, Unavailable when
// the database cannot be reached, Internal otherwise.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case unreachable(err):
		return Unavailable
	}
	return Internal
}

// unreachable reports whether err says that the database did not answer, so that
// the same call may succeed later: nothing is wrong with the call.
func unreachable(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	var server *pgconn.PgError
	switch {
	case err == nil, canceled(err):
		return false
	case errors.As(err, &connect), errors.As(err, &network):
		return true
	case errors.As(err, &server):
		// Connection failures, a server that starts, stops or is full.
		return strings.HasPrefix(server.Code, "08") || strings.HasPrefix(server.Code, "57P") || server.Code == "53300"
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

// invalid, notFound and conflict build the three most common errors.
func invalid(field, key string, data map[string]any) *Error {
	return &Error{Kind: Invalid, Field: field, Key: key, Data: data}
}

func notFound(key string) *Error { return &Error{Kind: NotFound, Key: key} }

func conflict(key string, data map[string]any) *Error {
	return &Error{Kind: Conflict, Key: key, Data: data}
}

// unless returns e when a rule is broken, as an error that errors.Join takes: a form
// is told everything that is wrong with it at once.
func unless(ok bool, e *Error) error {
	if ok {
		return nil
	}
	return e
}

// found turns GORM's "record not found" into NotFound with the given key and
// leaves every other error alone.
func found(err error, key string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return notFound(key)
	}
	return err
}

// duplicate reports whether err is a broken unique rule on either engine.
func duplicate(err error) bool { return errors.Is(err, gorm.ErrDuplicatedKey) }

// canceled reports whether err only says that the caller went away.
func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
