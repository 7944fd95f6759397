package worker

import (
	"context"
	"testing"
	"time"

	"hongyan/push"
)

// What a slow batch has left open stays due since the batch was: should the process
// die, it is claimed again before what was accepted later.
func TestOpenRestKeepsItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "bob")
		r.vendor.set(func(ctx context.Context, s sent) push.Result {
			if s.token == "token-1" {
				pause(ctx, 20*time.Second)
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		began := time.Now()
		r.accept(r.message("alice"), r.message("bob"))
		r.wait(5 * time.Second)
		r.db.mu.Lock()
		var rest []*fakeBatch
		for _, b := range r.db.batches {
			rest = append(rest, b)
		}
		r.db.mu.Unlock()
		if len(rest) != 1 || rest[0].ID == 1 || len(rest[0].Items) != 1 {
			t.Errorf("%d batches, want one with the open rest", len(rest))
		} else if !rest[0].DueAt.Equal(began) {
			t.Errorf("the open rest is due %s after its batch", rest[0].DueAt.Sub(began))
		}
		r.wait(20 * time.Second)
		r.stop()
	})
}
