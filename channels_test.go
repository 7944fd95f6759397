package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/worker"
)

// channelsLab is the real store, worker and simulators, with an Android app for each
// vendor channel.
type channelsLab struct {
	*process
	t    *testing.T
	who  models.Actor
	logs lockedBuffer
	apns *sandbox.APNs // with startRecorded
	n    atomic.Int64

	mu      sync.Mutex
	private []string // what no log may hold
}

// labPassword is the password of the lab's user.
const labPassword = "a-long-password-7"

func newChannelsLab(t *testing.T) *channelsLab {
	t.Helper()
	return newChannelsLabOn(t, filepath.Join(t.TempDir(), "test.db"), nil)
}

// newChannelsLabOn makes a lab on an empty database. With a recorder the simulators
// tell it alone what they receive, and no page shows it.
func newChannelsLabOn(t *testing.T, database string, received sandbox.Recorder) *channelsLab {
	t.Helper()
	ctx := context.Background()
	l := &channelsLab{t: t}
	log := slog.New(slog.NewTextHandler(&l.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	up := &parts{log: log}
	l.process = &process{
		cfg: Config{Sandbox: true}, con: console{log: log, out: io.Discard}, parts: up, failed: make(chan error, 8),
		metrics: prometheus.NewRegistry(), channels: registry.New(), secret: models.Secret(base64.StdEncoding.EncodeToString(make([]byte, 32))),
	}
	l.store = l.open(database)
	l.must(l.store.Migrate(ctx, false))
	if received != nil {
		l.startRecorded(received)
	} else {
		l.must(l.startSimulators(l.secret))
	}
	t.Cleanup(func() {
		l.must(up.stopAll(10 * time.Second))
		l.discreet()
	})
	l.work(l.store)
	u, err := l.store.CreateMainAccount(ctx, models.MainAccount{Name: "公司", UserName: "admin", Password: labPassword})
	l.must(err)
	l.who = u.Actor("127.0.0.1")
	return l
}

// open opens a database with the lab's key.
func (l *channelsLab) open(database string) *models.Store {
	l.t.Helper()
	keys, err := models.NewKeyring(l.secret.Reveal())
	l.must(err)
	st, err := models.Open(context.Background(), models.Options{
		Database: database, Keys: keys, Regions: []models.Region{{ID: "r", Zh: "广州", En: "Guangzhou"}},
	})
	l.must(err)
	return st
}

// work starts a worker and accepting on a store, and ends both and the store with
// the test.
func (l *channelsLab) work(st *models.Store) {
	l.t.Helper()
	w := worker.New(worker.Options{Store: st, Registry: l.channels.Lookup, Sandbox: l.simulator, Log: l.con.log, ReceiptURL: l.receiptURL})
	l.must(w.Start(context.Background()))
	st.StartAccepting(w)
	l.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		l.must(st.StopAccepting(ctx))
		l.must(w.Stop(ctx))
		l.must(st.Close())
	})
}

// lockedBuffer is a buffer that many write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// keep notes what must not be logged.
func (l *channelsLab) keep(private ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range private {
		if len(p) >= 12 {
			l.private = append(l.private, p)
		}
	}
}

// discreet looks through everything that was logged.
func (l *channelsLab) discreet() {
	l.t.Helper()
	text := l.logs.b.String()
	if len(text) == 0 {
		l.t.Error("nothing was logged")
	}
	for _, p := range append(l.private, "title-of-bob", "body-of-bob") {
		if strings.Contains(text, p) {
			l.t.Error("a log holds a secret, a token or a text") // not which
		}
	}
}

func (l *channelsLab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// channelApp is one app that has keys of one channel.
type channelApp struct {
	l       *channelsLab
	t       *testing.T
	channel push.Channel
	app     int64
	plan    int64
	scope   models.AppScope
	ingest  models.Ingest
	secret  string
}

// platform is the one that has the app's channel.
func (a *channelApp) platform() string {
	if a.channel == push.APNs {
		return models.PlatformIOS
	}
	return models.PlatformAndroid
}

func (a *channelApp) environment() string {
	if a.channel == push.APNs {
		return string(push.Production)
	}
	return models.EnvironmentSandbox
}

func (l *channelsLab) app(t *testing.T, c push.Channel) *channelApp {
	t.Helper()
	ctx := context.Background()
	a := &channelApp{l: l, t: t, channel: c}
	name := fmt.Sprintf("%s %d", c, l.n.Add(1))
	p, apps, err := l.store.CreateProduct(ctx, l.who, models.ProductInput{Name: name, Category: "social", Region: "r", Platforms: []string{a.platform()}})
	a.must(err)
	a.app = apps[0].ID
	_, err = l.store.SetPackage(ctx, l.who, a.app, "com.example.im")
	a.must(err)
	_, err = l.store.SetSandbox(ctx, l.who, a.app, true)
	a.must(err)
	im, secret, err := l.store.CreateIMApp(ctx, l.who, models.IMAppInput{Name: "IM of " + name, Bridge: "generic"}, []string{"generic"})
	a.must(err)
	z, err := l.store.Authorize(ctx, l.who, im.ID, p.ID, a.app)
	a.must(err)
	a.plan, a.secret = z.PlanID, secret.Reveal()
	l.keep(a.secret)
	a.renew()
	a.scope, _, err = l.store.ScopeForApp(ctx, l.who, a.app)
	a.must(err)
	a.ingest, err = l.store.IngestBySecret(ctx, secret.Reveal())
	a.must(err)
	return a
}

func (a *channelApp) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// renew saves the channel's keys anew: whatever the vendor said before is over.
func (a *channelApp) renew() {
	a.t.Helper()
	a.save(func(*models.CredentialInput) {})
}

// save saves the channel's keys after a change.
func (a *channelApp) save(change func(*models.CredentialInput)) {
	a.t.Helper()
	in := a.l.sandboxCredential()
	if a.channel != push.APNs {
		account, err := a.l.sandboxAccount(context.Background(), a.channel)
		a.must(err)
		in = models.CredentialInput{Channel: string(a.channel), Environment: models.EnvironmentSandbox, Kind: string(a.channel), Fields: account.Fields}
	}
	change(&in)
	for key, v := range in.Fields {
		if !slices.Contains([]string{"app_id", "public_key", "subject", "kind", "key_id", "team_id", "environments"}, key) {
			a.l.keep(v)
		}
	}
	_, err := a.l.store.SaveCredentials(context.Background(), a.l.who, models.AppOwner(a.app), in)
	a.must(err)
}

// device registers a phone for a person of its own and returns its vendor token.
func (a *channelApp) device() (account, token string) {
	a.t.Helper()
	ctx := context.Background()
	n := a.l.n.Add(1)
	account = fmt.Sprintf("user%d", n)
	token, err := a.l.phoneToken(ctx, a.channel, fmt.Sprintf("%s%d", a.channel, n))
	a.must(err)
	if n < 100 { // looking for each takes its time
		a.l.keep(token)
	}
	r, err := a.l.store.Register(ctx, a.scope, models.Registration{
		Platform: a.platform(), Model: "phone", Notify: models.NotifyOn,
		Routes: []models.RouteInput{{Channel: string(a.channel), Environment: a.environment(), PackageName: "com.example.im", Token: token}},
	})
	a.must(err)
	dev, err := a.l.store.AuthDevice(ctx, a.scope, r.Device.Token, r.Secret)
	a.must(err)
	a.must(a.l.store.Bind(ctx, dev, []models.Binding{{Account: account}}))
	return account, token
}

// send sends one message and returns its record once there is an answer.
func (a *channelApp) send(account string) (models.Delivery, []models.Attempt) {
	a.t.Helper()
	return a.say(account, models.Content{Title: "title-of-bob", Body: "body-of-bob"})
}

// say is send with a content.
func (a *channelApp) say(account string, content models.Content) (models.Delivery, []models.Attempt) {
	a.t.Helper()
	ctx := context.Background()
	got, err := a.l.store.Accept(ctx, a.ingest, []models.Incoming{{
		SourceID: account, Account: account, Sender: "bob", Content: content,
	}})
	a.must(err)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		m, err := a.l.store.MessageByID(ctx, a.scope, got.IDs[0])
		a.must(err)
		if len(m.Deliveries) > 0 && (m.Deliveries[0].Attempts > 0 || m.Deliveries[0].State != models.StatePending) {
			return m.Deliveries[0], m.Attempts
		}
		<-time.After(10 * time.Millisecond)
	}
	a.t.Fatal("no answer is recorded")
	return models.Delivery{}, nil
}

// A message without a title is shown with the app's name on every channel that wants one,
// and its text once.
func TestTitlelessMessages(t *testing.T) {
	t.Parallel()
	l := newChannelsLab(t)
	for _, spec := range registry.All() {
		t.Run(string(spec.Channel), func(t *testing.T) {
			a := l.app(t, spec.Channel)
			account, _ := a.device()
			if d, _ := a.say(account, models.Content{Body: "body-of-bob"}); d.State != models.StateAccepted {
				t.Fatalf("%+v", d)
			}
			var pushes []models.SandboxPush
			for end := time.Now().Add(10 * time.Second); len(pushes) == 0 && time.Now().Before(end); <-time.After(10 * time.Millisecond) {
				var err error
				pushes, err = l.store.SandboxPushes(context.Background(), a.scope, 0, 0, 10)
				a.must(err)
			}
			if len(pushes) != 1 {
				t.Fatalf("%d pushes", len(pushes))
			}
			name := fmt.Sprintf(`"%s `, spec.Channel) // the app's
			payload := string(pushes[0].Payload)
			if n := strings.Count(payload, "body-of-bob"); n != 1 || strings.Contains(payload, name) != (spec.Channel != push.APNs) {
				t.Errorf("the text stands there %d times, the app's name: %v", n, strings.Contains(payload, name))
			}
		})
	}
}
