package worker

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// crowd registers so many people with a phone each and returns a message of a group
// chat to all of them, as acceptance groups it.
func (r *rig) crowd(n int) []models.Item {
	r.t.Helper()
	items := make([]models.Item, n)
	for i := range items {
		account := fmt.Sprint("member", i+1)
		if r.db.devices[int64(i+1)] == nil {
			r.device(int64(i+1), account)
		}
		items[i] = r.message(account)
		items[i].Content = items[0].Content
		items[i].Group = items[0].Message.ID
	}
	return items
}

func (r *rig) calls() []int {
	r.vendor.mu.Lock()
	defer r.vendor.mu.Unlock()
	return slices.Clone(r.vendor.calls)
}

func batches(r *rig, most int) {
	r.vendor.limits = push.Limits{Batch: push.BatchAlways, TargetsPerRequest: most}
}

// A message to many people is one request to a vendor that takes many targets, under
// the group's id, and so is the next one behind it. Each person's record is its own.
func TestGroupGoesTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 100)
		r.start()
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(10 * time.Millisecond)
			return push.Result{Outcome: push.Accepted, VendorID: "v"}
		})
		first, second := r.crowd(5), r.crowd(5)
		r.accept(first...)
		r.accept(second...)
		r.wait(5 * time.Second)
		if got := r.calls(); !slices.Equal(got, []int{5, 5}) {
			t.Fatalf("requests to %v targets", got)
		}
		for i, p := range r.vendor.list() {
			items := [][]models.Item{first, second}[i/5]
			it := items[i%5]
			device := int64(i%5 + 1)
			r.state(it, device, models.StateAccepted, "")
			if p.msg.Data[models.DataMessageID] != items[0].Message.ID || p.msg.CollapseKey != items[0].Message.ID {
				t.Errorf("push %d goes under %v", i, p.msg.Data)
			}
			if p.token != fmt.Sprint("token-", device) || p.badge != i/5+1 || p.id != targetID(it.Message.ID, device) || p.ref != models.SharedReceiptRef(it.Message.ID, device) {
				t.Errorf("push %d is %+v", i, p)
			}
		}
		r.stop()
	})
}

// In a request to several each has its own end; who is tried again goes under the same
// id, and a vendor that does not answer has failed once, not once for each.
func TestGroupEndsApart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 100)
		r.start()
		tries := 0
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			switch s.token {
			case "token-2":
				return push.Result{Outcome: push.BadTarget, Code: "dead"}
			case "token-3":
				return push.Result{Outcome: push.BadMessage, Code: "odd"}
			case "token-4", "token-5":
				if tries++; tries <= 2 {
					return push.Result{Outcome: push.Retry, Code: push.CodeTimeout}
				}
			}
			return push.Result{Outcome: push.Accepted, VendorID: "v"}
		})
		items := r.crowd(5)
		r.accept(items...)
		r.wait(10 * time.Second)
		r.state(items[0], 1, models.StateAccepted, "")
		r.state(items[1], 2, models.StateFailed, models.ReasonBadToken)
		r.state(items[2], 3, models.StateFailed, models.ReasonBadMessage)
		r.state(items[3], 4, models.StateAccepted, "")
		r.state(items[4], 5, models.StateAccepted, "")
		if n := r.db.tallies[testCred]; n != (models.Tally{Accepted: 3, Failed: 2}) {
			t.Errorf("the credential's tally is %+v", n)
		}
		pushes := r.vendor.list()
		if len(pushes) != 7 || pushes[6].msg.Data[models.DataMessageID] != items[0].Message.ID {
			t.Errorf("%d pushes, the last under %v", len(pushes), pushes[len(pushes)-1].msg.Data)
		}
		r.vendor.set(func(context.Context, sent) push.Result {
			return push.Result{Outcome: push.Retry, Code: push.CodeTimeout}
		})
		r.accept(r.crowd(failuresInRow + 4)...)
		r.wait(time.Second)
		if l := r.w.lines.m[testCred]; l.gov.failures != 1 || l.gov.downs != 0 {
			t.Errorf("one request without an answer counts as %d, down %d times", l.gov.failures, l.gov.downs)
		}
		r.stop()
	})
}

// A refused key keeps everyone's message, and a quota slows once; both go on together.
func TestGroupWaitsTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 100)
		r.start()
		outcome := push.Throttled
		r.vendor.set(func(context.Context, sent) push.Result { return push.Result{Outcome: outcome, Code: "c"} })
		items := r.crowd(4)
		r.accept(items...)
		r.wait(time.Second)
		for i := range items {
			r.state(items[i], int64(i+1), models.StatePending, models.ReasonThrottled)
		}
		if l := r.w.lines.m[testCred]; l.gov.throttles != 1 {
			t.Errorf("slowed %d times by one request", l.gov.throttles)
		}
		outcome = push.BadCredential
		r.pass()
		r.wait(5 * time.Second)
		for i := range items {
			r.state(items[i], int64(i+1), models.StatePending, models.ReasonPaused)
		}
		if n := len(r.control.paused); n != 1 {
			t.Errorf("paused %d times", n)
		}
		outcome = push.Accepted
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Paused = false })
		r.db.mu.Lock()
		for _, b := range r.db.batches {
			b.DueAt, b.paused = time.Now(), false
		}
		r.db.mu.Unlock()
		r.wait(10 * time.Second)
		for i := range items {
			r.state(items[i], int64(i+1), models.StateAccepted, "")
		}
		if got := r.calls(); !slices.Equal(got, []int{4, 4, 4}) {
			t.Errorf("requests to %v targets", got)
		}
		r.stop()
	})
}

// What goes alone: more than the vendor takes in one request, to a vendor that takes
// one, with hidden text (the app finds a message by its id), with merging, and with
// receipts that the vendor gives for single requests only.
func TestGroupsThatDoNotGoTogether(t *testing.T) {
	for name, c := range map[string]struct {
		limits push.Limits
		change func(*models.SendConfig)
		calls  []int
		own    bool
	}{
		"the vendor takes two":  {limits: push.Limits{Batch: push.BatchAlways, TargetsPerRequest: 2}, calls: []int{1, 2, 2}},
		"the vendor takes one":  {limits: push.Limits{TargetsPerRequest: 2}, own: true},
		"without receipts":      {limits: push.Limits{Batch: push.BatchSilent, TargetsPerRequest: 9}, calls: []int{5}},
		"the text is the name":  {limits: push.Limits{Batch: push.BatchAlways, TargetsPerRequest: 9}, change: func(c *models.SendConfig) { c.TextMode = models.TextSender }, own: true},
		"the text says nothing": {limits: push.Limits{Batch: push.BatchAlways, TargetsPerRequest: 9}, change: func(c *models.SendConfig) { c.TextMode = models.TextGeneric }, own: true},
		"messages are merged":   {limits: push.Limits{Batch: push.BatchAlways, TargetsPerRequest: 9}, change: func(c *models.SendConfig) { c.Merge = time.Minute }, own: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.vendor.limits = c.limits
				if c.change != nil {
					r.control.change(c.change)
				}
				r.start()
				items := r.crowd(5)
				r.accept(items...)
				r.wait(5 * time.Second)
				want := c.calls
				if want == nil {
					want = []int{1, 1, 1, 1, 1}
				}
				got := r.calls() // the requests are under way at once
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("requests to %v targets, want %v", got, want)
				}
				ids := map[any]bool{}
				for _, p := range r.vendor.list() {
					ids[p.msg.Data[models.DataMessageID]] = true
				}
				if c.own != (len(ids) == 5) {
					t.Errorf("%d ids", len(ids))
				}
				r.stop()
			})
		})
	}
	if n := bundleOf(&push.Limits{Batch: push.BatchSilent, TargetsPerRequest: 9}, true); n != 1 {
		t.Errorf("%d targets with receipts that come for one", n)
	}
}

// A request beyond a burst is paid for by those after it.
func TestLargeGroupOwesTheRate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 500)
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Rate = 100 })
		r.start()
		for range 3 {
			r.accept(r.crowd(100)...)
		}
		for second, most := range []int{100, 200, 300} {
			r.wait(900 * time.Millisecond)
			if n := len(r.vendor.list()); n > most {
				t.Errorf("%d targets before second %d is over, at 100 a second", n, second+1)
			}
		}
		r.wait(2 * time.Second)
		if n := len(r.vendor.list()); n != 300 {
			t.Errorf("%d targets in all", n)
		}
		r.stop()
	})
}

// A used-up quota is told the others once, not for each target, and not for longer than
// a day whatever the vendor says.
func TestGroupTellsOfQuotaOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 500)
		r.start()
		r.vendor.set(func(context.Context, sent) push.Result {
			return push.Result{Outcome: push.Throttled, Code: "quota", RetryAfter: 7 * 24 * time.Hour}
		})
		r.accept(r.crowd(100)...)
		r.wait(2 * time.Second)
		r.control.mu.Lock()
		defer r.control.mu.Unlock()
		if r.control.rests != 1 {
			t.Errorf("told %d times", r.control.rests)
		}
		if rest := time.Until(r.control.cfg.Credentials[0].RestUntil); rest > waitMost {
			t.Errorf("rests for %v", rest)
		}
		r.control.mu.Unlock()
		r.stop()
		r.control.mu.Lock()
	})
}

// A rate counts targets, not requests.
func TestGroupsKeepTheRate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 100)
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Rate = 100 })
		r.start()
		for range 10 {
			r.accept(r.crowd(10)...)
		}
		r.wait(500 * time.Millisecond)
		if n := len(r.vendor.list()); n < 20 || n > 70 {
			t.Errorf("%d targets in half a second at 100 a second", n)
		}
		r.wait(3 * time.Second)
		if n := len(r.vendor.list()); n != 100 {
			t.Errorf("%d targets in all", n)
		}
		r.stop()
	})
}
