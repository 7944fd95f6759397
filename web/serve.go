package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of a connection.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute     // of a whole request; bodies are small
	writeTimeout      = 2 * time.Minute // a stream lifts it for itself
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Listen binds a TCP address. Its error says which address, for a person to read.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("web: cannot listen on %q: %w", address, err)
	}
	return ln, nil
}

// Serve answers requests from ln until ctx ends, then stops accepting and gives the
// requests under way the drain time to finish. It closes ln. name is for the log.
func Serve(ctx context.Context, ln net.Listener, name string, h http.Handler, drain time.Duration, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	log.Info("listening", "name", name, "address", ln.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("web: serve %s: %w", name, err)
	case <-ctx.Done():
	}
	// ctx has ended; the requests under way get time of their own.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests cut off at shutdown", "name", name, "after", drain)
		err = srv.Close()
	}
	if err != nil {
		return fmt.Errorf("web: stop %s: %w", name, err)
	}
	log.Info("stopped listening", "name", name)
	return nil
}

// MetricsHandler serves what g gathers, for a listener of its own.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	return mux
}

// healthz says that the process lives.
func (s *Server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// readyz says whether the process can serve; why not stands in the log.
func (s *Server) readyz(c echo.Context) error {
	if s.opts.Ready != nil {
		if err := s.opts.Ready(c.Request().Context()); err != nil {
			s.opts.Log.Warn("not ready", "error", err)
			return c.String(http.StatusServiceUnavailable, "not ready\n")
		}
	}
	return c.String(http.StatusOK, "ready\n")
}
