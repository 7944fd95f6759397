package apns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Shape of a pool.
const (
	// defaultConns is the most connections of one credential and environment.
	// Opening many is of no use before one is full, and Apple treats rapid opening
	// and closing as an attack.
	defaultConns = 4
	// maxStreams caps what is in flight on one connection even where Apple allows
	// more (commonly 1000), so that the limit is never run into.
	maxStreams = 900
	// coldStreams is what a new connection carries before its first answer: with
	// token authentication Apple allows one stream until it has seen a valid token.
	coldStreams = 1

	readIdle    = 15 * time.Second // silence before a health-check PING
	pingTimeout = 5 * time.Second  // and how long its answer may take
	dialTimeout = 10 * time.Second
	keepAlive   = 15 * time.Second

	recheckAfter = 5 * time.Millisecond

	backoffMin = 100 * time.Millisecond // pause after a connection that failed
	backoffMax = 5 * time.Second        // and its ceiling
)

var (
	errClosed   = errors.New("push/apns: sender is closed")
	errUnsteady = errors.New("push/apns: connection ended before its first answer")
)

// pool keeps the connections of one credential and environment. It starts with
// one, lets the first request through alone, and adds another only when every
// connection is warm and full. It is the http2.Transport's connection pool, so the
// Transport's own replay of requests that a GOAWAY or REFUSED_STREAM left
// unprocessed picks a connection here again.
type pool struct {
	transport *http2.Transport //nolint:staticcheck // net/http's pool cannot bound and warm connections
	dial      func(ctx context.Context) (net.Conn, error)
	ctx       context.Context // ends with the pool
	cancel    context.CancelFunc
	most      int // connections

	mu       sync.Mutex
	links    []*link
	waiting  []chan struct{} // in order of arrival; closed to say "look again"
	dialing  bool
	recheck  bool // a timer will wake a waiter
	closed   bool
	failures int       // connections in a row that never answered
	retryAt  time.Time // no dial before
	lastErr  error     // why the last connection failed
}

// link is one connection.
type link struct {
	cc    *http2.ClientConn //nolint:staticcheck // see pool.transport
	busy  int               // requests in flight
	limit int               // most requests in flight
	warm  bool              // has answered
	heard time.Time         // when it last answered
}

// flight is one request's context, and carries the connection chosen for it.
type flight struct {
	context.Context
	link *link
}

func newPool(cfg *tls.Config, addr string, most int) *pool {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pool{ctx: ctx, cancel: cancel, most: most}
	p.dial = func(ctx context.Context) (net.Conn, error) { return dialTLS(ctx, addr, cfg) }
	p.transport = &http2.Transport{ //nolint:staticcheck // see pool.transport
		ConnPool:           p,
		DisableCompression: true,
		// One byte is no table, 0 would be the default one: every push has a path
		// and an id that nothing repeats, and turning them over in the table cost a
		// fifth of the CPU while they kept pushing the token out of it.
		MaxEncoderHeaderTableSize: 1,
		ReadIdleTimeout:           readIdle,
		PingTimeout:               pingTimeout,
	}
	return p
}

func dialTLS(ctx context.Context, addr string, cfg *tls.Config) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{KeepAlive: keepAlive}, Config: cfg}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tc, ok := c.(*tls.Conn)
	if !ok || tc.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		_ = c.Close() // never used
		return nil, errors.New("push/apns: the server does not speak HTTP/2")
	}
	return newBatchConn(tc), nil
}

// GetClientConn implements http2.ClientConnPool for requests made with a *flight
// as their context.
func (p *pool) GetClientConn(req *http.Request, _ string) (*http2.ClientConn, error) { //nolint:staticcheck // see pool.transport
	f, ok := req.Context().(*flight)
	if !ok {
		return nil, fmt.Errorf("push/apns: request without a flight")
	}
	if f.link != nil { // the Transport is replaying this request
		p.release(f.link, false)
		f.link = nil
	}
	l, err := p.acquire(f)
	if err != nil {
		return nil, err
	}
	f.link = l
	return l.cc, nil
}

// MarkDead implements http2.ClientConnPool.
func (p *pool) MarkDead(cc *http2.ClientConn) { //nolint:staticcheck // see pool.transport
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if l.cc == cc {
			p.dropLocked(l)
			return
		}
	}
}

// acquire waits for a connection with room and counts the request on it.
func (p *pool) acquire(ctx context.Context) (*link, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errClosed
		}
		if l := p.pickLocked(); l != nil {
			l.busy++
			p.mu.Unlock()
			return l, nil
		}
		if err := p.growLocked(); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		ch := make(chan struct{})
		p.waiting = append(p.waiting, ch)
		p.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			p.forsake(ch)
			return nil, ctx.Err()
		}
	}
}

// forsake takes a waiter out, or passes on the turn it was given and will not use.
func (p *pool) forsake(ch chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, ch); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return
	}
	p.wakeLocked(1)
}

// pickLocked returns the least busy connection with room, or nil. Before it says
// nil it asks whether a server has raised its limit.
func (p *pool) pickLocked() *link {
	if l := p.leastLocked(); l != nil {
		return l
	}
	raised := false
	for _, l := range slices.Clone(p.links) {
		if before := l.limit; l.warm && before < maxStreams {
			p.refreshLocked(l)
			raised = raised || l.limit > before
		}
	}
	if !raised {
		return nil
	}
	return p.leastLocked()
}

func (p *pool) leastLocked() *link {
	var refused []*link
	for {
		var best *link
		for _, l := range p.links {
			if l.busy < l.limit && (best == nil || l.busy < best.busy) && !slices.Contains(refused, l) {
				best = l
			}
		}
		if best == nil || best.cc.ReserveNewRequest() {
			return best
		}
		// It is ending, the server allows fewer streams than it did, or a stream
		// that was answered is not quite put away yet: look again soon.
		refused = append(refused, best)
		p.refreshLocked(best)
		p.recheckLocked()
	}
}

// recheckLocked wakes a waiter after a moment, for a change nothing else reports.
func (p *pool) recheckLocked() {
	if p.recheck {
		return
	}
	p.recheck = true
	time.AfterFunc(recheckAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.recheck = false
		p.wakeLocked(1)
	})
}

// refreshLocked takes over what the server allows now and drops a connection that
// is ending.
func (p *pool) refreshLocked(l *link) {
	st := l.cc.State()
	switch {
	case st.Closed || st.Closing:
		p.dropLocked(l)
	case l.warm && st.MaxConcurrentStreams > 0:
		// One tenth is left free: a stream counts until it is put away, a little
		// after its answer was read.
		most := int(min(st.MaxConcurrentStreams, 1<<20))
		l.limit = min(most-most/10, maxStreams)
	}
}

// growLocked starts a dial when one is needed; it returns an error when there is no
// connection and none may be opened yet.
func (p *pool) growLocked() error {
	if p.dialing || len(p.links) >= p.most {
		return nil
	}
	now := time.Now()
	if len(p.links) == 0 {
		if now.Before(p.retryAt) {
			return p.lastErr
		}
	} else {
		for _, l := range p.links {
			// limit 1 means the server has not let anything through yet: more
			// connections would not help.
			if !l.warm || l.limit <= coldStreams || now.Before(p.retryAt) {
				return nil
			}
		}
	}
	p.dialing = true
	go p.connect()
	return nil
}

// connect opens one connection for whoever waits. It is bound to the pool and not
// to the request that happened to need it.
func (p *pool) connect() {
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	var cc *http2.ClientConn //nolint:staticcheck // see pool.transport
	conn, err := p.dial(ctx)
	if err == nil {
		if cc, err = p.transport.NewClientConn(conn); err != nil {
			_ = conn.Close() // never used
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing = false
	switch {
	case err != nil:
		p.failedLocked(err)
		p.wakeLocked(len(p.waiting))
	case p.closed:
		go func() { _ = cc.Close() }()
	default:
		p.links = append(p.links, &link{cc: cc, limit: coldStreams})
		p.wakeLocked(coldStreams)
	}
}

// release ends a request's use of a connection. answered says that the server
// replied on it.
func (p *pool) release(l *link, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.busy--
	if answered {
		l.heard = time.Now()
		if !l.warm {
			l.warm = true
			p.failures = 0
		}
	}
	before := l.limit
	if l.limit < maxStreams && len(p.waiting) > 0 && slices.Contains(p.links, l) {
		p.refreshLocked(l)
	}
	p.wakeLocked(1 + max(0, l.limit-before))
}

// stalled says that a request sent at t had no answer in time. When nothing else
// was answered since either, the connection takes no more requests; those in
// flight on it may still end well.
func (p *pool) stalled(l *link, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.heard.After(t) || !slices.Contains(p.links, l) {
		return
	}
	l.cc.SetDoNotReuse()
	// No pause before the next dial: the timeout was one.
	l.warm = true
	p.dropLocked(l)
}

// dropLocked stops using a connection. One that never answered counts as a failure.
func (p *pool) dropLocked(l *link) {
	i := slices.Index(p.links, l)
	if i < 0 {
		return
	}
	p.links = slices.Delete(p.links, i, i+1)
	if !l.warm {
		p.failedLocked(errUnsteady)
	}
	p.wakeLocked(len(p.waiting))
}

// failedLocked puts off the next dial.
func (p *pool) failedLocked(err error) {
	p.failures++
	d := backoffMin << min(p.failures-1, 8)
	p.retryAt = time.Now().Add(min(d, backoffMax))
	p.lastErr = err
}

// wakeLocked lets the first n waiters look again.
func (p *pool) wakeLocked(n int) {
	n = min(n, len(p.waiting))
	for _, ch := range p.waiting[:n] {
		close(ch)
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
}

// close refuses new requests, closes idle connections now and busy ones when their
// requests have ended, after grace at the latest.
func (p *pool) close(grace time.Duration) {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, l := range p.links {
		l.cc.SetDoNotReuse()
		cc := l.cc
		if l.busy == 0 {
			go func() { _ = cc.Close() }()
			continue
		}
		time.AfterFunc(grace, func() { _ = cc.Close() })
	}
	p.links = nil
	p.wakeLocked(len(p.waiting))
}
