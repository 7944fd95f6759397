package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds initdb and the server's start together; a busy two-core
// machine needs a few seconds.
const startTimeout = 60 * time.Second

// supervise makes the cluster, runs the server, and waits for its standard input
// to close, which the kernel does when the test process ends in whatever way.
// Then it stops the server at once and removes everything. Its arguments are the
// directory, the folder of the server's programs and more settings. The time zone is not UTC on
// purpose: code that leans on the session's zone fails here and not first at a
// user's.
const supervise = `
dir=$1 bin=$2
"$bin/initdb" -D "$dir/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$dir/log" 2>&1 || exit 1
"$bin/postgres" -D "$dir/data" -k "$dir" \
  -c listen_addresses= -c max_connections=300 -c timezone=Asia/Shanghai \
  -c wal_level=minimal -c max_wal_senders=0 $3 </dev/null >>"$dir/log" 2>&1 &
pid=$!
cat >/dev/null
kill -QUIT $pid
wait $pid
rm -rf "$dir"
`

// Settings of the server: for tests nothing needs to survive a power loss, for
// measurements everything must.
const (
	hasty   = "-c fsync=off -c full_page_writes=off -c shared_buffers=64MB"
	durable = "-c fsync=on -c synchronous_commit=on -c shared_buffers=1GB -c max_wal_size=8GB"
)

// Durable starts a server of its own whose commits are on disk when they are
// answered, for measurements, and returns the URL of a new, empty database on it.
// It goes away with this process. HONGYAN_TEST_POSTGRES counts here too; the
// database then stays behind.
func Durable() (string, error) {
	base, err := startWith(durable)
	if err != nil {
		return "", err
	}
	name := "hongyan_bench_" + strings.ToLower(rand.Text()[:10])
	return withDatabase(base, name), admin(base, "CREATE DATABASE "+name+" TEMPLATE template0")
}

// start returns the URL of the maintenance database of a running server.
func start() (string, error) { return startWith(hasty) }

func startWith(settings string) (string, error) {
	if given := os.Getenv(EnvURL); given != "" {
		if _, err := url.Parse(given); err != nil {
			return "", fmt.Errorf("%s is not a URL", EnvURL)
		}
		return given, ping(context.Background(), given)
	}
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	who, err := serverUser()
	if err != nil {
		return "", err
	}
	// The path of a Unix socket holds about 100 bytes, so not below TMPDIR,
	// which may be long.
	dir, err := os.MkdirTemp("/tmp", "hongyan-pg-")
	if err != nil {
		return "", err
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return "", err
		}
	}
	exited, err := launch(dir, bin, settings, who)
	if err != nil {
		return "", err
	}
	base := (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}).String()
	return base, await(base, dir, exited)
}

// launch starts the supervisor and returns a channel that closes when it ends.
func launch(dir, bin, settings string, who *syscall.Credential) (<-chan struct{}, error) {
	cmd := exec.Command("/bin/sh", "-c", supervise, "pgtest", dir, bin, settings)
	cmd.Dir = dir
	// The server's own variables (PGDATA, PGPORT …) of whoever runs the tests
	// must not reach it.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	// A process group of its own, so that Ctrl-C reaches the tests and the
	// supervisor sees only its input close.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	// The pipe stays open for the life of this process and is never written.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// Its way of ending is told by the log, which await quotes.
		_ = cmd.Wait()
	}()
	return exited, nil
}

// await returns when the server answers, or with the end of its log when it will
// not.
func await(base, dir string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, base)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("server ended at once: %s", tail(filepath.Join(dir, "log")))
		case <-ctx.Done():
			return fmt.Errorf("server does not answer after %s: %w: %s", startTimeout, err, tail(filepath.Join(dir, "log")))
		case <-tick.C:
		}
	}
}

// ping connects once.
func ping(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// tail returns the last part of a log, for an error message.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "no log"
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(f)
	if err != nil {
		return "no log"
	}
	if len(data) > 2000 {
		data = data[len(data)-2000:]
	}
	return strings.TrimSpace(string(data))
}

// binaries returns the folder of the newest installed server programs.
func binaries() (string, error) {
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
				found = append(found, dir)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return version(found[i]) < version(found[j]) })
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("no PostgreSQL server programs found. Install them (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), or set " + EnvURL + " to the URL of a running server")
}

// version reads the number from a folder such as /usr/lib/postgresql/17/bin, 0
// where there is none.
func version(dir string) int {
	name := filepath.Base(filepath.Dir(dir))
	digits := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz-@")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// serverUser returns the unprivileged user that runs the server when the tests
// run as root, which the server refuses to do; nil means as ourselves.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("the tests run as root and there is neither a user postgres nor a user nobody to run the server as")
}
