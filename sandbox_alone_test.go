package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// Every vendor's simulator runs alone: the app in its file sends to the device in it, a
// push is recorded, orders are obeyed, receipts go out where asked for, and the app is
// the same at the next start.
func TestSandboxVendorsAlone(t *testing.T) {
	t.Parallel()
	reports := make(chan string, 1)
	receipts := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reports <- r.URL.Path }))
	t.Cleanup(receipts.Close)
	for _, channel := range vendorsAlone() {
		dir := t.TempDir()
		o := sandboxFlags{channel: channel, listen: "127.0.0.1:0", caFile: filepath.Join(dir, "ca.pem"), record: filepath.Join(dir, "pushes")}
		if channel == string(push.Huawei) {
			o.receipts = receipts.URL + "/" + channel
		}
		known := ""
		for range 2 {
			var out strings.Builder
			call := invocation{env: env(nil), out: &out, err: &out}
			sim, record, err := startSandbox(call, o)
			if err != nil {
				t.Fatalf("%s: %v\n%s", channel, err, out.String())
			}
			ca, err := os.ReadFile(o.caFile)
			if err != nil {
				t.Fatal(err)
			}
			app := readAccount(t, filepath.Join(dir, "sandbox-"+channel+".json"))
			if known == "" {
				known = app.ID
			}
			if app.ID != known || !strings.Contains(out.String(), channel+" simulator at "+sim.URL()) {
				t.Errorf("%s: app %s, before %s\n%s", channel, app.ID, known, out.String())
			}
			send := sender(t, app, push.Options{Endpoint: sim.URL(), RootCAs: ca, Timeout: 20 * time.Second, Environment: push.Production, Topic: "com.example.im"})
			if r := send(); r.Outcome != push.Accepted {
				t.Errorf("%s: %+v", channel, r)
			}
			if err := obey(sim, []string{"mix", sandbox.Faults(app.Channel).Server + "=100"}); err != nil {
				t.Error(err)
			}
			if r := send(); r.Outcome == push.Accepted {
				t.Errorf("%s: a push was taken with every answer a failure", channel)
			}
			if err := obey(sim, []string{"goaway"}); err == nil {
				t.Errorf("%s took an order that is APNs' alone", channel)
			}
			if o.receipts != "" {
				if got := <-reports; got != "/"+channel {
					t.Errorf("reported to %s", got)
				}
			}
			if err := sim.Close(); err != nil {
				t.Error(err)
			}
			if err := record.Close(); err != nil {
				t.Error(err)
			}
		}
		if text, err := os.ReadFile(o.record); err != nil || strings.Count(string(text), "\n") < 2 {
			t.Errorf("%s: recorded %q, %v", channel, text, err)
		}
	}
}

func readAccount(t *testing.T, path string) accountFile {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var app accountFile
	if err := json.Unmarshal(text, &app); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", path, info.Mode(), err)
	}
	return app
}

// sender opens the channel of an app and returns what sends one alert to its device.
func sender(t *testing.T, app accountFile, o push.Options) func() push.Result {
	t.Helper()
	spec, ok := registry.New().Lookup(app.Channel)
	if !ok {
		t.Fatalf("no channel %s", app.Channel)
	}
	s, err := spec.Open(t.Context(), app.Fields, o)
	if err != nil {
		t.Fatalf("%s: %v", app.Channel, err)
	}
	t.Cleanup(s.Close)
	n := 0
	return func() push.Result {
		n++
		m := push.Message{Kind: push.Alert, Title: "title", Body: "body", ExpiresAt: time.Now().Add(time.Hour)}
		return s.Send(context.Background(), m, []push.Target{{Token: app.Device, ID: fmt.Sprintf("b278895d-8082-8127-8dfe-%012d", n), Topic: o.Topic}})[0]
	}
}

// Flags that do not go together, and files that are no app, are told as such.
func TestSandboxWrongFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := filepath.Join(dir, "other.json")
	if err := os.WriteFile(other, []byte(`{"channel":"xm","id":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"-channel is apns, fcm, harmony":   {"-channel", "nokia"},
		"are for -channel apns":            {"-channel", "hw", "-goaway-every", "3"},
		"are for vendors other than Apple": {"-receipts", "http://127.0.0.1/x"},
		"is no app of hw":                  {"-channel", "hw", "-account", other},
	} {
		refused(t, nil, says, append([]string{"sandbox", "-listen", "127.0.0.1:0", "-ca", filepath.Join(dir, "ca.pem")}, args...)...)
	}
}

// An app's page switches its simulators' receipts; what else the simulator is set to
// stays. A token that nobody registered has neither settings nor a receipt address.
func TestSimulatorReceipts(t *testing.T) {
	t.Parallel()
	l := newChannelsLab(t)
	a := l.app(t, push.Xiaomi)
	_, token := a.device()
	ctx := t.Context()
	settings := l.settingsOf(push.Xiaomi)
	a.must(l.vendors[push.Xiaomi].Set(sandbox.Settings{Latency: time.Millisecond}))
	if set, ok := settings(ctx, token); !ok || !set.Receipts || set.Latency != time.Millisecond {
		t.Errorf("by default: %+v %v", set, ok)
	}
	a.must(l.store.SetSimulatorSettings(ctx, l.who, a.app, models.SimulatorSettings{Mix: models.MixAll}))
	if set, ok := settings(ctx, token); !ok || set.Receipts || set.Latency != time.Millisecond {
		t.Errorf("switched off: %+v %v", set, ok)
	}
	if _, ok := settings(ctx, "unknown"); ok {
		t.Error("settings for a token that nobody registered")
	}
	address := l.receiptsOf(push.Xiaomi)
	l.cfg.Role = RoleAll
	self := "http://127.0.0.1:1"
	l.self.Store(&self)
	if got := address(ctx, "unknown"); got != "" {
		t.Errorf("a token that nobody registered reports to %q", got)
	}
	keys, err := l.sandboxCredentials(ctx, models.PlatformAndroid)
	a.must(err)
	if len(keys) != len(sandbox.Channels()) {
		t.Errorf("%d keys", len(keys))
	}
	_, err = l.store.SaveCredentials(ctx, l.who, models.AppOwner(a.app), keys...)
	a.must(err)
	got := address(ctx, token)
	if !strings.HasPrefix(got, self+"/receipts/xm/") || len(got) > push.MaxReceiptURL {
		t.Error("the receipt address is not this process's own")
	}
	if address(ctx, "unknown") != "" {
		t.Error("a receipt address for a token that nobody registered")
	}
	// A process that only works takes no receipts: it needs a public address.
	l.cfg.Role = RoleWorker
	if got := address(ctx, token); got != "" {
		t.Error("a worker reports to itself")
	}
	l.cfg.PublicURL = "https://push.example.com"
	if got := address(ctx, token); !strings.HasPrefix(got, "https://push.example.com/receipts/xm/") {
		t.Error("a worker does not report to the public address")
	}
}
