package worker

import (
	"time"
)

// How a credential is slowed.
const (
	// throttlePause is how long it rests when the vendor does not say; it doubles up
	// to throttleMost while the vendor goes on throttling.
	throttlePause = 2 * time.Second
	throttleMost  = time.Minute
	// waitMost bounds a wait that a vendor asks for: a daily quota ends at midnight,
	// and vendors lower it for who goes on asking.
	waitMost = 25 * time.Hour
	// quotaWait is the wait from which another route of a device is tried instead.
	quotaWait = 10 * time.Minute
	// failuresInRow is how many sends in a row must fail without the vendor's
	// answer before it counts as down.
	failuresInRow = 16
	// downPause is how long it then rests; it doubles up to downMost.
	downPause = time.Second
	downMost  = 15 * time.Second
	// downWindow is the most that tries then whether the vendor is back: each may hang
	// until its time is up.
	downWindow = failuresInRow
	// deviceWait is for a throttled device when the vendor does not say how long.
	deviceWait = 10 * time.Second
)

// governor decides how much may go through one credential: nothing for a while
// when its vendor throttles or does not answer, and then little at first. A
// window grows by one with every answer and is halved by every setback, as in TCP.
// It is not safe for concurrent use.
//
// It is no general circuit breaker because a breaker only knows open and shut,
// and a vendor that throttles wants less rather than nothing.
type governor struct {
	most   int // sends in flight
	window int // at present

	restUntil time.Time
	reason    string    // why it rests, a models.Reason…
	cutAt     time.Time // the last setback; answers to older sends are no new one
	throttles int       // in a row
	failures  int       // sends in a row without an answer
	downs     int       // rests in a row because of failures
}

// resting returns until when nothing may be sent.
func (g *governor) resting(now time.Time) (until time.Time, rests bool) {
	return g.restUntil, now.Before(g.restUntil)
}

// answered notes an answer that says nothing against sending more.
func (g *governor) answered() {
	g.failures, g.downs, g.throttles = 0, 0, 0
	if g.window < g.most {
		g.window++
	}
}

// throttled notes that a send begun at start was throttled.
func (g *governor) throttled(start, now time.Time, wait time.Duration, reason string) {
	g.failures = 0
	if !start.After(g.cutAt) {
		return // sent before the last setback: it is the same one
	}
	if wait <= 0 {
		wait = min(throttlePause<<min(g.throttles, 10), throttleMost)
	}
	g.throttles++
	g.rest(now, min(wait, waitMost), reason)
}

// failed notes that a send begun at start had no answer.
func (g *governor) failed(start, now time.Time, reason string) {
	g.failures++
	if g.failures < failuresInRow || start.Before(g.cutAt) {
		return
	}
	wait := min(downPause<<min(g.downs, 10), downMost)
	g.downs++
	g.rest(now, wait, reason)
	g.window = min(g.window, downWindow)
}

func (g *governor) rest(now time.Time, wait time.Duration, reason string) {
	g.cutAt, g.reason = now, reason
	g.window = max(g.window/2, 1)
	if until := now.Add(wait); until.After(g.restUntil) {
		g.restUntil = until
	}
}
