package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/sandbox"
)

// payload is what these tests read of a push.
type payload struct {
	APS struct {
		Badge int `json:"badge"`
	} `json:"aps"`
	MessageID string `json:"hy_mid"`
}

func (s *site) received() map[string][]payload {
	s.t.Helper()
	out := map[string][]payload{}
	for _, r := range s.inbox.List() {
		if r.Status != 200 {
			continue
		}
		var p payload
		s.must(json.Unmarshal(r.Payload, &p))
		out[r.Token] = append(out[r.Token], p)
	}
	return out
}

// From acceptance to the record, through the real HTTP/2 and both databases: all
// of it once, in order, counted.
func TestAcceptToRecord(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		const users, each = 20, 30
		tokens := map[string]string{}
		for u := range users {
			_, token := s.device(u, fmt.Sprint("user", u))
			tokens[fmt.Sprint("user", u)] = token
		}
		_, second := s.device(100, "user0") // a second phone
		s.start(s.worker(Options{}))
		var wg sync.WaitGroup
		ids := make([][]string, users)
		for u := range users {
			wg.Go(func() {
				for i := range each {
					ids[u] = append(ids[u], s.accept(fmt.Sprint("user", u), fmt.Sprintf("%d-%d", u, i)))
				}
			})
		}
		wg.Wait()
		nobody := s.accept("nobody", "x")
		want := int64(users*each + each)
		s.eventually(30*time.Second, "everything recorded", func() bool {
			f := s.funnel()
			return f.Accepted == want && f.Skipped == 1
		})
		if f := s.funnel(); f.Planned != want || f.Failed+f.Expired != 0 || f.Messages != users*each+1 {
			t.Errorf("funnel %+v", f)
		}
		got := s.received()
		for u := range users {
			s.inOrder(got[tokens[fmt.Sprint("user", u)]], ids[u])
		}
		s.inOrder(got[second], ids[0])
		if !s.settled(nobody, models.StateSkipped) {
			t.Error("a message to nobody is not skipped")
		}
		d := s.message(ids[3][0]).Deliveries[0]
		if d.State != models.StateAccepted || d.VendorID != strings.ToUpper(targetID(ids[3][0], d.DeviceID)) && d.VendorID != targetID(ids[3][0], d.DeviceID) {
			t.Errorf("delivery %+v", d)
		}
		b, err := s.store.Databases()[0].Backlog(context.Background())
		s.must(err)
		if b.Batches != 0 {
			t.Errorf("backlog %+v", b)
		}
		s.private()
	})
}

// inOrder checks one phone: every message once, in order of acceptance, the badge
// counting up.
func (s *site) inOrder(got []payload, ids []string) {
	s.t.Helper()
	if len(got) != len(ids) {
		s.t.Errorf("%d pushes, want %d", len(got), len(ids))
		return
	}
	for i, p := range got {
		if p.MessageID != ids[i] || p.APS.Badge != i+1 {
			s.t.Errorf("push %d is %+v, want %s", i, p, ids[i])
			return
		}
	}
}

// private checks that nothing of a message or a phone was logged.
func (s *site) private() {
	s.t.Helper()
	log := s.logs.String()
	for _, secret := range []string{"Bob-title", "hello ", fmt.Sprintf("%060x", 0), s.key.KeyID} {
		if strings.Contains(log, secret) {
			s.t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

// wire is one process's connection to a real database, which a test cuts. As a
// type of its own it also keeps a second worker from freeing the first one's
// leases, as starting on SQLite does.
type wire struct {
	*models.DB
	cut atomic.Bool
}

func (c *wire) RenewLeases(ctx context.Context, owner string, ids []int64, lease time.Duration) ([]int64, error) {
	if c.cut.Load() {
		return nil, errFake
	}
	return c.DB.RenewLeases(ctx, owner, ids, lease)
}

func (c *wire) ClaimDue(ctx context.Context, owner string, lease time.Duration, limit int, except ...int64) ([]*models.Batch, error) {
	if c.cut.Load() {
		return nil, errFake
	}
	return c.DB.ClaimDue(ctx, owner, lease, limit, except...)
}

func (c *wire) Record(ctx context.Context, owner string, recs []models.Recording) ([][]*models.Batch, []int64, error) {
	if c.cut.Load() {
		return nil, nil, errFake
	}
	return c.DB.Record(ctx, owner, recs)
}

func (s *site) wired(owner string) (*Worker, *wire) {
	c := &wire{DB: s.store.Databases()[0]}
	o := Options{Owner: owner}
	s.fill(&o)
	w := build(o, s.store, []Database{c})
	w.byDB[s.store.Databases()[0]] = w.lanes[0]
	return w, c
}

// A process that is cut off in the middle of its work loses it to another one:
// everything arrives, what was recorded is not repeated, and nothing is counted
// twice.
func TestTakeOverReal(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		const users, each = 10, 20
		for u := range users {
			s.device(u, fmt.Sprint("user", u))
		}
		s.must(s.sim.Set(sandbox.Settings{Latency: 30 * time.Millisecond}))
		first, wire := s.wired("first")
		s.start(first)
		second, _ := s.wired("second")
		s.must(second.Start(context.Background()))
		t.Cleanup(func() { s.stop(second) })
		s.eventually(10*time.Second, "the first hands over in memory", func() bool { return first.reserve(s.store.Databases()[0], 0) })
		var ids []string
		recorded := map[string]bool{}
		for i := range each {
			for u := range users {
				ids = append(ids, s.accept(fmt.Sprint("user", u), fmt.Sprintf("%d-%d", u, i)))
			}
			if i == each/2 {
				for _, id := range ids {
					recorded[id] = len(s.message(id).Deliveries) > 0
				}
				wire.cut.Store(true)
			}
		}
		s.eventually(15*time.Second, "taken over", func() bool { return s.funnel().Accepted == int64(len(ids)) })
		wire.cut.Store(false)
		s.eventually(10*time.Second, "the first one lets go", func() bool { return first.messages() == 0 })
		if f := s.funnel(); f.Accepted != int64(len(ids)) || f.Planned != int64(len(ids)) {
			t.Errorf("funnel %+v of %d", f, len(ids))
		}
		times := map[string]int{}
		for _, ps := range s.received() {
			for _, p := range ps {
				times[p.MessageID]++
			}
		}
		for _, id := range ids {
			if times[id] == 0 {
				t.Errorf("%s never arrived", id)
			}
			if recorded[id] && times[id] != 1 {
				t.Errorf("%s was recorded and sent %d times", id, times[id])
			}
		}
	})
}

// A key that the vendor revokes is paused with its cause, its messages wait, and
// a new key sends them.
func TestRevokedKey(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		s.device(1, "alice")
		s.start(s.worker(Options{}))
		one := s.accept("alice", "1")
		s.eventually(10*time.Second, "the first message", func() bool { return s.settled(one, models.StateAccepted) })
		s.keys.Remove(s.key.KeyID)
		s.sim.Disconnect()
		two := s.accept("alice", "2")
		s.eventually(10*time.Second, "the message waits", func() bool { return s.settled(two, models.StatePending) })
		if d := s.message(two).Deliveries[0]; d.Reason != models.ReasonPaused || d.Code != "InvalidProviderToken" {
			t.Errorf("delivery %+v", d)
		}
		cs, err := s.store.Credentials(context.Background(), s.who, models.AppOwner(s.appID))
		s.must(err)
		if len(cs) != 1 || cs[0].State != models.CredentialPaused || cs[0].CauseCode != "InvalidProviderToken" {
			t.Errorf("credential %+v", cs)
		}
		s.newKey()
		s.eventually(10*time.Second, "sent with the new key", func() bool { return s.settled(two, models.StateAccepted) })
		s.private()
	})
}

// A token the vendor calls dead is retired with its device.
func TestDeadToken(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		id, token := s.device(1, "alice")
		s.must(s.sim.SetToken(token, sandbox.TokenState{Reason: "Unregistered", Since: time.Now()}))
		s.start(s.worker(Options{}))
		one := s.accept("alice", "1")
		s.eventually(10*time.Second, "the message fails", func() bool { return s.settled(one, models.StateFailed) })
		if d := s.message(one).Deliveries[0]; d.Reason != models.ReasonBadToken || d.Code != "Unregistered" {
			t.Errorf("delivery %+v", d)
		}
		d, err := s.store.DeviceByID(context.Background(), s.scope, id)
		s.must(err)
		if d.Device.RetiredAt == nil || d.Device.RetiredCode != "Unregistered" {
			t.Errorf("device %+v", d.Device)
		}
		two := s.accept("alice", "2")
		s.eventually(10*time.Second, "no device is left", func() bool { return s.settled(two, models.StateSkipped) })
		s.device(1, "alice") // the app is started again: same token
		s.must(s.sim.SetToken(token, sandbox.TokenState{}))
		three := s.accept("alice", "3")
		s.eventually(10*time.Second, "the token lives again", func() bool { return s.settled(three, models.StateAccepted) })
	})
}

// A web-only process leaves its batches to a working one, which is woken.
func TestWebOnly(t *testing.T) {
	eachSite(t, func(_ *testing.T, s *site) {
		s.device(1, "alice")
		w := s.worker(Options{})
		s.must(w.Start(context.Background()))
		s.store.StartAccepting(nil)
		s.t.Cleanup(func() { s.stop(w) })
		for i := range 5 {
			id := s.accept("alice", fmt.Sprint(i))
			s.eventually(5*time.Second, "sent by the other process", func() bool { return s.settled(id, models.StateAccepted) })
		}
	})
}

// A stop in the middle hands the rest to the next process: everything arrives
// once.
func TestStopReal(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		const users, each = 10, 20
		for u := range users {
			s.device(u, fmt.Sprint("user", u))
		}
		s.must(s.sim.Set(sandbox.Settings{Latency: 50 * time.Millisecond}))
		w := s.worker(Options{Limits: Limits{InFlight: 5}})
		s.must(w.Start(context.Background()))
		s.store.StartAccepting(w)
		var ids []string
		for i := range each {
			for u := range users {
				ids = append(ids, s.accept(fmt.Sprint("user", u), fmt.Sprintf("%d-%d", u, i)))
			}
		}
		s.eventually(10*time.Second, "some are sent", func() bool { return s.inbox.Total() >= 20 })
		s.stop(w)
		if n := s.inbox.Total(); n == len(ids) || n == 0 {
			t.Fatalf("%d of %d were sent before the stop: nothing is tested", n, len(ids))
		}
		next := s.worker(Options{})
		s.must(next.Start(context.Background()))
		t.Cleanup(func() { s.stop(next) })
		s.eventually(20*time.Second, "the rest", func() bool { return s.funnel().Accepted == int64(len(ids)) })
		if n := s.inbox.Total(); n != len(ids) {
			t.Errorf("%d pushes of %d messages", n, len(ids))
		}
	})
}

// A stop does not wait for upkeep, which may take minutes: it is cancelled.
func TestStopCutsUpkeep(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		began := make(chan struct{}, 1)
		w := s.worker(Options{Upkeep: []Upkeep{{Name: "endless", Every: time.Hour, AtStart: true, Run: func(ctx context.Context, _ *models.DB) error {
			signal(began)
			<-ctx.Done()
			return ctx.Err()
		}}}})
		s.must(w.Start(context.Background()))
		select {
		case <-began:
		case <-time.After(30 * time.Second):
			t.Fatal("the upkeep did not begin")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		s.must(w.Stop(ctx)) // a quarter of its time is the most that is waited for upkeep
		if logs := s.logs.String(); strings.Contains(logs, "level=ERROR") {
			t.Errorf("a stop is no fault:\n%s", logs)
		}
	})
}

// A message for a device's token goes to that phone alone, through acceptance, the
// look-up and the simulator to the record; when the vendor says that the phone is
// gone, the token is known dead.
func TestTokenToRecord(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		ctx := context.Background()
		id, vendor := s.device(1, "carol")
		_, other := s.device(2, "carol")
		info, err := s.store.DeviceByID(ctx, s.scope, id)
		s.must(err)
		send := func(source string) (models.TokenFate, string) {
			msgs := []models.Incoming{{SourceID: source, Token: info.Device.Token, Content: models.Content{Body: "hello " + source}}}
			fates, err := s.store.Locate(ctx, s.ingest, msgs)
			s.must(err)
			if fates[0] != models.TokenAlive {
				return fates[0], ""
			}
			a, err := s.store.Accept(ctx, s.ingest, msgs)
			s.must(err)
			return fates[0], a.IDs[0]
		}
		s.start(s.worker(Options{}))
		_, first := send("1")
		s.eventually(20*time.Second, "recorded", func() bool { return s.settled(first, models.StateAccepted) })
		if ds := s.message(first).Deliveries; len(ds) != 1 || ds[0].DeviceID != id {
			t.Errorf("deliveries %+v", ds)
		}
		got := s.received()
		if len(got[vendor]) != 1 || len(got[other]) != 0 {
			t.Errorf("received %v", got)
		}
		s.must(s.sim.SetToken(vendor, sandbox.TokenState{Reason: "Unregistered", Since: time.Now()}))
		_, second := send("2")
		s.eventually(20*time.Second, "failed", func() bool { return s.settled(second, models.StateFailed) })
		if fate, _ := send("3"); fate != models.TokenDead {
			t.Errorf("fate %d after the vendor's answer, want dead", fate)
		}
	})
}
