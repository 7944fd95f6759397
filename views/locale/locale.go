// Package locale holds every sentence of the console in Chinese and English and
// chooses between them. One file per section and language: every key starts with
// the name of its file (products.json holds "products.…"), so that no two files
// can define the same key. It knows nothing of pages.
package locale

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// Languages of the console, as they stand in <html lang>, cookies and settings.
const (
	Chinese = "zh-CN"
	English = "en"
)

//go:embed zh/*.json en/*.json
var files embed.FS

// folders maps a language to its folder of catalogs.
func folders() map[string]string { return map[string]string{Chinese: "zh", English: "en"} }

// DynamicPrefixes lists the starts of keys that code puts together at run time, as
// in T(ctx, "permissions."+name). Keys under them count as used.
func DynamicPrefixes() []string {
	return []string{
		"api.", "errors.", "permissions.", "kinds.", "states.", "outcomes.", "codes.", "reasons.", "channels.",
		"nav.", "categories.", "services.", "auditlog.", "fields.", "receipts.", "notes.", "robots.", "alerts.event.", "alerts.kind.",
		"sandbox.brands.", "arrivals.kind.", "arrivals.do.",
	}
}

// Message is one entry of a catalog. One is empty where the language or the
// sentence has no singular form of its own.
type Message struct{ One, Other string }

// Catalogs maps language, then key, to Message.
type Catalogs map[string]map[string]Message

// Load reads the embedded catalogs. It fails on a key that stands twice, or that
// does not start with its file's name.
func Load() (Catalogs, error) { return load(files) }

func load(fsys fs.FS) (Catalogs, error) {
	out := Catalogs{}
	for lang, folder := range folders() {
		out[lang] = map[string]Message{}
		names, err := fs.Glob(fsys, folder+"/*.json")
		if err != nil {
			return nil, fmt.Errorf("locale: load: %w", err)
		}
		for _, name := range names {
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return nil, fmt.Errorf("locale: load: %w", err)
			}
			if err := readFile(out[lang], name, data); err != nil {
				return nil, fmt.Errorf("locale: load %s: %w", name, err)
			}
		}
	}
	return out, nil
}

// readFile walks the tokens itself, because a JSON decoder keeps the last of two
// equal keys and says nothing.
func readFile(into map[string]Message, name string, data []byte) error {
	section := strings.TrimSuffix(path.Base(name), ".json") + "."
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("not a JSON object"), err)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if !strings.HasPrefix(key, section) {
			return fmt.Errorf("key %q does not start with %q", key, section)
		}
		if _, twice := into[key]; twice {
			return fmt.Errorf("key %q stands twice", key)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		m, err := readMessage(raw)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		into[key] = m
	}
	_, err := dec.Token()
	return err
}

// readMessage accepts "text" or {"one": "text", "other": "text"}.
func readMessage(raw json.RawMessage) (Message, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return Message{Other: text}, nil
	}
	var m Message
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, err
	}
	if m.Other == "" {
		return m, errors.New(`no "other" form`)
	}
	return m, nil
}

// Keys returns the keys of one language, sorted.
func (c Catalogs) Keys(lang string) []string {
	return slices.Sorted(maps.Keys(c[lang]))
}

// Bundle translates. It never changes after NewBundle and is safe for concurrent use.
type Bundle struct {
	localizers map[string]*Localizer
	matcher    language.Matcher
	tags       []string
}

// NewBundle loads the embedded catalogs. onMissing, which may be nil, is told of
// every key that has no sentence; the page then shows the key.
func NewBundle(onMissing func(lang, key string)) (*Bundle, error) {
	catalogs, err := Load()
	if err != nil {
		return nil, err
	}
	return newBundle(catalogs, onMissing)
}

func newBundle(catalogs Catalogs, onMissing func(lang, key string)) (*Bundle, error) {
	b := &Bundle{
		localizers: map[string]*Localizer{},
		matcher:    language.NewMatcher([]language.Tag{language.MustParse(Chinese), language.English}),
		tags:       []string{Chinese, English},
	}
	inner := i18n.NewBundle(language.MustParse(Chinese))
	for lang, messages := range catalogs {
		tag := language.MustParse(lang)
		for key, m := range messages {
			err := inner.AddMessages(tag, &i18n.Message{ID: key, One: m.One, Other: m.Other})
			if err != nil {
				return nil, fmt.Errorf("locale: %s %q: %w", lang, key, err)
			}
		}
	}
	for lang := range catalogs {
		b.localizers[lang] = &Localizer{
			lang:      lang,
			inner:     i18n.NewLocalizer(inner, lang),
			onMissing: onMissing,
		}
	}
	return b, nil
}

// Localizer returns the translator for one of the console's languages; any other
// name gives the Chinese one.
func (b *Bundle) Localizer(lang string) *Localizer {
	if l := b.localizers[lang]; l != nil {
		return l
	}
	return b.localizers[Chinese]
}

// Known reports whether lang is one of the console's languages.
func (b *Bundle) Known(lang string) bool { return b.localizers[lang] != nil }

// Match chooses a language: the first of the wishes that is known, else the best
// for the browser's Accept-Language header, else Chinese.
func (b *Bundle) Match(acceptLanguage string, wishes ...string) string {
	for _, w := range wishes {
		if b.Known(w) {
			return w
		}
	}
	wanted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil || len(wanted) == 0 {
		return Chinese
	}
	_, i, confidence := b.matcher.Match(wanted...)
	if confidence == language.No {
		// A reader of neither language is more likely to read English.
		return English
	}
	return b.tags[i]
}

// Localizer translates into one language. It is safe for concurrent use, and a nil
// one shows keys.
type Localizer struct {
	lang      string
	inner     *i18n.Localizer
	onMissing func(lang, key string)
}

// Lang returns the language as it stands in <html lang>.
func (l *Localizer) Lang() string {
	if l == nil {
		return Chinese
	}
	return l.lang
}

// T translates key. data fills the sentence: pairs of name and value
// ("Name", "x"), or one map[string]any.
func (l *Localizer) T(key string, data ...any) string {
	return l.translate(&i18n.LocalizeConfig{MessageID: key, TemplateData: fields(data)})
}

// Tn translates key in the plural form of n, which the sentence may show as
// {{.Count}}.
func (l *Localizer) Tn(key string, n int, data ...any) string {
	values := fields(data)
	if _, own := values["Count"]; !own {
		values["Count"] = n
	}
	return l.translate(&i18n.LocalizeConfig{MessageID: key, PluralCount: n, TemplateData: values})
}

func (l *Localizer) translate(config *i18n.LocalizeConfig) string {
	if l == nil {
		return config.MessageID
	}
	config.MessageID = FullKey(config.MessageID)
	text, tag, err := l.inner.LocalizeWithTag(config)
	if err != nil || tag.String() != l.lang {
		if l.onMissing != nil {
			l.onMissing(l.lang, config.MessageID)
		}
		if text == "" {
			return config.MessageID
		}
	}
	return text
}

// FullKey returns the key as it stands in the catalogs: one without a section, as
// the errors of models carry, is a sentence of errors.json.
func FullKey(key string) string {
	if key == "" || strings.Contains(key, ".") {
		return key
	}
	return "errors." + key
}

func fields(data []any) map[string]any {
	if len(data) == 1 {
		if m, ok := data[0].(map[string]any); ok && m != nil {
			return maps.Clone(m)
		}
	}
	out := make(map[string]any, len(data)/2+1)
	for i := 0; i+1 < len(data); i += 2 {
		if name, ok := data[i].(string); ok {
			out[name] = data[i+1]
		}
	}
	return out
}

type contextKey struct{}

// With returns a context in which T speaks l's language.
func With(ctx context.Context, l *Localizer) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

// From returns the context's translator; without one, a nil Localizer that shows keys.
func From(ctx context.Context) *Localizer {
	l, _ := ctx.Value(contextKey{}).(*Localizer)
	return l
}

// Lang returns the context's language as it stands in <html lang>.
func Lang(ctx context.Context) string { return From(ctx).Lang() }

// T translates key into the context's language; see Localizer.T.
func T(ctx context.Context, key string, data ...any) string { return From(ctx).T(key, data...) }

// Tn translates key into the context's language in the plural form of n; see
// Localizer.Tn.
func Tn(ctx context.Context, key string, n int, data ...any) string {
	return From(ctx).Tn(key, n, data...)
}

// Find translates key like T where the catalogs have it, and reports whether they
// do: for words that are looked up by a value from outside, such as a vendor's code.
func Find(ctx context.Context, key string) (string, bool) {
	l := From(ctx)
	if l == nil {
		return "", false
	}
	text, tag, err := l.inner.LocalizeWithTag(&i18n.LocalizeConfig{MessageID: key})
	return text, err == nil && tag.String() == l.lang
}
