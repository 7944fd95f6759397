package models

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// subscribers returns the devices of a topic, and how many pages they came in.
func subscribers(t *testing.T, s *Store, in Ingest, topic string, limit int) (ids []int64, pages int) {
	t.Helper()
	err := s.EachSubscriber(context.Background(), in, topic, limit, func(page []DeviceAt) error {
		pages++
		for _, d := range page {
			ids = append(ids, d.DeviceID)
		}
		return nil
	})
	must(t, err)
	return ids, pages
}

func change(t *testing.T, s *Store, in Ingest, c TopicChange) []TopicFate {
	t.Helper()
	fates, err := s.ChangeTopics(context.Background(), in, c)
	must(t, err)
	return fates
}

// Subscriptions last as long as their devices, of every app, and belong to one IM app.
func TestTopics(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		f := seed(t, s, &holder{owner: "w1", room: 100})
		android := addApp(t, s, 1600000101, "ap-shanghai", "android")
		f.in, _ = s.loadIngest(ctx, "i.id = ?", 1)
		var phones []Registered
		var tokens []string
		for i := range 5 {
			app := f.app
			if i == 4 {
				app = android
			}
			p := register(t, s, app, phone(apnsRoute(fmt.Sprintf("%064x", i+1))))
			phones, tokens = append(phones, p), append(tokens, p.Device.Token)
		}
		want := []TopicFate{TopicDone, TopicDone, TopicDone, TopicDone, TopicDone, TopicUnknown}
		if diff := cmp.Diff(want, change(t, s, f.in, TopicChange{Topics: []string{"news"}, Tokens: append(slices.Clone(tokens), "nobody")})); diff != "" {
			t.Errorf("joined (-want +got)\n%s", diff)
		}
		change(t, s, f.in, TopicChange{Topics: []string{"sport", "a\x00b"}, Tokens: tokens[:1]})
		if ids, pages := subscribers(t, s, f.in, "news", 2); len(ids) != 5 || pages != 3 {
			t.Errorf("%d devices in %d pages, want 5 in 3", len(ids), pages)
		}
		stranger := f.in
		stranger.imAppID = 2
		if ids, _ := subscribers(t, s, stranger, "news", 10); ids != nil {
			t.Errorf("another IM app reaches %v", ids)
		}
		// A phone that was retired is not reached, and is again when it comes back.
		must(t, s.write(ctx, func(tx *Tx) error {
			return tx.Exec("UPDATE devices SET retired_at = ? WHERE id = ?", s.Now(), phones[3].Device.ID).Error
		}))
		if ids, _ := subscribers(t, s, f.in, "news", 10); len(ids) != 4 {
			t.Errorf("%d living devices, want 4", len(ids))
		}
		r := phone(apnsRoute(fmt.Sprintf("%064x", 4)))
		r.Token, r.Secret = phones[3].Device.Token, phones[3].Secret.Reveal()
		register(t, s, f.app, r)
		if ids, _ := subscribers(t, s, f.in, "news", 10); len(ids) != 5 {
			t.Errorf("%d after one came back, want 5", len(ids))
		}
		// 删除用户数据, leaving, and saying goodbye end subscriptions.
		must(t, s.Bind(ctx, auth(t, s, f.app, phones[1]), []Binding{{Account: "bob"}}))
		if _, n, err := s.DeleteUserData(ctx, f.app, "bob"); err != nil || n != 1 {
			t.Fatalf("%d devices, %v", n, err)
		}
		must(t, s.Unregister(ctx, auth(t, s, f.app, phones[2])))
		change(t, s, f.in, TopicChange{Topics: []string{"news"}, Tokens: tokens[3:4], Leave: true})
		var left []int64
		must(t, s.r.Raw("SELECT device_id FROM device_topics WHERE topic = 'news' ORDER BY device_id").Scan(&left).Error)
		if diff := cmp.Diff([]int64{phones[0].Device.ID, phones[4].Device.ID}, left); diff != "" {
			t.Errorf("left (-want +got)\n%s", diff)
		}
		must(t, s.forgetTopics(ctx, 1))
		if n := count(t, s.DB, "device_topics"); n != 0 {
			t.Errorf("%d subscriptions of an IM app that is gone", n)
		}
	})
}

// A device, and an app, have only so many subscriptions; to join again needs no room.
func TestTopicBounds(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		f := seed(t, s, &holder{owner: "w1", room: 100})
		first, second := register(t, s, f.app, phone(apnsRoute("AA"))), register(t, s, f.app, phone(apnsRoute("BB")))
		room := topicRoom{ofDevice: 5, ofApp: 7}
		join := func(r Registered, topics ...string) []TopicFate {
			t.Helper()
			fates, err := s.changeTopics(ctx, f.in, TopicChange{Topics: topics, Tokens: []string{r.Device.Token}}, room)
			must(t, err)
			return fates
		}
		join(first, "a", "b", "c", "d")
		if diff := cmp.Diff([]TopicFate{TopicDone, TopicDone, TopicDeviceFull, TopicDone}, join(first, "a", "x", "y", "b")); diff != "" {
			t.Errorf("a full device (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]TopicFate{TopicDone, TopicDone, TopicAppFull}, join(second, "a", "b", "c")); diff != "" {
			t.Errorf("a full app (-want +got)\n%s", diff)
		}
		change(t, s, f.in, TopicChange{Topics: []string{"a"}, Tokens: []string{first.Device.Token}, Leave: true})
		if diff := cmp.Diff([]TopicFate{TopicDone}, join(second, "c")); diff != "" {
			t.Errorf("room again (-want +got)\n%s", diff)
		}
	})
}
