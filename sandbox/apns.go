package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/push"
)

// apnsStreams is what the simulator allows on a connection that has shown a valid
// credential. Apple promises no number; 1000 is commonly seen.
const apnsStreams = 1000

// APNsConfig describes an APNs simulator. The zero value listens on a free loopback
// port, stands for the production service, knows no key and records nothing.
type APNsConfig struct {
	// Addr is the address to listen on, default "127.0.0.1:0". Anything but
	// loopback is refused.
	Addr string
	// Environment is the service it stands for.
	Environment push.Environment
	// CA signs its certificate; nil for a new one.
	CA *CA
	// Keys finds signing keys.
	Keys Keys
	// Tokens finds what is wrong with device tokens; nil for none but those said
	// with SetToken.
	Tokens Tokens
	// TopicAllowed refuses bundle ids; nil allows every one a key allows.
	TopicAllowed func(ctx context.Context, topic string) bool
	// Recorder takes every push; nil for nobody.
	Recorder Recorder
	// Settings to start with.
	Settings Settings
	// SettingsFor finds other settings for a device token, false for none. It is
	// asked for every push that names a token.
	SettingsFor func(ctx context.Context, token string) (Settings, bool)
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Tokens finds the state of a device token. An error is answered as an internal error.
type Tokens interface {
	Token(ctx context.Context, topic, token string) (TokenState, error)
}

// Settings can be changed while a simulator runs.
type Settings struct {
	// Latency is how long every answer takes, Jitter how much it may be longer.
	Latency time.Duration
	Jitter  time.Duration
	// Mix gives reasons of Reasons a share of all answers, in per cent.
	Mix map[string]float64
	// RetryAfter is sent with the answers of Mix when positive, in whole seconds.
	RetryAfter time.Duration
	// GoAwayEvery ends a connection in good order after so many requests; 0 never.
	GoAwayEvery int
	// Receipts has vendors with receipts report each accepted push as arrived.
	Receipts bool
}

// roll returns the reason the dice chose, or "".
func (s *Settings) roll() string {
	if len(s.Mix) == 0 {
		return ""
	}
	x := rand.Float64() * 100
	for reason, share := range s.Mix {
		if x -= share; x < 0 {
			return reason
		}
	}
	return ""
}

func (s *Settings) latency() time.Duration {
	if s.Jitter <= 0 {
		return s.Latency
	}
	return s.Latency + rand.N(s.Jitter)
}

// APNs is a running APNs simulator. Its methods are safe for concurrent use.
type APNs struct {
	ca          *CA
	environment push.Environment
	keys        Keys
	tokens      Tokens
	topics      func(ctx context.Context, topic string) bool
	recorder    Recorder
	settingsFor func(ctx context.Context, token string) (Settings, bool)
	now         func() time.Time
	reasons     map[string]int

	listener net.Listener
	tls      *tls.Config
	settings atomic.Pointer[Settings]
	said     memoryTokens
	gate     gate
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	conns    map[*apnsConn]struct{}
	accepted int
}

// StartAPNs starts a simulator; Close ends it.
func StartAPNs(cfg APNsConfig) (*APNs, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Environment == "" {
		cfg.Environment = push.Production
	}
	if cfg.Keys == nil {
		cfg.Keys = &MemoryKeys{}
	}
	if cfg.CA == nil {
		ca, err := NewCA(time.Now())
		if err != nil {
			return nil, err
		}
		cfg.CA = ca
	}
	s := &APNs{
		ca: cfg.CA, environment: cfg.Environment, keys: cfg.Keys, tokens: cfg.Tokens,
		topics: cfg.TopicAllowed, recorder: cfg.Recorder, settingsFor: cfg.SettingsFor, now: cfg.Now, reasons: Reasons(),
		conns: make(map[*apnsConn]struct{}),
	}
	if s.tokens == nil {
		s.tokens = &s.said
	}
	if err := s.Set(cfg.Settings); err != nil {
		return nil, err
	}
	if err := s.listen(cfg.Addr); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s, nil
}

func (s *APNs) listen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("sandbox: apns: address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("sandbox: apns: %s is not a loopback address", host)
	}
	cert, err := s.ca.ServerCertificate(time.Now(), host)
	if err != nil {
		return err
	}
	s.tls = &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		ClientAuth:   tls.RequestClientCert, // judged per request, as Apple does
	}
	if s.listener, err = net.Listen("tcp", addr); err != nil {
		return fmt.Errorf("sandbox: apns: %w", err)
	}
	return nil
}

// URL is the simulator's address, for push.Options.Endpoint.
func (s *APNs) URL() string { return "https://" + s.listener.Addr().String() }

// CA is the authority that signed the simulator's certificate.
func (s *APNs) CA() *CA { return s.ca }

// Settings returns the settings in force.
func (s *APNs) Settings() Settings { return *s.settings.Load() }

// settingsOf returns the settings for one request. Whatever else is wrong with it,
// its token is noted for the record.
func (s *APNs) settingsOf(ctx context.Context, r *apnsRequest) Settings {
	r.token, _ = strings.CutPrefix(r.path, "/3/device/")
	if s.settingsFor != nil && r.token != "" {
		if set, ok := s.settingsFor(ctx, r.token); ok {
			return set
		}
	}
	return *s.settings.Load()
}

// Set changes the settings for requests that arrive from now on. Unknown reasons
// and shares over 100 per cent are errors.
func (s *APNs) Set(set Settings) error {
	sum := 0.0
	mix := make(map[string]float64, len(set.Mix))
	for reason, share := range set.Mix {
		if _, ok := s.reasons[reason]; !ok || share < 0 {
			return fmt.Errorf("sandbox: apns: no such reason or share: %s %g", reason, share)
		}
		sum += share
		mix[reason] = share
	}
	if sum > 100 {
		return fmt.Errorf("sandbox: apns: shares sum to %g per cent", sum)
	}
	set.Mix = mix // a copy the caller cannot change
	s.settings.Store(&set)
	return nil
}

// SetToken says what is wrong with a device token; an empty Reason makes it well.
// It has no effect on a simulator with Tokens of its own.
func (s *APNs) SetToken(token string, st TokenState) error {
	if _, ok := s.reasons[st.Reason]; st.Reason != "" && !ok {
		return fmt.Errorf("sandbox: apns: no such reason: %s", st.Reason)
	}
	s.said.set(token, st)
	return nil
}

// Freeze stops reading and answering on every connection, also new ones, until
// called with false.
func (s *APNs) Freeze(on bool) { s.gate.set(on) }

// GoAway ends every connection in good order: what is under way is answered, new
// requests need a new connection.
func (s *APNs) GoAway() {
	for _, c := range s.connections() {
		c.goAway()
	}
}

// Disconnect cuts every connection without a word.
func (s *APNs) Disconnect() {
	for _, c := range s.connections() {
		c.cut()
	}
}

// Connections is how many connections are open, Accepted how many there ever were.
func (s *APNs) Connections() int { return len(s.connections()) }

// Accepted is how many connections were ever opened.
func (s *APNs) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Close stops listening, cuts every connection and waits for what was under way.
func (s *APNs) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.gate.set(false)
	s.Disconnect()
	s.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *APNs) connections() []*apnsConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*apnsConn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

func (s *APNs) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		c := newAPNsConn(s, tls.Server(nc, s.tls))
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.accepted++
		s.mu.Unlock()
		s.running.Go(func() {
			c.serve()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
		if s.ctx.Err() != nil {
			c.cut()
		}
	}
}

// gate holds goroutines up while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // nil when open; closed on opening
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.open == nil:
		g.open = make(chan struct{})
	case !shut && g.open != nil:
		close(g.open)
		g.open = nil
	}
}

// shut reports whether it is.
func (g *gate) shut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open != nil
}

// wait returns when the gate is open or done is closed.
func (g *gate) wait(done <-chan struct{}) {
	g.mu.Lock()
	ch := g.open
	g.mu.Unlock()
	if ch == nil {
		return
	}
	select {
	case <-ch:
	case <-done:
	}
}

// memoryTokens is the Tokens of a simulator that was given none.
type memoryTokens struct {
	mu     sync.RWMutex
	states map[string]TokenState
}

func (m *memoryTokens) set(token string, st TokenState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states == nil {
		m.states = make(map[string]TokenState)
	}
	if st.Reason == "" {
		delete(m.states, token)
		return
	}
	m.states[token] = st
}

// Token implements Tokens.
func (m *memoryTokens) Token(_ context.Context, _, token string) (TokenState, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.states[token], nil
}
