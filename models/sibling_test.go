package models

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// chat is one message of a group chat to several people.
func chat(source string, people ...string) []Incoming {
	var out []Incoming
	for _, who := range people {
		out = append(out, message(source, who))
	}
	return out
}

// Messages of one request that say the same to several people are a group under the
// first one's id, in each app its own; others, and those seen before, are not.
func TestAcceptGroups(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		f := seed(t, s, nil)
		second := addApp(t, s, 1600000011, "ap-guangzhou", "android")
		clock.Advance(2 * time.Second) // what is known of the IM app is a second old at most
		f.in = ingest(t, s)
		f.accept(t, message("1", "alice"))
		other := message("1", "erin")
		other.Content.Body = "to you alone"
		late := message("1", "frank")
		late.ExpiresAt = s.Now().Add(time.Hour)
		f.accept(t, append(chat("1", "alice", "bob", "carol", "dave"), other, late)...)
		f.accept(t, append(chat("2", "alice"), chat("3", "alice")...)...)
		f.accept(t, append(chat("", "alice"), chat("", "bob")...)...)
		groups := map[int64]map[string]string{} // app → account and source → group
		ids := map[string]string{}
		for _, b := range claimAll(t, s.DB, "w") {
			for _, it := range b.Items {
				m := it.Message
				key := m.Account + " " + m.SourceID
				if groups[m.AppID] == nil {
					groups[m.AppID] = map[string]string{}
				}
				groups[m.AppID][key] = it.Group
				ids[fmt.Sprint(m.AppID, " ", key)] = m.ID
			}
		}
		for _, app := range []int64{f.app.appID, second.appID} {
			first := ids[fmt.Sprint(app, " bob 1")]
			want := map[string]string{"bob 1": first, "carol 1": first, "dave 1": first}
			for key, got := range groups[app] {
				if got != want[key] {
					t.Errorf("app %d: %s is of group %q, want %q", app, key, got, want[key])
				}
			}
			if first == "" || len(groups[app]) < 7 {
				t.Errorf("app %d has %v", app, groups[app])
			}
		}
	})
}

// Of a request to several devices a vendor's receipt names one message and the token
// of the device, a phone's the one message; each reaches the device's own record,
// whether that is written already or not.
func TestSharedReceipts(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		people := []string{"ann", "ben", "cid", "dan", "eve"}
		var devices []DeviceScope
		for _, who := range people {
			d := auth(t, s, f.app, register(t, s, f.app, phone(RouteInput{Channel: "hw", Environment: "production", Token: "token-of-" + who})))
			must(t, s.Bind(ctx, d, []Binding{{Account: who}}))
			devices = append(devices, d)
		}
		ids := f.accept(t, chat("1", people...)...).IDs
		again := f.accept(t, chat("2", people...)...).IDs // the same people a moment later
		batches := claimAll(t, s.DB, "w")
		if len(batches) != 2 {
			t.Fatalf("%d batches", len(batches))
		}
		recordAll := func(b *Batch) {
			t.Helper()
			rec := Recording{Batch: b}
			for i := range b.Items {
				rec.Deliveries = append(rec.Deliveries, delivery(&b.Items[i].Message, devices[i].deviceID, StateAccepted))
			}
			_, _, err := s.Record(ctx, "w", []Recording{rec})
			must(t, err)
		}
		recordAll(batches[0])
		clock.Advance(time.Minute)
		from := Reporter{Channel: "hw", scope: f.app}
		report := func(message string, who int, token, event string) {
			t.Helper()
			ref := SharedReceiptRef(message, devices[who].deviceID)
			id, device, ok := ParseReceiptRef(ref)
			if !ok || len(ref) != 32 {
				t.Fatalf("reference %q", ref)
			}
			must(t, s.VendorReceipts(ctx, from, []VendorReceipt{{MessageID: id, DeviceID: device, Token: token, Event: event, Code: "0"}}))
		}
		report(ids[0], 0, "token-of-ben", EventArrived)
		report(ids[0], 0, "token-of-nobody", EventArrived) // must not count as anybody's
		report(ids[0], 0, "", EventClicked)                // whose it is, nobody says
		report(ids[0], 0, "", EventUninstalled)
		report(ids[0], 0, "", "dropped")
		report(ids[0], 0, "token-of-cid", "dropped")
		_, err := s.Report(ctx, devices[3], []Receipt{{MessageID: ids[0], Status: StateClicked}}) // the phone of dan
		must(t, err)
		for i, want := range []string{StateAccepted, StateArrived, StateAccepted, StateClicked, StateAccepted} {
			if got := f.delivery(t, ids[i]).State; got != want {
				t.Errorf("%s is %s, want %s", people[i], got, want)
			}
		}
		notes, err := s.VendorNotes(ctx, f.app, ids[2])
		must(t, err)
		if len(notes) != 1 || notes[0].DeviceID != devices[2].deviceID {
			t.Errorf("notes %+v", notes)
		}
		if notes, err = s.VendorNotes(ctx, f.app, ids[0]); err != nil || len(notes) != 0 {
			t.Errorf("notes of the message that the request named: %+v %v", notes, err)
		}
		if got := info(t, s, f.app, devices[0].deviceID); got.Device.RetiredAt != nil || got.Routes[0].RetiredAt != nil {
			t.Error("a death without a token took the first phone")
		}
		own, err := s.OwnMessage(ctx, f.app, ids[0], devices[4].deviceID)
		must(t, err)
		if own != ids[4] {
			t.Errorf("eve's own message is %s, want %s", own, ids[4])
		}

		// Before the record.
		report(again[0], 0, "token-of-ben", EventArrived)
		_, err = s.Report(ctx, devices[3], []Receipt{{MessageID: again[0], Status: StateClicked}})
		must(t, err)
		recordAll(batches[1])
		for i, want := range []string{StateAccepted, StateArrived, StateAccepted, StateClicked, StateAccepted} {
			if got := f.delivery(t, again[i]).State; got != want {
				t.Errorf("%s's second is %s, want %s", people[i], got, want)
			}
		}
		stranger := from
		stranger.scope.appID++
		must(t, s.VendorReceipts(ctx, stranger, []VendorReceipt{{MessageID: ids[0], DeviceID: -devices[0].deviceID, Token: "token-of-eve", Event: EventArrived}}))
		if got := f.delivery(t, ids[4]).State; got != StateAccepted {
			t.Errorf("another app's report made it %s", got)
		}
		if own, err := s.OwnMessage(ctx, f.app, strings.Repeat("x", 36), 1); err != nil || own != strings.Repeat("x", 36) {
			t.Errorf("no id came back as %s, %v", own, err)
		}
	})
}
