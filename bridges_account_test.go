package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"hongyan/models"
)

// bridgesFigures are what a run came to.
type bridgesFigures struct {
	acknowledged, arrived, repeated, garbage, silent, lost, limited int
}

func (f bridgesFigures) String() string {
	return fmt.Sprintf("%d messages acknowledged and on %d phones once each, %d repeats and %d requests of garbage among them without effect; %d were not for eyes, %d for people without a phone, %d told to come later",
		f.acknowledged, f.arrived, f.repeated, f.garbage, f.silent, f.lost, f.limited)
}

// account compares, id by id, what was acknowledged with what reached the phones and
// with what is recorded.
func (r *bridgesRun) account(n int, took time.Duration) bridgesFigures {
	r.t.Helper()
	f := bridgesFigures{repeated: int(r.repeated.Load()), garbage: int(r.garbage.Load()), limited: int(r.limited.Load())}
	want := map[int][]string{}
	for i := range n {
		p := r.plan(i)
		if p.repeat || r.acks[i].Load() == 0 {
			continue
		}
		f.lost += p.lost
		if len(p.to) == 0 {
			f.silent++
			continue
		}
		f.acknowledged++
		want[i] = p.to
		f.arrived += len(p.to)
	}
	r.awaitArrivals(f.arrived, 3*took+2*time.Minute)
	recorded := r.recorded()
	wrong := 0
	for i := range n {
		if !r.reached(i, want[i], recorded) {
			if wrong++; wrong > 20 {
				r.t.Fatal("and more")
			}
		}
	}
	for message, e := range recorded {
		if e.state == models.StateAccepted {
			r.t.Errorf("message %s is recorded as accepted and reached no phone", message)
		}
	}
	if r.arrived.refused > 0 || len(r.arrived.odd) > 0 {
		r.t.Errorf("%d pushes were refused, %d carry what nobody sent: %.3v", r.arrived.refused, len(r.arrived.odd), r.arrived.odd)
	}
	if r.arrived.quiet == 0 {
		r.t.Error("no badge was pushed")
	}
	for _, s := range r.sides {
		s.counted()
	}
	least := n * (bridgesGarbage - 2) / 100
	if f.acknowledged < n/3 || f.garbage < least || f.repeated < least {
		r.t.Errorf("the mix is off: %s", f)
	}
	return f
}

// awaitArrivals waits until so many pushes arrived and nothing is left to be sent.
func (r *bridgesRun) awaitArrivals(want int, within time.Duration) {
	r.t.Helper()
	left := -1
	done := func() bool {
		if r.arrived.count() < want {
			return false
		}
		query(r.t, r.database, `SELECT count(*) FROM batches`, one(&left))
		return left == 0
	}
	if !waitFor(within, done) {
		r.t.Errorf("%d of %d pushes arrived within %s, %d batches are left", r.arrived.count(), want, within, left)
	}
}

// recorded returns the ends of all messages that are for eyes, by their ids.
func (r *bridgesRun) recorded() map[string]ended {
	out := map[string]ended{}
	query(r.t, r.database, `SELECT d.message_id, d.state, d.reason, d.vendor_id FROM deliveries d JOIN messages m ON m.id = d.message_id AND m.app_id = d.app_id
		WHERE m.kind = 'alert'`, func(rows *sql.Rows) error {
		var id string
		var e ended
		err := rows.Scan(&id, &e.state, &e.reason, &e.vendorID)
		if _, twice := out[id]; twice {
			r.t.Error("a message has two records")
		}
		out[id] = e
		return err
	})
	return out
}

// reached judges one message, and takes its records off the list.
func (r *bridgesRun) reached(n int, to []string, recorded map[string]ended) bool {
	r.t.Helper()
	got := r.arrived.of(n)
	var tokens []string
	ok := true
	for _, a := range got {
		tokens = append(tokens, a.token)
		e, there := recorded[a.message]
		delete(recorded, a.message)
		if !there || e.state != models.StateAccepted || e.vendorID != a.id {
			r.t.Errorf("message %d arrived and is recorded as %q %q", n, e.state, e.reason)
			ok = false
		}
	}
	to = slices.Clone(to)
	slices.Sort(to)
	slices.Sort(tokens)
	if !slices.Equal(to, tokens) {
		p := r.plan(n)
		r.t.Errorf("message %d (%s) through %s was acknowledged %d times for %d phones and arrived %d times on %d",
			n, p.what, p.side.id, r.acks[n].Load(), len(to), len(tokens), len(slices.Compact(tokens)))
		ok = false
	}
	return ok
}

// counted compares what the IM app's and the plan's counters say with what the answers
// said.
func (s *bridgeSide) counted() {
	r := s.run
	r.t.Helper()
	r.must(r.store.FlushIngest(context.Background()))
	have := map[string]int{}
	query(r.t, r.database, fmt.Sprintf(`SELECT outcome, sum(n) FROM im_app_stats WHERE im_app_id = %d GROUP BY outcome`, s.imApp), func(rows *sql.Rows) error {
		var outcome string
		var n int
		err := rows.Scan(&outcome, &n)
		have[outcome] = n
		return err
	})
	stored, again := int(s.stored.Load()), int(s.again.Load())
	if have[models.IngestAccepted] != stored || have[models.IngestDuplicate]-int(s.twice.Load()) != again {
		r.t.Errorf("%s counts %v, want %d accepted and %d+%d duplicates", s.id, have, stored, again, s.twice.Load())
	}
	if have[models.IngestRefused] != 0 {
		r.t.Errorf("%s refused %d messages that it should have stored", s.id, have[models.IngestRefused])
	}
	now := time.Now()
	st, err := r.store.PlanStats(context.Background(), s.scope, models.StatsFilter{PlanID: s.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
	r.must(err)
	if f := st.Total; int(f.Messages) != stored || int(f.Accepted+f.Skipped) != stored || f.Failed+f.Expired != 0 {
		r.t.Errorf("%s's plan counts %d messages, %d accepted, %d skipped, %d failed; want %d", s.id, f.Messages, f.Accepted, f.Skipped, f.Failed, stored)
	}
}
