package models

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A sample secret reaches its app alone, only in the sandbox, for a minute.
func TestSampleSecret(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx, w := context.Background(), newWorld(t, s, "one")
		_, err := s.SampleSecret(ctx, w.main, w.ios.ID)
		refused(t, err, Conflict, "errors.sandbox.off")
		if _, err = s.SetSandbox(ctx, w.main, w.ios.ID, true); err != nil {
			t.Fatal(err)
		}
		_, err = s.SampleSecret(ctx, w.main, w.ios.ID)
		refused(t, err, Conflict, "errors.sandbox.unauthorized")
		for _, app := range []int64{w.ios.ID, w.android.ID} {
			if _, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, app); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.SampleSecret(ctx, w.sub(t, "reader", Rights{Role: RoleRead, AllProducts: true}), w.ios.ID)
		refused(t, err, Forbidden, "")
		_, err = s.SampleSecret(ctx, newWorld(t, s, "two").main, w.ios.ID)
		refused(t, err, NotFound, "")

		secret, err := s.SampleSecret(ctx, w.main, w.ios.ID)
		must(t, err)
		in, err := s.IngestBySecret(ctx, secret.Reveal())
		if err != nil || in.IMAppID() != w.im.ID || in.Bridge() != "wukongim" || len(in.targets) != 1 || in.targets[0].scope.appID != w.ios.ID {
			t.Fatalf("sample reaches %+v, %v", in, err)
		}
		forged := secret.Reveal()[:len(secret)-4] + "AAAA"
		for _, bad := range []string{forged, samplePrefix, samplePrefix + "!", strings.TrimPrefix(secret.Reveal(), samplePrefix)} {
			_, err := s.IngestBySecret(ctx, bad)
			refused(t, err, NotFound, "")
		}
		_, err = s.SetSandbox(ctx, w.main, w.ios.ID, false)
		must(t, err)
		if in, err := s.IngestBySecret(ctx, secret.Reveal()); err != nil || in.Authorized() {
			t.Errorf("a sample reaches a real app: %+v, %v", in, err)
		}
		clock.Advance(sampleLife + 2*time.Second)
		_, err = s.IngestBySecret(ctx, secret.Reveal())
		refused(t, err, NotFound, "")
	})
}

func TestVirtualPhoneAndSettings(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx, w := context.Background(), newWorld(t, s, "one")
		scope, _, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		got := register(t, s, scope, phone(apnsRoute("AA")))
		token := got.Device.Token
		must(t, s.KeepVirtualPhone(ctx, scope, token, got.Secret))
		if secret, err := s.VirtualPhone(ctx, scope, token); err != nil || secret != got.Secret {
			t.Errorf("secret %v", err)
		}
		if n := count(t, s.DB, "meta WHERE value = ?", []byte(got.Secret.Reveal())); n != 0 {
			t.Error("the secret is stored in the clear")
		}
		_, err = s.SignVirtual(ctx, scope, token, Binding{Account: "u2"})
		refused(t, err, Conflict, "errors.sandbox.off")
		_, err = s.SetSandbox(ctx, w.main, w.ios.ID, true)
		must(t, err)
		_, _, err = s.SetBindRequired(ctx, w.main, w.ios.ID, true)
		must(t, err)
		signed, err := s.SignVirtual(ctx, scope, token, Binding{Account: "u2"})
		must(t, err)
		dev, err := s.AuthDevice(ctx, scope, token, got.Secret)
		must(t, err)
		must(t, s.Bind(ctx, dev, []Binding{signed}))

		if set, err := s.SimulatorSettings(ctx, w.ios.ID); err != nil || set != (SimulatorSettings{Mix: MixAll, Receipts: true}) {
			t.Errorf("settings before any were saved: %+v, %v", set, err)
		}
		set := SimulatorSettings{LatencyMs: 45, ErrorPercent: 2, Mix: MixThrottle}
		refused(t, s.SetSimulatorSettings(ctx, w.main, w.ios.ID, SimulatorSettings{LatencyMs: 1 << 20, Mix: MixAll}), Invalid, "errors.sandbox.range")
		refused(t, s.SetSimulatorSettings(ctx, newWorld(t, s, "two").main, w.ios.ID, set), NotFound, "")
		must(t, s.SetSimulatorSettings(ctx, w.main, w.ios.ID, set))
		if now, err := s.SimulatorFor(ctx, "apns", "aa"); err != nil || now != set {
			t.Errorf("settings %+v, %v", now, err)
		}

		if _, _, err = s.DeleteUserData(ctx, scope, "u2"); err != nil {
			t.Fatal(err)
		}
		_, err = s.VirtualPhone(ctx, scope, token)
		refused(t, err, NotFound, "")
		must(t, s.LogUserDataDeletion(ctx, w.main, w.ios.ID))
	})
}
