package models

import (
	"context"
	"slices"
	"sync"
)

// turns says whose turn it is to write on SQLite, where one may at a time: acceptances
// first, because an IM server waits for each, and then who came first. There is one
// committer, so that after each of its transactions somebody else's turn comes. The
// zero value is ready to use.
type turns struct {
	mu     sync.Mutex
	taken  bool
	urgent []chan struct{}
	others []chan struct{}
}

// wait returns when it is the caller's turn, who must end it, or with the error of ctx.
func (w *turns) wait(ctx context.Context, urgent bool) error {
	w.mu.Lock()
	if !w.taken {
		w.taken = true
		w.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	line := &w.others
	if urgent {
		line = &w.urgent
	}
	*line = append(*line, mine)
	w.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(*line, mine)
	if i >= 0 {
		*line = slices.Delete(*line, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 { // it came at the same moment
		w.end()
	}
	return ctx.Err()
}

// end lets the next one write.
func (w *turns) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range []*[]chan struct{}{&w.urgent, &w.others} {
		if len(*line) > 0 {
			next := (*line)[0]
			*line = slices.Delete(*line, 0, 1)
			close(next)
			return
		}
	}
	w.taken = false
}
