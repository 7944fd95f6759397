package models

import (
	"context"
	"errors"
	"testing"
)

// world is an account with a product, two apps and an IM app.
type world struct {
	s       *Store
	main    Actor
	product *Product
	android App
	ios     App
	im      *IMApp
	secret  Secret
}

const testPassword = "correct horse 2026"

func bridges() []string { return []string{"wukongim", "generic"} }

// newWorld makes an account; name tells several of one store apart.
func newWorld(t testing.TB, s *Store, name string) *world {
	t.Helper()
	ctx := context.Background()
	u, err := s.CreateMainAccount(ctx, MainAccount{Name: name, UserName: name, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{s: s, main: u.Actor("203.0.113.9")}
	p, apps, err := s.CreateProduct(ctx, w.main, ProductInput{
		Name: "蓝鲸", Category: "office", Region: "ap-guangzhou", Platforms: []string{PlatformIOS, PlatformAndroid},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.product, w.android, w.ios = p, apps[0], apps[1]
	if w.im, w.secret, err = s.CreateIMApp(ctx, w.main, IMAppInput{Name: "蓝鲸 IM", Bridge: "wukongim"}, bridges()); err != nil {
		t.Fatal(err)
	}
	return w
}

// sub adds a sub-account and returns it as an actor.
func (w *world) sub(t testing.TB, name string, r Rights) Actor {
	t.Helper()
	u, err := w.s.CreateUser(context.Background(), w.main, UserInput{
		Name: name, Password: testPassword, Role: r.Role, AllProducts: r.AllProducts, Products: r.Products,
		CanIM: r.CanIM, CanContent: r.CanContent,
	})
	if err != nil {
		t.Fatal(err)
	}
	return u.Actor("198.51.100.7")
}

// p8 is a credential as the console would save it.
func p8(environment string) CredentialInput {
	return CredentialInput{
		Channel: "apns", Environment: environment, Kind: "p8",
		Fields: map[string]string{"p8": "-----BEGIN PRIVATE KEY-----", "key_id": "8Q4ZT2XKJ7", "team_id": "L9WM3C5R2E"},
		Info:   CredentialInfo{KeyID: "8Q4ZT2XKJ7", TeamID: "L9WM3C5R2E"},
	}
}

// must fails the test unless err is nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless err is of the kind and, unless "", has the key.
func refused(t testing.TB, err error, kind Kind, key string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || key != "" && e.Key != key {
		t.Errorf("got %v, want %s %s", err, kind, key)
	}
}

// The seed's flow in the control plane: authorize, look, release, authorize again.
func TestAuthorizationFlow(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		z, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		_, app, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		if app.Service() != ServiceIM || app.IMAppName != "蓝鲸 IM" || app.AuthorizationID != z.ID {
			t.Errorf("after authorizing: %s, %q, %d", app.Service(), app.IMAppName, app.AuthorizationID)
		}
		plans, err := s.Plans(ctx, w.main, w.ios.ID)
		must(t, err)
		if len(plans) != 1 || plans[0].Name != "即时通信IM消息" || !plans[0].IsIM() {
			t.Fatalf("plans: %+v", plans)
		}
		_, err = s.UpdatePlan(ctx, w.main, w.ios.ID, plans[0].ID, "x", "")
		refused(t, err, Conflict, "errors.plan.im_fixed")
		refused(t, s.DeletePlan(ctx, w.main, w.ios.ID, plans[0].ID), Conflict, "errors.plan.im_fixed")
		refused(t, s.DeleteApp(ctx, w.main, w.ios.ID, w.ios.Name), Conflict, "errors.app.authorized")
		refused(t, s.DeleteProduct(ctx, w.main, w.product.ID, w.product.Name), Conflict, "errors.app.authorized")
		refused(t, s.DeleteIMApp(ctx, w.main, w.im.ID, w.im.Name), Conflict, "errors.im_app.authorized")
		_, err = s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		refused(t, err, Conflict, "errors.authorization.taken")

		for _, use := range []Use{UseTest, UsePush, UseStatistics} {
			refused(t, Gate(&app.App, use), Conflict, "errors.gate.im_only")
		}
		must(t, Gate(&app.App, UseIM))
		opened, err := s.SetFullPush(ctx, w.main, w.ios.ID, true)
		must(t, err)
		must(t, Gate(opened, UseTest))
		if opened.Service() != ServiceFull {
			t.Errorf("with full push: %s", opened.Service())
		}

		in, err := s.IngestBySecret(ctx, w.secret.Reveal())
		must(t, err)
		if !in.Authorized() {
			t.Error("the ingest address does not see the authorization")
		}
		if in.Language() != LanguageChinese {
			t.Errorf("the ingest address speaks %q", in.Language())
		}
		must(t, s.Release(ctx, w.main, z.ID))
		refused(t, s.Release(ctx, w.main, z.ID), Conflict, "errors.authorization.released")
		if in, err = s.IngestBySecret(ctx, w.secret.Reveal()); err != nil || in.Authorized() {
			t.Errorf("after release: authorized %v, %v", in.Authorized(), err)
		}
		_, app, err = s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		if app.Service() != ServiceNew || app.Authorized() || app.FullPush {
			t.Errorf("after release: %s, authorized %v, full push %v", app.Service(), app.Authorized(), app.FullPush)
		}
		plans, err = s.Plans(ctx, w.main, w.ios.ID)
		must(t, err)
		if plans[0].ReleasedAt == nil {
			t.Error("the plan is not marked as released")
		}
		again, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		if again.PlanID != plans[0].ID {
			t.Error("a new authorization made another plan")
		}
		plan, err := s.PlanByID(ctx, w.main, w.ios.ID, again.PlanID)
		must(t, err)
		if plan.ReleasedAt != nil {
			t.Error("the plan does not go on")
		}
	})
}
