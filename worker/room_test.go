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

// What a vendor that stands still, throttles or is slow by its rate piles up lies on
// disk: the messages of other credentials go on at once and in memory, and everything
// of the slow one goes out in the end.
func TestSlowCredentialLeavesRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		slow func(ctx context.Context) push.Result
		rate int64
	}{
		{"stands still", func(ctx context.Context) push.Result {
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			return push.Result{Outcome: push.Retry, Code: push.CodeTimeout}
		}, 0},
		{"throttles", func(context.Context) push.Result {
			time.Sleep(50 * time.Millisecond)
			return push.Result{Outcome: push.Throttled}
		}, 0},
		{"has a rate", func(context.Context) push.Result { return push.Result{Outcome: push.Accepted} }, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { besideSlow(t, r, c.slow, c.rate) })
		})
	}
}

func besideSlow(t *testing.T, r *rig, slow func(ctx context.Context) push.Result, rate int64) {
	r.control.cfg.Credentials = append(r.control.cfg.Credentials,
		models.SendCredential{ID: 8, Revision: 1, Channel: "apns", Environment: "development", Rate: rate})
	var well atomic.Bool
	r.vendor.set(func(ctx context.Context, s sent) push.Result {
		if !well.Load() && strings.HasPrefix(s.token, "slow") {
			return slow(ctx)
		}
		return push.Result{Outcome: push.Accepted}
	})
	const phones = 40 // of either kind
	for i := range int64(phones) {
		r.device(1+i, fmt.Sprint("good", i))
		r.device(1001+i, fmt.Sprint("slow", i), func(x *models.Reach) {
			x.Routes[0].Environment, x.Routes[0].Token = "development", fmt.Sprint("slow-", i)
		})
	}
	const most = 3000
	r.w = r.worker("one", Limits{InFlight: 50, Messages: most})
	r.start()
	var all []models.Item
	var devices []int64
	for round := range 200 { // 100 s, and 8000 messages that cannot go
		var items []models.Item
		for i := range int64(phones) {
			items = append(items, r.message(fmt.Sprint("good", i)), r.message(fmt.Sprint("slow", i)))
			devices = append(devices, 1+i, 1001+i)
		}
		all = append(all, items...)
		r.accept(items...)
		r.wait(500 * time.Millisecond)
		if n := r.w.messages(); n > most/2 {
			t.Fatalf("round %d: %d messages are in memory", round, n)
		}
		if r.w.lanes[0].stance != ahead {
			t.Fatalf("round %d: fresh messages go over the disk", round)
		}
	}
	r.wait(2 * time.Second)
	for i, m := range all {
		if devices[i] < 1000 {
			r.state(m, devices[i], models.StateAccepted, "")
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	well.Store(true)
	if rate > 0 {
		r.control.change(func(s *models.SendConfig) { s.Credentials[1].Rate = 0 })
	}
	r.wait(15 * time.Minute) // the longest backoff
	for i, m := range all {
		r.state(m, devices[i], models.StateAccepted, "")
	}
	if n := r.batches(); n != 0 {
		t.Errorf("%d batches are left", n)
	}
	r.stop()
}
