package push

import "sync"

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
	slots := make(chan struct{}, max(limit, 1))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { fault = p })
				}
				<-slots
			}()
			f(i)
		})
	}
	wg.Wait()
	if fault != nil {
		panic(fault)
	}
}
