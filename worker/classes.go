package worker

import (
	"context"
	"maps"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// A message may choose its vendor's notification channel or class itself, and vendors
// count a day's quota for each. When that of such a class is used up, only its messages
// wait: an exhausted campaign must not stop a chat.

// class is the tag of the class that the job's message has itself, "" for the credential's.
func (j *job) class() string { return j.msg.ClassTag(j.line.spec.Channel) }

// classRestsLocked returns until when the job's own class rests, if it does.
func (l *line) classRestsLocked(j *job, now time.Time) (until time.Time, rests bool) {
	if len(l.classes) == 0 {
		return until, false
	}
	until = l.classes[j.class()]
	return until, now.Before(until)
}

// restClassesLocked takes over rests of classes that another process was told of.
func (l *line) restClassesLocked(rests map[string]time.Time) {
	now := l.w.o.Now()
	for class, until := range rests {
		l.restClassLocked(class, until, now)
	}
}

func (l *line) restClassLocked(class string, until, now time.Time) {
	if !until.After(now) || class == "" || !until.After(l.classes[class]) {
		return
	}
	maps.DeleteFunc(l.classes, func(_ string, until time.Time) bool { return !until.After(now) })
	if l.classes == nil {
		l.classes = map[string]time.Time{}
	}
	l.classes[class] = until
}

// classThrottled puts a message off whose own class has used up its quota, and with it
// what waits of that class.
func (l *line) classThrottled(ctx context.Context, j *job, r *push.Result, now time.Time) {
	l.mu.Lock()
	l.quiet = l.w.sinceStart()
	l.mu.Unlock()
	until := l.restClass(ctx, j.class(), max(r.RetryAfter, throttlePause), now)
	l.mu.Lock()
	l.restJobLocked(j, models.ReasonThrottled, until, now)
	l.mu.Unlock()
	l.putOffQueue(now)
}

// restClass lets a class rest, and has other processes know if it is for long.
func (l *line) restClass(ctx context.Context, class string, wait time.Duration, now time.Time) (until time.Time) {
	until = wholeSecond(now.Add(min(wait, waitMost)))
	l.mu.Lock()
	known := l.classes[class]
	l.restClassLocked(class, until, now)
	l.mu.Unlock()
	// Once for all that one answer, or those under way, say: each is a write.
	if wait < quotaWait || until.Sub(known) < throttleMost {
		return until
	}
	replaced, err := l.w.control.RestClass(context.WithoutCancel(ctx), l.cred.ID, l.cred.Revision, class, until)
	if err != nil {
		l.unnoted(err)
	}
	l.mu.Lock()
	l.replaced = l.replaced || replaced
	l.mu.Unlock()
	return until
}

// singly reports whether the vendor takes no more batches today.
func (l *line) singly() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.classes) > 0 && l.w.o.Now().Before(l.classes[models.RestBatches])
}

// batchesOver notes that the vendor takes no more batches for a while.
func (l *line) batchesOver(ctx context.Context, wait time.Duration) {
	l.restClass(ctx, models.RestBatches, wait, l.w.o.Now())
}

// unnoted says that other processes were not told of a used-up quota. They find out by
// themselves, with one refusal each.
func (l *line) unnoted(err error) {
	l.w.log.Warn("a used-up quota was not noted for other processes", "credential", l.cred.ID, "error", err)
}
