package worker

import (
	"context"
	"errors"
	"time"

	"hongyan/models"
)

// Upkeep is periodic work on a database. In a cluster one process at a time does
// it, whichever River has elected.
type Upkeep struct {
	// Name is unique among the upkeep and stays the same over versions.
	Name string
	// Every is the time between two runs.
	Every time.Duration
	// AtStart runs it also when a process becomes the one that does it: for what
	// comes so seldom that restarts could keep it from ever running.
	AtStart bool
	// Run does a part that ends within its context; the next run goes on.
	Run func(ctx context.Context, d *models.DB) error
}

// storeUpkeep is the upkeep that the data model asks for.
func storeUpkeep(s *models.Store, retention time.Duration) []Upkeep {
	days := models.DefaultRetention
	if retention > 0 {
		days = max(int(retention/(24*time.Hour)), 1)
	}
	// The control plane lives in the first database; one lane does its upkeep.
	control := func(run func(context.Context) error) func(context.Context, *models.DB) error {
		return func(ctx context.Context, d *models.DB) error {
			if d != s.Databases()[0] {
				return nil
			}
			return run(ctx)
		}
	}
	return []Upkeep{
		{Name: "tidy", Every: 10 * time.Second, Run: func(ctx context.Context, d *models.DB) error { return d.Tidy(ctx) }},
		{Name: "arrivals", Every: 10 * time.Second, AtStart: true, Run: control(s.SweepArrivals)},
		{Name: "resume", Every: 5 * time.Second, Run: control(func(ctx context.Context) error {
			_, err := s.ResumeRepaired(ctx)
			return err
		})},
		{Name: "purge", Every: time.Minute, Run: s.PurgeApps},
		{Name: "control", Every: 10 * time.Minute, AtStart: true, Run: control(s.SweepControl)},
		{Name: "expiry", Every: time.Hour, AtStart: true, Run: control(func(ctx context.Context) error {
			return errors.Join(s.AlertExpiring(ctx), s.SweepAlerts(ctx))
		})},
		{Name: "retain", Every: time.Hour, AtStart: true, Run: func(ctx context.Context, d *models.DB) error { return d.Retain(ctx, days) }},
	}
}
