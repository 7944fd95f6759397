package push

import "context"

// Slots bounds how many requests through one credential are under way at once, over
// all its Sends, where a vendor takes one target per request. As many connections
// are kept, so that none is opened for one request and thrown away.
type Slots chan struct{}

// NewSlots returns n places.
func NewSlots(n int) Slots { return make(Slots, max(n, 1)) }

// Take waits for a place; false when ctx ended first. Who got one gives it back with
// Leave.
func (s Slots) Take(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Leave gives a place back.
func (s Slots) Leave() { <-s }

// One calls do in a place of its own. Without one before ctx ended nothing was sent.
func (s Slots) One(ctx context.Context, do func() Result) Result {
	if !s.Take(ctx) {
		return *Interrupted(ctx)
	}
	defer s.Leave()
	return do()
}

// Each calls do for every number below n, each call in a place of its own, and returns
// the Results in order. Those that got no place before ctx ended were not sent. A
// panic of do is the caller's.
func (s Slots) Each(ctx context.Context, n int, do func(i int) Result) []Result {
	out := make([]Result, n)
	Parallel(n, cap(s), func(i int) { out[i] = s.One(ctx, func() Result { return do(i) }) })
	return out
}
