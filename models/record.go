package models

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Recording is everything that a worked batch leaves behind.
type Recording struct {
	Batch      *Batch
	Deliveries []Delivery
	Attempts   []Attempt
	Counters   []Count
	Tallies    map[TallyKey]Tally // of results, each for the credential that it came through
	Retired    []RetiredRoute
	NotifyOff  []SwitchedOff
	Badges     map[int64]Badge // by device
	Rest       []Rest
}

// Badge is a number on an app's icon that was counted up from the one which the
// phone set last. It is written only if the phone has set none since.
type Badge struct {
	N        int
	Revision int64 // Device.BadgeRevision when that was read
}

// RetiredRoute is a vendor token that the vendor calls dead.
type RetiredRoute struct {
	RouteID int64
	Code    string // the vendor's code
	// Before: a token registered again after this moment is alive and stays.
	Before time.Time
}

// SwitchedOff is a device whose vendor says, in its answer to a send, that the user does
// not let the app show notifications.
type SwitchedOff struct {
	AppID, DeviceID int64
	// At: a phone that was in touch after this moment knows better.
	At time.Time
}

// Rest is work that a batch leaves open, to become a batch of its own.
type Rest struct {
	CredentialID int64
	DueAt        time.Time
	// Paused leaves the batch without a due time until its credential is resumed
	// or a message of it expires.
	Paused bool
	// RestRevision is the revision of the credential whose used-up daily quota the
	// batch waits out, 0 for any other wait.
	RestRevision int64
	// Keep leaves the batch under the recorder's lease: the sends are still going
	// on or are about to be tried again by the same process.
	Keep  bool
	Items []Item
}

// Record writes what several finished batches left behind, in one transaction.
// Batches that are no longer held by owner in the same generation are lost:
// another process has them, nothing of them is written, and their ids are
// returned. kept holds, per recording, the new batches of its Rests with Keep, in
// their order. On error nothing was written.
func (d *DB) Record(ctx context.Context, owner string, recs []Recording) (kept [][]*Batch, lost []int64, err error) {
	err = d.writeHot(ctx, func(ctx context.Context, t *Tx) error {
		r := &recorder{Tx: t, owner: owner, kept: make([][]*Batch, len(recs))}
		err := r.record(ctx, recs)
		kept, lost = r.kept, r.lost
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("models: record: %w", err)
	}
	return kept, lost, nil
}

// recorder is one transaction of Record.
type recorder struct {
	*Tx
	owner string
	kept  [][]*Batch
	lost  []int64
}

// deliveryKey names a delivery.
type deliveryKey struct {
	message string
	device  int64
}

// gathered is what the held batches of a Record leave behind, together.
type gathered struct {
	deliveries []*Delivery
	attempts   []*Attempt
	counts     map[Count]int64
	tallies    map[TallyKey]Tally
	retired    []RetiredRoute
	off        []SwitchedOff
	badges     map[int64]Badge
}

func (r *recorder) record(ctx context.Context, recs []Recording) error {
	held, err := r.deleteBatches(ctx, r.owner, recs)
	if err != nil {
		return fmt.Errorf("batches: %w", err)
	}
	var all []*Recording
	for i := range recs {
		if id := recs[i].Batch.ID; held[id] {
			all = append(all, &recs[i])
			if err := r.rest(ctx, i, recs[i].Rest); err != nil {
				return fmt.Errorf("rest: %w", err)
			}
		} else {
			r.lost = append(r.lost, id)
		}
	}
	if len(all) == 0 {
		return nil
	}
	g := gather(all)
	if err := r.upsertDeliveries(ctx, g.deliveries); err != nil {
		return fmt.Errorf("deliveries: %w", err)
	}
	if err := r.insertAttempts(ctx, g.attempts); err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	if err := r.foldEarly(ctx, g.deliveries, g.counts); err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	// Rows that others also write come last and in one order: routes, devices,
	// counters, tallies.
	if err := r.retireRoutes(g.retired); err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	if err := r.switchOff(g.off, g.badges); err != nil {
		return fmt.Errorf("notifications off: %w", err)
	}
	if err := r.setBadges(ctx, g.badges); err != nil {
		return fmt.Errorf("badges: %w", err)
	}
	if err := r.addCounts(ctx, g.counts); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	if err := r.addTallies(ctx, g.tallies); err != nil {
		return fmt.Errorf("tallies: %w", err)
	}
	return nil
}

// gather puts recordings together. A delivery that occurs twice counts as last
// said, because one statement cannot write a row twice.
func gather(recs []*Recording) *gathered {
	g := &gathered{counts: map[Count]int64{}, tallies: map[TallyKey]Tally{}, badges: map[int64]Badge{}}
	at := map[deliveryKey]int{}
	for _, r := range recs {
		for i := range r.Deliveries {
			d := &r.Deliveries[i]
			k := deliveryKey{d.MessageID, d.DeviceID}
			if n, ok := at[k]; ok {
				g.deliveries[n] = d
				continue
			}
			at[k] = len(g.deliveries)
			g.deliveries = append(g.deliveries, d)
		}
		for i := range r.Attempts {
			g.attempts = append(g.attempts, &r.Attempts[i])
		}
		sumCounts(g.counts, r.Counters)
		sumTallies(g.tallies, r.Tallies)
		g.retired = append(g.retired, r.Retired...)
		g.off = append(g.off, r.NotifyOff...)
		for id, n := range r.Badges {
			g.badges[id] = n
		}
	}
	return g
}

// rest writes the batches that carry what is still open.
func (r *recorder) rest(ctx context.Context, rec int, rests []Rest) error {
	for i := range rests {
		rest := &rests[i]
		for items := range slices.Chunk(rest.Items, MaxBatch) {
			b := &Batch{Generation: 1, CredentialID: rest.CredentialID, DueAt: rest.DueAt.UTC().Truncate(time.Microsecond), Items: items}
			n := newBatch{Batch: b, paused: rest.Paused, rested: rest.RestRevision}
			if rest.CredentialID != 0 {
				n.appID = items[0].Message.AppID // a credential belongs to one app
			}
			if rest.Keep {
				n.owner = r.owner
				r.kept[rec] = append(r.kept[rec], b)
			}
			if err := r.insertBatch(ctx, &n); err != nil {
				return err
			}
		}
	}
	return nil
}

// retireRoutes marks dead tokens, and devices that have no living one left. A
// token registered again since the vendor learned of its death stays.
func (r *recorder) retireRoutes(retired []RetiredRoute) error {
	if len(retired) == 0 {
		return nil
	}
	slices.SortFunc(retired, func(a, b RetiredRoute) int { return compareInt64(a.RouteID, b.RouteID) })
	now := r.now()
	for _, x := range retired {
		var devices []int64
		err := r.Raw(`UPDATE routes SET retired_at = ?, retired_code = ?
			WHERE id = ? AND retired_at IS NULL AND registered_at <= ? RETURNING device_id`, now, x.Code, x.RouteID, x.Before).Scan(&devices).Error
		if err != nil {
			return err
		}
		if len(devices) == 0 {
			continue
		}
		err = r.retireRoutelessDevice(devices[0], x.Code)
		if err != nil {
			return err
		}
	}
	return nil
}

// switchOff notes on devices that notifications are off, as a receipt that says so does.
// badges are the devices that are written next: all are locked in one order.
func (r *recorder) switchOff(off []SwitchedOff, badges map[int64]Badge) error {
	if len(off) == 0 {
		return nil
	}
	if r.pgx != nil {
		ids := sortedKeys(badges, compareInt64)
		for _, x := range off {
			ids = append(ids, x.DeviceID)
		}
		var locked []int64
		if err := r.Raw("SELECT id FROM devices WHERE id IN ? ORDER BY id FOR UPDATE", ids).Scan(&locked).Error; err != nil {
			return err
		}
	}
	for _, x := range off {
		if err := r.notifyOff(x.AppID, x.DeviceID, x.At); err != nil {
			return err
		}
	}
	return nil
}
