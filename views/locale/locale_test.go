package locale

import (
	"context"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func mustLoad(t *testing.T) Catalogs {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEqualKeys(t *testing.T) {
	c := mustLoad(t)
	if d := cmp.Diff(c.Keys(Chinese), c.Keys(English)); d != "" {
		t.Errorf("Chinese (-) and English (+) have different keys:\n%s", d)
	}
}

// What is filled into a sentence must be the same in both languages.
func TestEqualFields(t *testing.T) {
	c := mustLoad(t)
	field := regexp.MustCompile(`\{\{\s*\.(\w+)`)
	fieldsOf := func(m Message) []string {
		set := map[string]bool{}
		for _, f := range field.FindAllStringSubmatch(m.One+m.Other, -1) {
			set[f[1]] = true
		}
		return slices.Sorted(maps.Keys(set))
	}
	for _, key := range c.Keys(Chinese) {
		if d := cmp.Diff(fieldsOf(c[Chinese][key]), fieldsOf(c[English][key])); d != "" {
			t.Errorf("%s: Chinese (-) and English (+) fill in different values:\n%s", key, d)
		}
	}
}

func TestWords(t *testing.T) {
	c := mustLoad(t)
	han := regexp.MustCompile(`\p{Han}`)
	for key, m := range c[English] {
		if han.MatchString(m.One + m.Other) {
			t.Errorf("%s: English has Chinese characters: %s", key, m.Other)
		}
	}
	for key, m := range c[Chinese] {
		if m.One != "" {
			t.Errorf("%s: Chinese has no singular form", key)
		}
		if strings.ContainsAny(m.Other, "您！") {
			t.Errorf("%s: no 您 and no exclamation marks: %s", key, m.Other)
		}
	}
}

// uses are the ways in which source names a key that must exist.
func uses() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`\bTn?\(\s*(?:ctx|c|c\.Request\(\)\.Context\(\)),\s*"([^"]+)"`), // T(ctx, "key"
		regexp.MustCompile(`\.Tn?\("([^"]+)"`),                                             // localizer.T("key"
		regexp.MustCompile(`\blabel:"([^"]+)"`),                                            // form tags
		regexp.MustCompile(`\b(?:notFound|conflict)\("([^"]+)"`),                           // models
		regexp.MustCompile(`\binvalid\("[^"]*",\s*"([^"]+)"`),                              // models
		regexp.MustCompile(`"(errors\.[a-z0-9_]+\.[a-z0-9_.]*)"`),                          // models, wherever
		regexp.MustCompile(`\bError\{[^}]*Key:\s*"([^"]+)"`),                               // models.Error, web.Error
	}
}

// sources reads every .go and .templ file of the module that a person wrote, without tests.
func sources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := os.DirFS("../..")
	for _, dir := range []string{"web", "handlers", "views", "models", "worker", "sandbox", "alert"} {
		walk(t, root, dir, out)
	}
	if len(out) < 10 {
		t.Fatalf("found only %d source files", len(out))
	}
	return out
}

func TestKeysAndUses(t *testing.T) {
	c := mustLoad(t)
	files := sources(t)
	used := map[string]bool{}
	literal := regexp.MustCompile(`["` + "`" + `]([a-z0-9_]+(?:\.[A-Za-z0-9_-]+)+\.?)["` + "`" + `\\]`)
	for name, text := range files {
		for _, m := range literal.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
		for _, use := range uses() {
			for _, m := range use.FindAllStringSubmatch(text, -1) {
				key := FullKey(m[1])
				used[key] = true
				// A start of keys ends with its dot; anything else is a whole key.
				if _, ok := c[Chinese][key]; !ok && !(strings.HasSuffix(key, ".") && dynamic(key)) {
					t.Errorf("%s uses %q, which no catalog has", name, key)
				}
			}
		}
		for _, m := range regexp.MustCompile(`\bTn?\((?:ctx|c),\s*"([^"]+)"\s*\+`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(DynamicPrefixes(), m[1]) && !dynamicStart(m[1]) {
				t.Errorf("%s builds keys from %q, which DynamicPrefixes does not list", name, m[1])
			}
		}
	}
	for _, key := range c.Keys(Chinese) {
		if !used[key] && !dynamic(key) {
			t.Errorf("nobody uses %q", key)
		}
	}
}

// dynamic reports whether key lies under a declared prefix; such a key as written
// in source may be only the start of one.
func dynamic(key string) bool {
	return slices.ContainsFunc(DynamicPrefixes(), func(p string) bool { return strings.HasPrefix(key, p) })
}

func dynamicStart(start string) bool { return dynamic(start) }

// A sentence in a plural form needs both forms in English.
func TestPlurals(t *testing.T) {
	c := mustLoad(t)
	use := regexp.MustCompile(`\bTn\(\s*(?:ctx|c),\s*"([^"]+)"`)
	for name, text := range sources(t) {
		for _, m := range use.FindAllStringSubmatch(text, -1) {
			if c[English][m[1]].One == "" {
				t.Errorf("%s: %q needs {one, other} in English", name, m[1])
			}
		}
	}
}

// Text in a template outside the catalogs cannot be translated.
func TestNoChineseInTemplates(t *testing.T) {
	han := regexp.MustCompile(`\p{Han}+`)
	for name, text := range sources(t) {
		if !strings.HasSuffix(name, ".templ") || strings.Contains(name, "/kit/") {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			code, _, _ := strings.Cut(line, "//")
			if words := han.FindString(code); words != "" {
				t.Errorf("%s:%d: %s belongs into a catalog", name, i+1, words)
			}
		}
	}
}

func TestTranslate(t *testing.T) {
	var missing []string
	b, err := newBundle(Catalogs{
		Chinese: {"a.hello": {Other: "你好，{{.Name}}"}, "a.n": {Other: "{{.Count}} 项"}, "a.zh": {Other: "只有中文"}},
		English: {"a.hello": {Other: "Hello {{.Name}}"}, "a.n": {One: "{{.Count}} item", Other: "{{.Count}} items"}},
	}, func(lang, key string) { missing = append(missing, lang+" "+key) })
	if err != nil {
		t.Fatal(err)
	}
	zh, en := With(t.Context(), b.Localizer(Chinese)), With(t.Context(), b.Localizer(English))
	tests := []struct{ got, want string }{
		{T(zh, "a.hello", "Name", "雁"), "你好，雁"},
		{T(en, "a.hello", "Name", "goose"), "Hello goose"},
		{T(en, "a.hello", map[string]any{"Name": "goose"}), "Hello goose"},
		{Tn(en, "a.n", 1), "1 item"},
		{Tn(en, "a.n", 2), "2 items"},
		{Tn(en, "a.n", 1234, "Count", "1,234"), "1,234 items"},
		{Tn(zh, "a.n", 1), "1 项"},
		{T(en, "a.none"), "a.none"},
		{Tn(zh, "a.none", 1, map[string]any(nil)), "a.none"},
		{T(context.Background(), "a.hello"), "a.hello"}, // no translator: the key, no panic
		{Lang(context.Background()), Chinese},
		{Lang(en), English},
	}
	for i, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%d: got %q, want %q", i, tt.got, tt.want)
		}
	}
	if d := cmp.Diff([]string{"en a.none", "zh-CN a.none"}, missing); d != "" {
		t.Errorf("missing keys:\n%s", d)
	}
}

func TestMatch(t *testing.T) {
	b, err := newBundle(mustLoad(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		header string
		wishes []string
		want   string
	}{
		{"", nil, Chinese},
		{"zh", nil, Chinese},
		{"zh-Hant-TW", nil, Chinese},
		{"en-GB,en;q=0.8", nil, English},
		{"de-DE,de;q=0.9", nil, English},
		{"de-DE,de;q=0.9,zh;q=0.1", nil, Chinese},
		{"en", []string{"", Chinese}, Chinese},
		{"zh", []string{"fr", English}, English},
		{"%%%", nil, Chinese},
	}
	for _, tt := range tests {
		if got := b.Match(tt.header, tt.wishes...); got != tt.want {
			t.Errorf("Match(%q, %q) = %s, want %s", tt.header, tt.wishes, got, tt.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := map[string]fstest.MapFS{
		"a key of another section": {"zh/a.json": {Data: []byte(`{"b.x": "y"}`)}},
		"a key that stands twice":  {"zh/a.json": {Data: []byte(`{"a.x": "y", "a.x": "z"}`)}},
		"no other form":            {"zh/a.json": {Data: []byte(`{"a.x": {"one": "y"}}`)}},
		"an unknown form":          {"zh/a.json": {Data: []byte(`{"a.x": {"other": "y", "few": "z"}}`)}},
		"a list":                   {"zh/a.json": {Data: []byte(`["a.x"]`)}},
		"half a file":              {"zh/a.json": {Data: []byte(`{"a.x": "y"`)}},
	}
	for name, fsys := range tests {
		if _, err := load(fsys); err == nil {
			t.Errorf("load took a file with %s", name)
		}
	}
}
