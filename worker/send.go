package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// Waits between a message's attempts: 2 s, doubling up to 10 minutes.
const (
	backoffFirst = 2 * time.Second
	backoffMost  = 10 * time.Minute
)

// backoff is the wait after so many tries, without jitter.
func backoff(tries int) time.Duration {
	return min(backoffFirst<<min(max(tries-1, 0), 16), backoffMost)
}

// jitter spreads waits, so that what failed together does not come back together.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // spreads load, guards nothing
}

// handle sends one job and lets the device's next one go.
func (l *line) handle(j *job) {
	lane := j.work.lane
	mine, leased := j.work.trust()
	switch {
	case !mine:
		lane.complete(j)
		return
	case !leased:
		lane.stall(j)
		return
	case l.w.phase.Load() != working:
		return // handed back with its batch
	}
	ctx := l.w.sending
	l.refresh(ctx)
	now := l.w.o.Now()
	if j.expired(now) { // and with it those of the same message
		j.each(func(j *job) { j.settle(models.StateExpired, models.ReasonExpired, now) })
		lane.complete(j)
		return
	}
	l.mu.Lock()
	blocked, receipts := l.blockedLocked(j, now), l.receipts
	l.mu.Unlock()
	if blocked {
		lane.complete(j)
		l.putOffQueue(now)
		return
	}
	sender, err := l.open(ctx)
	if err != nil {
		j.each(func(j *job) { l.notOpened(ctx, j, err) })
		lane.complete(j)
		return
	}
	if len(j.more) > 0 {
		l.sendAll(ctx, sender, j, receipts, now)
		return
	}
	r := l.send(ctx, sender, j, receipts, j.target[:])
	l.conclude(ctx, j, &r[0], now)
	if !spares(&r[0]) {
		l.report(r[0].Outcome, now, l.w.o.Now())
	}
	lane.complete(j)
}

// sendAll is one call for a job and those that go with it. To the governor it is one
// send for each way in which it ended.
func (l *line) sendAll(ctx context.Context, s push.Sender, j *job, receipts string, now time.Time) {
	targets := make([]push.Target, 0, j.size())
	j.each(func(j *job) {
		t := j.target[0]
		if t.Ref != "" {
			t.Ref = models.SharedReceiptRef(j.item.Message.ID, j.from.DeviceID)
		}
		targets = append(targets, t)
	})
	results := l.send(ctx, s, j, receipts, targets)
	var ways [push.BadCredential + 1]bool
	i := 0
	j.each(func(j *job) {
		r := &results[i]
		i++
		l.conclude(ctx, j, r, now)
		if !spares(r) {
			ways[r.Outcome] = true
		}
	})
	for way, ended := range ways {
		if ended {
			l.report(push.Outcome(way), now, l.w.o.Now()) //nolint:gosec // an outcome
		}
	}
	j.work.lane.complete(j)
}

// send makes the one call and returns a valid result for each target. What a channel
// does wrong concerns this message alone.
func (l *line) send(ctx context.Context, s push.Sender, j *job, receipts string, targets []push.Target) (results []push.Result) {
	defer func() {
		if p := recover(); p != nil {
			l.w.metrics.panics.Inc()
			l.w.log.Error("a channel panicked", "channel", l.cred.Channel, "message", j.item.Message.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			results = push.Fill(len(targets), push.Result{Outcome: push.Retry, Code: codePanic})
		}
	}()
	m := *j.msg
	m.ReceiptURL = receipts
	j.each(func(j *job) { j.reported = receipts != "" })
	results = s.Send(ctx, m, targets)
	none := push.Result{Outcome: push.Retry, Code: push.CodeBadReply, Text: "the channel gave no result"}
	if len(results) != len(targets) {
		return push.Fill(len(targets), none)
	}
	for i := range results {
		if results[i].Outcome < push.Accepted || results[i].Outcome > push.BadCredential {
			results[i] = none
		}
	}
	return results
}

// conclude turns a result of a send begun at start into the job's end.
func (l *line) conclude(ctx context.Context, j *job, r *push.Result, start time.Time) {
	now := l.w.o.Now()
	j.result, j.tried = *r, true
	j.tries++
	l.m.outcome(r.Outcome)
	switch r.Outcome {
	case push.Accepted:
		j.settle(models.StateAccepted, "", now)
		l.succeeded(r.Quota)
	case push.BadTarget:
		if !j.turn(now) {
			j.settle(models.StateFailed, models.ReasonBadToken, now)
		}
		if !r.KeepToken {
			j.retire = start
			if !r.DeadSince.IsZero() {
				j.retire = r.DeadSince
			}
		}
	case push.BadMessage:
		if !l.receiptRefused(ctx, j, r, now) && !j.turn(now) {
			j.settle(models.StateFailed, models.ReasonBadMessage, now)
		}
	case push.BadCredential:
		l.refuse(ctx, j, r, now)
	case push.Throttled:
		l.throttled(ctx, j, r, start, now)
	default:
		l.retry(j, r, now)
	}
}

// spares reports whether a result says nothing about the credential: of one device it
// was said that it takes no more, or its address, which anybody may have chosen, does
// not answer.
func spares(r *push.Result) bool {
	return r.DeviceOnly && (r.Outcome == push.Throttled || r.Outcome == push.Retry)
}

// report tells the governor and uses the room it gives.
func (l *line) report(o push.Outcome, start, now time.Time) {
	if o == push.Throttled {
		return // it knows, see throttled
	}
	l.mu.Lock()
	switch o {
	case push.Retry:
		l.gov.failed(start, now, models.ReasonRetry)
	case push.BadCredential:
		// says nothing about how much may be sent
	default:
		l.gov.answered()
	}
	if o != push.Retry {
		l.quiet = l.w.sinceStart()
	}
	_, rests := l.gov.resting(now)
	waiting := l.waitingLocked()
	l.mu.Unlock()
	switch {
	case !waiting:
	case rests:
		l.putOffQueue(now)
	default:
		l.startMore()
	}
}

// retry has the message tried again later, unless its time or its attempts are
// up. Only what the vendor answered counts as an attempt: an outage must not use
// them up, however long it is.
func (l *line) retry(j *job, r *push.Result, now time.Time) {
	if r.Code != push.CodeNetwork && r.Code != push.CodeTimeout {
		j.attempts++
	}
	wait := max(backoff(j.tries), r.RetryAfter)
	switch {
	case !now.Add(wait).Before(j.item.Message.ExpiresAt):
		j.settle(models.StateExpired, models.ReasonExpired, now)
	case j.attempts >= l.w.o.Limits.Attempts:
		j.settle(models.StateFailed, models.ReasonAttempts, now)
	default:
		j.putOff(models.ReasonRetry, now.Add(wait), now)
	}
}

// throttled puts the message off, and with it everything of the credential
// unless the vendor only spares the device.
func (l *line) throttled(ctx context.Context, j *job, r *push.Result, start, now time.Time) {
	if r.DeviceOnly {
		wait := r.RetryAfter
		if wait <= 0 {
			wait = deviceWait
		}
		j.putOff(models.ReasonThrottled, wholeSecond(now.Add(wait)), now)
		return
	}
	l.mu.Lock()
	l.quiet = l.w.sinceStart()
	known := l.gov.restUntil
	l.gov.throttled(start, now, r.RetryAfter, models.ReasonThrottled)
	until, _ := l.gov.resting(now)
	l.mu.Unlock()
	// Once for all that one answer, or those under way, say: each is a write.
	if rest := now.Add(min(r.RetryAfter, waitMost)); r.RetryAfter >= quotaWait && rest.Sub(known) >= throttleMost {
		l.rested(ctx, rest, r.Code)
	}
	l.mu.Lock()
	l.restJobLocked(j, models.ReasonThrottled, later(until, now.Add(throttlePause)), now)
	l.mu.Unlock()
	l.putOffQueue(now)
}

// wholeSecond rounds a due time up, so that one batch carries many messages.
func wholeSecond(t time.Time) time.Time {
	return t.Add(time.Second - 1).Truncate(time.Second)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// refuse pauses the credential and keeps the message for when it is repaired. A
// refusal of a revision that was replaced meanwhile only means trying again.
func (l *line) refuse(ctx context.Context, j *job, r *push.Result, now time.Time) {
	l.mu.Lock()
	known := l.pausedLocked()
	if !known {
		l.refused = max(l.w.sinceStart(), 1)
	}
	l.mu.Unlock()
	if !known {
		paused, err := l.w.control.PauseCredential(context.WithoutCancel(ctx), l.cred.ID, l.cred.Revision, r.Code, r.Text)
		if err != nil {
			l.w.log.Error("a refused credential could not be paused, will try again", "credential", l.cred.ID, "error", err)
		}
		if err != nil || !paused {
			l.mu.Lock()
			l.refused = 0
			l.mu.Unlock()
			j.putOff(models.ReasonRetry, wholeSecond(now.Add(rerouteWait)), now)
			return
		}
		l.w.log.Warn("the vendor refused a credential, it is paused", "credential", l.cred.ID, "channel", l.cred.Channel, "app", l.app, "code", r.Code)
	}
	if !j.turn(now) {
		j.hold(now)
	}
	l.putOffQueue(now)
}

// noSandboxWait is when work is looked at again that this process has no simulator
// for; another one may have it.
const noSandboxWait = 5 * time.Second

// notOpened ends a job whose credential could not be used at all.
func (l *line) notOpened(ctx context.Context, j *job, err error) {
	now := l.w.o.Now()
	if errors.Is(err, errNoSandbox) {
		j.result = push.Result{Outcome: push.Retry, Code: codeNoSandbox}
		j.putOff(models.ReasonRetry, wholeSecond(now.Add(noSandboxWait)), now)
		return
	}
	r := push.Result{Outcome: push.BadCredential, Code: "invalid", Text: "the credential could not be read"}
	var fe *push.FieldError
	if errors.As(err, &fe) {
		r.Code, r.Text = fe.Code, "credential field "+fe.Field+": "+fe.Code
	}
	j.result = r
	l.refuse(ctx, j, &r, now)
}

// workedEvery is how often a working credential is noted.
const workedEvery = time.Minute

// succeeded notes, once in a while and beside the sends, that the vendor takes
// the credential.
func (l *line) succeeded(quota push.Quota) {
	now := max(l.w.sinceStart(), 1)
	l.mu.Lock()
	due := (l.worked == 0 || now-l.worked >= workedEvery) && l.w.phase.Load() < settling
	if due {
		l.worked = now
	}
	l.mu.Unlock()
	if !due {
		return
	}
	l.w.notes.Go(func() {
		if err := l.w.control.CredentialWorked(l.w.sending, l.cred.ID, l.cred.Revision, models.Quota(quota)); err != nil {
			l.w.log.Warn("a credential's success was not noted", "credential", l.cred.ID, "error", err)
		}
	})
}
