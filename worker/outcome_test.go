package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// Every outcome: what is recorded at once, and what becomes of the message.
func TestOutcomes(t *testing.T) {
	type rule struct {
		name   string
		first  push.Result // the answer to the first try; the second is accepted
		state  string
		reason string
		tries  int           // in the attempts table after the first
		after  time.Duration // when it has settled
		final  string
		pushes int
		retire bool
	}
	dead := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []rule{
		{name: "accepted", first: push.Result{Outcome: push.Accepted}, state: models.StateAccepted, final: models.StateAccepted, pushes: 1},
		{name: "retry", first: push.Result{Outcome: push.Retry, Code: push.CodeTimeout}, state: models.StatePending, reason: models.ReasonRetry,
			tries: 1, after: 6 * time.Second, final: models.StateAccepted, pushes: 2},
		{name: "retry when the vendor says", first: push.Result{Outcome: push.Retry, RetryAfter: 30 * time.Second}, state: models.StatePending, reason: models.ReasonRetry,
			tries: 1, after: 40 * time.Second, final: models.StateAccepted, pushes: 2},
		{name: "throttled", first: push.Result{Outcome: push.Throttled}, state: models.StatePending, reason: models.ReasonThrottled,
			tries: 1, after: 6 * time.Second, final: models.StateAccepted, pushes: 2},
		{name: "throttled for a while", first: push.Result{Outcome: push.Throttled, RetryAfter: time.Minute}, state: models.StatePending, reason: models.ReasonThrottled,
			tries: 1, after: 65 * time.Second, final: models.StateAccepted, pushes: 2},
		{name: "device throttled", first: push.Result{Outcome: push.Throttled, DeviceOnly: true}, state: models.StatePending, reason: models.ReasonThrottled,
			tries: 1, after: 15 * time.Second, final: models.StateAccepted, pushes: 2},
		{name: "bad token", first: push.Result{Outcome: push.BadTarget, Code: "Unregistered", DeadSince: dead}, state: models.StateFailed, reason: models.ReasonBadToken,
			tries: 1, after: time.Minute, final: models.StateFailed, pushes: 1, retire: true},
		{name: "bad token of our own making", first: push.Result{Outcome: push.BadTarget, KeepToken: true}, state: models.StateFailed, reason: models.ReasonBadToken,
			tries: 1, final: models.StateFailed, pushes: 1},
		{name: "bad message", first: push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge}, state: models.StateFailed, reason: models.ReasonBadMessage,
			tries: 1, final: models.StateFailed, pushes: 1},
		{name: "no outcome", first: push.Result{}, state: models.StatePending, reason: models.ReasonRetry,
			tries: 1, after: 6 * time.Second, final: models.StateAccepted, pushes: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.device(1, "alice")
				var n atomic.Int32
				r.vendor.set(func(context.Context, sent) push.Result {
					if n.Add(1) == 1 {
						return c.first
					}
					return push.Result{Outcome: push.Accepted}
				})
				r.start()
				m := r.message("alice")
				r.accept(m)
				r.wait(500 * time.Millisecond)
				r.state(m, 1, c.state, c.reason)
				if len(r.db.attempts) != c.tries {
					t.Errorf("%d attempts, want %d", len(r.db.attempts), c.tries)
				}
				if got := len(r.db.retired) == 1; got != c.retire {
					t.Errorf("retired %v", r.db.retired)
				}
				if c.retire && (!r.db.retired[0].Before.Equal(dead) || r.db.retired[0].RouteID != 10) {
					t.Errorf("retired %v", r.db.retired)
				}
				r.wait(c.after)
				if d := r.delivery(m, 1); d.State != c.final || d.Attempts != c.pushes {
					t.Errorf("ends as %+v", d)
				}
				if got := len(r.vendor.list()); got != c.pushes {
					t.Errorf("%d pushes, want %d", got, c.pushes)
				}
				if n := r.counter(models.MetricPlanned, ""); n != 1 {
					t.Errorf("planned %d, want 1", n)
				}
				if r.batches() != 0 {
					t.Errorf("%d batches are left", r.batches())
				}
				r.stop()
			})
		})
	}
}

// A token without a stated death is retired as of the start of the send.
func TestRetireSinceSend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(time.Second)
			return push.Result{Outcome: push.BadTarget}
		})
		r.start()
		began := time.Now().UTC()
		r.accept(r.message("alice"))
		r.wait(2 * time.Second)
		if len(r.db.retired) != 1 || !r.db.retired[0].Before.Equal(began.Truncate(time.Microsecond)) {
			t.Errorf("retired %v, sent %v", r.db.retired, began)
		}
		r.stop()
	})
}

func TestExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(func(context.Context, sent) push.Result {
			return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
		})
		r.start()
		m := r.message("alice", func(it *models.Item) { it.Message.ExpiresAt = time.Now().Add(20 * time.Second) })
		r.accept(m)
		r.wait(time.Minute)
		r.state(m, 1, models.StateExpired, models.ReasonExpired)
		if n := len(r.vendor.list()); n < 3 || n > 5 {
			t.Errorf("%d tries in 20 s", n)
		}
		if n := r.counter(models.MetricExpired, models.ReasonExpired); n != 1 {
			t.Errorf("expired %d", n)
		}
		r.stop()
	})
}

func TestAttemptsAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Attempts: 3})
		r.device(1, "alice")
		r.vendor.set(func(context.Context, sent) push.Result { return push.Result{Outcome: push.Retry} })
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Minute)
		r.state(m, 1, models.StateFailed, models.ReasonAttempts)
		if len(r.db.attempts) != 3 || r.db.attempts[2].N != 3 {
			t.Errorf("attempts %+v", r.db.attempts)
		}
		r.stop()
	})
}

// An outage uses up no attempt: when the vendor is back before the message
// expires, it goes out.
func TestOutageUsesNoAttempts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w = r.worker("one", Limits{Attempts: 3})
		r.device(1, "alice")
		var down atomic.Bool
		down.Store(true)
		r.vendor.set(func(context.Context, sent) push.Result {
			if down.Load() {
				return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(24 * time.Hour)
		r.state(m, 1, models.StatePending, models.ReasonRetry)
		if n := len(r.vendor.list()); n < 100 || n > 200 {
			t.Errorf("%d tries in a day", n)
		}
		down.Store(false)
		r.wait(15 * time.Minute)
		r.state(m, 1, models.StateAccepted, "")
		r.stop()
	})
}

// An address that anybody may have chosen and that does not answer slows itself alone,
// however often it is asked.
func TestSilentDevicesSlowNobody(t *testing.T) {
	for _, together := range []int64{1, 100} {
		bubble(t, func(t *testing.T, r *rig) {
			if together > 1 {
				batches(r, int(together))
			}
			r.vendor.set(func(context.Context, sent) push.Result {
				return push.Result{Outcome: push.Retry, Code: push.CodeTimeout, DeviceOnly: true}
			})
			r.start()
			items := r.crowd(4 * failuresInRow)
			r.accept(items...)
			r.wait(500 * time.Millisecond)
			l := r.w.lines.m[testCred]
			if l.gov.failures != 0 || l.gov.downs != 0 || l.gov.window != l.gov.most {
				t.Errorf("%d failures, down %d times, window %d of %d", l.gov.failures, l.gov.downs, l.gov.window, l.gov.most)
			}
			r.state(items[0], 1, models.StatePending, models.ReasonRetry)
			r.vendor.set(nil)
			r.wait(10 * time.Second)
			r.state(items[0], 1, models.StateAccepted, "")
			r.stop()
		})
	}
}

// A batch that ends in every way at once is split in the transaction that records
// it: one batch per credential and due time.
func TestMixedBatch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answers := []push.Result{
			{Outcome: push.Accepted},
			{Outcome: push.Retry}, {Outcome: push.Retry},
			{Outcome: push.Throttled, DeviceOnly: true, RetryAfter: time.Hour},
			{Outcome: push.BadTarget}, {Outcome: push.BadMessage},
		}
		var items []models.Item
		for i := range answers {
			r.device(int64(i+1), fmt.Sprint("user", i))
			items = append(items, r.message(fmt.Sprint("user", i)))
		}
		items = append(items, r.message("nobody"))
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			var d int
			_, _ = fmt.Sscanf(s.token, "token-%d", &d)
			return answers[d-1]
		})
		r.start()
		r.accept(items...)
		r.wait(500 * time.Millisecond)
		if r.db.records != 1 {
			t.Errorf("%d recordings, want 1", r.db.records)
		}
		for i, want := range []string{"accepted", "pending", "pending", "pending", "failed", "failed"} {
			if d := r.delivery(items[i], int64(i+1)); d.State != want {
				t.Errorf("%d is %s, want %s", i, d.State, want)
			}
		}
		r.state(items[6], 0, models.StateSkipped, models.ReasonNoDevice)
		if len(r.db.batches) != 2 {
			t.Fatalf("%d batches are left, want 2", len(r.db.batches))
		}
		for _, b := range r.db.batches {
			if b.CredentialID != testCred || b.owner != "" || b.paused {
				t.Errorf("rest %+v", b)
			}
			for _, it := range b.Items {
				if len(it.Targets) != 1 || it.Targets[0].Tries != 1 {
					t.Errorf("targets %+v", it.Targets)
				}
			}
		}
		r.stop()
	})
}

// A slow batch shows what it has, and what is in flight is not sent again.
func TestPartialFlush(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "slow")
		r.device(2, "fast")
		r.device(3, "later")
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			switch s.token {
			case "token-1":
				time.Sleep(30 * time.Second)
			case "token-3":
				return push.Result{Outcome: push.Throttled, DeviceOnly: true, RetryAfter: 20 * time.Second}
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		slow, slow2, fast, later := r.message("slow"), r.message("slow"), r.message("fast"), r.message("later")
		r.accept(slow, slow2, fast, later)
		r.wait(1900 * time.Millisecond)
		r.state(fast, 2, models.StateAccepted, "")
		r.state(later, 3, models.StatePending, models.ReasonThrottled)
		if len(r.db.batches) != 2 {
			t.Fatalf("%d batches", len(r.db.batches))
		}
		var kept *fakeBatch
		for _, b := range r.db.batches {
			if b.owner == "one" {
				kept = b
			}
		}
		if kept == nil || len(kept.Items) != 2 || kept.Items[0].Targets[0].Tries != 0 {
			t.Fatalf("kept %+v", kept)
		}
		if n := r.db.devices[1].Device.Badge; n != 2 {
			t.Errorf("badge %d is recorded, want 2", n)
		}
		r.wait(70 * time.Second)
		r.state(slow, 1, models.StateAccepted, "")
		r.state(slow2, 1, models.StateAccepted, "")
		if n := len(r.vendor.list()); n != 7 {
			t.Errorf("%d pushes, want 7 (one throttled four times)", n)
		}
		if n := r.counter(models.MetricPlanned, ""); n != 4 {
			t.Errorf("planned %d, want 4", n)
		}
		r.vendor.set(nil)
		r.wait(30 * time.Second)
		r.state(later, 3, models.StateAccepted, "")
		if r.batches() != 0 || r.w.messages() != 0 {
			t.Errorf("%d batches are left, %d messages in memory", r.batches(), r.w.messages())
		}
		r.stop()
	})
}

// A refused credential is paused once, keeps its work, and goes on after repair.
func TestBadCredential(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var refuse atomic.Bool
		refuse.Store(true)
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(10 * time.Millisecond)
			if refuse.Load() {
				return push.Result{Outcome: push.BadCredential, Code: "InvalidProviderToken", Text: "the key is revoked"}
			}
			return push.Result{Outcome: push.Accepted}
		})
		var items []models.Item
		for i := range 50 {
			r.device(int64(i+1), fmt.Sprint("user", i))
			items = append(items, r.message(fmt.Sprint("user", i)))
		}
		r.start()
		r.accept(items...)
		r.wait(500 * time.Millisecond)
		more := r.message("user0")
		r.accept(more)
		r.wait(5 * time.Second)
		if got := fmt.Sprint(r.control.paused); got != "[InvalidProviderToken]" {
			t.Errorf("paused %s", got)
		}
		for i, m := range items {
			r.state(m, int64(i+1), models.StatePending, models.ReasonPaused)
		}
		r.state(more, 1, models.StatePending, models.ReasonPaused)
		if n := len(r.vendor.list()); n != 50 {
			t.Errorf("%d pushes through a refused key", n)
		}
		if n := r.w.lines.stopped(); n != 1 {
			t.Errorf("%d lines stand, want 1", n)
		}
		r.wait(time.Hour)
		if n := len(r.vendor.list()); n != 50 {
			t.Errorf("%d pushes while paused", n)
		}
		// Repaired: a new revision, and its batches are made due.
		refuse.Store(false)
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Paused, c.Credentials[0].Revision = false, 2 })
		r.resume()
		r.wait(3 * time.Second)
		for i, m := range items {
			r.state(m, int64(i+1), models.StateAccepted, "")
			if d := r.delivery(m, int64(i+1)); d.Attempts != 2 {
				t.Errorf("%d tries are recorded", d.Attempts)
			}
		}
		r.state(more, 1, models.StateAccepted, "")
		if n := r.w.lines.stopped(); n != 0 {
			t.Errorf("%d lines stand after repair", n)
		}
		r.wait(10 * time.Minute)
		if r.vendor.opened != 2 || r.vendor.closed != 2 {
			t.Errorf("opened %d, closed %d", r.vendor.opened, r.vendor.closed)
		}
		r.stop()
	})
}

// resume makes paused batches due, as saving a credential does.
func (r *rig) resume() {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	for _, b := range r.db.batches {
		if b.paused {
			b.paused, b.DueAt = false, time.Now()
		}
	}
}

// The operator's own pause holds within a second, and work goes on with the same
// revision when it is lifted.
func TestPausedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.start()
		r.accept(r.message("alice"))
		r.wait(2 * time.Second)
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Paused = true })
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Second)
		r.state(m, 1, models.StatePending, models.ReasonPaused)
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Paused = false })
		r.resume()
		r.wait(2 * time.Second)
		r.state(m, 1, models.StateAccepted, "")
		r.stop()
	})
}

// A refusal of a key that was replaced meanwhile pauses nothing.
func TestOldRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		var n atomic.Int32
		r.vendor.set(func(context.Context, sent) push.Result {
			if n.Add(1) == 1 {
				r.control.change(func(c *models.SendConfig) { c.Credentials[0].Revision = 2 })
				return push.Result{Outcome: push.BadCredential, Code: "ExpiredToken"}
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(6 * time.Second)
		r.state(m, 1, models.StateAccepted, "")
		if len(r.control.paused) != 0 {
			t.Errorf("paused %v", r.control.paused)
		}
		r.stop()
	})
}

// A key that cannot be opened is a refused one.
func TestCredentialThatDoesNotOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.open = func(map[string]string, push.Options) error {
			return &push.FieldError{Field: "p12", Code: push.FieldExpired}
		}
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Second)
		r.state(m, 1, models.StatePending, models.ReasonPaused)
		if got := fmt.Sprint(r.control.paused); got != "[expired]" {
			t.Errorf("paused %s", got)
		}
		r.stop()
	})
}

// A deleted credential's work finds another one or ends.
func TestCredentialDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(2 * time.Second)
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		one, two := r.message("alice"), r.message("alice")
		r.accept(one, two)
		r.wait(100 * time.Millisecond)
		r.control.change(func(c *models.SendConfig) { c.Credentials = nil })
		r.wait(10 * time.Second)
		r.state(one, 1, models.StateAccepted, "")
		r.state(two, 1, models.StateFailed, models.ReasonNoCredential)
		r.stop()
	})
}

// Throttling slows the one credential, holds everything of it for as long as the
// vendor asks, and then sends little at first.
func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.control.cfg.Credentials = append(r.control.cfg.Credentials,
			models.SendCredential{ID: 8, Revision: 1, Channel: "apns", Environment: "development"})
		var throttle atomic.Bool
		throttle.Store(true)
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			time.Sleep(20 * time.Millisecond)
			if throttle.Load() && s.token != "token-1000" {
				return push.Result{Outcome: push.Throttled, RetryAfter: 30 * time.Second}
			}
			return push.Result{Outcome: push.Accepted}
		})
		var items []models.Item
		for i := range 200 {
			r.device(int64(i+1), fmt.Sprint("user", i))
			items = append(items, r.message(fmt.Sprint("user", i)))
		}
		r.device(1000, "other", func(x *models.Reach) { x.Routes[0].Environment = "development" })
		r.w = r.worker("one", Limits{InFlight: 16})
		r.start()
		r.accept(items...)
		r.wait(time.Second)
		if n := len(r.vendor.list()); n != 16 {
			t.Errorf("%d sends before the pause, want 16", n)
		}
		for i, m := range items {
			r.state(m, int64(i+1), models.StatePending, models.ReasonThrottled)
		}
		if len(r.db.batches) != 1 {
			t.Errorf("%d batches, want one for all", len(r.db.batches))
		}
		other := r.message("other")
		r.accept(other)
		r.wait(time.Second)
		r.state(other, 1000, models.StateAccepted, "")
		r.wait(20 * time.Second)
		if n := len(r.vendor.list()); n != 17 {
			t.Errorf("%d sends while throttled", n)
		}
		throttle.Store(false)
		r.vendor.most = 0
		r.wait(20 * time.Second)
		for i, m := range items {
			r.state(m, int64(i+1), models.StateAccepted, "")
			if d := r.delivery(m, int64(i+1)); d.Attempts > 2 {
				t.Errorf("%d tries", d.Attempts)
			}
		}
		r.stop()
	})
}

// A vendor that does not answer is left alone for a while; the messages that
// wait use up no attempt.
func TestVendorDown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var down atomic.Bool
		down.Store(true)
		r.vendor.set(func(context.Context, sent) push.Result {
			if down.Load() {
				return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
			}
			return push.Result{Outcome: push.Accepted}
		})
		var items []models.Item
		for i := range 400 {
			r.device(int64(i+1), fmt.Sprint("user", i))
			items = append(items, r.message(fmt.Sprint("user", i)))
		}
		r.w = r.worker("one", Limits{InFlight: 32})
		r.start()
		r.accept(items...)
		r.wait(5 * time.Minute)
		if n := len(r.vendor.list()); n > 1200 {
			t.Errorf("%d sends to a vendor that is down", n)
		}
		down.Store(false)
		r.wait(12 * time.Minute) // the longest backoff
		for i, m := range items {
			r.state(m, int64(i+1), models.StateAccepted, "")
		}
		if r.batches() != 0 {
			t.Errorf("%d batches are left", r.batches())
		}
		r.stop()
	})
}

func TestGovernor(t *testing.T) {
	t0 := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	g := governor{most: 100, window: 100}
	for range failuresInRow - 1 {
		g.failed(t0, t0, models.ReasonRetry)
	}
	if _, rests := g.resting(t0); rests {
		t.Fatal("rests too early")
	}
	g.answered()
	for range failuresInRow {
		g.failed(t0, t0, models.ReasonRetry)
	}
	if until, rests := g.resting(t0); !rests || !until.Equal(t0.Add(downPause)) || g.window != downWindow {
		t.Errorf("until %v, window %d", until, g.window)
	}
	// What was in flight at the setback is no new one.
	g.failed(t0.Add(-time.Second), t0.Add(time.Second), models.ReasonRetry)
	if g.window != downWindow {
		t.Errorf("window %d", g.window)
	}
	later := t0.Add(time.Minute)
	g.throttled(later, later, 0, models.ReasonThrottled)
	g.throttled(later.Add(-time.Second), later, 0, models.ReasonThrottled)
	if until, _ := g.resting(later); !until.Equal(later.Add(throttlePause)) || g.window != downWindow/2 {
		t.Errorf("until %v, window %d", until, g.window)
	}
	g.throttled(later.Add(time.Hour), later.Add(time.Hour), 48*time.Hour, models.ReasonThrottled)
	if until, _ := g.resting(later); !until.Equal(later.Add(time.Hour + waitMost)) {
		t.Errorf("until %v", until)
	}
	for range 200 {
		g.answered()
	}
	if g.window != 100 {
		t.Errorf("window %d after answers", g.window)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 10: 10 * time.Minute, 99: 10 * time.Minute} {
		if got := backoff(n); got != want {
			t.Errorf("backoff(%d) = %v, want %v", n, got, want)
		}
	}
	for range 1000 {
		if j := jitter(10 * time.Second); j < 8*time.Second || j > 12*time.Second {
			t.Fatalf("jitter %v", j)
		}
	}
}
