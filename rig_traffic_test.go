package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// posted is one message as the IM server that sent it knows it.
type posted struct {
	id, account string
	through     *server
	first       time.Time // when the request was first sent
	acked       time.Time // zero: never answered
	message     string    // the id it was given
}

// traffic posts messages to servers as an IM server would.
type traffic struct {
	t    *testing.T
	s    *scene
	rate int // messages a second and connection; 0 for as many as it takes

	mu       sync.Mutex
	messages []*posted
	slowest  time.Duration // of an answered request
	refused  int           // answered 503

	stopped chan struct{}
	running sync.WaitGroup
}

// startTraffic posts over so many connections, spread over the servers, until stop.
// Every second connection repeats a request that was not answered, as it was, until
// it is; the others give it up and go on.
func (s *scene) startTraffic(t *testing.T, connections, rate int, servers ...*server) *traffic {
	t.Helper()
	tr := &traffic{t: t, s: s, rate: rate, stopped: make(chan struct{})}
	for i := range connections {
		tr.running.Go(func() { tr.connection(servers[i%len(servers)], i%(2*len(servers)) < len(servers)) })
	}
	t.Cleanup(tr.stop)
	return tr
}

// stop ends the traffic; requests under way are answered first.
func (tr *traffic) stop() {
	select {
	case <-tr.stopped:
	default:
		close(tr.stopped)
	}
	tr.running.Wait()
}

func (tr *traffic) over() bool {
	select {
	case <-tr.stopped:
		return true
	default:
		return false
	}
}

// connection posts one request after another.
func (tr *traffic) connection(to *server, insists bool) {
	client := newClient()
	defer client.CloseIdleConnections()
	for !tr.over() {
		request := tr.request(to)
		for !tr.post(client, to, request) && !tr.over() {
			time.Sleep(time.Duration(5+rand.N(20)) * time.Millisecond)
			if !insists {
				break
			}
		}
		if tr.rate > 0 {
			time.Sleep(time.Duration(len(request)) * time.Second / time.Duration(tr.rate))
		}
	}
}

// newClient returns a client with connections of its own.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 30 * time.Second}
}

// request makes one to four messages for random accounts.
func (tr *traffic) request(to *server) []*posted {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	request := make([]*posted, 1+rand.N(4))
	for i := range request {
		request[i] = &posted{id: fmt.Sprintf("m-%d", tr.s.posts.Add(1)), account: tr.s.accounts[rand.N(len(tr.s.accounts))], through: to, first: time.Now()}
	}
	tr.messages = append(tr.messages, request...)
	return request
}

// post sends a request and reports whether it was acknowledged.
func (tr *traffic) post(client *http.Client, to *server, request []*posted) bool {
	began := time.Now()
	status, answer := tr.s.post(client, to.address, request)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case status == 0:
		return false
	case status == http.StatusServiceUnavailable:
		tr.refused++
		return false
	case status != http.StatusAccepted || len(answer.IDs) != len(request):
		tr.t.Errorf("a good request was answered %d with %d ids", status, len(answer.IDs))
		return true
	}
	now := time.Now()
	tr.slowest = max(tr.slowest, now.Sub(began))
	for i, m := range request {
		m.acked, m.message = now, answer.IDs[i]
	}
	return true
}

// genericReply is the generic bridge's answer.
type genericReply struct {
	IDs                  []string
	Accepted, Duplicates int
}

// post sends messages to the generic bridge; status 0 is no answer.
func (s *scene) post(client *http.Client, address string, request []*posted) (int, genericReply) {
	type message struct {
		ID    string   `json:"id"`
		From  string   `json:"from"`
		To    []string `json:"to"`
		Title string   `json:"title"`
		Body  string   `json:"body"`
	}
	var body []message
	for _, m := range request {
		body = append(body, message{ID: m.id, From: "sender", To: []string{m.account}, Title: "Sender", Body: m.id})
	}
	text, _ := json.Marshal(body) // strings always marshal
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+address+s.ingest, bytes.NewReader(text))
	if err != nil {
		return 0, genericReply{}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, genericReply{}
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	text, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, genericReply{}
	}
	var answer genericReply
	if res.StatusCode == http.StatusAccepted && json.Unmarshal(text, &answer) != nil {
		return 0, genericReply{}
	}
	return res.StatusCode, answer
}

// all returns a copy of every message, in the order in which they were first sent.
func (tr *traffic) all() []posted {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	out := make([]posted, len(tr.messages))
	for i, m := range tr.messages {
		out[i] = *m
	}
	return out
}

// acked returns the messages that were acknowledged so far.
func (tr *traffic) acked() []posted {
	var out []posted
	for _, m := range tr.all() {
		if !m.acked.IsZero() {
			out = append(out, m)
		}
	}
	return out
}

func idsOf(messages []posted) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.id
	}
	return out
}

// awaitAll waits until every acknowledged message has reached its phone.
func (tr *traffic) awaitAll(within time.Duration) {
	tr.t.Helper()
	ids := idsOf(tr.acked())
	if !waitFor(within, func() bool { ids = tr.s.phones.missing(ids); return len(ids) == 0 }) {
		tr.t.Errorf("%d acknowledged messages have not arrived after %s, such as %v", len(ids), within, ids[:min(5, len(ids))])
	}
}

// awaitOne waits for the first of the ids to arrive and returns when that was, by
// the simulator's clock; false when none does in time.
func (tr *traffic) awaitOne(ids []string, within time.Duration) (time.Time, bool) {
	var at time.Time
	ok := waitFor(within, func() bool {
		for _, id := range ids {
			if a := tr.s.phones.of(id); len(a) > 0 && (at.IsZero() || a[0].at.Before(at)) {
				at = a[0].at
			}
		}
		return !at.IsZero()
	})
	return at, ok
}

// repost sends acknowledged messages again, as an IM server does that lost its
// notes, and fails the test unless each is recognised and keeps its id.
func (tr *traffic) repost(to *server, sample int) {
	tr.t.Helper()
	acked := tr.acked()
	if len(acked) == 0 {
		return
	}
	var request []*posted
	seen := map[string]bool{}
	for range sample {
		m := acked[rand.N(len(acked))]
		if !seen[m.id] {
			seen[m.id] = true
			request = append(request, &m)
		}
	}
	client := newClient()
	defer client.CloseIdleConnections()
	status, answer := tr.s.post(client, to.address, request)
	if status != http.StatusAccepted || answer.Accepted != 0 || answer.Duplicates != len(request) || len(answer.IDs) != len(request) {
		tr.t.Errorf("%d messages posted again were answered %d: %+v", len(request), status, answer)
		return
	}
	for i, m := range request {
		if answer.IDs[i] != m.message {
			tr.t.Errorf("%s was %s, posted again it is %s", m.id, m.message, answer.IDs[i])
		}
	}
}
