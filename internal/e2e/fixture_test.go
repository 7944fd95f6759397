package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
	"hongyan/sandbox"
)

// bundle is the app's bundle id.
const bundle = "com.example.im"

// installation is a database with one authorized app in sandbox mode, phones with
// accounts, and a simulator that outlives the processes under test.
type installation struct {
	env      map[string]string
	apns     *sandbox.APNs
	received *received
	ingest   string // path of the generic bridge
	accounts []string

	database string
	keys     *models.Keyring
	regions  []models.Region
	who      models.Actor
	appID    int64
}

// newInstallation fills a fresh database on one engine, with so many phones.
func newInstallation(t *testing.T, engine string, phones int) *installation {
	t.Helper()
	in := &installation{received: newReceived(), regions: []models.Region{
		{ID: "here", Zh: "这里", En: "Here", Prefix: 0},
	}}
	dir := t.TempDir()
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	secret := base64.StdEncoding.EncodeToString(raw)
	in.env = map[string]string{
		"DATA_DIR": dir, "SECRET_KEY": secret, "SANDBOX_CA_FILE": filepath.Join(dir, "ca.pem"),
		"REGIONS": `[{"id":"here","zh":"这里","en":"Here","prefix":0}]`,
	}
	in.database = filepath.Join(dir, "hongyan.db")
	if engine == "postgres" {
		in.database = pgtest.New(t)
		in.env["DATABASE_URL"] = in.database
	}
	var err error
	if in.keys, err = models.NewKeyring(secret); err != nil {
		t.Fatal(err)
	}
	key := in.startSimulator(t)
	in.withStore(t, func(ctx context.Context, s *models.Store) { in.fill(ctx, t, s, key, phones) })
	return in
}

// startSimulator runs the simulator in the test's own process.
func (in *installation) startSimulator(t *testing.T) sandbox.KeyFile {
	t.Helper()
	file, key, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := &sandbox.MemoryKeys{}
	keys.Add(key)
	if in.apns, err = sandbox.StartAPNs(sandbox.APNsConfig{Keys: keys, Recorder: in.received}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.apns.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(in.env["SANDBOX_CA_FILE"], in.apns.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	in.env["SANDBOX_APNS_ADDR"] = strings.TrimPrefix(in.apns.URL(), "https://")
	return file
}

// withStore opens the database for fn; no process of the program may be running on
// SQLite meanwhile.
func (in *installation) withStore(t *testing.T, fn func(ctx context.Context, s *models.Store)) {
	t.Helper()
	ctx := t.Context()
	s, err := models.Open(ctx, models.Options{Database: in.database, Regions: in.regions, Keys: in.keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(ctx, false); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckKey(ctx); err != nil {
		t.Fatal(err)
	}
	fn(ctx, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill makes what a newcomer would make in the console.
func (in *installation) fill(ctx context.Context, t *testing.T, s *models.Store, key sandbox.KeyFile, phones int) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u, err := s.CreateMainAccount(ctx, models.MainAccount{Name: "ACME", UserName: "root", Password: "correct horse battery"})
	ok(err)
	in.who = u.Actor("")
	product, apps, err := s.CreateProduct(ctx, in.who, models.ProductInput{
		Name: "IM", Category: models.ProductCategories()[0], Region: "here", Platforms: []string{models.PlatformIOS},
	})
	ok(err)
	in.appID = apps[0].ID
	_, err = s.SetPackage(ctx, in.who, in.appID, bundle)
	ok(err)
	_, err = s.SetSandbox(ctx, in.who, in.appID, true)
	ok(err)
	_, err = s.SaveCredentials(ctx, in.who, models.AppOwner(in.appID), models.CredentialInput{
		Channel: "apns", Environment: models.EnvironmentSandbox, Kind: "p8",
		Fields: map[string]string{"kind": "p8", "p8": string(key.PEM), "key_id": key.KeyID, "team_id": key.TeamID},
	})
	ok(err)
	im, secret, err := s.CreateIMApp(ctx, in.who, models.IMAppInput{Name: "chat", Bridge: "generic"}, []string{"generic"})
	ok(err)
	in.ingest = "/im/" + secret.Reveal() + "/messages"
	_, err = s.Authorize(ctx, in.who, im.ID, product.ID, in.appID)
	ok(err)
	scope, _, err := s.ScopeForApp(ctx, in.who, in.appID)
	ok(err)
	for i := range phones {
		token := make([]byte, 32)
		_, _ = rand.Read(token) // never fails
		reg, err := s.Register(ctx, scope, models.Registration{
			Platform: models.PlatformIOS,
			Routes:   []models.RouteInput{{Channel: "apns", Environment: "production", PackageName: bundle, Token: hex.EncodeToString(token)}},
		})
		ok(err)
		device, err := s.AuthDevice(ctx, scope, reg.Device.Token, reg.Secret)
		ok(err)
		account := fmt.Sprintf("user-%d", i)
		ok(s.Bind(ctx, device, []models.Binding{{Account: account}}))
		in.accounts = append(in.accounts, account)
	}
}

// received is what reached the phones, by message id.
type received struct {
	mu     sync.Mutex
	pushes map[string][]time.Time
	odd    []string // pushes without a message id
	last   time.Time
}

func newReceived() *received { return &received{pushes: map[string][]time.Time{}} }

// Record implements sandbox.Recorder.
func (r *received) Record(_ context.Context, p sandbox.Received) {
	var payload map[string]any
	err := json.Unmarshal(p.Payload, &payload)
	id, _ := payload[models.DataMessageID].(string)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || id == "" || p.Status != 200 {
		r.odd = append(r.odd, fmt.Sprintf("status %d %s: %s", p.Status, p.Reason, p.Payload))
		return
	}
	r.pushes[id] = append(r.pushes[id], p.At)
	r.last = p.At
}

// missing returns how many of the ids have not arrived, and some of them.
func (r *received) missing(ids []string) (n int, some []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if len(r.pushes[id]) == 0 {
			if n++; len(some) < 5 {
				some = append(some, id)
			}
		}
	}
	return n, some
}

// repeated returns the arrivals of every message that came more than once.
func (r *received) repeated() map[string][]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string][]time.Time{}
	for id, at := range r.pushes {
		if len(at) > 1 {
			out[id] = at
		}
	}
	return out
}
