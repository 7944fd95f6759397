package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// slowly answers yes after d.
func slowly(d time.Duration) func(context.Context, sent) push.Result {
	return func(ctx context.Context, _ sent) push.Result {
		if !pause(ctx, d) {
			return push.Result{Outcome: push.Retry, Code: push.CodeTimeout}
		}
		return push.Result{Outcome: push.Accepted}
	}
}

// A vendor that stands still for long costs no lease, and nothing is sent twice.
func TestLeaseIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(slowly(40 * time.Second))
		other := r.worker("two", Limits{})
		r.start()
		if err := other.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := r.message("alice")
		r.accept(m)
		r.wait(45 * time.Second)
		r.state(m, 1, models.StateAccepted, "")
		if n := len(r.vendor.list()); n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
		r.stop()
		r.w = other
		r.stop()
	})
}

// cable is one process's connection to the database, which a test cuts.
type cable struct {
	*fakeDB
	cut atomic.Bool
}

func (c *cable) ClaimDue(ctx context.Context, owner string, lease time.Duration, limit int, except ...int64) ([]*models.Batch, error) {
	if c.cut.Load() {
		return nil, errFake
	}
	return c.fakeDB.ClaimDue(ctx, owner, lease, limit, except...)
}

func (c *cable) RenewLeases(ctx context.Context, owner string, ids []int64, lease time.Duration) ([]int64, error) {
	if c.cut.Load() {
		return nil, errFake
	}
	return c.fakeDB.RenewLeases(ctx, owner, ids, lease)
}

func (c *cable) Record(ctx context.Context, owner string, recs []models.Recording) ([][]*models.Batch, []int64, error) {
	if c.cut.Load() {
		return nil, nil, errFake
	}
	return c.fakeDB.Record(ctx, owner, recs)
}

// When a process is cut off another takes its batches over, and what the first
// would still record or send is dropped.
func TestTakeOver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "bob")
		r.vendor.set(slowly(7 * time.Second))
		r.start()
		c := &cable{fakeDB: r.db}
		r.w.lanes[0].db = c
		a, a2, b := r.message("alice"), r.message("alice"), r.message("bob")
		r.accept(a, a2, b)
		c.cut.Store(true)
		r.wait(100 * time.Millisecond)
		other := r.worker("two", Limits{})
		if err := other.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wait(9900 * time.Millisecond)
		p := r.vendor.list()
		if len(p) != 4 {
			t.Fatalf("%d pushes after 10 s, want the two in flight and their repeats", len(p))
		}
		r.wait(20 * time.Second)
		p = r.vendor.list()
		seen := map[string]int{}
		for _, s := range p {
			seen[s.id]++
		}
		if len(p) != 5 || seen[targetID(a.Message.ID, 1)] != 2 || seen[targetID(b.Message.ID, 2)] != 2 || seen[targetID(a2.Message.ID, 1)] != 1 {
			t.Errorf("pushes %v", seen)
		}
		for _, m := range []models.Item{a, a2} {
			r.state(m, 1, models.StateAccepted, "")
		}
		r.state(b, 2, models.StateAccepted, "")
		c.cut.Store(false)
		r.wait(5 * time.Second)
		if n := r.w.messages(); n != 0 {
			t.Errorf("the first process still holds %d messages", n)
		}
		if n := r.counter(models.MetricAccepted, ""); n != 3 {
			t.Errorf("accepted is counted %d times, want 3", n)
		}
		after := r.message("alice")
		r.accept2(after)
		r.wait(10 * time.Second)
		r.state(after, 1, models.StateAccepted, "") // the device's line of messages is free again
		r.stop()
		r.w = other
		r.stop()
	})
}

// While leases cannot be renewed, nothing that has not been sent is sent once
// they may have run out; when they are renewed again it goes on.
func TestFencing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(slowly(4 * time.Second))
		r.start()
		items := []models.Item{r.message("alice"), r.message("alice"), r.message("alice")}
		r.accept(items...)
		r.wait(100 * time.Millisecond)
		r.db.mu.Lock()
		r.db.fail = func(call string) error { return errFake }
		r.db.mu.Unlock()
		r.wait(30 * time.Second)
		sentBy := len(r.vendor.list())
		if sentBy > 2 {
			t.Errorf("%d pushes without a lease", sentBy)
		}
		r.db.mu.Lock()
		r.db.fail = nil
		r.db.mu.Unlock()
		r.wait(15 * time.Second)
		for _, m := range items {
			r.state(m, 1, models.StateAccepted, "")
		}
		if n := len(r.vendor.list()); n != 3 {
			t.Errorf("%d pushes, want 3: none may be repeated, as nobody took the batch", n)
		}
		r.stop()
	})
}

// What is committed while the memory is full waits on disk, and nothing that
// comes after overtakes it.
func TestBacklogKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Messages: 40})
		const devices = 4
		for d := range devices {
			r.device(int64(d+1), fmt.Sprint("user", d))
		}
		r.vendor.set(slowly(20 * time.Millisecond))
		r.start()
		var all []models.Item
		onDisk := 0
		for range 100 {
			var items []models.Item
			for d := range devices {
				items = append(items, r.message(fmt.Sprint("user", d)))
			}
			all = append(all, items...)
			before := r.w.messages()
			r.accept(items...)
			if r.w.messages() == before {
				onDisk++
			}
			r.wait(5 * time.Millisecond)
		}
		if onDisk == 0 {
			t.Fatal("nothing had to wait on disk")
		}
		r.wait(30 * time.Second)
		for i, m := range all {
			r.state(m, int64(i%devices+1), models.StateAccepted, "")
		}
		last := map[string]string{}
		for _, s := range r.vendor.list() {
			id := s.msg.Data[models.DataMessageID].(string)
			if id <= last[s.token] {
				t.Fatalf("%s got %s after %s", s.token, id, last[s.token])
			}
			last[s.token] = id
		}
		if r.w.lanes[0].stance != ahead {
			t.Error("the lane never came ahead again")
		}
		before := len(r.vendor.list())
		r.accept(r.message("user0"))
		r.wait(100 * time.Millisecond)
		if len(r.vendor.list()) != before+1 {
			t.Error("a fresh message is not handed over in memory")
		}
		if r.w.messages() != 0 {
			t.Errorf("%d messages in memory", r.w.messages())
		}
		r.stop()
	})
}

// Batches of a process that only serves the web are found by the wake-up.
func TestWakeUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.start()
		r.wait(10 * time.Millisecond)
		m := r.message("alice")
		r.db.mu.Lock()
		r.db.insert(models.Batch{DueAt: time.Now(), Items: []models.Item{m}}, "", false)
		r.db.mu.Unlock()
		if err := (&waker{lane: r.w.lanes[0]}).Work(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		r.wait(10 * time.Millisecond)
		r.state(m, 1, models.StateAccepted, "")
		r.stop()
	})
}

// Stop ends what is under way, records it, and hands back the rest.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{InFlight: 10})
		var items []models.Item
		for i := range 100 {
			r.device(int64(i+1), fmt.Sprint("user", i))
			items = append(items, r.message(fmt.Sprint("user", i)))
		}
		r.vendor.set(slowly(2 * time.Second))
		r.start()
		r.accept(items...)
		untouched := r.message("user1")
		r.accept(untouched)
		r.wait(100 * time.Millisecond)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stopped after %v", took)
		}
		if r.w.Owner() != "" || r.w.reserve(r.db, 1) {
			t.Error("still takes batches")
		}
		accepted := 0
		for _, d := range r.db.deliveries {
			if d.State == models.StateAccepted {
				accepted++
			}
		}
		if accepted != 10 || len(r.vendor.list()) != 10 {
			t.Errorf("%d recorded of %d sent, want 10", accepted, len(r.vendor.list()))
		}
		rest := 0
		for _, b := range r.db.batches {
			if b.owner != "" || b.paused || b.DueAt.After(time.Now()) {
				t.Errorf("not handed back: %+v", b)
			}
			rest += len(b.Items)
		}
		if rest != 91 {
			t.Errorf("%d messages are handed back, want 91", rest)
		}
		r.w = r.worker("two", Limits{})
		r.vendor.set(nil)
		if err := r.w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wait(3 * time.Second)
		for i, m := range items {
			r.state(m, int64(i+1), models.StateAccepted, "")
		}
		r.state(untouched, 2, models.StateAccepted, "")
		if n := len(r.vendor.list()); n != 101 {
			t.Errorf("%d pushes, want 101", n)
		}
		r.stop()
	})
}

// When sends do not end in time they are cut short, and tried again by the next.
func TestDrainDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "bob")
		r.vendor.set(func(ctx context.Context, s sent) push.Result {
			if s.token == "token-1" {
				return slowly(time.Hour)(ctx, s)
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		a, b := r.message("alice"), r.message("bob")
		r.accept(a, b)
		r.wait(100 * time.Millisecond)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		r.state(b, 2, models.StateAccepted, "")
		r.state(a, 1, models.StatePending, models.ReasonRetry)
		if n := r.batches(); n != 1 {
			t.Errorf("%d batches", n)
		}
	})
}

// Upkeep that does not end takes no time from the messages: what is on its way lands
// and is recorded, and the rest is handed back.
func TestStopWithHangingUpkeep(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{InFlight: 1})
		r.db.upkeepHang = true
		r.device(1, "alice")
		r.device(2, "bob")
		r.vendor.set(slowly(5 * time.Second))
		r.start()
		sent, rest := r.message("alice"), r.message("bob")
		r.accept(sent)
		r.wait(100 * time.Millisecond)
		r.accept(rest)
		r.wait(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.w.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the stop says %v, want that the upkeep did not end", err)
		}
		r.state(sent, 1, models.StateAccepted, "")
		for _, b := range r.db.batches {
			if b.owner != "" || b.Items[0].Message.ID != rest.Message.ID {
				t.Errorf("left behind: %+v", b)
			}
		}
		if n := r.batches(); n != 1 {
			t.Errorf("%d batches, want the one handed back", n)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.stop()
		if err := r.w.Start(t.Context()); err == nil {
			r.stop()
			r.stop()
		}
		if err := r.w.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
	})
}

// A database that is away while results are to be recorded loses nothing and
// repeats nothing.
func TestRecordIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 20 {
			r.device(int64(i+1), fmt.Sprint("user", i))
		}
		r.start()
		r.db.mu.Lock()
		r.db.fail = func(call string) error { return errFake }
		r.db.mu.Unlock()
		// Looking up works, so that everything is sent and cannot be recorded.
		r.db.fail = func(call string) error {
			if call == "record" || call == "renew" || call == "claim" {
				return errFake
			}
			return nil
		}
		var items []models.Item
		for i := range 20 {
			m := r.message(fmt.Sprint("user", i))
			items = append(items, m)
			r.accept(m)
			r.wait(10 * time.Millisecond)
		}
		r.wait(time.Minute)
		tries := r.db.records
		if tries > 20*30 {
			t.Errorf("%d tries in a minute", tries)
		}
		if len(r.db.deliveries) != 0 {
			t.Error("recorded although the database is away")
		}
		r.db.fail = nil
		r.wait(10 * time.Second)
		for i, m := range items {
			r.state(m, int64(i+1), models.StateAccepted, "")
		}
		if n := len(r.vendor.list()); n != 20 {
			t.Errorf("%d pushes, want 20", n)
		}
		if r.w.messages() != 0 || r.batches() != 0 {
			t.Errorf("%d messages in memory, %d batches", r.w.messages(), r.batches())
		}
		r.stop()
	})
}

// One batch that cannot be recorded does not hold up the others.
func TestOneBadRecording(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.start()
		var bad atomic.Int64
		r.w.lanes[0].db = &picky{fakeDB: r.db, bad: &bad}
		bad.Store(r.db.last + 3)
		var items []models.Item
		for range 8 {
			items = append(items, r.message("alice"))
		}
		for i := range items {
			r.accept2(items[i])
		}
		r.wait(20 * time.Second)
		ok := 0
		for _, m := range items {
			if _, found := r.db.deliveries[m.Message.ID+"/1"]; found {
				ok++
			}
		}
		if ok != 7 {
			t.Errorf("%d recorded, want 7", ok)
		}
		bad.Store(0)
		r.wait(10 * time.Second)
		for _, m := range items {
			r.state(m, 1, models.StateAccepted, "")
		}
		r.stop()
	})
}

// picky refuses recordings that contain one batch.
type picky struct {
	*fakeDB
	bad *atomic.Int64
}

func (p *picky) Record(ctx context.Context, owner string, recs []models.Recording) ([][]*models.Batch, []int64, error) {
	if slices.ContainsFunc(recs, func(r models.Recording) bool { return r.Batch.ID == p.bad.Load() }) {
		return nil, nil, errFake
	}
	return p.fakeDB.Record(ctx, owner, recs)
}

// accept2 accepts past the map of databases.
func (r *rig) accept2(it models.Item) {
	l := r.w.lanes[0]
	if !l.reserve(1) {
		r.t.Fatal("no room")
	}
	r.db.mu.Lock()
	b := r.db.insert(models.Batch{DueAt: time.Now(), Items: []models.Item{it}}, r.w.Owner(), false)
	r.db.mu.Unlock()
	l.take(b)
}

// A batch whose lease ran out and that this process claims again itself goes on
// as if nothing had happened.
func TestClaimedAgainByOurselves(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(slowly(6 * time.Second))
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(100 * time.Millisecond)
		r.db.mu.Lock()
		for _, b := range r.db.batches {
			b.until = time.Now().Add(-time.Second)
		}
		r.db.mu.Unlock()
		signal(r.w.lanes[0].sweep)
		r.wait(10 * time.Second)
		r.state(m, 1, models.StateAccepted, "")
		if n := len(r.vendor.list()); n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
		if r.w.messages() != 0 || r.batches() != 0 {
			t.Errorf("%d messages in memory, %d batches", r.w.messages(), r.batches())
		}
		r.stop()
	})
}
