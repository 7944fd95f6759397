package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Several people's messages may have gone to a vendor in one request (Item.Group). It
// named one of them to the vendor and to every phone, so a receipt names that one too,
// and the device it is about says whose it really is.

// groupSpan is how far apart the ids of one request's messages lie at most: they are
// made for one moment, 4096 to the millisecond.
const groupSpan = time.Second

// siblings returns, of the messages that one request brought together with messageID,
// each device's own. Devices without one are absent.
func siblings(q *gorm.DB, appID int64, messageID string, devices []int64) (map[int64]string, error) {
	at, err := idTime(messageID)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]string, len(devices))
	add := func(sql string, devices []int64) error {
		var rows []struct {
			DeviceID  int64
			MessageID string
		}
		err := q.Raw(sql, messageID, devices, appID, idBound(at.Add(-groupSpan)), idBound(at.Add(groupSpan))).Scan(&rows).Error
		for _, r := range rows {
			if out[r.DeviceID] == "" || r.MessageID == messageID {
				out[r.DeviceID] = r.MessageID
			}
		}
		return err
	}
	for part := range slices.Chunk(devices, MaxBatch) {
		if err := add(siblingsSent, part); err != nil {
			return nil, err
		}
		var missing []int64
		for _, id := range part {
			if out[id] == "" {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			continue
		}
		// Their sends are not recorded yet, so whose device it is must do.
		if err := add(siblingsAccepted, missing); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// OwnMessage returns a device's own message of those that one request brought together
// with messageID, which may be the one that the request named; messageID if there is
// no other.
func (s *Store) OwnMessage(ctx context.Context, app AppScope, messageID string, device int64) (string, error) {
	if !isMessageID(messageID) {
		return messageID, nil
	}
	own, err := siblings(app.db.read(ctx), app.appID, messageID, []int64{device})
	return cmp.Or(own[device], messageID), failed("own message", err)
}

func isMessageID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.Version() == 7
}

const (
	siblingsSent = `SELECT d.device_id, d.message_id FROM messages g
		JOIN deliveries d ON d.app_id = g.app_id
		JOIN messages s ON s.app_id = g.app_id AND s.id = d.message_id AND s.im_app_id = g.im_app_id AND s.source_id = g.source_id
		WHERE g.source_id <> '' AND g.id = ? AND d.device_id IN ? AND g.app_id = ? AND d.message_id >= ? AND d.message_id < ?
		ORDER BY d.device_id, d.message_id`
	siblingsAccepted = `SELECT a.device_id, s.id AS message_id FROM messages g
		JOIN device_accounts a ON a.app_id = g.app_id
		JOIN messages s ON s.app_id = a.app_id AND s.account = a.account AND s.account_type = a.account_type
			AND s.im_app_id = g.im_app_id AND s.source_id = g.source_id
		WHERE g.source_id <> '' AND g.id = ? AND a.device_id IN ? AND g.app_id = ? AND s.id >= ? AND s.id < ?
		ORDER BY a.device_id, s.id`
)

// sharedRef marks the device of a receipt's reference as one of several that the
// request went to: the receipt's token says which of them it is about.
func sharedRef(device int64) int64 { return -device }

// ofTokens gives the receipts of requests that went to several devices their own device
// and message, by the tokens that they name. Of an unknown token, or without one, nothing can be
// said.
func (r Reporter) ofTokens(ctx context.Context, list []VendorReceipt) ([]VendorReceipt, error) {
	shared := func(v VendorReceipt) bool { return v.DeviceID < 0 }
	if !slices.ContainsFunc(list, shared) {
		return list, nil
	}
	q := r.scope.db.read(ctx)
	devices, err := r.devicesOf(q, list)
	if err != nil {
		return nil, fmt.Errorf("models: vendor receipts: %w", err)
	}
	out := make([]VendorReceipt, 0, len(list))
	strangers := map[string][]int64{} // by the message that the request named
	for _, v := range list {
		if shared(v) {
			v.DeviceID = -v.DeviceID
			device, known := devices[r.tokenHash(v.Token)]
			if v.Token == "" || !known {
				continue
			}
			if device != v.DeviceID {
				v.DeviceID = device
				strangers[v.MessageID] = append(strangers[v.MessageID], device)
			}
		}
		out = append(out, v)
	}
	for message, ids := range strangers {
		own, err := siblings(q, r.scope.appID, message, ids)
		if err != nil {
			return nil, fmt.Errorf("models: vendor receipts: %w", err)
		}
		for i := range out {
			if id := own[out[i].DeviceID]; id != "" && out[i].MessageID == message {
				out[i].MessageID = id
			}
		}
	}
	return out, nil
}

// devicesOf looks up whose the tokens of shared receipts are.
func (r Reporter) devicesOf(q *gorm.DB, list []VendorReceipt) (map[[32]byte]int64, error) {
	var hashes [][]byte
	for _, v := range list {
		if v.DeviceID < 0 && v.Token != "" {
			sum := r.tokenHash(v.Token)
			hashes = append(hashes, sum[:])
		}
	}
	out := map[[32]byte]int64{}
	for part := range slices.Chunk(hashes, MaxBatch) {
		var rows []struct {
			TokenHash []byte
			DeviceID  int64
		}
		err := q.Raw("SELECT token_hash, device_id FROM routes WHERE app_id = ? AND channel = ? AND token_hash IN ?", r.scope.appID, r.Channel, part).Scan(&rows).Error
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			out[[32]byte(row.TokenHash)] = row.DeviceID
		}
	}
	return out, nil
}

func (r Reporter) tokenHash(token string) [32]byte {
	return sha256.Sum256([]byte(canonicalToken(r.Channel, token)))
}
