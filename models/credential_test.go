package models

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCredentials(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.ios.ID)
		_, err := s.SetPackage(ctx, w.main, w.ios.ID, "cn.lanxun.whale")
		must(t, err)
		for name, test := range map[string]struct {
			change func(*CredentialInput)
			key    string
		}{
			"no fields":        {func(c *CredentialInput) { c.Fields = nil }, "errors.credential.incomplete"},
			"environment":      {func(c *CredentialInput) { c.Environment = "staging" }, "errors.credential.environment"},
			"another platform": {func(c *CredentialInput) { c.Channel = "hw" }, "errors.credential.platform"},
			"another bundle":   {func(c *CredentialInput) { c.Info.BundleID = "cn.other" }, "errors.credential.bundle"},
		} {
			in := p8(EnvironmentProduction)
			test.change(&in)
			_, err := s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentDevelopment), in)
			if KindOf(err) != Invalid || asError(t, err).Key != test.key {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := count(t, s.DB, "credentials"); n != 0 {
			t.Errorf("a refused pair left %d credentials", n)
		}

		saved, err := s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentProduction), p8(EnvironmentDevelopment))
		must(t, err)
		if saved[0].ID == saved[1].ID || saved[0].Revision != 1 || saved[0].State != CredentialUntested || saved[0].SavedBy != "main" {
			t.Errorf("saved: %+v", saved)
		}
		c, fields, err := s.CredentialFields(ctx, w.main, owner, saved[0].ID)
		must(t, err)
		if fields["key_id"].Reveal() != "8Q4ZT2XKJ7" || fmt.Sprint(fields["p8"]) != hidden || c.Facts().TeamID != "L9WM3C5R2E" {
			t.Errorf("fields: %v, %+v", fields, c.Facts())
		}
		if d := dump(t, s, "credentials") + dump(t, s, "audit_logs"); strings.Contains(d, "PRIVATE KEY") {
			t.Error("a private key lies in the clear")
		}
		// A sealed value moved to another row does not open.
		exec(t, s.DB, "UPDATE credentials SET fields = (SELECT fields FROM credentials WHERE id = ?) WHERE id = ?", saved[1].ID, saved[0].ID)
		if _, _, err := s.CredentialFields(ctx, w.main, owner, saved[0].ID); err == nil {
			t.Error("a credential opened in another's place")
		}

		tested := p8(EnvironmentProduction)
		tested.Tested, tested.Info.Subject = true, "Apple Push Services"
		clock.Advance(time.Hour)
		again, err := s.SaveCredentials(ctx, w.main, owner, tested)
		must(t, err)
		if again[0].ID != saved[0].ID || again[0].Revision != 2 || again[0].State != CredentialWorking || again[0].LastOKAt == nil {
			t.Errorf("saved again: %+v", again[0])
		}
		list, err := s.Credentials(ctx, w.main, owner)
		must(t, err)
		if len(list) != 2 || list[1].Facts().Subject != "Apple Push Services" {
			t.Errorf("list: %+v", list)
		}
		_, err = s.CredentialByID(ctx, w.main, AppOwner(w.android.ID), saved[0].ID)
		refused(t, err, NotFound, "")
		_, err = s.CredentialByID(ctx, w.main, IMOwner(w.im.ID), saved[0].ID)
		refused(t, err, NotFound, "")
		read := w.sub(t, "read", Rights{Role: RoleRead, AllProducts: true})
		_, _, err = s.CredentialFields(ctx, read, owner, saved[0].ID)
		refused(t, err, Forbidden, "errors.forbidden.configure")
		must(t, s.DeleteCredential(ctx, w.main, owner, saved[0].ID))
		refused(t, s.DeleteCredential(ctx, w.main, owner, saved[0].ID), NotFound, "")

		bundle := p8(EnvironmentProduction)
		bundle.Info.BundleID = "cn.lanxun.whale"
		_, err = s.SaveCredentials(ctx, w.main, owner, bundle)
		must(t, err)
		_, err = s.SetPackage(ctx, w.main, w.ios.ID, "cn.lanxun.other")
		refused(t, err, Invalid, "errors.app.bundle_certificate")
	})
}

// waitingBatch puts a batch into the data plane that waits for a credential.
func waitingBatch(t testing.TB, d *DB, credentialID int64) {
	t.Helper()
	exec(t, d, `INSERT INTO batches (credential_id, app_id, count, payload, expires_at, created_at) VALUES (?, 1, 1, ?, ?, ?)`,
		credentialID, []byte{1}, d.Now().Add(time.Hour), d.Now())
}

func TestPauseAndRepair(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.ios.ID)
		saved, err := s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentProduction))
		must(t, err)
		id, revision := saved[0].ID, saved[0].Revision
		state := func(want string) {
			t.Helper()
			if c, err := s.CredentialByID(ctx, w.main, owner, id); err != nil || c.State != want {
				t.Errorf("state %s, want %s (%v)", c.State, want, err)
			}
		}
		waits := func() int { return count(t, s.DB, "batches WHERE due_at IS NULL") }

		must(t, s.CredentialWorked(ctx, id, revision, Quota{}))
		state(CredentialWorking)
		first, err := s.CredentialByID(ctx, w.main, owner, id)
		must(t, err)
		clock.Advance(okEvery - time.Second)
		must(t, s.CredentialWorked(ctx, id, revision, Quota{}))
		if c, err := s.CredentialByID(ctx, w.main, owner, id); err != nil || !c.LastOKAt.Equal(*first.LastOKAt) {
			t.Errorf("noted twice within a minute: %v, %v", c.LastOKAt, err)
		}

		_, err = s.SendConfig(ctx, w.ios.ID) // remembered, then dropped by the pause
		must(t, err)
		for i, want := range []bool{true, false} { // the second refusal finds it paused
			if did, err := s.PauseCredential(ctx, id, revision, "InvalidProviderToken", "bad key"); err != nil || did != want {
				t.Errorf("pause %d: %v, %v", i, did, err)
			}
		}
		cfg, err := s.SendConfig(ctx, w.ios.ID)
		must(t, err)
		if !cfg.Credentials[0].Paused {
			t.Error("the worker still takes the credential for good")
		}
		must(t, s.CredentialWorked(ctx, id, revision, Quota{})) // an answer to something older
		state(CredentialPaused)
		waitingBatch(t, s.DB, id)

		fixed, err := s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentProduction))
		must(t, err)
		state(CredentialUntested)
		if n := waits(); n != 0 {
			t.Errorf("%d batches wait after the repair", n)
		}
		if did, err := s.PauseCredential(ctx, id, revision, "InvalidProviderToken", ""); err != nil || did {
			t.Errorf("an old refusal paused the repaired key: %v, %v", did, err)
		}

		_, err = s.CredentialTested(ctx, w.main, owner, id, revision, "", "")
		refused(t, err, Conflict, "")
		c, err := s.CredentialTested(ctx, w.main, owner, id, fixed[0].Revision, "Forbidden", "no")
		must(t, err)
		if c.State != CredentialPaused || c.CauseCode != "Forbidden" {
			t.Errorf("after a refused test: %+v", c)
		}
		waitingBatch(t, s.DB, id)
		_, err = s.CredentialTested(ctx, w.main, owner, id, fixed[0].Revision, "", "")
		must(t, err)
		state(CredentialWorking)
		if n := waits(); n != 0 {
			t.Errorf("%d batches wait after a good test", n)
		}
		refused(t, s.ResumeCredential(ctx, w.main, owner, id), Conflict, "")
		_, err = s.PauseCredential(ctx, id, fixed[0].Revision, "x", "")
		must(t, err)
		must(t, s.ResumeCredential(ctx, w.main, owner, id))
		state(CredentialUntested)

		page, err := s.Audit(ctx, w.main, AuditFilter{Kind: AuditCredential, Action: ActionPause})
		must(t, err)
		if len(page.Rows) != 2 || page.Rows[0].UserID != 0 || page.Rows[0].ProductID != w.product.ID {
			t.Errorf("audit of pauses: %+v", page.Rows)
		}
	})
}

// The work of an app lies in its region's database, wherever the control plane is.
func TestResumeInRegion(t *testing.T) {
	for _, engine := range []Dialect{SQLite, Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			ctx := t.Context()
			regions := []Region{{ID: "ap-guangzhou"}, {ID: "ap-shanghai", Prefix: 8, Database: testDSN(t, engine)}}
			s := openTestStore(t, Options{Database: testDSN(t, engine), Regions: regions})
			w := newWorld(t, s, "main")
			_, apps, err := s.CreateProduct(ctx, w.main, ProductInput{Name: "x", Category: "game", Region: "ap-shanghai", Platforms: []string{PlatformIOS}})
			must(t, err)
			owner := AppOwner(apps[0].ID)
			saved, err := s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentProduction))
			must(t, err)
			there := s.Databases()[1]
			waitingBatch(t, there, saved[0].ID)
			waitingBatch(t, s.DB, saved[0].ID) // another region's: not this app's
			_, err = s.SaveCredentials(ctx, w.main, owner, p8(EnvironmentProduction))
			must(t, err)
			if here, away := count(t, s.DB, "batches WHERE due_at IS NULL"), count(t, there, "batches WHERE due_at IS NULL"); here != 1 || away != 0 {
				t.Errorf("waiting: %d here, %d in the region", here, away)
			}
			_, v, err := s.ScopeForApp(ctx, w.main, apps[0].ID)
			must(t, err)
			scope, err := s.scope(&v.App)
			must(t, err)
			if scope.db != there {
				t.Error("the scope opens another database")
			}
		})
	}
}

// Work that began to wait after its credential was repaired is found by the sweep.
func TestResumeRepaired(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentProduction), p8(EnvironmentDevelopment))
		must(t, err)
		_, err = s.PauseCredential(ctx, saved[1].ID, 1, "x", "")
		must(t, err)
		for _, id := range []int64{saved[0].ID, saved[1].ID, 9999} {
			waitingBatch(t, s.DB, id)
		}
		n, err := s.ResumeRepaired(ctx)
		must(t, err)
		if n != 2 || count(t, s.DB, "batches WHERE due_at IS NULL AND credential_id = ?", saved[1].ID) != 1 || count(t, s.DB, "batches WHERE due_at IS NULL") != 1 {
			t.Errorf("woke %d", n)
		}
	})
}

func TestSync(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		im := IMOwner(w.im.ID)
		cert := p8(EnvironmentProduction)
		cert.Kind, cert.Info.BundleID = "p12", "cn.lanxun.whale"
		android := CredentialInput{Channel: "hw", Environment: EnvironmentProduction, Kind: "key", Fields: map[string]string{"app_id": "1"}}
		_, err := s.SaveCredentials(ctx, w.main, im, cert, p8(EnvironmentDevelopment), android)
		must(t, err)
		sandbox := p8(EnvironmentSandbox)
		_, err = s.SaveCredentials(ctx, w.main, im, sandbox)
		refused(t, err, Invalid, "errors.credential.environment")

		// The app's own development key stays; the empty slot is filled; Android's is
		// not for this app; the certificate says what the bundle is.
		own := p8(EnvironmentDevelopment)
		own.Fields = map[string]string{"p8": "own"}
		_, err = s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), own)
		must(t, err)
		z, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		_, app, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		if app.SyncedAt == nil || app.PackageName != "cn.lanxun.whale" || len(app.Credentials) != 2 {
			t.Fatalf("after authorizing: %+v", app)
		}
		pending := func(want int) []SyncItem {
			t.Helper()
			items, err := s.PendingSync(ctx, w.main, w.ios.ID)
			must(t, err)
			if len(items) != want {
				t.Errorf("%d pending, want %d: %+v", len(items), want, items)
			}
			return items
		}
		pending(0)
		_, err = s.ApplySync(ctx, w.main, w.ios.ID)
		refused(t, err, Conflict, "errors.sync.nothing")

		clock.Advance(time.Hour)
		cert.Fields = map[string]string{"p12": "renewed"}
		_, err = s.SaveCredentials(ctx, w.main, im, cert, p8(EnvironmentDevelopment))
		must(t, err)
		items := pending(1)
		copied := items[0].CredentialID
		_, fields, err := s.CredentialFields(ctx, w.main, AppOwner(w.ios.ID), copied)
		must(t, err)
		if fields["p12"] != "" {
			t.Error("the change came over by itself")
		}
		waitingBatch(t, s.DB, copied)
		n, err := s.ApplySync(ctx, w.main, w.ios.ID)
		must(t, err)
		c, fields, err := s.CredentialFields(ctx, w.main, AppOwner(w.ios.ID), copied)
		must(t, err)
		if n != 1 || fields["p12"].Reveal() != "renewed" || c.Revision != 2 || c.Source != SourceIM || count(t, s.DB, "batches WHERE due_at IS NULL") != 0 {
			t.Errorf("applied %d: %+v", n, c)
		}
		pending(0)

		// What the operator replaced is his own from then on.
		_, err = s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), cert)
		must(t, err)
		_, err = s.SaveCredentials(ctx, w.main, im, cert)
		must(t, err)
		pending(0)
		must(t, s.DeleteCredential(ctx, w.main, AppOwner(w.ios.ID), copied))
		if items := pending(1); items[0].CredentialID != 0 {
			t.Errorf("an empty slot: %+v", items)
		}
		must(t, s.Release(ctx, w.main, z.ID))
		pending(0)
	})
}

func TestSendConfig(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		_, err := s.SendConfig(ctx, 1)
		refused(t, err, NotFound, "")
		_, err = s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentProduction))
		must(t, err)
		other := anotherProcess(s)
		cfg, err := other.SendConfig(ctx, w.ios.ID)
		must(t, err)
		want := &SendConfig{
			AppID: w.ios.ID, AccountID: w.main.AccountID, Region: "ap-guangzhou", Platform: PlatformIOS, Name: "蓝鲸",
			Fanout: FanoutAll, TextMode: TextFull, Language: LanguageChinese, Credentials: cfg.Credentials,
		}
		if d := cmp.Diff(want, cfg); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if c := cfg.Credentials[0]; c.Kind != "p8" || c.Revision != 1 || c.Fields["team_id"].Reveal() != "L9WM3C5R2E" || c.Paused {
			t.Errorf("credential: %+v", c)
		}
		_, err = s.SetPackage(ctx, w.main, w.ios.ID, "cn.lanxun.whale")
		must(t, err)
		if again, err := other.SendConfig(ctx, w.ios.ID); err != nil || again != cfg {
			t.Errorf("read again within a second: %v", err)
		}
		clock.Advance(cacheLife)
		if again, err := other.SendConfig(ctx, w.ios.ID); err != nil || again.Package != "cn.lanxun.whale" {
			t.Errorf("stale after a second: %v", err)
		}
		_, err = s.UpdateAccount(ctx, w.main, AccountSettings{Name: "x", TimeZone: "UTC", Language: "en", ContentDays: 7})
		must(t, err)
		if own, err := s.SendConfig(ctx, w.ios.ID); err != nil || own.Language != "en" {
			t.Errorf("account settings: %+v, %v", own, err)
		}
		must(t, s.DeleteApp(ctx, w.main, w.ios.ID, w.ios.Name))
		_, err = s.SendConfig(ctx, w.ios.ID)
		refused(t, err, NotFound, "")
		if n := count(t, s.DB, "credentials"); n != 0 {
			t.Errorf("%d credentials outlive their app", n)
		}
	})
}
