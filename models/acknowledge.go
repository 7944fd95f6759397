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
// something new about. One that comes before the send is recorded is dropped: it names
// no device.
func (s *Store) Acknowledge(ctx context.Context, in Ingest, sourceID string, at time.Time) (int, error) {
	sourceID = shortID(cleanText(sourceID), MaxSourceID)
	if sourceID == "" {
		return 0, nil
	}
	fresh := 0
	for _, t := range in.targets {
		var rs []Receipt
		err := t.scope.db.read(ctx).Raw(`SELECT d.message_id, d.device_id FROM messages m
			JOIN deliveries d ON d.message_id = m.id AND d.app_id = m.app_id
			WHERE m.app_id = ? AND m.source_id = ? AND m.im_app_id = ? AND d.device_id <> 0 LIMIT ?`,
			t.scope.appID, sourceID, in.imAppID, MaxReceipts).Scan(&rs).Error
		if err != nil {
			return fresh, fmt.Errorf("models: acknowledge: %w", err)
		}
		for i := range rs {
			rs[i].Status, rs[i].At = StateArrived, at
		}
		n, err := s.Receipts(ctx, t.scope, rs)
		fresh += n
		if err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// AcknowledgeNamed is Acknowledge for an acknowledgement that names no server: among
// the IM apps of the bridge that have registered a name. The id is the server's
// own and random.
func (s *Store) AcknowledgeNamed(ctx context.Context, bridge, sourceID string, at time.Time) (int, error) {
	var ids []int64
	err := s.read(ctx).Raw("SELECT DISTINCT im_app_id FROM im_app_names WHERE bridge = ? ORDER BY im_app_id LIMIT ?", bridge, maxAcknowledgers).Scan(&ids).Error
	if err != nil {
		return 0, fmt.Errorf("models: acknowledge: %w", err)
	}
	fresh := 0
	for _, id := range ids {
		in, err := s.loadIngest(ctx, "i.id = ?", id)
		if KindOf(err) == NotFound {
			continue
		}
		if err != nil {
			return fresh, err
		}
		n, err := s.Acknowledge(ctx, in, sourceID, at)
		fresh += n
		if err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}
