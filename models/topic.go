package models

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of subscriptions to topics. Two requests at once may go over one by what
// they bring.
const (
	MaxTopicBytes   = 128
	MaxDeviceTopics = 2000    // FCM's
	MaxAppTopics    = 500_000 // subscriptions to one app's devices
)

// TopicChange asks that devices get the messages of topics, or no more: one device
// and many topics, or many devices and one topic. Tokens name devices as in messages.
type TopicChange struct {
	Topics, Tokens []string
	Leave          bool
}

// TopicFate is what became of one subscription.
type TopicFate int

// The fates of a subscription.
const (
	TopicDone       TopicFate = iota
	TopicUnknown              // no authorized app has the token
	TopicDead                 // the device is gone
	TopicBad                  // no topic can have this name
	TopicDeviceFull           // the device is in MaxDeviceTopics topics
	TopicAppFull              // the app has MaxAppTopics subscriptions
)

// ChangeTopics subscribes devices to topics, or ends that, and returns what became of
// each token, or of each topic when there is one token. To leave is always done, and
// to join again too.
func (s *Store) ChangeTopics(ctx context.Context, in Ingest, c TopicChange) ([]TopicFate, error) {
	return s.changeTopics(ctx, in, c, topicRoom{ofDevice: MaxDeviceTopics, ofApp: MaxAppTopics})
}

// topicRoom is how many subscriptions a device and an app may have.
type topicRoom struct{ ofDevice, ofApp int }

func (s *Store) changeTopics(ctx context.Context, in Ingest, c TopicChange, room topicRoom) ([]TopicFate, error) {
	if len(c.Topics) == 0 || len(c.Tokens) == 0 {
		return nil, nil
	}
	tokens := slices.Compact(slices.Sorted(slices.Values(c.Tokens)))
	found, err := s.locate(ctx, in, tokens)
	if err != nil {
		return nil, wrapNil("models: topics: locate", err)
	}
	fates := make([]TopicFate, max(len(c.Topics), len(c.Tokens)))
	work := map[*DB][]topicPair{}
	for i := range fates {
		topic, token := c.Topics[min(i, len(c.Topics)-1)], c.Tokens[min(i, len(c.Tokens)-1)]
		if !storableID(topic, MaxTopicBytes) || len(topic) > MaxTopicBytes {
			fates[i] = TopicBad
			continue
		}
		fates[i] = TopicUnknown
		for _, l := range found[token] {
			if l.dead && !c.Leave {
				fates[i] = max(fates[i], TopicDead)
				continue
			}
			if d := in.databaseOf(l.AppID); d != nil {
				work[d] = append(work[d], topicPair{l.AppID, topic, l.DeviceID, i})
			}
		}
		if c.Leave {
			fates[i] = TopicDone
		}
	}
	for _, d := range s.unique {
		pairs := work[d]
		if len(pairs) == 0 {
			continue
		}
		slices.SortFunc(pairs, topicPair.compare) // one order for everyone who writes
		err := d.write(ctx, func(t *Tx) error {
			if c.Leave {
				return t.leaveTopics(in.imAppID, pairs)
			}
			return t.joinTopics(in.imAppID, pairs, fates, room)
		})
		if err != nil {
			return nil, &Error{Kind: Unavailable, Key: "cannot_store", Err: fmt.Errorf("models: topics: %w", err)}
		}
	}
	return fates, nil
}

// databaseOf returns where the devices of an authorized app are.
func (i Ingest) databaseOf(appID int64) *DB {
	for _, t := range i.targets {
		if t.scope.appID == appID {
			return t.scope.db
		}
	}
	return nil
}

// topicPair is one subscription, asked for by the item at.
type topicPair struct {
	appID    int64
	topic    string
	deviceID int64
	at       int
}

func (p topicPair) compare(q topicPair) int {
	return cmp.Or(cmp.Compare(p.appID, q.appID), strings.Compare(p.topic, q.topic), cmp.Compare(p.deviceID, q.deviceID))
}

func (t *Tx) leaveTopics(imAppID int64, pairs []topicPair) error {
	for _, p := range pairs {
		err := t.Exec("DELETE FROM device_topics WHERE app_id = ? AND im_app_id = ? AND topic = ? AND device_id = ?", p.appID, imAppID, p.topic, p.deviceID).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// joinTopics stores subscriptions as long as there is room, and enters their fates.
func (t *Tx) joinTopics(imAppID int64, pairs []topicPair, fates []TopicFate, room topicRoom) error {
	now := t.now()
	ofApp, ofDevice := map[int64]int{}, map[int64]int{}
	for _, p := range pairs {
		var there int
		err := t.Raw("SELECT COUNT(*) FROM device_topics WHERE app_id = ? AND im_app_id = ? AND topic = ? AND device_id = ?", p.appID, imAppID, p.topic, p.deviceID).Scan(&there).Error
		if err != nil {
			return err
		}
		if there > 0 {
			fates[p.at] = TopicDone
			continue
		}
		if err := t.countOnce(ofApp, p.appID, "app_id = ?", room.ofApp); err != nil {
			return err
		}
		if err := t.countOnce(ofDevice, p.deviceID, "device_id = ?", room.ofDevice); err != nil {
			return err
		}
		switch {
		case ofDevice[p.deviceID] >= room.ofDevice:
			fates[p.at] = TopicDeviceFull
			continue
		case ofApp[p.appID] >= room.ofApp:
			fates[p.at] = TopicAppFull
			continue
		}
		fates[p.at] = TopicDone
		r := t.Exec(`INSERT INTO device_topics (app_id, im_app_id, topic, device_id, joined_at)
			SELECT app_id, ?, ?, id, ? FROM devices WHERE id = ? AND app_id = ? ON CONFLICT DO NOTHING`, imAppID, p.topic, now, p.deviceID, p.appID)
		if r.Error != nil {
			return r.Error
		}
		ofApp[p.appID] += int(r.RowsAffected)
		ofDevice[p.deviceID] += int(r.RowsAffected)
	}
	return nil
}

// countOnce counts the subscriptions of an app or a device, to limit at most, unless
// they were counted before.
func (t *Tx) countOnce(known map[int64]int, id int64, where string, limit int) error {
	if _, ok := known[id]; ok {
		return nil
	}
	var n int
	err := t.Raw("SELECT COUNT(*) FROM (SELECT 1 FROM device_topics WHERE "+where+" LIMIT ?) t", id, limit).Scan(&n).Error
	known[id] = n
	return err
}

// EachSubscriber hands fn the living devices that the IM app's server subscribed to a
// topic, at most limit at a time, until all were handed over or fn fails.
func (s *Store) EachSubscriber(ctx context.Context, in Ingest, topic string, limit int, fn func([]DeviceAt) error) error {
	topic = storable(topic)
	for _, target := range in.targets {
		for after := int64(0); ; {
			var rows []DeviceAt
			err := target.scope.db.read(ctx).Raw(`SELECT t.app_id, t.device_id, COALESCE(a.account, '') AS account
				FROM device_topics t JOIN devices d ON d.id = t.device_id AND d.retired_at IS NULL
				LEFT JOIN device_accounts a ON a.device_id = d.id AND a.account_type = 0
				WHERE t.app_id = ? AND t.im_app_id = ? AND t.topic = ? AND t.device_id > ? ORDER BY t.device_id LIMIT ?`,
				target.scope.appID, in.imAppID, topic, after, limit).Scan(&rows).Error
			if err != nil {
				return fmt.Errorf("models: subscribers: %w", err)
			}
			if len(rows) > 0 {
				if err := fn(rows); err != nil {
					return err
				}
				after = rows[len(rows)-1].DeviceID
			}
			if len(rows) < limit {
				break
			}
		}
	}
	return nil
}

// forgetTopics deletes the subscriptions of an IM app that was deleted, in small steps.
func (s *Store) forgetTopics(ctx context.Context, imAppID int64) error {
	for _, d := range s.unique {
		for n := int64(purgeChunk); n == purgeChunk; {
			err := d.write(ctx, func(t *Tx) error {
				r := t.Exec(`DELETE FROM device_topics WHERE (app_id, im_app_id, topic, device_id) IN
					(SELECT app_id, im_app_id, topic, device_id FROM device_topics WHERE im_app_id = ? LIMIT ?)`, imAppID, purgeChunk)
				n = r.RowsAffected
				return r.Error
			})
			if err != nil {
				return fmt.Errorf("models: forget topics: %w", err)
			}
		}
	}
	return nil
}

// topicRow is how a subscription is kept.
type topicRow struct {
	AppID    int64  `gorm:"primaryKey;autoIncrement:false"`
	IMAppID  int64  `gorm:"column:im_app_id;primaryKey;autoIncrement:false"`
	Topic    string `gorm:"primaryKey"`
	DeviceID int64  `gorm:"primaryKey;autoIncrement:false"`
	JoinedAt time.Time
}

// TableName is GORM's hook.
func (topicRow) TableName() string { return "device_topics" }
