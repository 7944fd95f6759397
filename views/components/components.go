// Package components is the console's set of building blocks, one per entry of the
// visual language: cards, fields, dialogs, charts. Components take parameters;
// only the translator, the asset addresses and the CSP nonce come from the context.
// They know nothing of pages, routes or data.
package components

import (
	"context"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Tone colours a chip, dot, banner or bar. A tone never stands without a word.
type Tone string

// Tones, by what they mean everywhere.
const (
	Mute  Tone = ""      // off, not applicable, not tested
	OK    Tone = "ok"    // worked
	Warn  Tone = "warn"  // works, will stop or is incomplete
	Bad   Tone = "bad"   // stopped or lost
	Info  Tone = "info"  // on its way
	Brand Tone = "brand" // clicked, selected, IM-only
	Sand  Tone = "sand"  // sandbox, and nothing else
)

// with returns base, and base-tone for a tone that has a word.
func (t Tone) with(base string) string {
	if t == Mute {
		return base
	}
	return base + " " + base + "-" + string(t)
}

type assetKey struct{}

// WithAssets returns a context in which pages find the addresses of static files.
func WithAssets(ctx context.Context, url func(name string) string) context.Context {
	return context.WithValue(ctx, assetKey{}, url)
}

// Asset returns the address of a static file such as "css/app.css".
func Asset(ctx context.Context, name string) string {
	if url, ok := ctx.Value(assetKey{}).(func(string) string); ok {
		return url(name)
	}
	return "/static/none/" + name
}

// Link is a word that leads somewhere.
type Link struct {
	Label   string
	Href    string
	Icon    string // icon id, or ""
	Current bool   // the page or view that is shown now
	Dialog  bool   // the address is a dialog: script opens it over this page
	Post    bool   // a menu entry that changes something: sent by POST
	Danger  bool
}

// FormErrors holds one translated message per field name; "" holds the message
// that belongs to no field. A nil map means that nothing is wrong.
type FormErrors map[string]string

// Get returns the message of a field, or "".
func (e FormErrors) Get(field string) string { return e[field] }

// Option is one choice of a select, radio group or segmented switch.
type Option struct {
	Lang    string // of the label, where it is not the page's
	Value   string
	Label   string
	Note    string          // second line of a radio card
	Icon    string          // icon id, or ""
	Off     bool            // cannot be chosen; Note or Why must say why
	Why     templ.Component // reason and way out, for a choice that is Off
	Default bool            // chosen while the field has no value
}

func chosen(o Option, value string) bool {
	return o.Value == value || (value == "" && o.Default)
}

// percent writes v, from 0 to 100, as an SVG length.
func percent(v float64) string {
	return strconv.FormatFloat(min(max(v, 0), 100), 'f', 1, 64) + "%"
}

// join puts the non-empty words into one class or id list.
func join(words ...string) string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}
