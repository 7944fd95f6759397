package models

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/riverqueue/river"
)

// queuedUnits is how many requests may wait for a committer; more wait in their
// own handlers.
const queuedUnits = 1024

// LeaseTime is how long a lease holds without renewal. It is long enough for a
// renewal every second or two to survive a slow commit, and short enough that
// another process takes over well within 15 s.
const LeaseTime = 8 * time.Second

// QueueMessages is River's queue for message work, apart from broadcasts.
const QueueMessages = "messages"

// BatchArgs is the job that wakes a worker for a batch that nobody holds.
type BatchArgs struct {
	ID int64 `json:"id"`
}

// Kind names the job.
func (BatchArgs) Kind() string { return "batch" }

// InsertOpts puts the job into the message lane. It is a wake-up only: when it
// fails the sweep takes the batch, so River need not try for long.
func (BatchArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueMessages, MaxAttempts: 3}
}

// committer turns concurrent requests into few transactions: whatever was queued
// while the last commit ran makes up the next one.
type committer struct {
	db    *DB
	hand  HandOver
	ids   *idMaker
	queue chan *unit
	rows  int // the most in one transaction, but for a single larger unit
}

// committers is how many run at once. SQLite has one writer; on Postgres a
// second one fills the time the first waits for the disk.
func (d *DB) committers() int {
	if d.Dialect == SQLite {
		return 1
	}
	return 2
}

// run commits until the queue is closed and empty. A unit that no longer fits
// into a transaction opens the next one.
func (c *committer) run() {
	var carried *unit
	for {
		first := carried
		if first == nil {
			var open bool
			if first, open = <-c.queue; !open {
				return
			}
		}
		group := []*unit{first}
		group, carried = c.collect(group, len(first.rows))
		c.commit(group)
	}
}

// collect adds what is queued right now, without waiting, as far as it fits.
func (c *committer) collect(group []*unit, rows int) (full []*unit, carried *unit) {
	for rows < c.rows {
		select {
		case u, open := <-c.queue:
			if !open {
				return group, nil
			}
			if rows += len(u.rows); rows > c.rows {
				return group, u
			}
			group = append(group, u)
		default:
			return group, nil
		}
	}
	return group, nil
}

// commit stores a group in one transaction and answers each of its requests.
func (c *committer) commit(group []*unit) {
	var rows []*acceptRow
	for _, u := range group {
		for i := range u.rows {
			rows = append(rows, &u.rows[i])
		}
	}
	w := &acceptance{committer: c, rows: rows}
	err := w.store()
	for _, u := range group {
		u.err = err
		close(u.done)
	}
}

// acceptance is one group's transaction.
type acceptance struct {
	*committer
	rows []*acceptRow

	fresh   []*acceptRow // rows that are new, in order
	batches []*Batch     // reserved, to hand over after the commit
	refused int          // batches that the hand-over has no room for
}

// store stores the rows. A panic is a fault of ours that must not take the
// requests of others down with it, so it becomes an error.
func (a *acceptance) store() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("models: accept: panic: %v", p)
		}
		if err != nil {
			a.forget()
			a.db.log.Error("messages not stored", "messages", len(a.rows), "error", err)
		}
	}()
	now := a.db.Now()
	ids, err := a.ids.next(now, len(a.rows))
	if err != nil {
		return err
	}
	err = a.db.writeHotAs(context.Background(), true, func(ctx context.Context, t *Tx) error {
		a.forget() // of an attempt that lost a race
		for i, r := range a.rows {
			r.item.Message.ID, r.item.Message.AcceptedAt, r.dup = ids[i].String(), now, false
			if r.group != nil {
				r.group.first, r.item.Group = "", ""
			}
		}
		return a.write(ctx, t, now)
	})
	if err != nil {
		return fmt.Errorf("models: accept: %w", err)
	}
	// Before any caller has its answer, so that a request sent after that answer
	// cannot overtake this one on its way to the phone.
	for _, b := range a.batches {
		a.hand.Take(a.db, b)
	}
	a.left()
	return nil
}

// forget gives back the reservations of a transaction that will not commit.
func (a *acceptance) forget() {
	for _, b := range a.batches {
		a.hand.Forget(a.db, len(b.Items))
	}
	a.batches = nil
	a.left()
}

// left tells the hand-over that the batches it has no room for are on disk, or
// never will be.
func (a *acceptance) left() {
	for ; a.refused > 0; a.refused-- {
		a.hand.Left(a.db)
	}
}

func (a *acceptance) write(ctx context.Context, t *Tx, now time.Time) error {
	if err := a.dedupe(ctx, t, now); err != nil {
		return fmt.Errorf("dedupe: %w", err)
	}
	if len(a.fresh) == 0 {
		return nil
	}
	a.name()
	if err := t.insertMessages(ctx, a.fresh); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	if err := a.contents(ctx, t, now); err != nil {
		return fmt.Errorf("contents: %w", err)
	}
	if err := t.addCounts(ctx, a.counts()); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	for chunk := range slices.Chunk(a.fresh, MaxBatch) {
		if err := a.batch(ctx, t, chunk, now); err != nil {
			return fmt.Errorf("batch: %w", err)
		}
	}
	return nil
}

// dedupe marks rows that were seen before, in this group or ever, gives them the
// first one's id, and leaves the others in fresh.
func (a *acceptance) dedupe(ctx context.Context, t *Tx, now time.Time) error {
	first := make(map[dedupeKey]*acceptRow, len(a.rows))
	for _, r := range a.rows {
		if !r.keyed {
			continue
		}
		if first[r.key] == nil {
			first[r.key] = r
		}
	}
	if len(first) > 0 {
		// Sorted, so that two processes that accept the same messages at the same
		// time wait for each other instead of deadlocking.
		keyed := make([]*acceptRow, 0, len(first))
		for _, r := range first {
			keyed = append(keyed, r)
		}
		slices.SortFunc(keyed, func(x, y *acceptRow) int { return slices.Compare(x.key[:], y.key[:]) })
		if err := t.insertDedupe(ctx, keyed, HourOf(now)); err != nil {
			return err
		}
	}
	a.fresh = make([]*acceptRow, 0, len(a.rows))
	for _, r := range a.rows {
		if f := first[r.key]; r.keyed && f != r {
			r.dup, r.item.Message.ID = true, f.item.Message.ID
		}
		if !r.dup {
			a.fresh = append(a.fresh, r)
		}
	}
	return nil
}

// contents keeps titles and bodies for accounts that ask for it.
func (a *acceptance) contents(ctx context.Context, t *Tx, now time.Time) error {
	var kept []keptContent
	for _, r := range a.fresh {
		if r.contentDays <= 0 {
			continue
		}
		sealed, err := a.db.sealContent(r.item.Message.ID, &r.item.Content)
		if err != nil {
			return err
		}
		kept = append(kept, keptContent{
			id: r.item.Message.ID, appID: r.item.Message.AppID, sealed: sealed,
			expires: now.AddDate(0, 0, r.contentDays),
		})
	}
	if len(kept) == 0 {
		return nil
	}
	return t.insertContents(ctx, kept)
}

func (a *acceptance) counts() map[Count]int64 {
	n := map[Count]int64{}
	for _, r := range a.fresh {
		m := &r.item.Message
		if !m.Counted() {
			continue
		}
		n[Count{AppID: m.AppID, PlanID: m.PlanID, Hour: m.Hour(), Sandbox: m.Sandbox, Metric: MetricMessages}]++
	}
	return n
}

// batch writes the one row that carries these messages' work: under our own
// lease when this process has room for them, else free with a job to wake
// someone.
func (a *acceptance) batch(ctx context.Context, t *Tx, rows []*acceptRow, now time.Time) error {
	b := &Batch{Generation: 1, DueAt: now, Items: make([]Item, len(rows))}
	for i, r := range rows {
		b.Items[i] = r.item
	}
	n := newBatch{Batch: b}
	if a.hand != nil {
		switch owner := a.hand.Owner(); {
		case owner == "":
		case a.hand.Reserve(a.db, len(b.Items)):
			n.owner = owner
			a.batches = append(a.batches, b)
		default:
			a.refused++
		}
	}
	if err := t.insertBatch(ctx, &n); err != nil {
		return err
	}
	if n.owner != "" {
		return nil
	}
	return t.enqueue(ctx, BatchArgs{ID: b.ID}, nil)
}

// counterSlots spreads concurrent writers of one counter.
const counterSlots = 8

// slot picks a counter row for one transaction. SQLite's writer is alone.
func (t *Tx) slot() int {
	if t.sql != nil {
		return 0
	}
	return rand.IntN(counterSlots) //nolint:gosec // spreads load, guards nothing
}
