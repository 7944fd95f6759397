package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/handlers"
	"hongyan/xmpp"
)

// XMPP reports whether this process keeps a component connection: where the routes
// are that take what comes over it.
func (c Config) XMPP() bool { return c.XMPPAddr != "" && c.Web() }

// xmppDomain reads a component's domain.
func xmppDomain(c *Config, v string) error {
	if len(v) > 253 || strings.ContainsAny(v, " \t\r\n@/:<>\"'&") {
		return fmt.Errorf("%q is not a domain like push.example.com", v)
	}
	c.XMPPDomain = strings.ToLower(v)
	return nil
}

func (c Config) xmppContradictions() []string {
	if (c.XMPPAddr == "") == (c.XMPPDomain == "") && (c.XMPPAddr == "") == (c.XMPPSecret == "") {
		if host, _, err := net.SplitHostPort(c.XMPPAddr); c.XMPPAddr != "" && (err != nil || host == "") {
			return []string{"XMPP_COMPONENT_ADDR: name the XMPP server's host, such as 127.0.0.1:5347"}
		}
		return nil
	}
	return []string{"XMPP_COMPONENT_ADDR: set it together with XMPP_COMPONENT_DOMAIN and XMPP_COMPONENT_SECRET, or none of them"}
}

// startXMPP lets the component connect. Whether the XMPP server is there does not
// matter to the start: the component goes on trying.
func (s *process) startXMPP() {
	if !s.cfg.XMPP() {
		return
	}
	component := xmpp.Start(xmpp.Config{
		Addr: s.cfg.XMPPAddr, Domain: s.cfg.XMPPDomain, Secret: s.cfg.XMPPSecret.Reveal(), Name: "Hongyan",
		Publish: handlers.PublishXMPP(s.web), Log: s.con.log,
	})
	s.xmpp.Store(component)
	s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hongyan_xmpp_component_connected",
		Help: "1 while this process has the component connection to the XMPP server.",
	}, func() float64 {
		if component.State().Phase == xmpp.Connected {
			return 1
		}
		return 0
	}))
	s.parts.started("XMPP component", shareQuick, component.Stop)
}

// xmppState is how the component stands, for the pages.
func (s *process) xmppState() xmpp.State {
	if c := s.xmpp.Load(); c != nil {
		return c.State()
	}
	return xmpp.State{Domain: s.cfg.XMPPDomain, Addr: s.cfg.XMPPAddr, Phase: xmpp.Connecting, Since: time.Now()}
}

// checkXMPP says whether the XMPP server's port for components answers. It does not
// sign in: that would take the domain from a process that has it.
func checkXMPP(ctx context.Context, f *findings, cfg Config) {
	if cfg.XMPPAddr == "" {
		return
	}
	err := xmpp.Probe(ctx, cfg.XMPPAddr, cfg.XMPPDomain)
	var fault *xmpp.ConnectError
	switch {
	case err == nil:
		f.ok("XMPP", "%s has the component %s; the secret is tried at the start", cfg.XMPPAddr, cfg.XMPPDomain)
	case errors.As(err, &fault) && fault.Word == xmpp.FaultDomain:
		f.fail("XMPP", "%s has no component %s: %v", cfg.XMPPAddr, cfg.XMPPDomain, err)
	default:
		f.fail("XMPP", "%v", err)
	}
}
