package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// Logins from the command line: the first one, sub-accounts, a lost password.
func TestUserCommand(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		link := regexp.MustCompile(`http://localhost:8080/setup\?token=\S+`)
		pairs["LISTEN"] = ":8080"
		if out := must(t, pairs, "user", "setup-link"); !link.MatchString(out) {
			t.Errorf("setup-link: %s", out)
		}
		out := must(t, pairs, "user", "create-main", "-account", "ACME", "-name", "root")
		m := regexp.MustCompile(`main account (\d+), main user root\npassword: (\S{20,}) \(shown once\)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("create-main: %s", out)
		}
		if out, code := do(t, pairs, "user", "setup-link"); code != exitFailure || link.MatchString(out) {
			t.Errorf("setup-link with a main account: exit %d: %s", code, out)
		}
		must(t, pairs, "user", "create-sub", "-account", m[1], "-name", "ops", "-role", "ops", "-all-products")
		if out, code := do(t, pairs, "user", "create-sub", "-account", m[1], "-name", "ops", "-all-products"); code != exitFailure || strings.Contains(out, "errors.") {
			t.Errorf("the same name again: exit %d: %s", code, out)
		}
		must(t, pairs, "user", "reset-password", "-account", m[1], "-name", "ops")
		must(t, pairs, "user", "reset-password", "-name", "root")
		if out, code := do(t, pairs, "user", "reset-password", "-account", m[1], "-name", "nobody"); code != exitFailure {
			t.Errorf("nobody's password: exit %d: %s", code, out)
		}
		if _, code := do(t, pairs, "user", "dance"); code != exitUsage {
			t.Errorf("exit %d", code)
		}
	})
}

// A password given on standard input is used and not printed; a bad one is refused
// in words.
func TestUserPasswordStdin(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	try := func(password string) (string, int) {
		var buf bytes.Buffer
		code := execute(t.Context(), invocation{
			args: []string{"user", "create-main", "-account", "ACME", "-name", "root", "-password-stdin"},
			env:  env(pairs), in: strings.NewReader(password + "\n"), out: &buf, err: &buf,
		})
		return buf.String(), code
	}
	if out, code := try("short"); code != exitFailure || !strings.Contains(out, "password") || strings.Contains(out, "errors.") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := try("correct horse battery"); code != exitOK || strings.Contains(out, "correct horse") {
		t.Errorf("exit %d: %s", code, out)
	}
}
