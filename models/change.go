package models

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// change runs fn in one transaction of the control plane for an actor who has p.
// What is not an Error of ours is wrapped under the name of the act.
func (s *Store) change(ctx context.Context, who Actor, p Permission, act string, fn func(*Tx) error) error {
	if err := who.need(p); err != nil {
		return err
	}
	return failed(act, s.write(ctx, fn))
}

// failed wraps err under the name of the act, unless it is an Error already.
func failed(act string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("models: %s: %w", act, err)
}

// locked reads rows that stay as they are until the transaction ends. SQLite has
// one writer, so there every transaction does that.
func (t *Tx) locked() *gorm.DB { return t.Clauses(clause.Locking{Strength: "UPDATE"}) }

// updated turns a guarded update's result into Conflict when no row matched: the
// state is no longer what the caller saw.
func updated(res *gorm.DB) error {
	if res.Error != nil {
		return res.Error
	}
	if res.RowsAffected == 0 {
		return conflict("errors.changed_meanwhile", nil)
	}
	return nil
}

// label checks a name or description that people typed: trimmed, one line, no
// control characters, at most limit runes, and not empty unless missing, the key of
// the sentence that asks for it, is "".
func label(text, field, missing string, limit int) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "" && missing != "":
		return "", invalid(field, missing, nil)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unprintable):
		return "", invalid(field, "errors.text_chars", nil)
	case utf8.RuneCountInString(text) > limit:
		return "", invalid(field, "errors.text_long", map[string]any{"Max": limit})
	}
	return text, nil
}

// unprintable reports runes that have no place in a one-line text: control
// characters and the marks that turn the writing direction.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError
}
