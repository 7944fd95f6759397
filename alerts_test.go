package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"hongyan/models"
)

// A running installation tells of what happened: what waits in the outbox, and what its
// own upkeep finds to end soon.
func TestAlertsAreDelivered(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, pairs map[string]string) {
		events := make(chan string, 10)
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var body struct{ Event string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Errorf("not JSON: %v", err)
			}
			events <- body.Event
		}))
		defer receiver.Close()
		pairs["OUTBOUND_ALLOW"] = "127.0.0.0/8"
		refusedCredential(t, pairs, receiver.URL)
		boot(t, pairs)
		for _, want := range []string{models.AlertPaused, models.AlertExpiry} {
			select {
			case got := <-events:
				if got != want {
					t.Errorf("told of %s, want %s", got, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("not told of %s", want)
			}
		}
	})
}

// refusedCredential makes an account that is to be told at an address, with a credential
// that ends in five days and that its vendor refused.
func refusedCredential(t *testing.T, pairs map[string]string, address string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := loadConfig(env(pairs))
	must(err)
	must(os.MkdirAll(cfg.DataDir, 0o700))
	store, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler), true)
	must(err)
	defer func() { must(store.Close()) }()
	must(prepareStore(ctx, store, false))
	u, err := store.CreateMainAccount(ctx, models.MainAccount{Name: "Acme", UserName: "acme", Password: "a long enough password"})
	must(err)
	who := u.Actor("")
	_, err = store.CreateAlertHook(ctx, who, models.AlertHookInput{
		Name: "ours", Kind: models.HookGeneric, URL: models.Secret(address), Events: []string{models.AlertPaused, models.AlertExpiry},
	})
	must(err)
	_, apps, err := store.CreateProduct(ctx, who, models.ProductInput{
		Name: "Whale", Category: "office", Region: store.Regions[0].ID, Platforms: []string{models.PlatformIOS},
	})
	must(err)
	end := time.Now().Add(5 * 24 * time.Hour)
	keys, err := store.SaveCredentials(ctx, who, models.AppOwner(apps[0].ID), models.CredentialInput{
		Channel: "apns", Environment: models.EnvironmentProduction, Kind: "p12", Fields: map[string]string{"p12": "x"}, NotAfter: &end,
	})
	must(err)
	_, err = store.PauseCredential(ctx, keys[0].ID, keys[0].Revision, "BadCertificate", "")
	must(err)
}
