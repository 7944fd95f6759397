package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// PresenceState is what an IM server last told about a user on one platform.
type PresenceState int

// States of a user on a platform.
const (
	PresenceOnline    PresenceState = 1
	PresenceLost      PresenceState = 2 // the connection ended, the user did not log out
	PresenceLoggedOut PresenceState = 3
)

const (
	// PresenceTrust is how long a user counts as online without a sign of life:
	// servers do not repeat a notice of a lost connection that did not arrive.
	PresenceTrust = 24 * time.Hour
	// presenceLife is how long a state is kept after the last news of it.
	presenceLife = 30 * 24 * time.Hour
	// MaxPlatformBytes bounds the name of a platform.
	MaxPlatformBytes = 32
	// MaxGroupRunes bounds a group's id.
	MaxGroupRunes = 128
)

// Presence is a user's state on one platform.
type Presence struct {
	Account  string
	Platform string
	State    PresenceState
	At       int64     // the server's clock, ms; orders what is told
	Seen     time.Time // when it was told to us
}

// Believed reports whether a state of being online is fresh enough to be relied on.
func (p Presence) Believed(now time.Time) bool { return now.Sub(p.Seen) < PresenceTrust }

type presenceKey struct {
	imAppID           int64
	account, platform string
}

type presenceValue struct {
	state    PresenceState
	at, seen int64
}

// presenceBatch is what several requests wrote together.
type presenceBatch struct {
	rows map[presenceKey]presenceValue
	done chan struct{} // closed when written, with err final
	err  error
}

// presenceWriter gathers states: when thousands of users come back at once, one
// transaction writes what queued while the last one ran.
type presenceWriter struct {
	mu   sync.Mutex
	turn chan struct{} // holds a token while somebody writes
	next *presenceBatch
}

// maxPresenceBatch bounds one transaction.
const maxPresenceBatch = 2000

// SetPresence keeps what an IM server told about its users and returns when it is
// written. What was told later by the server's clock wins. Users and platforms that
// cannot be kept are left out.
func (s *Store) SetPresence(ctx context.Context, in Ingest, states []Presence) error {
	w, seen := &s.presence, s.Now().Unix()
	w.mu.Lock()
	if w.turn == nil {
		w.turn = make(chan struct{}, 1)
	}
	if w.next == nil || len(w.next.rows) >= maxPresenceBatch {
		w.next = &presenceBatch{rows: map[presenceKey]presenceValue{}, done: make(chan struct{})}
	}
	b, turn := w.next, w.turn
	for _, p := range states {
		if !storableID(p.Account, MaxAccountRunes) || len(p.Platform) > MaxPlatformBytes || !storableID(p.Platform, MaxPlatformBytes) {
			continue
		}
		k := presenceKey{in.imAppID, p.Account, p.Platform}
		if old, ok := b.rows[k]; !ok || p.At >= old.at {
			b.rows[k] = presenceValue{p.State, p.At, seen}
		}
	}
	w.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return &Error{Kind: Unavailable, Key: "cannot_store", Err: ctx.Err()}
	}
	defer func() { <-turn }()
	s.writePresence(ctx, b)
	return b.err
}

// writePresence writes a batch unless another writer did. It is called by who holds
// the turn.
func (s *Store) writePresence(ctx context.Context, b *presenceBatch) {
	select {
	case <-b.done:
		return
	default:
	}
	w := &s.presence
	w.mu.Lock()
	if w.next == b {
		w.next = nil // whoever comes now waits for the next one
	}
	w.mu.Unlock()
	if len(b.rows) > 0 {
		// Others wait for this as well; writeHot does not end with the request of one.
		if err := s.writeHot(ctx, func(ctx context.Context, t *Tx) error { return t.putPresence(ctx, b.rows) }); err != nil {
			b.err = &Error{Kind: Unavailable, Key: "cannot_store", Err: fmt.Errorf("models: presence: %w", err)}
		}
	}
	close(b.done)
}

const (
	liteUpsertPresence = `INSERT INTO im_presence (im_app_id, account, platform, state, at, seen) VALUES (?, ?, ?, ?, ?, ?)` + upsertPresence
	pgUpsertPresence   = `INSERT INTO im_presence (im_app_id, account, platform, state, at, seen)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])` + upsertPresence
	upsertPresence = ` ON CONFLICT (im_app_id, account, platform) DO UPDATE SET state = excluded.state, at = excluded.at, seen = excluded.seen
	WHERE excluded.at >= im_presence.at`
)

// putPresence writes states, in one order for every writer so that none is the victim
// of a deadlock.
func (t *Tx) putPresence(ctx context.Context, rows map[presenceKey]presenceValue) error {
	keys := sortedKeys(rows, func(a, b presenceKey) int {
		if a.imAppID != b.imAppID {
			return compareInt64(a.imAppID, b.imAppID)
		}
		if c := strings.Compare(a.account, b.account); c != 0 {
			return c
		}
		return strings.Compare(a.platform, b.platform)
	})
	if t.pgx == nil {
		st := t.lite(ctx, liteUpsertPresence)
		for _, k := range keys {
			v := rows[k]
			if _, err := st.ExecContext(ctx, k.imAppID, k.account, k.platform, v.state, v.at, v.seen); err != nil {
				return err
			}
		}
		return nil
	}
	n := len(keys)
	apps, accounts, platforms := make([]int64, n), make([]string, n), make([]string, n)
	states, ats, seen := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, k := range keys {
		v := rows[k]
		apps[i], accounts[i], platforms[i], states[i], ats[i], seen[i] = k.imAppID, k.account, k.platform, int64(v.state), v.at, v.seen
	}
	_, err := t.pgx.Exec(ctx, pgUpsertPresence, apps, accounts, platforms, states, ats, seen)
	return err
}

// PresenceOf returns what is known about users; who is unknown is absent.
func (s *Store) PresenceOf(ctx context.Context, in Ingest, accounts []string) (map[string][]Presence, error) {
	out := make(map[string][]Presence, len(accounts))
	for part := range slices.Chunk(accounts, liteKeys) {
		args := []any{in.imAppID}
		for _, a := range part {
			args = append(args, storable(a))
		}
		var rows []presenceRow
		err := s.read(ctx).Raw(`SELECT account, platform, state, at, seen FROM im_presence WHERE im_app_id = ? AND account IN (`+
			marks(len(part))+`) ORDER BY account, platform`, args...).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("models: presence: %w", err)
		}
		for _, r := range rows {
			out[r.Account] = append(out[r.Account], r.presence())
		}
	}
	return out, nil
}

// presenceRow is a row of im_presence; its state is 0 for a member nothing is known of.
type presenceRow struct {
	Account, Platform string
	State             PresenceState
	At, Seen          int64
}

func (r presenceRow) presence() Presence {
	return Presence{Account: r.Account, Platform: r.Platform, State: r.State, At: r.At, Seen: time.Unix(r.Seen, 0)}
}

// storableID reports whether an id can be kept as it is.
func storableID(id string, runes int) bool {
	return id != "" && storable(id) == id && utf8.RuneCountInString(id) <= runes
}
