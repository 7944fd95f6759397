package worker

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// refuse begins a commit whose batch has to stay on disk.
func (r *rig) refuse(n int) {
	r.t.Helper()
	if r.w.reserve(r.db, n) {
		r.t.Fatal("reserved")
	}
}

// land ends a commit that refuse began.
func (r *rig) land(items ...models.Item) {
	r.db.mu.Lock()
	r.db.insert(models.Batch{DueAt: items[0].Message.AcceptedAt, Items: items}, "", false)
	r.db.mu.Unlock()
	r.w.left(r.db)
}

// order fails unless messages reached the vendor in this order.
func (r *rig) order(items ...models.Item) {
	r.t.Helper()
	var want, got []string
	for _, it := range items {
		want = append(want, it.Message.ID[24:])
	}
	for _, p := range r.vendor.list() {
		got = append(got, p.msg.Data[models.DataMessageID].(string)[24:])
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("sent %v, want %v", got, want)
	}
}

// A commit that was told to leave its batch on disk and takes long is not overtaken
// by one that begins after it has ended.
func TestLateCommitIsNotOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Messages: 40})
		r.device(1, "alice")
		r.start()
		r.refuse(41)
		a := r.message("alice")
		r.wait(5 * time.Second) // the sweep finds the disk empty again and again
		r.land(a)
		b := r.message("alice")
		r.accept(b)
		r.wait(5 * time.Second)
		r.order(a, b)
		if r.w.lanes[0].stance != ahead {
			t.Error("the lane did not come ahead")
		}
		r.stop()
	})
}

// A commit that was told to leave its batch on disk and hangs holds nobody up: what
// comes meanwhile was not posted after its answer. But the lane stays wary until it
// has ended, however that is.
func TestHangingCommitHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Messages: 40})
		r.device(1, "alice")
		r.start()
		r.refuse(41)
		r.wait(3 * time.Second)
		a := r.message("alice")
		r.accept(a)
		r.wait(3 * time.Second)
		r.order(a)
		if l := r.w.lanes[0]; l.stance != catching {
			t.Errorf("stance %d while the commit goes on", l.stance)
		}
		r.w.left(r.db) // it failed
		r.wait(10 * time.Millisecond)
		if l := r.w.lanes[0]; l.stance != ahead {
			t.Errorf("stance %d after the commit", l.stance)
		}
		r.stop()
	})
}

// Messages that wait for the lane to be ahead do not overtake what lies on disk when
// the memory fills up meanwhile.
func TestFullWhileCatching(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Messages: 40})
		r.device(1, "alice")
		r.start()
		l := r.w.lanes[0]
		r.refuse(41)
		r.refuse(41)
		signal(l.sweep)
		synctest.Wait()
		if l.stance != catching {
			t.Fatal("the lane is not catching up")
		}
		a := r.message("alice")
		r.land(a)
		var all []models.Item
		for range 40 {
			all = append(all, r.message("alice"))
		}
		r.accept(all...) // fills the memory to the brim
		c := r.message("alice")
		r.refuse(1)
		r.wait(time.Millisecond)
		r.land(c)
		r.wait(10 * time.Second)
		r.order(append(append([]models.Item{a}, all...), c)...)
		r.w.left(r.db) // the second commit fails
		r.wait(10 * time.Second)
		if l.stance != ahead || r.w.messages() != 0 {
			t.Errorf("stance %d, %d messages in memory", l.stance, r.w.messages())
		}
		r.stop()
	})
}

// What a dead process held goes on soon after its lease has ended, although this one
// has more in memory than it can send in that time: before newer messages of the same
// device, and before newer ones of other devices.
func TestTakenOverGoesFirst(t *testing.T) {
	for _, devices := range []int{1, 400} {
		t.Run(fmt.Sprint(devices), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.w = r.worker("one", Limits{InFlight: 4})
				for d := range devices {
					r.device(int64(d+1), fmt.Sprint("user", d))
				}
				owner := "user0"
				if devices > 1 {
					owner = "only before"
					r.device(1000, owner)
				}
				r.vendor.set(slowly(100 * time.Millisecond))
				r.start()
				old := []models.Item{r.message(owner), r.message(owner)}
				r.db.mu.Lock()
				r.db.insert(models.Batch{DueAt: time.Now(), Items: old}, "dead", false)
				r.db.mu.Unlock()
				r.wait(time.Second)
				var fresh []models.Item
				for i := range 1600 { // one device sends 10 a second, many 40
					fresh = append(fresh, r.message(fmt.Sprint("user", i%devices)))
				}
				for items := range slices.Chunk(fresh, 100) {
					r.accept(items...)
				}
				r.wait(models.LeaseTime + beat)
				for _, m := range old {
					if !slices.ContainsFunc(r.vendor.list(), func(p sent) bool { return p.msg.CollapseKey == m.Message.ID }) {
						t.Errorf("%s of the dead process is not sent, %d newer ones are", m.Message.ID[24:], len(r.vendor.list()))
					}
				}
				if devices == 1 {
					for i, p := range r.vendor.list() {
						if p.badge != i+1 {
							t.Fatalf("push %d shows %d", i+1, p.badge)
						}
					}
				}
				r.vendor.set(func(context.Context, sent) push.Result { return push.Result{Outcome: push.Accepted} })
				r.wait(10 * time.Second)
				for i, m := range fresh {
					r.state(m, int64(i%devices+1), models.StateAccepted, "")
				}
				r.stop()
			})
		})
	}
}
