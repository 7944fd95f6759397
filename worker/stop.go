package worker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// queueShare is the most of Stop's time that is waited for upkeep, which is
	// cancelled: it goes on at its next time, and messages need the rest.
	queueShare = 4 // one part in four
	// recordShare is how much of Stop's time is kept for recording and handing
	// back after sends are cut short.
	recordShare = 4 // one part in four
	// cutGrace is how long sends that were cut short may take to notice.
	cutGrace = time.Second
)

// Stop drains: nothing new is begun, upkeep is cut short, sends under way may end
// until three quarters of ctx's time are over, what has an end is recorded, and
// everything else is handed back for another process to take up at once. Messages
// must not be accepted any more. The error says what was left to leases that run out.
func (w *Worker) Stop(ctx context.Context) error {
	if !w.phase.CompareAndSwap(working, draining) {
		return nil
	}
	errs := []error{w.stopQueues(ctx)}
	w.stopFeed()
	w.feeders.Wait()
	w.land(ctx)
	w.phase.Store(settling)
	for _, l := range w.lanes {
		errs = append(errs, l.settleUp(ctx))
	}
	w.stopKeep()
	w.keepers.Wait()
	for _, l := range w.lanes {
		close(l.recorder.quit)
	}
	w.recorders.Wait()
	for _, l := range w.lanes {
		errs = append(errs, l.handBack(ctx), l.db.Leave(ctx, w.o.Owner))
	}
	w.cutSends()
	w.notes.Wait()
	w.lines.closeAll()
	w.phase.Store(stopped)
	return errors.Join(errs...)
}

// stopQueues ends River's part. Upkeep is cut short.
func (w *Worker) stopQueues(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/queueShare)
		defer cancel()
	}
	var errs []error
	for _, l := range w.lanes {
		if l.queue == nil {
			continue
		}
		if err := l.queue.StopAndCancel(ctx); err != nil {
			errs = append(errs, fmt.Errorf("worker: stop: queue: %w", err))
		}
	}
	return errors.Join(errs...)
}

// land waits for the sends under way, and cuts them short when time runs out.
func (w *Worker) land(ctx context.Context) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait, cancel = context.WithTimeout(ctx, left-left/recordShare)
	}
	defer cancel()
	if w.landedAll(wait) {
		return
	}
	w.log.Warn("sends cut short to stop in time", "sends", w.lines.flying())
	w.cutSends()
	grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
	defer cancelGrace()
	w.landedAll(grace)
}

func (w *Worker) landedAll(ctx context.Context) bool {
	for w.lines.flying() > 0 {
		select {
		case <-w.landed:
		case <-ctx.Done():
			return w.lines.flying() == 0
		}
	}
	return true
}

// settleUp has everything recorded that has an end.
func (l *lane) settleUp(ctx context.Context) error {
	for _, k := range l.works() {
		k.mu.Lock()
		if k.unrecorded > 0 {
			k.queueLocked()
		}
		k.mu.Unlock()
	}
	for !l.recorder.drained() {
		signal(l.recorder.wake)
		select {
		case <-l.recorder.idle:
		case <-ctx.Done():
			return fmt.Errorf("worker: stop: results not recorded, they will be sent again: %w", ctx.Err())
		}
	}
	return nil
}

// handBack frees the batches that are still held.
func (l *lane) handBack(ctx context.Context) error {
	works := l.works()
	ids := make([]int64, 0, len(works))
	for _, k := range works {
		if id, ours := k.id(); ours {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := l.db.ReleaseBatches(ctx, l.w.o.Owner, ids); err != nil {
		return fmt.Errorf("worker: stop: %d batches left to their leases: %w", len(ids), err)
	}
	return nil
}
