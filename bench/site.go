package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/handlers"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/web"
	"hongyan/worker"
)

// users is how many end users there are, each with one phone.
const users = 5000

// site is one database with an app that sends to the lab's sink.
type site struct {
	engine string
	dsn    string
	keys   *models.Keyring
	lab    *lab
	store  *models.Store
	who    models.Actor
	scope  models.AppScope
	plan   int64
	ingest models.Ingest
	secret string
	serial atomic.Int64 // of messages
	paced  int          // messages a second in steady, 0 for as many as fit

	vendors  vendors
	channels []*channelApp
	sent     map[push.Channel]*atomic.Int64 // messages accepted for each of them

	server *httptest.Server
}

func newSite(ctx context.Context, engine, dsn string, l *lab) (*site, error) {
	s := &site{engine: engine, dsn: dsn, lab: l, sent: map[push.Channel]*atomic.Int64{}}
	var err error
	if s.keys, err = models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32))); err != nil {
		return nil, err
	}
	if s.store, err = s.open(ctx, 0, 0); err != nil {
		return nil, err
	}
	if err := s.store.Migrate(ctx, false); err != nil {
		return nil, err
	}
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, s.serve()
}

func (s *site) open(ctx context.Context, rows, committers int) (*models.Store, error) {
	return models.Open(ctx, models.Options{
		Database: s.dsn, Keys: s.keys, CommitRows: rows, Committers: committers, MaxConns: 40,
		Regions: []models.Region{{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou"}},
	})
}

func (s *site) close() {
	if s.server != nil {
		s.server.Close()
	}
	if s.store != nil {
		_ = s.store.Close() // the database goes away with the run
	}
}

// writers is how many single commits run at once where they are not grouped.
func (s *site) writers() int {
	if s.engine == "sqlite" {
		return 1
	}
	return 32
}

func (s *site) seed(ctx context.Context) error {
	u, err := s.store.CreateMainAccount(ctx, models.MainAccount{Name: "bench", UserName: "admin", Password: "a-long-password-7"})
	if err != nil {
		return err
	}
	s.who = u.Actor("127.0.0.1")
	p, apps, err := s.store.CreateProduct(ctx, s.who, models.ProductInput{
		Name: "bench", Category: "social", Region: "ap-guangzhou", Platforms: []string{models.PlatformIOS},
	})
	if err != nil {
		return err
	}
	app := apps[0].ID
	if _, err := s.store.SetPackage(ctx, s.who, app, bundle); err != nil {
		return err
	}
	if _, err := s.store.SetSandbox(ctx, s.who, app, true); err != nil {
		return err
	}
	im, secret, err := s.store.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "bench", Bridge: "generic"}, []string{"generic"})
	if err != nil {
		return err
	}
	z, err := s.store.Authorize(ctx, s.who, im.ID, p.ID, app)
	if err != nil {
		return err
	}
	s.plan, s.secret = z.PlanID, secret.Reveal()
	_, err = s.store.SaveCredentials(ctx, s.who, models.AppOwner(app), models.CredentialInput{
		Channel: string(push.APNs), Environment: models.EnvironmentSandbox, Kind: "p8", Fields: s.lab.fields(),
	})
	if err != nil {
		return err
	}
	if s.scope, _, err = s.store.ScopeForApp(ctx, s.who, app); err != nil {
		return err
	}
	if s.ingest, err = s.store.IngestBySecret(ctx, s.secret); err != nil {
		return err
	}
	return s.devices(ctx)
}

// devices registers a phone for each user, several at a time.
func (s *site) devices(ctx context.Context) error {
	return each(users, func(i int) error { return s.device(ctx, i) })
}

func (s *site) device(ctx context.Context, i int) error {
	r, err := s.store.Register(ctx, s.scope, models.Registration{
		Platform: models.PlatformIOS, Notify: models.NotifyOn,
		Routes: []models.RouteInput{{Channel: string(push.APNs), Environment: string(push.Production), PackageName: bundle, Token: deviceToken(i)}},
	})
	if err != nil {
		return err
	}
	dev, err := s.store.AuthDevice(ctx, s.scope, r.Device.Token, r.Secret)
	if err != nil {
		return err
	}
	return s.store.Bind(ctx, dev, []models.Binding{{Account: user(i)}})
}

func user(i int) string { return fmt.Sprintf("user-%05d", i) }

// noSessions knows nobody: only machines call.
type noSessions struct{}

func (noSessions) SessionUser(context.Context, web.TokenHash) (web.User, error) {
	return web.User{}, web.ErrNoSession
}

// serve starts the real server with the real bridge, logging as in production but
// to nowhere.
func (s *site) serve() error {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	w, err := web.New(web.Options{
		Log: log, Now: time.Now, PublicURL: &url.URL{Scheme: "http", Host: "bench.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)}, Sessions: noSessions{},
	})
	if err != nil {
		return err
	}
	handlers.Machine{Ingest: s.store, Devices: s.store, Log: log, Now: time.Now}.Mount(w)
	s.server = httptest.NewUnstartedServer(w)
	s.server.Config.Protocols = new(http.Protocols)
	s.server.Config.Protocols.SetHTTP1(true)
	s.server.Start()
	return nil
}

// worker makes one that sends to the lab's sink.
func (s *site) worker() *worker.Worker {
	return worker.New(worker.Options{
		Store: s.store, Registry: registry.New().Lookup,
		Sandbox: func(push.Channel) (push.Options, bool) { return s.lab.options(), true },
		Log:     slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// working runs f with a worker and accepting, and stops both.
func (s *site) working(ctx context.Context, f func(time.Duration) (sample, error), span time.Duration) (sample, error) {
	w := s.worker()
	if err := w.Start(ctx); err != nil {
		return sample{}, err
	}
	s.store.StartAccepting(w)
	err := s.warm(ctx, w)
	var out sample
	if err == nil {
		out, err = f(span)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	for _, e := range []error{s.store.StopAccepting(stop), w.Stop(stop)} {
		if err == nil {
			err = e
		}
	}
	return out, err
}

// warm waits until the worker takes batches in memory, and sends a little.
func (s *site) warm(ctx context.Context, w *worker.Worker) error {
	d := s.store.Databases()[0]
	for !w.Reserve(d, 0) {
		w.Left(d)
		if err := tick(ctx); err != nil {
			return err
		}
	}
	w.Forget(d, 0)
	_, err := s.direct(ctx, 16, 200*time.Millisecond)
	return err
}

// tick waits a moment.
func tick(ctx context.Context) error {
	t := time.NewTimer(2 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recorded is how many messages are recorded as accepted by the vendor.
func (s *site) recorded(ctx context.Context) (int64, error) {
	now := time.Now()
	st, err := s.store.PlanStats(ctx, s.scope, models.StatsFilter{PlanID: s.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
	if err != nil {
		return 0, err
	}
	if st.Total.Failed+st.Total.Expired+st.Total.Skipped > 0 {
		return 0, fmt.Errorf("not everything was sent: %+v", st.Total)
	}
	return st.Total.Accepted, nil
}

// until waits until as many messages are recorded.
func (s *site) until(ctx context.Context, want int64) error {
	return s.untilWithin(ctx, want, time.Minute)
}

func (s *site) untilWithin(ctx context.Context, want int64, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		n, err := s.recorded(ctx)
		if err != nil {
			return err
		}
		if n >= want {
			return nil
		}
		if err := tick(ctx); err != nil {
			return fmt.Errorf("%d of %d recorded: %w", n, want, err)
		}
	}
}

// load has one called from callers goroutines for span and returns how many
// succeeded and how long they took.
func load(callers int, span time.Duration, one func(caller, i int) error) (int64, []time.Duration, error) {
	end := time.Now().Add(span)
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := 0; ; i++ {
				began := time.Now()
				if !began.Before(end) {
					return
				}
				if errs[c] = one(c, i); errs[c] != nil {
					return
				}
				took[c] = append(took[c], time.Since(began))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, nil, err
		}
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return int64(len(all)), all, nil
}

// direct accepts single messages through Store.Accept and waits until all are
// recorded.
func (s *site) direct(ctx context.Context, callers int, span time.Duration) (sample, error) {
	return s.toRecorded(ctx, callers, span, func(_, _ int) error { return s.accept(ctx, s.store, s.ingest) })
}

func (s *site) accept(ctx context.Context, store *models.Store, in models.Ingest) error {
	_, err := store.Accept(ctx, in, []models.Incoming{s.message()})
	return err
}

// message makes one more message, and genericBody the generic bridge's body of one.
func (s *site) message() models.Incoming {
	n := s.serial.Add(1)
	return models.Incoming{
		SourceID: fmt.Sprint(n), Account: user(int(n % users)), Sender: "alice", Conversation: "c-100",
		Content: models.Content{Title: "Alice", Body: "Are you coming to the meeting at three?", Sound: "default"},
	}
}

func (s *site) genericBody() []byte {
	n := s.serial.Add(1)
	return fmt.Appendf(nil,
		`{"id":"%d","from":{"id":"alice","name":"Alice"},"to":["%s"],"conversation":{"id":"c-100","type":"person"},"body":"Are you coming to the meeting at three?"}`,
		n, user(int(n%users)))
}

func (s *site) toRecorded(ctx context.Context, callers int, span time.Duration, one func(c, i int) error) (sample, error) {
	before, err := s.recorded(ctx)
	if err != nil {
		return sample{}, err
	}
	m := startMeter()
	n, took, err := load(callers, span, one)
	if err != nil {
		return sample{}, err
	}
	if err := s.until(ctx, before+n); err != nil {
		return sample{}, err
	}
	out := m.read(n)
	out.p50, out.p99 = quantile(took, 0.5), quantile(took, 0.99)
	return out, nil
}

// http posts single messages to the generic bridge and waits until all are
// recorded.
func (s *site) http(conns int, span time.Duration) (sample, error) {
	ctx := context.Background()
	clients := make([]*client, conns)
	for i := range clients {
		c, err := dial(ctx, s.server.Listener.Addr().String())
		if err != nil {
			return sample{}, err
		}
		defer c.close()
		clients[i] = c
	}
	path := "/im/" + s.secret + "/messages"
	return s.toRecorded(ctx, conns, span, func(c, _ int) error { return clients[c].post(path, s.genericBody()) })
}
