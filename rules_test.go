package main

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Limits of a source file, in lines. Above the first it is named in the test's
// log; above the second it fails, unless it serves tests or its first comment says
// "Long because".
const (
	fileLinesNoted  = 400
	fileLinesFailed = 450
)

// Code rules that no linter we run expresses. They hold for every file that is
// part of the program; tests may sleep and read the environment.
func TestCodeRules(t *testing.T) {
	t.Parallel()
	globals := map[string]map[string]bool{} // package → its variables
	files := map[string]*ast.File{}
	fset := token.NewFileSet()
	for _, name := range goFiles(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkFolder(t, name)
		if strings.HasSuffix(name, "_test.go") || generated(src) {
			continue
		}
		checkLength(t, name, src)
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
		pkg := path.Dir(name)
		if globals[pkg] == nil {
			globals[pkg] = map[string]bool{}
		}
		for _, v := range packageVars(f) {
			globals[pkg][v] = true
		}
	}
	for name, f := range files {
		checkCalls(t, fset, name, f)
		checkGlobals(t, fset, f, globals[path.Dir(name)])
	}
}

func generated(src []byte) bool {
	head, _, _ := bytes.Cut(src, []byte("\npackage "))
	return bytes.Contains(head, []byte("DO NOT EDIT"))
}

func checkFolder(t *testing.T, name string) {
	t.Helper()
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "types", "services", "pkg", "lib", "misc"}, part) {
			t.Errorf("%s: a package %q has no job; put the function where it is used", name, part)
		}
	}
}

func checkLength(t *testing.T, name string, src []byte) {
	t.Helper()
	lines := bytes.Count(src, []byte("\n"))
	if lines <= fileLinesNoted {
		return
	}
	head := src[:min(len(src), 2000)]
	support := strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "push/pushtest/")
	if lines > fileLinesFailed && !support && !bytes.Contains(head, []byte("Long because")) {
		t.Errorf("%s has %d lines: split it, or say \"Long because …\" at its top", name, lines)
		return
	}
	t.Logf("%s has %d lines", name, lines)
}

// checkCalls refuses sleeping, work in init, and reading the environment outside
// config.go.
func checkCalls(t *testing.T, fset *token.FileSet, name string, f *ast.File) {
	t.Helper()
	testOnly := strings.HasPrefix(name, "internal/")
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				t.Errorf("%s: work in init", fset.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || x.Obj != nil { // Obj: a local variable of that name
				return true
			}
			switch call := x.Name + "." + n.Sel.Name; call {
			case "time.Sleep":
				t.Errorf("%s: time.Sleep; wait on a channel, a ticker or the context", fset.Position(n.Pos()))
			case "os.Getenv", "os.LookupEnv", "os.Environ":
				if name != "config.go" && !testOnly {
					t.Errorf("%s: %s; only config.go reads the environment", fset.Position(n.Pos()), call)
				}
			}
		}
		return true
	})
}

// packageVars returns the names of a file's package-level variables.
func packageVars(f *ast.File) []string {
	var out []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			for _, n := range s.(*ast.ValueSpec).Names {
				out = append(out, n.Name)
			}
		}
	}
	return out
}

// checkGlobals refuses functions that change a package-level variable.
func checkGlobals(t *testing.T, fset *token.FileSet, f *ast.File, globals map[string]bool) {
	t.Helper()
	change := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.StarExpr:
				e = x.X
				continue
			case *ast.Ident:
				local := x.Obj != nil && !isPackageVar(f, x.Obj)
				if globals[x.Name] && !local {
					t.Errorf("%s: changes the package-level variable %s", fset.Position(x.Pos()), x.Name)
				}
			}
			return
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						change(e)
					}
				}
			case *ast.IncDecStmt:
				change(n.X)
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "delete" && len(n.Args) > 0 {
					change(n.Args[0])
				}
			}
			return true
		})
	}
}

// isPackageVar reports whether an object resolved inside the file is one of its
// own package-level variables and not a local one.
func isPackageVar(f *ast.File, o *ast.Object) bool { //nolint:staticcheck // the parser's own resolution is enough here
	return f.Scope != nil && f.Scope.Lookup(o.Name) == o
}

// A lock file must not say where packages were downloaded from: the addresses
// would bind every user to the registry that its author used.
func TestLockFileNamesNoRegistry(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"package-lock.json", "sandbox/interop/package-lock.json"} {
		src, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(src, []byte(`"resolved": "http`)) {
			t.Errorf(`%s has "resolved" addresses: npm config set omit-lockfile-registry-resolved true, and make it again`, lock)
		}
	}
}

// The generator that `make` runs is the version that the pages are linked with.
func TestToolVersions(t *testing.T) {
	t.Parallel()
	version := func(file string) string {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(src), "\n") {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "github.com/a-h/templ" {
				return f[1]
			}
		}
		return ""
	}
	if app, tool := version("go.mod"), version("tools.mod"); app != tool {
		t.Errorf("templ is %s in go.mod and %s in tools.mod", app, tool)
	}
}

// TestSkippedByRace: a test that the race detector skips is run without it by make test.
func TestSkippedByRace(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^\t\$\(GO\) test -run '(\^.+)' (.+)$`).FindSubmatch(makefile)
	if line == nil {
		t.Fatal("the Makefile has no run without the race detector")
	}
	run := regexp.MustCompile(string(line[1]))
	packages := strings.Fields(string(line[2]))
	head := regexp.MustCompile(`(?m)^func (Test\w+)\(|\brace\.Skip\(`)
	found := 0
	err = filepath.WalkDir(".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") || file == "rules_test.go" {
			return err
		}
		text, err := os.ReadFile(file)
		test := ""
		for _, m := range head.FindAllSubmatch(text, -1) {
			if test = cmp.Or(string(m[1]), test); len(m[1]) > 0 {
				continue
			}
			found++
			if dir := "./" + filepath.ToSlash(filepath.Dir(file)); !run.MatchString(test) || !slices.Contains(packages, strings.TrimSuffix(dir, "/.")) {
				t.Errorf("%s: %s is skipped by the race detector, and the Makefile does not run it without", file, test)
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Error(found, err)
	}
}
