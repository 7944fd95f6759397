package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"hongyan/models"
)

const (
	// recordAtOnce and recordMessages bound one transaction: on SQLite an IM server waits
	// for its answer while it runs.
	recordAtOnce   = 256
	recordMessages = 500
	// recordTimeout bounds one transaction; it is then tried again.
	recordTimeout = 20 * time.Second
	// recordPause is the wait after a first failure; it doubles up to recordMost.
	recordPause = 50 * time.Millisecond
	recordMost  = 5 * time.Second
	// splitAfter is how many failures a group has before it is halved, so that one
	// batch that cannot be recorded does not hold up the others.
	splitAfter = 3
)

// recorder writes finished batches: whatever became ready during the last
// transaction makes up the next one.
type recorder struct {
	l *lane

	mu    sync.Mutex
	ready []*work
	again []*group // failed before; in order of failure
	// active is set from taking a group until its outcome is settled.
	active bool

	wake chan struct{} // capacity 1
	idle chan struct{} // capacity 1: nothing is left, for the one who stops
	quit chan struct{} // closed to end run
}

// group is batches recorded together, and how that went so far.
type group struct {
	works    []*work
	failures int
	notUntil time.Duration
}

func newRecorder(l *lane) *recorder {
	return &recorder{l: l, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1), quit: make(chan struct{})}
}

// add queues a batch. It is called under the batch's lock and never waits.
func (r *recorder) add(k *work) {
	r.mu.Lock()
	r.ready = append(r.ready, k)
	r.mu.Unlock()
	signal(r.wake)
}

// drained reports whether nothing waits to be recorded or is being recorded.
func (r *recorder) drained() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ready) == 0 && len(r.again) == 0 && !r.active
}

// run records until quit. Nothing is given up: what fails is tried again.
func (r *recorder) run() {
	for {
		g, wait := r.next()
		if g != nil {
			r.record(g)
			continue
		}
		if wait == 0 {
			signal(r.idle)
			wait = time.Hour
		}
		t := time.NewTimer(wait)
		select {
		case <-r.wake:
		case <-t.C:
		case <-r.quit:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// next takes the group to record now, or says how long until there is one; 0
// when there is none.
func (r *recorder) next() (*group, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = false
	now := r.l.w.sinceStart()
	var wait time.Duration
	for i, g := range r.again {
		if g.notUntil <= now {
			r.again = slices.Delete(r.again, i, i+1)
			r.active = true
			return g, 0
		}
		if d := g.notUntil - now; wait == 0 || d < wait {
			wait = d
		}
	}
	n, messages := 0, 0
	for n < len(r.ready) && n < recordAtOnce && (n == 0 || messages < recordMessages) {
		messages += len(r.ready[n].jobs)
		n++
	}
	if n == 0 {
		return nil, wait
	}
	g := &group{works: slices.Clone(r.ready[:n])}
	r.ready = slices.Delete(r.ready, 0, n)
	r.active = true
	return g, 0
}

// record writes one group, or puts it back.
func (r *recorder) record(g *group) {
	began := time.Now()
	err := r.try(g.works)
	r.l.w.metrics.record.Observe(time.Since(began).Seconds())
	if err == nil {
		return
	}
	r.l.w.metrics.recordErrors.Inc()
	g.failures++
	r.l.w.log.Error("results not recorded, will try again", "batches", len(g.works), "failures", g.failures, "error", err)
	g.notUntil = r.l.w.sinceStart() + min(recordPause<<min(g.failures-1, 10), recordMost)
	r.mu.Lock()
	defer r.mu.Unlock()
	if half := len(g.works) / 2; g.failures >= splitAfter && half > 0 {
		r.again = append(r.again, &group{works: g.works[half:], failures: g.failures - 1, notUntil: g.notUntil})
		g.works = g.works[:half]
	}
	r.again = append(r.again, g)
}

// try makes one transaction. On error every batch is as before.
func (r *recorder) try(works []*work) (err error) {
	var busy []*work
	defer func() {
		if p := recover(); p != nil {
			r.l.w.metrics.panics.Inc()
			r.l.w.log.Error("recording panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("worker: record: panic: %v", p)
		}
		if err != nil {
			for _, k := range busy {
				k.unbuild()
			}
		}
	}()
	// Once nothing is under way any more, what is open is handed back instead of kept.
	keep := r.l.w.phase.Load() < settling
	recs := make([]models.Recording, 0, len(works))
	for _, k := range works {
		if rec, ok := k.build(keep); ok {
			busy = append(busy, k)
			recs = append(recs, rec)
		}
	}
	if len(busy) == 0 {
		return nil
	}
	for i, k := range busy {
		recs[i].Badges = r.l.badges.values(k.uncounted())
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	now := r.l.w.sinceStart()
	kept, lost, err := r.l.db.Record(ctx, r.l.w.o.Owner, recs)
	if err != nil {
		return err
	}
	gone := make(map[int64]bool, len(lost))
	for _, id := range lost {
		gone[id] = true
	}
	for i, k := range busy {
		if gone[recs[i].Batch.ID] {
			r.missing(k, recs[i].Batch)
			continue
		}
		var rest *models.Batch
		if len(kept[i]) > 0 {
			rest = kept[i][0]
		}
		r.done(k, rest, now)
	}
	r.l.wantMore()
	if slices.ContainsFunc(recs, detours) {
		signal(r.l.sweep) // another route need not wait for the next beat
	}
	return nil
}

// detours reports whether a recording leaves work that goes another way at once.
func detours(rec models.Recording) bool {
	return slices.ContainsFunc(rec.Deliveries, func(d models.Delivery) bool { return d.Reason == models.ReasonDetour })
}

// missing handles a batch that was not ours any more when its results were to be
// recorded. They are given up: whoever has it makes its own.
func (r *recorder) missing(k *work, tried *models.Batch) {
	k.unbuild()
	k.mu.Lock()
	k.queued = false
	again := k.batch.Generation != tried.Generation // claimed anew by ourselves meanwhile
	if again {
		k.queueLocked()
	}
	k.mu.Unlock()
	if again {
		return
	}
	r.l.w.metrics.lost.Inc()
	r.l.w.log.Warn("a batch was taken over by another process before its results were recorded", "batch", tried.ID)
	r.l.drop(k)
}

// done follows a committed record: the batch is over, or goes on as rest.
func (r *recorder) done(k *work, rest *models.Batch, began time.Duration) {
	l := r.l
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy, k.queued, k.counted = false, false, true
	l.badges.release(k.badges)
	k.badges = nil
	settled := k.markRecordedLocked()
	old, freed := k.batch.ID, k.size
	switch {
	case k.lost: // dropped meanwhile; its rest comes back by itself
		freed = 0
	case rest == nil:
		k.over = true
		l.w.metrics.age.Observe((l.w.sinceStart() - k.came).Seconds())
	default:
		k.batch, k.renewed, k.valid = rest, began, began+models.LeaseTime-leaseMargin
		k.flushed = l.w.sinceStart()
		freed = min(settled, k.size-1) // at least the one that is open
		// While stopping nobody asks again for what came to its end meanwhile: it would be
		// handed back as if it had not been sent.
		if k.open == 0 || k.unrecorded > 0 && l.w.phase.Load() >= settling {
			k.queueLocked()
		}
	}
	k.size -= freed
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used -= freed
	delete(l.held, old)
	if rest != nil && !k.lost {
		l.held[rest.ID] = k
	}
}
