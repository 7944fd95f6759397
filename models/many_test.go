package models

import (
	"context"
	"fmt"
	"testing"

	"hongyan/internal/race"
)

// beyondBinds is more than one statement takes values on either engine: 32766 on
// SQLite, 65535 on Postgres.
const beyondBinds = 65536 + 10

func TestReachManyDevices(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		one, _ := addDevice(t, f.app, "alice", "ios", "t1", s.Now())
		two, _ := addDevice(t, f.app, "bob", "ios", "t2", s.Now())
		ids := make([]int64, 0, beyondBinds)
		ids = append(ids, one)
		for i := range int64(beyondBinds) {
			ids = append(ids, two+1+i)
		}
		got, err := s.ReachDevices(context.Background(), append(ids, two))
		must(t, err)
		if len(got) != 2 || len(got[one].Routes) != 1 || len(got[two].Routes) != 1 {
			t.Errorf("%d devices: %+v", len(got), got)
		}
	})
}

// A message to many devices is recorded while receipts wait.
func TestRecordManyWithReceiptsWaiting(t *testing.T) {
	race.Skip(t)
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		f.accept(t, message("1", "alice"))
		b := claimAll(t, s.DB, "w")[0]
		m := &b.Items[0].Message
		exec(t, s.DB, "INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, 7, ?, 'arrived', ?)", m.ID, f.app.appID, s.Now())
		rec := Recording{Batch: b}
		for i := range beyondBinds {
			rec.Deliveries = append(rec.Deliveries, delivery(m, int64(i+1), StateAccepted))
		}
		_, _, err := s.Record(context.Background(), "w", []Recording{rec})
		must(t, err)
		if n := count(t, s.DB, "deliveries WHERE state = ?", StateArrived); n != 1 {
			t.Errorf("%d arrived, want 1", n)
		}
	})
}

// An account that very many phones share, as guests do, can be deleted.
func TestDeleteAccountOfManyDevices(t *testing.T) {
	race.Skip(t)
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		other, _ := addDevice(t, f.app, "alice", "ios", "t1", s.Now())
		numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", beyondBinds)
		exec(t, s.DB, `INSERT INTO devices (app_id, token, secret_hash, platform, registered_at, last_seen_at) `+numbers+
			`SELECT ?, 'g' || i, ?, 'ios', ?, ? FROM n`, f.app.appID, []byte{1}, s.Now(), s.Now())
		exec(t, s.DB, `INSERT INTO device_accounts (device_id, account_type, account, app_id, bound_at)
			SELECT id, 0, 'guest', app_id, registered_at FROM devices WHERE id <> ?`, other)
		_, n, err := s.DeleteUserData(context.Background(), f.app, "guest")
		must(t, err)
		if left := count(t, s.DB, "devices"); n != beyondBinds || left != 1 {
			t.Errorf("%d devices deleted, %d are left", n, left)
		}
	})
}
