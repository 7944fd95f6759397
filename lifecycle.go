package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// parts is what a process has started, in order. It stops them in reverse: what
// was started last depends on what was started first.
type parts struct {
	log  *slog.Logger
	list []part
}

// part is one started thing. stop must return by the end of its context, which
// comes after share of the whole time at the latest.
type part struct {
	name  string
	share float64
	stop  func(ctx context.Context) error
}

// started notes a part and how it is stopped.
func (p *parts) started(name string, share float64, stop func(ctx context.Context) error) {
	p.list = append(p.list, part{name, share, stop})
}

// stopAll stops every part, last first, within the given time. A part that fails or
// runs late does not keep the others from their turn.
func (p *parts) stopAll(within time.Duration) error {
	// Not the context that ended the process: that one is over.
	whole, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var errs []error
	for _, part := range slices.Backward(p.list) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(whole, time.Duration(float64(within)*part.share))
		err := part.stop(ctx)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
			p.log.Error("stop", "part", part.name, "took", time.Since(begin), "err", err)
			continue
		}
		p.log.Info("stopped", "part", part.name, "took", time.Since(begin))
	}
	p.list = nil
	return errors.Join(errs...)
}
