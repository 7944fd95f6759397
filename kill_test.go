package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// resumeWithin is how soon after a start, or after another process died, work goes
// on that was left behind.
const resumeWithin = 15 * time.Second

// Killed with kill -9 at random moments under load, the program loses nothing that it
// acknowledged, sends again only what was in flight, and goes on soon after the next
// start. `make soak` sets how often and for how long.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills the program under load for a minute")
	}
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			killRounds(t, newScene(t, engine, 200), fromEnv("HONGYAN_ROUNDS", 5), time.Duration(fromEnv("HONGYAN_SECONDS", 3))*time.Second)
		})
	}
}

func killRounds(t *testing.T, s *scene, rounds int, length time.Duration) {
	srv, w := s.newServer(t, "hongyan", nil), newWitness(s)
	srv.start()
	// As many as it takes, which on Postgres is more than a small machine sends: there
	// most of it waits on disk, and what a dead process held must not wait behind that.
	tr := s.startTraffic(t, 32, fromEnv("HONGYAN_RATE", 0), srv)
	var resumed []time.Duration
	for round := range rounds {
		time.Sleep(rand.N(length))
		w.kill(t, srv, vendorLatency())
		if rand.N(4) == 0 { // once more, while it starts
			srv.launch()
			time.Sleep(rand.N(time.Second))
			w.kill(t, srv, vendorLatency())
		}
		left := s.phones.missing(idsOf(tr.acked()))
		srv.start()
		tr.repost(srv, 20)
		if len(left) == 0 {
			continue
		}
		at, ok := tr.awaitOne(left, resumeWithin)
		if !ok {
			t.Errorf("round %d: none of %d messages from before the kill arrived within %s of the start", round, len(left), resumeWithin)
			continue
		}
		resumed = append(resumed, at.Sub(srv.began))
		if took := at.Sub(srv.began); took > resumeWithin {
			t.Errorf("round %d: work from before the kill went on %s after the start", round, took)
		}
	}
	time.Sleep(length / 2)
	tr.stop()
	tr.awaitAll(2 * time.Minute)
	s.awaitIdle(t)
	srv.now.stop()
	f := w.check(t, tr)
	w.checkOrder(t, tr)
	w.checkRecords(t, tr)
	t.Logf("%d kills: %s; work went on after %s", len(w.kills), f, spread(resumed))
	if f.acked < rounds*20 || len(resumed) == 0 {
		t.Errorf("%d messages were acknowledged and %d kills left some of them behind: there was no load to speak of", f.acked, len(resumed))
	}
}

// vendorLatency is how long the simulator takes to answer in the next epoch: the
// slower, the more is in flight.
func vendorLatency() time.Duration {
	return []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond}[rand.N(3)]
}

// spread says how durations are spread.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "nothing was left behind"
	}
	least, most, sum := d[0], d[0], time.Duration(0)
	for _, x := range d {
		least, most, sum = min(least, x), max(most, x), sum+x
	}
	round := func(x time.Duration) string { return x.Round(10 * time.Millisecond).String() }
	return round(least) + " to " + round(most) + ", on average " + round(sum/time.Duration(len(d)))
}
