package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hongyan/internal/pgtest"
)

// do runs a command and returns what it printed and its exit code.
func do(t *testing.T, pairs map[string]string, args ...string) (out string, code int) {
	t.Helper()
	var buf bytes.Buffer
	code = execute(t.Context(), invocation{args: args, env: env(pairs), in: strings.NewReader(""), out: &buf, err: &buf})
	return buf.String(), code
}

// must runs a command that has to succeed.
func must(t *testing.T, pairs map[string]string, args ...string) string {
	t.Helper()
	out, code := do(t, pairs, args...)
	if code != exitOK {
		t.Fatalf("hongyan %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// installation is the environment of a fresh installation on one engine.
func installation(t *testing.T, engine string) map[string]string {
	t.Helper()
	pairs := map[string]string{"DATA_DIR": filepath.Join(t.TempDir(), "data"), "LISTEN": "127.0.0.1:0", "SHUTDOWN_TIMEOUT": "10s"}
	if engine == "postgres" {
		pairs["DATABASE_URL"] = pgtest.New(t)
		pairs["SECRET_KEY"] = testKey()
	}
	return pairs
}

// engines runs a test on both databases.
func engines(t *testing.T, test func(t *testing.T, pairs map[string]string)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, installation(t, engine))
		})
	}
}

// running is a server that boot started in this process.
type running struct {
	address string
	printed string       // for people, until it was ready
	stop    func() error // returns the error that run ended with
}

// boot runs serve in this process; it is stopped when the test ends.
func boot(t *testing.T, pairs map[string]string) running {
	t.Helper()
	cfg, err := loadConfig(env(pairs))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		ended <- run(ctx, cfg, console{out: &out, log: slog.New(slog.NewTextHandler(logWriter{t}, nil)), ready: func(a net.Addr) { ready <- a }})
	}()
	stopped := false
	stop := func() error {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	})
	select {
	case a := <-ready:
		return running{a.String(), out.String(), stop}
	case err := <-ended:
		stopped = true
		cancel()
		t.Fatalf("did not start: %v", err)
	case <-time.After(time.Minute):
		cancel()
		t.Fatal("does not start")
	}
	return running{}
}

// logWriter shows a process's log with the test that booted it.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // test
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	help := must(t, nil, "-help")
	for _, c := range commands() {
		if !strings.Contains(help, "hongyan "+c.name) {
			t.Errorf("-help lacks %s", c.name)
		}
	}
	for _, o := range options() {
		if !strings.Contains(help, "  "+o.name) {
			t.Errorf("-help lacks %s", o.name)
		}
	}
	if out, code := do(t, nil, "dance"); code != exitUsage || !strings.Contains(out, `no command "dance"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if _, code := do(t, nil, "serve", "-nonsense"); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	if out, code := do(t, map[string]string{"LISTEN": "x", "ROLE": "y"}, "serve"); code != exitUsage || !strings.Contains(out, "LISTEN") || !strings.Contains(out, "ROLE") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out := must(t, nil, "version"); !strings.HasPrefix(out, "hongyan ") {
		t.Errorf("version prints %q", out)
	}
	if out := must(t, map[string]string{"SECRET_KEY": testKey()}, "serve", "-dump-config"); strings.Contains(out, testKey()) || !strings.Contains(out, "LISTEN=:8080") {
		t.Errorf("dump: %s", out)
	}
}

// The server starts on an empty machine, answers, and stops when told.
func TestServe(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		up := boot(t, pairs)
		address, stop := up.address, up.stop
		if !strings.Contains(up.printed, "http://"+address+"/setup?token=") {
			t.Errorf("no setup link in %q", up.printed)
		}
		if status, body := get(t, "http://"+address+"/healthz"); status != http.StatusOK {
			t.Errorf("healthz: %d %s", status, body)
		}
		if status, body := get(t, "http://"+address+"/readyz"); status != http.StatusOK {
			t.Errorf("readyz: %d %s", status, body)
		}
		pairs["LISTEN"] = address
		must(t, pairs, "healthcheck")
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if _, code := do(t, pairs, "healthcheck"); code != exitFailure {
			t.Error("healthcheck of a stopped server succeeds")
		}
		if out := must(t, pairs, "doctor"); !strings.Contains(out, "opens what the database was sealed with") {
			t.Errorf("doctor: %s", out)
		}
	})
}

// A process that only works answers health checks and nothing else; one that only
// serves does the rest; metrics have a listener of their own.
func TestServeRoles(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "postgres")
	metrics, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := metrics.Close(); err != nil {
		t.Fatal(err)
	}
	web, work := maps.Clone(pairs), maps.Clone(pairs)
	web["ROLE"] = "web"
	work["ROLE"], work["METRICS_LISTEN"] = "worker", metrics.Addr().String()
	serving, working := boot(t, web), boot(t, work)
	for _, c := range []struct {
		url  string
		want int
	}{
		{"http://" + serving.address + "/login", http.StatusSeeOther}, // to first-run setup
		{"http://" + serving.address + "/readyz", http.StatusOK},
		{"http://" + serving.address + "/metrics", http.StatusNotFound},
		{"http://" + working.address + "/login", http.StatusNotFound},
		{"http://" + working.address + "/healthz", http.StatusOK},
		{"http://" + working.address + "/readyz", http.StatusOK},
		{"http://" + metrics.Addr().String() + "/metrics", http.StatusOK},
	} {
		status, body := get(t, c.url)
		if status != c.want {
			t.Errorf("%s: %d, want %d", c.url, status, c.want)
		}
		if strings.HasSuffix(c.url, "/metrics") && status == http.StatusOK && (!strings.Contains(body, "go_goroutines") || !strings.Contains(body, "hongyan_")) {
			t.Errorf("metrics: %.500s", body)
		}
	}
	if strings.Contains(working.printed, "setup") || !strings.Contains(serving.printed, "setup") {
		t.Errorf("setup links: the worker printed %q, the web process %q", working.printed, serving.printed)
	}
}

// A port that is taken ends the start with an error that names it.
func TestServePortTaken(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // test
	pairs := installation(t, "sqlite")
	pairs["LISTEN"] = ln.Addr().String()
	if out, code := do(t, pairs, "serve"); code != exitFailure || !strings.Contains(out, ln.Addr().String()) {
		t.Errorf("exit %d: %s", code, out)
	}
}

// Two servers on one SQLite folder: the second is refused, and commands that may
// work beside a server do.
func TestServeSecondProcessRefused(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	boot(t, pairs)
	if out, code := do(t, pairs, "serve"); code != exitFailure || !strings.Contains(out, "another hongyan process") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := do(t, pairs, "restore", t.TempDir()); code != exitFailure {
		t.Errorf("restore beside a server: exit %d: %s", code, out)
	}
	must(t, pairs, "doctor")
}

// Several processes boot at once on an empty Postgres.
func TestServeTogether(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "postgres")
	t.Run("processes", func(t *testing.T) {
		for range 4 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				boot(t, pairs)
			})
		}
	})
}

// A database is opened with the key it was sealed with, or not at all.
func TestServeWrongKey(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		pairs["SECRET_KEY"] = testKey()
		stop := boot(t, pairs).stop
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		pairs["SECRET_KEY"] = strings.Replace(testKey(), "AAAA", "BBBB", 1)
		for _, command := range []string{"serve", "doctor", "migrate"} {
			if out, code := do(t, pairs, command); code != exitFailure || !strings.Contains(out, "not the key that this database was sealed with") {
				t.Errorf("%s with another key: exit %d: %s", command, code, out)
			}
		}
	})
}

// A generated key that got lost is not silently replaced.
func TestServeLostKey(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	stop := boot(t, pairs).stop
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(pairs["DATA_DIR"], keyFile)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if out, code := do(t, pairs, "serve"); code != exitFailure || !strings.Contains(out, "is there, but its key") {
		t.Errorf("exit %d: %s", code, out)
	}
	if ok, err := exists(key); ok || err != nil {
		t.Error("a new key was made beside an old database")
	}
}

// MIGRATE=check refuses an empty database, migrate fills it, then check is content.
func TestMigrate(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		pairs["MIGRATE"] = "check"
		if out, code := do(t, pairs, "serve"); code != exitFailure {
			t.Errorf("serve on an empty database: exit %d: %s", code, out)
		}
		must(t, pairs, "migrate")
		must(t, pairs, "migrate", "-check")
		boot(t, pairs)
	})
}

func TestBackupRestore(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	folder := filepath.Join(t.TempDir(), "backup")
	boot(t, pairs)
	out := must(t, pairs, "backup", folder)
	if !strings.Contains(out, "read back and found whole") || !strings.Contains(out, "It holds the secret key") {
		t.Errorf("backup: %s", out)
	}
	if out, code := do(t, pairs, "backup", folder); code != exitFailure {
		t.Errorf("backup into a full folder: exit %d: %s", code, out)
	}

	other := installation(t, "sqlite")
	must(t, other, "restore", folder)
	if out, code := do(t, other, "restore", folder); code != exitFailure || !strings.Contains(out, "-force") {
		t.Errorf("restore over a database: exit %d: %s", code, out)
	}
	must(t, other, "restore", "-force", folder)
	must(t, other, "doctor")
	stop := boot(t, other).stop
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	t.Run("damaged", func(t *testing.T) {
		db := filepath.Join(folder, "hongyan.db")
		data, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(data) / 2; i < len(data)/2+4096; i++ {
			data[i] ^= 0xff
		}
		if err := os.WriteFile(db, data, 0o600); err != nil {
			t.Fatal(err)
		}
		fresh := installation(t, "sqlite")
		if out, code := do(t, fresh, "restore", folder); code != exitFailure {
			t.Errorf("a damaged backup: exit %d: %s", code, out)
		}
		if there, err := exists(filepath.Join(fresh["DATA_DIR"], "hongyan.db")); there || err != nil {
			t.Error("a damaged backup was put in place")
		}
	})
}

// A backup without the generated key says so, and is useless without it.
func TestBackupWithoutKey(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	folder := filepath.Join(t.TempDir(), "backup")
	stop := boot(t, pairs).stop
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if out := must(t, pairs, "backup", "-without-key", folder); !strings.Contains(out, "does NOT hold") {
		t.Errorf("backup: %s", out)
	}
	key, err := os.ReadFile(filepath.Join(pairs["DATA_DIR"], keyFile))
	if err != nil {
		t.Fatal(err)
	}
	other := installation(t, "sqlite")
	if out, code := do(t, other, "restore", folder); code != exitFailure || !strings.Contains(out, "SECRET_KEY") {
		t.Errorf("restore without a key: exit %d: %s", code, out)
	}
	another := installation(t, "sqlite")
	another["SECRET_KEY"] = string(key)
	must(t, another, "restore", folder)
}

func TestBackupPostgresPrintsCommands(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{"DATABASE_URL": "postgres://u:hunter2@db:5432/x?sslmode=require&password=hunter2", "SECRET_KEY": testKey()}
	out := must(t, pairs, "backup")
	if !strings.Contains(out, "pg_dump --format=custom --file=hongyan.dump 'postgres://u@db:5432/x?sslmode=require'") || !strings.Contains(out, "pg_restore") {
		t.Errorf("prints:\n%s", out)
	}
	if strings.Contains(out, "hunter2") {
		t.Error("prints the password")
	}
}
