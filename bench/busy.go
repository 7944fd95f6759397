package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hongyan/models"
)

// answerGoal is how long an IM server may wait for its answer, 99 times of 100, however
// busy the database is.
const answerGoal = 200 * time.Millisecond

const (
	// backlog is how many messages wait for each second that answers are timed.
	backlog = 10_000
	// askers is how many connections the timed requests have.
	askers = 128
)

// disturbance is what keeps the database busy beside the worker.
type disturbance struct {
	name    string
	backlog int
	does    func(s *site, ctx context.Context, dir string) error // once; repeated until the end
	only    string                                               // an engine
}

// disturbances are what answers are timed beside.
func disturbances() []disturbance {
	return []disturbance{
		{name: " answers at rest"},
		{name: " answers beside a backlog", backlog: backlog},
		{name: " answers beside a backlog and statistics", backlog: backlog, does: (*site).statistics},
		{name: " answers beside a backlog and retention", backlog: backlog, does: (*site).retain},
		{name: " answers beside a backlog and a backup", backlog: backlog, does: (*site).backUp, only: "sqlite"},
	}
}

// answersOn times answers beside each disturbance.
func (b *bench) answersOn(ctx context.Context, s *site) error {
	for _, d := range disturbances() {
		if d.only != "" && d.only != s.engine {
			continue
		}
		err := b.measure(s.engine+d.name, gogcOurs, func(span time.Duration) (sample, error) {
			return s.answers(ctx, d, b.rate, span)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// answers lays a backlog on disk, starts a worker and posts messages to the bridge at a
// fixed rate, whatever the answers do; each is timed from when it was due.
func (s *site) answers(ctx context.Context, d disturbance, rate int, span time.Duration) (out sample, err error) {
	before, err := s.recorded(ctx)
	if err != nil {
		return sample{}, err
	}
	n := int(span.Seconds() * float64(d.backlog))
	if err := s.lay(ctx, n); err != nil {
		return sample{}, err
	}
	w := s.worker()
	if err := w.Start(ctx); err != nil {
		return sample{}, err
	}
	s.store.StartAccepting(w)
	var took []time.Duration
	if took, err = s.timed(ctx, d, rate, span, &out); err == nil {
		err = s.untilWithin(ctx, before+int64(n+len(took)), 10*time.Minute)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return out, errors.Join(err, s.store.StopAccepting(stop), w.Stop(stop))
}

// lay accepts messages that nobody sends yet.
func (s *site) lay(ctx context.Context, n int) error {
	s.store.StartAccepting(nil)
	err := each(n/models.MaxBatch, func(int) error {
		msgs := make([]models.Incoming, models.MaxBatch)
		for i := range msgs {
			msgs[i] = s.message()
		}
		_, err := s.store.Accept(ctx, s.ingest, msgs)
		return err
	})
	return errors.Join(err, s.store.StopAccepting(ctx))
}

// timed takes the time of answers beside a disturbance.
func (s *site) timed(ctx context.Context, d disturbance, rate int, span time.Duration, out *sample) ([]time.Duration, error) {
	clients := make(chan *client, askers)
	for range askers {
		c, err := dial(ctx, s.server.Listener.Addr().String())
		if err != nil {
			return nil, err
		}
		defer c.close()
		clients <- c
	}
	busy, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.disturb(busy, d) }()
	m := startMeter()
	took, err := s.openLoop(ctx, clients, rate, span)
	*out = m.read(int64(len(took)))
	stop()
	if e := <-ended; err == nil && !errors.Is(e, context.Canceled) {
		err = e
	}
	slices.Sort(took)
	out.p50, out.p99, out.most = quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)
	return took, err
}

// openLoop sends a request each time one is due and returns how long each took.
func (s *site) openLoop(ctx context.Context, clients chan *client, rate int, span time.Duration) ([]time.Duration, error) {
	n := int(span.Seconds() * float64(rate))
	took, errs := make([]time.Duration, n), make([]error, n)
	path := "/im/" + s.secret + "/messages"
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if err := sleepUntil(ctx, due); err != nil {
			return nil, err
		}
		wg.Go(func() {
			c := <-clients
			errs[i] = c.post(path, s.genericBody())
			took[i] = time.Since(due)
			clients <- c
		})
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

func sleepUntil(ctx context.Context, due time.Time) error {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// disturb does a disturbance again and again until ctx ends.
func (s *site) disturb(ctx context.Context, d disturbance) error {
	if d.does == nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "hongyan-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // below the system's temporary folder
	for ctx.Err() == nil {
		if err := d.does(s, ctx, dir); err != nil {
			return canceledOr(ctx, err)
		}
	}
	return ctx.Err()
}

// canceledOr returns why ctx ended, if it did: what was under way then fails in many
// words.
func canceledOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// statistics asks what the pages of a plan and of its records ask.
func (s *site) statistics(ctx context.Context, _ string) error {
	now := time.Now()
	_, err := s.store.PlanStats(ctx, s.scope, models.StatsFilter{PlanID: s.plan, From: now.AddDate(0, 0, -30), To: now, Zone: time.UTC, Sandbox: true})
	if err != nil {
		return err
	}
	page, err := s.store.SendRecords(ctx, s.scope, models.RecordFilter{PlanID: s.plan})
	for range 5 {
		if err != nil || page.Older == "" {
			break
		}
		page, err = s.store.SendRecords(ctx, s.scope, models.RecordFilter{PlanID: s.plan, Before: page.Older})
	}
	if err != nil {
		return err
	}
	if _, err = s.store.SendRecords(ctx, s.scope, models.RecordFilter{Account: user(int(now.UnixNano() % users))}); err != nil {
		return err
	}
	_, err = s.store.SendRecords(ctx, s.scope, models.RecordFilter{State: models.StateFailed, From: now.AddDate(0, 0, -7), To: now})
	return err
}

// retain deletes every record there is, as the hourly upkeep deletes old ones. On
// Postgres, where whole days are dropped, that is looking for partitions.
func (s *site) retain(ctx context.Context, _ string) error {
	return errors.Join(s.store.Databases()[0].Retain(ctx, 0), tick(ctx))
}

// backUp copies the whole database.
func (s *site) backUp(ctx context.Context, dir string) error {
	file := filepath.Join(dir, fmt.Sprintf("copy-%d.db", time.Now().UnixNano()))
	return errors.Join(s.store.Databases()[0].BackupTo(ctx, file), os.Remove(file))
}

// printAnswers prints how long IM servers waited.
func (b *bench) printAnswers() {
	fmt.Fprintf(b.out, "\n%-68s %10s %9s %9s %9s %9s\n", fmt.Sprintf("answering %d single messages a second over HTTP, median of rounds", b.rate), "goal, ms", "p50", "p99", "worst p99", "slowest")
	for _, s := range b.sites {
		for _, d := range disturbances() {
			v := b.values[s.engine+d.name]
			if len(v) == 0 {
				continue
			}
			p50, _, _ := median(v, func(s sample) time.Duration { return s.p50 })
			p99, _, worst := median(v, func(s sample) time.Duration { return s.p99 })
			_, _, most := median(v, func(s sample) time.Duration { return s.most })
			fmt.Fprintf(b.out, "%-68s %10.0f %9.1f %9.1f %9.1f %9.1f\n", s.engine+":"+d.name, ms(answerGoal), ms(p50), ms(p99), ms(worst), ms(most))
		}
	}
}
