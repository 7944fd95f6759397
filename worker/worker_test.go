package worker

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// bubble runs a test with a rig in fake time.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

func TestSend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "alice")
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Second)
		r.state(m, 1, models.StateAccepted, "")
		r.state(m, 2, models.StateAccepted, "")
		if n := r.batches(); n != 0 {
			t.Errorf("%d batches are left", n)
		}
		if n := r.counter(models.MetricPlanned, ""); n != 2 {
			t.Errorf("planned %d, want 2", n)
		}
		if n := r.counter(models.MetricAccepted, ""); n != 2 {
			t.Errorf("accepted %d, want 2", n)
		}
		if len(r.db.attempts) != 0 {
			t.Errorf("a first accepted try needs no row: %v", r.db.attempts)
		}
		p := r.vendor.list()
		if len(p) != 2 || p[0].id == p[1].id || p[0].msg.CollapseKey != m.Message.ID || p[0].msg.Data[models.DataMessageID] != m.Message.ID {
			t.Errorf("pushes %+v", p)
		}
		d := r.delivery(m, 1)
		if d.VendorID != "v-"+targetID(m.Message.ID, 1) || d.CredentialID != testCred || d.Attempts != 1 || d.Channel != "apns" {
			t.Errorf("delivery %+v", d)
		}
		if r.control.worked != 1 {
			t.Errorf("success noted %d times", r.control.worked)
		}
		r.stop()
		if r.vendor.opened != 1 || r.vendor.closed != 1 || r.w.messages() != 0 {
			t.Errorf("opened %d, closed %d, %d messages in memory", r.vendor.opened, r.vendor.closed, r.w.messages())
		}
	})
}

// Messages of one device go out one after the other in the order of acceptance,
// while devices do not wait for each other.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(100 * time.Millisecond)
			return push.Result{Outcome: push.Accepted}
		})
		const devices, each = 20, 10
		for d := range devices {
			r.device(int64(d+1), fmt.Sprint("user", d))
		}
		r.start()
		var all []models.Item
		for range each {
			var items []models.Item
			for d := range devices {
				items = append(items, r.message(fmt.Sprint("user", d)))
			}
			all = append(all, items...)
			r.accept(items...)
		}
		began := time.Now()
		r.wait(1900 * time.Millisecond)
		last := map[string]string{}
		p := r.vendor.list()
		if len(p) != devices*each {
			t.Fatalf("%d pushes after %v, want %d", len(p), time.Since(began), devices*each)
		}
		for _, s := range p {
			if s.msg.Data[models.DataMessageID].(string) <= last[s.token] {
				t.Errorf("%s got %v after %s", s.token, s.msg.Data[models.DataMessageID], last[s.token])
			}
			last[s.token] = s.msg.Data[models.DataMessageID].(string)
		}
		if r.vendor.most != devices {
			t.Errorf("%d sends at once, want %d", r.vendor.most, devices)
		}
		for i, m := range all {
			r.state(m, int64(i%devices+1), models.StateAccepted, "")
		}
		r.stop()
	})
}

func TestBadge(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice", func(x *models.Reach) { x.Device.Badge = 3 })
		r.vendor.set(func(context.Context, sent) push.Result {
			time.Sleep(50 * time.Millisecond)
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		badge := func(n int) func(*models.Item) { return func(it *models.Item) { it.Content.Badge = &n } }
		kind := func(k string) func(*models.Item) { return func(it *models.Item) { it.Message.Kind = k } }
		r.accept(r.message("alice"), r.message("alice"))
		r.accept(r.message("alice"))
		r.accept(r.message("alice", badge(20)))
		r.accept(r.message("alice", kind(models.KindSilent)))
		r.accept(r.message("alice", func(it *models.Item) { it.Content.KeepBadge = true }))
		r.accept(r.message("alice"))
		r.accept(r.message("alice", kind(models.KindBadge), badge(0)))
		r.accept(r.message("alice"))
		r.wait(3 * time.Second)
		var got []int
		for _, p := range r.vendor.list() {
			got = append(got, p.badge)
		}
		if want := []int{4, 5, 6, 20, -1, 20, 21, 0, 1}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("badges %v, want %v", got, want)
		}
		// The update of the number alone is in no statistics.
		if p, a := r.counter(models.MetricPlanned, ""), r.counter(models.MetricAccepted, ""); p != 8 || a != 8 {
			t.Errorf("%d planned, %d accepted, want 8", p, a)
		}
		if n := r.db.devices[1].Device.Badge; n != 1 {
			t.Errorf("stored badge %d, want 1", n)
		}
		r.accept(r.message("alice"))
		r.wait(time.Second)
		if p := r.vendor.list(); p[len(p)-1].badge != 2 {
			t.Errorf("badge %d after the rest, want 2", p[len(p)-1].badge)
		}
		r.stop()
	})
}

// A phone that sets its badge while messages are on their way is not overruled, and
// what comes afterwards counts on from its number.
func TestPhoneSetsBadge(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice", func(x *models.Reach) { x.Device.Badge = 3 })
		r.vendor.set(slowly(time.Second))
		r.start()
		r.accept(r.message("alice"), r.message("alice"))
		r.wait(500 * time.Millisecond)
		r.db.mu.Lock()
		r.db.devices[1].Device.Badge, r.db.devices[1].Device.BadgeRevision = 0, 1
		r.db.mu.Unlock()
		r.accept(r.message("alice"))
		r.wait(1100 * time.Millisecond) // the first is recorded, the second on its way
		if n := r.db.devices[1].Device.Badge; n > 1 {
			t.Errorf("stored badge %d, which the phone had set to 0", n)
		}
		r.wait(10 * time.Second)
		r.accept(r.message("alice"))
		r.wait(2 * time.Second)
		var got []int
		for _, p := range r.vendor.list() {
			got = append(got, p.badge)
		}
		if want := []int{4, 5, 1, 2}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("badges %v, want %v", got, want)
		}
		if n := r.db.devices[1].Device.Badge; n != 2 {
			t.Errorf("stored badge %d, want 2", n)
		}
		r.stop()
	})
}

// A message that is tried again shows the number as it is by then and does not
// change it.
func TestBadgeOfRetry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		first := true
		r.vendor.set(func(context.Context, sent) push.Result {
			if first {
				first = false
				return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		one := r.message("alice")
		r.accept(one)
		r.accept(r.message("alice"))
		r.accept(r.message("alice"))
		r.wait(10 * time.Second)
		var got []int
		for _, p := range r.vendor.list() {
			got = append(got, p.badge)
		}
		if want := []int{1, 2, 3, 3}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("badges %v, want %v", got, want)
		}
		if n := r.db.devices[1].Device.Badge; n != 3 {
			t.Errorf("stored badge %d, want 3", n)
		}
		if d := r.delivery(one, 1); d.State != models.StateAccepted || d.Attempts != 2 {
			t.Errorf("delivery %+v", d)
		}
		p := r.vendor.list()
		if p[0].id != p[3].id {
			t.Error("a retry has another id")
		}
		r.stop()
	})
}
