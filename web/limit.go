package web

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimitKeys bounds the memory of a Limiter: about 20 MB.
const maxLimitKeys = 100_000

// Limiter is a rate limit per key, such as an address or an AccessID, in this
// process. It is safe for concurrent use.
type Limiter struct {
	mu      sync.Mutex
	perKey  map[string]*limitEntry
	rate    rate.Limit
	burst   int
	refills time.Duration // after which an unused key is as good as new
	now     func() time.Time
}

type limitEntry struct {
	limiter *rate.Limiter
	used    time.Time
}

// NewLimiter allows every key burst events at once and one more each interval.
func NewLimiter(interval time.Duration, burst int, now func() time.Time) *Limiter {
	return &Limiter{
		perKey:  map[string]*limitEntry{},
		rate:    rate.Every(interval),
		burst:   burst,
		refills: interval * time.Duration(burst),
		now:     now,
	}
}

// Allow takes one event from key and reports whether it was within the limit.
func (l *Limiter) Allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e := l.perKey[key]
	if e == nil {
		if len(l.perKey) >= maxLimitKeys {
			l.sweep(now)
		}
		e = &limitEntry{limiter: rate.NewLimiter(l.rate, l.burst)}
		l.perKey[key] = e
	}
	e.used = now
	return e.limiter.AllowN(now, 1)
}

// Exhausted reports whether the next event of key would be refused, without
// counting one.
func (l *Limiter) Exhausted(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.perKey[key]
	return e != nil && e.limiter.TokensAt(l.now()) < 1
}

// AddressKey is what limits per address count by: an IPv4 address, or the IPv6
// network of 64 bits that one subscriber has all of.
func AddressKey(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// sweep forgets keys that are full again; if all are busy, it forgets some at
// random: under such a flood a few fresh starts do no harm.
func (l *Limiter) sweep(now time.Time) {
	for key, e := range l.perKey {
		if now.Sub(e.used) > l.refills {
			delete(l.perKey, key)
		}
	}
	for key := range l.perKey {
		if len(l.perKey) < maxLimitKeys*9/10 {
			return
		}
		delete(l.perKey, key)
	}
}
