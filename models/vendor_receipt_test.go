package models

import (
	"context"
	"strings"
	"testing"
	"time"
)

// The address of a credential's receipts survives changes of its keys, is found by
// its secret alone, and lies nowhere in the clear.
func TestReceiptAddress(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.android.ID)
		in := CredentialInput{Channel: "hw", Environment: EnvironmentProduction, Kind: "hw", Fields: map[string]string{"app_id": "1", "app_secret": "s"}, Rate: 50}
		saved, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		secret, err := s.ReceiptSecret(ctx, w.main, owner, saved[0].ID)
		must(t, err)
		if len(secret.Reveal()) < 27 {
			t.Fatalf("a secret of %d characters", len(secret.Reveal()))
		}
		again, err := s.SaveCredentials(ctx, w.main, owner, in)
		must(t, err)
		same, err := s.ReceiptSecret(ctx, w.main, owner, again[0].ID)
		must(t, err)
		if same.Reveal() != secret.Reveal() {
			t.Error("the address changed with the keys")
		}
		if strings.Contains(dump(t, s, "credentials"), secret.Reveal()) {
			t.Error("the secret lies in the clear")
		}
		from, err := s.ReceiptsFrom(ctx, "hw", secret.Reveal())
		must(t, err)
		if from.Fields["app_secret"].Reveal() != "s" {
			t.Error("without the fields to verify with")
		}
		cfg, err := s.SendConfig(ctx, w.android.ID)
		must(t, err)
		if c := cfg.Credentials[0]; c.Receipt.Reveal() != secret.Reveal() || c.Rate != 50 {
			t.Errorf("to send with: %v, rate %d", c.Receipt, c.Rate)
		}
		_, err = s.ReceiptsFrom(ctx, "honor", secret.Reveal())
		refused(t, err, NotFound, "")
		_, err = s.ReceiptsFrom(ctx, "hw", "another")
		refused(t, err, NotFound, "")
		read := w.sub(t, "read", Rights{Role: RoleRead, AllProducts: true})
		_, err = s.ReceiptSecret(ctx, read, owner, again[0].ID)
		refused(t, err, Forbidden, "errors.forbidden.configure")

		counted := func() *Credential {
			t.Helper()
			must(t, s.FlushReceipts(ctx))
			c, err := s.CredentialByID(ctx, w.main, owner, again[0].ID)
			must(t, err)
			return c
		}
		// A refused report says nothing of the address; a test shows that it works.
		s.CountReceipts(from, 0, 1)
		if c := counted(); c.ReceiptAt != nil {
			t.Errorf("refused, yet reported at %v", c.ReceiptAt)
		}
		s.CountReceipts(from, 0, 0)
		if c := counted(); c.ReceiptAt == nil || c.ReceiptCount != 0 {
			t.Errorf("tested: %d at %v", c.ReceiptCount, c.ReceiptAt)
		}
		s.CountReceipts(from, 3, 0)
		s.CountReceipts(from, 0, 1)
		first := counted()
		clock.Advance(time.Minute)
		s.CountReceipts(from, 0, 0)
		if c := counted(); c.ReceiptCount != 3 || first.ReceiptAt == nil || !c.ReceiptAt.Equal(*first.ReceiptAt) {
			t.Errorf("a test after receipts moved the last one from %v to %v", first.ReceiptAt, c.ReceiptAt)
		}
		s.CountReceipts(from, 1, 0)
		must(t, s.FlushReceipts(ctx))
		c, err := s.CredentialByID(ctx, w.main, owner, again[0].ID)
		must(t, err)
		if c.ReceiptCount != 4 || c.ReceiptRefused != 2 || c.ReceiptAt == nil {
			t.Errorf("counted %d, refused %d, at %v", c.ReceiptCount, c.ReceiptRefused, c.ReceiptAt)
		}
	})
}

// What vendors report reaches the record and the device: once, in any order, and
// never those of another app.
func TestVendorReceipts(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(RouteInput{Channel: "hw", Environment: "production", Token: "token-of-hw"})))
		m := f.sent(t, "1", dev.deviceID, StateAccepted)
		clock.Advance(time.Minute)
		from := Reporter{Channel: "hw", scope: f.app}
		say := func(from Reporter, event, token string) {
			t.Helper()
			must(t, s.VendorReceipts(ctx, from, []VendorReceipt{
				{MessageID: m.ID, DeviceID: dev.deviceID, Event: event, Token: token, Code: "7"},
				{MessageID: "no id", DeviceID: 1, Event: event},
			}))
		}
		stranger := from
		stranger.scope.appID++
		say(stranger, EventArrived, "")
		say(stranger, EventNotifyOff, "")
		if d := f.delivery(t, m.ID); d.State != StateAccepted {
			t.Errorf("another app's report made it %s", d.State)
		}
		for range 2 {
			say(from, EventArrived, "token-of-hw")
			say(from, EventNotifyOff, "")
			say(from, "dropped", "")
		}
		if d := f.delivery(t, m.ID); d.State != StateArrived {
			t.Errorf("it is %s", d.State)
		}
		notes, err := s.VendorNotes(ctx, f.app, m.ID)
		must(t, err)
		if len(notes) != 2 || notes[0].Code != "7" {
			t.Errorf("notes %+v", notes)
		}
		reach, err := f.app.db.ReachDevices(ctx, []int64{dev.deviceID})
		must(t, err)
		if r := reach[dev.deviceID]; r.Device.Notify != NotifyOff || len(r.Routes) != 1 {
			t.Errorf("device %+v", r)
		}

		say(from, EventUninstalled, "another token")
		if reach, err = f.app.db.ReachDevices(ctx, []int64{dev.deviceID}); err != nil || len(reach[dev.deviceID].Routes) != 1 {
			t.Errorf("another token's death took this one: %v", err)
		}
	})
}

// A token that the vendor calls dead is retired unless it was registered since.
func TestVendorReceiptRetires(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		dev := auth(t, s, f.app, register(t, s, f.app, phone(RouteInput{Channel: "hw", Environment: "production", Token: "token-of-hw"})))
		m := f.sent(t, "1", dev.deviceID, StateAccepted)
		from := Reporter{Channel: "hw", scope: f.app}
		routes := func() int {
			t.Helper()
			reach, err := f.app.db.ReachDevices(ctx, []int64{dev.deviceID})
			must(t, err)
			return len(reach[dev.deviceID].Routes)
		}
		say := func(at time.Time) {
			t.Helper()
			must(t, s.VendorReceipts(ctx, from, []VendorReceipt{{MessageID: m.ID, DeviceID: dev.deviceID, Event: EventUninstalled, Token: "token-of-hw", At: at}}))
		}
		say(s.Now().Add(-time.Hour)) // died before it was registered here
		if routes() != 1 {
			t.Error("a token registered since is gone")
		}
		clock.Advance(time.Minute)
		say(s.Now())
		if routes() != 0 {
			t.Error("the dead token is still there")
		}
	})
}

func TestReceiptRef(t *testing.T) {
	t.Parallel()
	const id = "0199a0b0-1111-7222-8333-444455556666"
	for _, device := range []int64{0, 1, 1 << 40, 1<<63 - 1} {
		ref := ReceiptRef(id, device)
		if len(ref) != 32 {
			t.Errorf("%d characters", len(ref))
		}
		if m, d, ok := ParseReceiptRef(ref); !ok || m != id || d != device {
			t.Errorf("%s came back as %s %d %v", ref, m, d, ok)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 31), strings.Repeat("A", 33), strings.Repeat("!", 32)} {
		if _, _, ok := ParseReceiptRef(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}
