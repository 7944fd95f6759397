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

// How a lane goes about its work.
const (
	// beat is how often leases are looked at and the database is asked for work.
	beat = 1500 * time.Millisecond
	// tick is how often slow batches are looked at.
	tick = 250 * time.Millisecond
	// partialAfter is how long a batch may hold back the ends it already has, so
	// that results show within 2 s and a kill repeats little.
	partialAfter = time.Second
	// planAtOnce is how many messages are looked up together.
	planAtOnce = 1000
	// lateBy is how much older than one planned before it a batch must be for its
	// messages to go first, as those that a dead process held. Processes whose clocks
	// run that far apart are not favoured.
	lateBy = 500 * time.Millisecond
	// claimAtOnce is the most batches claimed by one statement.
	claimAtOnce = 32
)

// stance is how a lane stands to batches that lie in the database.
type stance uint8

const (
	// behind: batches lie on disk; fresh ones must queue up there behind them,
	// or they would overtake messages of the same devices.
	behind stance = iota
	// catching: the disk was found empty; fresh ones come in again but wait for
	// one more look, which begins when every commit has ended that was told to leave
	// its batch on disk.
	catching
	// ahead: fresh batches are handed over in memory.
	ahead
)

// lane is the work on one database.
type lane struct {
	w        *Worker
	db       Database
	queue    models.Queue
	recorder *recorder
	chains   chains
	badges   badges
	merges   merges

	// newest is what was due last of all that was planned. The planner's own.
	newest age

	mu      sync.Mutex
	stance  stance
	leaving int     // commits under way that were told to leave their batch on disk
	fresh   []*work // to be planned, what was due first first
	parked  []*work // fresh ones that wait for older ones on disk
	held    map[int64]*work
	used    int  // messages in memory or reserved
	more    bool // batches were left on disk for want of room
	stalled []*job

	plan  chan struct{} // capacity 1: fresh has something
	sweep chan struct{} // capacity 1: look for due batches now
}

func newLane(w *Worker, db Database) *lane {
	l := &lane{w: w, db: db, held: map[int64]*work{}, plan: make(chan struct{}, 1), sweep: make(chan struct{}, 1)}
	l.chains.init()
	l.badges.init()
	l.merges.init()
	l.recorder = newRecorder(l)
	return l
}

// signal wakes whoever waits on c, without waiting.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *lane) start(ctx context.Context) error {
	var err error
	if l.queue, err = l.newQueue(); err != nil {
		return err
	}
	if l.queue != nil {
		if err := l.queue.Start(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	l.w.feeders.Go(l.planning)
	l.w.feeders.Go(l.sweeping)
	l.w.keepers.Go(l.beating)
	l.w.recorders.Go(l.recorder.run)
	return nil
}

// reserve keeps room for n fresh messages, or has them go through the database.
func (l *lane) reserve(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stance != behind && l.used+n > l.w.o.Limits.Messages {
		// From here on everything goes through the database until it was found
		// empty: this batch is going to lie there, and a later one must not
		// overtake it.
		l.stance, l.more = behind, true
	}
	if l.stance == behind || l.w.phase.Load() != working {
		l.leaving++
		return false
	}
	l.used += n
	return true
}

// left notes that a commit has ended that reserve refused.
func (l *lane) left() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving--; l.leaving == 0 && l.stance == catching {
		signal(l.sweep)
	}
}

func (l *lane) forget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used -= n
}

// take puts a batch that was just committed under our lease behind the others.
func (l *lane) take(b *models.Batch) {
	// The lease runs since some moment of the commit, which is not known here; half
	// of it is certain enough until the first renewal.
	k := newWork(l, b, l.w.sinceStart()+models.LeaseTime/2)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[b.ID] = k
	if l.stance != ahead {
		l.parked = append(l.parked, k)
		return
	}
	l.lineUpLocked(k)
}

// lineUpLocked puts a batch among those to be planned, in order of due time: that
// is the order of acceptance, and what a dead process held is older than the rest.
func (l *lane) lineUpLocked(k *work) {
	i := len(l.fresh)
	for i > 0 && k.age.before(l.fresh[i-1].age) {
		i--
	}
	l.fresh = slices.Insert(l.fresh, i, k)
	signal(l.plan)
}

// planning plans batches in order until no new work may be begun.
func (l *lane) planning() {
	ctx := l.w.feeding
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.plan:
		}
		for ctx.Err() == nil {
			works := l.nextWorks()
			if len(works) == 0 {
				break
			}
			l.planAll(ctx, works)
		}
	}
}

// nextWorks takes the batches to plan next.
func (l *lane) nextWorks() []*work {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, messages := 0, 0
	for n < len(l.fresh) && (n == 0 || messages+l.fresh[n].size <= planAtOnce) {
		messages += l.fresh[n].size
		n++
	}
	works := slices.Clone(l.fresh[:n])
	l.fresh = slices.Delete(l.fresh, 0, n)
	return works
}

// planAll finds the devices of several batches and sends their jobs off. What
// cannot be looked up now is tried until it can: nothing behind it may overtake.
func (l *lane) planAll(ctx context.Context, works []*work) {
	found, ok := l.lookUp(ctx, works)
	if !ok {
		return // stopping; the batches are handed back
	}
	for _, k := range works {
		l.planOne(k, found)
	}
}

// planOne plans one batch and sends its jobs off. A panic concerns this batch
// alone: it is dropped here, its lease runs out, and it comes back to someone;
// after a few times its messages are recorded as failed.
func (l *lane) planOne(k *work, found *findings) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		k.mu.Lock()
		id, generation, launched := k.batch.ID, k.batch.Generation, k.jobs != nil
		k.mu.Unlock()
		l.w.metrics.panics.Inc()
		l.w.log.Error("a batch could not be planned", "batch", id, "generation", generation, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		if generation >= poisoned && !launched {
			l.failAll(k)
			return
		}
		l.drop(k)
	}()
	if _, ours := k.id(); !ours {
		return
	}
	k.late = l.newest.due.Sub(k.age.due) >= lateBy
	if l.newest.before(k.age) {
		l.newest = k.age
	}
	l.makeJobs(k, found)
	l.launch(k)
}

// poisoned is the generation from which on a batch that cannot be planned is
// given up.
const poisoned = 5

// launch lets a planned batch's jobs go, in order.
func (l *lane) launch(k *work) {
	k.mu.Lock()
	k.planned = true
	for i := range k.jobs {
		if k.jobs[i].state == "" {
			k.open++
		} else {
			k.jobs[i].phase = ended
			k.unrecorded++
		}
	}
	if k.open == 0 {
		k.queueLocked()
	}
	k.mu.Unlock()
	var b bundler
	for i := range k.jobs {
		j := &k.jobs[i]
		// Whether j has an end already is the planner's own knowledge until the job
		// is let go here.
		if j.line == nil {
			continue
		}
		if j.line.spill(j) {
			k.finish(j)
			continue
		}
		if l.chains.join(j) {
			l.let(b.add(j))
		}
	}
	l.let(b.last())
}

// let admits a job, or ends it when it need not be sent; nil is none.
func (l *lane) let(j *job) {
	if j != nil && !l.admit(j) {
		l.complete(j)
	}
}

// complete ends the first job of its device, and those that went with it, and lets
// the next ones go.
func (l *lane) complete(j *job) {
	if j.more != nil {
		l.completeAll(j)
		return
	}
	for {
		next := l.end(j)
		if next == nil || l.admit(next) {
			return
		}
		j = next
	}
}

// end ends one job and returns the next one of its device, or nil.
func (l *lane) end(j *job) *job {
	next := l.chains.leave(j)
	j.line.held.Add(-1)
	j.work.finish(j)
	return next
}

// completeAll is complete for a job with others. What their devices get next may be
// one message again.
func (l *lane) completeAll(j *job) {
	jobs := j.unbundle()
	for len(jobs) > 0 {
		var b bundler
		var ended []*job
		let := func(j *job) {
			if j != nil && !l.admit(j) {
				ended = append(ended, j.unbundle()...)
			}
		}
		for _, j := range jobs {
			if next := l.end(j); next != nil {
				let(b.add(next))
			}
		}
		let(b.last())
		jobs = ended
	}
}

// admit gives a job that is first in line for its device to its credential. False
// means that it need not be sent: it has its end, or the batch is not ours any
// more.
func (l *lane) admit(j *job) bool {
	return j.line.submit(j)
}

// drop forgets a batch: another process has it, or shall have it.
func (l *lane) drop(k *work) {
	k.mu.Lock()
	if k.lost || k.over {
		k.mu.Unlock()
		return
	}
	k.lost = true
	id, size, badged := k.batch.ID, k.size, k.badges
	k.size, k.badges = 0, nil
	k.mu.Unlock()
	l.badges.release(badged)
	l.mu.Lock()
	if l.held[id] == k {
		delete(l.held, id)
	}
	l.used -= size
	l.mu.Unlock()
	l.wantMore()
}

// wantMore looks for batches on disk when there is room again.
func (l *lane) wantMore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more && l.used <= l.w.o.Limits.Messages/2 {
		l.more = false
		signal(l.sweep)
	}
}
