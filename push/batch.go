package push

import "sync"

// Parallel calls f for 0 to n-1, at most limit of them at a time, and returns when
// all have returned. One call needs no goroutine.
func Parallel(n, limit int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(limit, 1))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
