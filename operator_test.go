package main

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hongyan/models"
)

// refused runs a command that must fail, and returns what it printed.
func refused(t *testing.T, pairs map[string]string, says string, args ...string) {
	t.Helper()
	out, code := do(t, pairs, args...)
	if code == exitOK || !strings.Contains(out, says) {
		t.Errorf("hongyan %s: exit %d, want %q in\n%s", strings.Join(args, " "), code, says, out)
	}
}

// One run of doctor names everything: a full disk does not hide a wrong key.
func TestDoctorNamesEverything(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	pairs["SECRET_KEY"] = testKey()
	must(t, pairs, "migrate")
	pairs["SECRET_KEY"] = strings.Replace(testKey(), "AAAA", "BBBB", 1)
	pairs["DISK_MIN_FREE"] = "900TB"
	refused(t, pairs, "DISK_MIN_FREE", "doctor")
	refused(t, pairs, "not the key that this database was sealed with", "doctor")
}

// A key file that holds no key is named, and its line end is no part of the key: the
// same key in SECRET_KEY derives the same cookies and sandbox key.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	must(t, pairs, "migrate")
	path := filepath.Join(pairs["DATA_DIR"], keyFile)
	cfg, err := loadConfig(env(pairs))
	if err != nil {
		t.Fatal(err)
	}
	key, err := secretKeyOf(cfg, false)
	if err != nil || strings.TrimSpace(key.Reveal()) != key.Reveal() {
		t.Errorf("the key has space around it, %v", err)
	}
	if err := os.WriteFile(path, []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, pairs, path, "doctor")
	refused(t, pairs, path, "serve")
}

// Sealed or not, the database is for its owner's eyes, also in a folder that is not;
// and any character may stand in the folder's name.
func TestDatabaseIsPrivate(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	pairs["DATA_DIR"] = filepath.Join(t.TempDir(), "50% of #1?")
	backup := filepath.Join(t.TempDir(), "copy #2?")
	must(t, pairs, "migrate")
	must(t, pairs, "backup", backup)
	for _, path := range []string{filepath.Join(pairs["DATA_DIR"], "hongyan.db"), filepath.Join(backup, "hongyan.db")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

// A backup that its key would not open stays outside: what is there is not moved.
func TestRestoreTriesTheKeyFirst(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	folder := filepath.Join(t.TempDir(), "backup")
	must(t, pairs, "migrate")
	must(t, pairs, "backup", folder)
	pairs["SECRET_KEY"] = testKey()
	refused(t, pairs, "nothing was touched", "restore", "-force", folder)
	moved, err := filepath.Glob(filepath.Join(pairs["DATA_DIR"], "*.before-*"))
	if err != nil || len(moved) > 0 {
		t.Errorf("moved %v, %v", moved, err)
	}
}

// On Postgres neither command pretends to have copied anything.
func TestBackupPostgresCopiesNothing(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{"DATABASE_URL": "postgres://u@db:5432/x", "SECRET_KEY": testKey()}
	refused(t, pairs, "nothing was copied", "backup", t.TempDir())
	refused(t, pairs, "nothing was restored", "restore", t.TempDir())
}

// The queue's tables belong to the schema: newer ones are refused, older ones when
// only a check is asked for.
func TestQueueSchema(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		must(t, pairs, "migrate")
		must(t, pairs, "migrate", "-check")
		driver, source := "sqlite", "file:"+filepath.Join(pairs["DATA_DIR"], "hongyan.db")
		if url, ok := pairs["DATABASE_URL"]; ok {
			driver, source = "pgx", url
		}
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		for _, c := range []struct{ change, says string }{
			{"INSERT INTO river_migration (line, version) VALUES ('main', 999)", "start a newer program"},
			{"DELETE FROM river_migration WHERE version > 7", "run `hongyan migrate`"},
		} {
			if _, err := db.ExecContext(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
			refused(t, pairs, c.says, "migrate", "-check")
		}
	})
}

// Wrong words on the command line, and ids that do not exist, are told as such.
func TestCommandWords(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	refused(t, pairs, "-force must come before folder", "restore", "folder", "-force")
	if out := must(t, pairs, "user", "-help"); !strings.Contains(out, "create-main") {
		t.Errorf("user -help: %s", out)
	}
	refused(t, pairs, "There is no main account with this id", "user", "create-sub", "-account", "99", "-name", "someone")
	if out := must(t, pairs, "migrate"); strings.Contains(out, "river") {
		t.Errorf("the queue speaks of routine: %s", out)
	}
}

// A database address and a certificate that cannot work are found with all other
// wrong settings, and a password is not shown.
func TestConfigFindsMore(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{
		"DATABASE_URL": "postgres://u:hunter2@db/x?sslmode=sometimes&password=hunter2", "SECRET_KEY": testKey(),
		"SANDBOX_APNS_ADDR": "127.0.0.1:2197", "SANDBOX_CA_FILE": filepath.Join(t.TempDir(), "none.pem"),
		"REGIONS": `[{"id":"a","zh":"a","en":"a","prefix":1,"database_url":"postgres://u:hunter2@db/x?connect_timeout=soon"}]`,
	}
	out, code := do(t, pairs, "serve")
	for _, want := range []string{"DATABASE_URL: ", "sslmode", "SANDBOX_CA_FILE: ", "REGIONS: database_url of a"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitUsage || strings.Contains(out, "hunter2") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if err := models.CheckDatabaseURL("postgres://u:hunter2@db:port/x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong port: %v", err)
	}
}

// The lines that backup prints do what they say: run as they are, over the database
// they were taken from, they bring it back to that moment, partitions and all.
func TestPrintedDumpRestores(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "postgres")
	must(t, pairs, "migrate")
	lines := regexp.MustCompile(`(?m)^  ((?:pg_dump|psql|pg_restore) .*)$`).FindAllStringSubmatch(must(t, pairs, "backup"), -1)
	if len(lines) != 3 {
		t.Fatalf("printed %d commands: %v", len(lines), lines)
	}
	address, err := url.Parse(pairs["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password() // which the lines leave out
	dir := t.TempDir()
	shell := func(line string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+postgresPath(t), "PGPASSWORD="+password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	db, err := sql.Open("pgx", pairs["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	count := func() (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM setup_tokens").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	must(t, pairs, "user", "setup-link")
	shell(lines[0][1])
	if _, err := db.ExecContext(t.Context(), "DELETE FROM setup_tokens"); err != nil || count() != 0 {
		t.Fatal("the token is still there", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	shell(lines[1][1])
	shell(lines[2][1])
	if db, err = sql.Open("pgx", pairs["DATABASE_URL"]); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d setup tokens after the restore, want 1", n)
	}
	must(t, pairs, "doctor")
	boot(t, pairs)
}

// postgresPath is PATH with PostgreSQL's programs where Debian keeps them.
func postgresPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PATH")
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		path = folder + ":" + path
	}
	for folder := range strings.SplitSeq(path, ":") {
		if _, err := os.Stat(filepath.Join(folder, "pg_restore")); err == nil {
			return path
		}
	}
	t.Skip("no pg_dump and pg_restore here, only a server elsewhere")
	return ""
}
