package worker

import (
	"context"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// campaign has a message choose its own notification channel.
func campaign(it *models.Item) {
	it.Content.ChannelIDs = map[string]string{"apns": "marketing"}
}

// usedUp is a vendor whose day is over for that channel.
func usedUp(_ context.Context, s sent) push.Result {
	if s.msg.ChannelIDs[push.APNs] == "marketing" {
		return push.Result{Outcome: push.Throttled, Code: "200001", RetryAfter: 3 * time.Hour, ClassOnly: true}
	}
	return push.Result{Outcome: push.Accepted}
}

// A class that has used up its day waits by itself, in this process and in others, while
// everything else of the credential goes on at once; with the next day it is sent.
func TestClassRests(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i, who := range []string{"alice", "bob", "carol"} {
			r.device(int64(i+1), who)
		}
		r.vendor.set(usedUp)
		r.start()
		first := r.message("alice", campaign)
		r.accept(first)
		r.wait(time.Second)
		r.state(first, 1, models.StatePending, models.ReasonThrottled)
		if r.control.rests != 1 || len(r.vendor.list()) != 1 {
			t.Fatalf("told %d times after %d pushes", r.control.rests, len(r.vendor.list()))
		}
		chat, second := r.message("bob"), r.message("carol", campaign)
		r.accept(chat, second)
		r.wait(time.Second)
		r.state(chat, 2, models.StateAccepted, "")
		r.state(second, 3, models.StatePending, models.ReasonThrottled)
		if n := len(r.vendor.list()); n != 2 {
			t.Errorf("%d pushes, want the campaign's first and the chat's", n)
		}
		if l := r.w.lines.m[testCred]; l.gov.window != l.gov.most {
			t.Errorf("the credential is slowed to %d of %d", l.gov.window, l.gov.most)
		}
		r.stop()

		r.w = r.worker("two", Limits{})
		r.start()
		third := r.message("bob", campaign)
		r.accept(third)
		r.wait(time.Hour)
		r.state(third, 2, models.StatePending, models.ReasonThrottled)
		if n := len(r.vendor.list()); n != 2 || r.control.rests != 1 {
			t.Errorf("%d pushes, told %d times while another process knew", n, r.control.rests)
		}
		r.vendor.set(nil)
		r.wait(2*time.Hour + time.Minute)
		for device, it := range map[int64]models.Item{1: first, 2: third, 3: second} {
			r.state(it, device, models.StateAccepted, "")
		}
		r.stop()
	})
}

// Those of a used-up class take another route where they have one, and a request to
// many tells of the quota once.
func TestClassRestDetours(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		other := twoRoutes(r)
		batches(r, 100)
		r.vendor.set(func(ctx context.Context, s sent) push.Result {
			if s.token == "google" {
				return push.Result{Outcome: push.Accepted}
			}
			return usedUp(ctx, s)
		})
		r.device(1, "member1", other)
		r.start()
		items := r.crowd(4)
		for i := range items {
			campaign(&items[i])
		}
		r.accept(items...)
		r.wait(5 * time.Second)
		r.state(items[0], 1, models.StateAccepted, "")
		for i := 1; i < len(items); i++ {
			r.state(items[i], int64(i+1), models.StatePending, models.ReasonThrottled)
		}
		if r.control.rests != 1 {
			t.Errorf("told %d times", r.control.rests)
		}
		again := r.message("member1", campaign)
		r.accept(again)
		r.wait(5 * time.Second)
		r.state(again, 1, models.StateAccepted, "")
		r.stop()
	})
}

// That a vendor takes no more batches today is known to the next send, and to a process
// that starts later.
func TestBatchesRest(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		batches(r, 100)
		asked := false
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			out := push.Result{Outcome: push.Accepted}
			if !s.msg.Singly && !asked {
				asked, out.SinglyFor = true, 3*time.Hour
			}
			return out
		})
		r.start()
		send := func() (singly bool) {
			t.Helper()
			r.accept(r.crowd(3)...)
			r.wait(time.Second)
			list := r.vendor.list()
			return list[len(list)-1].msg.Singly
		}
		if send() || !send() || r.control.rests != 1 {
			t.Errorf("batches did not end with the vendor's word; told %d times", r.control.rests)
		}
		r.stop()
		r.w = r.worker("two", Limits{})
		r.start()
		if !send() {
			t.Error("another process asks for batches")
		}
		r.wait(3 * time.Hour)
		if send() || r.control.rests != 1 {
			t.Errorf("the next day goes singly; told %d times", r.control.rests)
		}
		r.stop()
	})
}
