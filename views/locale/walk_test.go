package locale

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// walk reads the written sources under dir; a folder that does not exist yet is fine.
func walk(t *testing.T, root fs.FS, dir string, out map[string]string) {
	t.Helper()
	err := fs.WalkDir(root, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		written := strings.HasSuffix(name, ".templ") || strings.HasSuffix(name, ".go")
		if !written || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_templ.go") ||
			name == "views/locale/locale.go" {
			return nil
		}
		data, err := fs.ReadFile(root, name)
		out[name] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
