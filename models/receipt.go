package models

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Receipt says what a vendor or a phone reported later about one delivery.
// Status is StateArrived, StateClicked or StateCleared; At is when it happened,
// zero for now.
type Receipt struct {
	MessageID string
	DeviceID  int64
	Status    string
	At        time.Time
}

// MaxReceipts is the most receipts one report carries, receiptsAtOnce the most
// that one transaction takes.
const (
	MaxReceipts    = 500
	receiptsAtOnce = 100
)

// earlyLife is how long after a message's acceptance a receipt may wait for the
// record of its send: as long as the message can live.
const earlyLife = MaxLife + 24*time.Hour

// Report takes what a phone says about its own deliveries and returns how many
// receipts told something new. Receipts of messages that this app never had are
// dropped. Invalid: too many, or a malformed one.
func (s *Store) Report(ctx context.Context, dev DeviceScope, rs []Receipt) (int, error) {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].DeviceID = dev.deviceID
	}
	return s.Receipts(ctx, dev.app, rs)
}

// Receipts takes a vendor's receipts for deliveries of the app. A click or a
// clearing implies the arrival. A receipt that comes before its send was
// recorded waits for it; one that says nothing new is dropped, so a report that
// failed may be repeated.
func (s *Store) Receipts(ctx context.Context, app AppScope, rs []Receipt) (fresh int, err error) {
	if len(rs) == 0 {
		return 0, nil
	}
	if len(rs) > MaxReceipts {
		return 0, invalid("receipts", "too_many", map[string]any{"Max": MaxReceipts})
	}
	rs = slices.Clone(rs)
	for i := range rs {
		if err := rs[i].check(i, s.Now()); err != nil {
			return 0, err
		}
	}
	slices.SortStableFunc(rs, compareReceipt)
	// In parts: acceptance must not wait behind one long report.
	for part := range slices.Chunk(rs, receiptsAtOnce) {
		n := 0
		err = app.db.writeHot(ctx, func(ctx context.Context, t *Tx) error {
			counts := map[Count]int64{}
			var err error
			if n, err = t.receipts(app.appID, part, counts); err != nil {
				return err
			}
			return t.addCounts(ctx, counts)
		})
		if err != nil {
			return fresh, fmt.Errorf("models: receipts: %w", err)
		}
		fresh += n
	}
	return fresh, nil
}

func (r *Receipt) check(i int, now time.Time) error {
	field := fmt.Sprintf("receipts[%d]", i)
	id, err := uuid.Parse(r.MessageID)
	if err != nil || id.Version() != 7 {
		return invalid(field+".message_id", "malformed", nil)
	}
	r.MessageID = id.String()
	if r.Status != StateArrived && r.Status != StateClicked && r.Status != StateCleared {
		return invalid(field+".status", "malformed", nil)
	}
	if r.At.IsZero() || r.At.After(now) {
		r.At = now // a phone's clock may be ahead
	}
	r.At = r.At.UTC().Truncate(time.Microsecond)
	return nil
}

// compareReceipt orders receipts by delivery, and arrivals first within one.
func compareReceipt(a, b Receipt) int {
	return cmp.Or(cmp.Compare(a.MessageID, b.MessageID), cmp.Compare(a.DeviceID, b.DeviceID), cmp.Compare(a.Status, b.Status))
}

func (t *Tx) receipts(appID int64, rs []Receipt, counts map[Count]int64) (fresh int, err error) {
	messages, err := t.messagesOf(appID, rs)
	if err != nil {
		return 0, err
	}
	for _, r := range rs {
		m, ok := messages[r.MessageID]
		if !ok {
			continue
		}
		if r.At.Before(m.AcceptedAt) {
			r.At = m.AcceptedAt
		}
		told, waits, err := t.receipt(&r, &m, counts)
		if err == nil && waits {
			told, waits, err = t.siblingReceipt(&r, &m, counts)
		}
		if err != nil {
			return 0, err
		}
		if waits {
			res := t.Exec(`INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				r.MessageID, r.DeviceID, appID, r.Status, r.At)
			if res.Error != nil {
				return 0, res.Error
			}
			told = res.RowsAffected > 0
		}
		if told {
			fresh++
		}
	}
	return fresh, nil
}

// siblingReceipt takes a receipt of a message whose send to this device is not known:
// the device may have got it under the id of another one of its request.
func (t *Tx) siblingReceipt(r *Receipt, m *Message, counts map[Count]int64) (told, waits bool, err error) {
	own, err := siblings(t.DB, m.AppID, r.MessageID, []int64{r.DeviceID})
	if err != nil {
		return false, false, err
	}
	if id := own[r.DeviceID]; id != "" && id != r.MessageID {
		r.MessageID = id
		return t.receipt(r, m, counts)
	}
	return false, true, nil
}

// messagesOf loads the messages that receipts speak of.
func (t *Tx) messagesOf(appID int64, rs []Receipt) (map[string]Message, error) {
	ids := make([]string, 0, len(rs))
	for _, r := range rs {
		ids = append(ids, r.MessageID)
	}
	slices.Sort(ids)
	var ms []Message
	if err := t.Select("id", "app_id", "plan_id", "kind", "sandbox", "accepted_at").Find(&ms, "app_id = ? AND id IN ?", appID, slices.Compact(ids)).Error; err != nil {
		return nil, err
	}
	out := make(map[string]Message, len(ms))
	for _, m := range ms {
		out[m.ID] = m
	}
	return out, nil
}

// receipt moves one delivery forward and counts what is new. waits says that the
// send is not recorded yet.
func (t *Tx) receipt(r *Receipt, m *Message, counts map[Count]int64) (told, waits bool, err error) {
	lock := ""
	if t.pgx != nil {
		lock = " FOR UPDATE"
	}
	var ds []Delivery
	err = t.Raw("SELECT channel, state, arrived_at FROM deliveries WHERE message_id = ? AND device_id = ?"+lock, r.MessageID, r.DeviceID).Scan(&ds).Error
	if err != nil {
		return false, false, err
	}
	if len(ds) == 0 || ds[0].State == StatePending {
		return false, true, nil
	}
	d := &ds[0]
	if !forward(d.State, r.Status) {
		return false, false, nil
	}
	set := map[string]any{"state": r.Status}
	count := func(metric string) {
		if !m.Counted() {
			return
		}
		counts[Count{AppID: m.AppID, PlanID: m.PlanID, Hour: m.Hour(), Sandbox: m.Sandbox, Channel: d.Channel, Metric: metric}]++
	}
	if d.ArrivedAt == nil {
		set["arrived_at"] = r.At
		count(MetricArrived)
	}
	switch r.Status {
	case StateClicked:
		set["clicked_at"] = r.At
		count(MetricClicked)
	case StateCleared:
		set["cleared_at"] = r.At
		count(MetricCleared)
	}
	err = t.Model(&Delivery{}).Where("message_id = ? AND device_id = ?", r.MessageID, r.DeviceID).Updates(set).Error
	return true, false, err
}

// forward reports whether a delivery may move from one state to another by a
// receipt.
func forward(from, to string) bool {
	switch from {
	case StateAccepted:
		return to == StateArrived || to == StateClicked || to == StateCleared
	case StateArrived:
		return to == StateClicked || to == StateCleared
	}
	return false
}

// foldEarly applies the receipts that came before these deliveries were
// recorded. One that comes while this transaction is open is found by
// FoldReceipts.
func (t *Tx) foldEarly(ctx context.Context, ds []*Delivery, counts map[Count]int64) error {
	accepted := make(map[deliveryKey]bool, 2*len(ds))
	var ids []string // each once: a message goes to many devices
	for _, d := range ds {
		if d.State != StateAccepted {
			continue
		}
		accepted[deliveryKey{d.MessageID, d.DeviceID}] = true
		if anyDevice := (deliveryKey{d.MessageID, 0}); !accepted[anyDevice] { // of a receipt that names no device
			accepted[anyDevice] = true
			ids = append(ids, d.MessageID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	early, err := t.earlyOf(ctx, ids)
	if err != nil {
		return err
	}
	early = slices.DeleteFunc(early, func(e earlyReceipt) bool { return !accepted[deliveryKey{e.MessageID, e.DeviceID}] })
	return t.fold(early, counts)
}

// earlyReceipt is a waiting receipt with its app.
type earlyReceipt struct {
	MessageID string
	DeviceID  int64
	AppID     int64
	Status    string
	At        time.Time
}

// earlyOf finds waiting receipts of messages. Mostly there are none at all,
// which costs one look.
func (t *Tx) earlyOf(ctx context.Context, ids []string) (early []earlyReceipt, err error) {
	var waiting bool
	if t.pgx == nil {
		err = t.lite(ctx, anyEarly).QueryRowContext(ctx).Scan(&waiting)
	} else {
		err = t.pgx.QueryRow(ctx, anyEarly).Scan(&waiting)
	}
	if err != nil || !waiting {
		return nil, err
	}
	for part := range slices.Chunk(ids, liteKeys) {
		var some []earlyReceipt
		if err := t.Raw("SELECT * FROM early_receipts WHERE message_id IN ?", part).Scan(&some).Error; err != nil {
			return nil, err
		}
		early = append(early, some...)
	}
	return early, nil
}

const anyEarly = `SELECT EXISTS (SELECT 1 FROM early_receipts)`

// fold applies waiting receipts whose sends are recorded and removes them.
func (t *Tx) fold(early []earlyReceipt, counts map[Count]int64) error {
	byApp := map[int64][]Receipt{}
	for _, e := range early {
		devices, err := t.devicesOf(&e)
		if err != nil {
			return err
		}
		for _, id := range devices {
			byApp[e.AppID] = append(byApp[e.AppID], Receipt{MessageID: e.MessageID, DeviceID: id, Status: e.Status, At: e.At.UTC()})
		}
		err = t.Exec("DELETE FROM early_receipts WHERE message_id = ? AND device_id = ? AND status = ?", e.MessageID, e.DeviceID, e.Status).Error
		if err != nil {
			return err
		}
	}
	for _, app := range sortedKeys(byApp, cmp.Compare[int64]) {
		rs := byApp[app]
		slices.SortFunc(rs, compareReceipt)
		if _, err := t.receipts(app, rs, counts); err != nil {
			return err
		}
	}
	return nil
}

// devicesOf returns the device that a waiting receipt speaks of; for one that names
// none, those that its message went to.
func (t *Tx) devicesOf(e *earlyReceipt) (ids []int64, err error) {
	if e.DeviceID != 0 {
		return []int64{e.DeviceID}, nil
	}
	err = t.Raw("SELECT device_id FROM deliveries WHERE message_id = ? AND device_id <> 0 AND state <> ?", e.MessageID, StatePending).Scan(&ids).Error
	return ids, err
}

// FoldReceipts applies waiting receipts whose send was recorded beside them and
// returns how many there were, at most a small step's worth.
func (d *DB) FoldReceipts(ctx context.Context) (n int, err error) {
	const ready = `FROM early_receipts e JOIN deliveries d ON d.message_id = e.message_id
		AND (d.device_id = e.device_id OR e.device_id = 0 AND d.device_id <> 0) WHERE d.state <> 'pending'`
	var waiting int
	if err := d.read(ctx).Raw("SELECT COUNT(*) FROM (SELECT 1 " + ready + " LIMIT 1) x").Scan(&waiting).Error; err != nil || waiting == 0 {
		return 0, wrapNil("models: fold receipts", err)
	}
	err = d.writeHot(ctx, func(ctx context.Context, t *Tx) error {
		var early []earlyReceipt
		if err := t.Raw("SELECT DISTINCT e.* "+ready+" LIMIT ?", purgeChunk).Scan(&early).Error; err != nil {
			return err
		}
		n = len(early)
		counts := map[Count]int64{}
		if err := t.fold(early, counts); err != nil {
			return err
		}
		return t.addCounts(ctx, counts)
	})
	if err != nil {
		return 0, fmt.Errorf("models: fold receipts: %w", err)
	}
	return n, nil
}
