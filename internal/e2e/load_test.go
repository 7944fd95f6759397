package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load posts messages as an IM server would that repeats what was not answered.
type load struct {
	in      *installation
	servers []*server
	name    string // makes the message ids of this load its own

	mu    sync.Mutex
	acked []string // message ids of the answers

	next    atomic.Int64
	stopped chan struct{}
	running sync.WaitGroup
}

// startLoad posts from so many connections until stop.
func startLoad(t *testing.T, in *installation, connections int, servers ...*server) *load {
	t.Helper()
	l := &load{in: in, servers: servers, name: strconv.Itoa(rand.Int()), stopped: make(chan struct{})}
	for i := range connections {
		l.running.Go(func() { l.post(t, servers[i%len(servers)]) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// stop ends the load and returns the ids of every acknowledged message.
func (l *load) stop() []string {
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.running.Wait()
	return l.ids()
}

// ids returns the messages acknowledged so far.
func (l *load) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked)
}

// post sends one request after another. One without an answer is repeated as it
// was, to the same server, until it is answered or the load ends.
func (l *load) post(t *testing.T, s *server) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	url := "http://" + s.address + l.in.ingest
	for {
		body := l.body()
		for {
			status, answer := post(context.Background(), client, url, body)
			if status == http.StatusAccepted {
				l.ack(t, answer)
				break
			}
			if status != 0 && status != http.StatusServiceUnavailable {
				t.Errorf("a good request was answered %d: %.300s", status, answer)
				return
			}
			select {
			case <-l.stopped:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		select {
		case <-l.stopped:
			return
		default:
		}
	}
}

// body is one request: one to four messages, each for one of the accounts.
func (l *load) body() string {
	var parts []string
	for range 1 + rand.N(4) {
		n := l.next.Add(1)
		parts = append(parts, fmt.Sprintf(`{"id":"%s-%d","from":{"id":"sender","name":"Sender"},"to":[%q],"body":"message %d"}`,
			l.name, n, l.in.accounts[rand.N(len(l.in.accounts))], n))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (l *load) ack(t *testing.T, answer []byte) {
	var got struct{ IDs []*string }
	if err := json.Unmarshal(answer, &got); err != nil || len(got.IDs) == 0 {
		t.Errorf("answer %s: %v", answer, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range got.IDs {
		if id == nil {
			t.Errorf("a recipient got no message: %s", answer)
			continue
		}
		l.acked = append(l.acked, *id)
	}
}

// awaitAll waits until every message has reached its phone.
func awaitAll(t *testing.T, in *installation, ids []string, within time.Duration) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		n, some := in.received.missing(ids)
		if n == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d of %d acknowledged messages have not arrived after %s, such as %v", n, len(ids), within, some)
		case <-tick.C:
		}
	}
}
