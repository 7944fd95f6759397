package models

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func tokenMessage(source, token string) Incoming {
	return Incoming{SourceID: source, Token: token, Sender: "alice", Content: Content{Body: "hello " + source}}
}

// A message for a token goes to that one device, of the app that has it, once; what
// is dead is told from what was never known.
func TestTokenAddressing(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		h := &holder{owner: "w1", room: 100}
		f := seed(t, s, h)
		android := addApp(t, s, 1600000101, "ap-guangzhou", "android")
		elsewhere := register(t, s, AppScope{appID: 1600000999, accountID: 1, db: f.app.db}, phone(apnsRoute("CCDD")))
		first, second := register(t, s, f.app, phone(apnsRoute("AABB"))), register(t, s, android, phone(RouteInput{Channel: "fcm", Environment: "production", Token: "Google-1"}))
		gone := register(t, s, f.app, phone(apnsRoute("EEFF")))
		if err := s.Unregister(ctx, auth(t, s, f.app, gone)); err != nil {
			t.Fatal(err)
		}
		if err := s.Bind(ctx, auth(t, s, f.app, first), []Binding{{Account: "bob"}}); err != nil {
			t.Fatal(err)
		}
		f.in, _ = s.loadIngest(ctx, "i.id = ?", 1)
		for _, c := range []struct {
			addressing string
			tokens     []string
			want       []TokenFate
		}{
			{
				AddressDevice, []string{first.Device.Token, second.Device.Token, gone.Device.Token, elsewhere.Device.Token, "nobody", "AABB"},
				[]TokenFate{TokenAlive, TokenAlive, TokenDead, TokenUnknown, TokenUnknown, TokenUnknown},
			},
			{
				AddressVendor, []string{"AaBb", "Google-1", "eeff", "CCDD", "nobody", first.Device.Token},
				[]TokenFate{TokenAlive, TokenAlive, TokenDead, TokenUnknown, TokenUnknown, TokenUnknown},
			},
		} {
			f.in.addressing = c.addressing
			var msgs []Incoming
			for _, token := range c.tokens {
				msgs = append(msgs, tokenMessage(c.addressing, token))
			}
			fates, err := s.Locate(ctx, f.in, append(msgs, message("a", "bob")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(c.want, TokenAlive), fates); diff != "" {
				t.Errorf("%s (-want +got)\n%s", c.addressing, diff)
			}
			if _, err := s.Locate(ctx, f.in, msgs); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Accept(ctx, f.in, msgs); KindOf(err) != Invalid {
				t.Errorf("a message for nobody: %v, want invalid", err)
			}
			taken := len(h.taken)
			got := f.accept(t, msgs[0], msgs[1], msgs[0])
			if got.New != 2 || got.Duplicates != 1 || got.IDs[0] != got.IDs[2] {
				t.Errorf("accepted %+v", got)
			}
			var items []Item
			for _, b := range h.taken[taken:] {
				items = append(items, b.Items...)
			}
			if len(items) != 2 || items[0].DeviceID != first.Device.ID || items[1].DeviceID != second.Device.ID ||
				items[0].Message.AppID != f.app.appID || items[1].Message.AppID != android.appID ||
				items[0].Message.Account != "bob" || items[1].Message.Account != "" {
				t.Errorf("batched %+v", items)
			}
		}
		// The same event for a device and for its user are two messages.
		if got := f.accept(t, Incoming{SourceID: AddressDevice, Account: "bob", Content: Content{Body: "x"}}); got.New != 1 {
			t.Errorf("for the user: %+v", got)
		}
	})
}

// The IM app is found by a name of its kind, from the commit that adds it to the one
// that removes it.
func TestIngestByName(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		w := newWorld(t, s, "main")
		known := func(bridge, name string, want int64) {
			t.Helper()
			in, err := s.IngestByName(ctx, bridge, name)
			if want == 0 && KindOf(err) == NotFound {
				return
			}
			if err != nil || in.IMAppID() != want {
				t.Errorf("%s %s: %d, %v, want %d", bridge, name, in.IMAppID(), err, want)
			}
		}
		known("generic", "com.example.a", 0)
		in := IMAppInput{Name: "按标识", Bridge: "generic", Addressing: AddressVendor, Names: " com.example.a,com.example.b\ncom.example.a "}
		m, _, err := s.CreateIMApp(ctx, w.main, in, bridges())
		if err != nil {
			t.Fatal(err)
		}
		if m.Names != "com.example.a\ncom.example.b" || m.Addressing != AddressVendor {
			t.Errorf("saved %q %q", m.Names, m.Addressing)
		}
		known("generic", "com.example.a", m.ID)
		known("generic", "com.example.b", m.ID)
		known("wukongim", "com.example.a", 0)
		known("generic", "", 0)
		if _, err := s.IngestBySecret(ctx, "generic\x00com.example.a"); KindOf(err) != NotFound {
			t.Errorf("a name taken for a secret: %v", err)
		}
		in.Name = "二号"
		if _, _, err := s.CreateIMApp(ctx, w.main, in, bridges()); KindOf(err) != Conflict {
			t.Errorf("a taken name: %v, want conflict", err)
		}
		in.Names = "com.example.b"
		if _, err := s.UpdateIMApp(ctx, w.main, m.ID, in, bridges()); err != nil {
			t.Fatal(err)
		}
		known("generic", "com.example.a", 0)
		known("generic", "com.example.b", m.ID)
		if err := s.DeleteIMApp(ctx, w.main, m.ID, in.Name); err != nil {
			t.Fatal(err)
		}
		known("generic", "com.example.b", 0)
	})
}
