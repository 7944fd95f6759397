package worker

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/google/uuid"

	"hongyan/models"
	"hongyan/push"
)

// job is one message for one device (or, with device 0, an end that concerns
// none), from planning to the record.
type job struct {
	work *work
	item *models.Item
	msg  *push.Message

	line    *line          // the credential it goes through; nil when it never goes out
	target  [1]push.Target // an array, so that a send needs no slice of its own
	badge   int            // what target[0].Badge points to
	channel string
	counted bool // badge is one more than the number before
	fresh   bool // chosen for the first time
	count   int  // messages of the conversation that it stands for
	detour  bool // another route of the device may be tried if this one fails
	planned bool // fresh, and counts as planned
	// from is the device, the route and what was tried before this batch. It does
	// not change once planned: a job that is still open is carried on as it came.
	from models.OpenTarget

	next *job // the next one for the same device; guarded by chains
	// more go in the same request as this one, see bundle.go. Only the one who has the
	// job in hand touches it.
	more []*job

	phase phase // guarded by work.mu
	end
}

// phase says how far a job is.
type phase uint8

const (
	open      phase = iota // waits or is being sent
	ended                  // has its end, which is not recorded yet
	recording              // its end is with the recorder
	recorded
)

// end is how a job ended for this batch: settled, or put off.
type end struct {
	tries    int    // from.Tries and the one made here
	attempts int    // those that count against the limit
	state    string // a models.State…; StatePending when put off
	reason   string
	result   push.Result
	tried    bool // a send was made
	reported bool // with a receipt address
	at       time.Time
	retire   time.Time // not zero: retire the route unless registered after it
	// notifyOff, when not zero: the app may show nothing, unless the phone said otherwise since.
	notifyOff time.Time
	due       time.Time // when put off until a moment
	paused    bool      // when put off until the credential is repaired
	rested    int64     // when put off to wait out its quota: the credential's revision
	again     bool      // when put off as it came, to be planned anew
	detoured  bool      // when put off to go through another route
	merging   bool      // when put off to stand for later messages too
}

// newJob returns a job for one device, or for none when from says none.
func newJob(k *work, it *models.Item, from models.OpenTarget) job {
	return job{work: k, item: it, from: from, count: from.Count, end: end{tries: from.Tries, attempts: from.Attempts}}
}

// settle ends a job for good.
func (j *job) settle(state, reason string, at time.Time) {
	j.state, j.reason, j.at = state, reason, at
}

// putOff ends a job for this batch; it goes on in another one that is due then.
func (j *job) putOff(reason string, due, at time.Time) {
	j.state, j.reason, j.due, j.at = models.StatePending, reason, due, at
}

// hold ends a job for this batch until its credential is repaired.
func (j *job) hold(at time.Time) {
	j.putOff(models.ReasonPaused, time.Time{}, at)
	j.paused = true
}

// turn puts a job off to go through another route of its device, if it has one
// and has not turned before; it reports whether it did.
func (j *job) turn(at time.Time) bool {
	if !j.detour {
		return false
	}
	j.putOff(models.ReasonDetour, at, at)
	j.detoured, j.paused = true, false
	return true
}

// expired reports whether the message has lost its worth.
func (j *job) expired(now time.Time) bool { return !now.Before(j.item.Message.ExpiresAt) }

// targetID is the id of one message on one device: the same over every attempt
// and every process, so that a vendor or a phone recognises a repeat.
func targetID(messageID string, device int64) string {
	var b [64]byte
	n := copy(b[:36], messageID)
	for i := range 8 {
		b[n+i] = byte(device >> (8 * i))
	}
	sum := sha256.Sum256(b[:n+8])
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8: made of a hash of our own
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// work is a batch in this process's hands.
type work struct {
	lane  *lane
	came  time.Duration // when it came into memory
	items []models.Item
	age   age
	cred  int64 // that it was put off for, 0 for a fresh one
	late  bool  // much older than others planned before it; set before its jobs are let go

	mu         sync.Mutex
	batch      *models.Batch // a partial record replaces it
	size       int           // messages it holds in memory
	planned    bool
	jobs       []job
	open       int // jobs without an end
	unrecorded int // jobs whose end is not recorded
	queued     bool
	busy       bool // the recorder is at it
	counted    bool // planned devices and badges are recorded
	lost       bool // another process has it
	over       bool // nothing is left to do
	flushed    time.Duration
	renewed    time.Duration // when the lease was last known to be renewed
	valid      time.Duration // until when it is believed to hold
	badges     []int64       // devices whose badge it counted up
}

func newWork(l *lane, b *models.Batch, valid time.Duration) *work {
	now := l.w.sinceStart()
	return &work{lane: l, came: now, items: b.Items, age: ageOf(b), cred: b.CredentialID, batch: b, size: len(b.Items), flushed: now, renewed: now, valid: valid}
}

// age is a batch's place in the order of acceptance, and of claims: when it was due
// and, of those due at one moment, its id.
type age struct {
	due time.Time
	id  int64
}

func ageOf(b *models.Batch) age { return age{b.DueAt, b.ID} }

// before reports whether a is the older one.
func (a age) before(b age) bool {
	if a.due.Equal(b.due) {
		return a.id < b.id
	}
	return a.due.Before(b.due)
}

// id returns the batch's present id and whether the work is still ours.
func (k *work) id() (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.batch.ID, !k.lost && !k.over
}

// trust says whether a message of the batch may be sent now: not when another
// process has it, and not when the lease may have run out.
func (k *work) trust() (mine, leased bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.lost, k.lane.w.sinceStart() < k.valid
}

// finish notes that a job has its end, and has the batch recorded when it was
// the last.
func (k *work) finish(j *job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || j.phase != open {
		return
	}
	j.phase = ended
	k.open--
	k.unrecorded++
	if k.open == 0 {
		k.queueLocked()
	}
}

// queueLocked passes the batch to the recorder once.
func (k *work) queueLocked() {
	if !k.queued && !k.busy && !k.lost && !k.over {
		k.queued = true
		k.lane.recorder.add(k)
	}
}

// flush has the ends recorded that a slow batch already has.
func (k *work) flush(now, age time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.planned && k.unrecorded > 0 && k.open > 0 && now-k.flushed >= age {
		k.queueLocked()
	}
}

// pause waits for d, or less when ctx ends; false then.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
