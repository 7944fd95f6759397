package models

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// addDevice writes a device with one APNs route and an account, and returns the
// ids of device and route.
func addDevice(t testing.TB, app AppScope, account, platform, token string, bound time.Time) (device, route int64) {
	t.Helper()
	d, now := app.db, app.db.Now()
	err := d.write(context.Background(), func(tx *Tx) error {
		err := tx.Raw(`INSERT INTO devices (app_id, token, secret_hash, platform, registered_at, last_seen_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			app.appID, token, []byte{1}, platform, now, now).Scan(&device).Error
		if err != nil {
			return err
		}
		if err := tx.Exec(`INSERT INTO device_accounts (device_id, account_type, account, app_id, bound_at) VALUES (?, 0, ?, ?, ?)`,
			device, account, app.appID, bound).Error; err != nil {
			return err
		}
		return tx.Raw(`INSERT INTO routes (app_id, device_id, channel, environment, token, token_hash, registered_at) VALUES (?, ?, 'apns', 'production', ?, ?, ?) RETURNING id`,
			app.appID, device, "vendor-"+token, []byte(token), now).Scan(&route).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	return device, route
}

func TestReach(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx, now := seed(t, s, nil), context.Background(), s.Now()
		oldPhone, _ := addDevice(t, f.app, "alice", "ios", "t1", now.Add(-time.Hour))
		newPhone, route := addDevice(t, f.app, "alice", "ios", "t2", now)
		pad, _ := addDevice(t, f.app, "alice", "android", "t3", now.Add(-2*time.Hour))
		gone, _ := addDevice(t, f.app, "alice", "ios", "t4", now)
		exec(t, s.DB, "UPDATE devices SET retired_at = ? WHERE id = ?", now, gone)
		exec(t, s.DB, "UPDATE routes SET retired_at = ? WHERE device_id = ?", now, pad)
		addDevice(t, f.app, "carol", "ios", "t5", now)
		alice, nobody := AccountKey{AppID: f.app.appID, Account: "alice"}, AccountKey{AppID: f.app.appID, Account: "nobody"}
		otherType := AccountKey{AppID: f.app.appID, Account: "alice", Type: 2}
		got, err := s.ReachAccounts(ctx, []AccountKey{alice, nobody, otherType, alice})
		if err != nil || len(got) != 1 {
			t.Fatalf("reached %v %v, want alice alone", got, err)
		}
		order := func(rs []Reach) (ids []int64) {
			for _, r := range rs {
				ids = append(ids, r.Device.ID)
			}
			return ids
		}
		for mode, want := range map[string][]int64{
			FanoutAll: {newPhone, oldPhone, pad}, FanoutPerPlatform: {newPhone, pad}, FanoutLatest: {newPhone}, "": {newPhone, oldPhone, pad},
		} {
			if diff := cmp.Diff(want, order(FanOut(mode, got[alice]))); diff != "" {
				t.Errorf("fan-out %q (-want +got):\n%s", mode, diff)
			}
		}
		first := got[alice][0]
		if len(first.Routes) != 1 || first.Routes[0].ID != route || first.Routes[0].Token != "vendor-t2" || first.Device.Platform != "ios" {
			t.Errorf("reached %+v", first)
		}
		if r := got[alice][2]; len(r.Routes) != 0 {
			t.Errorf("a dead route is offered: %+v", r.Routes)
		}
		if len(FanOut(FanoutLatest, nil)) != 0 {
			t.Error("fan-out of nobody")
		}
		byID, err := s.ReachDevices(ctx, []int64{newPhone, gone, 999})
		if err != nil || len(byID) != 2 || byID[gone].Device.RetiredAt == nil || len(byID[newPhone].Routes) != 1 {
			t.Errorf("reached by id %v %v", byID, err)
		}
	})
}

// Two accounts bound to one device at the same moment, with two routes each: the
// device is found once for each account.
func TestReachTwoAccountsOfOneDevice(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx, now := seed(t, s, nil), context.Background(), s.Now()
		id, _ := addDevice(t, f.app, "alice", "ios", "t1", now)
		exec(t, s.DB, "INSERT INTO device_accounts (device_id, account_type, account, app_id, bound_at) VALUES (?, 2, '138', ?, ?)", id, f.app.appID, now)
		exec(t, s.DB, `INSERT INTO routes (app_id, device_id, channel, environment, token, token_hash, registered_at)
			VALUES (?, ?, 'apns', 'production', 'second', ?, ?)`, f.app.appID, id, []byte("second"), now.Add(-time.Hour))
		keys := []AccountKey{{AppID: f.app.appID, Account: "alice"}, {AppID: f.app.appID, Account: "138", Type: 2}}
		got, err := s.ReachAccounts(ctx, keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if len(got[k]) != 1 || len(got[k][0].Routes) != 2 {
				t.Errorf("%s reaches %+v", k.Account, got[k])
			}
		}
	})
}

func TestRecordRetiresUnlessRegisteredSince(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx, now := seed(t, s, nil), context.Background(), s.Now()
		dead, deadRoute := addDevice(t, f.app, "alice", "ios", "t1", now)
		back, backRoute := addDevice(t, f.app, "alice", "ios", "t2", now)
		c.Advance(time.Minute)
		exec(t, s.DB, "UPDATE routes SET registered_at = ? WHERE id = ?", s.Now(), backRoute)
		f.accept(t, message("1", "alice"))
		b := claimAll(t, s.DB, "a")[0]
		rec := Recording{Batch: b, Badges: map[int64]Badge{dead: {N: 4}, back: {N: 7}}, Retired: []RetiredRoute{
			{RouteID: backRoute, Code: "Unregistered", Before: now.Add(time.Second)},
			{RouteID: deadRoute, Code: "Unregistered", Before: now.Add(time.Second)},
		}}
		if _, _, err := s.Record(ctx, "a", []Recording{rec}); err != nil {
			t.Fatal(err)
		}
		got, err := s.ReachDevices(ctx, []int64{dead, back})
		if err != nil {
			t.Fatal(err)
		}
		if r := got[dead]; r.Device.RetiredAt == nil || len(r.Routes) != 0 || r.Device.Badge != 4 {
			t.Errorf("dead token: %+v", r)
		}
		if r := got[back]; r.Device.RetiredAt != nil || len(r.Routes) != 1 || r.Device.Badge != 7 {
			t.Errorf("token registered again: %+v", r)
		}
	})
}

// A vendor's word that notifications are off holds for a device of the app whose phone
// was not in touch since the send, whatever else is written.
func TestRecordSwitchesOffUnlessSeenSince(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx, now := seed(t, s, nil), context.Background(), s.Now()
		off, _ := addDevice(t, f.app, "alice", "android", "t1", now)
		back, _ := addDevice(t, f.app, "alice", "android", "t2", now)
		foreign, _ := addDevice(t, f.app, "alice", "android", "t3", now)
		exec(t, s.DB, "UPDATE devices SET notify = ?", NotifyOn)
		c.Advance(time.Minute)
		exec(t, s.DB, "UPDATE devices SET last_seen_at = ? WHERE id = ?", s.Now(), back)
		f.accept(t, message("1", "alice"))
		b := claimAll(t, s.DB, "a")[0]
		sent := now.Add(time.Second)
		rec := Recording{Batch: b, Badges: map[int64]Badge{off: {N: 4}, foreign: {N: 5}}, NotifyOff: []SwitchedOff{
			{AppID: f.app.appID, DeviceID: back, At: sent}, {AppID: f.app.appID + 1, DeviceID: foreign, At: sent}, {AppID: f.app.appID, DeviceID: off, At: sent},
		}}
		_, _, err := s.Record(ctx, "a", []Recording{rec})
		must(t, err)
		got, err := s.ReachDevices(ctx, []int64{off, back, foreign})
		must(t, err)
		if d := got[off].Device; d.Notify != NotifyOff || d.Badge != 4 || len(got[off].Routes) != 1 {
			t.Errorf("switched off: %+v", got[off])
		}
		if got[back].Device.Notify != NotifyOn || got[foreign].Device.Notify != NotifyOn {
			t.Errorf("seen since %d, of another app %d", got[back].Device.Notify, got[foreign].Device.Notify)
		}
	})
}

// TestRecordIsAtomic proves that a failing record leaves everything as it was,
// so that the batch can be recorded again.
func TestRecordIsAtomic(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		device, _ := addDevice(t, f.app, "alice", "ios", "t1", s.Now())
		f.accept(t, message("1", "alice"))
		b := claimAll(t, s.DB, "a")[0]
		rec := settled(b, device, StateAccepted)
		rec.Badges = map[int64]Badge{device: {N: 3}}
		rec.Attempts = []Attempt{{MessageID: b.Items[0].Message.ID, DeviceID: device, N: 1, AppID: f.app.appID, Channel: "apns", Outcome: "retry", At: s.Now()}}
		exec(t, s.DB, "ALTER TABLE counters RENAME TO counters_away")
		if _, _, err := s.Record(ctx, "a", []Recording{rec}); err == nil {
			t.Fatal("recorded without a counters table")
		}
		exec(t, s.DB, "ALTER TABLE counters_away RENAME TO counters")
		for _, table := range []string{"deliveries", "attempts", "devices WHERE badge <> 0"} {
			if n := count(t, s.DB, table); n != 0 {
				t.Errorf("%d %s after a failed record", n, table)
			}
		}
		if _, lost, err := s.Record(ctx, "a", []Recording{rec}); err != nil || len(lost) != 0 {
			t.Fatalf("recording again: lost %v, %v", lost, err)
		}
		for _, table := range []string{"deliveries", "attempts", "devices WHERE badge = 3"} {
			if n := count(t, s.DB, table); n != 1 {
				t.Errorf("%d %s, want 1", n, table)
			}
		}
	})
}

// TestDeliveriesMoveForwardOnly proves the guard: a settled delivery keeps what
// it says, whatever is recorded later.
func TestDeliveriesMoveForwardOnly(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		states := []string{StatePending, StateAccepted, StateFailed, StateExpired, StateSkipped}
		for i, from := range states {
			for j, to := range states {
				f.accept(t, message(fmt.Sprintf("%d-%d", i, j), "alice"))
				b := claimAll(t, s.DB, "a")[0]
				m := b.Items[0].Message
				first := delivery(&m, 7, from)
				kept, _, err := s.Record(ctx, "a", []Recording{{Batch: b, Deliveries: []Delivery{first}, Rest: []Rest{{Items: b.Items, Keep: true, DueAt: s.Now()}}}})
				if err != nil {
					t.Fatal(err)
				}
				second := delivery(&m, 7, to)
				second.Attempts, second.Detail = 2, "again"
				if _, lost, err := s.Record(ctx, "a", []Recording{{Batch: kept[0][0], Deliveries: []Delivery{second}}}); err != nil || len(lost) > 0 {
					t.Fatal(lost, err)
				}
				var got Delivery
				if err := s.read(ctx).Take(&got, "message_id = ?", m.ID).Error; err != nil {
					t.Fatal(err)
				}
				want, attempts := from, 1
				if from == StatePending {
					want, attempts = to, 2
				}
				if got.State != want || got.Attempts != attempts {
					t.Errorf("%s then %s: %s with %d attempts, want %s with %d", from, to, got.State, got.Attempts, want, attempts)
				}
			}
		}
	})
}
