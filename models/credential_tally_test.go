package models

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tallied is all that was counted of a credential.
func tallied(t testing.TB, d *DB, credential int64) (n Tally) {
	t.Helper()
	must(t, d.read(context.Background()).Raw(`SELECT COALESCE(SUM(accepted), 0) AS accepted, COALESCE(SUM(failed), 0) AS failed
		FROM credential_tallies WHERE credential_id = ?`, credential).Scan(&n).Error)
	return n
}

// vivoKeys are keys of an app, for all packages or for one.
func vivoKeys(pkg string) CredentialInput {
	return CredentialInput{
		Channel: "vivo", Environment: EnvironmentProduction, PackageName: pkg, Kind: "vivo", Fields: map[string]string{"app_id": "1", "app_secret": "a" + pkg},
	}
}

// The figures of two keys of one channel stay apart, and so do those of two apps. They
// begin anew with another app at the vendor, end with the keys, and stay with another
// secret.
func TestTalliesOfTwoKeys(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.android.ID)
		saved, err := s.SaveCredentials(ctx, w.main, owner, vivoKeys(""), vivoKeys("cn.lanxun.p1"))
		must(t, err)
		main, pkg := saved[0].ID, saved[1].ID
		app, _, err := s.ScopeForApp(ctx, w.main, w.android.ID)
		must(t, err)
		other, _, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		add := func(credential, accepted, failed int64) {
			t.Helper()
			must(t, s.writeHot(ctx, func(ctx context.Context, tx *Tx) error {
				return tx.addTallies(ctx, map[TallyKey]Tally{{w.android.ID, credential, HourOf(clock.Now())}: {accepted, failed}})
			}))
		}
		has := func(what string, want map[int64][]Tally) {
			t.Helper()
			got, err := s.CredentialTallies(ctx, app, []int64{main, pkg}, clock.Now().Add(-24*time.Hour), clock.Now().Add(-2*time.Hour))
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		has("nothing sent", map[int64][]Tally{})
		add(main, 5, 1)
		clock.Advance(5 * time.Hour)
		for range 20 { // into several slots on Postgres
			add(main, 1, 0)
			add(pkg, 10, 2)
		}
		has("sent", map[int64][]Tally{main: {{25, 1}, {20, 0}}, pkg: {{200, 40}, {200, 40}}})
		if got, err := s.CredentialTallies(ctx, other, []int64{main, pkg}, clock.Now().Add(-24*time.Hour)); err != nil || len(got) != 0 {
			t.Errorf("another app sees %v: %v", got, err)
		}
		if got, err := s.CredentialTallies(ctx, app, nil, clock.Now()); err != nil || len(got) != 0 {
			t.Errorf("of no keys: %v, %v", got, err)
		}

		in := vivoKeys("")
		in.DailyQuota = 100
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		in.Fields, in.SameApp = map[string]string{"app_id": "1", "app_secret": "b"}, true
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		has("another secret", map[int64][]Tally{main: {{25, 1}, {20, 0}}, pkg: {{200, 40}, {200, 40}}})
		in.Fields, in.SameApp = map[string]string{"app_id": "2", "app_secret": "b"}, false
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		has("another app at the vendor", map[int64][]Tally{pkg: {{200, 40}, {200, 40}}})
		add(main, 1, 0)
		must(t, s.DeleteCredential(ctx, w.main, owner, pkg))
		has("deleted", map[int64][]Tally{main: {{1, 0}, {1, 0}}})
		if n := count(t, s.DB, "credential_tallies WHERE credential_id = ?", pkg); n != 0 {
			t.Errorf("%d tallies of deleted keys", n)
		}
	})
}

// Additions from several transactions at once are all there.
func TestTalliesAtOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 25 {
					err := s.writeHot(t.Context(), func(ctx context.Context, tx *Tx) error {
						return tx.addTallies(ctx, map[TallyKey]Tally{{1, 3, 7}: {2, 1}, {1, 3, 8}: {1, 0}, {1, 4, 7}: {0, 1}})
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for credential, want := range map[int64]Tally{3: {600, 200}, 4: {0, 200}} {
			if got := tallied(t, s.DB, credential); got != want {
				t.Errorf("credential %d has %+v, want %+v", credential, got, want)
			}
		}
	})
}
