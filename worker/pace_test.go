package worker

import (
	"context"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// A credential's rate holds, and is shared by the processes that work.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		name      string
		rate      int64
		processes int
		after     time.Duration
		low, high int
	}{
		{"one process", 100, 1, 2 * time.Second, 190, 215},
		{"four share it", 100, 4, 4 * time.Second, 95, 115},
		{"no rule", 0, 1, 2 * time.Second, 400, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.db.processes = c.processes
				r.control.change(func(s *models.SendConfig) { s.Credentials[0].Rate = c.rate })
				r.start()
				r.wait(2 * beat) // until it knows how many work
				var items []models.Item
				for i := range int64(400) {
					account := string(rune('A' + i%400))
					r.device(i+1, account)
					items = append(items, r.message(account))
				}
				r.accept(items...)
				r.wait(c.after)
				if n := len(r.vendor.list()); n < c.low || n > c.high {
					t.Errorf("%d sent, want %d to %d", n, c.low, c.high)
				}
				r.wait(30 * time.Second)
				if n := len(r.vendor.list()); n != 400 {
					t.Errorf("%d sent in the end, want all", n)
				}
				r.stop()
			})
		})
	}
}

// A used-up daily quota is told to the other processes, and one that is told sends
// nothing until it is over.
func TestQuotaIsShared(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(func(context.Context, sent) push.Result {
			return push.Result{Outcome: push.Throttled, Code: "quota", RetryAfter: 3 * time.Hour}
		})
		r.start()
		r.accept(r.message("alice"))
		r.wait(time.Second)
		if r.control.rests != 1 || len(r.vendor.list()) != 1 {
			t.Fatalf("told %d times after %d pushes", r.control.rests, len(r.vendor.list()))
		}
		r.stop()

		other := r.worker("two", Limits{})
		r.w = other
		r.start()
		r.vendor.set(nil)
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Hour)
		r.state(m, 1, models.StatePending, models.ReasonThrottled)
		if n := len(r.vendor.list()); n != 1 {
			t.Errorf("%d pushes while the quota was used up", n)
		}
		r.wait(2*time.Hour + time.Minute)
		r.state(m, 1, models.StateAccepted, "")
		r.stop()
	})
}
