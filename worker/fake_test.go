package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"

	"hongyan/models"
	"hongyan/push"
)

// fakeDB is a Database in memory with the rules of the real one: leases by its
// clock, generations, records that are all or nothing.
type fakeDB struct {
	mu         sync.Mutex
	last       int64
	batches    map[int64]*fakeBatch
	accounts   map[models.AccountKey][]int64
	devices    map[int64]*models.Reach
	deliveries map[string]models.Delivery // message/device
	history    []models.Delivery
	attempts   []models.Attempt
	counters   map[models.Count]int64
	retired    []models.RetiredRoute
	fail       func(call string) error
	records    int
	claims     int
	claimed    int // messages of claimed batches
	processes  int // that work, 0 for one
	upkeepHang bool
}

type fakeBatch struct {
	models.Batch
	owner  string
	until  time.Time
	paused bool
}

func newFakeDB() *fakeDB {
	return &fakeDB{
		batches: map[int64]*fakeBatch{}, accounts: map[models.AccountKey][]int64{}, devices: map[int64]*models.Reach{},
		deliveries: map[string]models.Delivery{}, counters: map[models.Count]int64{},
	}
}

func (d *fakeDB) failing(call string) error {
	if d.fail == nil {
		return nil
	}
	return d.fail(call)
}

func (d *fakeDB) insert(b models.Batch, owner string, paused bool) *models.Batch {
	d.last++
	b.ID, b.Generation = d.last, 1
	fb := &fakeBatch{Batch: b, owner: owner, paused: paused}
	if owner != "" {
		fb.until = time.Now().Add(models.LeaseTime)
	}
	d.batches[b.ID] = fb
	out := fb.Batch
	return &out
}

func (d *fakeDB) ClaimDue(_ context.Context, owner string, lease time.Duration, limit int, except ...int64) ([]*models.Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims++
	if err := d.failing("claim"); err != nil {
		return nil, err
	}
	now := time.Now()
	var ids []int64
	for id, b := range d.batches {
		if !b.paused && !slices.Contains(except, b.CredentialID) && !b.DueAt.After(now) && (b.owner == "" || b.until.Before(now)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []*models.Batch
	for _, id := range ids[:min(len(ids), limit)] {
		b := d.batches[id]
		b.owner, b.until = owner, now.Add(lease)
		b.Generation++
		c := b.Batch
		d.claimed += len(c.Items)
		out = append(out, &c)
	}
	return out, nil
}

func (d *fakeDB) RenewLeases(_ context.Context, owner string, ids []int64, lease time.Duration) (held []int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("renew"); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if b := d.batches[id]; b != nil && b.owner == owner {
			b.until = time.Now().Add(lease)
			held = append(held, id)
		}
	}
	return held, nil
}

func (d *fakeDB) ReleaseBatches(ctx context.Context, owner string, ids []int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.failing("release"); err != nil {
		return err
	}
	for _, id := range ids {
		if b := d.batches[id]; b != nil && b.owner == owner {
			b.owner = ""
		}
	}
	return nil
}

func (d *fakeDB) ReachAccounts(_ context.Context, keys []models.AccountKey) (map[models.AccountKey][]models.Reach, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("reach"); err != nil {
		return nil, err
	}
	out := map[models.AccountKey][]models.Reach{}
	for _, k := range keys {
		if out[k] != nil {
			continue
		}
		for _, id := range d.accounts[k] {
			out[k] = append(out[k], *d.devices[id])
		}
	}
	return out, nil
}

func (d *fakeDB) ReachDevices(_ context.Context, ids []int64) (map[int64]models.Reach, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[int64]models.Reach{}
	for _, id := range ids {
		if r := d.devices[id]; r != nil {
			out[id] = *r
		}
	}
	return out, nil
}

func (d *fakeDB) Record(_ context.Context, owner string, recs []models.Recording) (kept [][]*models.Batch, lost []int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records++
	if err := d.failing("record"); err != nil {
		return nil, nil, err
	}
	kept = make([][]*models.Batch, len(recs))
	for i, r := range recs {
		b := d.batches[r.Batch.ID]
		if b == nil || b.owner != owner || b.Generation != r.Batch.Generation {
			lost = append(lost, r.Batch.ID)
			continue
		}
		delete(d.batches, r.Batch.ID)
		for _, dl := range r.Deliveries {
			key := fmt.Sprintf("%s/%d", dl.MessageID, dl.DeviceID)
			if old, ok := d.deliveries[key]; !ok || old.State == models.StatePending {
				d.deliveries[key] = dl
			}
			d.history = append(d.history, dl)
		}
		d.attempts = append(d.attempts, r.Attempts...)
		for _, c := range r.Counters {
			n := c.N
			c.N, c.Hour = 0, 0
			d.counters[c] += n
		}
		d.retired = append(d.retired, r.Retired...)
		for id, n := range r.Badges {
			if dev := &d.devices[id].Device; dev.BadgeRevision == n.Revision {
				dev.Badge = n.N
			}
		}
		for _, rest := range r.Rest {
			o := ""
			if rest.Keep {
				o = owner
			}
			nb := d.insert(models.Batch{CredentialID: rest.CredentialID, DueAt: rest.DueAt, Items: rest.Items}, o, rest.Paused)
			if rest.Keep {
				kept[i] = append(kept[i], nb)
			}
		}
	}
	return kept, lost, nil
}

func (d *fakeDB) Beat(context.Context, string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.processes, 1), nil
}

func (d *fakeDB) Leave(context.Context, string) error { return nil }

func (d *fakeDB) NewQueue(*river.Config) (models.Queue, error) { return fakeQueue{d.upkeepHang}, nil }

// fakeQueue runs nothing, or a job that does not even end when it is cancelled.
type fakeQueue struct{ hangs bool }

func (fakeQueue) Start(context.Context) error { return nil }

func (q fakeQueue) StopAndCancel(ctx context.Context) error {
	if !q.hangs {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// fakeControl is a control plane with one app.
type fakeControl struct {
	mu     sync.Mutex
	cfg    models.SendConfig
	gone   bool
	err    error
	paused []string
	worked int
	quota  models.Quota
	// refused are the codes by which a receipt address was refused.
	refused []string
	rests   int
}

func (c *fakeControl) SendConfig(_ context.Context, _ int64) (*models.SendConfig, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.gone {
		return nil, &models.Error{Kind: models.NotFound}
	}
	cfg := c.cfg
	cfg.Credentials = slices.Clone(c.cfg.Credentials)
	return &cfg, nil
}

func (c *fakeControl) PauseCredential(_ context.Context, id, revision int64, code, _ string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.cfg.Credentials {
		if cr := &c.cfg.Credentials[i]; cr.ID == id && cr.Revision == revision && !cr.Paused {
			cr.Paused = true
			c.paused = append(c.paused, code)
			return true, nil
		}
	}
	return false, nil
}

func (c *fakeControl) CredentialWorked(_ context.Context, _, _ int64, quota models.Quota) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worked++
	c.quota = quota
	return nil
}

func (c *fakeControl) ReceiptsRefused(_ context.Context, id, revision int64, code string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.cfg.Credentials {
		if cr := &c.cfg.Credentials[i]; cr.ID == id && cr.Revision == revision {
			cr.ReceiptOn = false
			c.refused = append(c.refused, code)
		}
	}
	return nil
}

func (c *fakeControl) RestCredential(_ context.Context, id, revision int64, until time.Time, _ string) (replaced bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	replaced = true
	for i := range c.cfg.Credentials {
		if cr := &c.cfg.Credentials[i]; cr.ID == id && cr.Revision == revision {
			cr.RestUntil, replaced = until, false
			c.rests++
		}
	}
	return replaced, nil
}

func (c *fakeControl) change(f func(*models.SendConfig)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.cfg)
}

// sent is one push as the vendor saw it.
type sent struct {
	token string
	id    string
	ref   string
	badge int // -1 for none
	msg   push.Message
}

// vendor is a channel whose answers a test decides.
type vendor struct {
	mu     sync.Mutex
	pushes []sent
	calls  []int // targets of each
	limits push.Limits
	now    int // in flight
	most   int
	opened int
	closed int
	// answer decides; nil accepts. It may sleep: time is the bubble's.
	answer func(ctx context.Context, s sent) push.Result
	open   func(fields map[string]string, o push.Options) error
}

func (v *vendor) Send(ctx context.Context, m push.Message, ts []push.Target) []push.Result {
	out := make([]push.Result, len(ts))
	v.mu.Lock()
	v.calls = append(v.calls, len(ts))
	v.mu.Unlock()
	for i, t := range ts {
		s := sent{token: t.Token, id: t.ID, ref: t.Ref, badge: -1, msg: m}
		if t.Badge != nil {
			s.badge = *t.Badge
		}
		v.mu.Lock()
		v.pushes = append(v.pushes, s)
		v.now++
		v.most = max(v.most, v.now)
		answer := v.answer
		v.mu.Unlock()
		out[i] = push.Result{Outcome: push.Accepted, VendorID: "v-" + t.ID}
		if answer != nil {
			out[i] = answer(ctx, s)
		}
		v.mu.Lock()
		v.now--
		v.mu.Unlock()
	}
	return out
}

func (v *vendor) Check(context.Context) push.Result { return push.Result{Outcome: push.Accepted} }

func (v *vendor) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed++
}

func (v *vendor) list() []sent {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.pushes)
}

func (v *vendor) set(f func(ctx context.Context, s sent) push.Result) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = f
}

func (v *vendor) spec(c push.Channel) (push.Spec, bool) {
	if c != push.APNs {
		return push.Spec{}, false
	}
	return push.Spec{Channel: c, Limits: v.limits, ReceiptSetup: push.ReceiptConsole, Open: func(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
		if v.open != nil {
			if err := v.open(fields, o); err != nil {
				return nil, err
			}
		}
		v.mu.Lock()
		v.opened++
		v.mu.Unlock()
		return v, nil
	}}, true
}

const (
	testApp  = 1600000001
	testCred = 7
)

// rig is a worker on fakes. It is used inside a synctest bubble.
type rig struct {
	t       *testing.T
	db      *fakeDB
	control *fakeControl
	vendor  *vendor
	w       *Worker
	n       int // messages made
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, db: newFakeDB(), control: &fakeControl{}, vendor: &vendor{}}
	r.control.cfg = models.SendConfig{
		AppID: testApp, Package: "com.example.im", Name: "鸿雁演示", Fanout: models.FanoutAll, TextMode: models.TextFull,
		Credentials: []models.SendCredential{{ID: testCred, Revision: 1, Channel: "apns", Environment: "production", Kind: "p8"}},
	}
	r.w = r.worker("one", Limits{})
	return r
}

func (r *rig) worker(owner string, limits Limits) *Worker {
	return build(Options{Registry: r.vendor.spec, Owner: owner, Limits: limits, Log: slog.New(slog.DiscardHandler)}, r.control, []Database{r.db})
}

func (r *rig) start() {
	r.t.Helper()
	if err := r.w.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.wait(time.Second) // until it hands over in memory
	if r.w.lanes[0].stance != ahead {
		r.t.Fatal("the lane is not ahead")
	}
}

// wait lets the bubble's time pass and everything come to rest. Between two waits
// a test may look into the fakes as it likes.
func (r *rig) wait(d time.Duration) {
	r.pass()
	time.Sleep(d)
	synctest.Wait()
	r.pass()
}

// pass orders what the test did before what the worker does next, and the other
// way round.
func (r *rig) pass() {
	for _, mu := range []*sync.Mutex{&r.db.mu, &r.control.mu, &r.vendor.mu} {
		mu.Lock()
		mu.Unlock() //nolint:staticcheck // nothing to guard, only to order
	}
}

func (r *rig) stop() {
	r.t.Helper()
	r.pass()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.w.Stop(ctx); err != nil {
		r.t.Error(err)
	}
}

// device adds a device of an account, bound after the ones before it.
func (r *rig) device(id int64, account string, change ...func(*models.Reach)) {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	x := &models.Reach{
		Device: models.Device{ID: id, AppID: testApp, Platform: "ios", Notify: models.NotifyOn},
		Routes: []models.Route{{ID: id * 10, AppID: testApp, DeviceID: id, Channel: "apns", Environment: "production", PackageName: "com.example.im", Token: fmt.Sprint("token-", id)}},
	}
	for _, f := range change {
		f(x)
	}
	r.db.devices[id] = x
	k := models.AccountKey{AppID: testApp, Account: account}
	r.db.accounts[k] = append([]int64{id}, r.db.accounts[k]...)
}

// message makes a message for an account.
func (r *rig) message(account string, change ...func(*models.Item)) models.Item {
	r.n++
	now := time.Now().UTC()
	it := models.Item{
		Message: models.Message{
			ID: fmt.Sprintf("0199a0b0-0000-7000-8000-%012d", r.n), AppID: testApp, PlanID: 5, Kind: models.KindAlert, Account: account,
			Sender: "bob", Conversation: "c1", AcceptedAt: now, ExpiresAt: now.Add(models.DefaultLife),
		},
		Content: models.Content{Title: "Bob", Body: fmt.Sprint("hello ", r.n)},
	}
	for _, f := range change {
		f(&it)
	}
	return it
}

// accept commits one batch and hands it over, or leaves it to the sweep.
func (r *rig) accept(items ...models.Item) {
	r.t.Helper()
	asked := r.w.Owner() != ""
	mine := asked && r.w.reserve(r.db, len(items))
	r.db.mu.Lock()
	owner := ""
	if mine {
		owner = r.w.Owner()
	}
	b := r.db.insert(models.Batch{DueAt: time.Now(), Items: items}, owner, false)
	r.db.mu.Unlock()
	switch {
	case mine:
		r.w.take(r.db, b)
	case asked:
		r.w.left(r.db)
	}
}

// delivery returns what is recorded of a message on a device.
func (r *rig) delivery(it models.Item, device int64) models.Delivery {
	r.t.Helper()
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	d, ok := r.db.deliveries[fmt.Sprintf("%s/%d", it.Message.ID, device)]
	if !ok {
		r.t.Fatalf("message %s on device %d is not recorded", it.Message.ID, device)
	}
	return d
}

func (r *rig) state(it models.Item, device int64, state, reason string) {
	r.t.Helper()
	if d := r.delivery(it, device); d.State != state || d.Reason != reason {
		r.t.Errorf("message %s on device %d is %s %s, want %s %s", it.Message.ID[24:], device, d.State, d.Reason, state, reason)
	}
}

// open is how many batches there are.
func (r *rig) batches() int {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	return len(r.db.batches)
}

// counter returns a counter of the app over all channels.
func (r *rig) counter(metric, reason string) (n int64) {
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	for c, v := range r.db.counters {
		if c.Metric == metric && c.Reason == reason {
			n += v
		}
	}
	return n
}

var errFake = errors.New("fake: the database is away")
