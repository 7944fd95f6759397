package main

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"hongyan/models"
)

// witness knows, for every kill, what was recorded when the process was gone.
type witness struct {
	s     *scene
	kills []killed
	// recorded holds, by message, the epoch in which it was found recorded first.
	recorded map[string]int
}

// killed is one kill -9.
type killed struct {
	at    time.Time
	epoch int // that it ended
}

func newWitness(s *scene) *witness { return &witness{s: s, recorded: map[string]int{}} }

// kill kills a server and notes what the database holds then. What another process
// records meanwhile counts as well: it was answered before.
func (w *witness) kill(t *testing.T, srv *server, latency time.Duration) {
	t.Helper()
	at := time.Now()
	srv.now.kill()
	epoch := len(w.kills)
	w.s.onDisk(t, func(db *sql.DB) error {
		// A commit that the database was given lives on for a moment.
		if err := srv.awaitGone(db); err != nil {
			return err
		}
		// Of a long run the last minutes are enough; message ids begin with their time.
		since := fmt.Sprintf("%012x", at.Add(-lookBack).UnixMilli())
		rows, err := db.Query(`SELECT message_id FROM deliveries WHERE state = 'accepted' AND message_id > $1`, since[:8]+"-"+since[8:]+"-7000-8000-000000000000")
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // read to its end
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if _, known := w.recorded[id]; !known {
				w.recorded[id] = epoch
			}
		}
		return rows.Err()
	})
	w.s.phones.next(latency)
	w.kills = append(w.kills, killed{at: at, epoch: epoch})
}

// lookBack is how far back a kill looks for what was recorded.
const lookBack = 3 * time.Minute

// awaitGone waits until the database has done with a server that is dead.
func (s *server) awaitGone(db *sql.DB) error {
	if s.env["DATABASE_URL"] == "" {
		return nil
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var n int
		err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, s.name).Scan(&n)
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d connections of %s, which was killed, are still there", n, s.name)
		}
	}
}

// unrecordedFor is how old an answer may be that was not recorded when its process
// was killed: a batch that is not done has what it has recorded once a second (looked
// at four times a second), and a record may wait for the one before it.
const unrecordedFor = 5 * time.Second

// figures are what a run came to.
type figures struct {
	acked, arrived, unacked, unackedArrived, repeated, mostRepeated int
	oldest                                                          time.Duration // answer that was not recorded
}

func (f figures) String() string {
	if f.unacked == 0 && f.repeated == 0 {
		return fmt.Sprintf("%d acknowledged, all arrived: %t", f.acked, f.acked == f.arrived)
	}
	return fmt.Sprintf("%d acknowledged, all arrived: %t; %d unacknowledged, of which %d arrived; %d repeated, at most %d at one kill, their first answer at most %s before it",
		f.acked, f.acked == f.arrived, f.unacked, f.unackedArrived, f.repeated, f.mostRepeated, f.oldest.Round(time.Millisecond))
}

// check proves of every message, id by id, that it arrived if it was acknowledged,
// under one id, and again only if no record of it was there at the kill: at most
// once for each process that died with it in flight.
func (w *witness) check(t *testing.T, tr *traffic) figures {
	t.Helper()
	var f figures
	again := map[int]int{} // kill → messages that came again after it
	for _, m := range tr.all() {
		arrivals := w.s.phones.of(m.id)
		switch {
		case m.acked.IsZero():
			f.unacked++
			if len(arrivals) > 0 {
				f.unackedArrived++
			}
		default:
			f.acked++
			if len(arrivals) > 0 {
				f.arrived++
			} else {
				t.Errorf("%s (%s) was acknowledged and never arrived", m.id, m.message)
			}
		}
		w.checkOne(t, &f, again, m, arrivals)
	}
	for _, n := range again {
		f.mostRepeated = max(f.mostRepeated, n)
	}
	for _, odd := range w.s.phones.odd {
		t.Errorf("odd push %s", odd)
	}
	return f
}

func (w *witness) checkOne(t *testing.T, f *figures, again map[int]int, m posted, arrivals []arrival) {
	t.Helper()
	for i, a := range arrivals {
		if m.message != "" && a.message != m.message {
			t.Errorf("%s was acknowledged as %s and arrived as %s", m.id, m.message, a.message)
		}
		if first := arrivals[0]; a.message != first.message || a.apnsID != first.apnsID {
			t.Errorf("%s arrived under different ids: %+v", m.id, arrivals)
		}
		if epoch, known := w.recorded[a.message]; known && a.epoch > epoch {
			t.Errorf("%s was recorded before kill %d and sent again after it: %+v", m.id, epoch, arrivals)
		}
		if i == 0 {
			continue
		}
		before := arrivals[i-1]
		if before.epoch == a.epoch {
			t.Errorf("%s arrived twice from the same process: %+v", m.id, arrivals)
			continue
		}
		k := w.kills[before.epoch]
		f.repeated++
		again[k.epoch]++
		f.oldest = max(f.oldest, k.at.Sub(before.at))
		if k.at.Sub(before.at) > unrecordedFor {
			t.Errorf("%s was answered %s before the kill and not recorded", m.id, k.at.Sub(before.at))
		}
	}
}

// checkArrived proves that every acknowledged message arrived, under one id.
func (w *witness) checkArrived(t *testing.T, tr *traffic) figures {
	t.Helper()
	var f figures
	for _, m := range tr.acked() {
		f.acked++
		arrivals := w.s.phones.of(m.id)
		if len(arrivals) > 0 {
			f.arrived++
		}
		for _, a := range arrivals {
			if a.message != m.message || a.apnsID != arrivals[0].apnsID {
				t.Errorf("%s was acknowledged as %s and arrived as %+v", m.id, m.message, arrivals)
			}
		}
	}
	return f
}

// checkOrder proves that the messages of one phone arrived in the order in which they
// were accepted: one that was posted after another was acknowledged came after it. On
// Postgres what a killed process held comes back only when its lease ends, and later
// messages need not wait for that: there it is left out.
func (w *witness) checkOrder(t *testing.T, tr *traffic) {
	t.Helper()
	s := w.s
	type come struct {
		posted
		arrival
	}
	phones := map[string][]come{}
	for _, m := range tr.acked() {
		if a := s.phones.of(m.id); len(a) > 0 && (s.env["DATABASE_URL"] == "" || !w.survived(m.first, a[0].at)) {
			phones[m.account] = append(phones[m.account], come{m, a[0]})
		}
	}
	wrong := 0
	for account, list := range phones {
		slices.SortFunc(list, func(a, b come) int { return a.at.Compare(b.at) })
		// From the last to arrive backwards: nothing before it may have been posted
		// only after it was acknowledged.
		last := list[len(list)-1]
		for _, m := range slices.Backward(list) {
			if m.first.After(last.acked) {
				if wrong++; wrong <= 5 {
					t.Errorf("%s: %s arrived %s before %s, which was acknowledged %s before the other was posted; epochs %d and %d", account,
						m.id, last.at.Sub(m.at), last.id, m.first.Sub(last.acked), m.epoch, last.epoch)
				}
			}
			if m.acked.Before(last.acked) {
				last = m
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d messages arrived before one of the same phone that had been acknowledged before they were posted", wrong)
	}
}

// survived reports whether a process was killed between two moments.
func (w *witness) survived(from, to time.Time) bool {
	return slices.ContainsFunc(w.kills, func(k killed) bool { return k.at.After(from) && k.at.Before(to) })
}

// checkRecords proves of a stopped installation that its tables and its counters say
// what happened: one accepted delivery for each message, each counted once, and no
// work left.
func (w *witness) checkRecords(t *testing.T, tr *traffic) {
	t.Helper()
	w.s.onDisk(t, func(db *sql.DB) error {
		states, err := deliveryStates(db)
		if err != nil {
			return err
		}
		for _, m := range tr.acked() {
			if diff := states[m.message]; len(diff) != 1 || diff[0] != models.StateAccepted {
				t.Errorf("%s (%s) has the deliveries %v, want one that is accepted", m.id, m.message, diff)
			}
		}
		for message, list := range states {
			if len(list) != 1 || list[0] != models.StateAccepted {
				t.Errorf("message %s has the deliveries %v", message, list)
			}
		}
		arrived := w.s.phones.messages()
		for message := range states {
			if !arrived[message] {
				t.Errorf("message %s is recorded as accepted and never arrived", message)
			}
		}
		var messages, batches, counted, planned, accepted, tallied int
		err = cmp.Or(
			db.QueryRow(`SELECT count(*) FROM messages`).Scan(&messages),
			db.QueryRow(`SELECT count(*) FROM batches`).Scan(&batches),
			db.QueryRow(`SELECT coalesce(sum(n), 0) FROM counters WHERE metric = 'messages'`).Scan(&counted),
			db.QueryRow(`SELECT coalesce(sum(n), 0) FROM counters WHERE metric = 'planned'`).Scan(&planned),
			db.QueryRow(`SELECT coalesce(sum(n), 0) FROM counters WHERE metric = 'accepted'`).Scan(&accepted),
			db.QueryRow(`SELECT coalesce(sum(accepted), 0) FROM credential_tallies`).Scan(&tallied),
		)
		if n := len(states); batches != 0 || messages != n || counted != n || planned != n || accepted != n || tallied != n {
			t.Errorf("%d messages, %d of them with deliveries, %d batches left; counted %d messages, %d planned, %d accepted, %d by credentials",
				messages, n, batches, counted, planned, accepted, tallied)
		}
		return err
	})
}

// deliveryStates returns the states of every message's deliveries.
func deliveryStates(db *sql.DB) (map[string][]string, error) {
	rows, err := db.Query(`SELECT message_id, state FROM deliveries`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read to its end
	states := map[string][]string{}
	for rows.Next() {
		var id, state string
		if err := rows.Scan(&id, &state); err != nil {
			return nil, err
		}
		states[id] = append(states[id], state)
	}
	return states, rows.Err()
}
