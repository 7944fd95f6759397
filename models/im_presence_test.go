package models

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPresence(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		set := func(p ...Presence) {
			t.Helper()
			must(t, s.SetPresence(ctx, f.in, p))
		}
		states := func(accounts ...string) map[string]string {
			t.Helper()
			known, err := s.PresenceOf(ctx, f.in, accounts)
			must(t, err)
			out := map[string]string{}
			for a, list := range known {
				for _, p := range list {
					out[a] += fmt.Sprintf("%s=%d ", p.Platform, p.State)
				}
			}
			return out
		}
		set(Presence{Account: "alice", Platform: "iOS", State: PresenceOnline, At: 100}, Presence{Account: "alice", Platform: "Web", State: PresenceOnline, At: 100})
		set(Presence{Account: "bob", Platform: "iOS", State: PresenceLost, At: 200}, Presence{Account: "bob", Platform: "iOS", State: PresenceOnline, At: 150})
		set(Presence{Account: "alice", Platform: "iOS", State: PresenceLoggedOut, At: 99}) // overtaken
		// What cannot be kept harms nobody else's state.
		set(Presence{Account: "a\x00b", Platform: "iOS", State: 1}, Presence{Account: strings.Repeat("x", 200), Platform: "iOS", State: 1},
			Presence{Account: "carol", Platform: strings.Repeat("p", 99), State: 1}, Presence{Account: "dora", Platform: "iOS", State: 2, At: 1})
		want := map[string]string{"alice": "Web=1 iOS=1 ", "bob": "iOS=2 ", "dora": "iOS=2 "}
		if d := cmp.Diff(want, states("alice", "bob", "carol", "dora", "nobody", "a\x00b")); d != "" {
			t.Error(d)
		}
		known, err := s.PresenceOf(ctx, f.in, []string{"alice"})
		must(t, err)
		if p := known["alice"][0]; !p.Believed(s.Now()) || p.Believed(s.Now().Add(PresenceTrust)) {
			t.Errorf("%+v is believed wrongly", p)
		}
		// Many at once, some for one user, all written when they return.
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				must(t, s.SetPresence(ctx, f.in, []Presence{{Account: fmt.Sprint("u", i%50), Platform: "Android", State: PresenceOnline, At: int64(i)}}))
			})
		}
		all.Wait()
		if n := count(t, s.DB, "im_presence WHERE account LIKE 'u%'"); n != 50 {
			t.Errorf("%d states, want 50", n)
		}
		if n := count(t, s.DB, "im_presence WHERE account = 'u7' AND at = 157"); n != 1 {
			t.Error("an older state stands")
		}
		c.Advance(presenceLife - time.Hour)
		set(Presence{Account: "alice", Platform: "iOS", State: PresenceOnline, At: 300})
		c.Advance(2 * time.Hour)
		must(t, s.Retain(ctx, DefaultRetention))
		if n := count(t, s.DB, "im_presence"); n != 1 {
			t.Errorf("%d states kept, want alice's", n)
		}
	})
}

func TestGroupMembers(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		must(t, s.ChangeGroup(ctx, f.in, GroupChange{Group: "g", Join: []string{"carol", "alice", "bob", "bob", "", "x\x00"}}))
		must(t, s.ChangeGroup(ctx, f.in, GroupChange{Group: "g", Join: []string{"bob"}, Leave: []string{"carol", "x\x00"}}))
		must(t, s.ChangeGroup(ctx, f.in, GroupChange{Group: "h", Join: []string{"bob"}}))
		must(t, s.SetPresence(ctx, f.in, []Presence{{Account: "bob", Platform: "iOS", State: 1}, {Account: "bob", Platform: "Web", State: 2}}))
		got, known, err := s.GroupMembers(ctx, f.in, "g", 10)
		must(t, err)
		if d := cmp.Diff([]string{"alice", "bob"}, got); d != "" || len(known["bob"]) != 2 || len(known["alice"]) != 0 {
			t.Error(d, known)
		}
		if got, _, err := s.GroupMembers(ctx, f.in, "g", 1); err != nil || len(got) != 1 {
			t.Error(got, err)
		}
		if got, _, err := s.GroupMembers(ctx, f.in, "nowhere\x00", 9); err != nil || len(got) != 0 {
			t.Error(got, err)
		}
		must(t, s.ChangeGroup(ctx, f.in, GroupChange{Group: "g", Destroyed: true}))
		if n := count(t, s.DB, "im_group_members"); n != 1 {
			t.Errorf("%d members, want 1 of the other group", n)
		}
		// They go with their IM app.
		must(t, s.Retain(ctx, DefaultRetention))
		if n := count(t, s.DB, "im_group_members"); n != 1 {
			t.Error("members of a living IM app are gone")
		}
		exec(t, s.DB, "UPDATE im_apps SET deleted_at = ?", s.Now())
		c.Advance(time.Hour)
		must(t, s.Retain(ctx, DefaultRetention))
		if n := count(t, s.DB, "im_group_members"); n != 0 {
			t.Errorf("%d members of a deleted IM app", n)
		}
	})
}

func TestAudience(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		for i, a := range []string{"alice", "bob", "alice"} {
			addDevice(t, f.app, a, "ios", fmt.Sprint("t", i), s.Now())
		}
		for limit, want := range map[int]int{10: 2, 1: 1} {
			if got, err := s.Audience(ctx, f.in, limit); err != nil || len(got) != want {
				t.Errorf("limit %d: %v, %v", limit, got, err)
			}
		}
	})
}
