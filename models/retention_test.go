package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What came back to life between the look and the deletion stays.
func TestRetentionSparesLiving(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		alive, living := addDevice(t, f.app, "alice", "ios", "t1", s.Now())
		gone, dead := addDevice(t, f.app, "carol", "ios", "t2", s.Now())
		for _, table := range []string{"devices", "routes"} {
			exec(t, s.DB, "UPDATE "+table+" SET retired_at = ? WHERE id = ?", s.Now(), map[string]int64{"devices": gone, "routes": dead}[table])
		}
		c.Advance(time.Hour)
		must(t, s.DB.write(ctx, func(tx *Tx) error {
			return errors.Join(tx.deleteRetiredRoutes([]int64{living, dead}, s.Now()), tx.deleteRetiredDevices([]int64{alive, gone}, s.Now()))
		}))
		for table, id := range map[string]int64{"devices": alive, "routes": living} {
			if all, ours := count(t, s.DB, table), count(t, s.DB, table+" WHERE id = ?", id); all != 1 || ours != 1 {
				t.Errorf("%d %s are left, of the living %d", all, table, ours)
			}
		}
	})
}

func TestRetention(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		exec(t, s.DB, "UPDATE accounts SET content_days = 7")
		s.forgetIngest()
		f.in = ingest(t, s)
		device, _ := addDevice(t, f.app, "alice", "ios", "t1", s.Now())
		gone, _ := addDevice(t, f.app, "carol", "ios", "t2", s.Now())
		for _, table := range []string{"devices", "routes"} {
			exec(t, s.DB, "UPDATE "+table+" SET retired_at = ? WHERE app_id = ? AND id = ?", s.Now(), f.app.appID, gone)
		}
		msgs := make([]Incoming, purgeChunk+20)
		for i := range msgs {
			msgs[i] = message(fmt.Sprint(i), "alice")
		}
		first := f.accept(t, msgs...)
		exec(t, s.DB, "INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, 999, ?, 'arrived', ?)", first.IDs[0], f.app.appID, s.Now())
		for _, b := range claimAll(t, s.DB, "w") {
			rec := settled(b, device, StateAccepted)
			for i := range b.Items {
				rec.Attempts = append(rec.Attempts, Attempt{MessageID: b.Items[i].Message.ID, DeviceID: device, N: 1, AppID: f.app.appID, At: s.Now()})
			}
			if _, _, err := s.Record(ctx, "w", []Recording{rec}); err != nil {
				t.Fatal(err)
			}
		}
		retain := func() {
			t.Helper()
			if err := s.Retain(ctx, DefaultRetention); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string, want map[string]int) {
			t.Helper()
			for table, n := range want {
				if got := count(t, s.DB, table); got != n {
					t.Errorf("%s: %d %s, want %d", when, got, table, n)
				}
			}
		}
		all := len(msgs)
		retain()
		check("at once", map[string]int{"messages": all, "deliveries": all, "attempts": all, "message_contents": all, "dedupe": all, "early_receipts": 1})
		if again := f.accept(t, msgs[0]); again.Duplicates != 1 {
			t.Errorf("a repeat at once: %+v", again)
		}
		c.Advance(dedupeLife + time.Hour + time.Minute)
		retain()
		check("after two days", map[string]int{"messages": all, "message_contents": all, "dedupe": 0})
		c.Advance(7 * 24 * time.Hour)
		retain()
		check("after nine days", map[string]int{"messages": all, "message_contents": 0, "early_receipts": 0})
		fresh := f.accept(t, message("new", "alice")).IDs[0]
		c.Advance(83 * 24 * time.Hour)
		retain()
		check("after 92 days", map[string]int{"messages": 1, "deliveries": 0, "attempts": 0, "devices": 1, "routes": 1, "device_accounts": 1})
		if _, err := s.MessageByID(ctx, f.app, fresh); err != nil {
			t.Errorf("a message of 83 days: %v", err)
		}
		if got := f.accept(t, message("today", "alice")); got.New != 1 {
			t.Errorf("acceptance after retention: %+v", got)
		}
		if s.Dialect == SQLite {
			var free int
			if err := s.sqlR.QueryRow("PRAGMA freelist_count").Scan(&free); err != nil || free >= vacuumPages {
				t.Errorf("%d free pages %v: the disk did not get them back", free, err)
			}
		}
		c.Advance((counterDays + 1) * 24 * time.Hour)
		retain()
		check("after a year and a month", map[string]int{"counters": 0})
	})
}

// TestPartitions proves that Postgres keeps records in partitions of their day,
// drops them whole, and survives days for which none was made.
func TestPartitions(t *testing.T) {
	c := newTestClock()
	s := openTestStore(t, Options{Database: testDSN(t, Postgres), Now: c.Now})
	f, ctx := seed(t, s, nil), context.Background()
	f.accept(t, message("1", "alice"))
	if n := count(t, s.DB, "messages_default"); n != 0 {
		t.Errorf("%d messages outside their day's partition", n)
	}
	have := func() map[time.Time]bool {
		t.Helper()
		days, err := s.partitions(ctx, "messages")
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	if n := len(have()); n != partitionsAhead+1 {
		t.Errorf("%d partitions after migrating, want %d", n, partitionsAhead+1)
	}
	first := midnight(s.Now(), time.UTC)

	// The program was not run for a month: today's row lies in the default.
	c.Advance(30 * 24 * time.Hour)
	f.accept(t, message("2", "alice"))
	if n := count(t, s.DB, "messages_default"); n != 1 {
		t.Fatalf("%d messages in the default partition, want 1", n)
	}
	if err := s.Retain(ctx, DefaultRetention); err != nil {
		t.Fatal(err)
	}
	today := midnight(s.Now(), time.UTC)
	if days := have(); days[today] || !days[today.AddDate(0, 0, 1)] || !days[first] {
		t.Errorf("partitions %v: want tomorrow's and the first, not today's, whose rows lie elsewhere", days)
	}
	if count(t, s.DB, "messages") != 2 {
		t.Error("a message is gone")
	}
	c.Advance(DefaultRetention * 24 * time.Hour)
	if err := s.Retain(ctx, DefaultRetention); err != nil {
		t.Fatal(err)
	}
	if have()[first] {
		t.Error("the first day's partition is still there")
	}
	if n := count(t, s.DB, "messages"); n != 1 { // accepted exactly 90 days ago: its day is not over
		t.Errorf("%d messages, want the one of 90 days", n)
	}
	c.Advance(25 * time.Hour)
	if err := s.Retain(ctx, DefaultRetention); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s.DB, "messages"); n != 0 {
		t.Errorf("%d messages left in the default partition", n)
	}
}

func TestPurge(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		other := addApp(t, s, 1600000011, "ap-guangzhou", "android")
		s.forgetIngest()
		f.in = ingest(t, s)
		for i, app := range []AppScope{f.app, other} {
			device, _ := addDevice(t, app, "alice", "ios", fmt.Sprint("t", i), s.Now())
			err := s.AddSandboxPush(ctx, &SandboxRoute{AppID: app.appID, DeviceID: device, db: app.db}, SandboxPush{Channel: "apns", Headers: "{}"})
			if err != nil {
				t.Fatal(err)
			}
		}
		f.accept(t, message("1", "alice"), message("2", "alice"))
		b := claimAll(t, s.DB, "w")[0]
		rec := settled(b, 7, StateAccepted)
		rec.Rest = []Rest{{CredentialID: 3, Paused: true, Items: b.Items[:1]}}
		if _, _, err := s.Record(ctx, "w", []Recording{rec}); err != nil {
			t.Fatal(err)
		}
		purge := func() {
			t.Helper()
			if err := s.PurgeApps(ctx, s.DB); err != nil {
				t.Fatal(err)
			}
		}
		purge()
		exec(t, s.DB, "UPDATE apps SET deleted_at = ? WHERE id = ?", s.Now(), f.app.appID)
		purge() // too soon: others may still accept for it
		if n := count(t, s.DB, "messages WHERE app_id = ?", f.app.appID); n != 2 {
			t.Fatalf("%d messages before the purge, want 2", n)
		}
		c.Advance(purgeAfter)
		purge()
		purge()
		for _, table := range []string{"messages", "deliveries", "devices", "routes", "device_accounts", "counters", "sandbox_pushes", "batches"} {
			if n := count(t, s.DB, table+" WHERE app_id = ?", f.app.appID); n != 0 {
				t.Errorf("%d %s of the deleted app left", n, table)
			}
			if n := count(t, s.DB, table+" WHERE app_id = ?", other.appID); n == 0 && table != "batches" {
				t.Errorf("%s of another app are gone", table)
			}
		}
		if n := count(t, s.DB, "apps WHERE purged_at IS NOT NULL"); n != 1 {
			t.Errorf("%d apps marked as purged", n)
		}
	})
}

// Deleted apps of regions that are not configured any more, however many and however
// long deleted, do not keep the others from being purged; the log says that they wait.
func TestPurgeWithStrangeRegions(t *testing.T) {
	for _, engine := range []Dialect{SQLite, Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			var log bytes.Buffer
			c := newTestClock()
			s := openTestStore(t, Options{Database: testDSN(t, engine), Now: c.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
			f, ctx := seed(t, s, nil), context.Background()
			exec(t, s.DB, "UPDATE apps SET deleted_at = ?", s.Now())
			for i := range int64(purgeApps + 1) {
				exec(t, s.DB, `INSERT INTO apps (id, account_id, product_id, region, platform, name, access_key_hash, access_key, secret_key, created_at, updated_at, deleted_at)
					VALUES (?, 1, ?, 'gone', 'ios', 'app', ?, ?, ?, ?, ?, ?)`, 1700000001+i, f.app.appID, []byte{1}, []byte{1}, []byte{1}, s.Now(), s.Now(), s.Now().Add(-time.Hour))
			}
			c.Advance(purgeAfter)
			must(t, s.PurgeApps(ctx, s.DB))
			if n := count(t, s.DB, "apps WHERE purged_at IS NOT NULL AND id = ?", f.app.appID); n != 1 || count(t, s.DB, "apps WHERE purged_at IS NOT NULL") != 1 {
				t.Error("the app of a region that is configured was not purged, or others were")
			}
			must(t, s.SweepControl(ctx))
			if !strings.Contains(log.String(), fmt.Sprint("apps=", purgeApps+1)) {
				t.Errorf("the log says nothing of those that wait:\n%s", &log)
			}
		})
	}
}

func TestPurgeInSmallSteps(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		msgs := make([]Incoming, purgeChunk+1)
		for i := range msgs {
			msgs[i] = message(fmt.Sprint(i), "alice")
		}
		f.accept(t, msgs...)
		steps := 0
		for more := true; more; steps++ {
			before := count(t, s.DB, "messages")
			var err error
			if more, err = s.purgeStep(ctx, f.app.appID); err != nil {
				t.Fatal(err)
			}
			if n := before - count(t, s.DB, "messages"); n > purgeChunk {
				t.Errorf("one step deleted %d messages", n)
			}
		}
		if steps < 3 {
			t.Errorf("purged in %d steps", steps)
		}
	})
}

func TestDiskGuard(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, free := seed(t, s, nil), uint64(100)
		var fault error
		s.GuardDisk("/data", 50, func(path string) (uint64, error) {
			if path != "/data" {
				t.Errorf("looked at %s", path)
			}
			return free, fault
		})
		f.accept(t, message("1", "alice"))
		free = 49
		s.intake.guard.look()
		if _, err := s.Accept(context.Background(), f.in, []Incoming{message("2", "alice")}); KindOf(err) != Unavailable || !s.DiskLow() {
			t.Errorf("accept on a full disk: %v", err)
		}
		if s.Refused() != 1 || count(t, s.DB, "messages") != 1 {
			t.Errorf("refused %d", s.Refused())
		}
		fault = errors.New("no such disk") // then the commit itself must tell
		s.intake.guard.look()
		f.accept(t, message("3", "alice"))
	})
	if n, err := DiskFree(t.TempDir()); err != nil || n == 0 {
		t.Errorf("free space %d %v", n, err)
	}
}
