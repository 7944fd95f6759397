package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hongyan/alert"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/web"
	"hongyan/worker"
	"hongyan/xmpp"
)

// serveCommand starts everything and runs until the process is told to stop.
func serveCommand(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	dump := f.Bool("dump-config", false, "print the configuration, secrets hidden, and stop")
	if err := call.flags(f, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	if *dump {
		fmt.Fprint(call.out, cfg.Dump())
		return nil
	}
	runtime.GOMAXPROCS(cfg.Processors)
	debug.SetGCPercent(cfg.GCPercent)
	debug.SetMemoryLimit(cfg.MemoryLimit)
	return run(ctx, cfg, console{out: call.out, log: newLogger(cfg, call.err)})
}

// console is where a running process speaks to people, and to the test that
// started it.
type console struct {
	// out gets the few lines meant for a person: the address and the setup link.
	out io.Writer
	log *slog.Logger
	// ready, unless nil, is called once with the address that the server listens
	// on, when everything is up.
	ready func(address net.Addr)
}

// run starts the parts of the process in order, waits until ctx ends or a part
// fails, and stops them in reverse. It is what tests boot, on port 0.
func run(ctx context.Context, cfg Config, con console) error {
	log := con.log
	up := &parts{log: log}
	s := &process{channels: registry.New(), cfg: cfg, con: con, parts: up, failed: make(chan error, 8), metrics: prometheus.NewRegistry()}
	log.Info("start", "version", version(), "role", string(cfg.Role), "sqlite", cfg.SQLite())
	err := s.start(ctx)
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = nil // told to stop while starting: what had started is stopped as ever
		log.Info("told to stop while starting", "within", cfg.ShutdownTimeout)
	case err == nil:
		select {
		case <-ctx.Done():
			log.Info("told to stop", "within", cfg.ShutdownTimeout)
		case err = <-s.failed:
			log.Error("a part failed, stopping", "err", err)
		}
	}
	return errors.Join(err, up.stopAll(cfg.ShutdownTimeout))
}

// process is what run has started so far.
type process struct {
	cfg    Config
	con    console
	parts  *parts
	failed chan error // a part that cannot go on says so here

	store      *models.Store
	secret     models.Secret
	sandboxKey sandbox.KeyFile
	simulators map[push.Channel]push.Options // where they listen
	vendors    map[push.Channel]*sandbox.Simulator
	base       *url.URL               // what links start with
	self       atomic.Pointer[string] // this process's own listener, once it listens
	metrics    *prometheus.Registry
	channels   *registry.Registry
	alerts     *alert.Sender // 告警通知: the upkeep and the test button
	web        *web.Server   // what serves, once it does
	listeners  []net.Listener
	xmpp       atomic.Pointer[xmpp.Component]
}

// start starts every part. After an error the parts that did start are in
// s.parts.
func (s *process) start(ctx context.Context) error {
	if s.cfg.SQLite() {
		unlock, err := lockDataDir(s.cfg.DataDir)
		if err != nil {
			return err
		}
		s.parts.started("data folder lock", shareQuick, func(context.Context) error { return unlock() })
	}
	if err := s.startStore(ctx); err != nil {
		return err
	}
	if err := s.startMetrics(ctx); err != nil {
		return err
	}
	if err := s.startSimulators(s.secret); err != nil {
		return err
	}
	if err := s.startWorker(ctx); err != nil {
		return err
	}
	if err := s.startWeb(ctx); err != nil {
		return err
	}
	s.startXMPP()
	return s.greet(ctx)
}

// Shares of SHUTDOWN_TIMEOUT. Those of the parts that wait for something (XMPP, web,
// certificate, intake, worker) add up to less than one; the others end at once.
const (
	shareWeb    = 0.35 // requests in flight
	shareWorker = 0.45 // sends in flight, then handing back the rest
	shareQuick  = 0.05
)

func (s *process) startStore(ctx context.Context) error {
	store, err := openStore(ctx, s.cfg, s.con.log, true)
	if err != nil {
		return err
	}
	s.store = store
	if s.secret, err = secretKeyOf(s.cfg, false); err != nil {
		return errors.Join(err, store.Close())
	}
	s.alerts, err = alert.New(alert.Options{Store: store, Log: s.con.log, PublicURL: s.cfg.PublicURL, Allow: s.cfg.Outbound})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	s.parts.started("database", shareQuick, func(context.Context) error {
		s.alerts.Close()
		return store.Close()
	})
	return prepareStore(ctx, store, s.cfg.CheckOnly)
}

// deliverAlerts is the upkeep that sends 告警通知, which lie in the control plane.
func (s *process) deliverAlerts() worker.Upkeep {
	return worker.Upkeep{Name: "alerts", Every: alert.Every, AtStart: true, Run: func(ctx context.Context, d *models.DB) error {
		if d != s.store.Databases()[0] {
			return nil
		}
		return s.alerts.Deliver(ctx)
	}}
}

// startWorker starts what sends, and then the intake, which hands fresh messages
// to it. A process that only serves leaves them to the others.
func (s *process) startWorker(ctx context.Context) error {
	if s.cfg.SQLite() {
		s.store.GuardDisk(s.cfg.DataDir, s.cfg.DiskMinFree, nil)
	}
	var hand models.HandOver
	if s.cfg.Works() {
		w := worker.New(worker.Options{
			Store: s.store, Registry: s.channels.Lookup, Sandbox: s.simulator, Log: s.con.log, Metrics: s.metrics, Retention: s.cfg.Retention,
			ReceiptURL: s.receiptURL, Upkeep: []worker.Upkeep{s.deliverAlerts()}, DialControl: push.Guard(s.cfg.Outbound),
		})
		if err := w.Start(ctx); err != nil {
			return err
		}
		s.parts.started("worker", shareWorker, w.Stop)
		hand = w
	}
	s.store.StartAccepting(hand)
	s.parts.started("intake", shareQuick, s.store.StopAccepting)
	return nil
}

// greet says to people that everything is up, and where.
func (s *process) greet(ctx context.Context) error {
	ln, listeners := s.listeners[0], s.listeners
	fmt.Fprintf(s.con.out, "Hongyan %s listens on %s\n", version(), ln.Addr())
	for _, secure := range listeners[1:] {
		fmt.Fprintf(s.con.out, "%s%s\n", saysTLS, secure.Addr())
	}
	if s.cfg.Web() {
		if err := offerSetup(ctx, s.con.out, s.store, s.base.String()); err != nil {
			return err
		}
	}
	if s.con.ready != nil {
		s.con.ready(ln.Addr())
	}
	return nil
}

// startMetrics serves Prometheus metrics on a listener of their own, which must
// not be reachable from outside.
func (s *process) startMetrics(ctx context.Context) error {
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.cfg.MetricsListen == "" {
		return nil
	}
	ln, err := web.Listen(ctx, s.cfg.MetricsListen)
	if err != nil {
		return err
	}
	s.serve(ctx, "metrics", web.MetricsHandler(s.metrics), ln)
	return nil
}
