package worker

import (
	"slices"
	"testing"
	"time"

	"hongyan/models"
)

// Of one conversation a phone gets one alert in so long; the next says how many
// messages it stands for, and every message has its end.
func TestMerge(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.control.change(func(c *models.SendConfig) { c.Merge = 10 * time.Second })
		r.device(1, "alice")
		r.start()
		in := func(conversation, body string) models.Item {
			return r.message("alice", func(it *models.Item) { it.Message.Conversation, it.Content.Body = conversation, body })
		}
		first := in("c1", "one")
		r.accept(first)
		r.wait(time.Second)
		second, third, other, badge := in("c1", "two"), in("c1", "three"), in("c2", "else"), in("c1", "")
		badge.Message.Kind = models.KindBadge
		r.accept(second)
		r.wait(time.Second)
		r.accept(third, other, badge)
		r.wait(time.Second)
		bodies := func() (out []string) {
			for _, s := range r.vendor.list() {
				out = append(out, s.msg.Body)
			}
			return out
		}
		if got := bodies(); !slices.Equal(got, []string{"one", "else", ""}) {
			t.Errorf("sent %q", got)
		}
		r.state(third, 1, models.StatePending, models.ReasonMerging)
		r.wait(12 * time.Second)
		if got := bodies(); !slices.Equal(got, []string{"one", "else", "", "[2条] three"}) {
			t.Errorf("sent %q", got)
		}
		r.state(first, 1, models.StateAccepted, "")
		r.state(second, 1, models.StateSkipped, models.ReasonMerged)
		r.state(third, 1, models.StateAccepted, "")
		// The alerts of a conversation replace each other; those of another do not.
		list := r.vendor.list()
		if list[0].msg.CollapseKey != list[3].msg.CollapseKey || list[0].msg.CollapseKey == list[1].msg.CollapseKey {
			t.Errorf("collapse keys %q %q %q", list[0].msg.CollapseKey, list[1].msg.CollapseKey, list[3].msg.CollapseKey)
		}
		// The sums hold: three were planned and went, one was merged; the badge counts nowhere.
		if p, s := r.counter(models.MetricPlanned, ""), r.counter(models.MetricSkipped, models.ReasonMerged); p != 3 || s != 1 {
			t.Errorf("planned %d, merged %d", p, s)
		}
		if r.batches() != 0 {
			t.Errorf("%d batches are left", r.batches())
		}

		// Long after, the next one goes at once.
		r.wait(time.Minute)
		r.accept(in("c1", "later"))
		r.wait(time.Second)
		if got := bodies(); got[len(got)-1] != "later" {
			t.Errorf("sent %q", got)
		}
		r.stop()
	})
}

// Without the memory of what waits, everything goes out: too many, never too few.
func TestMergeWithoutMemory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.control.change(func(c *models.SendConfig) { c.Merge = 10 * time.Second })
		r.device(1, "alice")
		r.start()
		r.accept(r.message("alice"))
		r.wait(time.Second)
		r.accept(r.message("alice"))
		r.accept(r.message("alice"))
		r.wait(2 * time.Second)
		r.stop()
		r.w = r.worker("two", Limits{})
		r.start()
		r.wait(20 * time.Second)
		if n := len(r.vendor.list()); n != 3 {
			t.Errorf("%d sent, want each", n)
		}
		for key, d := range r.db.deliveries {
			if d.State != models.StateAccepted && d.Reason != models.ReasonMerged {
				t.Errorf("%s is %s %s", key, d.State, d.Reason)
			}
		}
		r.stop()
	})
}

// A message that would expire while it waits goes at once, and the one that waits goes
// in its time: nothing stood for it.
func TestMergeShortLived(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.control.change(func(c *models.SendConfig) { c.Merge = 10 * time.Second })
		r.device(1, "alice")
		r.start()
		first, waits := r.message("alice"), r.message("alice")
		r.accept(first)
		r.wait(time.Second)
		r.accept(waits)
		r.wait(time.Second)
		short := r.message("alice", func(it *models.Item) { it.Message.ExpiresAt = time.Now().Add(3 * time.Second) })
		r.accept(short)
		r.wait(time.Second)
		r.state(short, 1, models.StateAccepted, "")
		r.state(waits, 1, models.StatePending, models.ReasonMerging)
		r.wait(12 * time.Second)
		r.state(waits, 1, models.StateAccepted, "")
		if list := r.vendor.list(); len(list) != 3 || list[2].msg.Body != waits.Content.Body {
			t.Errorf("%d sent, the last says %q", len(list), list[len(list)-1].msg.Body)
		}
		r.stop()
	})
}
