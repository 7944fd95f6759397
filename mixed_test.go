package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// What goes wrong in the mixed run: shares in per cent, and the two channels that
// nothing leaves through for a while.
const (
	mixedDead      = 5
	mixedThrottled = 2
	mixedPaused    = push.Honor
	mixedFrozen    = push.Xiaomi
	// mixedPerDead is how many messages go to each phone whose token is dead.
	mixedPerDead = 4
)

// mixed is one run of messages over all channels.
type mixed struct {
	*channelsLab
	database string
	tally    *tally
	apps     []*channelApp
	alive    map[push.Channel][]phone
	dead     map[push.Channel][]phone
	messages []mixedMessage
}

// mixedMessage is one message as its sender knows it. Its number is its index.
type mixedMessage struct {
	app *channelApp
	to  phone
	id  string // that it was accepted under
}

// Messages go out over all channels at once. Every twentieth phone is gone, vendors
// throttle, one credential is refused and one vendor stands still. In the end every
// message is accounted for by its id: what the vendors accepted is what is recorded
// as accepted, once each, and the counters say the same.
func TestAllChannels(t *testing.T) {
	if testing.Short() {
		t.Skip("sends thousands of messages over ten channels")
	}
	t.Parallel()
	n := fromEnv("HONGYAN_MESSAGES", 2000)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "test.db")
			if engine == "postgres" {
				database = pgtest.New(t)
			}
			m := newMixed(t, database, n)
			began := time.Now()
			m.acceptAll()
			accepted := time.Since(began)
			m.awaitHealthy(time.Duration(n)*20*time.Millisecond + 2*time.Minute)
			healthy := time.Since(began)
			m.repair()
			m.awaitAll(time.Duration(n)*10*time.Millisecond + 2*time.Minute)
			f := m.account()
			t.Logf("%d messages accepted after %s; the healthy channels had ended after %s, everything %s after the repair; %s",
				n, accepted.Round(time.Second), healthy.Round(time.Second), (time.Since(began) - healthy).Round(time.Second), f)
		})
	}
}

func newMixed(t *testing.T, database string, n int) *mixed {
	t.Helper()
	m := &mixed{database: database, tally: newTally(), alive: map[push.Channel][]phone{}, dead: map[push.Channel][]phone{}}
	m.channelsLab = newChannelsLabOn(t, database, m.tally)
	all := registry.All()
	if len(all) != len(m.simulators) {
		t.Fatalf("%d channels and %d simulators", len(all), len(m.simulators))
	}
	each := n / len(all)
	for _, spec := range all {
		a := m.app(t, spec.Channel)
		c := spec.Channel
		dead := max(each*mixedDead/100/mixedPerDead, 1)
		m.alive[c], m.dead[c] = a.phones(min(max(each/10, 20), 200), dead)
		m.apps = append(m.apps, a)
		if c != mixedFrozen { // it would say so only when it answers again
			m.must(m.vendor(c).Set(sandbox.Settings{
				Mix: map[string]float64{sandbox.Faults(c).Throttled: mixedThrottled}, RetryAfter: time.Second,
			}))
		}
	}
	for i := range n {
		a := m.apps[i%len(m.apps)]
		k, c := i/len(m.apps), a.channel
		to := m.alive[c][k%len(m.alive[c])]
		if k%(100/mixedDead) == 0 {
			to = m.dead[c][k/(100/mixedDead)%len(m.dead[c])]
		}
		m.messages = append(m.messages, mixedMessage{app: a, to: to})
	}
	m.breakTwo()
	return m
}

func (m *mixed) of(c push.Channel) *channelApp {
	return m.apps[slices.IndexFunc(m.apps, func(a *channelApp) bool { return a.channel == c })]
}

// breakTwo has one vendor refuse our key and another one stand still.
func (m *mixed) breakTwo() {
	m.of(mixedPaused).save(func(in *models.CredentialInput) {
		in.Fields = maps.Clone(in.Fields)
		in.Fields["client_secret"] = strings.Repeat("0f", 16)
	})
	m.vendor(mixedFrozen).Freeze(true)
}

// repair enters the right key and lets the vendor answer again.
func (m *mixed) repair() {
	m.of(mixedPaused).renew()
	m.vendor(mixedFrozen).Freeze(false)
}

// acceptAll accepts every message, in order of their numbers as far as the callers
// keep it.
func (m *mixed) acceptAll() {
	m.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < len(m.messages); i = int(next.Add(1) - 1) {
				id, err := m.messages[i].app.number(m.store, i, m.messages[i].to.account)
				if err != nil {
					m.t.Errorf("message %d was not accepted: %v", i, err)
					return
				}
				m.messages[i].id = id
			}
		})
	}
	wg.Wait()
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// awaitHealthy waits until every message of the other channels has its end, while
// the two stand still.
func (m *mixed) awaitHealthy(within time.Duration) {
	m.t.Helper()
	m.await(within, func(c push.Channel) bool { return c != mixedPaused && c != mixedFrozen })
	have := records(m.t, m.database)
	for i, x := range m.messages {
		switch e := have[x.id]; x.app.channel {
		case mixedPaused, mixedFrozen:
			if len(m.tally.got(i)) > 0 || e.state == models.StateAccepted {
				m.t.Fatalf("message %d left over %s", i, x.app.channel)
			}
			if e.state != "" && e.state != models.StatePending {
				m.t.Errorf("message %d over %s is %s %s before the repair", i, x.app.channel, e.state, e.reason)
			}
			if x.app.channel == mixedPaused && (e.state != models.StatePending || e.reason != models.ReasonPaused) {
				m.t.Errorf("message %d of the paused credential is %s %s", i, e.state, e.reason)
			}
		}
	}
}

// awaitAll waits until every message has its end.
func (m *mixed) awaitAll(within time.Duration) {
	m.t.Helper()
	m.await(within, func(push.Channel) bool { return true })
}

func (m *mixed) await(within time.Duration, which func(push.Channel) bool) {
	m.t.Helper()
	var in []string
	want := 0
	for _, a := range m.apps {
		if which(a.channel) {
			in = append(in, fmt.Sprint(a.app))
		}
	}
	for _, x := range m.messages {
		if which(x.app.channel) {
			want++
		}
	}
	have := 0
	done := func() bool {
		query(m.t, m.database, `SELECT count(*) FROM deliveries WHERE state <> 'pending' AND app_id IN (`+strings.Join(in, ",")+`)`,
			func(rows *sql.Rows) error { return rows.Scan(&have) })
		if have < want {
			<-time.After(200 * time.Millisecond) // the count is not free
		}
		return have >= want
	}
	if !waitFor(within, done) {
		m.t.Fatalf("%d of %d messages have their end after %s", have, want, within)
	}
}

// mixedFigures are what a run came to.
type mixedFigures struct{ accepted, failed, skipped, throttled, repeated int }

func (f mixedFigures) String() string {
	return fmt.Sprintf("%d accepted by their vendors, %d failed and %d skipped for dead tokens, %d throttled first, %d accepted again after a silence",
		f.accepted, f.failed, f.skipped, f.throttled, f.repeated)
}

// account compares, id by id, what the vendors have with what is recorded.
func (m *mixed) account() mixedFigures {
	m.t.Helper()
	var f mixedFigures
	have := records(m.t, m.database)
	if len(have) != len(m.messages) {
		m.t.Errorf("%d messages are recorded, %d were accepted", len(have), len(m.messages))
	}
	byApp := map[*channelApp]*mixedFigures{}
	refusedDead := map[string]bool{}
	for i, x := range m.messages {
		e, got := have[x.id], m.tally.got(i)
		g := byApp[x.app]
		if g == nil {
			g = &mixedFigures{}
			byApp[x.app] = g
		}
		if e.throttled {
			f.throttled++
		}
		switch {
		case e.state == models.StateAccepted && !x.to.dead:
			g.accepted++
			m.once(i, x, e, got, &f)
		case e.state == models.StateFailed && e.reason == models.ReasonBadToken && x.to.dead && len(got) == 0:
			g.failed++
			refusedDead[x.to.account] = true
		case e.state == models.StateSkipped && (e.reason == models.ReasonNoRoute || e.reason == models.ReasonNoDevice) && x.to.dead && len(got) == 0:
			g.skipped++
		default:
			m.t.Errorf("message %d over %s is %q %q, its phone is dead: %t, its vendor accepted it %d times", i, x.app.channel, e.state, e.reason, x.to.dead, len(got))
		}
	}
	for a, g := range byApp {
		m.counted(a, g)
		f.accepted, f.failed, f.skipped = f.accepted+g.accepted, f.failed+g.failed, f.skipped+g.skipped
	}
	m.retired(refusedDead)
	m.quiet()
	if f.throttled == 0 {
		m.t.Error("nothing was throttled")
	}
	if m.tally.odd > 0 {
		m.t.Errorf("%d pushes carried no message of ours", m.tally.odd)
	}
	return f
}

// once judges a message that is recorded as accepted: its vendor has it, under the
// id that is recorded, and once, unless the vendor did not answer for a while.
func (m *mixed) once(i int, x mixedMessage, e ended, got []string, f *mixedFigures) {
	m.t.Helper()
	if len(got) == 0 || e.vendorID == "" || !slices.ContainsFunc(got, func(id string) bool { return strings.Contains(e.vendorID, id) }) {
		m.t.Errorf("message %d over %s: its vendor accepted it %d times, not under the recorded id", i, x.app.channel, len(got))
	}
	if len(got) > 1 {
		f.repeated++
		if x.app.channel != mixedFrozen {
			m.t.Errorf("message %d over %s was accepted %d times", i, x.app.channel, len(got))
		}
	}
}

// counted compares an app's counters with its records.
func (m *mixed) counted(a *channelApp, g *mixedFigures) {
	m.t.Helper()
	now := time.Now()
	st, err := m.store.PlanStats(context.Background(), a.scope, models.StatsFilter{PlanID: a.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
	m.must(err)
	want := models.Funnel{
		Messages: int64(g.accepted + g.failed + g.skipped), Planned: int64(g.accepted + g.failed),
		Accepted: int64(g.accepted), Failed: int64(g.failed), Skipped: int64(g.skipped),
	}
	have := st.Total
	have.FailedBy, have.SkippedBy = nil, nil
	if have.Messages != want.Messages || have.Planned != want.Planned || have.Accepted != want.Accepted ||
		have.Failed != want.Failed || have.Skipped != want.Skipped || have.Expired != 0 {
		m.t.Errorf("%s counts %+v, want %+v", a.channel, have, want)
	}
	if a.channel == mixedPaused {
		return // other keys, whose figures began anew
	}
	accepted := 0
	query(m.t, m.database, fmt.Sprintf(`SELECT coalesce(sum(accepted), 0) FROM credential_tallies WHERE app_id = %d`, a.app), one(&accepted))
	if accepted != g.accepted {
		m.t.Errorf("%s: %d accepted by the credential's tallies, want %d", a.channel, accepted, g.accepted)
	}
}

// retired looks that the dead tokens, and no others, are retired.
func (m *mixed) retired(refused map[string]bool) {
	m.t.Helper()
	dead := 0
	for _, phones := range m.dead {
		for _, p := range phones {
			dead++
			if !refused[p.account] {
				m.t.Error("a dead token was never refused")
			}
		}
	}
	var n int
	query(m.t, m.database, `SELECT count(*) FROM routes WHERE retired_at IS NOT NULL`, func(rows *sql.Rows) error { return rows.Scan(&n) })
	if n != dead {
		m.t.Errorf("%d tokens are retired, %d are dead", n, dead)
	}
}

// quiet looks that no secret, token or text is in what the console shows of an end or
// of a refused credential. The logs are looked through when the lab closes.
func (m *mixed) quiet() {
	m.t.Helper()
	said := 0
	query(m.t, m.database, `SELECT detail FROM deliveries WHERE detail <> '' UNION SELECT detail FROM attempts WHERE detail <> ''
		UNION SELECT cause_text FROM credentials WHERE cause_text <> ''`, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		said++
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, private := range append(slices.Clone(m.private), "title-of-bob", "body-of-bob") {
			if strings.Contains(text, private) {
				m.t.Error("a record holds a secret, a token or a text") // not which
			}
		}
		return err
	})
	if said == 0 {
		m.t.Error("no record says what a vendor said")
	}
}
