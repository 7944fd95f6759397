package models

import (
	"context"
	"sync"
	"testing"
)

// A phone that sets its badge while a message is on its way to it is not overruled by
// the number that was counted up before; one counted up afterwards is kept.
func TestPhoneSetsBadgeWhileMessageIsOnItsWay(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		r := register(t, s, f.app, phone(apnsRoute("aabb")))
		d := auth(t, s, f.app, r)
		must(t, s.Bind(ctx, d, []Binding{{Account: "alice"}}))
		must(t, s.SetBadge(ctx, d, 7))
		read := func() Badge {
			t.Helper()
			k := AccountKey{AppID: f.app.appID, Account: "alice"}
			got, err := s.ReachAccounts(ctx, []AccountKey{k})
			must(t, err)
			byID, err := s.ReachDevices(ctx, []int64{d.deviceID})
			must(t, err)
			x, y := got[k][0].Device, byID[d.deviceID].Device
			if x.Badge != y.Badge || x.BadgeRevision != y.BadgeRevision {
				t.Errorf("found by account %+v, by id %+v", x, y)
			}
			return Badge{N: x.Badge, Revision: x.BadgeRevision}
		}
		record := func(id string, b Badge) {
			t.Helper()
			f.accept(t, message(id, "alice"))
			rec := settled(claimAll(t, s.DB, "w")[0], d.deviceID, StateAccepted)
			rec.Badges = map[int64]Badge{d.deviceID: b}
			if _, lost, err := s.Record(ctx, "w", []Recording{rec}); err != nil || len(lost) > 0 {
				t.Fatal(lost, err)
			}
		}
		before := read()
		before.N++
		must(t, s.SetBadge(ctx, d, 0))
		record("1", before)
		after := read()
		if after.N != 0 || after.Revision == before.Revision {
			t.Errorf("badge %+v after the phone set 0, counted from %+v", after, before)
		}
		// A registration changes neither.
		register(t, s, f.app, Registration{Token: r.Device.Token, Secret: r.Secret.Reveal()})
		after.N++
		record("2", after)
		if got := read(); got != after {
			t.Errorf("badge %+v, want %+v", got, after)
		}
		var both sync.WaitGroup
		for range 20 {
			both.Go(func() { must(t, s.SetBadge(ctx, d, 0)) })
		}
		both.Wait()
		if got := read(); got.Revision != after.Revision+20 {
			t.Errorf("revision %d after 20 changes of %d", got.Revision, after.Revision)
		}
	})
}
