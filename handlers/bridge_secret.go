package handlers

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxGoodSecrets   = 10_000
	goodSecretMemory = 10 * time.Minute
)

// goodSecrets remembers, for a while, the hashes of secrets that were good, so
// that a flood of wrong ones from an IM server's own address (a shared proxy)
// does not shut the server out. It is safe for concurrent use.
type goodSecrets struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

func (g *goodSecrets) add(secret string, now time.Time) {
	k := sha256.Sum256([]byte(secret))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil || len(g.seen) >= maxGoodSecrets {
		g.seen = map[[sha256.Size]byte]time.Time{}
	}
	g.seen[k] = now
}

func (g *goodSecrets) has(secret string, now time.Time) bool {
	k := sha256.Sum256([]byte(secret))
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.seen[k]
	return ok && now.Sub(at) < goodSecretMemory
}
