package main

import (
	"context"
	"errors"
	"time"

	"hongyan/models"
)

// taker takes every batch and does nothing with it, so that accepting is measured
// alone.
type taker struct{}

func (taker) Owner() string                  { return "bench" }
func (taker) Reserve(*models.DB, int) bool   { return true }
func (taker) Take(*models.DB, *models.Batch) {}
func (taker) Forget(*models.DB, int)         {}
func (taker) Left(*models.DB)                {}

// acceptOnly measures Store.Accept alone, with groups of at most rows messages.
func (s *site) acceptOnly(ctx context.Context, rows, committers int, span time.Duration) (sample, error) {
	store, err := s.open(ctx, rows, committers)
	if err != nil {
		return sample{}, err
	}
	in, err := store.IngestBySecret(ctx, s.secret)
	if err != nil {
		return sample{}, errors.Join(err, store.Close())
	}
	store.StartAccepting(taker{})
	m := startMeter()
	n, took, err := load(256, span, func(_, _ int) error { return s.accept(ctx, store, in) })
	out := m.read(n)
	out.p50, out.p99 = quantile(took, 0.5), quantile(took, 0.99)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	for _, e := range []error{store.StopAccepting(stop), s.discard(stop, store), store.Close()} {
		if err == nil {
			err = e
		}
	}
	return out, err
}

// discard removes the batches that nobody worked.
func (s *site) discard(ctx context.Context, store *models.Store) error {
	d := store.Databases()[0]
	if err := d.FreeLeases(ctx); err != nil {
		return err
	}
	for {
		bs, err := d.ClaimDue(ctx, "bench", models.LeaseTime, 200)
		if err != nil || len(bs) == 0 {
			return err
		}
		recs := make([]models.Recording, len(bs))
		for i, b := range bs {
			recs[i].Batch = b
		}
		if _, _, err := d.Record(ctx, "bench", recs); err != nil {
			return err
		}
	}
}
