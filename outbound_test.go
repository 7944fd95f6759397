package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/webpush"
)

// inside is a service on an address that is not public, as it would stand in the
// installation's own network. It notes who came.
type inside struct {
	server *httptest.Server
	caFile string

	mu    sync.Mutex
	dials int
	paths map[string]int
}

func newInside(t *testing.T) *inside {
	t.Helper()
	in := &inside{paths: map[string]int{}, caFile: filepath.Join(t.TempDir(), "ca.pem")}
	in.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		in.paths[r.URL.Path]++
		in.mu.Unlock()
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, in.server.URL+"/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Location", in.server.URL+"/m/1")
		w.WriteHeader(http.StatusCreated)
	}))
	in.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			in.mu.Lock()
			in.dials++
			in.mu.Unlock()
		}
	}
	in.server.StartTLS()
	t.Cleanup(in.server.Close)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: in.server.Certificate().Raw})
	if err := os.WriteFile(in.caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *inside) seen(path string) (dials, requests int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.dials, in.paths[path]
}

// subscription is what somebody registers who wants us to call that address.
func (in *inside) subscription(t *testing.T, path string) string {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := base64.RawURLEncoding
	text, err := json.Marshal(map[string]any{"endpoint": in.server.URL + path, "keys": map[string]string{
		"p256dh": e.EncodeToString(key.PublicKey().Bytes()), "auth": e.EncodeToString(make([]byte, 16)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A subscription that names an address inside is not called, and its record says so;
// where the installation allows that network it is. No redirect is followed.
func TestSubscriptionThatPointsInside(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		in := newInside(t)
		s := newWebScene(t, engine, map[string]string{"ok": in.subscription(t, "/ok"), "moved": in.subscription(t, "/moved")})
		s.env["SSL_CERT_FILE"] = in.caFile

		srv := s.newServer(t, "guarded", nil)
		srv.start()
		if d := s.outcome(t, srv, "ok"); d.State != models.StateFailed || d.Code != push.CodeRefusedAddress {
			t.Errorf("an address inside: %s %s (%s), want %s", d.State, d.Reason, d.Code, push.CodeRefusedAddress)
		}
		if dials, _ := in.seen("/ok"); dials != 0 {
			t.Errorf("%d connections to an address inside", dials)
		}
		srv.now.stop()

		srv = s.newServer(t, "allowed", map[string]string{"OUTBOUND_ALLOW": "192.0.2.0/24, 127.0.0.1"})
		srv.start()
		if d := s.outcome(t, srv, "ok"); d.State != models.StateAccepted {
			t.Errorf("an address that is allowed: %s %s (%s)", d.State, d.Reason, d.Code)
		}
		if _, requests := in.seen("/ok"); requests != 1 {
			t.Errorf("%d requests to an address that is allowed", requests)
		}
		if d := s.outcome(t, srv, "moved"); d.State != models.StateFailed || d.Code != "307" {
			t.Errorf("a redirect: %s %s (%s), want failed with 307", d.State, d.Reason, d.Code)
		}
		_, moved := in.seen("/moved")
		if _, followed := in.seen("/elsewhere"); moved != 1 || followed != 0 {
			t.Errorf("%d requests, and %d followed the redirect", moved, followed)
		}
		srv.now.stop()
	})
}

// newWebScene is an installation with one authorized app that has a Web Push key, and a
// browser for each account.
func newWebScene(t *testing.T, engine string, browsers map[string]string) *scene {
	t.Helper()
	dir := t.TempDir()
	s := &scene{database: filepath.Join(dir, "hongyan.db"), env: map[string]string{"DATA_DIR": dir, "SECRET_KEY": testKey(), "SHUTDOWN_TIMEOUT": "20s"}}
	if engine == "postgres" {
		s.database = pgtest.New(t)
		s.env["DATABASE_URL"] = s.database
	}
	public, private, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	s.open(t, func(ctx context.Context, st *models.Store) error {
		u, err := st.CreateMainAccount(ctx, models.MainAccount{Name: "ACME", UserName: "root", Password: "correct horse battery"})
		if err != nil {
			return err
		}
		s.who = u.Actor("")
		product, apps, err := st.CreateProduct(ctx, s.who, models.ProductInput{
			Name: "IM", Category: models.ProductCategories()[0], Region: defaultRegions()[0].ID, Platforms: []string{models.PlatformAndroid},
		})
		if err != nil {
			return err
		}
		s.appID = apps[0].ID
		if _, err = st.SaveCredentials(ctx, s.who, models.AppOwner(s.appID), models.CredentialInput{
			Channel: string(push.WebPush), Environment: models.EnvironmentProduction, Kind: "vapid",
			Fields: map[string]string{"public_key": public, "private_key": private, "subject": "mailto:ops@example.com"},
		}); err != nil {
			return err
		}
		im, secret, err := st.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "chat", Bridge: "generic"}, []string{"generic"})
		if err != nil {
			return err
		}
		s.ingest = "/im/" + secret.Reveal() + "/messages"
		if _, err = st.Authorize(ctx, s.who, im.ID, product.ID, s.appID); err != nil {
			return err
		}
		app, _, err := st.ScopeForApp(ctx, s.who, s.appID)
		if err != nil {
			return err
		}
		for account, token := range browsers {
			if err := addBrowser(ctx, st, app, account, token); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

func addBrowser(ctx context.Context, st *models.Store, app models.AppScope, account, token string) error {
	r, err := st.Register(ctx, app, models.Registration{
		Platform: models.PlatformAndroid, Routes: []models.RouteInput{{Channel: string(push.WebPush), Environment: "production", Token: token}},
	})
	if err != nil {
		return err
	}
	dev, err := st.AuthDevice(ctx, app, r.Device.Token, r.Secret)
	if err != nil {
		return err
	}
	return st.Bind(ctx, dev, []models.Binding{{Account: account}})
}

// outcome sends a message to an account through a running server and returns its
// delivery once it is settled.
func (s *scene) outcome(t *testing.T, srv *server, account string) models.Delivery {
	t.Helper()
	res, err := http.Post("http://"+srv.address+s.ingest, "application/json", strings.NewReader(`{"to":"`+account+`","body":"hello"}`)) //nolint:noctx // a local server, bounded below
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // test
	var took struct{ IDs []string }
	if err := json.NewDecoder(res.Body).Decode(&took); err != nil || len(took.IDs) != 1 {
		t.Fatalf("%s, %+v, %v", res.Status, took, err)
	}
	var d models.Delivery
	s.open(t, func(ctx context.Context, st *models.Store) error {
		app, _, err := st.ScopeForApp(ctx, s.who, s.appID)
		if err != nil {
			return err
		}
		settled := waitFor(30*time.Second, func() bool {
			m, err := st.MessageByID(ctx, app, took.IDs[0])
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Deliveries) != 1 {
				return false
			}
			d = m.Deliveries[0]
			return d.State != models.StatePending
		})
		if !settled {
			t.Errorf("no end after 30 s: %s %s (%s)", d.State, d.Reason, d.Code)
		}
		return nil
	})
	return d
}
