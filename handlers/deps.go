package handlers

import (
	"log/slog"
	"syscall"
	"time"

	"hongyan/alert"
	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
	"hongyan/xmpp"
)

// Deps is what the pages work with. It is filled once, at start, and never changes.
type Deps struct {
	Store *models.Store
	Log   *slog.Logger
	// Now is the clock of everything that a page says about time.
	Now func() time.Time
	// PublicURL is the address at which browsers and IM servers reach this
	// installation, without a trailing slash; "" takes each request's own.
	PublicURL string
	// Rates limit programs; the zero value stands for DefaultRates.
	Rates Rates
	// RetentionDays is how long records are kept; pages say it.
	RetentionDays int
	// Sandbox is false where the operator runs no simulators; pages then hide it.
	Sandbox bool
	// SimulatorAt is where the operator runs the APNs simulator apart (`hongyan
	// sandbox`), as host:port: it takes pushes, but knows nothing of the console's
	// inbox and settings. "" where it runs in a process of this installation.
	SimulatorAt string
	// Phones makes keys and virtual phones that the simulators accept; nil without
	// simulators.
	Phones Phones
	// Channels finds the spec of a channel that this build can send through; nil
	// for a build that sends through none.
	Channels func(push.Channel) (push.Spec, bool)
	// Simulator says where a channel's simulator listens; nil without simulators.
	Simulator func(push.Channel) (push.Options, bool)
	// DialControl judges addresses that targets bring along, see push.Options.
	DialControl func(network, address string, c syscall.RawConn) error
	// Alerts sends 告警通知; the pages only send tests through it.
	Alerts *alert.Sender
	// XMPP is how the component stands to the XMPP server; nil where none is configured.
	XMPP func() xmpp.State
	// Self is the address of this process's own listener, without a trailing slash:
	// the sandbox acts the phone and the IM server over it. "" has neither.
	Self string
}

// NewServer builds the HTTP side of a process: the kit, with what it asks of the
// console, and every route. Sessions, Decorate and SaveLanguage of o are set here.
func NewServer(o web.Options, d Deps) (*web.Server, error) {
	h := &console{Deps: d, samples: web.NewLimiter(2*time.Second, 5, d.Now), self: newSelf()}
	o.Sessions, o.Decorate, o.SaveLanguage = h, h.decorate, h.saveLanguage
	s, err := web.New(o)
	if err != nil {
		return nil, err
	}
	h.routes(s)
	return s, nil
}
