package models

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// idMaker makes UUIDv7s that ascend within the process, from the store's clock.
// The library's own generator cannot be given a clock, and retention cuts
// messages by the time inside their ids.
type idMaker struct {
	mu   sync.Mutex
	last int64 // milliseconds << 12 | fraction of the last id
}

// next returns n ids for the given moment, each greater than every one before.
func (m *idMaker) next(now time.Time, n int) ([]uuid.UUID, error) {
	random := make([]byte, 8*n)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("models: id: %w", err)
	}
	us := now.UnixMicro()
	stamp := us/1000<<12 | us%1000<<2
	m.mu.Lock()
	first := max(stamp, m.last+1)
	m.last = first + int64(n) - 1
	m.mu.Unlock()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuidAt(first+int64(i), random[8*i:8*i+8])
	}
	return ids, nil
}

// uuidAt puts a 60-bit stamp (milliseconds and a 12-bit fraction) and 62 random
// bits together as RFC 9562 section 5.7 says.
func uuidAt(stamp int64, random []byte) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(stamp)>>12<<16|uint64(stamp)&0xfff|0x7000) //nolint:gosec // stamps are positive
	copy(id[8:], random)
	id[8] = id[8]&0x3f | 0x80
	return id
}

// idBound returns the least UUIDv7 of a moment: every message accepted earlier
// has a smaller id.
func idBound(t time.Time) string {
	return uuidAt(t.UnixMilli()<<12, make([]byte, 8)).String()
}

// idTime returns the moment inside a UUIDv7, to the millisecond.
func idTime(id string) (time.Time, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}, fmt.Errorf("models: id: %w", err)
	}
	if u.Version() != 7 {
		return time.Time{}, errors.New("models: id: not a UUIDv7")
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(u[:8]) >> 16)).UTC(), nil //nolint:gosec // 48 bits fit
}

// HourOf returns the UTC hour that counters are kept by: hours since 1970.
func HourOf(t time.Time) int64 { return t.Unix() / 3600 }

// Postgres error classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
)

// lostRace reports whether a transaction failed only because of another one
// beside it, so that running it again is right.
func lostRace(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == pgSerialization || e.Code == pgDeadlock)
}
