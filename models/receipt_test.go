package models

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sent accepts one message and records it as accepted on a device.
func (f *fixture) sent(t testing.TB, source string, device int64, state string) Message {
	t.Helper()
	f.accept(t, message(source, "alice"))
	b := claimAll(t, f.app.db, "w")[0]
	if _, _, err := f.app.db.Record(context.Background(), "w", []Recording{settled(b, device, state)}); err != nil {
		t.Fatal(err)
	}
	return b.Items[0].Message
}

func (f *fixture) delivery(t testing.TB, id string) Delivery {
	t.Helper()
	d, err := f.s.MessageByID(context.Background(), f.app, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Deliveries) != 1 {
		t.Fatalf("%d deliveries", len(d.Deliveries))
	}
	return d.Deliveries[0]
}

func (f *fixture) funnel(t testing.TB) Funnel {
	t.Helper()
	st, err := f.s.PlanStats(context.Background(), f.app, StatsFilter{PlanID: f.planID, From: f.s.Now(), To: f.s.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return st.Total
}

func TestReceiptsMoveForward(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		other := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("bb"))))
		one := f.sent(t, "1", dev.deviceID, StateAccepted)
		two := f.sent(t, "2", dev.deviceID, StateAccepted)
		failed := f.sent(t, "3", dev.deviceID, StateFailed)
		c.Advance(time.Minute)
		for _, step := range []struct {
			dev    DeviceScope
			msg    string
			status string
			fresh  int
			state  string
		}{
			{dev, one.ID, StateArrived, 1, StateArrived},
			{dev, one.ID, StateArrived, 0, StateArrived},
			{dev, one.ID, StateClicked, 1, StateClicked},
			{dev, one.ID, StateCleared, 0, StateClicked},
			{dev, one.ID, StateArrived, 0, StateClicked},
			{dev, two.ID, StateCleared, 1, StateCleared}, // implies the arrival
			{dev, failed.ID, StateArrived, 0, StateFailed},
		} {
			n, err := s.Report(ctx, step.dev, []Receipt{{MessageID: step.msg, Status: step.status}})
			if err != nil || n != step.fresh {
				t.Errorf("%s: %d new %v, want %d", step.status, n, err, step.fresh)
			}
			if got := f.delivery(t, step.msg).State; got != step.state {
				t.Errorf("after %s: %s, want %s", step.status, got, step.state)
			}
		}
		if d := f.delivery(t, two.ID); d.ArrivedAt == nil || !d.ClearedAt.Equal(s.Now()) {
			t.Errorf("cleared: %+v", d)
		}
		got := f.funnel(t)
		want := Funnel{Messages: 3, Planned: 3, Accepted: 2, Arrived: 2, Clicked: 1, Cleared: 1, Failed: 1, FailedBy: map[string]int64{"": 1}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("funnel (-want +got):\n%s", diff)
		}

		// Another device's word and an unknown message say nothing about this one.
		stranger := []Receipt{{MessageID: one.ID, Status: StateClicked}, {MessageID: "0193f1b0-0000-7000-8000-000000000000", Status: StateClicked}}
		if _, err := s.Report(ctx, other, stranger); err != nil {
			t.Fatal(err)
		}
		if got := f.funnel(t); got.Clicked != 1 {
			t.Errorf("%d clicked", got.Clicked)
		}
		for _, r := range []Receipt{{MessageID: "x", Status: StateArrived}, {MessageID: one.ID, Status: StateFailed}} {
			if _, err := s.Report(ctx, dev, []Receipt{r}); KindOf(err) != Invalid {
				t.Errorf("%+v: %v, want invalid", r, err)
			}
		}
	})
}

// TestEarlyReceipts proves that a receipt which beats the record of its send is
// not lost: folded in by the record, or by the upkeep when both ran at once.
func TestEarlyReceipts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		f.accept(t, message("1", "alice"))
		b := claimAll(t, s.DB, "w")[0]
		id := b.Items[0].Message.ID
		if n, err := s.Report(ctx, dev, []Receipt{{MessageID: id, Status: StateClicked}, {MessageID: id, Status: StateArrived}}); err != nil || n != 2 {
			t.Fatalf("%d %v", n, err)
		}
		if n, err := s.Report(ctx, dev, []Receipt{{MessageID: id, Status: StateArrived}}); err != nil || n != 0 {
			t.Errorf("a repeat of one that waits: %d new, %v", n, err)
		}
		if n, err := s.FoldReceipts(ctx); err != nil || n != 0 {
			t.Fatalf("folded %d %v before the send was recorded", n, err)
		}
		if _, _, err := s.Record(ctx, "w", []Recording{settled(b, dev.deviceID, StateAccepted)}); err != nil {
			t.Fatal(err)
		}
		if d := f.delivery(t, id); d.State != StateClicked || d.ArrivedAt == nil {
			t.Errorf("after the record: %+v", d)
		}
		if got := f.funnel(t); got.Arrived != 1 || got.Clicked != 1 || got.Accepted != 1 {
			t.Errorf("funnel %+v", got)
		}

		late := f.sent(t, "2", dev.deviceID, StateAccepted)
		exec(t, s.DB, "INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, ?, ?, ?, ?)", late.ID, dev.deviceID, f.app.appID, StateArrived, s.Now())
		if n, err := s.FoldReceipts(ctx); err != nil || n != 1 {
			t.Fatalf("folded %d %v", n, err)
		}
		if d := f.delivery(t, late.ID); d.State != StateArrived {
			t.Errorf("after the upkeep: %+v", d)
		}
		if n := count(t, s.DB, "early_receipts"); n != 0 {
			t.Errorf("%d receipts still wait", n)
		}
	})
}

// TestReceiptsCountOnce proves counters exact when everyone reports everything at
// once.
func TestReceiptsCountOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		const messages = 20
		var rs []Receipt
		for i := range messages {
			m := f.sent(t, string(rune('a'+i)), dev.deviceID, StateAccepted)
			rs = append(rs, Receipt{MessageID: m.ID, Status: StateArrived}, Receipt{MessageID: m.ID, Status: StateClicked})
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := s.Report(ctx, dev, rs); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := f.funnel(t); got.Arrived != messages || got.Clicked != messages {
			t.Errorf("funnel %+v, want %d", got, messages)
		}
	})
}
