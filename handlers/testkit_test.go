package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/alert"
	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/web"
)

// The kit of every page test: the real routes over a real database, and a visitor
// who gets, posts and reads pages as a browser without script does.

// testPassword is every test user's password.
const testPassword = "a long enough password"

// testClock is moved by hand.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (k *testClock) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.t
}

// Advance moves the clock on.
func (k *testClock) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.t = k.t.Add(d)
}

// site is one console with a database of its own.
type site struct {
	t     *testing.T
	Store *models.Store
	Web   *web.Server
	Clock *testClock
	Log   *bytes.Buffer // what the console logged
}

// onEachEngine runs fn on SQLite and on Postgres.
func onEachEngine(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fn(t, newSite(t, engine))
		})
	}
}

// newSite boots a console.
func newSite(t *testing.T, engine models.Dialect, change ...func(*Deps)) *site {
	t.Helper()
	clock := &testClock{t: time.Now().UTC().Truncate(time.Microsecond)}
	keys, err := models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	logged := &bytes.Buffer{}
	log := slog.New(&testLog{Handler: slog.NewTextHandler(logged, nil), t: t})
	store, err := models.Open(t.Context(), models.Options{
		Database: testDatabase(t, engine), Regions: testRegions(), MaxConns: 6, Keys: keys, Now: clock.Now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d := Deps{Store: store, Log: log, Now: clock.Now, PublicURL: "http://console.example", Sandbox: true, Channels: registry.New().Lookup, Phones: testPhones{}, Simulator: testSimulator}
	for _, c := range change {
		c(&d)
	}
	if d.Alerts == nil {
		d.Alerts = newAlerts(t, alert.Options{Store: store, Log: log, Now: clock.Now})
	}
	s, err := NewServer(web.Options{
		Log: log, Now: clock.Now, PublicURL: &url.URL{Scheme: "http", Host: "console.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)}, Version: "1.2.3",
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, Store: store, Web: s, Clock: clock, Log: logged}
}

// newAlerts makes what sends 告警通知.
func newAlerts(t *testing.T, o alert.Options) *alert.Sender {
	t.Helper()
	a, err := alert.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// testPhones makes keys and tokens that no simulator has to take.
type testPhones struct{}

// Credentials implements Phones.
func (testPhones) Credentials(_ context.Context, platform string) ([]models.CredentialInput, error) {
	var out []models.CredentialInput
	for _, c := range append(vendorChannels(), push.APNs) {
		if models.ChannelFits(string(c), platform) {
			out = append(out, models.CredentialInput{
				Channel: string(c), Environment: models.EnvironmentSandbox, Kind: "p8", Fields: map[string]string{"key": "made up"},
			})
		}
	}
	return out, nil
}

// Token implements Phones.
func (testPhones) Token(_ context.Context, c push.Channel, name string) (string, error) {
	return hex.EncodeToString([]byte(string(c) + name)), nil
}

// testSimulator says that there is one for every channel, where nobody listens.
func testSimulator(push.Channel) (push.Options, bool) {
	return push.Options{Endpoint: "https://127.0.0.1:1"}, true
}

// testLog fails the test on a sentence that no catalog has, and keeps writes apart.
type testLog struct {
	slog.Handler
	t  *testing.T
	mu sync.Mutex
}

// Handle implements slog.Handler.
func (l *testLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Message == "no sentence for key" {
		r.Attrs(func(a slog.Attr) bool {
			l.t.Errorf("no sentence: %s", a)
			return true
		})
	}
	return l.Handler.Handle(ctx, r)
}

func testRegions() []models.Region {
	return []models.Region{
		{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou", Prefix: 0},
		{ID: "ap-shanghai", Zh: "上海", En: "Shanghai", Prefix: 8},
		{ID: "ap-hongkong", Zh: "中国香港", En: "Hong Kong", Prefix: 4},
		{ID: "ap-singapore", Zh: "新加坡", En: "Singapore", Prefix: 5},
	}
}

// pgTemplate and sqliteTemplate are migrated databases that each test copies.
var pgTemplate = pgtest.Template{Prepare: migrateOnce}

var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hongyan-handlers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	path := filepath.Join(dir, "template.db")
	if err := migrateOnce(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) //nolint:gosec // our own file
})

func migrateOnce(ctx context.Context, dsn string) error {
	s, err := models.Open(ctx, models.Options{Database: dsn})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx, false); err != nil {
		return err
	}
	return s.Close()
}

func testDatabase(t testing.TB, engine models.Dialect) string {
	t.Helper()
	if engine == models.Postgres {
		return pgTemplate.New(t)
	}
	data, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hongyan.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Account creates a main account whose main user has the given name.
func (s *site) Account(name string) models.Actor {
	s.t.Helper()
	u, err := s.Store.CreateMainAccount(s.t.Context(), models.MainAccount{Name: name + " Ltd", UserName: name, Password: testPassword})
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Actor("192.0.2.9")
}

// Sub creates a sub-account of owner with the given rights.
func (s *site) Sub(owner models.Actor, name string, r models.Rights) models.Actor {
	s.t.Helper()
	u, err := s.Store.CreateUser(s.t.Context(), owner, models.UserInput{
		Name: name, Password: testPassword, Role: r.Role, AllProducts: r.AllProducts, Products: r.Products,
		CanIM: r.CanIM, CanContent: r.CanContent,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Actor("192.0.2.9")
}

// Product creates a product with an app for each platform.
func (s *site) Product(owner models.Actor, name string, platforms ...string) (*models.Product, []models.App) {
	s.t.Helper()
	if len(platforms) == 0 {
		platforms = []string{models.PlatformAndroid, models.PlatformIOS}
	}
	p, apps, err := s.Store.CreateProduct(s.t.Context(), owner, models.ProductInput{
		Name: name, Category: "office", Region: "ap-guangzhou", Platforms: platforms,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, apps
}

// IMApp creates an IM app and returns it with the secret of its ingest address.
func (s *site) IMApp(owner models.Actor, name string) (*models.IMApp, models.Secret) {
	s.t.Helper()
	im, secret, err := s.Store.CreateIMApp(s.t.Context(), owner, models.IMAppInput{Name: name, Bridge: Bridges()[0].ID}, []string{Bridges()[0].ID})
	if err != nil {
		s.t.Fatal(err)
	}
	return im, secret
}

// visitor is a browser without script: it keeps cookies and follows nothing by
// itself.
type visitor struct {
	s       *site
	t       *testing.T
	cookies map[string]string
	// Lang is the browser's Accept-Language.
	Lang string
}

// Visitor returns a browser that has signed in nowhere.
func (s *site) Visitor() *visitor {
	return &visitor{s: s, t: s.t, cookies: map[string]string{}, Lang: "zh-CN"}
}

// Login signs a user in through the form.
func (s *site) Login(who models.Actor) *visitor {
	s.t.Helper()
	v := s.Visitor()
	path, form := "/login", []string{"name", who.Name, "password", testPassword}
	if !who.IsMain {
		path, form = "/login/sub", append(form, "account", number(who.AccountID))
	}
	v.Submit(path, form...).Want(http.StatusSeeOther)
	return v
}

// Get asks for a page and checks what holds for every page.
func (v *visitor) Get(path string) *page {
	v.t.Helper()
	return v.send(httptest.NewRequestWithContext(v.t.Context(), http.MethodGet, path, nil))
}

// Post sends a form, pairs of name and value, as a browser of the same site does.
func (v *visitor) Post(path string, pairs ...string) *page {
	v.t.Helper()
	return v.post(path, values(pairs))
}

func values(pairs []string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

func (v *visitor) post(path string, form url.Values) *page {
	v.t.Helper()
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.send(r)
}

// Submit opens a page, fills in the form that it sends to its own address, and sends
// it: the values that the form shows, changed by pairs. A pair whose field the form
// does not have fails the test; "" unticks a box.
func (v *visitor) Submit(path string, pairs ...string) *page {
	v.t.Helper()
	p := v.Get(path).Want(http.StatusOK)
	action, _, _ := strings.Cut(path, "?")
	return p.Submit(action, pairs...)
}

func (v *visitor) send(r *http.Request) *page {
	v.t.Helper()
	r.Host = "console.example"
	r.Header.Set("Accept-Language", v.Lang)
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	v.s.Web.ServeHTTP(w, r)
	answer := w.Result()
	for _, c := range answer.Cookies() {
		v.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	p := &page{v: v, t: v.t, Path: r.URL.RequestURI(), Status: w.Code, Header: answer.Header, Body: w.Body.Bytes()}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") && len(p.Body) > 0 {
		p.check()
	}
	return p
}

// newForm is a POST as a program sends it: without the browser's headers.
func newForm(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
