package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"hongyan/models"
)

// What the promises of ARCHITECTURE.md allow after a kill.
const (
	resumeWithin = 15 * time.Second
	// unrecorded is how old a send may be whose answer was not recorded yet: the
	// worker records a slow batch's finished part after about a second.
	unrecorded = 5 * time.Second
	// onTheWire is how long after its sender's death a push may still arrive.
	onTheWire = time.Second
)

// Killed at random moments under load, the program loses nothing that it
// acknowledged, repeats only what was in flight, and goes on soon after.
// make soak sets how often and how long.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills the real binary under load for a minute")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			killRounds(t, newInstallation(t, engine, 200), number("HONGYAN_ROUNDS", 5), number("HONGYAN_SECONDS", 3))
		})
	}
}

func killRounds(t *testing.T, in *installation, rounds, seconds int) {
	s := newServer(t, "hongyan", in.env)
	s.start()
	load := startLoad(t, in, 24, s)
	var kills []time.Time
	slowest := time.Duration(0)
	for round := range rounds {
		time.Sleep(time.Duration(rand.Float64() * float64(seconds) * float64(time.Second)))
		s.kill()
		kills = append(kills, time.Now())
		waiting := undelivered(in, load.ids())
		s.start()
		ready := time.Now()
		slowest = max(slowest, awaitFirst(t, in, waiting, ready, round))
	}
	time.Sleep(time.Duration(seconds) * time.Second / 2)
	ids := load.stop()
	awaitAll(t, in, ids, 2*time.Minute)
	s.stop()
	repeats := checkRepeats(t, in, kills)
	checkRecords(t, in, ids)
	t.Logf("%d kills, %d acknowledged, all arrived; %d came again; work of before the kill went on after %s at most", rounds, len(ids), repeats, slowest.Round(time.Millisecond))
	if len(ids) < rounds*50 {
		t.Errorf("only %d messages were acknowledged: there was no load to speak of", len(ids))
	}
}

// undelivered returns the ids that have not arrived yet.
func undelivered(in *installation, ids []string) []string {
	var out []string
	for _, id := range ids {
		if n, _ := in.received.missing([]string{id}); n == 1 {
			out = append(out, id)
		}
	}
	return out
}

// awaitFirst waits for the first message from before the kill to arrive after the
// restart and returns how long that took; nothing may have been waiting.
func awaitFirst(t *testing.T, in *installation, waiting []string, ready time.Time, round int) time.Duration {
	t.Helper()
	if len(waiting) == 0 {
		return 0
	}
	for time.Since(ready) < resumeWithin {
		if n, _ := in.received.missing(waiting); n < len(waiting) {
			return time.Since(ready)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("round %d: none of %d messages from before the kill arrived within %s of the restart", round, len(waiting), resumeWithin)
	return resumeWithin
}

// checkRepeats proves of every message that arrived twice that its first answer
// can not have been recorded: it had come shortly before a kill.
func checkRepeats(t *testing.T, in *installation, kills []time.Time) int {
	t.Helper()
	repeated := in.received.repeated()
	for id, at := range repeated {
		for i := 1; i < len(at); i++ {
			if !inFlight(at[i-1], at[i], kills) {
				t.Errorf("%s arrived at %v: no kill came soon after the %d. time", id, at, i)
			}
		}
	}
	for _, odd := range in.received.odd {
		t.Errorf("odd push: %s", odd)
	}
	return len(repeated)
}

// inFlight reports whether a push that arrived at one moment and again at another
// was on its way, or not recorded yet, when a process was killed in between.
func inFlight(first, again time.Time, kills []time.Time) bool {
	return slices.ContainsFunc(kills, func(k time.Time) bool {
		return again.After(k) && first.After(k.Add(-unrecorded)) && first.Before(k.Add(onTheWire))
	})
}

// checkedRecords is how many messages are looked at one by one.
const checkedRecords = 2000

// checkRecords proves that the console shows what happened: a message has one
// delivery, accepted, and the counters say so of all of them.
func checkRecords(t *testing.T, in *installation, ids []string) {
	t.Helper()
	in.withStore(t, func(ctx context.Context, s *models.Store) {
		app, _, err := s.ScopeForApp(ctx, in.who, in.appID)
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.PlanStats(ctx, app, models.StatsFilter{From: time.Now().AddDate(0, 0, -1), To: time.Now(), Zone: time.UTC, Sandbox: true})
		if err != nil {
			t.Fatal(err)
		}
		if f := st.Total; f.Messages < int64(len(ids)) || f.Accepted != f.Messages || f.Planned != f.Messages {
			t.Errorf("%d were acknowledged, and the counters say %+v", len(ids), f)
		}
		for i := 0; i < len(ids); i += max(1, len(ids)/checkedRecords) {
			id := ids[i]
			m, err := s.MessageByID(ctx, app, id)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if len(m.Deliveries) != 1 || m.Deliveries[0].State != models.StateAccepted {
				t.Fatalf("%s has the records %+v", id, m.Deliveries)
			}
		}
	})
}
