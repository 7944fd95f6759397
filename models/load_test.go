package models

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestEverythingAtOnce accepts, claims, records, reports and reads at the same
// time and then counts: nothing lost, nothing twice, no busy database.
func TestEverythingAtOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		const producers, each = 12, 20
		const total = producers * each
		var accepting, working, reading sync.WaitGroup
		for p := range producers {
			accepting.Go(func() {
				for i := range each {
					f.accept(t, message(fmt.Sprint(p, "-", i), fmt.Sprint("user", i)))
				}
			})
		}
		stop := make(chan struct{})
		for range 2 {
			reading.Go(func() { readUntil(t, f, stop) })
		}
		var mu sync.Mutex
		recorded := map[string]int{}
		for w := range 3 {
			working.Go(func() { workUntil(t, f, fmt.Sprint("w", w), dev, &mu, recorded, total) })
		}
		accepting.Wait()
		working.Wait()
		close(stop)
		reading.Wait()
		if len(recorded) != total {
			t.Errorf("recorded %d messages, want %d", len(recorded), total)
		}
		for id, n := range recorded {
			if n != 1 {
				t.Errorf("%s was worked %d times", id, n)
			}
		}
		if n := count(t, s.DB, "batches"); n != 0 {
			t.Errorf("%d batches left", n)
		}
		got := f.funnel(t)
		if got.Messages != total || got.Planned != total || got.Accepted != total || got.Arrived != total || got.Waiting() != 0 {
			t.Errorf("funnel %+v, want %d of each", got, total)
		}
	})
}

// workUntil claims and records batches until total messages are recorded.
func workUntil(t *testing.T, f *fixture, owner string, dev DeviceScope, mu *sync.Mutex, recorded map[string]int, total int) {
	ctx := context.Background()
	for {
		mu.Lock()
		done := len(recorded) == total
		mu.Unlock()
		if done || t.Failed() {
			return
		}
		var recs []Recording
		for _, b := range claimAll(t, f.s.DB, owner) {
			recs = append(recs, settled(b, dev.deviceID, StateAccepted))
		}
		if len(recs) == 0 {
			continue
		}
		if _, lost, err := f.s.Record(ctx, owner, recs); err != nil || len(lost) > 0 {
			t.Errorf("record: lost %v, %v", lost, err)
			return
		}
		var receipts []Receipt
		mu.Lock()
		for _, r := range recs {
			for _, d := range r.Deliveries {
				recorded[d.MessageID]++
				receipts = append(receipts, Receipt{MessageID: d.MessageID, Status: StateArrived})
			}
		}
		mu.Unlock()
		for len(receipts) > 0 {
			n := min(len(receipts), MaxReceipts)
			if _, err := f.s.Report(ctx, dev, receipts[:n]); err != nil {
				t.Errorf("report: %v", err)
			}
			receipts = receipts[n:]
		}
	}
}

// readUntil reads what pages read.
func readUntil(t *testing.T, f *fixture, stop <-chan struct{}) {
	ctx := context.Background()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := f.s.SendRecords(ctx, f.app, RecordFilter{Limit: 20}); err != nil {
			t.Errorf("list: %v", err)
			return
		}
		f.funnel(t)
		if _, err := f.s.Backlog(ctx); err != nil {
			t.Errorf("backlog: %v", err)
			return
		}
	}
}

// TestStopAccepting proves that what was queued before the stop is stored and
// answered, and what comes after is refused.
func TestStopAccepting(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		var mu sync.Mutex
		stored, refused := 0, 0
		var wg sync.WaitGroup
		started := make(chan struct{}, 50)
		for i := range 50 {
			wg.Go(func() {
				for n := 0; ; n++ {
					_, err := s.Accept(ctx, f.in, []Incoming{message(fmt.Sprint(i, "-", n), "alice")})
					mu.Lock()
					if err == nil {
						stored++
					} else {
						refused++
					}
					mu.Unlock()
					if err != nil {
						if KindOf(err) != Unavailable || !errors.Is(err, errNotAccepting) {
							t.Errorf("refused with %v", err)
						}
						return
					}
					if n == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		for range 50 {
			<-started
		}
		if err := s.StopAccepting(ctx); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := count(t, s.DB, "messages"); n != stored || refused != 50 {
			t.Errorf("%d messages stored, %d acknowledged, %d refused", n, stored, refused)
		}
		if err := s.StopAccepting(ctx); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
	})
}

// TestCallerGoesAway proves that a request whose caller left is either stored
// whole or not at all, and that a repeat finds out.
func TestCallerGoesAway(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*100*time.Microsecond)
			msgs := []Incoming{message(fmt.Sprint(i, "a"), "alice"), message(fmt.Sprint(i, "b"), "alice")}
			a, err := s.Accept(ctx, f.in, msgs)
			cancel()
			if err != nil && KindOf(err) != Unavailable {
				t.Errorf("accept: %v", err)
			}
			again := f.accept(t, msgs...)
			if err == nil && (again.New != 0 || again.IDs[0] != a.IDs[0]) {
				t.Errorf("acknowledged %v, the repeat got %+v", a.IDs, again)
			}
			if again.New == 1 {
				t.Errorf("stored by half: %+v", again)
			}
		}
		if n := count(t, s.DB, "messages"); n != 40 {
			t.Errorf("%d messages, want 40", n)
		}
		items := 0
		for _, b := range claimAll(t, s.DB, "w") {
			items += len(b.Items)
		}
		if items != 40 {
			t.Errorf("%d messages batched, want 40", items)
		}
	})
}

// TestCommitFaultIsOurs proves that a panic while storing refuses its requests
// and takes nobody else down.
func TestCommitFaultIsOurs(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		h := &panicky{}
		f := seed(t, s, h)
		_, err := s.Accept(context.Background(), f.in, []Incoming{message("1", "alice")})
		if KindOf(err) != Unavailable {
			t.Errorf("accept: %v", err)
		}
		h.calm = true
		if a := f.accept(t, message("1", "alice")); a.New != 1 {
			t.Errorf("after the panic: %+v", a)
		}
	})
}

type panicky struct{ calm bool }

func (p *panicky) Owner() string { return "w" }

func (p *panicky) Reserve(*DB, int) bool {
	if !p.calm {
		panic("reserve")
	}
	return true
}

func (p *panicky) Take(*DB, *Batch) {}

func (p *panicky) Forget(*DB, int) {}

func (p *panicky) Left(*DB) {}
