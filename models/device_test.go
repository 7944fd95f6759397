package models

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func register(t testing.TB, s *Store, app AppScope, r Registration) Registered {
	t.Helper()
	out, err := s.Register(context.Background(), app, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apnsRoute(token string) RouteInput {
	return RouteInput{Channel: "apns", Environment: "production", PackageName: "com.example.im", Token: token}
}

func phone(routes ...RouteInput) Registration {
	return Registration{Platform: "ios", Model: "iPhone17,1", Language: "zh-CN", TimeZone: "Asia/Shanghai", Notify: NotifyOn, Routes: routes}
}

func auth(t testing.TB, s *Store, app AppScope, r Registered) DeviceScope {
	t.Helper()
	d, err := s.AuthDevice(context.Background(), app, r.Device.Token, r.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func info(t testing.TB, s *Store, app AppScope, id int64) *DeviceInfo {
	t.Helper()
	i, err := s.DeviceByID(context.Background(), app, id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestRegisterAndRefresh(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		r := register(t, s, f.app, phone(apnsRoute("AABB")))
		if !r.Created || len(r.Device.Token) != 36 || len(r.Secret.Reveal()) < 40 {
			t.Fatalf("registered %+v", r)
		}
		if got := info(t, s, f.app, r.Device.ID); len(got.Routes) != 1 || got.Routes[0].Token != "aabb" || got.Device.SecretHash != nil {
			t.Errorf("kept %+v", got)
		}
		for _, wrong := range []Registration{
			{Token: r.Device.Token, Secret: "no"}, {Token: r.Device.Token}, {Token: strings.Repeat("0", 36), Secret: r.Secret.Reveal()},
		} {
			if _, err := s.Register(ctx, f.app, wrong); KindOf(err) != Unauthorized {
				t.Errorf("refresh with %+v: %v, want unauthorized", wrong, err)
			}
		}
		other := addApp(t, s, 1600000011, "ap-shanghai", "ios")
		if _, err := s.AuthDevice(ctx, other, r.Device.Token, r.Secret); KindOf(err) != Unauthorized {
			t.Errorf("another app's key opens the device: %v", err)
		}

		c.Advance(time.Hour)
		again := register(t, s, f.app, Registration{Token: r.Device.Token, Secret: r.Secret.Reveal(), AppVersion: "2.0", Routes: []RouteInput{apnsRoute("ccdd")}})
		if again.Created || again.Secret != "" || again.Device.ID != r.Device.ID || again.Device.AppVersion != "2.0" || again.Device.Model != "iPhone17,1" {
			t.Errorf("refreshed %+v", again.Device)
		}
		got := info(t, s, f.app, r.Device.ID)
		if len(got.Routes) != 2 || got.Routes[0].Token != "ccdd" || got.Routes[1].RetiredCode != RetiredReplaced {
			t.Errorf("routes after refresh: %+v", got.Routes)
		}
		if !got.Device.LastSeenAt.Equal(s.Now()) || got.Device.Language != "zh-CN" {
			t.Errorf("device after refresh: %+v", got.Device)
		}
		register(t, s, f.app, Registration{Token: r.Device.Token, Secret: r.Secret.Reveal(), Notify: NotifyOff})
		if got := info(t, s, f.app, r.Device.ID); got.Routes[0].RetiredAt != nil || got.Device.Notify != NotifyOff {
			t.Errorf("a refresh without routes changed them: %+v", got)
		}
	})
}

func TestVendorTokenBelongsToOneDevice(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		old := register(t, s, f.app, phone(apnsRoute("aa")))
		both := register(t, s, f.app, phone(apnsRoute("bb"), RouteInput{Channel: "fcm", Environment: "production", Token: "x"}))
		now := register(t, s, f.app, phone(apnsRoute("aa"), apnsRoute("bb")))
		if d := info(t, s, f.app, old.Device.ID); len(d.Routes) != 0 || d.Device.RetiredCode != RetiredMoved {
			t.Errorf("the older device kept %+v", d)
		}
		if d := info(t, s, f.app, both.Device.ID); len(d.Routes) != 1 || d.Device.RetiredAt != nil {
			t.Errorf("a device with another address: %+v", d)
		}
		if d := info(t, s, f.app, now.Device.ID); len(d.Routes) != 2 {
			t.Errorf("the newer device has %+v", d.Routes)
		}
		if n := count(t, s.DB, "routes"); n != 3 {
			t.Errorf("%d routes, want 3", n)
		}
		// The same token of another app is another token.
		other := addApp(t, s, 1600000011, "ap-guangzhou", "ios")
		register(t, s, other, phone(apnsRoute("aa")))
		if d := info(t, s, f.app, now.Device.ID); len(d.Routes) != 2 {
			t.Errorf("another app took the route: %+v", d.Routes)
		}

		// Retired by the vendor, registered again: alive again.
		exec(t, s.DB, "UPDATE routes SET retired_at = ?, retired_code = 'Unregistered' WHERE device_id = ?", s.Now(), now.Device.ID)
		exec(t, s.DB, "UPDATE devices SET retired_at = ?, retired_code = 'Unregistered' WHERE id = ?", s.Now(), now.Device.ID)
		register(t, s, f.app, Registration{Token: now.Device.Token, Secret: now.Secret.Reveal(), Routes: []RouteInput{apnsRoute("aa")}})
		reach, err := s.ReachDevices(ctx, []int64{now.Device.ID})
		if err != nil || len(reach[now.Device.ID].Routes) != 1 || reach[now.Device.ID].Device.RetiredAt != nil {
			t.Errorf("after registering again: %+v %v", reach, err)
		}
	})
}

func TestRegistrationLimits(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		for field, r := range map[string]Registration{
			"platform":               {},
			"model":                  {Platform: "ios", Model: strings.Repeat("x", 65)},
			"time_zone":              {Platform: "ios", TimeZone: strings.Repeat("x", 65)},
			"notify":                 {Platform: "ios", Notify: 3},
			"routes":                 {Platform: "ios", Routes: make([]RouteInput, MaxRoutes+1)},
			"routes[0].channel":      {Platform: "ios", Routes: []RouteInput{{Channel: "AP'", Environment: "production", Token: "x"}}},
			"routes[0].environment":  {Platform: "ios", Routes: []RouteInput{{Channel: "apns", Environment: "prod", Token: "x"}}},
			"routes[0].package_name": {Platform: "ios", Routes: []RouteInput{{Channel: "apns", Environment: "production", PackageName: strings.Repeat("x", 256), Token: "x"}}},
			"routes[0].token":        {Platform: "ios", Routes: []RouteInput{{Channel: "apns", Environment: "production", Token: strings.Repeat("x", 4097)}}},
			"routes[1].token":        {Platform: "ios", Routes: []RouteInput{apnsRoute("aa"), apnsRoute("a\x00b")}},
		} {
			_, err := s.Register(context.Background(), f.app, r)
			var e *Error
			if !errors.As(err, &e) || e.Kind != Invalid || e.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if n := count(t, s.DB, "devices"); n != 0 {
			t.Errorf("%d devices from refused registrations", n)
		}
	})
}

func TestBindUnbind(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		a := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		b := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("bb"))))
		bind := func(d DeviceScope, bs ...Binding) {
			t.Helper()
			if err := s.Bind(ctx, d, bs); err != nil {
				t.Fatal(err)
			}
			c.Advance(time.Second)
		}
		bind(a, Binding{Account: "alice"}, Binding{Type: 2, Account: "13800000000"})
		bind(b, Binding{Account: "alice"})
		bind(a, Binding{Account: "bob"}) // takes alice's place on a
		reach := func(account string) (ids []int64) {
			t.Helper()
			k := AccountKey{AppID: f.app.appID, Account: account}
			got, err := s.ReachAccounts(ctx, []AccountKey{k})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got[k] {
				ids = append(ids, r.Device.ID)
			}
			return ids
		}
		if diff := cmp.Diff([]int64{b.deviceID}, reach("alice")); diff != "" {
			t.Errorf("alice is on (-want +got):\n%s", diff)
		}
		bind(a, Binding{Account: "alice"})
		if diff := cmp.Diff([]int64{a.deviceID, b.deviceID}, reach("alice")); diff != "" {
			t.Errorf("alice is on (-want +got):\n%s", diff)
		}
		if infos, err := s.AccountDevices(ctx, f.app, 0, "alice"); err != nil || len(infos) != 2 || infos[0].Device.ID != a.deviceID || len(infos[0].Accounts) != 2 {
			t.Errorf("devices of alice: %+v %v", infos, err)
		}
		if err := s.Unbind(ctx, a, []Binding{{Account: "alice"}, {Account: "nobody"}}); err != nil {
			t.Fatal(err)
		}
		if got := info(t, s, f.app, a.deviceID); len(got.Accounts) != 1 || got.Accounts[0].AccountType != 2 {
			t.Errorf("after unbinding: %+v", got.Accounts)
		}
		if err := s.Unbind(ctx, a, nil); err != nil {
			t.Fatal(err)
		}
		if got := info(t, s, f.app, a.deviceID); len(got.Accounts) != 0 {
			t.Errorf("after unbinding all: %+v", got.Accounts)
		}
		for _, wrong := range [][]Binding{nil, {{Account: "x"}}, {{Account: strings.Repeat("长", 101)}}, {{Account: "ok", Type: -1}}, make([]Binding, MaxBindings+1)} {
			if err := s.Bind(ctx, a, wrong); KindOf(err) != Invalid {
				t.Errorf("bind %v: %v, want invalid", wrong, err)
			}
		}
		for i := range MaxBindings {
			bind(a, Binding{Type: i, Account: "alice"})
		}
		if err := s.Bind(ctx, a, []Binding{{Type: MaxBindings, Account: "alice"}}); KindOf(err) != Conflict {
			t.Errorf("one binding too many: %v", err)
		}
	})
}

func TestBindingSignature(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		key := []byte("the customer's key")
		sealed, err := s.seal(key, keyPlace("bind_key", f.app.appID))
		if err != nil {
			t.Fatal(err)
		}
		exec(t, s.DB, "UPDATE apps SET bind_required = ?, bind_key = ? WHERE id = ?", true, sealed, f.app.appID)
		r := register(t, s, f.app, phone(apnsRoute("aa")))
		d, now := auth(t, s, f.app, r), s.Now().Unix()
		sign := func(b Binding, key string, token string) Binding {
			b.Signature = BindSignature([]byte(key), token, b)
			return b
		}
		good := sign(Binding{Account: "alice", Time: now}, string(key), r.Device.Token)
		typed := sign(Binding{Account: "alice", Type: 2, Time: now}, string(key), r.Device.Token)
		if err := s.Bind(ctx, d, []Binding{good, typed}); err != nil {
			t.Fatalf("good signature: %v", err)
		}
		otherAccount, otherType := good, good
		otherAccount.Account, otherType.Type = "bob", 2
		for want, b := range map[string]Binding{
			"bind_signature_missing": {Account: "alice", Time: now},
			"bind_signature_time":    sign(Binding{Account: "alice", Time: now - 601}, string(key), r.Device.Token),
			"bind_signature_wrong":   sign(Binding{Account: "alice", Time: now}, "another key", r.Device.Token),
		} {
			checkBindError(t, s.Bind(ctx, d, []Binding{b}), want)
		}
		checkBindError(t, s.Bind(ctx, d, []Binding{otherAccount}), "bind_signature_wrong")
		checkBindError(t, s.Bind(ctx, d, []Binding{otherType}), "bind_signature_wrong")
		checkBindError(t, s.Bind(ctx, d, []Binding{sign(Binding{Account: "alice", Time: now}, string(key), "another token")}), "bind_signature_wrong")
		checkBindError(t, s.Bind(ctx, d, []Binding{sign(Binding{Account: "alice", Time: now + 601}, string(key), r.Device.Token)}), "bind_signature_time")
	})
}

func checkBindError(t *testing.T, err error, key string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != Forbidden || e.Key != key {
		t.Errorf("%v, want forbidden %s", err, key)
	}
}

func TestFindAndUnregister(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		r := register(t, s, f.app, phone(apnsRoute("aabb"), RouteInput{Channel: "fcm", Environment: "production", Token: "FcM"}))
		d := auth(t, s, f.app, r)
		if err := s.Bind(ctx, d, []Binding{{Account: "alice"}}); err != nil {
			t.Fatal(err)
		}
		other := addApp(t, s, 1600000011, "ap-guangzhou", "android")
		for _, q := range []string{"alice", r.Device.Token, "AABB", "FcM", " alice "} {
			if got, err := s.FindDevices(ctx, f.app, q); err != nil || len(got) != 1 || len(got[0].Routes) != 2 {
				t.Errorf("find %q: %v %v", q, got, err)
			}
			if got, err := s.FindDevices(ctx, other, q); err != nil || len(got) != 0 {
				t.Errorf("another app finds %q: %v %v", q, got, err)
			}
		}
		if _, err := s.DeviceByID(ctx, other, d.deviceID); KindOf(err) != NotFound {
			t.Errorf("another app sees the device: %v", err)
		}
		if err := s.SetBadge(ctx, d, 7); err != nil {
			t.Fatal(err)
		}
		if err := s.SetNotify(ctx, d, false); err != nil {
			t.Fatal(err)
		}
		if got := info(t, s, f.app, d.deviceID).Device; got.Badge != 7 || got.Notify != NotifyOff {
			t.Errorf("badge and switch: %+v", got)
		}
		if err := s.SetBadge(ctx, d, -1); KindOf(err) != Invalid {
			t.Errorf("badge -1: %v", err)
		}
		if err := s.Unregister(ctx, d); err != nil {
			t.Fatal(err)
		}
		got := info(t, s, f.app, d.deviceID)
		if got.Device.RetiredCode != RetiredUnregistered || len(got.Accounts) != 0 || got.Routes[0].RetiredAt == nil {
			t.Errorf("after unregistering: %+v", got)
		}
		if n, err := s.CountDevices(ctx, f.app, 10); err != nil || n != 0 {
			t.Errorf("%d living devices %v", n, err)
		}
		register(t, s, f.app, Registration{Token: r.Device.Token, Secret: r.Secret.Reveal(), Routes: []RouteInput{apnsRoute("aabb")}})
		if n, err := s.CountDevices(ctx, f.app, 10); err != nil || n != 1 {
			t.Errorf("%d living devices after coming back %v", n, err)
		}
	})
}

func TestDeleteUserData(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		exec(t, s.DB, "UPDATE accounts SET content_days = 7")
		s.forgetIngest()
		f.in = ingest(t, s)
		alone := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("aa"))))
		shared := auth(t, s, f.app, register(t, s, f.app, phone(apnsRoute("bb"))))
		for _, d := range []DeviceScope{alone, shared} {
			if err := s.Bind(ctx, d, []Binding{{Account: "alice"}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Bind(ctx, shared, []Binding{{Type: 1, Account: "bob"}}); err != nil {
			t.Fatal(err)
		}
		msgs := make([]Incoming, purgeChunk+3)
		for i := range msgs {
			msgs[i] = Incoming{Account: "alice", Content: Content{Title: "t"}}
		}
		f.accept(t, append(msgs, message("b", "bob"))...)
		for _, b := range claimAll(t, s.DB, "w") {
			if _, _, err := s.Record(ctx, "w", []Recording{settled(b, alone.deviceID, StateAccepted)}); err != nil {
				t.Fatal(err)
			}
		}
		messages, devices, err := s.DeleteUserData(ctx, f.app, "alice")
		if err != nil || messages != len(msgs) || devices != 1 {
			t.Errorf("deleted %d messages, %d devices, %v", messages, devices, err)
		}
		for _, table := range []string{"messages", "deliveries", "message_contents", "devices", "routes", "device_accounts"} {
			if n := count(t, s.DB, table); n != 1 {
				t.Errorf("%d %s left, want bob's", n, table)
			}
		}
	})
}
