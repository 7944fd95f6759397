package models

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// expireLeases lets every lease run out by the database's own clock.
func expireLeases(t testing.TB, d *DB) {
	t.Helper()
	exec(t, d, "UPDATE batches SET lease_until = ? WHERE lease_until IS NOT NULL", d.Now().Add(-time.Hour))
}

func claimAll(t testing.TB, d *DB, owner string) []*Batch {
	t.Helper()
	bs, err := d.ClaimDue(context.Background(), owner, LeaseTime, 100)
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

func TestClaimRenewExpire(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		f.accept(t, message("1", "alice"))
		f.accept(t, message("2", "alice"))

		one, err := s.ClaimDue(ctx, "a", LeaseTime, 1)
		if err != nil || len(one) != 1 || one[0].Items[0].Message.SourceID != "1" || one[0].Generation != 2 {
			t.Fatalf("claimed %v %v, want the older batch in its second generation", one, err)
		}
		if two := claimAll(t, s.DB, "b"); len(two) != 1 || two[0].Items[0].Message.SourceID != "2" {
			t.Fatalf("second owner claimed %v, want only the free batch", two)
		}
		if held := claimAll(t, s.DB, "b"); len(held) != 0 {
			t.Errorf("claimed %v, which others hold", held)
		}
		held, err := s.RenewLeases(ctx, "a", []int64{one[0].ID, one[0].ID + 1, 999}, LeaseTime)
		if err != nil || !slices.Equal(held, []int64{one[0].ID}) {
			t.Errorf("renewed %v %v, want only its own", held, err)
		}

		expireLeases(t, s.DB)
		again, err := s.ClaimDue(ctx, "b", LeaseTime, 1)
		if err != nil || len(again) != 1 || again[0].ID != one[0].ID || again[0].Generation != 3 {
			t.Fatalf("claim after expiry: %+v %v, want generation 3 of the older", again, err)
		}
		if held, err := s.RenewLeases(ctx, "a", []int64{one[0].ID}, LeaseTime); err != nil || len(held) != 0 {
			t.Errorf("the first owner renewed %v %v, want nothing", held, err)
		}

		if err := s.ReleaseBatches(ctx, "b", []int64{one[0].ID, one[0].ID + 1}); err != nil {
			t.Fatal(err)
		}
		if bs := claimAll(t, s.DB, "c"); len(bs) != 2 {
			t.Errorf("claimed %d after release, want 2", len(bs))
		}
		if err := s.FreeLeases(ctx); err != nil {
			t.Fatal(err)
		}
		if bs := claimAll(t, s.DB, "d"); len(bs) != 2 {
			t.Errorf("claimed %d after a start, want 2", len(bs))
		}
	})
}

// TestStaleRecordIsLost proves that of two owners only the one that holds the
// batch now can record it, and that nothing of the other's is written.
func TestStaleRecordIsLost(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		f.accept(t, message("1", "alice"))
		f.accept(t, message("2", "alice"))
		stale := claimAll(t, s.DB, "a")
		expireLeases(t, s.DB)
		fresh, err := s.ClaimDue(ctx, "a", LeaseTime, 1) // even the same owner again
		if err != nil || len(fresh) != 1 || fresh[0].ID != stale[0].ID {
			t.Fatal(fresh, err)
		}
		recs := []Recording{settled(stale[0], 7, StateFailed), settled(stale[1], 7, StateAccepted)}
		recs[0].Rest = []Rest{{CredentialID: 3, Items: stale[0].Items}}
		_, lost, err := s.Record(ctx, "a", recs)
		if err != nil || !slices.Equal(lost, []int64{stale[0].ID}) {
			t.Fatalf("lost %v %v, want the stale batch", lost, err)
		}
		if n := count(t, s.DB, "deliveries"); n != 1 {
			t.Errorf("%d deliveries, want only the held batch's", n)
		}
		if n := counter(t, s.DB, MetricAccepted) + counter(t, s.DB, MetricFailed); n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
		if n := tallied(t, s.DB, 3); n != (Tally{Accepted: 1}) {
			t.Errorf("the credential's tally is %+v", n)
		}
		if n := count(t, s.DB, "batches WHERE credential_id = 3"); n != 0 {
			t.Errorf("%d batches split off by a stale owner", n)
		}
		if _, lost, err := s.Record(ctx, "b", []Recording{settled(fresh[0], 7, StateAccepted)}); err != nil || len(lost) != 1 {
			t.Errorf("another owner recorded: lost %v %v", lost, err)
		}
		if _, lost, err := s.Record(ctx, "a", []Recording{settled(fresh[0], 7, StateAccepted)}); err != nil || len(lost) != 0 {
			t.Errorf("the holder's record: lost %v %v", lost, err)
		}
		if n := count(t, s.DB, "batches"); n != 0 {
			t.Errorf("%d batches left", n)
		}
	})
}

// settled is the recording of a batch whose every message reached one device through
// credential 3.
func settled(b *Batch, device int64, state string) Recording {
	r := Recording{Batch: b, Tallies: map[TallyKey]Tally{}}
	for i := range b.Items {
		m := &b.Items[i].Message
		r.Deliveries = append(r.Deliveries, delivery(m, device, state))
		metric := map[string]string{StateAccepted: MetricAccepted, StateFailed: MetricFailed}[state]
		r.Counters = append(r.Counters,
			Count{AppID: m.AppID, PlanID: m.PlanID, Hour: m.Hour(), Channel: "apns", Metric: MetricPlanned, N: 1},
			Count{AppID: m.AppID, PlanID: m.PlanID, Hour: m.Hour(), Channel: "apns", Metric: metric, N: 1})
		one := Tally{Accepted: 1}
		if state == StateFailed {
			one = Tally{Failed: 1}
		}
		sumTallies(r.Tallies, map[TallyKey]Tally{{AppID: m.AppID, CredentialID: 3, Hour: m.Hour()}: one})
	}
	return r
}

func delivery(m *Message, device int64, state string) Delivery {
	return Delivery{
		MessageID: m.ID, DeviceID: device, AppID: m.AppID, PlanID: m.PlanID, Channel: "apns", CredentialID: 3,
		State: state, VendorID: "v", Attempts: 1, Ms: 12, ResolvedAt: m.AcceptedAt, At: m.AcceptedAt.Add(time.Second),
	}
}

func TestRestBatches(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		short := message("4", "alice")
		short.ExpiresAt = s.Now().Add(time.Hour)
		f.accept(t, message("1", "alice"), message("2", "alice"), message("3", "alice"), short)
		b := claimAll(t, s.DB, "a")[0]
		target := []OpenTarget{{DeviceID: 9, RouteID: 8, Attempts: 1, ResolvedAt: s.Now()}}
		for i := range b.Items {
			b.Items[i].Targets = target
		}
		due := s.Now().Add(time.Minute)
		kept, _, err := s.Record(ctx, "a", []Recording{{Batch: b, Rest: []Rest{
			{CredentialID: 3, DueAt: due, Items: b.Items[:1]},
			{CredentialID: 4, DueAt: due, Keep: true, Items: b.Items[1:2]},
			{CredentialID: 5, Paused: true, Items: b.Items[2:]},
		}}})
		if err != nil || len(kept) != 1 || len(kept[0]) != 1 || kept[0][0].CredentialID != 4 || kept[0][0].ID == 0 {
			t.Fatalf("kept %v %v, want the one to keep", kept, err)
		}
		if bs := claimAll(t, s.DB, "b"); len(bs) != 0 {
			t.Fatalf("claimed %d batches before their time", len(bs))
		}
		c.Advance(2 * time.Minute)
		bs := claimAll(t, s.DB, "b")
		if s.Dialect == SQLite { // there the lease runs by the same clock
			if len(bs) != 2 {
				t.Fatalf("claimed %d, want the retry and the one whose lease ran out", len(bs))
			}
		} else if len(bs) != 1 {
			t.Fatalf("claimed %d, want the retry alone", len(bs))
		}
		if diff := cmp.Diff(target, bs[0].Items[0].Targets); diff != "" || bs[0].CredentialID != 3 || !bs[0].DueAt.Equal(due) {
			t.Errorf("retry %+v (-want +got):\n%s", bs[0], diff)
		}

		waiting, err := s.WaitingWork(ctx)
		if err != nil || !slices.Equal(waiting, []Waiting{{CredentialID: 5, Paused: true}}) {
			t.Errorf("waiting %v %v", waiting, err)
		}
		if n, err := s.DueExpired(ctx); err != nil || n != 0 {
			t.Errorf("%d expired %v before their time", n, err)
		}
		c.Advance(time.Hour)
		if n, err := s.DueExpired(ctx); err != nil || n != 1 {
			t.Errorf("%d expired %v, want the batch with the short-lived message", n, err)
		}
		exec(t, s.DB, "UPDATE batches SET due_at = NULL WHERE credential_id = 5")
		if n, err := s.ResumeBatches(ctx, 5, false); err != nil || n != 1 {
			t.Errorf("resumed %d %v", n, err)
		}
		found := false
		for _, b := range claimAll(t, s.DB, "c") {
			found = found || b.CredentialID == 5 && len(b.Items) == 2
		}
		if !found {
			t.Error("the resumed batch is not due")
		}
	})
}

// What was put off for a credential without room stays on disk, and so that nothing
// else is held up.
func TestClaimPassesOver(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		for _, id := range []string{"1", "2", "3", "4"} {
			f.accept(t, message(id, "alice"))
		}
		all := claimAll(t, s.DB, "a")
		for i, credential := range []int64{7, 8, 9, 0} {
			exec(t, s.DB, "UPDATE batches SET credential_id = ?, lease_until = NULL, owner = '' WHERE id = ?", credential, all[i].ID)
		}
		bs, err := s.ClaimDue(ctx, "a", LeaseTime, 1, 7, 9)
		if err != nil || len(bs) != 1 || bs[0].CredentialID != 8 {
			t.Fatalf("claimed %v %v, want the batch of the credential with room", bs, err)
		}
		if bs, err = s.ClaimDue(ctx, "a", LeaseTime, 10, 7, 9); err != nil || len(bs) != 1 || bs[0].CredentialID != 0 {
			t.Fatalf("claimed %v %v, want the batch of no credential", bs, err)
		}
		if bs := claimAll(t, s.DB, "a"); len(bs) != 2 || bs[0].CredentialID != 7 || bs[1].CredentialID != 9 {
			t.Errorf("claimed %v, want the two that were passed over", bs)
		}
	})
}
