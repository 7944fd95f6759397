package worker

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// site is a real store with one account, one sandbox app, its IM app, a key, and
// the APNs simulator.
type site struct {
	t      *testing.T
	dsn    string
	store  *models.Store
	who    models.Actor
	appID  int64
	plan   int64
	scope  models.AppScope
	ingest models.Ingest
	sim    *sandbox.APNs
	keys   *sandbox.MemoryKeys
	inbox  *sandbox.Memory
	key    sandbox.KeyFile
	logs   *logBuffer
}

var siteTemplate = pgtest.Template{Prepare: func(ctx context.Context, dsn string) error {
	s, err := models.Open(ctx, models.Options{Database: dsn})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx, false); err != nil {
		return err
	}
	return s.Close()
}}

// eachSite runs a test on both engines.
func eachSite(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dsn := filepath.Join(t.TempDir(), "test.db")
			if engine == "postgres" {
				dsn = siteTemplate.New(t)
			}
			s := &site{t: t, keys: &sandbox.MemoryKeys{}, inbox: sandbox.NewMemory(100000), logs: &logBuffer{}}
			s.open(dsn, engine == "sqlite")
			s.seed()
			fn(t, s)
		})
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) open(dsn string, migrate bool) {
	s.t.Helper()
	s.dsn = dsn
	s.store = s.process()
	if migrate {
		s.must(s.store.Migrate(context.Background(), false))
	}
	var err error
	s.sim, err = sandbox.StartAPNs(sandbox.APNsConfig{Keys: s.keys, Recorder: s.inbox})
	s.must(err)
	s.t.Cleanup(func() { s.must(s.sim.Close()) })
}

// process opens the database as another process does, with caches of its own.
func (s *site) process() *models.Store {
	s.t.Helper()
	keys, err := models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	s.must(err)
	store, err := models.Open(context.Background(), models.Options{
		Database: s.dsn, Keys: keys, Regions: []models.Region{{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou"}},
	})
	s.must(err)
	s.t.Cleanup(func() { s.must(store.Close()) })
	return store
}

func (s *site) seed() {
	s.t.Helper()
	ctx := context.Background()
	u, err := s.store.CreateMainAccount(ctx, models.MainAccount{Name: "公司", UserName: "admin", Password: "a-long-password-7"})
	s.must(err)
	s.who = u.Actor("127.0.0.1")
	p, apps, err := s.store.CreateProduct(ctx, s.who, models.ProductInput{
		Name: "产品", Category: "social", Region: "ap-guangzhou", Platforms: []string{models.PlatformIOS},
	})
	s.must(err)
	s.appID = apps[0].ID
	_, err = s.store.SetPackage(ctx, s.who, s.appID, "com.example.im")
	s.must(err)
	_, err = s.store.SetSandbox(ctx, s.who, s.appID, true)
	s.must(err)
	im, secret, err := s.store.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "IM", Bridge: "generic"}, []string{"generic"})
	s.must(err)
	z, err := s.store.Authorize(ctx, s.who, im.ID, p.ID, s.appID)
	s.must(err)
	s.plan = z.PlanID
	s.newKey()
	s.scope, _, err = s.store.ScopeForApp(ctx, s.who, s.appID)
	s.must(err)
	s.ingest, err = s.store.IngestBySecret(ctx, secret.Reveal())
	s.must(err)
}

// newKey makes a key that the simulator accepts and saves it as the credential.
func (s *site) newKey() {
	s.t.Helper()
	file, key, err := sandbox.NewKey()
	s.must(err)
	s.key = file
	s.keys.Add(key)
	_, err = s.store.SaveCredentials(context.Background(), s.who, models.AppOwner(s.appID), models.CredentialInput{
		Channel: "apns", Environment: models.EnvironmentSandbox, Kind: "p8",
		Fields: map[string]string{"kind": "p8", "p8": string(file.PEM), "key_id": file.KeyID, "team_id": file.TeamID, "environments": "both"},
	})
	s.must(err)
}

// device registers a phone with accounts through the device API's functions and
// returns its id and vendor token.
func (s *site) device(n int, accounts ...string) (int64, string) {
	s.t.Helper()
	ctx := context.Background()
	token := fmt.Sprintf("%064x", n+1)
	r, err := s.store.Register(ctx, s.scope, models.Registration{
		Platform: "ios", Model: "iPhone17,1", Notify: models.NotifyOn,
		Routes: []models.RouteInput{{Channel: "apns", Environment: "production", PackageName: "com.example.im", Token: token}},
	})
	s.must(err)
	dev, err := s.store.AuthDevice(ctx, s.scope, r.Device.Token, r.Secret)
	s.must(err)
	var b []models.Binding
	for i, a := range accounts {
		b = append(b, models.Binding{Type: i, Account: a})
	}
	s.must(s.store.Bind(ctx, dev, b))
	return r.Device.ID, token
}

// worker makes a worker over the store's real databases.
func (s *site) worker(o Options) *Worker {
	s.t.Helper()
	s.fill(&o)
	return New(o)
}

func (s *site) fill(o *Options) {
	o.Store, o.Registry = s.store, registry.New().Lookup
	o.Sandbox = func(push.Channel) (push.Options, bool) {
		return push.Options{Endpoint: s.sim.URL(), RootCAs: s.sim.CA().PEM()}, true
	}
	o.Log = slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// start starts a worker and accepting, and stops both when the test ends.
func (s *site) start(w *Worker) {
	s.t.Helper()
	s.must(w.Start(context.Background()))
	s.store.StartAccepting(w)
	s.t.Cleanup(func() { s.stop(w) })
}

func (s *site) stop(w *Worker) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.must(s.store.StopAccepting(ctx))
	s.must(w.Stop(ctx))
}

func (s *site) accept(account, source string) string {
	s.t.Helper()
	a, err := s.store.Accept(context.Background(), s.ingest, []models.Incoming{{
		SourceID: source, Account: account, Sender: "bob", Content: models.Content{Title: "Bob-title", Body: "hello " + source},
	}})
	s.must(err)
	return a.IDs[0]
}

// eventually waits until f holds.
func (s *site) eventually(within time.Duration, what string, f func() bool) {
	s.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	s.t.Fatalf("not within %v: %s\n%s", within, what, s.logs)
}

func (s *site) message(id string) *models.MessageDetail {
	s.t.Helper()
	m, err := s.store.MessageByID(context.Background(), s.scope, id)
	s.must(err)
	return m
}

func (s *site) settled(id, state string) bool {
	m := s.message(id)
	return len(m.Deliveries) > 0 && m.Deliveries[0].State == state
}

func (s *site) funnel() models.Funnel {
	s.t.Helper()
	now := time.Now()
	st, err := s.store.PlanStats(context.Background(), s.scope, models.StatsFilter{
		PlanID: s.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true,
	})
	s.must(err)
	return st.Total
}

// logBuffer keeps what a worker logs, and the tests look that nothing private is
// in it.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMain(m *testing.M) { os.Exit(m.Run()) }
