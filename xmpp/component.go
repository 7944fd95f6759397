package xmpp

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Config says what a component is and whom it serves.
type Config struct {
	// Addr is the XMPP server's port for components, as host:port.
	Addr string
	// Domain is the component's own, such as push.example.com.
	Domain string
	Secret string
	// Name is what others are told that this is.
	Name string
	// Publish takes what is published and returns why not, nil for yes. Of one node
	// it gets one after the other, of several many at once. Its context ends when the
	// component gives up waiting for it.
	Publish func(ctx context.Context, peer string, iq *Element) *Error
	Log     *slog.Logger
	// Changed is told of every new state; nil tells nobody.
	Changed func(State)
	// Dial connects; nil is a plain dialer.
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Times Times
}

// Times are the component's waits; each zero stands for its default.
type Times struct {
	Connect  time.Duration // until the handshake is answered: 15 s
	Ping     time.Duration // between signs of life: 30 s
	Silence  time.Duration // without a byte, after which the connection is given up: 90 s
	Write    time.Duration // until a write must be through: 15 s
	First    time.Duration // before the first new try: 1 s, doubled each time
	Longest  time.Duration // between tries: 1 min
	Conflict time.Duration // between tries while another has the domain: 10 s
	Close    time.Duration // until the server has closed its side, too: 2 s
}

// Phase is how a component stands to its server.
type Phase string

// Phases of a component.
const (
	Connecting   Phase = "connecting" // for the first time
	Connected    Phase = "connected"
	Standby      Phase = "standby"      // another connection has the domain
	Disconnected Phase = "disconnected" // and trying again
	Stopped      Phase = "stopped"
)

// State is a component's phase, since when, and for the phases without a connection
// why: one of the Fault words.
type State struct {
	Domain, Addr string
	Phase        Phase
	Fault        string
	Since        time.Time
}

// Why a component is not connected.
const (
	FaultUnreachable = "unreachable"  // nobody listens there
	FaultSecret      = "secret"       // the server refused the secret
	FaultDomain      = "domain"       // the server does not know the domain
	FaultConflict    = "conflict"     // the domain has another connection
	FaultClosed      = "closed"       // the server closed the stream
	FaultSilent      = "silent"       // the server no longer answers
	FaultNoStream    = "no_stream"    // what is there does not speak XEP-0114
	FaultStreamError = "stream_error" // any other error of the stream
)

// Component keeps one connection to an XMPP server, and makes a new one whenever it is
// lost.
type Component struct {
	cfg Config

	stopping context.Context // ends with the call of Stop
	stop     context.CancelFunc
	working  context.Context // ends when Stop gives up waiting
	abandon  context.CancelFunc
	ended    chan struct{}
	workers  sync.WaitGroup

	mu    sync.Mutex
	state State
}

// Start makes a component and lets it connect.
func Start(cfg Config) *Component {
	cfg.Times = cfg.Times.orDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: cfg.Times.Ping}).DialContext
	}
	c := &Component{cfg: cfg, ended: make(chan struct{}), state: State{Domain: cfg.Domain, Addr: cfg.Addr, Phase: Connecting, Since: time.Now()}}
	c.stopping, c.stop = context.WithCancel(context.Background())
	c.working, c.abandon = context.WithCancel(context.Background())
	go c.run()
	return c
}

func (t Times) orDefaults() Times {
	for field, def := range map[*time.Duration]time.Duration{
		&t.Connect: 15 * time.Second, &t.Ping: 30 * time.Second, &t.Silence: 90 * time.Second, &t.Write: 15 * time.Second,
		&t.First: time.Second, &t.Longest: time.Minute, &t.Conflict: 10 * time.Second, &t.Close: 2 * time.Second,
	} {
		if *field == 0 {
			*field = def
		}
	}
	return t
}

// State returns how the component stands now.
func (c *Component) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Stop lets what is being published get its answer, closes the stream and ends the
// component. It gives up at the end of ctx.
func (c *Component) Stop(ctx context.Context) error {
	c.stop()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
	}
	c.abandon()
	<-c.ended
	return ctx.Err()
}

// run connects again and again.
func (c *Component) run() {
	defer close(c.ended)
	defer c.abandon()
	failures := 0
	for c.stopping.Err() == nil {
		established, err := c.connect()
		if c.stopping.Err() != nil {
			break
		}
		if established {
			failures = 0
		}
		wait := c.cfg.Times.wait(failures, err)
		failures++
		c.lost(err, wait)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-c.stopping.Done():
			t.Stop()
		}
	}
	c.workers.Wait()
	c.enter(Stopped, "")
}

// wait is how long to wait after so many failures in a row: longer each time, and
// never the same for two processes.
func (t Times) wait(failures int, err error) time.Duration {
	d := t.Longest
	if failures < 16 { // further would overflow
		d = min(t.First<<failures, t.Longest)
	}
	if faultOf(err) == FaultConflict {
		d = t.Conflict
	}
	return d/2 + rand.N(d/2+1)
}

// lost says what became of a connection, or of a try to make one: once for each new
// reason, so that an outage of a day is a line and not thousands.
func (c *Component) lost(err error, wait time.Duration) {
	fault := faultOf(err)
	phase := Disconnected
	if fault == FaultConflict {
		phase = Standby
	}
	if !c.enter(phase, fault) {
		return
	}
	c.cfg.Log.Warn("XMPP component is not connected", "addr", c.cfg.Addr, "domain", c.cfg.Domain, "reason", fault, "error", err, "again_in", wait.Round(time.Millisecond))
}

// enter changes the state and reports whether it is another one.
func (c *Component) enter(p Phase, fault string) bool {
	c.mu.Lock()
	if c.state.Phase == p && c.state.Fault == fault {
		c.mu.Unlock()
		return false
	}
	c.state.Phase, c.state.Fault, c.state.Since = p, fault, time.Now()
	state := c.state
	c.mu.Unlock()
	if c.cfg.Changed != nil {
		c.cfg.Changed(state)
	}
	return true
}

// ConnectError is why there is no connection, with the word for it.
type ConnectError struct {
	Word string
	err  error
}

func (f *ConnectError) Error() string { return "xmpp: " + f.Word + ": " + f.err.Error() }

// Unwrap returns the cause.
func (f *ConnectError) Unwrap() error { return f.err }

func faultOf(err error) string {
	var f *ConnectError
	if errors.As(err, &f) {
		return f.Word
	}
	return FaultClosed
}
