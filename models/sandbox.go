package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// SandboxPush is one push that a simulator received, the inbox of a virtual
// phone.
type SandboxPush struct {
	ID       int64 `gorm:"primaryKey"`
	AppID    int64
	DeviceID int64
	Channel  string
	VendorID string
	Status   int
	Reason   string
	Ms       int
	Headers  string // JSON object
	Payload  []byte // in the clear here, sealed in the database
	At       time.Time
}

// sandboxKept is how many pushes of an app the inbox keeps.
const sandboxKept = 200

// sandboxPlace is what an inbox payload is sealed for.
const sandboxPlace = "sandbox_pushes.payload"

// SandboxRoute is what a simulator's vendor token belongs to.
type SandboxRoute struct {
	AppID    int64
	DeviceID int64
	Retired  bool

	db *DB
}

// FindSandboxRoute finds the device that a vendor token belongs to, in any
// region. A token of several apps counts for the one that registered it last.
// NotFound otherwise.
func (s *Store) FindSandboxRoute(ctx context.Context, channel, token string) (*SandboxRoute, error) {
	sum := sha256.Sum256([]byte(canonicalToken(channel, token)))
	var best *SandboxRoute
	var newest time.Time
	for _, d := range s.unique {
		var rows []Route
		err := d.read(ctx).Raw("SELECT app_id, device_id, registered_at, retired_at FROM routes WHERE token_hash = ? AND channel = ?", sum[:], channel).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("models: sandbox route: %w", err)
		}
		for _, r := range rows {
			if best == nil || r.RegisteredAt.After(newest) {
				best, newest = &SandboxRoute{AppID: r.AppID, DeviceID: r.DeviceID, Retired: r.RetiredAt != nil, db: d}, r.RegisteredAt
			}
		}
	}
	if best == nil {
		return nil, notFound("device")
	}
	return best, nil
}

// sandboxInbox groups what simulators receive at once into few transactions: a
// simulator answers only after its push is on record.
type sandboxInbox struct {
	mu      sync.Mutex
	waiting map[*DB][]*sandboxWrite
	writing map[*DB]bool
}

type sandboxWrite struct {
	push SandboxPush
	err  error
	done chan struct{}
}

// AddSandboxPush puts a push into the inbox of the app that the route belongs to,
// whose oldest pushes leave it. It answers after the commit.
func (s *Store) AddSandboxPush(ctx context.Context, r *SandboxRoute, p SandboxPush) error {
	p.ID, p.AppID, p.DeviceID, p.At = 0, r.AppID, r.DeviceID, p.At.UTC().Truncate(time.Microsecond)
	p.VendorID, p.Reason = firstBytes(p.VendorID, maxWordBytes), firstBytes(p.Reason, maxWordBytes)
	w := &sandboxWrite{push: p, done: make(chan struct{})}
	in := &s.intake.inbox
	in.mu.Lock()
	if in.waiting == nil {
		in.waiting, in.writing = map[*DB][]*sandboxWrite{}, map[*DB]bool{}
	}
	in.waiting[r.db] = append(in.waiting[r.db], w)
	if !in.writing[r.db] {
		in.writing[r.db] = true
		go in.flush(r.db)
	}
	in.mu.Unlock()
	select {
	case <-w.done:
		return wrapNil("models: sandbox push", w.err)
	case <-ctx.Done():
		return fmt.Errorf("models: sandbox push: %w", ctx.Err())
	}
}

// flush writes what waits for one database until nothing does.
func (in *sandboxInbox) flush(d *DB) {
	for {
		in.mu.Lock()
		ws := in.waiting[d]
		delete(in.waiting, d)
		if len(ws) == 0 {
			in.writing[d] = false
			in.mu.Unlock()
			return
		}
		in.mu.Unlock()
		err := d.write(context.Background(), func(t *Tx) error { return t.addSandboxPushes(ws) })
		for _, w := range ws {
			w.err = err
			close(w.done)
		}
	}
}

func (t *Tx) addSandboxPushes(ws []*sandboxWrite) error {
	apps := map[int64]bool{}
	for _, w := range ws {
		row := w.push
		sealed, err := t.db.seal(row.Payload, sandboxPlace)
		if err != nil {
			return err
		}
		row.Payload = sealed
		if err := t.Create(&row).Error; err != nil {
			return err
		}
		apps[row.AppID] = true
	}
	for _, app := range sortedKeys(apps, compareInt64) {
		err := t.Exec(`DELETE FROM sandbox_pushes WHERE app_id = ? AND id <= (SELECT id FROM sandbox_pushes WHERE app_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
			app, app, sandboxKept).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// SandboxPushes lists the inbox of the app, newest first: of one device, or of
// all when deviceID is 0, and older than the push before unless that is 0.
func (s *Store) SandboxPushes(ctx context.Context, app AppScope, deviceID, before int64, limit int) ([]SandboxPush, error) {
	q := app.db.read(ctx).Where("app_id = ?", app.appID)
	if deviceID != 0 {
		q = q.Where("device_id = ?", deviceID)
	}
	if before != 0 {
		q = q.Where("id < ?", before)
	}
	var out []SandboxPush
	if err := q.Order("id DESC").Limit(min(max(limit, 1), sandboxKept)).Find(&out).Error; err != nil {
		return nil, fmt.Errorf("models: sandbox pushes: %w", err)
	}
	for i := range out {
		plain, err := app.db.open(out[i].Payload, sandboxPlace)
		if err != nil {
			return nil, err
		}
		out[i].Payload = plain
	}
	return out, nil
}
