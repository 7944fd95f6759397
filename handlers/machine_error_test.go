package handlers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"hongyan/views/locale"
)

// A database that does not answer is no fault of the request: the caller is asked
// to come again.
func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	e := apiErrorOf(fmt.Errorf("models: im app: %w", &net.OpError{Op: "dial", Err: net.ErrClosed}))
	if e.status != http.StatusServiceUnavailable || e.code != "unavailable" || e.wait == 0 {
		t.Errorf("answered %d %s after %s", e.status, e.code, e.wait)
	}
}

// Every word that models put into an Error has a sentence in both languages, also
// the short ones, which only the API shows.
func TestModelErrorsHaveSentences(t *testing.T) {
	t.Parallel()
	var missing []string
	bundle, err := locale.NewBundle(func(lang, key string) { missing = append(missing, lang+" "+key) })
	if err != nil {
		t.Fatal(err)
	}
	words := modelErrorWords(t)
	if len(words) < 40 {
		t.Fatalf("found only %d words: %v", len(words), words)
	}
	for word := range words {
		for _, lang := range []string{locale.Chinese, locale.English} {
			bundle.Localizer(lang).T("errors."+word, map[string]any{})
		}
	}
	if len(missing) > 0 {
		t.Errorf("no sentence for %v", missing)
	}
}

// modelErrorWords collects the keys of models' errors from its sources: string
// literals handed to the functions that make an Error.
func modelErrorWords(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../models/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no sources", err)
	}
	// Which argument of each function is the key.
	makers := map[string]int{"invalid": 1, "conflict": 0, "conflictField": 1}
	words := map[string]bool{}
	key := regexp.MustCompile(`^(?:errors\.)?([a-z][a-z_.]*[a-z])$`)
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := call.Fun.(*ast.Ident)
			if !ok {
				return true
			}
			at, ok := makers[fn.Name]
			if !ok || at >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[at].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if m := key.FindStringSubmatch(text); err == nil && m != nil {
					words[m[1]] = true
				}
			}
			return true
		})
	}
	return words
}
