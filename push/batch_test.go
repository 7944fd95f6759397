package push_test

import (
	"sync/atomic"
	"testing"

	"hongyan/push"
)

func TestParallelCallsEachOnceWithinItsLimit(t *testing.T) {
	for _, n := range []int{0, 1, 2, 50} {
		calls := make([]atomic.Int32, n)
		var running, most atomic.Int32
		push.Parallel(n, 3, func(i int) {
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			calls[i].Add(1)
			running.Add(-1)
		})
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Errorf("n %d: call %d was made %d times", n, i, got)
			}
		}
		if most.Load() > 3 {
			t.Errorf("n %d: %d at a time", n, most.Load())
		}
	}
}
