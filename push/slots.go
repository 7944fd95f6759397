package push

import (
	"context"
	"sync"
	"sync/atomic"
)

// Slots bounds how many requests through one credential are under way at once, over
// all its Sends, where a vendor takes one target per request. As many connections
// are kept, so that none is opened for one request and thrown away.
type Slots chan struct{}

// NewSlots returns n places.
func NewSlots(n int) Slots { return make(Slots, max(n, 1)) }

// Each calls do for every number below n, each call in a place of its own, and returns
// the Results in order. Those that got no place before ctx ended were not sent.
func (s Slots) Each(ctx context.Context, n int, do func(i int) Result) []Result {
	out := make([]Result, n)
	one := func(i int) {
		if ctx.Err() != nil {
			out[i] = *Interrupted(ctx)
			return
		}
		select {
		case s <- struct{}{}:
			defer func() { <-s }()
			out[i] = do(i)
		case <-ctx.Done():
			out[i] = *Interrupted(ctx)
		}
	}
	if n == 1 {
		one(0)
		return out
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, cap(s)) {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				one(i)
			}
		})
	}
	wg.Wait()
	return out
}
