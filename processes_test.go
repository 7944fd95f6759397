package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Two processes work on one Postgres. While the vendor stands still for longer than
// a lease and than a send's own limit, nothing is lost and nothing is sent twice but
// what had no answer; and when one process is killed the other takes over.
func TestTwoProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("freezes the vendor and kills processes for a minute")
	}
	t.Parallel()
	s := newScene(t, "postgres", 200)
	w := newWitness(s)
	pair := []*server{s.newServer(t, "one", nil), s.newServer(t, "two", nil)}
	for _, srv := range pair {
		srv.start()
	}
	freezeRound(t, w, pair, time.Duration(fromEnv("HONGYAN_FREEZE", 15))*time.Second)

	const slow = 200 * time.Millisecond // so that there is always something in flight
	s.phones.order("latency " + slow.String())
	tr := s.startTraffic(t, 16, 50, pair...)
	var resumed []time.Duration
	rounds := fromEnv("HONGYAN_ROUNDS", 2)
	for round := range rounds {
		time.Sleep(500*time.Millisecond + rand.N(time.Duration(fromEnv("HONGYAN_SECONDS", 3))*time.Second))
		dead, alive := pair[round%2], pair[1-round%2]
		w.kill(t, dead, slow)
		if left := s.phones.missing(idsOf(through(tr.acked(), dead))); len(left) > 0 {
			resumed = append(resumed, takeover(t, tr, w, left))
		}
		tr.repost(alive, 20)
		dead.start()
	}
	tr.stop()
	tr.awaitAll(time.Minute)
	s.awaitIdle(t)
	for _, srv := range pair {
		srv.now.stop()
	}
	t.Logf("%d kills: %s; the other took over after %s", len(w.kills), w.check(t, tr), spread(resumed))
	w.checkRecords(t, tr)
	if len(resumed) == 0 {
		t.Error("no process left anything to take over")
	}
}

// takeover waits until the other process sends what a dead one had left, and returns
// how long that took from its death.
func takeover(t *testing.T, tr *traffic, w *witness, left []string) time.Duration {
	t.Helper()
	died := w.kills[len(w.kills)-1].at
	at, ok := tr.awaitOne(left, resumeWithin)
	if !ok || at.Sub(died) > resumeWithin {
		t.Errorf("the first of %d messages that a dead process had left was taken over after %s (%t), want at most %s", len(left), at.Sub(died), ok, resumeWithin)
		return resumeWithin
	}
	return at.Sub(died)
}

// through returns the messages that one server acknowledged.
func through(messages []posted, srv *server) []posted {
	var out []posted
	for _, m := range messages {
		if m.through == srv {
			out = append(out, m)
		}
	}
	return out
}

// freezeRound has the vendor stand still under load. Afterwards every message that
// came more than once has no earlier answer that a process saw: each arrival but the
// last is an attempt that ended without one.
func freezeRound(t *testing.T, w *witness, pair []*server, length time.Duration) {
	t.Helper()
	s := w.s
	s.phones.order("latency 20ms")
	tr := s.startTraffic(t, 16, 20, pair...)
	time.Sleep(2 * time.Second)
	s.phones.order("freeze")
	froze := time.Now()
	time.Sleep(length)
	during := 0
	for _, m := range tr.acked() {
		if m.acked.After(froze) {
			during++
		}
	}
	s.phones.order("thaw")
	thawed := time.Now()
	time.Sleep(2 * time.Second)
	tr.stop()
	tr.awaitAll(90 * time.Second)
	repeated := 0
	s.awaitIdle(t)
	s.live(t, func(db *sql.DB) error {
		for _, m := range tr.acked() {
			arrivals := s.phones.of(m.id)
			if len(arrivals) < 2 {
				continue
			}
			repeated++
			if err := checkUnseen(t, db, m, arrivals); err != nil {
				return err
			}
			if first := arrivals[0].at; first.Before(froze.Add(-time.Second)) {
				t.Errorf("%s arrived %s before the vendor froze, and again after it thawed", m.id, froze.Sub(first))
			}
		}
		return nil
	})
	for _, srv := range pair {
		if n := srv.said.count(saidTakenOver); n > 0 {
			t.Errorf("%s lost %d batches to the other while both were alive", srv.name, n)
		}
	}
	if during == 0 {
		t.Error("nothing was accepted while the vendor stood still")
	}
	f := w.checkArrived(t, tr)
	t.Logf("vendor frozen for %s: %d accepted meanwhile, %s; %d arrived again after their sends had ended without an answer",
		thawed.Sub(froze).Round(time.Second), during, f, repeated)
}

// checkUnseen proves of a message that arrived more than once that every arrival is an
// attempt, and that only the last attempt had an answer.
func checkUnseen(t *testing.T, db *sql.DB, m posted, arrivals []arrival) error {
	t.Helper()
	var tries, answered int
	if err := db.QueryRow(`SELECT attempts FROM deliveries WHERE message_id = $1`, m.message).Scan(&tries); err != nil {
		return fmt.Errorf("%s: %w", m.id, err)
	}
	err := db.QueryRow(`SELECT count(*) FROM attempts WHERE message_id = $1 AND n < $2 AND outcome <> 'retry'`, m.message, tries).Scan(&answered)
	if len(arrivals) > tries || answered > 0 {
		t.Errorf("%s arrived %d times in %d attempts, %d of them before the last with an answer: %+v", m.id, len(arrivals), tries, answered, arrivals)
	}
	return err
}

// awaitIdle waits until no work is left, not even what a dead process still holds.
func (s *scene) awaitIdle(t *testing.T) {
	t.Helper()
	s.live(t, func(db *sql.DB) error {
		var n int
		var err error
		if !waitFor(time.Minute, func() bool {
			err = db.QueryRow(`SELECT count(*) FROM batches`).Scan(&n)
			return err != nil || n == 0
		}) {
			t.Errorf("%d batches are left after a minute", n)
		}
		return err
	})
}

// What a process accepts that only serves, one that only works sends at once.
func TestWebAndWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two processes on Postgres")
	}
	s := newScene(t, "postgres", 20)
	serves := s.newServer(t, "web", map[string]string{"ROLE": "web"})
	works := s.newServer(t, "worker", map[string]string{"ROLE": "worker"})
	serves.start()
	works.start()
	const within = 2 * time.Second
	client := newClient()
	t.Cleanup(client.CloseIdleConnections)
	var took []time.Duration
	for i := range 20 {
		m := &posted{id: fmt.Sprintf("w-%d", i), account: s.accounts[i]}
		if status, _ := s.post(client, serves.address, []*posted{m}); status != 202 {
			t.Fatalf("answered %d", status)
		}
		accepted := time.Now()
		if !waitFor(within+5*time.Second, func() bool { return len(s.phones.of(m.id)) > 0 }) {
			t.Fatalf("%s has not arrived after %s", m.id, within)
		}
		took = append(took, s.phones.of(m.id)[0].at.Sub(accepted))
		if last := took[len(took)-1]; last > within {
			t.Errorf("%s arrived %s after it was accepted, want at most %s", m.id, last, within)
		}
	}
	tr := s.startTraffic(t, 16, 0, serves)
	time.Sleep(time.Second)
	tr.stop()
	tr.awaitAll(time.Minute)
	serves.now.stop()
	works.now.stop()
	w := newWitness(s)
	t.Logf("one at a time: arrived after %s; then %s", spread(took), w.check(t, tr))
}
