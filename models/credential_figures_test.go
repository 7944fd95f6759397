package models

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restingBatch puts a batch into the data plane that waits out a used-up quota of a
// credential's revision, or, with revision 0, a single device's.
func restingBatch(t testing.TB, d *DB, credentialID, revision int64, n int) {
	t.Helper()
	exec(t, d, `INSERT INTO batches (credential_id, app_id, count, payload, due_at, expires_at, created_at, rest_revision) VALUES (?, 1, ?, ?, ?, ?, ?, ?)`,
		credentialID, n, []byte{1}, d.Now().Add(8*time.Hour), d.Now().Add(24*time.Hour), d.Now(), revision)
}

func dueNow(t testing.TB, d *DB) int {
	t.Helper()
	return count(t, d, "batches WHERE due_at <= ?", d.Now().Add(restWake))
}

// Work that a process has in hand once the rest is over is left to it, whatever became
// of the credential's revision meanwhile: nothing is sent twice.
func TestRestOverLeavesWorkInHand(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner, in := AppOwner(w.ios.ID), p8(EnvironmentProduction)
		saved, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		id := saved[0].ID
		_, err = s.RestCredential(ctx, id, 1, clock.Now().Add(8*time.Hour), "200001")
		must(t, err)
		restingBatch(t, s.DB, id, 1, 7)
		in.Rate = 20
		_, err = s.SaveCredentials(ctx, w.main, owner, in) // a new revision, the same rest
		must(t, err)
		clock.Advance(9 * time.Hour)
		exec(t, s.DB, "UPDATE batches SET owner = 'w', lease_until = ?", clock.Now().Add(LeaseTime)) // claimed
		if n, err := s.ResumeRepaired(ctx); err != nil || n != 0 {
			t.Errorf("upkeep woke %d: %v", n, err)
		}
		if n, err := s.ResumeBatches(ctx, id, true); err != nil || n != 0 {
			t.Errorf("%d were made due again: %v", n, err)
		}
		if count(t, s.DB, "batches WHERE owner = 'w' AND lease_until IS NOT NULL") != 1 {
			t.Error("the lease was taken away")
		}
	})
}

// A daily quota's rest ends with other keys or another message class, not with a test
// or another rate; then exactly what waited for it is due.
func TestRestEnds(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner, in := AppOwner(w.ios.ID), p8(EnvironmentProduction)
		saved, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		id := saved[0].ID
		rest := func(revision int64, want bool) {
			t.Helper()
			replaced, err := s.RestCredential(ctx, id, revision, clock.Now().Add(8*time.Hour), "200001")
			must(t, err)
			if replaced != want {
				t.Errorf("revision %d was replaced: %v, want %v", revision, replaced, want)
			}
		}
		rests := func(what string, want bool) {
			t.Helper()
			c, err := s.CredentialByID(ctx, w.main, owner, id)
			must(t, err)
			cfg, err := s.SendConfig(ctx, w.ios.ID)
			must(t, err)
			if (c.RestUntil != nil) != want || (c.RestCode != "") != want || cfg.Credentials[0].RestUntil.IsZero() == want {
				t.Errorf("%s: rests until %v (%q), the worker believes %v", what, c.RestUntil, c.RestCode, cfg.Credentials[0].RestUntil)
			}
		}
		rest(1, false)
		rest(1, false) // told again
		rests("told", true)
		restingBatch(t, s.DB, id, 1, 7)
		restingBatch(t, s.DB, id, 0, 1) // one device's quota
		waitingBatch(t, s.DB, id)

		_, err = s.CredentialTested(ctx, w.main, owner, id, 1, "", "")
		must(t, err)
		rests("after a test", true)
		if n := dueNow(t, s.DB); n != 1 {
			t.Errorf("a good test made %d due, want what waited for the repair", n)
		}
		_, err = s.PauseCredential(ctx, id, 1, "x", "")
		must(t, err)
		must(t, s.ResumeCredential(ctx, w.main, owner, id))
		rests("resumed", true)
		in.Rate = 20
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		rests("with another rate", true)
		rest(1, true)
		if n, err := s.ResumeRepaired(ctx); err != nil || n != 0 {
			t.Errorf("upkeep woke %d while the rest goes on: %v", n, err)
		}

		in.Fields = map[string]string{"p8": "another"}
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		rests("with other keys", false)
		if n := dueNow(t, s.DB); n != 2 || count(t, s.DB, "batches WHERE rest_revision <> 0") != 0 {
			t.Errorf("%d due, want the rest's too and not the device's", n)
		}

		// Recorded by a process that did not know of the change yet.
		restingBatch(t, s.DB, id, 2, 1)
		if n, err := s.ResumeRepaired(ctx); err != nil || n != 1 || dueNow(t, s.DB) != 3 {
			t.Errorf("upkeep woke %d: %v", n, err)
		}
		// The new one's own rest is nobody's to end, until it is deleted.
		rest(3, false)
		restingBatch(t, s.DB, id, 3, 1)
		if n, err := s.ResumeRepaired(ctx); err != nil || n != 0 {
			t.Errorf("upkeep woke %d of a rest that goes on: %v", n, err)
		}
		must(t, s.DeleteCredential(ctx, w.main, owner, id))
		if n := dueNow(t, s.DB); n != 4 {
			t.Errorf("%d due after the credential is gone", n)
		}
	})
}

// The settings of the IM side end a rest as well, when they bring other keys.
func TestSyncEndsRest(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		im, in := IMOwner(w.im.ID), p8(EnvironmentProduction)
		_, err := s.SaveCredentials(ctx, w.main, im, in)
		must(t, err)
		_, err = s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		rows, err := s.Credentials(ctx, w.main, AppOwner(w.ios.ID))
		must(t, err)
		_, err = s.RestCredential(ctx, rows[0].ID, 1, s.Now().Add(time.Hour), "x")
		must(t, err)
		restingBatch(t, s.DB, rows[0].ID, 1, 1)
		for i, want := range []int{0, 1} {
			if i == 1 {
				in.Fields = map[string]string{"p8": "another"}
			}
			_, err = s.SaveCredentials(ctx, w.main, im, in)
			must(t, err)
			_, err = s.ApplySync(ctx, w.main, w.ios.ID)
			must(t, err)
			if n := dueNow(t, s.DB); n != want {
				t.Errorf("sync %d: %d due, want %d", i, n, want)
			}
		}
	})
}

// fillFigures makes a database of some size: hours of 200 credentials' tallies, and
// batches.
func fillFigures(t *testing.T, s *Store, app int64) {
	t.Helper()
	exec(t, s.DB, `WITH RECURSIVE h (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM h WHERE i < 48),
		k (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < 199)
		INSERT INTO credential_tallies (app_id, credential_id, hour, slot, accepted, failed)
		SELECT CAST(? AS bigint), CAST(? AS bigint) + k.i, CAST(? AS bigint) - h.i, 0, 6, 1 FROM h, k`,
		app, int64(5000), HourOf(s.Now()))
	exec(t, s.DB, `WITH RECURSIVE h (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM h WHERE i < 5000)
		INSERT INTO batches (credential_id, app_id, count, payload, expires_at, created_at)
		SELECT CAST(? AS bigint) + i % 200, CAST(? AS bigint), 10, ?, CAST(? AS timestamp), CAST(? AS timestamp) FROM h`,
		int64(5000), app, []byte{1}, s.Now(), s.Now())
	exec(t, s.DB, "ANALYZE")
}

// explained returns the plan of a query.
func explained(t *testing.T, d *DB, q string, args ...any) string {
	t.Helper()
	verb := "EXPLAIN "
	if d.Dialect == SQLite {
		verb = "EXPLAIN QUERY PLAN "
	}
	rows, err := d.read(t.Context()).Raw(verb+q, args...).Rows()
	must(t, err)
	defer rows.Close() //nolint:errcheck // only read
	var out strings.Builder
	for rows.Next() {
		line := make([]any, 4)
		for i := range line {
			line[i] = new(any)
		}
		names, err := rows.Columns()
		must(t, err)
		must(t, rows.Scan(line[:len(names)]...))
		if text, ok := (*line[len(names)-1].(*any)).(string); ok {
			out.WriteString(text + "\n")
		}
	}
	must(t, rows.Err())
	return out.String()
}

// What the cards show costs the same however much lies in the tables.
func TestCredentialFigures(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		app, _, err := s.ScopeForApp(ctx, w.main, w.android.ID)
		must(t, err)
		fillFigures(t, s, w.android.ID)
		fillFigures(t, s, w.ios.ID) // another app's

		now := s.Now().Truncate(time.Hour)
		got, err := s.CredentialTallies(ctx, app, []int64{5001, 5002, 9}, now.Add(-5*time.Hour), now.Add(-90*time.Minute))
		must(t, err)
		want := []Tally{{30, 5}, {6, 1}}
		if d := cmp.Diff(map[int64][]Tally{5001: want, 5002: want}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		waiting, err := s.CredentialsWaiting(ctx, app, []int64{5001, 5002, 9})
		must(t, err)
		if d := cmp.Diff(map[int64]int64{5001: 250, 5002: 250}, waiting); d != "" {
			t.Errorf("waiting (-want +got):\n%s", d)
		}

		ids := make([]int64, 50)
		for i := range ids {
			ids[i] = int64(5000 + i)
		}
		for name, c := range map[string]struct {
			q    string
			args []any
			has  string
			not  string
		}{
			"waiting": {selectWaiting, []any{ids, w.android.ID}, "batches_credential", "Seq Scan"},
			"tallies": {selectTallies, []any{w.android.ID, ids, HourOf(now) - 24}, "credential_id", "Seq Scan"},
		} {
			plan := explained(t, s.DB, c.q, c.args...)
			if !strings.Contains(plan, c.has) || strings.Contains(plan, c.not) || strings.Contains(plan, "SCAN ") || !strings.Contains(plan, "hour") && name == "tallies" {
				t.Errorf("%s:\n%s", name, plan)
			}
			var n []map[string]any
			began := time.Now()
			must(t, s.read(ctx).Raw(c.q, c.args...).Scan(&n).Error)
			t.Logf("%s: %d rows in %v by\n%s", name, len(n), time.Since(began).Round(10*time.Microsecond), plan)
		}
	})
}

// 点击激活 is remembered with who said so, taken back by him or by the vendor, and not
// taken along to another app at the vendor.
func TestSetReceipts(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.android.ID)
		in := CredentialInput{Channel: "mz", Environment: EnvironmentProduction, Kind: "mz", Fields: map[string]string{"app_id": "1", "app_secret": "a"}}
		saved, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		id := saved[0].ID
		active := func(what string, want bool) Credential {
			t.Helper()
			c, err := s.CredentialByID(ctx, w.main, owner, id)
			must(t, err)
			cfg, err := s.SendConfig(ctx, w.android.ID)
			must(t, err)
			if (c.ReceiptOnAt != nil) != want || cfg.Credentials[0].ReceiptOn != want {
				t.Errorf("%s: active since %v, the worker believes %v", what, c.ReceiptOnAt, cfg.Credentials[0].ReceiptOn)
			}
			return *c
		}
		active("saved", false)
		refused(t, s.SetReceipts(ctx, w.main, w.android.ID, id, false), Conflict, "errors.changed_meanwhile")
		must(t, s.SetReceipts(ctx, w.main, w.android.ID, id, true))
		if c := active("activated", true); !c.ReceiptOnAt.Equal(clock.Now()) || c.ReceiptOnBy != w.main.Name {
			t.Errorf("activated %v by %q", c.ReceiptOnAt, c.ReceiptOnBy)
		}
		refused(t, s.SetReceipts(ctx, w.main, w.android.ID, id, true), Conflict, "errors.changed_meanwhile")
		push := w.sub(t, "push", Rights{Role: RoleOps, AllProducts: true})
		refused(t, s.SetReceipts(ctx, push, w.android.ID, id, false), Forbidden, "errors.forbidden.configure")
		refused(t, s.SetReceipts(ctx, w.main, w.ios.ID, id, false), NotFound, "")

		// The vendor contradicts, of an older revision and then of this one.
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		active("saved the same", true)
		must(t, s.ReceiptsRefused(ctx, id, 1, "65038"))
		active("refused before", true)
		must(t, s.ReceiptsRefused(ctx, id, 2, "65038"))
		if c := active("refused", false); c.ReceiptOffCode != "65038" {
			t.Errorf("why: %q", c.ReceiptOffCode)
		}
		must(t, s.SetReceipts(ctx, w.main, w.android.ID, id, true))
		if c := active("again", true); c.ReceiptOffCode != "" {
			t.Errorf("why: %q", c.ReceiptOffCode)
		}
		in.Fields, in.SameApp = map[string]string{"app_id": "1", "app_secret": "b"}, true
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		active("another secret of the app", true)
		in.Fields, in.SameApp = map[string]string{"app_id": "2", "app_secret": "b"}, false
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		active("another app", false)
		page, err := s.Audit(ctx, w.main, AuditFilter{Kind: AuditCredential, Action: ActionUpdate})
		must(t, err)
		acts := 0
		for _, r := range page.Rows {
			if strings.Contains(r.After, `"receipt_active"`) {
				acts++
			}
		}
		if acts != 3 {
			t.Errorf("%d acts in the audit log, want two by the user and one by the vendor", acts)
		}
	})
}

// A class's rest is the credential's neither before nor after, lasts over a test and a
// new rate, and ends with other keys. What a vendor reports rests the same.
func TestClassRestEnds(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner, in := AppOwner(w.ios.ID), p8(EnvironmentProduction)
		saved, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		id := saved[0].ID
		rests := func(what string, want map[string]time.Time) {
			t.Helper()
			cfg, err := s.SendConfig(ctx, w.ios.ID)
			must(t, err)
			c := cfg.Credentials[0]
			if !maps.EqualFunc(c.ClassRests, want, time.Time.Equal) || !c.RestUntil.IsZero() {
				t.Errorf("%s: %v and %v, want %v", what, c.ClassRests, c.RestUntil, want)
			}
		}
		rests("at first", nil)
		now := clock.Now().Truncate(time.Second)
		soon, late := now.Add(time.Hour), now.Add(8*time.Hour)
		rest := func(revision int64, class string, until time.Time, want bool) {
			t.Helper()
			replaced, err := s.RestClass(ctx, id, revision, class, until)
			must(t, err)
			if replaced != want {
				t.Errorf("revision %d was replaced: %v", revision, replaced)
			}
		}
		rest(1, "sale", late, false)
		rest(1, "sale", soon, false) // an older word
		rest(1, "news", soon, false)
		rest(7, "other", late, true)
		rests("both", map[string]time.Time{"sale": late, "news": soon})
		_, err = s.CredentialTested(ctx, w.main, owner, id, 1, "", "")
		must(t, err)
		in.Rate = 20
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		clock.Advance(2 * time.Hour)
		must(t, s.VendorRests(ctx, Reporter{id: id, revision: 2}, "ads", late, "128"))
		rests("the next revision", map[string]time.Time{"sale": late, "ads": late}) // what is over is not kept
		for i := range maxClassRests + 5 {
			rest(2, fmt.Sprint("class", i), late, false)
		}
		cfg, err := s.SendConfig(ctx, w.ios.ID)
		must(t, err)
		if n := len(cfg.Credentials[0].ClassRests); n != maxClassRests {
			t.Errorf("%d classes rest", n)
		}
		in.Fields = maps.Clone(in.Fields)
		in.Fields["key_id"] = "OTHERKEY77"
		_, err = s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		rests("with other keys", nil)
		must(t, s.VendorRests(ctx, Reporter{id: id, revision: 3}, "", late, "128"))
		cfg, err = s.SendConfig(ctx, w.ios.ID)
		must(t, err)
		if c := cfg.Credentials[0]; !c.RestUntil.Equal(late) || c.ClassRests != nil {
			t.Errorf("reported of the credential's own class: %v, %v", c.RestUntil, c.ClassRests)
		}
	})
}
