package e2e

import (
	"context"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// Two processes share one Postgres while the vendor stands still for longer than
// any lease and any try: neither takes the other's work, and nothing is sent twice
// unless its answer was never seen. Then one is killed and the other takes over.
func TestTwoProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("stands still for 40 s")
	}
	t.Parallel()
	in := newInstallation(t, "postgres", 200)
	a, b := newServer(t, "first", in.env), newServer(t, "second", in.env)
	a.start()
	b.start()
	load := startLoad(t, in, 8, a, b)
	time.Sleep(time.Second)
	in.apns.Freeze(true)
	time.Sleep(2 * time.Second)
	ids := load.stop()
	waiting := len(undelivered(in, ids))
	time.Sleep(time.Duration(number("HONGYAN_FREEZE", 40)) * time.Second)
	in.apns.Freeze(false)
	awaitAll(t, in, ids, 3*time.Minute)
	twice := checkUnseen(t, in, nil)
	t.Logf("%d acknowledged, %d of them while the vendor stood still; all arrived, %d more than once, each because its answer was not seen", len(ids), waiting, twice)

	// A slow vendor, so that much is on its way when the one dies. To one phone
	// there is one push at a time, so the load ends soon.
	if err := in.apns.Set(sandbox.Settings{Latency: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	load = startLoad(t, in, 8, a, b)
	time.Sleep(time.Second)
	a.kill()
	killed := time.Now()
	more := load.stop()
	left := undelivered(in, more)
	awaitAll(t, in, left, resumeWithin)
	took := time.Since(killed)
	b.stop()
	twice = checkUnseen(t, in, []time.Time{killed}) - twice
	t.Logf("one killed with %d of %d messages on their way: the last of them arrived %s later, %d came again", len(left), len(more), took.Round(time.Millisecond), twice)
	checkRecords(t, in, append(ids, more...))
}

// checkUnseen proves of every message that arrived more than once that the extra
// arrivals are tries without an answer, which the records show, or sends in flight
// when a process was killed. It returns how many there are.
func checkUnseen(t *testing.T, in *installation, kills []time.Time) int {
	t.Helper()
	repeated := in.received.repeated()
	in.withStore(t, func(ctx context.Context, s *models.Store) {
		app, _, err := s.ScopeForApp(ctx, in.who, in.appID)
		if err != nil {
			t.Fatal(err)
		}
		for id, at := range repeated {
			m, err := s.MessageByID(ctx, app, id)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			unseen := 0
			for _, try := range m.Attempts {
				if try.Code == push.CodeTimeout || try.Code == push.CodeNetwork {
					unseen++
				}
			}
			for i := 1; i < len(at); i++ {
				if !inFlight(at[i-1], at[i], kills) {
					unseen--
				}
			}
			if unseen < 0 {
				t.Errorf("%s arrived at %v with the tries %+v", id, at, m.Attempts)
			}
		}
	})
	return len(repeated)
}
