package main

import (
	"context"
	"time"

	"hongyan/models"
	"hongyan/push/registry"
	"hongyan/worker"
)

// How often the upkeep runs, in each database, by one process at a time.
const (
	tidyEvery   = 5 * time.Second
	wakeEvery   = 10 * time.Second
	purgeEvery  = time.Minute
	retainEvery = time.Hour
)

// upkeep is the periodic work of the databases. The names stay the same over
// versions: the queue knows the work by them.
func (s *process) upkeep() []worker.Upkeep {
	days := int(s.cfg.Retention / (24 * time.Hour))
	control := func(fn func(ctx context.Context) error) func(context.Context, *models.DB) error {
		return func(ctx context.Context, d *models.DB) error {
			if d != s.store.DB {
				return nil // a region's own database has no control plane
			}
			return fn(ctx)
		}
	}
	return []worker.Upkeep{
		{Name: "tidy", Every: tidyEvery, Run: func(ctx context.Context, d *models.DB) error { return d.Tidy(ctx) }},
		{Name: "retain", Every: retainEvery, Run: func(ctx context.Context, d *models.DB) error { return d.Retain(ctx, days) }},
		{Name: "purge_apps", Every: purgeEvery, Run: s.store.PurgeApps},
		{Name: "sweep_control", Every: retainEvery, Run: control(s.store.SweepControl)},
		{Name: "resume_repaired", Every: wakeEvery, Run: control(func(ctx context.Context) error {
			_, err := s.store.ResumeRepaired(ctx)
			return err
		})},
	}
}

// startWorker starts what sends, and then the intake, which hands fresh messages
// to it. A process that only serves leaves them to the others.
func (s *process) startWorker(ctx context.Context) error {
	if s.cfg.SQLite() {
		s.store.GuardDisk(s.cfg.DataDir, s.cfg.DiskMinFree, nil)
	}
	var hand models.HandOver
	if s.cfg.Works() {
		w := worker.New(worker.Options{
			Store: s.store, Registry: registry.Lookup, Sandbox: s.simulator, Log: s.con.log, Metrics: s.metrics, Upkeep: s.upkeep(),
		})
		if err := w.Start(ctx); err != nil {
			return err
		}
		s.parts.started("worker", shareWorker, w.Stop)
		hand = w
	}
	s.store.StartAccepting(hand)
	s.parts.started("intake", shareQuick, s.store.StopAccepting)
	return nil
}
