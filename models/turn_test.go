package models

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Acceptances are first, others in the order in which they came, and who gave up holds
// nobody up.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w turns
		if err := w.wait(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		queue := func(ctx context.Context, name string, urgent bool) {
			go func() {
				if err := w.wait(ctx, urgent); err != nil {
					name = "no " + name
				} else {
					defer w.end()
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		queue(t.Context(), "record", false)
		queue(gone, "claim", false)
		queue(t.Context(), "renew", false)
		queue(t.Context(), "accept", true)
		leave()
		synctest.Wait()
		w.end()
		synctest.Wait()
		if want := []string{"no claim", "accept", "record", "renew"}; !slices.Equal(order, want) {
			t.Errorf("the order is %v, want %v", order, want)
		}
		if w.taken {
			t.Error("nobody writes, and nobody may")
		}
		if err := w.wait(gone, true); err != nil { // free: nobody need wait
			t.Error(err)
		}
		if err := w.wait(gone, true); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting without time: %v", err)
		}
	})
}

// Many who give up at the moment their turn comes leave it to others.
func TestTurnsAtOnce(t *testing.T) {
	t.Parallel()
	var w turns
	var wg sync.WaitGroup
	writing := 0
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			if i%3 == 0 {
				go cancel()
			}
			defer cancel()
			if w.wait(ctx, i%2 == 0) == nil {
				writing++ // the race detector looks
				w.end()
			}
		})
	}
	wg.Wait()
	if w.taken || len(w.urgent)+len(w.others) > 0 || writing < 100 {
		t.Errorf("%d wrote; somebody still waits or writes", writing)
	}
}
