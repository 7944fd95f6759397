package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/models"
	"hongyan/push"
)

const (
	// configAge is how old what a line knows of its credential may be when it sends.
	configAge = 500 * time.Millisecond
	// idleClose is after how long without a send a credential's connections close.
	idleClose = 10 * time.Minute
	// rerouteWait is when work is looked at again whose credential changed.
	rerouteWait = time.Second
	// refusalHolds is how long a refusal stands by itself: settings read before it,
	// which may be a second old, do not know of it.
	refusalHolds = 2 * time.Second
)

// line is everything that goes through one credential at one revision.
type line struct {
	w    *Worker
	app  int64
	cred models.SendCredential
	spec push.Spec
	m    *lineMetrics

	// box is whether the app sends through the simulator; pkg its bundle or package.
	// bundle is the most targets that go in one request.
	box    bool
	pkg    string
	bundle int

	opening sync.Mutex
	sender  push.Sender // guarded by opening until set, see open

	held atomic.Int64 // messages in memory that go through it

	mu       sync.Mutex
	gov      governor
	pace     pace
	late     fifo // jobs of batches that came late, which go first
	queue    fifo
	flying   int                  // sends under way
	classes  map[string]time.Time // until when a class that messages have themselves rests
	resting  []*hand
	quiet    time.Duration // since when sends are under way and nothing was answered
	used     time.Duration // last submit
	checked  time.Duration // when the settings were last read
	checking bool
	paused   bool          // the credential is paused
	gone     bool          // the credential or its app is
	replaced bool          // the credential has another revision
	refused  time.Duration // when the vendor refused it, 0 if it did not
	worked   time.Duration // when success was last noted, 0 never
	// receipts is the address that the vendor reports to, or ""; receiptOn whether it
	// knows it.
	receipts  string
	receiptOn bool
	closing   bool // replaced by another revision, or idle
}

// hand is a goroutine that sends, waiting for a job. The stack of a send is grown
// once and kept.
type hand struct{ next chan *job }

// submit takes a job, to be sent as soon as there is room. False means that it
// need not be sent now: it was put off, or its batch is not ours any more.
func (l *line) submit(j *job) bool {
	if mine, _ := j.work.trust(); !mine {
		return false
	}
	now := l.w.o.Now()
	l.mu.Lock()
	if l.w.phase.Load() != working {
		l.mu.Unlock()
		return true // handed back with its batch
	}
	l.used = l.w.sinceStart()
	if l.blockedLocked(j, now) {
		l.mu.Unlock()
		return false
	}
	if l.flying >= l.gov.window || l.pace.limited() && l.waitingLocked() || !l.mayLocked(j) {
		if j.work.late {
			l.late.push(j)
		} else {
			l.queue.push(j)
		}
		l.mu.Unlock()
		return true
	}
	l.startLocked(j)
	return true
}

// blockedLocked puts a job, and those that go with it, off when nothing may be sent
// through the credential now.
func (l *line) blockedLocked(j *job, now time.Time) bool {
	var off func(*job)
	switch until, rests := l.gov.resting(now); {
	case l.gone, l.closing:
		off = func(j *job) { j.putOff(models.ReasonRetry, wholeSecond(now.Add(rerouteWait)), now) }
	case l.pausedLocked():
		off = func(j *job) {
			if !j.turn(now) {
				j.hold(now)
			}
		}
	case rests:
		off = func(j *job) { l.restJobLocked(j, l.gov.reason, until, now) }
	default:
		until, rests := l.classRestsLocked(j, now)
		if !rests {
			return false
		}
		off = func(j *job) { l.restJobLocked(j, models.ReasonThrottled, until, now) }
	}
	j.each(off)
	return true
}

// pausedLocked reports whether the credential is paused, or will be as soon as
// everyone has read it.
func (l *line) pausedLocked() bool {
	return l.paused || l.refused > 0 && l.w.sinceStart()-l.refused < refusalHolds
}

// work sends j and whatever comes next, then rests until it is needed or the line
// has no use for it.
func (l *line) work(j *job) {
	h := &hand{next: make(chan *job, 1)}
	for j != nil {
		l.handle(j)
		if j = l.after(h); j == nil {
			j = <-h.next // nil when the line is done with us
		}
	}
}

// after ends a send and returns the next job, or nil when h shall rest.
func (l *line) after(h *hand) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flying <= l.gov.window && l.w.phase.Load() == working {
		if j := l.nextLocked(); j != nil {
			return j
		}
	}
	l.flying--
	if l.w.phase.Load() != working {
		signal(l.w.landed)
	}
	if l.closing {
		h.next <- nil
	} else {
		l.resting = append(l.resting, h)
	}
	return nil
}

// nextLocked takes the job to send next if one waits and the rate lets it go, or
// returns nil.
func (l *line) nextLocked() *job {
	q := &l.late
	if !q.waits() {
		q = &l.queue
	}
	if j := q.first(); j == nil || !l.mayLocked(j) {
		return nil
	}
	return q.pop()
}

// waitingLocked reports whether jobs wait.
func (l *line) waitingLocked() bool { return l.late.waits() || l.queue.waits() }

// startMore puts hands to work after the window has grown.
func (l *line) startMore() {
	for {
		l.mu.Lock()
		if l.flying >= l.gov.window || l.w.phase.Load() != working {
			l.mu.Unlock()
			return
		}
		j := l.nextLocked()
		if j == nil {
			l.mu.Unlock()
			return
		}
		l.startLocked(j)
	}
}

// startLocked gives a job to a hand and unlocks l.mu.
func (l *line) startLocked(j *job) {
	if l.flying++; l.flying == 1 {
		l.quiet = l.w.sinceStart()
	}
	if n := len(l.resting); n > 0 {
		// The one that rested last has the warmest stack.
		h := l.resting[n-1]
		l.resting = l.resting[:n-1]
		l.mu.Unlock()
		h.next <- j
		return
	}
	l.mu.Unlock()
	go l.work(j)
}

// putOffQueue puts off everything that waits, after a setback.
func (l *line) putOffQueue(now time.Time) {
	l.mu.Lock()
	var jobs []*job
	for _, q := range []*fifo{&l.late, &l.queue} {
		for j := q.first(); j != nil && l.blockedLocked(j, now); j = q.first() {
			jobs = append(jobs, q.pop())
		}
	}
	l.mu.Unlock()
	for _, j := range jobs {
		j.work.lane.complete(j)
	}
}

// refresh reads the credential's settings when what is known is too old. One send
// does it while the others go on.
func (l *line) refresh(ctx context.Context) {
	now := l.w.sinceStart()
	l.mu.Lock()
	if l.checking || now-l.checked < configAge {
		l.mu.Unlock()
		return
	}
	l.checking = true
	l.mu.Unlock()
	cfg, err := l.w.control.SendConfig(ctx, l.app)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checking = false
	switch {
	case err == nil:
		l.checked = now
		l.learnLocked(cfg)
	case models.KindOf(err) == models.NotFound:
		l.checked, l.gone = now, true
	}
	// Any other error: the control plane is away for a moment, and what was known
	// holds until it is back.
}

// learnLocked takes over what the settings say.
func (l *line) learnLocked(cfg *models.SendConfig) {
	l.gone, l.paused, l.replaced = true, false, false
	for i := range cfg.Credentials {
		if c := &cfg.Credentials[i]; c.ID == l.cred.ID && cfg.Sandbox == l.box {
			// A newer revision gets a line of its own; what is queued here goes out with
			// the old one, and is looked up anew if the vendor refuses it.
			l.gone, l.paused = false, c.Revision == l.cred.Revision && c.Paused
			l.replaced = c.Revision > l.cred.Revision
			if c.Revision == l.cred.Revision {
				l.paceLocked(c.Rate)
				l.restLocked(c.RestUntil)
				l.restClassesLocked(c.ClassRests)
				l.learnReceiptsLocked(cfg, c)
			}
		}
	}
	if !l.paused && l.w.sinceStart()-l.refused >= refusalHolds {
		l.refused = 0
	}
}

// close ends the hands that rest and closes the connections. Without force it
// does so only when nothing is under way, and reports whether it did.
func (l *line) close(force bool) bool {
	l.mu.Lock()
	if !force && (l.flying > 0 || l.waitingLocked()) {
		l.mu.Unlock()
		return false
	}
	l.closing = true
	rest := l.resting
	l.resting = nil
	l.mu.Unlock()
	for _, h := range rest {
		h.next <- nil
	}
	l.opening.Lock()
	defer l.opening.Unlock()
	if l.sender != nil {
		l.sender.Close()
		l.sender = nil
	}
	return true
}
