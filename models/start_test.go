package models

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each fact ticks its own step of 快速开始, on the app that has come furthest.
func TestStartFacts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "lan")
		facts := func() StartFacts {
			t.Helper()
			products, err := s.Products(ctx, w.main, "")
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.StartFacts(ctx, w.main, products)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		want := func(steps ...bool) {
			t.Helper()
			if d := cmp.Diff(steps, facts().Steps()); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
		}
		if f := facts(); f.App == nil || f.App.ID != w.ios.ID {
			t.Fatalf("the guide speaks of %+v, want the iOS app", f.App)
		}
		want(true, true, false, false, false, false, false)
		if _, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID); err != nil {
			t.Fatal(err)
		}
		want(true, true, true, false, false, false, false)

		// A real key does not count while the sandbox is on, nor the other way round.
		save := func(environment string) {
			t.Helper()
			in := CredentialInput{Channel: "apns", Environment: environment, Kind: "p8", Fields: map[string]string{"key": "k"}}
			if _, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), in); err != nil {
				t.Fatal(err)
			}
		}
		save(EnvironmentProduction)
		want(true, true, true, true, false, false, false)
		if _, err := s.SetSandbox(ctx, w.main, w.ios.ID, true); err != nil {
			t.Fatal(err)
		}
		want(true, true, true, false, false, false, false)
		save(EnvironmentSandbox)
		want(true, true, true, true, false, false, false)

		scope, _, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Register(ctx, scope, Registration{Platform: PlatformIOS}); err != nil {
			t.Fatal(err)
		}
		want(true, true, true, true, true, false, false)
		addOne(t, scope, Count{AppID: w.ios.ID, Metric: MetricAccepted})
		want(true, true, true, true, true, false, true)

		// Another account is where it was.
		other, err := s.StartFacts(ctx, newWorld(t, s, "other").main, nil)
		if err != nil {
			t.Fatal(err)
		}
		if other.App != nil || other.IMApp == nil || other.IMApp.ID == w.im.ID {
			t.Errorf("another account sees %+v", other)
		}
	})
}

// addOne adds one to a counter.
func addOne(t *testing.T, scope AppScope, c Count) {
	t.Helper()
	err := scope.db.write(context.Background(), func(tx *Tx) error {
		return tx.Exec(`INSERT INTO counters (app_id, plan_id, hour, sandbox, channel, metric, reason, slot, n) VALUES (?, ?, ?, ?, ?, ?, '', 0, 1)`,
			c.AppID, c.PlanID, c.Hour, c.Sandbox, c.Channel, c.Metric).Error
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Arrivals counts the hours of the range, of the IM plan, in the mode of the app.
func TestArrivals(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "lan")
		a, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		if err != nil {
			t.Fatal(err)
		}
		scope, _, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC) // midnight in Shanghai
		first, last := HourOf(from), HourOf(from)+23
		base := Count{AppID: w.ios.ID, PlanID: a.PlanID, Channel: "apns", Metric: MetricArrived}
		for _, c := range []struct {
			hour    int64
			sandbox bool
			metric  string
			plan    int64
		}{
			{hour: first}, {hour: last}, {hour: first - 1}, {hour: last + 1},
			{hour: first, sandbox: true}, {hour: first, metric: MetricClicked}, {hour: first, plan: a.PlanID + 1},
		} {
			row := base
			row.Hour, row.Sandbox = c.hour, c.sandbox
			if c.metric != "" {
				row.Metric = c.metric
			}
			if c.plan != 0 {
				row.PlanID = c.plan
			}
			addOne(t, scope, row)
		}
		arrivals := func() map[int64]int64 {
			t.Helper()
			products, err := s.Products(ctx, w.main, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Arrivals(ctx, products, from, from.AddDate(0, 0, 1))
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if d := cmp.Diff(map[int64]int64{w.ios.ID: 2}, arrivals()); d != "" {
			t.Errorf("real (-want +got):\n%s", d)
		}
		if _, err := s.SetSandbox(ctx, w.main, w.ios.ID, true); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[int64]int64{w.ios.ID: 1}, arrivals()); d != "" {
			t.Errorf("sandbox (-want +got):\n%s", d)
		}
	})
}
