package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"hongyan/handlers"
	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
)

// startWeb binds the address and serves the console and the APIs; a process that
// only works answers nothing but /healthz and /readyz there.
func (s *process) startWeb(ctx context.Context) error {
	// Bound before anything else of the server is made: a port that is taken ends
	// the start, with nothing to undo.
	ln, err := web.Listen(ctx, s.cfg.Listen)
	if err != nil {
		return err
	}
	listeners := []net.Listener{ln}
	if s.cfg.TLS() {
		secure, err := s.listenTLS(ctx)
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		listeners = append(listeners, secure)
	}
	s.base, err = s.baseURL(ln.Addr())
	if err == nil {
		err = s.serveWeb(ctx, listeners)
	}
	if err != nil {
		for _, ln := range listeners {
			err = errors.Join(err, ln.Close())
		}
		return err
	}
	s.listeners = listeners
	return nil
}

// serveWeb serves the same on all listeners; the first is without TLS.
func (s *process) serveWeb(ctx context.Context, listeners []net.Listener) error {
	host, err := dialAddress(listeners[0].Addr().String())
	if err != nil {
		return err
	}
	self := "http://" + host
	s.self.Store(&self)
	server, err := s.newServer()
	if err != nil {
		return err
	}
	s.web = server
	s.serve(ctx, "web", server, listeners...)
	return nil
}

// newServer makes the HTTP side.
func (s *process) newServer() (*web.Server, error) {
	sign, err := derive(s.secret, "session cookie signature")
	if err != nil {
		return nil, err
	}
	encrypt, err := derive(s.secret, "session cookie encryption")
	if err != nil {
		return nil, err
	}
	o := web.Options{
		Log: s.con.log, Now: time.Now, PublicURL: s.base, TrustedProxies: s.cfg.Proxies,
		CookieKeys: [2][]byte{sign, encrypt}, Version: version(), Ready: s.ready, Registerer: s.metrics,
	}
	if !s.cfg.Web() {
		o.Sessions = nobody{}
		return web.New(o)
	}
	d := handlers.Deps{
		Store: s.store, Log: s.con.log, Now: time.Now, PublicURL: s.cfg.PublicURL, Sandbox: s.cfg.Sandbox,
		SimulatorAt:   s.cfg.SandboxAPNs,
		RetentionDays: int(s.cfg.Retention / (24 * time.Hour)),
		Phones:        phoneMaker{s}, Channels: s.channels.Lookup, Simulator: s.simulator, Self: s.ownAddress(),
		Alerts: s.alerts, DialControl: push.Guard(s.cfg.Outbound), Metrics: s.metrics,
	}
	if s.cfg.XMPP() {
		d.XMPP = s.xmppState
	}
	return handlers.NewServer(o, d)
}

// ownAddress is this process's own listener, without a trailing slash; "" before it
// listens.
func (s *process) ownAddress() string {
	if self := s.self.Load(); self != nil {
		return *self
	}
	return ""
}

// receiptURL is the address that a channel's vendor reports to, on the region's
// public address or the installation's; "" without either, because what a request
// happened to call this host is nothing to tell a vendor. A simulator reports to the
// process that it runs in, which can do without a public address unless it only works.
func (s *process) receiptURL(region, channel string, secret models.Secret, sandbox bool) string {
	if sandbox && s.cfg.Web() {
		self := s.ownAddress()
		if self == "" {
			return ""
		}
		return self + handlers.ReceiptPath(channel, secret)
	}
	base := s.cfg.PublicURL
	if r, err := s.store.Region(region); err == nil && r.Public != "" {
		base = r.Public
	}
	if base == "" {
		return ""
	}
	return base + handlers.ReceiptPath(channel, secret)
}

// nobody is signed in to a process that only works.
type nobody struct{}

// SessionUser implements web.Sessions.
func (nobody) SessionUser(context.Context, web.TokenHash) (web.User, error) {
	return web.User{}, web.ErrNoSession
}

// ready says why this process cannot serve now.
func (s *process) ready(ctx context.Context) error {
	for i, d := range s.store.Databases() {
		if err := d.Ping(ctx); err != nil {
			return fmt.Errorf("database %d: %w", i+1, err)
		}
	}
	return nil
}

// serve answers requests from all listeners until the part is stopped.
func (s *process) serve(ctx context.Context, name string, h http.Handler, listeners ...net.Listener) {
	share := shareQuick
	if name == "web" {
		share = shareWeb
	}
	// A little less than the part has, so that what is cut off is still reported.
	drain := time.Duration(float64(s.cfg.ShutdownTimeout) * share * 0.9)
	// The end of ctx begins the drain of all parts, in order; it must not end
	// this one out of turn.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, len(listeners))
	for _, ln := range listeners {
		go func() {
			err := web.Serve(serving, ln, name, h, drain, s.con.log)
			if serving.Err() == nil {
				s.failed <- err
			}
			ended <- err
		}()
	}
	s.parts.started(name, share, func(ctx context.Context) error {
		stop()
		var errs []error
		for range listeners {
			select {
			case err := <-ended:
				errs = append(errs, err)
			case <-ctx.Done():
				return errors.Join(append(errs, ctx.Err())...)
			}
		}
		return errors.Join(errs...)
	})
}

// baseURL is the address to print for people: PUBLIC_URL, or this host.
func (s *process) baseURL(address net.Addr) (*url.URL, error) {
	if s.cfg.PublicURL != "" {
		return url.Parse(s.cfg.PublicURL)
	}
	host, err := dialAddress(address.String())
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "http", Host: host}, nil
}

// derive makes a key for one purpose from the installation's secret key, so that
// every process has the same one and none of them is stored.
func derive(secret models.Secret, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, "hongyan "+purpose, keyBytes)
}
