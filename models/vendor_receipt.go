package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Events of vendors' receipts, equal to push.ReceiptEvent's values.
const (
	EventArrived     = "arrived"
	EventClicked     = "clicked"
	EventUninstalled = "uninstalled"
	EventNotifyOff   = "notify_off"
)

// VendorReceipt is what a vendor reported about one message on one device, both as
// ParseReceiptRef returns them. Token is the vendor's, "" if it did not say.
type VendorReceipt struct {
	MessageID string
	DeviceID  int64
	Token     string
	Event     string
	Code      string
	At        time.Time
}

// VendorNote is a vendor's report other than arrival and click, as a record's
// timeline shows it.
type VendorNote struct {
	MessageID string
	DeviceID  int64
	Event     string
	Code      string
	At        time.Time
}

// VendorReceipts takes a vendor's verified report: arrivals and clicks as Receipts
// does, dead tokens and switched-off notifications on the device, everything else as
// a note on the record. Reports about messages that this app never had change
// nothing. It may be repeated.
func (s *Store) VendorReceipts(ctx context.Context, from Reporter, list []VendorReceipt) error {
	list, err := from.ofTokens(ctx, list)
	if err != nil {
		return err
	}
	var known []Receipt
	var others []VendorReceipt
	for _, v := range list {
		if id, err := uuid.Parse(v.MessageID); err != nil || id.Version() != 7 {
			continue
		}
		switch v.Event {
		case EventArrived:
			known = append(known, Receipt{MessageID: v.MessageID, DeviceID: v.DeviceID, Status: StateArrived, At: v.At})
		case EventClicked:
			known = append(known, Receipt{MessageID: v.MessageID, DeviceID: v.DeviceID, Status: StateClicked, At: v.At})
		default:
			others = append(others, v)
		}
	}
	for part := range slices.Chunk(known, MaxReceipts) {
		if _, err := s.Receipts(ctx, from.scope, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(others, receiptsAtOnce) {
		err := from.scope.db.writeHot(ctx, func(_ context.Context, t *Tx) error { return t.vendorNotes(from, part) })
		if err != nil {
			return fmt.Errorf("models: vendor receipts: %w", err)
		}
	}
	return nil
}

func (t *Tx) vendorNotes(from Reporter, list []VendorReceipt) error {
	// In one order, as other writers of routes and devices.
	slices.SortFunc(list, func(a, b VendorReceipt) int { return compareInt64(a.DeviceID, b.DeviceID) })
	now := t.now()
	for _, v := range list {
		if v.At.IsZero() || v.At.After(now) {
			v.At = now
		}
		v.At = v.At.UTC().Truncate(time.Microsecond)
		var known int64
		err := t.Raw("SELECT COUNT(*) FROM messages WHERE app_id = ? AND id = ?", from.scope.appID, v.MessageID).Scan(&known).Error
		if err != nil || known == 0 {
			if err != nil {
				return err
			}
			continue
		}
		err = t.Exec(`INSERT INTO vendor_notes (message_id, device_id, app_id, event, code, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			v.MessageID, v.DeviceID, from.scope.appID, firstRunes(v.Event, 32), firstRunes(v.Code, 64), v.At).Error
		if err != nil {
			return err
		}
		if err := t.vendorNote(from, &v); err != nil {
			return err
		}
	}
	return nil
}

// vendorNote does what a report means for the device.
func (t *Tx) vendorNote(from Reporter, v *VendorReceipt) error {
	switch v.Event {
	case EventNotifyOff:
		return t.notifyOff(from.scope.appID, v.DeviceID, v.At)
	case EventUninstalled:
		q := "UPDATE routes SET retired_at = ?, retired_code = ? WHERE app_id = ? AND channel = ? AND device_id = ? AND retired_at IS NULL AND registered_at <= ?"
		args := []any{t.now(), firstRunes(RetiredReceipt+v.Code, 64), from.scope.appID, from.Channel, v.DeviceID, v.At}
		if v.Token != "" {
			sum := sha256.Sum256([]byte(canonicalToken(from.Channel, v.Token)))
			q, args = q+" AND token_hash = ?", append(args, sum[:])
		}
		r := t.Exec(q, args...)
		if r.Error != nil || r.RowsAffected == 0 {
			return r.Error
		}
		return t.retireRoutelessDevice(v.DeviceID, RetiredReceipt+v.Code)
	}
	return nil
}

// notifyOff notes that the vendor says that a device shows no notifications of the app,
// unless the phone was in touch after that moment: it knows better.
func (t *Tx) notifyOff(appID, deviceID int64, at time.Time) error {
	return t.Exec("UPDATE devices SET notify = ? WHERE id = ? AND app_id = ? AND last_seen_at <= ?", NotifyOff, deviceID, appID, at).Error
}

// VendorNotes returns the notes on one message's record.
func (s *Store) VendorNotes(ctx context.Context, app AppScope, messageID string) ([]VendorNote, error) {
	var out []VendorNote
	err := app.db.read(ctx).Raw(`SELECT message_id, device_id, event, code, at FROM vendor_notes
		WHERE message_id = ? AND app_id = ? ORDER BY at, device_id, event`, messageID, app.appID).Scan(&out).Error
	return out, failed("vendor notes", err)
}

// receiptStats collects in memory what vendors reported per credential; the intake's
// ticker writes it.
type receiptStats struct {
	writing sync.Mutex
	mu      sync.Mutex
	n       map[int64]receiptCount
}

type receiptCount struct {
	good, refused int64
	at            time.Time
}

// CountReceipts counts receipts of a credential: good ones, and refused requests. None
// of either is a report about nothing, such as a vendor's test of the address: of that
// the moment is kept until the first receipt.
func (s *Store) CountReceipts(from Reporter, good, refused int) {
	st := &s.intake.receipts
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.n == nil {
		st.n = map[int64]receiptCount{}
	}
	c := st.n[from.id]
	c.good, c.refused = c.good+int64(good), c.refused+int64(refused)
	if good > 0 || refused == 0 {
		c.at = s.Now()
	}
	st.n[from.id] = c
}

// FlushReceipts writes what CountReceipts collected. On failure the counts stay.
func (s *Store) FlushReceipts(ctx context.Context) error {
	st := &s.intake.receipts
	st.writing.Lock()
	defer st.writing.Unlock()
	st.mu.Lock()
	n := st.n
	st.n = nil
	st.mu.Unlock()
	if len(n) == 0 {
		return nil
	}
	err := s.write(ctx, func(t *Tx) error {
		for _, id := range sortedKeys(n, compareInt64) {
			c := n[id]
			set := map[string]any{
				"receipt_count":   gorm.Expr("receipt_count + ?", c.good),
				"receipt_refused": gorm.Expr("receipt_refused + ?", c.refused),
			}
			switch {
			case c.good > 0:
				set["receipt_at"] = c.at
			case !c.at.IsZero():
				set["receipt_at"] = gorm.Expr("CASE WHEN receipt_count = 0 THEN ? ELSE receipt_at END", c.at)
			}
			if err := t.Model(&Credential{}).Where("id = ?", id).UpdateColumns(set).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.n == nil {
		st.n = map[int64]receiptCount{}
	}
	for id, c := range n {
		now := st.n[id]
		now.good, now.refused = now.good+c.good, now.refused+c.refused
		if now.at.Before(c.at) {
			now.at = c.at
		}
		st.n[id] = now
	}
	return fmt.Errorf("models: receipt statistics: %w", err)
}
