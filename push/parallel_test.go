package push

import "testing"

// A panic in one of several calls is the caller's to deal with, once all have ended.
func TestParallelPanics(t *testing.T) {
	ended := make(chan struct{}, 8)
	defer func() {
		if p := recover(); p != "odd" {
			t.Errorf("recovered %v", p)
		}
		if len(ended) != 7 {
			t.Errorf("%d calls ended", len(ended))
		}
	}()
	Parallel(8, 3, func(i int) {
		if i == 2 {
			panic("odd")
		}
		ended <- struct{}{}
	})
	t.Error("it went on")
}
