// Package e2e drives the real program from outside: the binary that users run,
// over HTTP, against simulators, with databases of its own. It is tests only.
package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// folder holds the built program while the tests run.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "hongyan-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder) // a leftover in the temporary folder harms nobody
	os.Exit(code)
}

// program builds the binary that users run, once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "hongyan")
	cmd := exec.Command("go", "build", "-o", path, "hongyan")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// server is one process of the program.
type server struct {
	t       *testing.T
	name    string
	env     []string
	address string // fixed, so that clients find it again after a restart

	cmd    *exec.Cmd
	ended  chan struct{}
	killed bool
	out    *syncBuffer
}

// newServer prepares a process with an address of its own.
func newServer(t *testing.T, name string, env map[string]string) *server {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, name: name, address: ln.Addr().String(), out: &syncBuffer{}}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"PATH=" + os.Getenv("PATH"), "LISTEN=" + s.address, "SHUTDOWN_TIMEOUT=20s"}
	for k, v := range env {
		s.env = append(s.env, k+"="+v)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, s.out.tail())
		}
	})
	return s
}

// start runs the process and returns when it is ready.
func (s *server) start() {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	// Not exec.CommandContext: the test decides when and how the process dies.
	s.cmd = exec.Command(path, "serve")
	s.cmd.Env = s.env
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended, s.killed = make(chan struct{}), false
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait() // a killed process always ends with an error
	}(s.cmd, s.ended)
	s.awaitReady()
}

func (s *server) awaitReady() {
	s.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.Get("http://" + s.address + "/readyz") //nolint:noctx // bounded by the deadline
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.ended:
			s.t.Fatalf("%s ended at start:\n%s", s.name, s.out.tail())
		case <-deadline.C:
			s.t.Fatalf("%s is not ready after a minute:\n%s", s.name, s.out.tail())
		case <-tick.C:
		}
	}
}

// kill ends the process as a power cut would, and returns when it is gone.
func (s *server) kill() {
	if s.cmd == nil || s.killed {
		return
	}
	s.killed = true
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.ended
}

// syncBuffer collects what a process says.
type syncBuffer struct {
	mu   sync.Mutex
	text []byte
}

// Write keeps the last part of a long log.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if len(b.text) > 1<<20 {
		b.text = append([]byte(nil), b.text[len(b.text)/2:]...)
	}
	return len(p), nil
}

// tail returns the last lines.
func (b *syncBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	scan := bufio.NewScanner(strings.NewReader(string(b.text)))
	for scan.Scan() {
		if lines = append(lines, scan.Text()); len(lines) > 40 {
			lines = lines[1:]
		}
	}
	return strings.Join(lines, "\n")
}

// post sends a JSON body and returns the status and the answer; status 0 is no
// answer.
func post(ctx context.Context, client *http.Client, url, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}
