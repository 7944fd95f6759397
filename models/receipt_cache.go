package models

import (
	"context"
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// maxReceiptCache bounds the memory of receiptCache: more credentials than that are
// not reported to within a second.
const maxReceiptCache = 4096

type receiptKey struct {
	channel string
	hash    [sha256.Size]byte
}

type receiptEntry struct {
	from Reporter
	at   time.Time
}

// receiptCache remembers for cacheLife whose receipt addresses were asked for. Only
// addresses that exist are remembered: guessed ones cost one look each, and can
// neither fill it nor push out what is in use. version tells an answer that was read
// before a change from one read after it.
type receiptCache struct {
	mu      sync.Mutex
	m       map[receiptKey]receiptEntry
	version int
}

// get returns what is remembered for k, and the version to put an answer under that
// is read from now on.
func (c *receiptCache) get(k receiptKey, now time.Time) (from Reporter, version int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[k]
	return e.from, c.version, ok && e.fresh(now)
}

func (e receiptEntry) fresh(now time.Time) bool {
	return now.Sub(e.at) < cacheLife && !now.Before(e.at)
}

// put remembers an answer that was read at now or later, unless something has changed
// since version or there is no room for it.
func (c *receiptCache) put(k receiptKey, from Reporter, now time.Time, version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return
	}
	if _, known := c.m[k]; !known && len(c.m) >= maxReceiptCache {
		maps.DeleteFunc(c.m, func(_ receiptKey, e receiptEntry) bool { return !e.fresh(now) })
		if len(c.m) >= maxReceiptCache {
			return
		}
	}
	if c.m == nil {
		c.m = map[receiptKey]receiptEntry{}
	}
	c.m[k] = receiptEntry{from, now}
}

// clear forgets everything.
func (c *receiptCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m = nil
	c.version++
}

// ReceiptsFrom finds the credential of a channel behind the secret in a receipt
// address. A change made here counts at once, one made by another process within a
// second. NotFound when there is none.
func (s *Store) ReceiptsFrom(ctx context.Context, channel, secret string) (Reporter, error) {
	k := receiptKey{channel, sha256.Sum256([]byte(secret))}
	now := s.Now()
	c := s.control.receipts
	from, version, ok := c.get(k, now)
	if ok {
		return from, nil
	}
	from, err := s.loadReporter(ctx, channel, k.hash[:])
	if err == nil {
		c.put(k, from, now, version)
	}
	return from, err
}
