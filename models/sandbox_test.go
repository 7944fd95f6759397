package models

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestSandboxInbox(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		other := addApp(t, s, 1600000011, "ap-shanghai", "ios")
		a := register(t, s, f.app, phone(apnsRoute("AA")))
		b := register(t, s, other, phone(apnsRoute("bb")))
		route, err := s.FindSandboxRoute(ctx, "apns", "Aa")
		if err != nil || route.AppID != f.app.appID || route.DeviceID != a.Device.ID || route.Retired {
			t.Fatalf("found %+v %v", route, err)
		}
		if _, err := s.FindSandboxRoute(ctx, "apns", "cc"); KindOf(err) != NotFound {
			t.Errorf("unknown token: %v", err)
		}
		route2, err := s.FindSandboxRoute(ctx, "apns", "bb")
		if err != nil || route2.DeviceID != b.Device.ID {
			t.Fatalf("found %+v %v", route2, err)
		}
		add := func(r *SandboxRoute, n int) {
			t.Helper()
			err := s.AddSandboxPush(ctx, r, SandboxPush{Channel: "apns", VendorID: fmt.Sprint(n), Status: 200, Headers: "{}", Payload: []byte(`{"aps":{}}`), At: s.Now()})
			if err != nil {
				t.Error(err)
			}
		}
		add(route2, 1)
		var wg sync.WaitGroup
		for i := range sandboxKept + 50 {
			wg.Go(func() { add(route, i) })
		}
		wg.Wait()
		if n := count(t, s.DB, "sandbox_pushes WHERE app_id = ?", f.app.appID); n != sandboxKept {
			t.Errorf("%d kept, want %d", n, sandboxKept)
		}
		list := func(app AppScope, device, before int64) []SandboxPush {
			t.Helper()
			ps, err := s.SandboxPushes(ctx, app, device, before, 10)
			if err != nil {
				t.Fatal(err)
			}
			return ps
		}
		page := list(f.app, 0, 0)
		if len(page) != 10 || page[0].ID < page[9].ID || string(page[0].Payload) != `{"aps":{}}` || page[0].DeviceID != a.Device.ID {
			t.Errorf("inbox %+v", page)
		}
		if next := list(f.app, a.Device.ID, page[9].ID); len(next) != 10 || next[0].ID >= page[9].ID {
			t.Errorf("next page %+v", next)
		}
		if ps := list(other, 0, 0); len(ps) != 1 {
			t.Errorf("%d in the other app's inbox", len(ps))
		}
		if n := count(t, s.DB, "sandbox_pushes WHERE payload LIKE ?", []byte("%aps%")); n != 0 {
			t.Error("payloads are stored in the clear")
		}
	})
}

// TestTwoRegionsTwoDatabases proves that each region's data-plane rows live in
// its own database and nowhere else, one of each engine.
func TestTwoRegionsTwoDatabases(t *testing.T) {
	main, second := testDSN(t, SQLite), testDSN(t, Postgres)
	regions := []Region{{ID: "ap-guangzhou", Prefix: 0}, {ID: "ap-singapore", Prefix: 9, Database: second}}
	s := openTestStore(t, Options{Database: main, Regions: regions})
	f, ctx := seed(t, s, nil), context.Background()
	far := addApp(t, s, 1600000011, "ap-singapore", "android")
	s.forgetIngest()
	f.in = ingest(t, s)
	if far.db == s.DB || len(s.Databases()) != 2 {
		t.Fatal("the second region has no database of its own")
	}
	first := f.accept(t, message("1", "alice"), message("2", "alice"))
	if first.New != 2 {
		t.Fatalf("accepted %+v", first)
	}
	for _, app := range []AppScope{f.app, far} {
		if n := count(t, app.db, "messages"); n != 2 {
			t.Errorf("app %d: %d messages in its region", app.appID, n)
		}
		if n := count(t, app.db, "messages WHERE app_id = ?", app.appID); n != 2 {
			t.Errorf("app %d: %d messages of its own", app.appID, n)
		}
		register(t, s, app, phone(apnsRoute("aa")))
		if n := count(t, app.db, "devices"); n != 1 {
			t.Errorf("app %d: %d devices in its region", app.appID, n)
		}
	}
	if a, err := s.MessageByID(ctx, f.app, first.IDs[0]); err != nil || a.AppID != f.app.appID {
		t.Errorf("the answer's id is not the first app's: %v", err)
	}
	if _, err := s.MessageByID(ctx, far, first.IDs[0]); KindOf(err) != NotFound {
		t.Errorf("the first region's message in the second: %v", err)
	}

	// Half done: the second region fails, and a repeat finishes it.
	exec(t, far.db, "ALTER TABLE batches RENAME TO batches_away")
	if _, err := s.Accept(ctx, f.in, []Incoming{message("3", "alice")}); KindOf(err) != Unavailable {
		t.Fatalf("accepted although one region failed: %v", err)
	}
	exec(t, far.db, "ALTER TABLE batches_away RENAME TO batches")
	again := f.accept(t, message("3", "alice"))
	if again.New != 1 {
		t.Errorf("the repeat %+v, want it new for the second region", again)
	}
	for _, app := range []AppScope{f.app, far} {
		if n := count(t, app.db, "messages"); n != 3 {
			t.Errorf("app %d: %d messages after the repeat, want 3", app.appID, n)
		}
	}
	if n := count(t, s.DB, "im_app_stats"); n != 0 {
		t.Errorf("%d ingest statistics before the flush", n)
	}
	s.CountIngest(f.imAppID, IngestAccepted, 3)
	s.CountIngest(f.imAppID, IngestAccepted, 2)
	if err := s.FlushIngest(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s.DB, "im_app_stats WHERE n = 5 AND outcome = 'accepted'"); n != 1 {
		t.Error("ingest statistics are not in the control database")
	}
}

func TestIngestBySecret(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		in := ingest(t, s)
		if in.IMAppID() != 1 || in.Bridge() != "wukongim" || in.AllowIPs() != "10.0.0.0/8" || !in.Authorized() {
			t.Errorf("ingest %+v", in)
		}
		if _, err := s.IngestBySecret(ctx, "wrong"); KindOf(err) != NotFound {
			t.Errorf("wrong secret: %v", err)
		}
		exec(t, s.DB, "UPDATE authorizations SET released_at = ?", s.Now())
		if !ingest(t, s).Authorized() {
			t.Error("not remembered for a second")
		}
		c.Advance(ingestLife)
		if ingest(t, s).Authorized() {
			t.Error("still authorized a second after the release")
		}
		exec(t, s.DB, "UPDATE im_apps SET prev_hash = secret_hash, secret_hash = ?, prev_expires_at = ?", []byte{9}, s.Now().Add(24*time.Hour))
		s.forgetIngest()
		ingest(t, s) // the previous secret still opens
		c.Advance(24 * time.Hour)
		if _, err := s.IngestBySecret(ctx, testSecret); KindOf(err) != NotFound {
			t.Errorf("previous secret after its day: %v", err)
		}
		if _, err := f.s.Accept(ctx, in, []Incoming{message("1", "alice")}); err != nil {
			t.Errorf("a right taken before the release: %v", err)
		}
	})
}

// The receipt address of a simulator's token is that of its app's sandbox key.
func TestSandboxReceipts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx, w := t.Context(), newWorld(t, s, "lan")
		scope, _, err := s.ScopeForApp(ctx, w.main, w.android.ID)
		must(t, err)
		_, err = s.Register(ctx, scope, Registration{Platform: PlatformAndroid, Routes: []RouteInput{{Channel: "xm", Environment: EnvironmentSandbox, Token: "one"}}})
		must(t, err)
		key := CredentialInput{Channel: "xm", Environment: EnvironmentProduction, Kind: "xm", Fields: map[string]string{"key": "k"}}
		save := func() int64 {
			t.Helper()
			saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.android.ID), key)
			must(t, err)
			return saved[0].ID
		}
		save()
		_, _, err = s.SandboxReceipts(ctx, "xm", "one")
		refused(t, err, NotFound, "") // the real key's address is not for simulators
		key.Environment = EnvironmentSandbox
		want, err := s.ReceiptSecret(ctx, w.main, AppOwner(w.android.ID), save())
		must(t, err)
		region, got, err := s.SandboxReceipts(ctx, "xm", "one")
		if err != nil || got != want || region != w.android.Region {
			t.Errorf("another address, in %s: %v", region, err)
		}
		_, _, err = s.SandboxReceipts(ctx, "xm", "two")
		refused(t, err, NotFound, "")
	})
}
