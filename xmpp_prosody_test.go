package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// prosody is a Prosody of Debian's on free ports, all of it in one folder.
type prosody struct {
	t               *testing.T
	dir             string
	c2s, components string // addresses
	cmd             *exec.Cmd
	ended           chan struct{}
}

const (
	prosodySecret  = "component-secret-of-the-test"
	prosodyService = "push.localhost"
)

// prosodyConfig is what the IM app's page says to configure, and what it takes to run
// Prosody beside others, without TLS.
const prosodyConfig = `
run_as_root = true
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s/data"
log = { { levels = { min = "debug" }, to = "file", filename = "%[1]s/prosody.log" } }
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { %[2]s }
component_ports = { %[3]s }
modules_disabled = { "s2s", "tls", "posix" }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
allow_registration = true
modules_enabled = { "roster", "saslauth", "disco", "ping", "register", "offline", "mam", "smacks", "cloud_notify" }
push_notification_with_body = true
push_notification_with_sender = true
VirtualHost "localhost"
Component "%[4]s"
    component_secret = "%[5]s"
`

// newProsody prepares one; the test fails where Prosody is not installed.
func newProsody(t *testing.T) *prosody {
	t.Helper()
	if _, err := exec.LookPath("prosody"); err != nil {
		t.Fatal("Prosody is missing: on Debian run apt-get install --no-install-recommends prosody prosody-modules")
	}
	p := &prosody{t: t, dir: t.TempDir(), c2s: freePort(t), components: freePort(t)}
	port := func(address string) string { _, port, _ := net.SplitHostPort(address); return port }
	config := fmt.Sprintf(prosodyConfig, p.dir, port(p.c2s), port(p.components), prosodyService, prosodySecret)
	if err := os.WriteFile(filepath.Join(p.dir, "prosody.cfg.lua"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

// freePort is a loopback address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // test
	return ln.Addr().String()
}

// start runs Prosody until kill, or the end of the test.
func (p *prosody) start() {
	p.t.Helper()
	cmd := exec.CommandContext(context.Background(), "prosody", "-F", "--config", filepath.Join(p.dir, "prosody.cfg.lua"))
	cmd.Dir = p.dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p.cmd, p.ended = cmd, ended
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	up := waitFor(time.Minute, func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		conn, err := net.DialTimeout("tcp", p.c2s, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	select {
	case <-ended:
		p.t.Fatalf("Prosody ended: %s %s", said.String(), p.log())
	default:
	}
	if !up {
		p.t.Fatalf("Prosody does not listen: %s", p.log())
	}
}

// kill ends Prosody as a crash would.
func (p *prosody) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.ended
}

func (p *prosody) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "prosody.log")) // "" says enough
	return string(text)
}

// logged waits until Prosody has logged something so many times.
func (p *prosody) logged(times int, words string) {
	p.t.Helper()
	if !waitFor(time.Minute, func() bool { return strings.Count(p.log(), words) >= times }) {
		log := p.log()
		p.t.Fatalf("Prosody logged %q %d times and not %d; its log ends\n%s", words, strings.Count(log, words), times, log[max(0, len(log)-4000):])
	}
}

// xmppScene is an installation with an IM app on XMPP and a phone of bob's.
type xmppScene struct {
	*scene
	t             *testing.T
	secret        string // of the IM app
	accessKey     string
	device, proof string
	address       string
}

func newXMPPScene(t *testing.T, engine string, server *prosody) *xmppScene {
	t.Helper()
	s := &xmppScene{scene: newScene(t, engine, 0), t: t}
	s.env["LISTEN"] = "127.0.0.1:0"
	s.env["XMPP_COMPONENT_ADDR"], s.env["XMPP_COMPONENT_DOMAIN"], s.env["XMPP_COMPONENT_SECRET"] = server.components, prosodyService, prosodySecret
	s.open(t, func(ctx context.Context, st *models.Store) error {
		if _, err := st.UpdateIMApp(ctx, s.who, s.imAppID, models.IMAppInput{Name: "chat", Bridge: "xmpp"}, []string{"xmpp"}); err != nil {
			return err
		}
		key, err := st.AccessKey(ctx, s.who, s.appID)
		s.accessKey = key.Reveal()
		return err
	})
	s.secret = strings.Split(s.ingest, "/")[2]
	return s
}

// call calls the device API.
func (s *xmppScene) call(path string, body, into any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+"/device/v1"+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-Access-ID": fmt.Sprint(s.appID), "X-Access-Key": s.accessKey, "X-Device-Token": s.device, "X-Device-Secret": s.proof,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // test
	if answer.StatusCode >= 300 {
		s.t.Fatalf("%s: %s", path, answer.Status)
	}
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			s.t.Fatal(err)
		}
	}
}

// register makes bob's phone.
func (s *xmppScene) register() {
	s.t.Helper()
	var got struct {
		Token  string `json:"device_token"`
		Secret string `json:"device_secret"`
	}
	s.call("/register", map[string]any{"routes": []any{map[string]any{"channel": "apns", "environment": "production", "token": strings.Repeat("b0", 32)}}}, &got)
	s.device, s.proof = got.Token, got.Secret
}

// arrives waits for a text on bob's phone, and for nothing else to come with it.
func (s *xmppScene) arrives(text string) {
	s.t.Helper()
	if !waitFor(time.Minute, func() bool { return len(s.phones.of(text)) > 0 }) {
		s.t.Fatalf("%q did not arrive; %v arrived, %v", text, s.phones.messages(), s.phones.odd)
	}
	if got := s.phones.of(text); len(got) != 1 {
		s.t.Errorf("%q arrived %d times", text, len(got))
	}
}

// An unmodified Prosody: an app enables push, messages arrive while its user is away,
// also after Prosody was killed and started again, and when the device is gone Prosody
// hears so and stops pushing.
func TestProsody(t *testing.T) {
	if testing.Short() {
		t.Skip("runs an XMPP server")
	}
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			server := newProsody(t)
			s := newXMPPScene(t, engine, server)
			hongyan := boot(t, s.env) // before there is a server to connect to
			s.address = hongyan.address
			server.start()
			server.logged(1, "External component successfully authenticated")
			if out, _ := do(t, s.env, "doctor"); !strings.Contains(out, "ok    XMPP") {
				t.Errorf("doctor says\n%s", out)
			}
			s.register()
			signUp(t, server.c2s, "alice")
			signUp(t, server.c2s, "bob")

			bob := signIn(t, server.c2s, "bob")
			about := bob.ask("get", prosodyService, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
			for _, want := range []string{`urn:xmpp:push:0`, `pubsub`, `push`} {
				if !strings.Contains(about, want) {
					t.Errorf("the service does not say %s: %s", want, about)
				}
			}
			bob.enable(prosodyService, s.device, s.secret)
			bob.leave()
			alice := signIn(t, server.c2s, "alice")
			alice.write("bob@localhost", "你好，离线消息")
			s.arrives("alice：你好，离线消息")

			server.kill()
			server.start()
			server.logged(2, "External component successfully authenticated")
			alice = signIn(t, server.c2s, "alice")
			alice.write("bob@localhost", "again")
			s.arrives("alice：again")

			s.call("/unregister", map[string]any{}, nil)
			for n := range 16 { // Prosody's own limit
				alice.write("bob@localhost", fmt.Sprintf("gone %d", n))
				server.logged(n+1, "Got error <cancel:item-not-found:dead_device>")
			}
			server.logged(1, "Disabling push notifications for identifier '"+prosodyService+"<"+s.device)
			pushes := strings.Count(server.log(), "Sending important push notification")
			alice.write("bob@localhost", "to nobody")
			if got := strings.Count(server.log(), "Sending important push notification"); got != pushes || pushes != 18 {
				t.Errorf("Prosody pushed %d times, and %d after the node was disabled", pushes, got-pushes)
			}
			alice.leave()
			if err := hongyan.stop(); err != nil {
				t.Error(err)
			}
			server.logged(1, "component disconnected: "+prosodyService)
			s.recorded()
		})
	}
}

// recorded compares what is recorded with what arrived.
func (s *xmppScene) recorded() {
	s.t.Helper()
	got := records(s.t, s.database)
	for id, r := range got {
		if r.state != "accepted" || !s.phones.messages()[id] {
			s.t.Errorf("a message is recorded as %s %s", r.state, r.reason)
		}
	}
	if len(got) != 2 || len(s.phones.messages()) != 2 {
		s.t.Errorf("%d messages are recorded and %d arrived, of 2", len(got), len(s.phones.messages()))
	}
}
