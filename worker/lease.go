package worker

import (
	"context"
	"slices"
	"time"

	"hongyan/models"
)

const (
	// leaseMargin is how long before its end a lease is no longer believed in, for
	// clocks that run apart and statements that take their time.
	leaseMargin = 2 * time.Second
	// renewAfter is the age from which a lease is renewed: most batches are done
	// before and cost no renewal.
	renewAfter = time.Second
	// renewTimeout bounds one renewal; the next beat tries again.
	renewTimeout = 3 * time.Second
	// claimTimeout bounds one look for due batches.
	claimTimeout = 10 * time.Second
)

// beating looks at slow batches every tick and renews leases every beat.
func (l *lane) beating() {
	ctx := l.w.keeping
	t := time.NewTicker(tick)
	defer t.Stop()
	last := l.w.sinceStart()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := l.w.sinceStart()
		works := l.works()
		for _, k := range works {
			k.flush(now, partialAfter)
		}
		if now-last >= beat {
			last = now
			if l.renew(ctx, works) {
				l.unstall()
			}
			l.count(ctx)
			l.merges.tidy(l.w.o.Now())
			l.w.lines.tidy(now)
		}
	}
}

// works returns every batch in hand.
func (l *lane) works() []*work {
	l.mu.Lock()
	defer l.mu.Unlock()
	works := make([]*work, 0, len(l.held))
	for _, k := range l.held {
		works = append(works, k)
	}
	return works
}

// renew prolongs the leases that have aged, and drops batches that another
// process has taken. False means that the database did not answer.
func (l *lane) renew(ctx context.Context, works []*work) bool {
	now := l.w.sinceStart()
	asked := map[int64]*work{}
	for _, k := range works {
		k.mu.Lock()
		if !k.lost && !k.over && now-k.renewed >= renewAfter {
			asked[k.batch.ID] = k
		}
		k.mu.Unlock()
	}
	if len(asked) == 0 {
		return true
	}
	ids := make([]int64, 0, len(asked))
	for id := range asked {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	held, err := l.db.RenewLeases(ctx, l.w.o.Owner, ids, models.LeaseTime)
	if err != nil {
		// Sends of these batches stop when their leases may have run out; the next
		// renewal that works lets them go on, if nobody took them meanwhile.
		l.w.metrics.renewErrors.Inc()
		l.w.log.Warn("leases not renewed, will try again", "batches", len(ids), "error", err)
		return false
	}
	for _, id := range held {
		asked[id].prolong(id, now)
		delete(asked, id)
	}
	for id, k := range asked {
		if k.gone(id) {
			l.w.metrics.lost.Inc()
			l.w.log.Warn("a batch was taken over by another process", "batch", id)
			l.drop(k)
		}
	}
	return true
}

// prolong notes that the lease was renewed by a statement begun at now.
func (k *work) prolong(id int64, now time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.batch.ID == id {
		k.renewed, k.valid = now, now+models.LeaseTime-leaseMargin
	}
}

// gone reports whether a batch whose lease could not be renewed is lost. One that
// is being recorded may be gone because its record has just been committed; the
// recorder finds out by itself.
func (k *work) gone(id int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.batch.ID == id && !k.busy && !k.over && !k.lost
}

// stall keeps a job whose batch's lease is in doubt.
func (l *lane) stall(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = append(l.stalled, j)
}

// unstall lets jobs go on after a renewal.
func (l *lane) unstall() {
	l.mu.Lock()
	jobs := l.stalled
	l.stalled = nil
	l.mu.Unlock()
	for _, j := range jobs {
		if !l.admit(j) {
			l.complete(j)
		}
	}
}

// sweeping claims due batches every beat, and at once when there is reason to.
func (l *lane) sweeping() {
	ctx := l.w.feeding
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-l.sweep:
		}
		t.Reset(l.sweepAll(ctx))
	}
}

// look is one look for due batches.
type look struct {
	began time.Duration
	limit int // batches
	// settled: nothing can come to lie on disk any more that a fresh batch might
	// overtake, unless the memory fills up meanwhile.
	settled bool
	rooms   map[int64]int // what credentials that are slow still have room for
}

// sweepAll claims what is due and fits, and returns when to look again.
func (l *lane) sweepAll(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		k := l.newLook(l.rooms())
		if k.limit == 0 {
			return beat
		}
		n, err := l.claim(ctx, k)
		if err != nil {
			l.w.log.Warn("due batches not claimed, will try again", "error", err)
			return beat
		}
		if n < k.limit {
			return l.foundShort(k)
		}
	}
	return beat
}

// newLook begins a look for as many batches as fit. How large they are is not known
// before, so the last one may go beyond the limit of messages.
func (l *lane) newLook(rooms map[int64]int) look {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := look{began: l.w.sinceStart(), settled: l.stance == catching && l.leaving == 0, rooms: rooms}
	room := l.w.o.Limits.Messages - l.used
	if room <= 0 && l.used > l.parkedLocked() {
		l.more = true
		return k
	}
	// When nothing but parked messages is in memory, what they wait for must come in.
	k.limit = min(max(room/models.MaxBatch, 1), claimAtOnce)
	return k
}

// parkedLocked is how many messages are parked.
func (l *lane) parkedLocked() (n int) {
	for _, k := range l.parked {
		n += len(k.items)
	}
	return n
}

func (l *lane) claim(ctx context.Context, k look) (int, error) {
	// Not cut short by a stop: what is claimed must be known, to be handed back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	now := l.w.sinceStart()
	batches, err := l.db.ClaimDue(ctx, l.w.o.Owner, models.LeaseTime, k.limit, k.full()...)
	if err != nil {
		return 0, err
	}
	found := len(batches)
	l.feed(l.fitting(ctx, batches, k), k, now)
	return found, nil
}

// feed puts batches that a look claimed at now among those to be planned, together
// with the parked ones that need not wait any more.
func (l *lane) feed(batches []*models.Batch, k look, now time.Duration) {
	works := make([]*work, 0, len(batches))
	for _, b := range batches {
		l.mu.Lock()
		mine := l.held[b.ID]
		l.mu.Unlock()
		if mine == nil || !mine.adopt(b, now) {
			works = append(works, newWork(l, b, now+models.LeaseTime-leaseMargin))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range works {
		l.held[w.batch.ID] = w
		l.used += w.size
		l.lineUpLocked(w)
	}
	// At once, so that the planner does not see only one part. What a parked batch
	// must not overtake was on disk before it came. A look that began later has
	// claimed all of that if it found less than it asked for, or something that was
	// due after the parked one.
	l.parked = slices.DeleteFunc(l.parked, func(p *work) bool {
		if p.came >= k.began || len(batches) == k.limit && !p.age.before(ageOf(batches[k.limit-1])) {
			return false
		}
		l.lineUpLocked(p)
		return true
	})
}

// adopt takes a new lease on a batch that is still in hand: its old lease had run
// out, and it was this process that claimed it again.
func (k *work) adopt(b *models.Batch, now time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || k.over || k.batch.ID != b.ID {
		return false
	}
	again := *k.batch
	again.Generation = b.Generation
	k.batch, k.renewed, k.valid = &again, now, now+models.LeaseTime-leaseMargin
	return true
}

// foundShort moves the lane towards handing over in memory after a look that found
// less than it asked for, and returns when to look again.
func (l *lane) foundShort(k look) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stance == behind:
		l.stance = catching
	case l.stance == catching && k.settled:
		// It was catching all the time: only this goroutine makes it so.
		l.stance = ahead
		for _, p := range l.parked {
			l.lineUpLocked(p)
		}
		l.parked = nil
	}
	if l.stance == catching && l.leaving == 0 {
		return 0
	}
	return beat // or as soon as the last of those commits has ended
}
