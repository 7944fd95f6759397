package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// scene is an installation with one authorized app in sandbox mode, phones that
// each have an account, and a simulator in a process of its own.
type scene struct {
	env      map[string]string // of every server
	phones   *phones
	ingest   string // path of the generic bridge
	accounts []string
	posts    atomic.Int64 // messages made so far

	database string // what models.Open wants
	who      models.Actor
	appID    int64
	imAppID  int64
	key      sandbox.KeyFile
}

const sceneBundle = "com.example.im"

// newScene fills a fresh database on one engine with so many phones.
func newScene(t *testing.T, engine string, count int) *scene {
	t.Helper()
	dir := t.TempDir()
	s := &scene{phones: newPhones(t)}
	s.key = s.phones.key
	s.env = map[string]string{
		"DATA_DIR": dir, "SECRET_KEY": testKey(), "SHUTDOWN_TIMEOUT": "20s",
		"SANDBOX_APNS_ADDR": s.phones.address, "SANDBOX_CA_FILE": s.phones.caFile,
	}
	s.database = filepath.Join(dir, "hongyan.db")
	if engine == "postgres" {
		s.database = pgtest.New(t)
		s.env["DATABASE_URL"] = s.database
	}
	s.open(t, func(ctx context.Context, st *models.Store) error { return s.fill(ctx, st, count) })
	return s
}

// open opens the database as a console would.
func (s *scene) open(t *testing.T, fn func(context.Context, *models.Store) error) {
	t.Helper()
	ctx := t.Context()
	keys, err := models.NewKeyring(testKey())
	if err != nil {
		t.Fatal(err)
	}
	st, err := models.Open(ctx, models.Options{
		Database: s.database, Regions: defaultRegions(), Keys: keys, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := prepareStore(ctx, st, false); err != nil {
		t.Fatal(err)
	}
	if err := fn(ctx, st); err != nil {
		t.Fatal(err)
	}
}

// fill makes what an operator would click together.
func (s *scene) fill(ctx context.Context, st *models.Store, count int) error {
	u, err := st.CreateMainAccount(ctx, models.MainAccount{Name: "ACME", UserName: "root", Password: "correct horse battery"})
	if err != nil {
		return err
	}
	s.who = u.Actor("")
	product, apps, err := st.CreateProduct(ctx, s.who, models.ProductInput{
		Name: "IM", Category: models.ProductCategories()[0], Region: defaultRegions()[0].ID, Platforms: []string{models.PlatformIOS},
	})
	if err != nil {
		return err
	}
	s.appID = apps[0].ID
	if _, err = st.SetPackage(ctx, s.who, s.appID, sceneBundle); err != nil {
		return err
	}
	if _, err = st.SetSandbox(ctx, s.who, s.appID, true); err != nil {
		return err
	}
	if err := s.saveKey(ctx, st, s.key); err != nil {
		return err
	}
	im, secret, err := st.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "chat", Bridge: "generic"}, []string{"generic"})
	if err != nil {
		return err
	}
	s.imAppID, s.ingest = im.ID, "/im/"+secret.Reveal()+"/messages"
	if _, err = st.Authorize(ctx, s.who, im.ID, product.ID, s.appID); err != nil {
		return err
	}
	app, _, err := st.ScopeForApp(ctx, s.who, s.appID)
	if err != nil {
		return err
	}
	for i := range count {
		if err := s.addPhone(ctx, st, app, fmt.Sprintf("user-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// saveKey puts a signing key into the app's sandbox credential.
func (s *scene) saveKey(ctx context.Context, st *models.Store, key sandbox.KeyFile) error {
	_, err := st.SaveCredentials(ctx, s.who, models.AppOwner(s.appID), models.CredentialInput{
		Channel: string(push.APNs), Environment: models.EnvironmentSandbox, Kind: "p8",
		Fields: map[string]string{"kind": "p8", "p8": string(key.PEM), "key_id": key.KeyID, "team_id": key.TeamID},
	})
	return err
}

func (s *scene) addPhone(ctx context.Context, st *models.Store, app models.AppScope, account string) error {
	var token [32]byte
	_, _ = rand.Read(token[:]) // never fails
	reg, err := st.Register(ctx, app, models.Registration{
		Platform: models.PlatformIOS,
		Routes:   []models.RouteInput{{Channel: string(push.APNs), Environment: "production", PackageName: sceneBundle, Token: hex.EncodeToString(token[:])}},
	})
	if err != nil {
		return err
	}
	device, err := st.AuthDevice(ctx, app, reg.Device.Token, reg.Secret)
	if err != nil {
		return err
	}
	s.accounts = append(s.accounts, account)
	return st.Bind(ctx, device, []models.Binding{{Account: account}})
}

// onDisk opens the database as it lies there, without the program. Of SQLite it
// opens a copy: the first to open a database after a kill recovers it, and that
// must be the program.
func (s *scene) onDisk(t *testing.T, fn func(db *sql.DB) error) {
	t.Helper()
	driver, dsn := "pgx", s.database
	if s.env["DATABASE_URL"] == "" {
		dir, err := os.MkdirTemp(s.env["DATA_DIR"], "copy-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // test
		driver, dsn = "sqlite", filepath.Join(dir, "hongyan.db")
		for _, suffix := range []string{"", "-wal"} {
			if err := copyIfThere(s.database+suffix, dsn+suffix); err != nil {
				t.Fatal(err)
			}
		}
	}
	db, err := sql.Open(driver, dsn)
	if err == nil {
		defer db.Close() //nolint:errcheck // test
		err = fn(db)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// live opens the database beside the program.
func (s *scene) live(t *testing.T, fn func(db *sql.DB) error) {
	t.Helper()
	driver, dsn := "pgx", s.database
	if s.env["DATABASE_URL"] == "" {
		driver, dsn = "sqlite", "file:"+s.database+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err == nil {
		defer db.Close() //nolint:errcheck // test
		err = fn(db)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyIfThere(from, to string) error {
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // test
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// arrival is one push that the simulator accepted.
type arrival struct {
	at      time.Time
	epoch   int // see phones.next
	message string
	apnsID  string
}

// phones is the simulator, run alone, and everything that reached it.
type phones struct {
	t               *testing.T
	address, caFile string
	key             sandbox.KeyFile
	orders          io.Writer
	done            chan string

	mu       sync.Mutex
	arrivals map[string][]arrival // by the id that the IM server gave
	refused  map[string]int       // by reason
	odd      []string
	total    int
	epoch    int
}

// newPhones starts `hongyan sandbox`.
func newPhones(t *testing.T) *phones {
	t.Helper()
	dir := t.TempDir()
	p := &phones{t: t, caFile: filepath.Join(dir, "ca.pem"), done: make(chan string, 1), arrivals: map[string][]arrival{}, refused: map[string]int{}}
	in, orders := io.Pipe()
	out, lines := io.Pipe()
	p.orders = orders
	said := newLastWords()
	begun := make(chan struct{})
	go scanLines(out, func(line []byte) { p.line(string(line), begun) })
	sim := spawn(t, "sandbox", nil, in, lines, said, "sandbox", "-listen", "127.0.0.1:0", "-ca", p.caFile, "-record", "-")
	t.Cleanup(func() { _, _ = orders.Close(), lines.Close() })
	select {
	case <-begun:
	case <-sim.ended:
		t.Fatalf("the simulator ended at start:\n%s", said)
	case <-time.After(time.Minute):
		t.Fatalf("the simulator does not start:\n%s", said)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "AuthKey_"+p.key.KeyID+".p8"))
	if err != nil {
		t.Fatal(err)
	}
	p.key.PEM = pem
	return p
}

// line takes one line of the simulator's output.
func (p *phones) line(line string, begun chan struct{}) {
	var ca string
	switch {
	case strings.HasPrefix(line, "{"):
		p.take([]byte(line))
	case strings.HasPrefix(line, "done: "):
		p.done <- strings.TrimPrefix(line, "done: ")
	case strings.HasPrefix(line, "signing key "):
		words := strings.Fields(strings.ReplaceAll(line, ",", ""))
		p.key.KeyID, p.key.TeamID = words[5], words[8]
	case strings.HasPrefix(line, "SANDBOX_APNS_ADDR="):
		if _, err := fmt.Sscanf(line, "SANDBOX_APNS_ADDR=%s SANDBOX_CA_FILE=%s", &p.address, &ca); err != nil {
			p.t.Errorf("the simulator says %q: %v", line, err)
		}
		close(begun)
	}
}

// take notes one push. The text of a message is its id.
func (p *phones) take(line []byte) {
	var r sandbox.Received
	var body struct {
		APS     struct{ Alert struct{ Body string } } `json:"aps"`
		Message string                                `json:"hy_mid"`
	}
	err := json.Unmarshal(line, &r)
	if err == nil {
		err = json.Unmarshal(r.Payload, &body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total++
	switch {
	case err != nil || body.APS.Alert.Body == "" || body.Message == "":
		p.odd = append(p.odd, fmt.Sprintf("%.300s: %v", line, err))
	case r.Status != 200:
		p.refused[r.Reason]++
	default:
		id := body.APS.Alert.Body
		p.arrivals[id] = append(p.arrivals[id], arrival{at: r.At, epoch: p.epoch, message: body.Message, apnsID: r.ID})
	}
}

// order gives the simulator an order and returns when it is obeyed. Everything the
// simulator had recorded before is noted by then.
func (p *phones) order(words string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.orders, words); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the simulator does not obey %q", words)
	}
}

// next begins a new epoch: what arrives from now on was sent by a later process
// than what arrived before.
func (p *phones) next(latency time.Duration) {
	p.t.Helper()
	p.order("latency " + latency.String())
	p.mu.Lock()
	p.epoch++
	p.mu.Unlock()
}

// of returns the arrivals of one message.
func (p *phones) of(id string) []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrival(nil), p.arrivals[id]...)
}

// messages returns the messages that have arrived.
func (p *phones) messages() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]bool{}
	for _, arrivals := range p.arrivals {
		for _, a := range arrivals {
			out[a.message] = true
		}
	}
	return out
}

// missing returns those of the ids that have not arrived.
func (p *phones) missing(ids []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, id := range ids {
		if len(p.arrivals[id]) == 0 {
			out = append(out, id)
		}
	}
	return out
}

// refusals returns how many pushes were refused for a reason.
func (p *phones) refusals(reason string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[reason]
}
