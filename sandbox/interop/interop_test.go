// Package interop_test lets clients written by others push to the simulators, and our
// Web Push sender to a push service written by others. The simulators and our senders
// were written by the same hands and could share a mistake; @parse/node-apn,
// firebase-admin, web-push and web-push-testing know neither.
package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/sandbox"
)

const topic = "im.hongyan.demo"

type job struct {
	Key    string `json:"key"`
	KeyID  string `json:"keyId"`
	TeamID string `json:"teamId"`
	CA     string `json:"ca"`
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Pushes []one  `json:"pushes"`
}

type one struct {
	Topic  string   `json:"topic"`
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	Tokens []string `json:"tokens"`
}

type failure struct {
	Device    string `json:"device"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	Timestamp int64  `json:"timestamp"`
	Error     string `json:"error"`
}

// install makes sure that node and the locked packages are there.
func install(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; this test needs Node.js 20 or later with npm", tool)
		}
	}
	missing := false
	for _, name := range []string{"@parse/node-apn", "firebase-admin", "web-push", "web-push-testing"} {
		_, err := os.Stat(filepath.Join("node_modules", filepath.FromSlash(name), "package.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		missing = missing || err != nil
	}
	if !missing {
		return
	}
	// Without firebase-admin's database and storage, which no test touches.
	if out, err := exec.Command("npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci in sandbox/interop: %v\n%s", err, out)
	}
}

func token(n int) string { return fmt.Sprintf("%064x", n+1) }

func TestNodeAPN(t *testing.T) {
	install(t)
	file, key, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := &sandbox.MemoryKeys{}
	keys.Add(key)
	inbox := sandbox.NewMemory(1000)
	sim, err := sandbox.StartAPNs(sandbox.APNsConfig{Keys: keys, Recorder: inbox})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	host, port := address(t, sim.URL())
	gone, since := token(1000), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := sim.SetToken(gone, sandbox.TokenState{Reason: "Unregistered", Since: since}); err != nil {
		t.Fatal(err)
	}
	var well []string
	for i := range 100 {
		well = append(well, token(i))
	}
	got := run(t, job{
		Key: string(file.PEM), KeyID: file.KeyID, TeamID: file.TeamID,
		CA: string(sim.CA().PEM()), Host: host, Port: port,
		Pushes: []one{
			{Topic: topic, Title: "鸿雁", Body: "你好", Tokens: append([]string{gone}, well...)},
			{Topic: "bad topic", Title: "x", Body: "x", Tokens: []string{token(0)}},
		},
	})
	sort.Strings(got.Sent)
	if d := cmp.Diff(well, got.Sent); d != "" {
		t.Errorf("sent: %s", d)
	}
	want := []failure{
		{Device: gone, Status: 410, Reason: "Unregistered", Timestamp: since.UnixMilli()},
		{Device: token(0), Status: 400, Reason: "BadTopic"},
	}
	if d := cmp.Diff(want, got.Failed); d != "" {
		t.Errorf("failed: %s", d)
	}
	checkInbox(t, inbox.List())
}

type outcome struct {
	Sent   []string  `json:"sent"`
	Failed []failure `json:"failed"`
}

// address takes a simulator's URL apart.
func address(t *testing.T, raw string) (string, int) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname(), port
}

func run(t *testing.T, j job) outcome {
	t.Helper()
	var got outcome
	node(t, "push.js", j, &got)
	return got
}

// node runs a script with a job on its standard input and reads what it prints.
func node(t *testing.T, script string, j, into any) {
	t.Helper()
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// checkInbox: the simulator saw what that client meant.
func checkInbox(t *testing.T, list []sandbox.Received) {
	t.Helper()
	if len(list) != 102 {
		t.Fatalf("%d pushes on record, want 102", len(list))
	}
	for _, r := range list {
		if r.Token != token(7) {
			continue
		}
		var p map[string]any
		if err := json.Unmarshal(r.Payload, &p); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"aps": map[string]any{
				"alert": map[string]any{"title": "鸿雁", "body": "你好"}, "badge": 3.0, "sound": "default", "thread-id": "conversation-1",
			},
			"custom": map[string]any{"from": "node-apn"},
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Error(d)
		}
		if r.Topic != topic || r.Headers["apns-collapse-id"] != "conversation-1" || r.Status != 200 {
			t.Errorf("%+v", r)
		}
		return
	}
	t.Error("a push is missing")
}
