package handlers

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the raw connection of a test on Postgres

	"hongyan/models"
	"hongyan/web"
)

// machineSite is the real server with the machine endpoints, on a real database,
// with one account, one IM app and one app that it is authorized for.
type machineSite struct {
	ingest IngestStore // instead of the store, for the next serve
	t      testing.TB
	store  *models.Store
	dsn    string
	raw    *sql.DB // a second connection, to look at and change rows
	pg     bool
	// What the seed made.
	who                             models.Actor
	productID, appID, authorization int64
	accessKey, secret               string
	imApp                           *models.IMApp
	url                             string
	server                          *web.Server
	// contract judges every exchange of a site with the generic bridge, which it
	// describes; judged is what it said against the last request.
	contract *contract
	judged   error
	log      *safeBuffer

	mu  sync.Mutex
	now time.Time
}

// safeBuffer is a log that goroutines write and tests read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type noSessions struct{}

func (noSessions) SessionUser(context.Context, web.TokenHash) (web.User, error) {
	return web.User{}, web.ErrNoSession
}

// eachMachine runs a test on both engines. bridge is what the IM app is for.
func eachMachine(t *testing.T, bridge string, rates Rates, fn func(t *testing.T, s *machineSite)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			s := &machineSite{t: t, log: &safeBuffer{}, now: time.Now().UTC().Truncate(time.Second), pg: engine == models.Postgres}
			s.open(testDatabase(t, engine))
			s.seed(bridge)
			s.serve(rates)
			if bridge == (genericBridge{}).bridge().ID {
				s.contract = loadContract(t)
			}
			fn(t, s)
		})
	}
}

func (s *machineSite) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.IsZero() { // a benchmark's clock runs
		return time.Now()
	}
	return s.now
}

func (s *machineSite) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *machineSite) open(dsn string) {
	s.t.Helper()
	s.dsn = dsn
	var err error
	s.store = s.openStore()
	driver, raw := "sqlite", "file:"+dsn+"?_pragma=busy_timeout(10000)&_time_format=sqlite&_timezone=UTC"
	if s.pg {
		driver, raw = "pgx", dsn
	}
	if s.raw, err = sql.Open(driver, raw); err != nil {
		s.t.Fatal(err)
	}
	s.store.StartAccepting(nil)
	s.t.Cleanup(func() {
		if err := s.store.StopAccepting(context.Background()); err != nil {
			s.t.Error(err)
		}
		if err := s.raw.Close(); err != nil {
			s.t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// openStore opens the database as one process does.
func (s *machineSite) openStore() *models.Store {
	s.t.Helper()
	keys, err := models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		s.t.Fatal(err)
	}
	regions := []models.Region{{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou"}}
	store, err := models.Open(context.Background(), models.Options{Database: s.dsn, Regions: regions, Keys: keys, Now: s.clock})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// second opens the database once more, as another process.
func (s *machineSite) second() *models.Store {
	s.t.Helper()
	store := s.openStore()
	s.t.Cleanup(func() {
		if err := store.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return store
}

// seed walks the seed's way: account, product, IM app, authorization.
func (s *machineSite) seed(bridge string) {
	s.t.Helper()
	ctx := context.Background()
	fatal := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	u, err := s.store.CreateMainAccount(ctx, models.MainAccount{Name: "公司", UserName: "admin", Password: "a-long-password-7"})
	fatal(err)
	s.who = u.Actor("127.0.0.1")
	p, apps, err := s.store.CreateProduct(ctx, s.who, models.ProductInput{
		Name: "产品", Category: "social", Region: "ap-guangzhou", Platforms: []string{models.PlatformIOS},
	})
	fatal(err)
	s.productID, s.appID = p.ID, apps[0].ID
	key, err := s.store.AccessKey(ctx, s.who, s.appID)
	fatal(err)
	s.accessKey = key.Reveal()
	var ids []string
	for _, b := range Bridges() {
		ids = append(ids, b.ID)
	}
	im, secret, err := s.store.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "IM", Bridge: bridge}, ids)
	fatal(err)
	s.imApp, s.secret = im, secret.Reveal()
	s.authorize()
}

// authorize lets the IM app push through the app.
func (s *machineSite) authorize() {
	s.t.Helper()
	z, err := s.store.Authorize(context.Background(), s.who, s.imApp.ID, s.productID, s.appID)
	if err != nil {
		s.t.Fatal(err)
	}
	s.authorization = z.ID
}

// im returns an address below the IM app's ingest address.
func (s *machineSite) im(rest string) string { return "/im/" + s.secret + rest }

func (s *machineSite) serve(rates Rates) {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := web.New(web.Options{
		Log: log, Now: s.clock, PublicURL: &url.URL{Scheme: "http", Host: "console.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)}, Sessions: noSessions{},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var ingest IngestStore = s.store
	if s.ingest != nil {
		ingest = s.ingest
	}
	Machine{Ingest: ingest, Devices: s.store, Log: log, Now: s.clock, Rates: rates}.Mount(server)
	s.server = server
	h := httptest.NewServer(server)
	s.t.Cleanup(h.Close)
	s.url = h.URL
}

// exec runs a statement with ? for arguments on either engine.
func (s *machineSite) exec(q string, args ...any) {
	s.t.Helper()
	if _, err := s.raw.Exec(s.query(q), args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *machineSite) query(q string) string {
	for n := 1; s.pg && strings.Contains(q, "?"); n++ {
		q = strings.Replace(q, "?", "$"+strconv.Itoa(n), 1)
	}
	return q
}

// count counts rows: "messages WHERE account = ?".
func (s *machineSite) count(from string, args ...any) int {
	s.t.Helper()
	var n int
	if err := s.raw.QueryRow(s.query("SELECT COUNT(*) FROM "+from), args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stats returns what was counted for the IM app, but for the requests themselves.
func (s *machineSite) stats() map[string]int {
	s.t.Helper()
	if err := s.store.FlushIngest(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.raw.Query("SELECT outcome, SUM(n) FROM im_app_stats WHERE im_app_id = " + strconv.FormatInt(s.imApp.ID, 10) + " GROUP BY outcome")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	out := map[string]int{}
	for rows.Next() {
		var outcome string
		var n int
		if err := rows.Scan(&outcome, &n); err != nil {
			s.t.Fatal(err)
		}
		if outcome != models.IngestRequest {
			out[outcome] = n
		}
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// reply is an answer of the site.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// json reads the answer's body into a map.
func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return m
}

// errorCode returns error.code and error.field of a refusal.
func (r reply) errorCode(t testing.TB) (code, field string) {
	t.Helper()
	e, ok := r.json(t)["error"].(map[string]any)
	if !ok {
		t.Fatalf("no error in %d %s", r.status, r.body)
	}
	if text, _ := e["message"].(string); text == "" || strings.Contains(text, "{{") || strings.HasPrefix(text, "api.") || strings.Contains(text, "<no value>") {
		t.Errorf("no sentence for people in %s", r.body)
	}
	code, _ = e["code"].(string)
	field, _ = e["field"].(string)
	return code, field
}

// post sends a body with headers given as pairs.
func (s *machineSite) post(path string, body []byte, header ...string) reply {
	s.t.Helper()
	return s.do(http.MethodPost, path, body, header...)
}

func (s *machineSite) do(method, path string, body []byte, header ...string) reply {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := reply{status: res.StatusCode, header: res.Header, body: b}
	if s.contract != nil && (method == http.MethodPost || strings.HasPrefix(path, "/device/v1/web-push-key")) && method != http.MethodOptions {
		s.judged = s.contract.check(s.t, req, body, r)
	}
	return r
}
