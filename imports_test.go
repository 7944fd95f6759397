package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "hongyan"

// mayImport is the direction of imports (ARCHITECTURE.md): each package of ours,
// and the packages of ours that its non-test files may import. A trailing /...
// means the package and everything below it; the longest matching row holds. A
// package without a row fails the test: add it here, and to ARCHITECTURE.md, and
// say why in the change.
func mayImport() map[string][]string {
	return map[string][]string{
		".":             {"..."}, // main starts everything
		"handlers/...":  {"handlers/...", "web/...", "views/...", "models", "push", "alert", "xmpp"},
		"web/...":       {"web/...", "views/...", "models", "static"},
		"views/...":     {"views/...", "models"},
		"worker/...":    {"worker/...", "models", "push"},
		"alert":         {"models", "push", "views/locale"}, // writes for people, as pages do
		"models/...":    {},
		"push":          {},
		"push/...":      {"push"}, // a vendor knows the contract and nothing else
		"push/registry": {"push/..."},
		"push/pushtest": {"push"},
		// What the vendors' tests share: a simulator and a sender that meet.
		"push/pushtest/lab": {"push", "push/pushtest", "sandbox"},
		"sandbox/...":       {"sandbox/...", "push"},
		"static/...":        {},
		"xmpp":              {},      // a protocol of others
		"bench":             {"..."}, // a tool beside the program: it measures all of it
		"internal/...":      {},      // what tests share
	}
}

// onlyIn names third-party packages that one package alone may use.
func onlyIn() map[string][]string {
	return map[string][]string{
		"gorm.io/":                        {"models"},
		"github.com/pressly/goose":        {"models"},
		"github.com/gorilla/":             {"web"},
		"github.com/sideshow/apns2":       {"push/apns", "bench"}, // bench: the bare loop to compare with
		"golang.org/x/oauth2":             {"push/fcm"},
		"github.com/SherClockHolmes/":     {"push/webpush"},
		"github.com/getkin/kin-openapi":   {},                   // tests only, it is large
		"github.com/chromedp/":            {"internal/browser"}, // tests only
		"github.com/stretchr/testify":     {},
		"github.com/golang/protobuf":      {},
		"github.com/mattn/go-sqlite3":     {}, // cgo; modernc.org/sqlite is ours
		"github.com/glebarez/":            {}, // registers the same driver name
		"hongyan/internal/pgtest":         {"bench"},
		"github.com/labstack/echo/v4":     {".", "web", "handlers"},
		"github.com/riverqueue/river":     {"models", "worker"},
		"modernc.org/sqlite":              {"models"},
		"github.com/jackc/pgx":            {"models", "internal/pgtest"},
		"github.com/prometheus/":          {".", "web", "handlers", "worker", "models"},
		"github.com/alexedwards/argon2id": {"models"},
	}
}

func TestImportDirection(t *testing.T) {
	t.Parallel()
	rules, reserved := mayImport(), onlyIn()
	for file, imports := range sourceImports(t) {
		pkg := path.Dir(file)
		row, ok := longestRow(rules, pkg)
		if !ok {
			t.Errorf("%s: package %s has no row in mayImport", file, pkg)
			continue
		}
		for _, imp := range imports {
			if ours, ok := strings.CutPrefix(imp, module+"/"); ok && !matchesAny(rules[row], ours) {
				t.Errorf("%s imports %s; packages %s may import %v of ours", file, ours, row, rules[row])
			}
			for prefix, homes := range reserved {
				if strings.HasPrefix(imp, prefix) && !slices.ContainsFunc(homes, func(h string) bool { return pkg == h || h != "." && strings.HasPrefix(pkg, h+"/") }) {
					t.Errorf("%s imports %s, which only %v may use", file, imp, homes)
				}
			}
		}
	}
}

// longestRow returns the most specific row for a package.
func longestRow(rules map[string][]string, pkg string) (string, bool) {
	best, ok := "", false
	for row := range rules {
		if matches(row, pkg) && (!ok || len(row) > len(best)) {
			best, ok = row, true
		}
	}
	return best, ok
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// matches reports whether a pattern (a package, or one with a trailing /...)
// covers a package.
func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

// sourceImports returns the imports of every non-test Go file, keyed by its path
// from the top of the repository.
func sourceImports(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[file] = append(out[file], imp)
		}
		if f.Imports == nil {
			out[file] = nil
		}
	}
	return out
}

// goFiles returns every Go file of the repository.
func goFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"node_modules", "data", "bin"}, p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(p, ".go") {
			out = append(out, filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		dir, _ := os.Getwd() // for the message only
		t.Fatalf("no Go files below %s", dir)
	}
	return out
}

// The matcher itself decides everything above, so it is tested too.
func TestImportMatcher(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"...", "models", true},
		{"push", "push", true},
		{"push", "push/apns", false},
		{"push/...", "push", true},
		{"push/...", "push/apns", true},
		{"push/...", "pushtest", false},
	} {
		if got := matches(c.pattern, c.pkg); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.pkg, got)
		}
	}
	if row, _ := longestRow(mayImport(), "push/registry"); row != "push/registry" {
		t.Errorf("push/registry is ruled by %q", row)
	}
	if row, _ := longestRow(mayImport(), "push/apns"); row != "push/..." {
		t.Errorf("push/apns is ruled by %q", row)
	}
}
