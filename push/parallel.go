package push

import (
	"sync"
	"sync/atomic"
)

// Parallel calls f for 0 to n-1, at most limit of them at a time, and returns when
// all have returned. One call needs no goroutine. A panic of f is the caller's, as if
// there were none: it must not end the process.
func Parallel(n, limit int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	var once sync.Once
	var fault any
	call := func(i int) {
		defer func() {
			if p := recover(); p != nil {
				once.Do(func() { fault = p })
			}
		}()
		f(i)
	}
	var next atomic.Int64
	for range min(n, max(limit, 1)) {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				call(i)
			}
		})
	}
	wg.Wait()
	if fault != nil {
		panic(fault)
	}
}
