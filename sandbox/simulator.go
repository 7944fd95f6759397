package sandbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/push"
)

// vendor is what differs from vendor to vendor: written from the vendor's documents,
// with parsing and signatures of its own, never with package push's.
type vendor interface {
	// serve answers one request. The simulator has already waited for the gate.
	serve(s *Simulator, w http.ResponseWriter, r *http.Request)
	// codes are the vendor's answers that Settings.Mix and SetToken may name, and
	// whether each is about one token alone.
	codes() map[string]bool
	// receipt is the vendor's report about one push, for the address it goes to;
	// false when the vendor sends none about this event.
	receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool)
}

// vendors are the simulators that speak plain HTTPS. APNs has one of its own
// (StartAPNs), because there the HTTP/2 frames matter.
func vendors() map[push.Channel]vendor {
	return map[push.Channel]vendor{
		push.OPPO:    &oppo{sent: map[string]bool{}},
		push.Xiaomi:  &xiaomi{patterns: miPatterns()},
		push.Meizu:   newMeizu(),
		push.Vivo:    newVivo(),
		push.Huawei:  huawei{},
		push.Harmony: harmony{},
		push.Honor:   honor{},
		push.FCM:     fcm{},
		push.WebPush: webPush{},
	}
}

// Channels lists the channels that Start has a simulator for.
func Channels() []push.Channel {
	var out []push.Channel
	for c := range vendors() {
		out = append(out, c)
	}
	return out
}

// Config describes a simulator. The zero value of everything but Channel listens on a
// free loopback port, knows no app and records nothing.
type Config struct {
	Channel push.Channel
	// Addr is the address to listen on, default "127.0.0.1:0". Anything but
	// loopback is refused.
	Addr string
	// CA signs its certificate; nil for a new one.
	CA       *CA
	Accounts Accounts
	// Tokens finds what is wrong with device tokens; nil for none but those said
	// with SetToken.
	Tokens      Tokens
	Recorder    Recorder
	Settings    Settings
	SettingsFor func(ctx context.Context, token string) (Settings, bool)
	// Receipts posts receipts; nil sends none.
	Receipts *http.Client
	// ReceiptURL is the address that the app of a device token has entered in the
	// vendor's console, where apps share an account; nil for the account's own.
	ReceiptURL func(ctx context.Context, token string) string
	// Origin is the origin that subscriptions to Web Push name, "" for the simulator's
	// own address. With WebPushOrigin they outlive the simulator's port.
	Origin string
	Now    func() time.Time
}

// Simulator is a running simulator of one vendor. Its methods are safe for
// concurrent use.
type Simulator struct {
	cfg      Config
	vendor   vendor
	known    map[string]bool
	listener net.Listener
	server   *http.Server
	settings atomic.Pointer[Settings]
	said     memoryTokens
	gate     gate
	requests atomic.Int64
	running  sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	access  map[string]access // access tokens handed out
	fetches int
}

// access is an access token's owner and end.
type access struct {
	account string
	until   time.Time
}

// Start starts a simulator of cfg.Channel's vendor; Close ends it.
func Start(cfg Config) (*Simulator, error) {
	v, ok := vendors()[cfg.Channel]
	if !ok {
		return nil, fmt.Errorf("sandbox: no simulator for %q", cfg.Channel)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Accounts == nil {
		cfg.Accounts = &MemoryAccounts{}
	}
	if cfg.CA == nil {
		ca, err := NewCA(time.Now())
		if err != nil {
			return nil, err
		}
		cfg.CA = ca
	}
	s := &Simulator{cfg: cfg, vendor: v, known: v.codes(), conns: map[net.Conn]struct{}{}, access: map[string]access{}}
	if cfg.Tokens == nil {
		s.cfg.Tokens = &s.said
	}
	if err := s.Set(cfg.Settings); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Simulator) listen() error {
	host, _, err := net.SplitHostPort(s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("sandbox: %s: address: %w", s.cfg.Channel, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("sandbox: %s: %s is not a loopback address", s.cfg.Channel, host)
	}
	cert, err := s.cfg.CA.ServerCertificate(time.Now(), host)
	if err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", s.cfg.Addr); err != nil {
		return fmt.Errorf("sandbox: %s: %w", s.cfg.Channel, err)
	}
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ConnState: s.watch, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		// A cut connection is an order, not news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.running.Go(func() {
		_ = s.server.ServeTLS(s.listener, "", "") // ends with Close
	})
	return nil
}

// watch knows the open connections, for Disconnect.
func (s *Simulator) watch(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

func (s *Simulator) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if s.gate.shut() && !s.stand(w, r) {
		// Without a word: an answer of ours, even an empty one, could still be read.
		panic(http.ErrAbortHandler)
	}
	s.vendor.serve(s, w, r)
}

// stand holds a request while the simulator stands still; false when its caller gave
// up meanwhile: a vendor that stood still has not taken it.
func (s *Simulator) stand(w http.ResponseWriter, r *http.Request) bool {
	// Only once the body is read does the server notice that the caller is gone.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxStanding))
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.gate.wait(r.Context().Done())
	return r.Context().Err() == nil
}

// maxStanding bounds the body of a request that is held: more than any vendor takes.
const maxStanding = 8 << 20

// URL is the simulator's address, for push.Options.Endpoint.
func (s *Simulator) URL() string { return "https://" + s.listener.Addr().String() }

// CA is the authority that signed the simulator's certificate.
func (s *Simulator) CA() *CA { return s.cfg.CA }

// Channel is the channel whose vendor it stands for.
func (s *Simulator) Channel() push.Channel { return s.cfg.Channel }

// Settings returns the settings in force.
func (s *Simulator) Settings() Settings { return *s.settings.Load() }

// Set changes the settings for requests that arrive from now on. Unknown codes and
// shares over 100 per cent are errors.
func (s *Simulator) Set(set Settings) error {
	sum := 0.0
	mix := make(map[string]float64, len(set.Mix))
	for code, share := range set.Mix {
		if _, ok := s.known[code]; !ok || share < 0 {
			return fmt.Errorf("sandbox: %s: no such code or share: %s %g", s.cfg.Channel, code, share)
		}
		sum += share
		mix[code] = share
	}
	if sum > 100 {
		return fmt.Errorf("sandbox: %s: shares sum to %g per cent", s.cfg.Channel, sum)
	}
	set.Mix = mix // a copy the caller cannot change
	s.settings.Store(&set)
	return nil
}

// SetToken says what is wrong with a device token; an empty Reason makes it well.
// It has no effect on a simulator with Tokens of its own.
func (s *Simulator) SetToken(token string, st TokenState) error {
	if _, ok := s.known[st.Reason]; st.Reason != "" && !ok {
		return fmt.Errorf("sandbox: %s: no such code: %s", s.cfg.Channel, st.Reason)
	}
	s.said.set(token, st)
	return nil
}

// Freeze stops answering until called with false.
func (s *Simulator) Freeze(on bool) { s.gate.set(on) }

// Disconnect cuts every connection without a word.
func (s *Simulator) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // that is the point
	}
}

// Requests is how many send requests arrived.
func (s *Simulator) Requests() int { return int(s.requests.Load()) }

// Fetches is how many access tokens were handed out.
func (s *Simulator) Fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// Revoke makes every access token handed out so far invalid.
func (s *Simulator) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

// Close stops listening, cuts every connection and waits for what was under way.
func (s *Simulator) Close() error {
	s.cancel()
	s.gate.set(false)
	err := s.server.Close()
	s.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
