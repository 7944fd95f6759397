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

// Every end that needs no vendor, with its place in the funnel.
func TestEndsWithoutSending(t *testing.T) {
	off := func(x *models.Reach) { x.Device.Notify = models.NotifyOff }
	type rule struct {
		name   string
		device func(*models.Reach) // nil: no device
		cfg    func(*models.SendConfig)
		gone   bool // the app
		item   func(*models.Item)
		id     int64 // the device of the record
		state  string
		reason string
		metric string
		plan   int64
	}
	for _, c := range []rule{
		{name: "no device", state: models.StateSkipped, reason: models.ReasonNoDevice, metric: models.MetricSkipped},
		{name: "notifications off", device: off, id: 1, state: models.StateSkipped, reason: models.ReasonNotifyOff, metric: models.MetricSkipped},
		{name: "silent ignores notifications off", device: off, id: 1, plan: 1, state: models.StateAccepted, metric: models.MetricAccepted,
			item: func(it *models.Item) { it.Message.Kind = models.KindSilent }},
		{name: "no route", device: func(x *models.Reach) { x.Routes = nil }, id: 1, state: models.StateSkipped, reason: models.ReasonNoRoute, metric: models.MetricSkipped},
		{name: "no credential for the channel", device: func(x *models.Reach) { x.Routes[0].Channel = "hw" }, id: 1, plan: 1,
			state: models.StateFailed, reason: models.ReasonNoCredential, metric: models.MetricFailed},
		{name: "no credential for the environment", device: func(x *models.Reach) { x.Routes[0].Environment = "development" }, id: 1, plan: 1,
			state: models.StateFailed, reason: models.ReasonNoCredential, metric: models.MetricFailed},
		{name: "a channel this build does not have", device: func(x *models.Reach) { x.Routes[0].Channel = "hw" }, id: 1, plan: 1,
			cfg:   func(c *models.SendConfig) { c.Credentials[0].Channel = "hw" },
			state: models.StateFailed, reason: models.ReasonNoCredential, metric: models.MetricFailed},
		{name: "expired before", device: func(*models.Reach) {}, state: models.StateExpired, reason: models.ReasonExpired, metric: models.MetricExpired,
			item: func(it *models.Item) { it.Message.ExpiresAt = time.Now() }},
		{name: "app deleted", device: func(*models.Reach) {}, gone: true,
			state: models.StateFailed, reason: models.ReasonAppGone, metric: models.MetricFailed},
		{name: "test push to a foreign device", device: func(x *models.Reach) { x.Device.AppID = 9 },
			item:  func(it *models.Item) { it.DeviceID, it.Message.Account = 1, "" },
			state: models.StateSkipped, reason: models.ReasonNoDevice, metric: models.MetricSkipped},
		{name: "test push to one device", device: func(*models.Reach) {}, id: 1, plan: 1,
			item:  func(it *models.Item) { it.DeviceID, it.Message.Account = 1, "" },
			state: models.StateAccepted, metric: models.MetricAccepted},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if c.device != nil {
					r.device(1, "alice", c.device)
				}
				if c.cfg != nil {
					c.cfg(&r.control.cfg)
				}
				r.control.gone = c.gone
				r.start()
				m := r.message("alice")
				if c.item != nil {
					c.item(&m)
				}
				r.accept(m)
				r.wait(time.Second)
				r.state(m, c.id, c.state, c.reason)
				if n := r.counter(c.metric, c.reason); n != 1 {
					t.Errorf("%s %s is %d, want 1", c.metric, c.reason, n)
				}
				if n := r.counter(models.MetricPlanned, ""); n != c.plan {
					t.Errorf("planned %d, want %d", n, c.plan)
				}
				if n := r.batches(); n != 0 {
					t.Errorf("%d batches are left", n)
				}
				r.stop()
			})
		})
	}
}

func TestUnknownAppIsGone(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		r.control.gone = true
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Second)
		r.state(m, 0, models.StateFailed, models.ReasonAppGone)
		r.stop()
	})
}

// While something cannot be looked up, messages wait in order.
func TestLookUpIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.start()
		r.control.change(func(*models.SendConfig) { r.control.err = errFake })
		one, two := r.message("alice"), r.message("alice")
		r.accept(one)
		r.wait(time.Second)
		r.accept(two)
		r.wait(20 * time.Second) // longer than a lease
		if n := len(r.vendor.list()); n != 0 {
			t.Fatalf("%d sent without settings", n)
		}
		r.control.change(func(*models.SendConfig) { r.control.err = nil })
		r.wait(2 * time.Second)
		r.state(one, 1, models.StateAccepted, "")
		r.state(two, 1, models.StateAccepted, "")
		if p := r.vendor.list(); p[0].id != targetID(one.Message.ID, 1) {
			t.Error("out of order")
		}
		r.stop()
	})
}

func TestFanout(t *testing.T) {
	for mode, want := range map[string][]string{
		models.FanoutAll:         {"token-3", "token-2", "token-1"},
		models.FanoutLatest:      {"token-3"},
		models.FanoutPerPlatform: {"token-3", "token-1"},
	} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.control.cfg.Fanout = mode
				r.device(1, "alice", func(x *models.Reach) { x.Device.Platform = "android" })
				r.device(2, "alice")
				r.device(3, "alice")
				r.start()
				r.accept(r.message("alice"))
				r.wait(time.Second)
				got := map[string]bool{}
				for _, p := range r.vendor.list() {
					got[p.token] = true
				}
				if len(got) != len(want) {
					t.Errorf("sent to %v, want %v", got, want)
				}
				for _, w := range want {
					if !got[w] {
						t.Errorf("not sent to %s", w)
					}
				}
				r.stop()
			})
		})
	}
}

func TestFanoutIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range maxDevices + 20 {
			r.device(int64(i+1), "alice")
		}
		r.start()
		r.accept(r.message("alice"))
		r.wait(time.Second)
		got := map[string]bool{}
		for _, p := range r.vendor.list() {
			got[p.token] = true
		}
		if len(got) != maxDevices || got["token-1"] || !got["token-120"] {
			t.Errorf("sent to %d devices", len(got))
		}
		r.stop()
	})
}

func TestCredentialFor(t *testing.T) {
	cfg := &models.SendConfig{Credentials: []models.SendCredential{
		{ID: 1, Channel: "apns", Environment: "production"},
		{ID: 2, Channel: "apns", Environment: "development"},
		{ID: 3, Channel: "apns", Environment: "production", PackageName: "com.b"},
		{ID: 4, Channel: "apns", Environment: "sandbox"},
		{ID: 5, Channel: "hw", Environment: "production", PackageName: "com.c"},
	}}
	for _, c := range []struct {
		channel, env, pkg string
		box               bool
		want              int64
	}{
		{"apns", "production", "com.a", false, 1},
		{"apns", "production", "com.b", false, 3},
		{"apns", "development", "com.b", false, 2},
		{"apns", "development", "com.b", true, 4},
		{"hw", "production", "com.a", false, 0},
		{"hw", "production", "", false, 5},
		{"hw", "production", "com.c", true, 0},
	} {
		cfg.Sandbox = c.box
		var got int64
		if cr := cfg.CredentialFor(c.channel, c.env, c.pkg); cr != nil {
			got = cr.ID
		}
		if got != c.want {
			t.Errorf("%+v: credential %d", c, got)
		}
	}
}

// In the sandbox the simulator's address is used, and nothing else ever.
func TestSandbox(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var got []push.Options
		r.vendor.open = func(_ map[string]string, o push.Options) error {
			got = append(got, o)
			return nil
		}
		r.control.cfg.Sandbox = true
		r.control.cfg.Credentials[0].Environment = "sandbox"
		r.device(1, "alice")
		var has atomic.Bool
		r.w.o.Sandbox = func(push.Channel) (push.Options, bool) {
			return push.Options{Endpoint: "https://127.0.0.1:1"}, has.Load()
		}
		r.start()
		m := r.message("alice")
		r.accept(m)
		r.wait(time.Second)
		r.state(m, 1, models.StatePending, models.ReasonRetry)
		if d := r.delivery(m, 1); d.Code != codeNoSandbox || len(got) != 0 {
			t.Errorf("code %q, opened %v", d.Code, got)
		}
		has.Store(true)
		r.wait(10 * time.Second)
		r.state(m, 1, models.StateAccepted, "")
		if len(got) != 1 || got[0].Endpoint != "https://127.0.0.1:1" || got[0].Topic != "com.example.im" {
			t.Errorf("opened %+v", got)
		}
		r.stop()
	})
}

// A batch that cannot be planned harms nobody else, is tried a few times and is
// then given up with a record.
func TestPoisonedBatch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		bad := r.message("alice")
		var broken atomic.Bool
		broken.Store(true)
		r.w.o.Registry = func(c push.Channel) (push.Spec, bool) {
			if broken.Load() {
				panic("planning")
			}
			return r.vendor.spec(c)
		}
		r.start()
		r.accept(bad)
		r.wait(50 * time.Second)
		r.state(bad, 0, models.StateFailed, models.ReasonBadMessage)
		if d := r.delivery(bad, 0); d.Code != codePanic {
			t.Errorf("code %q", d.Code)
		}
		if n := r.batches(); n != 0 || r.w.messages() != 0 {
			t.Errorf("%d batches are left, %d messages in memory", n, r.w.messages())
		}
		broken.Store(false)
		good := r.message("alice")
		r.accept(good)
		r.wait(time.Second)
		r.state(good, 1, models.StateAccepted, "")
		r.stop()
	})
}

func TestPanicInChannel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "bob")
		n := 0
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			if s.token == "token-1" {
				if n++; n == 1 {
					panic("the channel")
				}
			}
			return push.Result{Outcome: push.Accepted}
		})
		r.start()
		a, b := r.message("alice"), r.message("bob")
		r.accept(a, b)
		r.wait(time.Second)
		r.state(a, 1, models.StatePending, models.ReasonRetry)
		r.state(b, 2, models.StateAccepted, "")
		r.wait(10 * time.Second)
		r.state(a, 1, models.StateAccepted, "")
		r.stop()
	})
}

func TestTargetIDIsStable(t *testing.T) {
	a := targetID("0199a0b0-0000-7000-8000-000000000001", 1)
	if a != targetID("0199a0b0-0000-7000-8000-000000000001", 1) {
		t.Error("not stable")
	}
	seen := map[string]bool{}
	for m := range 50 {
		for d := range 50 {
			seen[targetID(fmt.Sprintf("0199a0b0-0000-7000-8000-%012d", m), int64(d))] = true
		}
	}
	if len(seen) != 2500 {
		t.Errorf("%d of 2500 ids are distinct", len(seen))
	}
}
