package models

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Everything that changes rows of batches, or tallies, locks them in one order, so that renewals,
// records, claims, releases and what makes batches due never lose a deadlock. One that
// is run again and then succeeds counts too: the server knows.
func TestBatchesAreLockedInOneOrder(t *testing.T) {
	dsn := testDSN(t, Postgres)
	s := openTestStore(t, Options{Database: dsn, Now: time.Now})
	lockBatches(t, s)
	must(t, s.StopAccepting(context.Background()))
	must(t, s.Close())
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx) //nolint:errcheck // test
	// A session tells of its deadlocks when it ends, if not before.
	n := 1
	for n > 0 && !t.Failed() {
		must(t, conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n))
	}
	must(t, conn.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n))
	if n > 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// lockBatches changes batches in every way at once.
func lockBatches(t *testing.T, s *Store) {
	t.Helper()
	f, ctx := seed(t, s, nil), context.Background()
	const batches, rounds, credential = 400, 40, 5
	for i := range batches {
		f.accept(t, message(fmt.Sprint(i), "alice"))
	}
	var mu sync.Mutex
	var held []*Batch
	pick := func(n int) (ids []int64, some []*Batch) {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range rand.Perm(len(held))[:min(n, len(held))] {
			ids, some = append(ids, held[i].ID), append(some, held[i])
		}
		return ids, some
	}
	claim := func() error {
		bs, err := s.ClaimDue(ctx, "w", LeaseTime, 50)
		mu.Lock()
		defer mu.Unlock()
		held = append(held, bs...)
		return err
	}
	for range batches / 50 {
		must(t, claim())
	}
	record := func() error {
		_, some := pick(40)
		recs := make([]Recording, len(some))
		for i, b := range some {
			tallies := map[TallyKey]Tally{}
			for hour := range int64(10) {
				tallies[TallyKey{f.app.appID, credential + hour%2, hour}] = Tally{Accepted: 1}
			}
			recs[i] = Recording{Batch: b, Tallies: tallies, Rest: []Rest{{CredentialID: credential, DueAt: s.Now(), Keep: i%3 == 0, Paused: i%3 == 1, Items: b.Items}}}
		}
		kept, _, err := s.Record(ctx, "w", recs)
		mu.Lock()
		defer mu.Unlock()
		for _, k := range kept {
			held = append(held, k...)
		}
		return err
	}
	var all sync.WaitGroup
	for name, change := range map[string]func() error{
		"renew": func() error {
			ids, _ := pick(batches)
			_, err := s.RenewLeases(ctx, "w", ids, LeaseTime)
			return err
		},
		"record": record,
		"claim":  claim,
		"release": func() error {
			ids, _ := pick(60)
			return s.ReleaseBatches(ctx, "w", ids)
		},
		"forget":  func() error { return s.deleteTallies(ctx, f.app.appID, []int64{credential + 1, credential}) },
		"resume":  func() error { _, err := s.ResumeBatches(ctx, credential, true); return err },
		"expired": func() error { _, err := s.makeDue(ctx, s.Now(), "credential_id = ?", credential); return err },
	} {
		for range 2 {
			all.Go(func() {
				for range rounds {
					if err := change(); err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}
