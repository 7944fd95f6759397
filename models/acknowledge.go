package models

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Acknowledge takes an IM server's word, through its own protocol, that its message
// with this id arrived at the phone, and returns how many deliveries that told
// something new about. One that comes before the send is recorded waits for it, as
// vendors' receipts do.
func (s *Store) Acknowledge(ctx context.Context, in Ingest, sourceID string, at time.Time) (int, error) {
	sourceID = shortID(storable(sourceID), MaxSourceID)
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
	err = a.db.read(ctx).Raw(`SELECT m.id AS message_id, d.device_id FROM messages m`+a.db.bySource()+`
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

// bySource has SQLite look messages up by their server's id: without statistics it
// takes the primary key, which begins with the app, and reads all that the app has.
func (d *DB) bySource() string {
	if d.Dialect == SQLite {
		return " INDEXED BY messages_source"
	}
	return ""
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

// AcknowledgeNamed is Acknowledge for an acknowledgement that names no server: of the
// IM apps of the bridge that have registered a name, those that sent a message with
// this id and may be used by the caller. The id is the server's own and random.
func (s *Store) AcknowledgeNamed(ctx context.Context, bridge, sourceID string, at time.Time, may func(Ingest) bool) (int, error) {
	sourceID = shortID(storable(sourceID), MaxSourceID)
	if sourceID == "" {
		return 0, nil
	}
	ids, err := s.namedSenders(ctx, bridge, sourceID)
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

// namedSenders returns the IM apps that a message with this id came from lately, among
// those of the bridge that have registered a name: one look into each database,
// however many there are.
func (s *Store) namedSenders(ctx context.Context, bridge, sourceID string) (ids []int64, err error) {
	type pair struct{ AppID, IMAppID int64 }
	var named []struct {
		AppID, IMAppID int64
		Region         string
	}
	err = s.read(ctx).Raw(`SELECT DISTINCT z.app_id, z.im_app_id, p.region FROM im_app_names n
		JOIN authorizations z ON z.im_app_id = n.im_app_id AND z.released_at IS NULL
		JOIN apps p ON p.id = z.app_id AND p.deleted_at IS NULL WHERE n.bridge = ?`, bridge).Scan(&named).Error
	if err != nil {
		return nil, err
	}
	apps := map[*DB][]int64{}
	living := make(map[pair]bool, len(named))
	for _, n := range named {
		if d := s.byRegion[n.Region]; d != nil {
			apps[d] = append(apps[d], n.AppID)
			living[pair{n.AppID, n.IMAppID}] = true
		}
	}
	for d, of := range apps {
		for part := range slices.Chunk(of, liteKeys) {
			var found []pair
			// The bound spares Postgres the partitions of older days.
			err := d.read(ctx).Raw("SELECT DISTINCT app_id, im_app_id FROM messages"+d.bySource()+" WHERE app_id IN ? AND source_id = ? AND id >= ?",
				part, sourceID, idBound(s.Now().Add(-earlyLife))).Scan(&found).Error
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				if living[f] {
					ids = append(ids, f.IMAppID)
				}
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
