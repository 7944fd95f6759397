package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Parts stop last first, each with a deadline, and one that fails or hangs does not
// keep the others from their turn.
func TestPartsStopInReverse(t *testing.T) {
	t.Parallel()
	var order []string
	p := &parts{log: slog.New(slog.DiscardHandler)}
	broken := errors.New("broken")
	p.started("database", 1, func(context.Context) error { order = append(order, "database"); return nil })
	p.started("worker", 0.5, func(context.Context) error { order = append(order, "worker"); return broken })
	p.started("web", 0.1, func(ctx context.Context) error {
		order = append(order, "web")
		<-ctx.Done() // hangs until its deadline
		return ctx.Err()
	})
	begin := time.Now()
	err := p.stopAll(2 * time.Second)
	if diff := cmp.Diff([]string{"web", "worker", "database"}, order); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, broken) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a part with a tenth of the time took %s", took)
	}
}

// cancelOn ends a context when a text is written.
type cancelOn struct {
	text   string
	cancel context.CancelFunc
}

// Write implements io.Writer.
func (c cancelOn) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cancel()
	}
	return len(p), nil
}

// A stop in the middle of the start is a stop and no failure.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(env(map[string]string{"DATA_DIR": t.TempDir(), "LISTEN": "127.0.0.1:0"}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	// Printed before the first-run link is looked for, which needs the database.
	err = run(ctx, cfg, console{out: cancelOn{"listens on", cancel}, log: slog.New(slog.DiscardHandler), ready: func(net.Addr) { t.Error("ready after it was stopped") }})
	if err != nil {
		t.Error(err)
	}
}
