package handlers

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/push"
	"hongyan/web"
)

// Machine is what the endpoints for programs need: the bridges (called by IM
// servers) and the device API (called by the app in a phone).
type Machine struct {
	Ingest  IngestStore
	Devices DeviceStore
	// Receipts takes what vendors report; nil has no receipt addresses.
	Receipts ReceiptStore
	// Channels finds a channel's spec.
	Channels func(push.Channel) (push.Spec, bool)
	// PublicURL is the address of this installation, without a trailing slash; "" takes
	// each request's own.
	PublicURL string
	Log       *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Rates limit callers; the zero value stands for DefaultRates.
	Rates Rates
	// Metrics takes the machine endpoints' own metrics; nil keeps none.
	Metrics prometheus.Registerer
}

// Mount adds the routes of the machine endpoints. They have no session, no cookie
// and no page: every answer is JSON, errors as writeError makes them.
func (m Machine) Mount(s *web.Server) {
	if m.Now == nil {
		m.Now = time.Now
	}
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	if m.Rates == (Rates{}) {
		m.Rates = DefaultRates()
	}

	// IM servers: the secret in the path is the key.
	in := newIngestHandler(m)
	im := s.API("/im", writeStatus)
	im.POST("/:secret", web.ByKey, in.seen(m.machine(in.own))) // the IM app's own bridge, for servers that take a bare address
	im.POST("/:secret/", web.ByKey, in.seen(m.machine(in.own)))
	for _, p := range bridges() {
		if path := p.bridge().Path; path != "" { // else the bare address is the only one
			im.POST("/:secret/"+path, web.ByKey, in.seen(m.machine(in.through(p))))
			rest := ""
			if p.bridge().Below {
				rest = "*"
			}
			im.POST("/:secret/"+path+"/"+rest, web.ByKey, in.seen(m.machine(in.through(p))))
		}
		r, ok := p.(routed)
		if !ok {
			continue
		}
		for _, x := range r.routes(in) {
			if x.root { // no secret in the path: the request names an app, or signs in
				area, rest, varies := strings.Cut(x.path, "/:")
				if varies {
					rest = "/:" + rest
				}
				s.API(area, statusWriter(p)).Add(x.method, rest, web.ByKey, in.seen(m.machine(x.handler)))
			} else {
				im.Add(x.method, "/:secret/"+x.path, web.ByKey, in.seen(m.machine(x.handler)))
			}
		}
	}

	// Vendors: the secret in the path is the key, and where they sign, the signature.
	if m.Receipts != nil {
		r := newReceiptHandler(m)
		g := s.API("/receipts", writeStatus)
		g.POST("/:channel/:secret", web.ByKey, m.machine(r.counted))
	}

	// The app in a phone or a browser: X-Access-ID and X-Access-Key; and, but for
	// register and web-push-key, that very device: X-Device-Token and X-Device-Secret.
	// Each answers a preflight too.
	d := newDeviceHandler(m)
	api := newDeviceGroup(s, m)
	own := func(h echo.HandlerFunc) echo.HandlerFunc { return d.app(d.device(h)) }
	api.add(http.MethodGet, "/openapi.yaml", web.Public, openAPI)
	api.add(http.MethodGet, "/web-push-key", web.ByKey, d.app(d.webPushKey))
	api.add(http.MethodPost, "/register", web.ByKey, d.app(d.register))
	api.add(http.MethodPost, "/accounts/bind", web.ByKey, own(d.bind))
	api.add(http.MethodPost, "/accounts/unbind", web.ByKey, own(d.unbind))
	api.add(http.MethodPost, "/badge", web.ByKey, own(d.badge))
	api.add(http.MethodPost, "/notifications", web.ByKey, own(d.notifications))
	api.add(http.MethodPost, "/receipts", web.ByKey, own(d.receipts))
	api.add(http.MethodPost, "/endpoint", web.ByKey, own(d.endpoint))
	api.add(http.MethodPost, "/unregister", web.ByKey, own(d.unregister))
}

// machine turns every error of a route into JSON. It wraps handlers rather than
// groups: middleware on a group would make Echo answer 404 for a wrong method.
func (m Machine) machine(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		err := next(c)
		if err == nil || c.Response().Committed {
			return err
		}
		e := apiErrorOf(err)
		m.report(c, e)
		return writeError(c, e)
	}
}

// report logs what is ours to fix, with the route's pattern: paths hold secrets.
func (m Machine) report(c echo.Context, e *apiError) {
	if e.status < http.StatusInternalServerError {
		return
	}
	m.Log.ErrorContext(c.Request().Context(), "machine request failed",
		"route", c.Path(), "status", e.status, "request_id", web.RequestID(c), "error", e.err)
}

// Rate is a token bucket: Burst at once, and one more every Every.
type Rate struct {
	Every time.Duration
	Burst int
}

// Rates limit the machine endpoints of one process.
type Rates struct {
	// UnknownSecrets is per address: requests to an ingest address that does not
	// exist. Requests with a secret that was good of late are never limited, so that the backlog of
	// an IM server is taken as fast as it can be stored.
	UnknownSecrets Rate
	// NamedAddress and NamedApp are for requests whose address holds no secret: per
	// address, and per address and app or server id.
	NamedAddress, NamedApp Rate
	// Endpoint is for each device's own endpoint, which servers of strangers post to.
	Endpoint Rate
	// UnknownReceipts is like UnknownSecrets, for receipt addresses.
	UnknownReceipts Rate
	// DeviceAddress and DeviceApp are for the device API: per address, which many
	// phones share behind a carrier, and per app.
	DeviceAddress, DeviceApp Rate
}

// DefaultRates fits one process on a small machine.
func DefaultRates() Rates {
	return Rates{
		UnknownSecrets:  Rate{Every: 500 * time.Millisecond, Burst: 30},
		NamedAddress:    Rate{Every: 2 * time.Millisecond, Burst: 1000},
		NamedApp:        Rate{Every: 5 * time.Millisecond, Burst: 500},
		Endpoint:        Rate{Every: 100 * time.Millisecond, Burst: 100},
		UnknownReceipts: Rate{Every: 500 * time.Millisecond, Burst: 30},
		DeviceAddress:   Rate{Every: 20 * time.Millisecond, Burst: 200},
		DeviceApp:       Rate{Every: time.Millisecond, Burst: 3000},
	}
}

// limiter makes the web kit's limiter of a Rate.
func (m Machine) limiter(r Rate) *web.Limiter { return web.NewLimiter(r.Every, r.Burst, m.Now) }

// statusWriter answers what Echo finds wrong below a bridge's own address (a method
// that it does not take) in the protocol's form.
func statusWriter(p protocol) web.ErrorWriter {
	return func(c echo.Context, status int, _, _ string) error {
		return p.refuse(c, httpError(echo.NewHTTPError(status)))
	}
}
