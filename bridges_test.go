package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/handlers"
	"hongyan/internal/pgtest"
	"hongyan/sandbox"
)

// Shares of the run, in per cent of its requests.
const (
	bridgesRepeats = 10
	bridgesGarbage = 5
)

// bridgesSeed makes every run ask the same.
const bridgesSeed = 20261124

// bridgesRun is one run of requests through all bridges at once. What request n is
// follows from n alone, so nothing of it is kept but how often it was acknowledged.
type bridgesRun struct {
	*channelsLab
	database string
	client   *http.Client
	began    time.Time
	sides    []*bridgeSide
	arrived  *arrivals

	acks     []atomic.Int32 // by number of the message
	repeated atomic.Int64
	garbage  atomic.Int64
	limited  atomic.Int64 // told to come back later
	slowest  atomic.Int64 // answer, in ns
}

// All bridges at once, over HTTP: every message that was acknowledged reaches each phone
// that it is for, once, whoever repeats it and whatever else comes in; what was refused
// or is not to be pushed reaches nobody; the records say the same.
func TestAllBridges(t *testing.T) {
	if testing.Short() {
		t.Skip("sends thousands of requests")
	}
	t.Parallel()
	n := fromEnv("HONGYAN_REQUESTS", 1000)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "test.db")
			if engine == "postgres" {
				database = pgtest.New(t)
			}
			r := newBridgesRun(t, database, n)
			r.sendAll(n)
			asked := time.Since(r.began)
			f := r.account(n, asked)
			t.Logf("%d requests answered after %s, the slowest after %s: %s", n, asked.Round(time.Second), time.Duration(r.slowest.Load()).Round(time.Millisecond), f)
		})
	}
}

func newBridgesRun(t *testing.T, database string, n int) *bridgesRun {
	t.Helper()
	r := &bridgesRun{database: database, arrived: newArrivals(), acks: make([]atomic.Int32, n)}
	r.channelsLab = newChannelsLabOn(t, database, r.arrived)
	r.cfg.Listen, r.cfg.ShutdownTimeout = "127.0.0.1:0", 30*time.Second
	r.must(r.startWeb(context.Background()))
	r.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	t.Cleanup(r.client.CloseIdleConnections)
	known := emitters()
	for _, b := range handlers.Bridges() {
		e, ok := known[b.ID]
		if !ok {
			t.Fatalf("nobody sends through the bridge %s: add an emitter to emitters()", b.ID)
		}
		r.sides = append(r.sides, r.newSide(b.ID, e))
	}
	r.began = time.Now()
	return r
}

// planned says what request n is.
type planned struct {
	number int // of the message; another than the request's for a repeated one
	emission
	repeat, garbage bool
}

// plan makes request n.
func (r *bridgesRun) plan(n int) planned {
	rng := rand.New(rand.NewPCG(bridgesSeed, uint64(n))) //nolint:gosec // the same in every run
	share := rng.IntN(100)
	side := r.sides[rng.IntN(len(r.sides))]
	switch {
	case share < bridgesGarbage:
		return planned{number: n, emission: side.garbage(n, rng), garbage: true}
	case share < bridgesGarbage+bridgesRepeats:
		back := 1 // at the same moment as the first
		if rng.IntN(2) == 0 {
			back = 1 + rng.IntN(3000)
		}
		for j := n - back; j >= 0; j-- {
			if first := r.first(j); first != nil {
				return planned{number: j, emission: *first, repeat: true}
			}
		}
	}
	return planned{number: n, emission: side.emit(n, rng)}
}

// first returns request n if it is one that its server may send again.
func (r *bridgesRun) first(n int) *emission {
	rng := rand.New(rand.NewPCG(bridgesSeed, uint64(n))) //nolint:gosec // the same in every run
	if rng.IntN(100) < bridgesGarbage+bridgesRepeats {
		return nil
	}
	side := r.sides[rng.IntN(len(r.sides))]
	if side.e.forgets {
		return nil
	}
	if e := side.emit(n, rng); len(e.to) > 0 {
		return &e
	}
	return nil
}

// sendAll sends n requests, in order as far as 64 senders keep it.
func (r *bridgesRun) sendAll(n int) {
	r.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n && !r.t.Failed(); i = int(next.Add(1) - 1) {
				r.ask(r.plan(i))
			}
		})
	}
	wg.Wait()
	if r.t.Failed() {
		r.logs.mu.Lock()
		defer r.logs.mu.Unlock()
		faults := slices.DeleteFunc(strings.Split(r.logs.b.String(), "\n"), func(line string) bool { return !strings.Contains(line, "level=ERROR") })
		r.t.Fatalf("%d faults were logged: %q", len(faults), faults[:min(len(faults), 3)])
	}
}

// ask sends one request and judges its answer.
func (r *bridgesRun) ask(p planned) {
	a, err := r.send(&p.emission)
	if err != nil {
		r.t.Errorf("message %d through %s was not answered: %v", p.number, p.side.id, err)
		return
	}
	took := int64(a.took)
	for old := r.slowest.Load(); took > old && !r.slowest.CompareAndSwap(old, took); old = r.slowest.Load() {
		continue
	}
	if a.status >= http.StatusInternalServerError || !a.readable() {
		r.t.Errorf("message %d (%s) through %s was answered %d: %.200s", p.number, p.what, p.side.id, a.status, a.body)
		return
	}
	if a.status == http.StatusTooManyRequests {
		r.limited.Add(1)
		return
	}
	switch {
	case p.garbage:
		r.garbage.Add(1)
	case p.repeat:
		r.repeated.Add(1)
	}
	if p.taken(a) != !p.refused {
		r.t.Errorf("message %d (%s) through %s was answered %d: %.300s", p.number, p.what, p.side.id, a.status, a.body)
		return
	}
	if p.refused {
		return
	}
	if r.acks[p.number].Add(1) == 1 {
		p.side.stored.Add(int64(len(p.to) + p.lost))
	} else {
		p.side.again.Add(int64(len(p.to) + p.lost))
	}
}

// answered is what an IM server gets back.
type answered struct {
	status int
	body   []byte
	took   time.Duration
}

// readable reports whether the answer is in its protocol: JSON, an IQ, or none.
func (a answered) readable() bool {
	return a.status == http.StatusCreated || json.Valid(a.body) || bytes.HasPrefix(a.body, []byte("<iq "))
}

func (a answered) object() map[string]any {
	var m map[string]any
	_ = json.Unmarshal(a.body, &m) // an answer of another form has no fields
	return m
}

func (r *bridgesRun) send(e *emission) (answered, error) {
	began := time.Now()
	q, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.ownAddress()+e.path, bytes.NewReader(e.body))
	if err != nil {
		return answered{}, err
	}
	q.Header.Set("Content-Type", "application/json")
	for k, v := range e.header {
		q.Header.Set(k, v)
	}
	resp, err := r.client.Do(q)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, body, time.Since(began)}, err
}

// arrival of a message at one phone.
type phoneArrival struct{ token, message, id string }

// arrivals is a recorder of what reached phones, by the number in the text.
type arrivals struct {
	marker, message *regexp.Regexp

	mu      sync.Mutex
	by      map[int][]phoneArrival
	total   int
	quiet   int // badge alone
	refused int
	odd     []string
}

func newArrivals() *arrivals {
	return &arrivals{by: map[int][]phoneArrival{}, marker: regexp.MustCompile(`number(\d+)end`), message: regexp.MustCompile(`"hy_mid":"([^"]+)"`)}
}

// Record implements sandbox.Recorder.
func (a *arrivals) Record(_ context.Context, got sandbox.Received) {
	number, message := a.marker.FindSubmatch(got.Payload), a.message.FindSubmatch(got.Payload)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case got.Reason != "":
		a.refused++
	case number != nil && message != nil:
		n, _ := strconv.Atoi(string(number[1])) // digits
		a.by[n] = append(a.by[n], phoneArrival{got.Token, string(message[1]), got.ID})
		a.total++
	case number == nil && !bytes.Contains(got.Payload, []byte(`"alert"`)):
		a.quiet++
	default:
		a.odd = append(a.odd, fmt.Sprintf("%.300s", got.Payload))
	}
}

func (a *arrivals) of(n int) []phoneArrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.by[n])
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}
