package main

import (
	"context"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// requests is a recorder that keeps, for each channel, which tokens each request
// brought, by the vendor's id for it.
type requests struct {
	mu sync.Mutex
	m  map[push.Channel]map[string][]string
}

// Record implements sandbox.Recorder.
func (q *requests) Record(_ context.Context, r sandbox.Received) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m[r.Channel] == nil {
		q.m[r.Channel] = map[string][]string{}
	}
	q.m[r.Channel][r.ID] = append(q.m[r.Channel][r.ID], r.Token)
}

// of returns how many requests and targets a channel's simulator saw.
func (q *requests) of(c push.Channel) (requests, targets int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, tokens := range q.m[c] {
		targets += len(tokens)
	}
	return len(q.m[c]), targets
}

// A message to a group of forty is a request or two to a vendor that takes many
// targets, also when one of them is dead, and forty records.
func TestGroupMessages(t *testing.T) {
	t.Parallel()
	seen := &requests{m: map[push.Channel]map[string][]string{}}
	l := newChannelsLabOn(t, t.TempDir()+"/test.db", seen)
	for _, spec := range registry.All() {
		t.Run(string(spec.Channel), func(t *testing.T) {
			a := l.app(t, spec.Channel)
			living, dying := a.phones(39, 1)
			var msgs []models.Incoming
			for _, p := range append(dying, living...) {
				msgs = append(msgs, models.Incoming{
					SourceID: "g1", Account: p.account, Sender: "bob", Conversation: "climbers",
					Content: models.Content{Title: "title-of-bob", Body: "body-of-bob"},
				})
			}
			got, err := l.store.Accept(t.Context(), a.ingest, msgs)
			a.must(err)
			for i, id := range got.IDs {
				want, reason := models.StateAccepted, ""
				if i == 0 {
					want, reason = models.StateFailed, models.ReasonBadToken
				}
				if d := a.settled(id); d.State != want || d.Reason != reason || want == models.StateAccepted && d.VendorID == "" {
					t.Errorf("message %d is %s %s %s", i, d.State, d.Reason, d.Code)
				}
			}
			requests, targets := seen.of(spec.Channel)
			most := 40 // one for each; OPPO has an id for each target of a request
			if spec.Limits.Batch != push.BatchNever && spec.Channel != push.OPPO {
				most = 4 // some vendors refuse all for the one, or are asked again
			}
			if requests > most || targets < 39 {
				t.Errorf("%d requests for %d targets", requests, targets)
			}
		})
	}
}

// What the vendors report of such a request, by the tokens and the one reference that
// it carried, reaches each person's own record.
func TestGroupReceipts(t *testing.T) {
	t.Parallel()
	l := newChannelsLab(t)
	l.cfg.Role, l.cfg.PublicURL, l.base = RoleAll, "http://127.0.0.1", &url.URL{Scheme: "http", Host: "127.0.0.1"}
	server, err := l.newServer()
	l.must(err)
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	l.self.Store(&web.URL)
	for _, spec := range registry.All() {
		if spec.ReceiptSetup == push.ReceiptNone {
			continue
		}
		t.Run(string(spec.Channel), func(t *testing.T) {
			a := l.app(t, spec.Channel)
			living, _ := a.phones(8, 0)
			var msgs []models.Incoming
			for _, p := range living {
				msgs = append(msgs, models.Incoming{
					SourceID: "g1", Account: p.account, Sender: "bob", Conversation: "climbers",
					Content: models.Content{Title: "title-of-bob", Body: "body-of-bob"},
				})
			}
			got, err := l.store.Accept(t.Context(), a.ingest, msgs)
			a.must(err)
			for i, id := range got.IDs {
				if state := a.becomes(id, models.StateArrived); state != models.StateArrived {
					t.Errorf("message %d is %s", i, state)
				}
			}
		})
	}
}

// becomes waits for a message to reach a state, and returns the one that it has.
func (a *channelApp) becomes(id, state string) string {
	a.t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		m, err := a.l.store.MessageByID(context.Background(), a.scope, id)
		a.must(err)
		if len(m.Deliveries) > 0 {
			if got = m.Deliveries[0].State; got == state {
				break
			}
		}
	}
	return got
}

// settled waits for a message's end.
func (a *channelApp) settled(id string) models.Delivery {
	a.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		m, err := a.l.store.MessageByID(context.Background(), a.scope, id)
		a.must(err)
		if len(m.Deliveries) > 0 && m.Deliveries[0].State != models.StatePending {
			return m.Deliveries[0]
		}
		<-time.After(10 * time.Millisecond)
	}
	a.t.Fatal("no end is recorded")
	return models.Delivery{}
}
