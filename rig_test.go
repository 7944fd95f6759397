package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The rig of the failure tests: processes of the program as users run it, each
// killed by its own id and never left behind.

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir) // a leftover in the temporary folder harms nobody
	}
	os.Exit(code)
}

// program is the built binary.
var program struct {
	once sync.Once
	dir  string // to remove at the end
	path string
	err  error
}

// binary builds the program once, or takes the one that HONGYAN_TEST_BINARY names.
func binary(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.path = os.Getenv("HONGYAN_TEST_BINARY"); program.path != "" {
			return
		}
		if program.dir, program.err = os.MkdirTemp("", "hongyan-test-"); program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "hongyan")
		build := exec.Command("go", "build", "-o", program.path, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is delivered
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// launch starts a command on a thread that lives as long as this process. With
// tiedToUs a child dies with the thread that started it, and Go ends threads of
// its own accord.
var launch = sync.OnceValue(func() func(*exec.Cmd) error {
	type order struct {
		cmd  *exec.Cmd
		done chan error
	}
	orders := make(chan order)
	go func() {
		runtime.LockOSThread()
		for o := range orders {
			o.done <- o.cmd.Start()
		}
	}()
	return func(cmd *exec.Cmd) error {
		done := make(chan error)
		orders <- order{cmd, done}
		return <-done
	}
})

// child is one process of the program.
type child struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	said  *lastWords
	ended chan struct{} // closed when the process is gone
}

// spawn starts a process. out takes its standard output; nil keeps it with what it
// says on standard error.
func spawn(t *testing.T, name string, env map[string]string, in io.Reader, out io.Writer, said *lastWords, args ...string) *child {
	t.Helper()
	c := &child{t: t, name: name, said: said, ended: make(chan struct{})}
	// Not exec.CommandContext: the test alone decides when and how a process ends.
	c.cmd = exec.Command(binary(t), args...)
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	for k, v := range env {
		c.cmd.Env = append(c.cmd.Env, k+"="+v)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = in, out, said
	if out == nil {
		c.cmd.Stdout = said
	}
	c.cmd.SysProcAttr = tiedToUs()
	c.cmd.WaitDelay = 5 * time.Second
	if err := launch()(c.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // how it ended is read from ProcessState
	}()
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as a power cut would, and returns when it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be gone already
	<-c.ended
}

// stop asks the process to end, and fails the test unless it does so cleanly.
func (c *child) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		c.t.Errorf("%s: %v", c.name, err)
	}
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		c.kill()
		c.t.Errorf("%s does not stop", c.name)
	}
	if code := c.cmd.ProcessState.ExitCode(); code != exitOK {
		c.t.Errorf("%s stopped with %s:\n%s", c.name, c.cmd.ProcessState, c.said)
	}
}

// lastWords keeps the end of what processes say, and counts phrases.
type lastWords struct {
	mu       sync.Mutex
	text     []byte
	n        map[string]int // phrases to count
	warnings [][]byte       // the first ones
}

func newLastWords(count ...string) *lastWords {
	w := &lastWords{n: map[string]int{}}
	for _, phrase := range count {
		w.n[phrase] = 0
	}
	return w
}

// Write implements io.Writer.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for phrase := range w.n {
		w.n[phrase] += bytes.Count(p, []byte(phrase))
	}
	for line := range bytes.Lines(p) {
		if len(w.warnings) < 20 && (bytes.Contains(line, []byte("level=WARN")) || bytes.Contains(line, []byte("level=ERROR"))) {
			w.warnings = append(w.warnings, bytes.Clone(line))
		}
	}
	if w.text = append(w.text, p...); len(w.text) > 1<<20 {
		w.text = append([]byte(nil), w.text[len(w.text)-1<<19:]...)
	}
	return len(p), nil
}

// count returns how often a phrase was said.
func (w *lastWords) count(phrase string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n[phrase]
}

// String returns the first warnings and the last lines.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(w.text)), "\n")
	return string(bytes.Join(w.warnings, nil)) + "…\n" + strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// server is a `hongyan serve` that may be killed and started again at the same
// address.
type server struct {
	t       *testing.T
	name    string
	env     map[string]string
	address string
	said    *lastWords
	now     *child
	began   time.Time // when the process now running was started
}

// Phrases of the worker's log that tests count.
const saidTakenOver = "taken over by another process"

// newServer prepares a server with an address of its own; change holds settings
// beyond the scene's.
func (s *scene) newServer(t *testing.T, name string, change map[string]string) *server {
	t.Helper()
	srv := &server{t: t, name: name, env: map[string]string{}, address: freeAddress(t), said: newLastWords(saidTakenOver)}
	for _, pairs := range []map[string]string{s.env, change} {
		for k, v := range pairs {
			srv.env[k] = v
		}
	}
	srv.env["LISTEN"] = srv.address
	if u := srv.env["DATABASE_URL"]; u != "" {
		srv.name += "-" + rand.Text()[:6]
		srv.env["DATABASE_URL"] = u + "&application_name=" + srv.name
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", name, srv.said)
		}
	})
	return srv
}

// freeAddress returns a loopback address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // test
	return ln.Addr().String()
}

// launch starts the process and returns at once.
func (s *server) launch() {
	s.t.Helper()
	s.began = time.Now()
	s.now = spawn(s.t, s.name, s.env, nil, nil, s.said, "serve")
}

// start starts the process and returns when it says that it is ready.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	for deadline := time.Now().Add(time.Minute); ; {
		res, err := http.Get("http://" + s.address + "/readyz") //nolint:noctx // bounded by the deadline
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.now.ended:
			s.t.Fatalf("%s ended at start:\n%s", s.name, s.said)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is not ready after a minute:\n%s", s.name, s.said)
		}
	}
}

// waitFor polls until done, and reports whether that was in time.
func waitFor(within time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(within); !done(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// fromEnv reads a whole number that `make soak` may set.
func fromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// wire passes connections on to an address, and can be cut: then nobody answers
// there, as when a vendor's host is gone.
type wire struct {
	address, to string

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{address: freeAddress(t), to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(w.cut)
	return w
}

// join lets connections through.
func (w *wire) join(t *testing.T) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.ln = ln
	w.mu.Unlock()
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return // cut
			}
			go w.pass(near)
		}
	}()
}

func (w *wire) pass(near net.Conn) {
	far, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", w.to)
	if err != nil {
		_ = near.Close()
		return
	}
	w.mu.Lock()
	if w.ln == nil { // cut meanwhile
		_, _ = near.Close(), far.Close()
	}
	w.conns[near], w.conns[far] = true, true
	w.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
	w.mu.Lock()
	delete(w.conns, near)
	delete(w.conns, far)
	w.mu.Unlock()
}

// cut ends every connection and lets no new one in.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ln != nil {
		_ = w.ln.Close()
		w.ln = nil
	}
	for c := range w.conns {
		_ = c.Close()
	}
}

// scanLines calls fn for every line of r.
func scanLines(r io.Reader, fn func(line []byte)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fn(lines.Bytes())
	}
}
