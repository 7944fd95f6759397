package main

import (
	"sync"
	"testing"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// sharedRate is the credential's rate for both processes together.
const sharedRate = 40

// Two workers with databases, connections and memories of their own share one
// credential through the database: its rate holds for both together, and a quota that
// the vendor tells one of them is used up stops the other as well.
func TestSharedCredential(t *testing.T) {
	if testing.Short() {
		t.Skip("sends at a rate for some seconds")
	}
	t.Parallel()
	database, seen := pgtest.New(t), newTally()
	l := newChannelsLabOn(t, database, seen)
	other := l.open(database)
	l.work(other)
	stores := []*models.Store{l.store, other}
	// Until both know that they are two: a beat every one and a half seconds.
	if !waitFor(20*time.Second, func() bool { return l.workers(database) == 2 }) {
		t.Fatal("the workers do not see each other")
	}
	<-time.After(4 * time.Second)

	a := l.app(t, push.Xiaomi)
	a.save(func(in *models.CredentialInput) { in.Rate = sharedRate })
	phones, _ := a.phones(20, 0)
	const n = 240
	a.numbers(stores, phones, n)
	if !waitFor(time.Minute, func() bool { return len(seen.times(0)) == n }) {
		t.Fatalf("%d of %d messages reached the vendor", len(seen.times(0)), n)
	}
	for i := range n {
		if got := len(seen.got(i)); got != 1 {
			t.Errorf("message %d was accepted %d times", i, got)
		}
	}
	times := seen.times(0)
	took := times[n-1].Sub(times[0])
	if rate := float64(n-1) / took.Seconds(); rate > sharedRate*1.25 || rate < sharedRate*0.6 {
		t.Errorf("both together sent %.0f a second, the credential allows %d", rate, sharedRate)
	}
	for i := range times { // nor more in any second, but for each one's burst
		within := 0
		for _, at := range times[i:] {
			if at.Sub(times[i]) < time.Second {
				within++
			}
		}
		if within > sharedRate*3/2 {
			t.Fatalf("%d within one second", within)
		}
	}
	a.quota(database, stores, phones, seen)
}

// workers is how many processes work on the database by its own record.
func (l *channelsLab) workers(database string) (n int) {
	l.t.Helper()
	query(l.t, database, `SELECT count(*) FROM processes`, one(&n))
	return n
}

// numbers accepts n messages over the stores in turn, with numbers from 0 on.
func (a *channelApp) numbers(stores []*models.Store, phones []phone, n int) {
	a.t.Helper()
	var wg sync.WaitGroup
	for s := range stores {
		wg.Go(func() {
			for i := s; i < n; i += len(stores) {
				if _, err := a.number(stores[s], i, phones[i%len(phones)].account); err != nil {
					a.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// quota has the vendor tell one worker that today's quota is used up.
func (a *channelApp) quota(database string, stores []*models.Store, phones []phone, seen *tally) {
	t, sim := a.t, a.l.vendors[a.channel]
	t.Helper()
	a.must(sim.Set(sandbox.Settings{Mix: map[string]float64{miQuota: 100}}))
	first, err := a.number(stores[0], 1000, phones[0].account)
	a.must(err)
	rests := 0
	if !waitFor(20*time.Second, func() bool {
		query(t, database, `SELECT count(*) FROM credentials WHERE rest_until > now() + interval '1 minute'`, one(&rests))
		return rests == 1
	}) {
		t.Fatal("the credential's rest is not noted for the other process")
	}
	a.must(sim.Set(sandbox.Settings{})) // who asks now is answered yes
	<-time.After(2 * time.Second)       // settings are at most a second old
	asked := sim.Requests()
	ids := []string{first}
	for i, st := range []*models.Store{stores[1], stores[0], stores[1]} {
		id, err := a.number(st, 1001+i, phones[1+i].account)
		a.must(err)
		ids = append(ids, id)
	}
	for _, id := range ids {
		if !waitFor(20*time.Second, func() bool {
			m, err := a.l.store.MessageByID(t.Context(), a.scope, id)
			a.must(err)
			return len(m.Deliveries) == 1 && m.Deliveries[0].State == models.StatePending && m.Deliveries[0].Reason == models.ReasonThrottled
		}) {
			t.Error("a message does not wait for the quota")
		}
	}
	if n := sim.Requests() - asked; n > 0 {
		t.Errorf("%d pushes while the quota was used up", n)
	}
}

// miQuota is Xiaomi's code for a day's quota that is used up.
const miQuota = "200001"
