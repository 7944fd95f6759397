package models

import (
	"context"
	"sync"
	"time"
)

// control is what a Store keeps in memory about the control plane.
type control struct {
	hashing  chan struct{} // a place for each password being hashed
	keys     *cache[int64, accessKeyEntry]
	configs  *cache[int64, *SendConfig]
	receipts *receiptCache
}

func newControl() control {
	return control{
		hashing:  make(chan struct{}, hashesAtOnce),
		keys:     newCache[int64, accessKeyEntry](),
		configs:  newCache[int64, *SendConfig](),
		receipts: &receiptCache{},
	}
}

// cacheLife is how long an answer from the control plane is used without asking
// again: the longest that another process goes on with a key that was reset.
const cacheLife = time.Second

// maxCache bounds the memory that guessed ids can take.
const maxCache = 4096

// cache remembers answers, also that there is none, for cacheLife. One caller
// loads while the others for the same key wait.
type cache[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]*cacheEntry[V]
}

type cacheEntry[V any] struct {
	mu  sync.Mutex
	at  time.Time // zero until loaded
	v   V
	err error // nil or NotFound
}

func newCache[K comparable, V any]() *cache[K, V] {
	return &cache[K, V]{m: map[K]*cacheEntry[V]{}}
}

// get returns k's value, from load when it is not remembered. Errors but NotFound
// are not remembered.
func (c *cache[K, V]) get(ctx context.Context, k K, now time.Time, load func(context.Context) (V, error)) (V, error) {
	e := c.entry(k)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.at.IsZero() && now.Sub(e.at) < cacheLife && !now.Before(e.at) {
		return e.v, e.err
	}
	v, err := load(ctx)
	if err != nil && KindOf(err) != NotFound {
		return v, err
	}
	e.v, e.err, e.at = v, err, now
	return v, err
}

func (c *cache[K, V]) entry(k K) *cacheEntry[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[k]
	if !ok {
		if len(c.m) >= maxCache {
			c.m = map[K]*cacheEntry[V]{}
		}
		e = &cacheEntry[V]{}
		c.m[k] = e
	}
	return e
}

// drop forgets k. An answer that is being read meanwhile goes to an entry that
// nobody finds any more, so what was true before the drop is never remembered.
func (c *cache[K, V]) drop(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, k)
}

// clear forgets everything.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m = map[K]*cacheEntry[V]{}
}

// forgetApp makes this process see a change of an app at once; others see it
// within cacheLife.
func (s *Store) forgetApp(appID int64) {
	s.control.keys.drop(appID)
	s.control.configs.drop(appID)
	s.control.receipts.clear()
	s.forgetIngest()
}
