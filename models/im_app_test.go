package models

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestIMApps(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		if has, err := s.HasIMApp(ctx, w.main); err != nil || !has {
			t.Errorf("has an IM app: %v, %v", has, err)
		}
		if len(w.secret) != secretKeyLength || w.im.SDKAppID < firstSDKAppID {
			t.Errorf("secret of %d, SDKAppID %d", len(w.secret), w.im.SDKAppID)
		}
		in := IMAppInput{Name: "二号", Bridge: "generic", SDKAppID: w.im.SDKAppID, AllowIPs: "203.0.113.8, 10.1.2.3/8\n2001:DB8::1，203.0.113.8"}
		_, _, err := s.CreateIMApp(ctx, w.main, in, bridges())
		refused(t, err, Conflict, "errors.im_app.sdk_app_id_taken")
		in.SDKAppID = 42
		second, _, err := s.CreateIMApp(ctx, w.main, in, bridges())
		must(t, err)
		if want := "203.0.113.8\n10.0.0.0/8\n2001:db8::1"; second.AllowIPs != want {
			t.Errorf("allow-list %q, want %q", second.AllowIPs, want)
		}
		for field, change := range map[string]func(*IMAppInput){
			"name":       func(i *IMAppInput) { i.Name = " " },
			"bridge":     func(i *IMAppInput) { i.Bridge = "icq" },
			"sdk_app_id": func(i *IMAppInput) { i.SDKAppID = -1 },
			"allow_ips":  func(i *IMAppInput) { i.AllowIPs = "10.0.0.0/8 localhost" },
		} {
			bad := in
			change(&bad)
			_, _, err := s.CreateIMApp(ctx, w.main, bad, bridges())
			if e := asError(t, err); e.Kind != Invalid || e.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		many := in
		many.AllowIPs = ""
		for i := range MaxAllowIPs + 1 {
			many.AllowIPs += "10.0.0." + strings.Repeat("1", i%3+1) + "/" + []string{"32", "31", "30", "29"}[i%4] + " 10.1." + string(rune('0'+i%10)) + "." + string(rune('0'+i/10%10)) + "\n"
		}
		_, err = s.UpdateIMApp(ctx, w.main, second.ID, many, bridges())
		refused(t, err, Invalid, "errors.im_app.allow_ips_many")
		in.Name, in.AllowIPs = "三号", ""
		m, err := s.UpdateIMApp(ctx, w.main, second.ID, in, bridges())
		must(t, err)
		if m.Name != "三号" || m.AllowIPs != "" || m.SDKAppID != 42 {
			t.Errorf("updated: %+v", m)
		}

		s.CountIngest(w.im.ID, IngestUnauthorized, 3)
		must(t, s.FlushIngest(ctx))
		stats, err := s.IMAppStats(ctx, w.main, w.im.ID, clock.Now().Add(-time.Hour), clock.Now().Add(time.Hour))
		must(t, err)
		if len(stats) != 1 || stats[0].Outcome != IngestUnauthorized || stats[0].N != 3 {
			t.Errorf("statistics: %+v", stats)
		}

		refused(t, s.DeleteIMApp(ctx, w.main, second.ID, "二号"), Invalid, "errors.name_mismatch")
		must(t, s.DeleteIMApp(ctx, w.main, second.ID, "三号"))
		list, err := s.IMApps(ctx, w.main)
		must(t, err)
		if len(list) != 1 {
			t.Errorf("%d IM apps", len(list))
		}
	})
}

func TestIngestSecret(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		works := func(what string, secret Secret, want bool) {
			t.Helper()
			in, err := s.IngestBySecret(ctx, secret.Reveal())
			if (err == nil) != want || want && in.IMAppID() != w.im.ID {
				t.Errorf("%s: works %v, want %v (%v)", what, err == nil, want, err)
			}
		}
		works("first", w.secret, true)
		_, second, err := s.RotateIngestSecret(ctx, w.main, w.im.ID)
		must(t, err)
		works("second", second, true)
		works("first within a day", w.secret, true)
		clock.Advance(OldSecretLife)
		works("first after a day", w.secret, false)
		must(t, s.SweepControl(ctx))
		if n := count(t, s.DB, "im_apps WHERE prev_hash IS NOT NULL"); n != 0 {
			t.Error("the sweep leaves an old secret")
		}
		_, third, err := s.RotateIngestSecret(ctx, w.main, w.im.ID)
		must(t, err)
		works("second within a day", second, true)
		clock.Advance(OldSecretLife / 2)
		_, fourth, err := s.RotateIngestSecret(ctx, w.main, w.im.ID)
		must(t, err)
		works("second, rotated over twice within a day", second, true)
		works("third within a day", third, true)
		clock.Advance(OldSecretLife / 2)
		works("second after a day", second, false)
		works("third, half a day old", third, true)
		must(t, s.SweepControl(ctx))
		if n := count(t, s.DB, "im_app_old_secrets"); n != 0 {
			t.Error("the sweep leaves an older secret")
		}
		_, fifth, err := s.RotateIngestSecret(ctx, w.main, w.im.ID)
		must(t, err)
		works("third, rotated over twice", third, true)
		_, sixth, err := s.RotateIngestSecret(ctx, w.main, w.im.ID)
		must(t, err)
		works("fourth, rotated over twice", fourth, true)
		must(t, s.DropOldSecret(ctx, w.main, w.im.ID))
		works("fourth after the old ones were dropped", fourth, false)
		works("fifth after the old ones were dropped", fifth, false)
		third = sixth
		works("third", third, true)
		if strings.Contains(dump(t, s, "im_apps"), third.Reveal()) {
			t.Error("an ingest secret lies in the clear")
		}
		must(t, s.DeleteIMApp(ctx, w.main, w.im.ID, w.im.Name))
		works("third after deletion", third, false)
	})
}

// One IM app may push through several apps; an app belongs to one IM app.
func TestAuthorizations(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		for _, app := range []App{w.android, w.ios} {
			_, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, app.ID)
			must(t, err)
		}
		second, _, err := s.CreateIMApp(ctx, w.main, IMAppInput{Name: "二号", Bridge: "generic"}, bridges())
		must(t, err)
		_, err = s.Authorize(ctx, w.main, second.ID, w.product.ID, w.ios.ID)
		refused(t, err, Conflict, "errors.authorization.taken")
		if e := asError(t, err); e.Field != "app_id" || e.Data["IM"] != "蓝鲸 IM" {
			t.Errorf("conflict: %+v", e)
		}
		list, err := s.Authorizations(ctx, w.main)
		must(t, err)
		if len(list) != 2 || list[0].Platform != PlatformIOS || list[0].SDKAppID != w.im.SDKAppID || list[0].IMBridge != "wukongim" || list[0].CreatedName != "main" {
			t.Errorf("list: %+v", list)
		}
		candidates, err := s.Candidates(ctx, w.main)
		must(t, err)
		for _, a := range candidates[0].Apps {
			if !a.Authorized() || a.IMAppName != "蓝鲸 IM" || a.IMBridge != "wukongim" || a.IMPlanID == 0 {
				t.Errorf("candidate: %+v", a)
			}
		}
		in, err := s.IngestBySecret(ctx, w.secret.Reveal())
		must(t, err)
		if len(in.targets) != 2 {
			t.Errorf("%d targets", len(in.targets))
		}
		_, err = s.Authorize(ctx, w.main, 9999, w.product.ID, w.ios.ID)
		refused(t, err, Invalid, "errors.authorization.im_app")
		_, err = s.Authorize(ctx, w.main, w.im.ID, w.product.ID, 9999)
		refused(t, err, Invalid, "errors.authorization.app")
		_, err = s.Authorize(ctx, w.main, w.im.ID, 9999, w.ios.ID)
		refused(t, err, Invalid, "errors.authorization.product")
	})
}

// Of many who authorize, release and delete at once, the rules hold in the end.
func TestAuthorizeAtOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID) })
			wg.Go(func() { _ = s.DeleteApp(ctx, w.main, w.ios.ID, w.ios.Name) })
			wg.Go(func() { _ = s.DeleteIMApp(ctx, w.main, w.im.ID, w.im.Name) })
		}
		wg.Wait()
		if n := count(t, s.DB, `authorizations z JOIN apps a ON a.id = z.app_id JOIN im_apps i ON i.id = z.im_app_id
			WHERE z.released_at IS NULL AND (a.deleted_at IS NOT NULL OR i.deleted_at IS NOT NULL)`); n != 0 {
			t.Error("something authorized was deleted")
		}
		if n := count(t, s.DB, "authorizations"); n > 1 {
			t.Errorf("%d authorizations of one app", n)
		}
	})
}
