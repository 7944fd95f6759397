package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// HandOver lets a process that also works take a fresh batch without the queue.
// None of its methods may block.
type HandOver interface {
	// Owner is the process's id for leases, "" if it does not work now.
	Owner() string
	// Reserve asks before the commit whether there is room for a batch of n
	// messages of d: each database has room of its own, so that one that stands
	// still does not hold up the others. True is followed by exactly one Take or
	// Forget of the same n, false by exactly one Left.
	Reserve(d *DB, n int) bool
	// Take hands over a committed batch that Owner holds the lease of.
	Take(d *DB, b *Batch)
	// Forget gives back a reservation, because the commit failed.
	Forget(d *DB, n int)
	// Left says that the commit of a batch that Reserve refused has ended: the batch
	// lies in the database now, or never will.
	Left(d *DB)
}

// Accepted says what became of a request.
type Accepted struct {
	// IDs holds one message id per message of the request, the one in the first
	// authorized app; for a duplicate it is the first one's id.
	IDs []string
	// New messages were stored for at least one app; Duplicates for none.
	New, Duplicates int
}

// acceptRow is one message for one app on its way into the database.
type acceptRow struct {
	item        Item
	key         dedupeKey
	keyed       bool // false: the message cannot be recognised again
	contentDays int
	dup         bool
	group       *group // nil when nothing else of its request says the same
}

// group is the messages of one request that say the same to several people.
type group struct {
	first string // id of the first that is new, known after the duplicates are
}

// unit is what one request stores in one database: all of it or none.
type unit struct {
	rows []acceptRow
	err  error
	done chan struct{} // closed after the commit, with rows and err final
}

// intake is the Store's accepting side.
type intake struct {
	cache    ingestCache
	stats    ingestStats
	arrivals arrivalBuffer
	receipts receiptStats
	ids      idMaker
	inbox    sandboxInbox
	guard    diskGuard
	refused  atomic.Int64

	rows, atOnce int // see Options.CommitRows and Committers

	mu         sync.RWMutex // held for reading while a unit is queued
	committers map[*DB]*committer
	stop       context.CancelFunc
	running    sync.WaitGroup
}

// statsEvery is how often collected ingest counts are written and the disk is
// looked at.
const statsEvery = time.Second

// StartAccepting starts the committers, one or more per database. h may be nil
// for a process that does not work. Until then, and after StopAccepting, Accept
// answers Unavailable.
func (s *Store) StartAccepting(h HandOver) {
	in := &s.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.committers != nil {
		return
	}
	in.committers = map[*DB]*committer{}
	for _, d := range s.unique {
		c := &committer{db: d, hand: h, ids: &in.ids, queue: make(chan *unit, queuedUnits), rows: cmp.Or(in.rows, MaxBatch)}
		in.committers[d] = c
		for range cmp.Or(in.atOnce, d.committers()) {
			in.running.Go(c.run)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	in.stop = cancel
	in.guard.look()
	in.running.Go(func() { s.tick(ctx) })
}

// StopAccepting refuses new messages, commits and answers those that are queued,
// and writes what was counted. It waits no longer than ctx.
func (s *Store) StopAccepting(ctx context.Context) error {
	in := &s.intake
	in.mu.Lock()
	if in.committers == nil {
		in.mu.Unlock()
		return nil
	}
	for _, c := range in.committers {
		close(c.queue)
	}
	in.committers = nil
	in.stop()
	in.mu.Unlock()
	done := make(chan struct{})
	go func() { in.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("models: stop accepting: %w", ctx.Err())
	}
	return errors.Join(s.FlushIngest(ctx), s.FlushArrivals(ctx), s.FlushReceipts(ctx))
}

// tick writes ingest counts and watches the disk until ctx ends.
func (s *Store) tick(ctx context.Context) {
	t := time.NewTicker(statsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.intake.guard.look()
		if err := s.FlushIngest(ctx); err != nil && !canceled(err) {
			s.log.Warn("ingest statistics not written, will try again", "error", err)
		}
		if err := s.FlushArrivals(ctx); err != nil && !canceled(err) {
			s.log.Warn("latest requests of IM servers not written, the page of their IM app does not show them", "error", err)
		}
		if err := s.FlushReceipts(ctx); err != nil && !canceled(err) {
			s.log.Warn("receipt statistics not written, will try again", "error", err)
		}
	}
}

// Refused returns how many messages were refused since start because they could
// not be stored.
func (s *Store) Refused() int64 { return s.intake.refused.Load() }

// Accept stores a request's messages for every authorized app and answers after
// the commit. A request's messages are one unit per database: all are stored or
// none. Messages seen before, in this request or an earlier one, keep their
// first id and are not pushed again.
//
// Forbidden: the IM app has no authorization. Invalid: see Incoming.Check.
// Unavailable: the commit failed, the disk is nearly full, or ctx ended first (in
// which case they may have been stored; a repeat finds out).
func (s *Store) Accept(ctx context.Context, in Ingest, msgs []Incoming) (Accepted, error) {
	if !in.Authorized() {
		return Accepted{}, &Error{Kind: Forbidden, Key: "im_app_unauthorized"}
	}
	for i := range msgs {
		if err := msgs[i].Check(); err != nil {
			return Accepted{}, err
		}
	}
	if len(msgs) == 0 {
		return Accepted{}, nil
	}
	units, where := s.units(in, msgs)
	for _, places := range where {
		if len(places) == 0 {
			return Accepted{}, invalid("token", "message_token_unknown", nil)
		}
	}
	if err := s.commitAll(ctx, units, len(msgs)); err != nil {
		return Accepted{}, err
	}
	return answer(units, where), nil
}

// place says where a message for one app was put.
type place struct {
	db  *DB
	row int
}

// units sorts a request's messages into one unit per database. where holds the
// places of each message: one in every app for an account, one for each device of a
// token or topic.
func (s *Store) units(in Ingest, msgs []Incoming) (map[*DB]*unit, [][]place) {
	now := s.Now()
	units := make(map[*DB]*unit, 1)
	where := make([][]place, len(msgs))
	places := make([]place, 0, len(msgs)*len(in.targets))
	groups := groupsOf(msgs)
	for i := range msgs {
		m := msgs[i].clean(now)
		first := len(places)
		for n, t := range in.targets {
			put := func(at DeviceAt) {
				u := units[t.scope.db]
				if u == nil {
					u = &unit{done: make(chan struct{}), rows: make([]acceptRow, 0, len(msgs))}
					units[t.scope.db] = u
				}
				places = append(places, place{t.scope.db, len(u.rows)})
				row := newRow(in, t, &m, at)
				if groups != nil && groups[i] != nil && at.DeviceID == 0 {
					row.group = groups[i].of(n, len(in.targets))
				}
				u.rows = append(u.rows, row)
			}
			if m.Token == "" && m.Topic == "" {
				put(DeviceAt{})
				continue
			}
			for _, at := range m.Devices {
				if at.AppID == t.scope.appID {
					put(at)
				}
			}
		}
		where[i] = places[first:len(places):len(places)]
	}
	return units, where
}

// newRow is one message for one app: for the account of m, or for the device at.
func newRow(in Ingest, t ingestTarget, m *Incoming, at DeviceAt) acceptRow {
	r := acceptRow{contentDays: in.contentDays}
	r.item = Item{Content: m.Content, Message: Message{
		AppID: t.scope.appID, IMAppID: in.imAppID, PlanID: t.planID, Source: in.bridge,
		SourceID: m.SourceID, Kind: m.Kind, Account: m.Account, AccountType: m.AccountType,
		Sender: m.Sender, Conversation: m.Conversation, Sandbox: t.sandbox, ExpiresAt: m.ExpiresAt,
	}}
	if m.IOS != nil && t.platform == PlatformIOS {
		r.item.Content.Title, r.item.Content.Sound = m.IOS.Title, m.IOS.Sound
	}
	if at.DeviceID != 0 {
		// The user is for the record alone: the device is what the message goes to.
		r.item.DeviceID, r.item.Message.Account = at.DeviceID, cmp.Or(at.Account, m.Account)
	}
	if m.SourceID != "" {
		r.key, r.keyed = dedupeKeyOf(in.imAppID, t.scope.appID, at.DeviceID, m), true
	}
	return r
}

// answer reads the units after their commits.
func answer(units map[*DB]*unit, where [][]place) Accepted {
	a := Accepted{IDs: make([]string, 0, len(where))}
	for _, places := range where {
		first := units[places[0].db].rows[places[0].row]
		a.IDs = append(a.IDs, first.item.Message.ID)
		isNew := false
		for _, p := range places {
			isNew = isNew || !units[p.db].rows[p.row].dup
		}
		if isNew {
			a.New++
		} else {
			a.Duplicates++
		}
	}
	return a
}

// commitAll queues every unit and waits for all their commits.
func (s *Store) commitAll(ctx context.Context, units map[*DB]*unit, n int) error {
	err := s.queueAll(ctx, units)
	if err == nil {
		for _, u := range units {
			select {
			case <-u.done:
				err = errors.Join(err, u.err)
			case <-ctx.Done():
				err = errors.Join(err, ctx.Err())
			}
		}
	}
	if err != nil {
		s.intake.refused.Add(int64(n))
		return &Error{Kind: Unavailable, Key: "cannot_store", Err: err}
	}
	return nil
}

var (
	errNotAccepting = errors.New("models: accept: not accepting")
	errDiskFull     = errors.New("models: accept: disk nearly full")
)

func (s *Store) queueAll(ctx context.Context, units map[*DB]*unit) error {
	if s.intake.guard.full() {
		return errDiskFull
	}
	s.intake.mu.RLock()
	defer s.intake.mu.RUnlock()
	for d, u := range units {
		c := s.intake.committers[d]
		if c == nil {
			return errNotAccepting
		}
		select {
		case c.queue <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// AcceptTest stores a test push (发送测试推送) to an account, or to one device when
// deviceID is not 0, and answers after the commit with the message's id.
func (s *Store) AcceptTest(ctx context.Context, app AppScope, planID int64, in Incoming, deviceID int64) (string, error) {
	check := in.Check
	if deviceID != 0 {
		check = in.checkContent
	}
	if err := check(); err != nil {
		return "", err
	}
	var row struct {
		Sandbox     bool
		ContentDays int
	}
	err := s.read(ctx).Raw(`SELECT p.sandbox, a.content_days FROM apps p JOIN accounts a ON a.id = p.account_id
		WHERE p.id = ? AND p.deleted_at IS NULL`, app.appID).Take(&row).Error
	if err != nil {
		return "", found(err, "app")
	}
	m := in.clean(s.Now())
	r := newRow(Ingest{bridge: SourceTest, contentDays: row.ContentDays}, ingestTarget{scope: app, planID: planID, sandbox: row.Sandbox}, &m, DeviceAt{DeviceID: deviceID})
	r.keyed = false
	u := &unit{rows: []acceptRow{r}, done: make(chan struct{})}
	if err := s.commitAll(ctx, map[*DB]*unit{app.db: u}, 1); err != nil {
		return "", err
	}
	return u.rows[0].item.Message.ID, nil
}

// SourceTest is the Source of a test push; other sources are bridge ids.
const SourceTest = "test"
