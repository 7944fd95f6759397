package worker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// What a vendor that stands still or throttles leaves behind is written once and then
// left alone until there is a chance for it: work over and over would cost the
// messages of all others.
func TestBacklogIsLeftAlone(t *testing.T) {
	t.Run("stands still", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			b := r.backlog(func(ctx context.Context, _ int) push.Result {
				select {
				case <-time.After(2 * time.Second):
				case <-ctx.Done():
				}
				return push.Result{Outcome: push.Retry, Code: push.CodeTimeout}
			})
			if b.claimed > b.slow/20 {
				t.Errorf("%d of %d messages were claimed again", b.claimed, b.slow)
			}
			b.check(t, b.batches/10)
		})
	})
	t.Run("throttles", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			const burst = 50 // messages between two refusals
			b := r.backlog(func(_ context.Context, n int) push.Result {
				if n%burst == 0 {
					return push.Result{Outcome: push.Throttled, RetryAfter: time.Second}
				}
				return push.Result{Outcome: push.Accepted}
			})
			sent := b.sent - b.good
			if b.claimed > 2*sent {
				t.Errorf("%d messages were claimed to send %d", b.claimed, sent)
			}
			// A burst comes from several batches, which end at different moments.
			b.check(t, 10*sent/burst)
		})
	})
}

// backlog is what half a minute beside a slow vendor took.
type backlog struct {
	good, slow       int // accepted
	batches          int // accepted
	sent             int // pushes made
	claimed, pending int // messages claimed, and written as pending
	records          int // transactions
}

// check allows one transaction for each batch and so many more.
func (b backlog) check(t *testing.T, more int) {
	t.Helper()
	if b.pending > b.slow+b.slow/20 {
		t.Errorf("%d messages were written as pending %d times", b.slow, b.pending)
	}
	if b.records > b.batches+more {
		t.Errorf("%d batches took %d transactions", b.batches, b.records)
	}
	if b.sent < b.good {
		t.Errorf("%d of %d messages of the other credential were sent", b.sent, b.good)
	}
}

// backlog accepts messages for half a minute, one in ten of them through a credential
// whose vendor gives the answer slow to its n-th push.
func (r *rig) backlog(slow func(ctx context.Context, n int) push.Result) (b backlog) {
	const phones, batch = 500, 60
	r.control.cfg.Credentials = append(r.control.cfg.Credentials,
		models.SendCredential{ID: 8, Revision: 1, Channel: "apns", Environment: "development"})
	for i := range int64(phones) {
		r.device(1+i, fmt.Sprint("good", i))
		r.device(1001+i, fmt.Sprint("slow", i), func(x *models.Reach) {
			x.Routes[0].Environment, x.Routes[0].Token = "development", fmt.Sprint("slow-", i)
		})
	}
	var n atomic.Int64
	r.vendor.set(func(ctx context.Context, s sent) push.Result {
		if strings.HasPrefix(s.token, "slow") {
			return slow(ctx, int(n.Add(1)))
		}
		return push.Result{Outcome: push.Accepted}
	})
	r.w = r.worker("one", Limits{InFlight: 500})
	r.start()
	for range 600 {
		items := make([]models.Item, 0, batch)
		for i := range batch {
			if i%10 == 0 {
				items = append(items, r.message(fmt.Sprint("slow", b.slow%phones)))
				b.slow++
			} else {
				items = append(items, r.message(fmt.Sprint("good", b.good%phones)))
				b.good++
			}
		}
		r.accept(items...)
		b.batches++
		r.wait(50 * time.Millisecond)
	}
	for _, d := range r.db.history {
		if d.State == models.StatePending {
			b.pending++
		}
	}
	b.sent, b.claimed, b.records = len(r.vendor.list()), r.db.claimed, r.db.records
	r.stop()
	return b
}
