// Package worker sends what was accepted: it takes batches of messages from the
// database or straight from the accepting side, finds the devices, sends through
// the vendors' channels, and records every end in one transaction with the batch.
//
// A batch is worked under a lease. What was recorded is never sent again; what
// was in flight when a process died is sent again by another, with the same id.
// Messages of one device leave in the order in which they were accepted.
package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"hongyan/models"
	"hongyan/push"
)

// Control is what the worker asks of the control plane; *models.Store has it.
type Control interface {
	// SendConfig returns an app's settings and credentials, at most a second old.
	// NotFound when the app is gone.
	SendConfig(ctx context.Context, appID int64) (*models.SendConfig, error)
	// PauseCredential pauses a credential unless it was changed since revision; it
	// reports whether it did.
	PauseCredential(ctx context.Context, id, revision int64, code, text string) (bool, error)
	// CredentialWorked notes that a vendor accepted the credential, and what it said of
	// its quota.
	CredentialWorked(ctx context.Context, id, revision int64, quota models.Quota) error
	// ReceiptsRefused notes that the vendor refuses the receipt address, unless the
	// credential was changed since revision.
	ReceiptsRefused(ctx context.Context, id, revision int64, code string) error
	// RestCredential notes for every process that nothing goes through a credential
	// until a moment; replaced when it was changed since revision.
	RestCredential(ctx context.Context, id, revision int64, until time.Time, code string) (replaced bool, err error)
	// RestClass does so for messages with one class of their own.
	RestClass(ctx context.Context, id, revision int64, class string, until time.Time) (replaced bool, err error)
}

// Database is what the worker asks of a database; *models.DB has it.
type Database interface {
	ClaimDue(ctx context.Context, owner string, lease time.Duration, limit int, except ...int64) ([]*models.Batch, error)
	RenewLeases(ctx context.Context, owner string, ids []int64, lease time.Duration) ([]int64, error)
	ReleaseBatches(ctx context.Context, owner string, ids []int64) error
	ReachAccounts(ctx context.Context, keys []models.AccountKey) (map[models.AccountKey][]models.Reach, error)
	ReachDevices(ctx context.Context, ids []int64) (map[int64]models.Reach, error)
	Record(ctx context.Context, owner string, recs []models.Recording) (kept [][]*models.Batch, lost []int64, err error)
	NewQueue(cfg *river.Config) (models.Queue, error)
	// Beat notes that owner works and returns how many processes do.
	Beat(ctx context.Context, owner string) (working int, err error)
	Leave(ctx context.Context, owner string) error
}

// Limits bound what one process holds and does at once. Zero values mean the
// defaults.
type Limits struct {
	// Messages in memory per database; beyond it, batches wait on disk.
	Messages int
	// InFlight is the most sends under way through one credential.
	InFlight int
	// Attempts that the vendor answered with a fault of its own before a message is
	// given up, if it has not expired.
	Attempts int
}

// Defaults of Limits. At 50 ms from a vendor 1500 sends in flight are 30 000 a
// second; 20 000 messages are some 40 MB.
const (
	defaultMessages = 20000
	defaultInFlight = 1500
	defaultAttempts = 20
)

// Options say how to make a Worker.
type Options struct {
	Store *models.Store
	// Registry returns a channel's spec, false when this build has none.
	Registry func(push.Channel) (push.Spec, bool)
	// Sandbox returns where the built-in simulator of a channel listens, false
	// when none runs. nil when there are no simulators.
	Sandbox func(push.Channel) (push.Options, bool)
	// DialControl judges the addresses that targets bring along, see push.Options.
	DialControl func(network, address string, c syscall.RawConn) error
	// ReceiptURL returns the address that a channel's vendor, or its simulator in the
	// sandbox, reports to for the credential with that secret; "" when the
	// installation has none. nil for never.
	ReceiptURL func(region, channel string, secret models.Secret, sandbox bool) string
	// Owner names this process in leases; "" makes a name.
	Owner string
	Log   *slog.Logger
	// Now is the clock of everything that is stored; nil for time.Now.
	Now    func() time.Time
	Limits Limits
	// Metrics is where the worker's metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
	// Retention is how long records are kept; 0 for the models' default.
	Retention time.Duration
	// Upkeep is periodic work beside the data model's own.
	Upkeep []Upkeep
}

// Worker sends. It implements models.HandOver.
type Worker struct {
	o       Options
	control Control
	log     *slog.Logger
	lanes   []*lane
	byDB    map[Database]*lane
	lines   lines
	upkeep  []Upkeep
	metrics *metrics
	started time.Time    // validity of leases is counted from here
	share   atomic.Int32 // working processes, this one included, as last counted

	phase     atomic.Int32
	sending   context.Context // ends when sends must be cut short
	cutSends  context.CancelFunc
	feeding   context.Context // ends when no new work may be begun
	stopFeed  context.CancelFunc
	keeping   context.Context // ends when leases are no longer renewed
	stopKeep  context.CancelFunc
	landed    chan struct{} // capacity 1: a send ended while stopping
	feeders   sync.WaitGroup
	keepers   sync.WaitGroup
	recorders sync.WaitGroup
	notes     sync.WaitGroup // small calls to the control plane
}

// Phases of a Worker. Batches are taken only while it is working.
const (
	idle int32 = iota
	starting
	working
	draining // sends under way may end
	settling // all have; the rest is recorded and handed back
	stopped
)

// New returns a Worker that does nothing until Start.
func New(o Options) *Worker {
	dbs := make([]Database, 0, 1)
	for _, d := range o.Store.Databases() {
		dbs = append(dbs, d)
	}
	w := build(o, o.Store, dbs)
	w.upkeep = append(storeUpkeep(o.Store, o.Retention), o.Upkeep...)
	return w
}

func build(o Options, c Control, dbs []Database) *Worker {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	clock := o.Now
	if clock == nil {
		clock = time.Now
	}
	o.Now = func() time.Time { return clock().UTC().Truncate(time.Microsecond) }
	if o.Owner == "" {
		o.Owner = newOwner()
	}
	orDefault(&o.Limits.Messages, defaultMessages)
	orDefault(&o.Limits.InFlight, defaultInFlight)
	orDefault(&o.Limits.Attempts, defaultAttempts)
	w := &Worker{o: o, control: c, log: o.Log, byDB: map[Database]*lane{}, started: time.Now(), landed: make(chan struct{}, 1)}
	w.sending, w.cutSends = context.WithCancel(context.Background())
	w.feeding, w.stopFeed = context.WithCancel(context.Background())
	w.keeping, w.stopKeep = context.WithCancel(context.Background())
	w.metrics = newMetrics(o.Metrics, w)
	w.lines.init(w)
	for _, d := range dbs {
		l := newLane(w, d)
		w.lanes = append(w.lanes, l)
		w.byDB[d] = l
	}
	return w
}

func orDefault(n *int, d int) {
	if *n <= 0 {
		*n = d
	}
}

// newOwner names a process: host and process for people, and a random part
// because containers all have process 1.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Owner implements models.HandOver.
func (w *Worker) Owner() string {
	if w.phase.Load() != working {
		return ""
	}
	return w.o.Owner
}

// Reserve implements models.HandOver.
func (w *Worker) Reserve(d *models.DB, n int) bool { return w.reserve(d, n) }

// Take implements models.HandOver.
func (w *Worker) Take(d *models.DB, b *models.Batch) { w.take(d, b) }

// Forget implements models.HandOver.
func (w *Worker) Forget(d *models.DB, n int) { w.byDB[d].forget(n) }

// Left implements models.HandOver.
func (w *Worker) Left(d *models.DB) { w.left(d) }

func (w *Worker) reserve(d Database, n int) bool { return w.byDB[d].reserve(n) }

func (w *Worker) take(d Database, b *models.Batch) { w.byDB[d].take(b) }

func (w *Worker) left(d Database) { w.byDB[d].left() }

// Start begins to claim, send and record, and returns at once. On SQLite it
// frees every lease first, because the process that held them is gone. It must
// be called once, before messages are accepted.
func (w *Worker) Start(ctx context.Context) error {
	if !w.phase.CompareAndSwap(idle, starting) {
		return errors.New("worker: start: already started")
	}
	for _, l := range w.lanes {
		if d, ok := l.db.(*models.DB); ok && d.Dialect == models.SQLite {
			if err := d.FreeLeases(ctx); err != nil {
				return fmt.Errorf("worker: start: %w", err)
			}
		}
	}
	w.phase.Store(working)
	for _, l := range w.lanes {
		if err := l.start(ctx); err != nil {
			return fmt.Errorf("worker: start: %w", err)
		}
	}
	return nil
}

// sinceStart is a moment that no change of the wall clock moves.
func (w *Worker) sinceStart() time.Duration { return time.Since(w.started) }
