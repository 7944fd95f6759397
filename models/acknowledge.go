package models

import (
	"context"
	"fmt"
	"time"
)

// maxAcknowledgers bounds how many IM apps an acknowledgement is looked for in that
// names none.
const maxAcknowledgers = 100

// Acknowledge takes an IM server's word, through its own protocol, that its message
// with this id arrived at the phone, and returns how many deliveries that told
// something new about. One that comes before the send is recorded waits for it, as
// vendors' receipts do.
func (s *Store) Acknowledge(ctx context.Context, in Ingest, sourceID string, at time.Time) (int, error) {
	sourceID = shortID(cleanText(sourceID), MaxSourceID)
	if sourceID == "" {
		return 0, nil
	}
	fresh := 0
	for _, t := range in.targets {
		sent, waiting, err := t.scope.acknowledged(ctx, in, sourceID)
		if err != nil {
			return fresh, fmt.Errorf("models: acknowledge: %w", err)
		}
		for i := range sent {
			sent[i].Status, sent[i].At = StateArrived, at
		}
		n, err := s.Receipts(ctx, t.scope, sent)
		fresh += n
		if err != nil {
			return fresh, err
		}
		n, err = t.scope.acknowledgeLater(ctx, waiting, at)
		fresh += n
		if err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// acknowledged finds the deliveries of the IM server's message, and the records of it
// that have none yet.
func (a AppScope) acknowledged(ctx context.Context, in Ingest, sourceID string) (sent []Receipt, waiting []string, err error) {
	var rows []struct {
		MessageID string
		DeviceID  *int64
	}
	err = a.db.read(ctx).Raw(`SELECT m.id AS message_id, d.device_id FROM messages m
		LEFT JOIN deliveries d ON d.message_id = m.id AND d.app_id = m.app_id
		WHERE m.app_id = ? AND m.source_id = ? AND m.im_app_id = ? LIMIT ?`,
		a.appID, sourceID, in.imAppID, MaxReceipts).Scan(&rows).Error
	for _, r := range rows {
		switch {
		case r.DeviceID == nil:
			waiting = append(waiting, r.MessageID)
		case *r.DeviceID != 0: // 0 ended without a phone, which cannot have shown it
			sent = append(sent, Receipt{MessageID: r.MessageID, DeviceID: *r.DeviceID})
		}
	}
	return sent, waiting, err
}

// acknowledgeLater keeps arrivals of messages whose sends are not recorded. Device 0
// stands for the one that the message will have gone to.
func (a AppScope) acknowledgeLater(ctx context.Context, ids []string, at time.Time) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	err = a.db.writeHot(ctx, func(_ context.Context, t *Tx) error {
		n = 0
		if now := t.now(); at.IsZero() || at.After(now) {
			at = now
		}
		for _, id := range ids {
			r := t.Exec(`INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, 0, ?, ?, ?) ON CONFLICT DO NOTHING`,
				id, a.appID, StateArrived, at.UTC().Truncate(time.Microsecond))
			if r.Error != nil {
				return r.Error
			}
			n += int(r.RowsAffected)
		}
		return nil
	})
	return n, wrapNil("models: acknowledge", err)
}

// AcknowledgeNamed is Acknowledge for an acknowledgement that names no server: among
// the IM apps of the bridge that have registered a name and may be used by the caller.
// The id is the server's own and random.
func (s *Store) AcknowledgeNamed(ctx context.Context, bridge, sourceID string, at time.Time, may func(Ingest) bool) (int, error) {
	var ids []int64
	err := s.read(ctx).Raw("SELECT DISTINCT im_app_id FROM im_app_names WHERE bridge = ? ORDER BY im_app_id LIMIT ?", bridge, maxAcknowledgers).Scan(&ids).Error
	if err != nil {
		return 0, fmt.Errorf("models: acknowledge: %w", err)
	}
	fresh := 0
	for _, id := range ids {
		in, err := s.loadIngest(ctx, "i.id = ?", id)
		switch {
		case KindOf(err) == NotFound:
			continue
		case err != nil:
			return fresh, err
		case !may(in):
			continue
		}
		n, err := s.Acknowledge(ctx, in, sourceID, at)
		fresh += n
		if err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}
