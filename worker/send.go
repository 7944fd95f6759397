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
	if j.expired(now) {
		j.settle(models.StateExpired, models.ReasonExpired, now)
		lane.complete(j)
		return
	}
	l.mu.Lock()
	blocked := l.blockedLocked(j, now)
	l.mu.Unlock()
	if blocked {
		lane.complete(j)
		l.putOffQueue(now)
		return
	}
	sender, err := l.open(ctx)
	if err != nil {
		l.notOpened(ctx, j, err)
		lane.complete(j)
		return
	}
	r := l.send(ctx, sender, j)
	l.conclude(ctx, j, &r, now)
	lane.complete(j)
}

// send makes the one call. What a channel does wrong concerns this message alone.
func (l *line) send(ctx context.Context, s push.Sender, j *job) (r push.Result) {
	defer func() {
		if p := recover(); p != nil {
			l.w.metrics.panics.Inc()
			l.w.log.Error("a channel panicked", "channel", l.cred.Channel, "message", j.item.Message.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r = push.Result{Outcome: push.Retry, Code: codePanic}
		}
	}()
	m := *j.msg
	m.ReceiptURL = l.receipts
	results := s.Send(ctx, m, j.target[:])
	if len(results) != 1 || results[0].Outcome < push.Accepted || results[0].Outcome > push.BadCredential {
		return push.Result{Outcome: push.Retry, Code: push.CodeBadReply, Text: "the channel gave no result"}
	}
	return results[0]
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
		l.succeeded()
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
		if !j.turn(now) {
			j.settle(models.StateFailed, models.ReasonBadMessage, now)
		}
	case push.BadCredential:
		l.refuse(ctx, j, r, now)
	case push.Throttled:
		l.throttled(ctx, j, r, start, now)
		return
	default:
		l.retry(j, r, now)
	}
	l.report(r.Outcome, start, now)
}

// report tells the governor and uses the room it gives.
func (l *line) report(o push.Outcome, start, now time.Time) {
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
	l.gov.throttled(start, now, r.RetryAfter, models.ReasonThrottled)
	until, _ := l.gov.resting(now)
	l.mu.Unlock()
	if r.RetryAfter >= quotaWait {
		l.rested(ctx, now.Add(r.RetryAfter), r.Code)
	}
	if until.Sub(now) < quotaWait || !j.turn(now) {
		j.putOff(models.ReasonThrottled, later(until, now.Add(throttlePause)), now)
	}
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
func (l *line) succeeded() {
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
		if err := l.w.control.CredentialWorked(l.w.sending, l.cred.ID, l.cred.Revision); err != nil {
			l.w.log.Warn("a credential's success was not noted", "credential", l.cred.ID, "error", err)
		}
	})
}
