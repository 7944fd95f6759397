package main

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// startRecorded starts the simulators of all vendors with a recorder of the test's.
func (l *channelsLab) startRecorded(received sandbox.Recorder) {
	l.t.Helper()
	l.simulators, l.vendors = map[push.Channel]push.Options{}, map[push.Channel]*sandbox.Simulator{}
	ca, err := sandbox.NewCA(time.Now())
	l.must(err)
	for _, c := range sandbox.Channels() {
		sim, err := sandbox.Start(sandbox.Config{Channel: c, Origin: sandbox.WebPushOrigin, CA: ca, Accounts: &ownAccount{process: l.process, channel: c}, Recorder: received})
		l.must(err)
		l.parts.started("simulator of "+string(c), shareQuick, func(context.Context) error { return sim.Close() })
		l.vendors[c] = sim
		l.simulators[c] = push.Options{Endpoint: sim.URL(), RootCAs: ca.PEM()}
	}
	var key sandbox.Key
	l.sandboxKey, key, err = sandboxKey(l.secret)
	l.must(err)
	keys := &sandbox.MemoryKeys{}
	keys.Add(key)
	l.apns, err = sandbox.StartAPNs(sandbox.APNsConfig{CA: ca, Keys: keys, Recorder: apnsRecorder{received}})
	l.must(err)
	l.parts.started("simulator of apns", shareQuick, func(context.Context) error { return l.apns.Close() })
	l.simulators[push.APNs] = push.Options{Endpoint: l.apns.URL(), RootCAs: ca.PEM()}
}

// apnsRecorder names the channel.
type apnsRecorder struct{ sandbox.Recorder }

func (a apnsRecorder) Record(ctx context.Context, r sandbox.Received) {
	r.Channel = push.APNs
	a.Recorder.Record(ctx, r)
}

// simulated is what the tests do to any vendor's simulator.
type simulated interface {
	Set(set sandbox.Settings) error
	SetToken(token string, st sandbox.TokenState) error
	Freeze(on bool)
}

func (l *channelsLab) vendor(c push.Channel) simulated {
	if c == push.APNs {
		return l.apns
	}
	return l.vendors[c]
}

// tally is a recorder that counts, for each message by the number in its text, what
// its vendor accepted and refused.
type tally struct {
	marker *regexp.Regexp

	mu       sync.Mutex
	accepted map[int][]string // the vendor's ids
	refused  map[int][]string // the reasons
	last     map[int]time.Time
	odd      int // pushes without a number
}

func newTally() *tally {
	return &tally{marker: regexp.MustCompile(`number(\d+)end`), accepted: map[int][]string{}, refused: map[int][]string{}, last: map[int]time.Time{}}
}

// Record implements sandbox.Recorder.
func (y *tally) Record(_ context.Context, r sandbox.Received) {
	found := y.marker.FindSubmatch(r.Payload)
	y.mu.Lock()
	defer y.mu.Unlock()
	if found == nil {
		if r.Reason == "" { // of a refused request not every vendor has read the body
			y.odd++
		}
		return
	}
	n, _ := strconv.Atoi(string(found[1])) // digits
	if r.Reason != "" {
		y.refused[n] = append(y.refused[n], r.Reason)
		return
	}
	y.accepted[n] = append(y.accepted[n], r.ID)
	y.last[n] = r.At
}

// got returns the ids under which a message was accepted.
func (y *tally) got(n int) []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.Clone(y.accepted[n])
}

// times returns when each of the messages from a number on was accepted, in order.
func (y *tally) times(from int) []time.Time {
	y.mu.Lock()
	defer y.mu.Unlock()
	var out []time.Time
	for n, at := range y.last {
		if n >= from {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// phone is a device and its one user.
type phone struct {
	account, token string
	dead           bool
}

// phones registers so many phones, the first of them with dead tokens.
func (a *channelApp) phones(alive, dead int) (living, dying []phone) {
	a.t.Helper()
	all := make([]phone, alive+dead)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < len(all) && !a.t.Failed(); i = int(next.Add(1) - 1) {
				all[i].account, all[i].token = a.device()
				all[i].dead = i < dead
			}
		})
	}
	wg.Wait()
	for _, p := range all[:dead] {
		a.must(a.l.vendor(a.channel).SetToken(p.token, sandbox.TokenState{Reason: sandbox.Faults(a.channel).Token}))
	}
	return all[dead:], all[:dead]
}

// number accepts a message with a number in its text.
func (a *channelApp) number(st *models.Store, n int, account string) (string, error) {
	in := a.ingest
	if st != a.l.store { // it belongs to the store that gave it
		var err error
		if in, err = st.IngestBySecret(context.Background(), a.secret); err != nil {
			return "", err
		}
	}
	got, err := st.Accept(context.Background(), in, []models.Incoming{{
		SourceID: fmt.Sprint(n), Account: account, Sender: "bob", Conversation: fmt.Sprint("c", n),
		Content: models.Content{Title: "title-of-bob", Body: fmt.Sprintf("body-of-bob number%dend", n)},
	}})
	if err != nil {
		return "", err
	}
	return got.IDs[0], nil
}

// ended is what the record says of a message.
type ended struct {
	state, reason, vendorID string
	throttled               bool // some attempt was
}

// query runs a query on a database beside the program.
func query(t *testing.T, database, q string, row func(rows *sql.Rows) error) {
	t.Helper()
	driver, dsn := "pgx", database
	if !strings.HasPrefix(database, "postgres") {
		driver, dsn = "sqlite", "file:"+database+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	rows, err := db.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // read to its end
	for rows.Next() {
		if err := row(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// one reads a single number.
func one(n *int) func(rows *sql.Rows) error {
	return func(rows *sql.Rows) error { return rows.Scan(n) }
}

// records returns what is recorded of every message, by its id. A message of one
// phone has one record.
func records(t *testing.T, database string) map[string]ended {
	t.Helper()
	out := map[string]ended{}
	query(t, database, `SELECT message_id, state, reason, vendor_id FROM deliveries`, func(rows *sql.Rows) error {
		var id string
		var e ended
		err := rows.Scan(&id, &e.state, &e.reason, &e.vendorID)
		if _, twice := out[id]; twice {
			t.Error("a message has two records")
		}
		out[id] = e
		return err
	})
	query(t, database, `SELECT message_id FROM attempts WHERE outcome = 'throttled'`, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		e := out[id]
		e.throttled = true
		out[id] = e
		return err
	})
	return out
}
