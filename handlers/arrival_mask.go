package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"hongyan/models"
)

// rawRequest is a request as it came, to be shown with what it must not show masked.
// What is shown is a list of what is known to be harmless, by name and by form; every
// other text becomes its length. With the operator's consent (told) texts of messages
// are shown too, but never a token, a secret or a signature.
type rawRequest struct {
	method, route string
	url           *url.URL
	header        http.Header
	secret        string
	address       string
	length        int64 // as announced, -1 unknown
	body          []byte
	tokens        []string
}

// size is the body's, -1 unknown.
func (r *rawRequest) size() int64 {
	if r.body != nil {
		return int64(len(r.body))
	}
	return r.length
}

// masked returns the request without texts, tokens and secrets.
func (r *rawRequest) masked() string { return r.write(false) }

// told returns it with texts.
func (r *rawRequest) told() string { return r.write(true) }

// Bounds of what is shown, for the eye.
const (
	maxShownItems  = 20 // of an array
	maxShownFields = 80 // of an object
	maxShownDepth  = 12
	maxShownText   = 1000     // bytes of one text
	maxShownRaw    = 2000     // bytes of a body that is no JSON
	shortNumber    = 4        // digits that say nothing of anybody
	maxChecked     = 32 << 10 // of a body: less than that is shown
)

func (r *rawRequest) write(told bool) string {
	m := &masker{r: r, told: told}
	m.line(r.method + " " + m.target())
	for _, name := range shownHeaders() {
		for _, v := range r.header.Values(name) {
			if !mediaType.MatchString(v) {
				v = m.free(v)
			}
			m.line(name + ": " + v)
		}
	}
	for _, name := range []string{"Authorization", "X-Hub-Signature", "Sign"} {
		if r.header.Get(name) != "" {
			m.line(name + ": " + maskedText)
		}
	}
	if len(r.body) > 0 {
		m.out.WriteByte('\n')
		m.body()
	}
	return m.out.String()
}

// mediaType is a media type, which may be longer than other words.
var mediaType = regexp.MustCompile(`^[a-z]+/[a-z.+-]+(; ?charset=[A-Za-z0-9-]+)?$`)

// shownHeaders are headers that hold neither secrets nor texts.
func shownHeaders() []string {
	return []string{"Content-Type", "Content-Encoding", "User-Agent", "Ttl", "Urgency"}
}

// maskedText stands for what is not shown.
const maskedText = "•••"

// masker writes one request.
type masker struct {
	r    *rawRequest
	told bool
	out  strings.Builder
	hide *strings.Replacer // made when first needed, see hider
}

func (m *masker) line(s string) {
	m.out.WriteString(s)
	m.out.WriteByte('\n')
}

func (m *masker) full() bool { return m.out.Len() > models.MaxShape-1<<10 }

// target is the route's pattern, because the path itself holds the secret, with the
// query.
func (m *masker) target() string {
	out := strings.TrimSuffix(m.r.route, "*")
	if m.r.url == nil || m.r.url.RawQuery == "" {
		return out
	}
	return out + "?" + m.pairs(m.r.url.Query(), "&")
}

// pairs writes a query or a form.
func (m *masker) pairs(values url.Values, between string) string {
	var parts []string
	for _, name := range sortedNames(values) {
		for _, v := range values[name] {
			if len(parts) < maxShownFields {
				parts = append(parts, m.name(name)+"="+m.text(name, v, true, false))
			}
		}
	}
	return strings.Join(parts, between)
}

func sortedNames(values url.Values) []string {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// body writes the body: JSON by its structure, a form by its fields, anything else by
// its size and form.
func (m *masker) body() {
	whole := bytes.TrimPrefix(m.r.body, []byte("\xef\xbb\xbf"))
	b := whole
	if len(b) > maxChecked {
		for b = b[:maxChecked]; len(b) > 0 && !utf8.RuneStart(whole[len(b)]); {
			b = b[:len(b)-1]
		}
	}
	if strings.HasPrefix(m.r.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if v, err := url.ParseQuery(string(b)); err == nil {
			m.out.WriteString(m.pairs(v, "\n"))
			return
		}
	}
	if first := bytes.TrimLeft(b, " \t\r\n"); len(first) > 0 && (first[0] == '{' || first[0] == '[') && (len(whole) > len(b) || json.Valid(b)) {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		m.value(dec, frame{open: true})
		return
	}
	m.line(fmt.Sprintf("‹%s, %d bytes›", formOf(b), len(whole)))
	if m.told && utf8.Valid(b) {
		m.out.WriteString(m.free(string(b[:min(len(b), maxShownRaw)])))
	}
}

// formOf says what a body that cannot be read looks like.
func formOf(b []byte) string {
	switch first := bytes.TrimLeft(b, " \t\r\n"); {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return "gzip"
	case !utf8.Valid(b):
		return "binary"
	case len(first) > 0 && (first[0] == '{' || first[0] == '['):
		return "broken JSON"
	case len(first) > 0 && first[0] == '<':
		return "XML"
	}
	return "text"
}

// frame is where a value stands.
type frame struct {
	key   string
	level int
	// open says that every object around it is one of the protocol's own, so that its
	// names mean what they say.
	open bool
	// said says that it stands inside a message's own content.
	said bool
}

// value writes the next JSON value and reports whether there is more to read.
func (m *masker) value(dec *json.Decoder, f frame) bool {
	t, err := dec.Token()
	if err != nil || m.full() {
		m.out.WriteString("…")
		return false
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return m.object(dec, f)
		}
		return m.array(dec, f)
	case string:
		m.out.WriteString(quoted(m.text(f.key, t, f.open, f.said)))
	case json.Number:
		// Of a field that is not known a number may be a telephone's.
		known := f.key == "" || f.open && plainName(f.key) && !isText(f.key) && (isPlain(f.key) || len(t) <= shortNumber)
		if known || m.told && f.said {
			m.out.WriteString(t.String())
		} else {
			m.out.WriteString(maskedText)
		}
	case bool:
		m.out.WriteString(strconv.FormatBool(t))
	default:
		m.out.WriteString("null")
	}
	return true
}

// object writes the rest of an object.
func (m *masker) object(dec *json.Decoder, f frame) bool {
	in := frame{level: f.level + 1, open: f.open && (f.level == 0 || f.key == "" || isStructure(f.key)), said: f.said || isText(f.key) && !isStructure(f.key)}
	m.out.WriteString("{")
	n := 0
	for ; dec.More(); n++ {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok || m.full() || n >= maxShownFields || in.level > maxShownDepth {
			m.out.WriteString("…")
			return false
		}
		if n > 0 {
			m.out.WriteString(",")
		}
		m.indent(in.level)
		m.out.WriteString(quoted(m.name(key)) + ": ")
		in.key = key
		if !m.value(dec, in) {
			return false
		}
	}
	return m.end(dec, "}", f.level, n)
}

// array writes the rest of an array; its items go by the array's own name.
func (m *masker) array(dec *json.Decoder, f frame) bool {
	in := f
	in.level++
	m.out.WriteString("[")
	n := 0
	for ; dec.More(); n++ {
		if m.full() || in.level > maxShownDepth {
			m.out.WriteString("…")
			return false
		}
		if n >= maxShownItems {
			var rest json.RawMessage
			if dec.Decode(&rest) != nil {
				return false
			}
			continue
		}
		if n > 0 {
			m.out.WriteString(",")
		}
		m.indent(in.level)
		if !m.value(dec, in) {
			return false
		}
	}
	if n > maxShownItems {
		m.out.WriteString(", … +" + strconv.Itoa(n-maxShownItems))
	}
	return m.end(dec, "]", f.level, n)
}

func (m *masker) end(dec *json.Decoder, bracket string, level, n int) bool {
	if _, err := dec.Token(); err != nil {
		return false
	}
	if n > 0 {
		m.indent(level)
	}
	m.out.WriteString(bracket)
	return true
}

func (m *masker) indent(level int) {
	m.out.WriteByte('\n')
	for range level {
		m.out.WriteString("  ")
	}
}

// quoted writes a text as JSON does, but leaves letters readable.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// name returns a field's name, unless it could be something else: an app may use ids
// or tokens as names.
func (m *masker) name(key string) string {
	if !plainName(key) || m.secret(key) {
		return masked(key)
	}
	return key
}

var fieldName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_.$-]{0,39}$`)

func plainName(key string) bool {
	return fieldName.MatchString(key) && (len(key) < 20 || !strings.ContainsAny(key, "0123456789"))
}

// text returns a text if it may be shown, else its length.
func (m *masker) text(key, s string, open, said bool) string {
	switch {
	case s == "" || s == maskedText:
		return s
	case m.secret(s):
	case open && isPlain(key) && harmless.MatchString(s):
		return s
	case m.told && (said || isText(key)) && !private.MatchString(key):
		return m.free(s)
	}
	return masked(s)
}

// masked says how long a text is.
func masked(s string) string { return maskedText + " " + strconv.Itoa(utf8.RuneCountInString(s)) }

// harmless is what ids and words of a protocol look like.
var harmless = regexp.MustCompile(`^[A-Za-z0-9_.@:!#$+/=,~-]{1,128}$`)

// secret reports whether s holds the secret of the address or a token of the request.
func (m *masker) secret(s string) bool {
	if m.r.secret != "" && strings.Contains(s, m.r.secret) {
		return true
	}
	return slices.ContainsFunc(m.r.tokens, func(t string) bool { return strings.Contains(s, t) })
}

// opaque is what a token, secret or signature looks like inside a text; named is one
// that its name gives away.
var (
	opaque  = regexp.MustCompile(`[A-Za-z0-9_+=~%:-]{20,}`)
	private = regexp.MustCompile(`(?i)token|secret|sign|sig$|usersig|auth|passw|pushkey|credential|cookie|session|^key$|api_?key|device`)
	named   = regexp.MustCompile(`(?i)((?:token|secret|sign|sig|usersig|auth|authorization|password|passwd|pushkey|credential|cookie|session|api_?key)[^:=\s]{0,12}["']?\s*[:=]\s*["']?)[^"'\s,&}]+`)
)

// free returns a text that was let through, with whatever in it may be a token, secret
// or signature masked.
func (m *masker) free(s string) string {
	if len(s) > maxShownText {
		s = strings.ToValidUTF8(s[:maxShownText], "") + "…"
	}
	s = m.hider().Replace(s)
	return opaque.ReplaceAllString(named.ReplaceAllString(s, "${1}"+maskedText), maskedText)
}

// hider hides the secret of the address and the request's tokens in one pass, so that
// none is looked for in what stands for another, and the longest first, so that none
// leaves the rest of a longer one.
func (m *masker) hider() *strings.Replacer {
	if m.hide == nil {
		list := append([]string{m.r.secret}, m.r.tokens...)
		slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
		var pairs []string
		for _, t := range list {
			if t != "" {
				pairs = append(pairs, t, maskedText)
			}
		}
		m.hide = strings.NewReplacer(pairs...)
	}
	return m.hide
}
