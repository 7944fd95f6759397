package worker

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// twoRoutes gives the app a second channel and a device a token there.
func twoRoutes(r *rig) func(*models.Reach) {
	r.control.change(func(c *models.SendConfig) {
		c.Credentials = append(c.Credentials, models.SendCredential{ID: testCred + 1, Revision: 1, Channel: "fcm", Environment: "production", Kind: "fcm"})
	})
	spec := r.vendor.spec
	r.w.o.Registry = func(c push.Channel) (push.Spec, bool) {
		s, ok := spec(push.APNs)
		s.Channel = c
		return s, ok
	}
	return func(x *models.Reach) {
		// Listed first, as the newest registration is.
		x.Routes = slices.Insert(x.Routes, 0, models.Route{ID: x.Device.ID*10 + 1, AppID: testApp, DeviceID: x.Device.ID, Channel: "fcm", Environment: "production", Token: "google"})
	}
}

// A failure that another route of the device may help takes that route, once.
func TestDetour(t *testing.T) {
	for _, c := range []struct {
		name    string
		first   push.Result // of the phone's own vendor
		second  push.Result // of the other
		state   string
		reason  string
		channel string
		tokens  []string
		retired int
		tallies map[int64]models.Tally
	}{
		{"accepted at once", push.Result{Outcome: push.Accepted}, push.Result{}, models.StateAccepted, "", "apns", []string{"token-1"}, 0, map[int64]models.Tally{testCred: {Accepted: 1}}},
		{"dead token", push.Result{Outcome: push.BadTarget}, push.Result{Outcome: push.Accepted}, models.StateAccepted, "", "fcm", []string{"token-1", "google"}, 1, map[int64]models.Tally{testCred: {Failed: 1}, testCred + 1: {Accepted: 1}}},
		{"refused payload", push.Result{Outcome: push.BadMessage}, push.Result{Outcome: push.Accepted}, models.StateAccepted, "", "fcm", []string{"token-1", "google"}, 0, map[int64]models.Tally{testCred: {Failed: 1}, testCred + 1: {Accepted: 1}}},
		{"refused credential", push.Result{Outcome: push.BadCredential}, push.Result{Outcome: push.Accepted}, models.StateAccepted, "", "fcm", []string{"token-1", "google"}, 0, map[int64]models.Tally{testCred + 1: {Accepted: 1}}},
		{"daily quota", push.Result{Outcome: push.Throttled, RetryAfter: 5 * time.Hour}, push.Result{Outcome: push.Accepted}, models.StateAccepted, "", "fcm", []string{"token-1", "google"}, 0, map[int64]models.Tally{testCred + 1: {Accepted: 1}}},
		{"both dead", push.Result{Outcome: push.BadTarget}, push.Result{Outcome: push.BadTarget}, models.StateFailed, models.ReasonBadToken, "fcm", []string{"token-1", "google"}, 2, map[int64]models.Tally{testCred: {Failed: 1}, testCred + 1: {Failed: 1}}},
		{"both refuse it", push.Result{Outcome: push.BadMessage}, push.Result{Outcome: push.BadMessage}, models.StateFailed, models.ReasonBadMessage, "fcm", []string{"token-1", "google"}, 0, map[int64]models.Tally{testCred: {Failed: 1}, testCred + 1: {Failed: 1}}},
		{"throttled for a moment", push.Result{Outcome: push.Throttled, RetryAfter: time.Minute}, push.Result{}, models.StatePending, models.ReasonThrottled, "apns", []string{"token-1"}, 0, map[int64]models.Tally{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.device(1, "alice", twoRoutes(r))
				r.vendor.set(func(_ context.Context, s sent) push.Result {
					if s.token == "google" {
						return c.second
					}
					return c.first
				})
				r.start()
				m := r.message("alice")
				r.accept(m)
				r.wait(5 * time.Second)
				r.state(m, 1, c.state, c.reason)
				if d := r.delivery(m, 1); d.Channel != c.channel || d.Attempts != len(c.tokens) {
					t.Errorf("recorded %+v", d)
				}
				var tokens []string
				for _, s := range r.vendor.list() {
					tokens = append(tokens, s.token)
				}
				if !slices.Equal(tokens, c.tokens) {
					t.Errorf("went to %v, want %v", tokens, c.tokens)
				}
				if !maps.Equal(r.db.tallies, c.tallies) {
					t.Errorf("counted %v of the credentials, want %v", r.db.tallies, c.tallies)
				}
				if len(r.db.retired) != c.retired {
					t.Errorf("retired %v", r.db.retired)
				}
				if n := r.counter(models.MetricPlanned, ""); n != 1 {
					t.Errorf("planned %d, want 1", n)
				}
				r.stop()
			})
		})
	}
}

// While one credential is paused, messages take the other route without a try, and
// those for devices without another wait.
func TestPausedCredentialIsPassedBy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice", twoRoutes(r))
		r.device(2, "bob")
		r.control.change(func(c *models.SendConfig) { c.Credentials[0].Paused = true })
		r.start()
		a, b := r.message("alice"), r.message("bob")
		r.accept(a, b)
		r.wait(5 * time.Second)
		r.state(a, 1, models.StateAccepted, "")
		r.state(b, 2, models.StatePending, models.ReasonPaused)
		if d := r.delivery(a, 1); d.Channel != "fcm" || d.Attempts != 1 {
			t.Errorf("recorded %+v", d)
		}
		r.stop()
	})
}
