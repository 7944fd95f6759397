package models

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An IM server that repeats for a day is told each time that it is done, by whichever
// process it asks, through upkeep and over midnight, and nobody is pushed to twice.
func TestRepeatsForADay(t *testing.T) {
	for _, engine := range []Dialect{SQLite, Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			c, dsn, ctx := newTestClock(), testDSN(t, engine), context.Background()
			s := openTestStore(t, Options{Database: dsn, Now: c.Now})
			f := seed(t, s, nil)
			dev := register(t, s, f.app, phone(apnsRoute("aa")))
			other := openTestStore(t, Options{Database: dsn, Now: c.Now})
			startAccepting(t, other, nil)
			invitation := func() []Incoming {
				m := tokenMessage("$invite", dev.Device.Token)
				m.Devices = []DeviceAt{{AppID: f.app.appID, DeviceID: dev.Device.ID}}
				return []Incoming{m, message("2124668323860844544", "alice")}
			}
			first := f.accept(t, invitation()...)
			if first.New != 2 {
				t.Fatalf("accepted %+v", first)
			}
			began := c.Now()
			for _, after := range []time.Duration{
				0, 20 * time.Millisecond, 50 * time.Millisecond, time.Minute, time.Hour, 7 * time.Hour, 15 * time.Hour, 23 * time.Hour, 24*time.Hour - time.Second,
			} {
				c.Advance(after - c.Now().Sub(began))
				if err := s.Retain(ctx, 1); err != nil {
					t.Fatal(err)
				}
				for name, store := range map[string]*Store{"this process": s, "another process": other} {
					again, err := store.Accept(ctx, ingest(t, store), invitation())
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(Accepted{IDs: first.IDs, Duplicates: 2}, again); diff != "" {
						t.Errorf("%s after, %s (-want +got)\n%s", after, name, diff)
					}
				}
			}
			if n := count(t, s.DB, "messages"); n != 2 {
				t.Errorf("%d messages, want 2", n)
			}
			if n := counter(t, s.DB, MetricMessages); n != 2 {
				t.Errorf("%d counted, want 2", n)
			}
		})
	}
}

// A first attempt that was not stored is not remembered: the repetition delivers.
func TestRepeatAfterRefusal(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		refused := func(why string) {
			t.Helper()
			if _, err := s.Accept(ctx, f.in, []Incoming{message("1", "alice")}); KindOf(err) != Unavailable {
				t.Errorf("%s: %v, want unavailable", why, err)
			}
		}
		exec(t, s.DB, "ALTER TABLE counters RENAME TO counters_away") // after the key was entered
		refused("the commit fails")
		exec(t, s.DB, "ALTER TABLE counters_away RENAME TO counters")
		s.GuardDisk("/", 1<<62, nil)
		refused("the disk is full")
		s.GuardDisk("/", 0, nil)
		if n := count(t, s.DB, "dedupe"); n != 0 {
			t.Errorf("%d keys of messages that were not stored", n)
		}
		if got := f.accept(t, message("1", "alice")); got.New != 1 {
			t.Errorf("the repetition: %+v", got)
		}
		if got := f.accept(t, message("1", "alice")); got.Duplicates != 1 {
			t.Errorf("one more: %+v", got)
		}
	})
}

// An update of the number on an icon is no offline message: neither its acceptance nor
// what the phone says about it is in the statistics.
func TestBadgesAreNotCounted(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		f.accept(t, message("1", "alice"))
		f.accept(t, Incoming{Account: "alice", Kind: KindBadge}, Incoming{Account: "alice", Kind: KindSilent})
		var all []Receipt
		for _, b := range claimAll(t, s.DB, "w") {
			r := settled(b, dev.deviceID, StateAccepted)
			r.Counters = nil // the worker's, which has a test of its own
			if _, _, err := s.Record(ctx, "w", []Recording{r}); err != nil {
				t.Fatal(err)
			}
			for _, it := range b.Items {
				all = append(all, Receipt{MessageID: it.Message.ID, Status: StateClicked})
			}
		}
		if n, err := s.Report(ctx, dev, all); err != nil || n != 3 {
			t.Fatalf("%d receipts %v", n, err)
		}
		if diff := cmp.Diff(Funnel{Messages: 2, Arrived: 2, Clicked: 2}, f.funnel(t)); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
	})
}

// An IM server's acknowledgement may come before the send is recorded; it names no
// device.
func TestAcknowledgeEarly(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		ack := func(source string, want int) {
			t.Helper()
			if n, err := s.Acknowledge(ctx, f.in, source, c.Now().Add(-time.Second)); err != nil || n != want {
				t.Errorf("%s: %d new %v, want %d", source, n, err, want)
			}
		}
		record := func(state string) string {
			t.Helper()
			b := claimAll(t, s.DB, "w")[0]
			if _, _, err := s.Record(ctx, "w", []Recording{settled(b, dev.deviceID, state)}); err != nil {
				t.Fatal(err)
			}
			return b.Items[0].Message.ID
		}
		f.accept(t, message("ack1", "alice"))
		c.Advance(time.Minute)
		ack("ack1", 1)
		ack("ack1", 0) // said already
		ack("other", 0)
		if n, err := s.FoldReceipts(ctx); err != nil || n != 0 {
			t.Errorf("folded %d %v before the send was recorded", n, err)
		}
		id := record(StateAccepted)
		if d := f.delivery(t, id); d.State != StateArrived || d.ArrivedAt == nil || !d.ArrivedAt.Equal(c.Now().Add(-time.Second)) {
			t.Errorf("after the record: %+v", d)
		}
		ack("ack1", 0)

		// One that crossed the record is found by the upkeep.
		late := f.sent(t, "ack2", dev.deviceID, StateAccepted)
		exec(t, s.DB, "INSERT INTO early_receipts (message_id, device_id, app_id, status, at) VALUES (?, 0, ?, ?, ?)", late.ID, f.app.appID, StateArrived, c.Now())
		if n, err := s.FoldReceipts(ctx); err != nil || n != 1 {
			t.Errorf("folded %d %v", n, err)
		}
		if d := f.delivery(t, late.ID); d.State != StateArrived {
			t.Errorf("after the upkeep: %+v", d)
		}

		// What failed did not arrive, and what reached no phone waits for nothing.
		f.accept(t, message("ack3", "alice"))
		ack("ack3", 1)
		if d := f.delivery(t, record(StateFailed)); d.State != StateFailed {
			t.Errorf("a failed send: %+v", d)
		}
		if n, err := s.FoldReceipts(ctx); err != nil || n != 1 {
			t.Errorf("folded %d %v", n, err)
		}
		f.sent(t, "ack4", 0, StateFailed)
		ack("ack4", 0)
		if got := f.funnel(t); got.Arrived != 2 || got.Accepted != 2 {
			t.Errorf("funnel %+v", got)
		}
		if n := count(t, s.DB, "early_receipts"); n != 0 {
			t.Errorf("%d receipts still wait", n)
		}
	})
}

// 删除用户数据 also takes what IM servers told: tokens that they registered, presence,
// groups. What concerns the person's phone in another app stays.
func TestDeleteUserDataOfIMServers(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		android := addApp(t, s, 1600000101, "ap-guangzhou", "android")
		f.in, _ = s.loadIngest(ctx, "i.id = ?", 1)
		mine, bobs := register(t, s, f.app, phone(apnsRoute("aa"))), register(t, s, f.app, phone(apnsRoute("bb")))
		tablet := register(t, s, android, phone(RouteInput{Channel: "fcm", Environment: "production", Token: "Google-1"}))
		must(t, s.Bind(ctx, auth(t, s, f.app, mine), []Binding{{Account: "alice"}}))
		must(t, s.Bind(ctx, auth(t, s, f.app, bobs), []Binding{{Account: "bob"}}))
		must(t, s.Bind(ctx, auth(t, s, android, tablet), []Binding{{Account: "alice"}}))
		tell := func() {
			t.Helper()
			for account, tokens := range map[string][]string{
				"alice":       {mine.Device.Token, tablet.Device.Token, "nobody-any-more"},
				"uuid-of-her": {mine.Device.Token},
				"bob":         {bobs.Device.Token},
			} {
				for _, token := range tokens {
					must(t, s.AddUserToken(ctx, f.in, account, UserToken{Kind: "apns", Token: token}))
				}
			}
			for _, account := range []string{"alice", "bob"} {
				must(t, s.SetPresence(ctx, f.in, []Presence{{Account: account, Platform: "ios", State: PresenceLost, At: 1}}))
			}
			must(t, s.ChangeGroup(ctx, f.in, GroupChange{Group: "g", Join: []string{"alice", "bob"}}))
		}
		left := func(tokens, presence, members int) {
			t.Helper()
			for table, want := range map[string]int{
				"im_app_tokens WHERE account <> 'bob'": tokens, "im_presence WHERE account = 'alice'": presence, "im_group_members WHERE account = 'alice'": members,
				"im_app_tokens WHERE account = 'bob'": 1, "im_presence WHERE account = 'bob'": 1, "im_group_members WHERE account = 'bob'": 1,
			} {
				if n := count(t, s.DB, table); n != want {
					t.Errorf("%s: %d, want %d", table, n, want)
				}
			}
		}
		tell()
		left(4, 1, 1)
		remove := func(app AppScope) {
			t.Helper()
			if _, _, err := s.DeleteUserData(ctx, app, "alice"); err != nil {
				t.Fatal(err)
			}
		}
		remove(f.app)
		left(1, 1, 1) // her tablet's, and what its app's messages need
		remove(android)
		left(0, 0, 0)
		// An authorization that was released since leaves nothing behind either.
		tell()
		exec(t, s.DB, "UPDATE authorizations SET released_at = ?", s.Now())
		s.forgetIngest()
		remove(f.app)
		left(1, 0, 0) // the token under another name is of a device that is long gone
	})
}
