package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestProducts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		in := ProductInput{Name: "小满", Category: "education", Region: "ap-shanghai", Platforms: []string{PlatformMacOS}}
		p, apps, err := s.CreateProduct(ctx, w.main, in)
		must(t, err)
		if len(apps) != 1 || !strings.HasPrefix(apps[0].AccessID(), "178") || len(apps[0].AccessID()) != 10 {
			t.Errorf("apps: %+v", apps)
		}
		if !strings.HasPrefix(w.ios.AccessID(), "160") || !strings.HasPrefix(w.android.AccessID(), "150") {
			t.Errorf("AccessIDs %s and %s", w.ios.AccessID(), w.android.AccessID())
		}
		for field, change := range map[string]func(*ProductInput){
			"name":        func(i *ProductInput) { i.Name = strings.Repeat("长", MaxProductName+1) },
			"description": func(i *ProductInput) { i.Description = "a\u202eb" },
			"category":    func(i *ProductInput) { i.Category = "nonsense" },
			"region":      func(i *ProductInput) { i.Region = "moon" },
			"platforms":   func(i *ProductInput) { i.Platforms = nil },
		} {
			bad := in
			change(&bad)
			_, _, err := s.CreateProduct(ctx, w.main, bad)
			if e := asError(t, err); e.Kind != Invalid || e.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		_, _, err = s.CreateProduct(ctx, w.main, in)
		refused(t, err, Conflict, "errors.product.name_taken")
		if e := asError(t, err); e.Field != "name" {
			t.Errorf("conflict at field %q", e.Field)
		}
		in.Name = "小满家校通"
		_, err = s.UpdateProduct(ctx, w.main, p.ID, in)
		must(t, err)

		list, err := s.Products(ctx, w.main, "")
		must(t, err)
		if len(list) != 2 || list[0].Name != "小满家校通" || len(list[1].Apps) != 2 || list[1].Apps[0].Platform != PlatformAndroid {
			t.Errorf("list: %+v", list)
		}
		for query, want := range map[string]int{"小满": 1, w.ios.AccessID(): 1, "蓝": 1, "nothing": 0, " ": 2} {
			if list, err := s.Products(ctx, w.main, query); err != nil || len(list) != want {
				t.Errorf("search %q: %d products, want %d (%v)", query, len(list), want, err)
			}
		}

		refused(t, s.DeleteProduct(ctx, w.main, p.ID, "小满"), Invalid, "errors.name_mismatch")
		must(t, s.DeleteProduct(ctx, w.main, p.ID, "小满家校通"))
		_, err = s.ProductByID(ctx, w.main, p.ID)
		refused(t, err, NotFound, "")
		_, _, err = s.CreateProduct(ctx, w.main, in) // the name is free again
		must(t, err)
	})
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an Error: %v", err)
	}
	return e
}

func TestProductScope(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		other, apps, err := s.CreateProduct(ctx, w.main, ProductInput{Name: "other", Category: "game", Region: "ap-guangzhou", Platforms: []string{PlatformIOS}})
		must(t, err)
		some := w.sub(t, "some", Rights{Role: RoleFull, Products: []int64{w.product.ID}, CanIM: true})
		list, err := s.Products(ctx, some, "")
		must(t, err)
		if len(list) != 1 || list[0].ID != w.product.ID {
			t.Errorf("sees %d products", len(list))
		}
		_, _, err = s.ScopeForApp(ctx, some, apps[0].ID)
		refused(t, err, NotFound, "")
		_, err = s.UpdateProduct(ctx, some, other.ID, ProductInput{Name: "x", Category: "game"})
		refused(t, err, NotFound, "")
		_, err = s.SetPackage(ctx, some, apps[0].ID, "com.example.app")
		refused(t, err, NotFound, "")
		_, err = s.Authorize(ctx, some, w.im.ID, other.ID, apps[0].ID)
		refused(t, err, Invalid, "errors.authorization.product")
		_, _, err = s.CreateProduct(ctx, some, ProductInput{Name: "y", Category: "game", Region: "ap-guangzhou", Platforms: []string{PlatformIOS}})
		refused(t, err, Forbidden, "errors.forbidden.all_products")
		read := w.sub(t, "read", Rights{Role: RoleRead, AllProducts: true})
		_, err = s.AddApp(ctx, read, w.product.ID, PlatformMacOS, "")
		refused(t, err, Forbidden, "errors.forbidden.configure")
		_, err = s.CreatePlan(ctx, read, w.ios.ID, "x", "")
		refused(t, err, Forbidden, "errors.forbidden.push")
		_, err = s.Authorizations(ctx, read)
		refused(t, err, Forbidden, "errors.forbidden.im")
		// A product that is deleted leaves the scopes.
		must(t, s.DeleteProduct(ctx, w.main, w.product.ID, w.product.Name))
		u, err := s.UserByID(ctx, w.main, some.UserID)
		must(t, err)
		if len(u.Products) != 0 {
			t.Errorf("still in scope: %v", u.Products)
		}
	})
}

func TestAddApp(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		_, err := s.AddApp(ctx, w.main, w.product.ID, PlatformIOS, "")
		refused(t, err, Conflict, "errors.app.platform_taken")
		_, err = s.AddApp(ctx, w.main, w.product.ID, "symbian", "")
		refused(t, err, Invalid, "errors.app.platform")
		a, err := s.AddApp(ctx, w.main, w.product.ID, PlatformMacOS, " 桌面版 ")
		must(t, err)
		if a.Name != "桌面版" || a.ServiceState != ServiceNew {
			t.Errorf("app: %+v", a)
		}
		a, err = s.RenameApp(ctx, w.main, a.ID, "Mac")
		must(t, err)
		refused(t, s.DeleteApp(ctx, w.main, a.ID, "mac"), Invalid, "errors.name_mismatch")
		must(t, s.DeleteApp(ctx, w.main, a.ID, "Mac"))
		_, err = s.AddApp(ctx, w.main, w.product.ID, PlatformMacOS, "")
		must(t, err) // the platform is free again
		waiting, err := s.DeletedApps(ctx, s.DB, 10)
		must(t, err)
		if len(waiting) != 1 || waiting[0].Scope.AppID() != a.ID {
			t.Fatalf("waiting to be purged: %+v", waiting)
		}
		must(t, s.AppPurged(ctx, waiting[0].Scope))
		refused(t, s.AppPurged(ctx, waiting[0].Scope), Conflict, "")
		if waiting, err = s.DeletedApps(ctx, s.DB, 10); err != nil || len(waiting) != 0 {
			t.Errorf("after the purge: %+v, %v", waiting, err)
		}
	})
}

func TestAccessKey(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		other := anotherProcess(s)
		key, err := s.AccessKey(ctx, w.main, w.ios.ID)
		must(t, err)
		if len(key) != 12 || key[0] != 'A' || fmt.Sprint(key) != hidden {
			t.Errorf("AccessKey %q prints as %v", key.Reveal(), key)
		}
		scope, err := s.AppByAccessKey(ctx, w.ios.ID, key.Reveal())
		must(t, err)
		if scope.AppID() != w.ios.ID || scope.AccountID() != w.main.AccountID {
			t.Errorf("scope: %+v", scope)
		}
		_, err = other.AppByAccessKey(ctx, w.ios.ID, key.Reveal())
		must(t, err)
		for _, wrong := range []string{"", "A", key.Reveal() + "x"} {
			_, err = s.AppByAccessKey(ctx, w.ios.ID, wrong)
			refused(t, err, Unauthorized, "errors.access_key")
		}
		_, err = s.AppByAccessKey(ctx, w.android.ID, key.Reveal())
		refused(t, err, Unauthorized, "")
		_, err = s.AppByAccessKey(ctx, 1, key.Reveal())
		refused(t, err, Unauthorized, "")

		fresh, err := s.ResetAccessKey(ctx, w.main, w.ios.ID)
		must(t, err)
		_, err = s.AppByAccessKey(ctx, w.ios.ID, key.Reveal())
		refused(t, err, Unauthorized, "") // at once in this process
		clock.Advance(cacheLife)
		_, err = other.AppByAccessKey(ctx, w.ios.ID, key.Reveal())
		refused(t, err, Unauthorized, "") // within a second in another
		_, err = other.AppByAccessKey(ctx, w.ios.ID, fresh.Reveal())
		must(t, err)
		must(t, s.DeleteApp(ctx, w.main, w.ios.ID, w.ios.Name))
		_, err = s.AppByAccessKey(ctx, w.ios.ID, fresh.Reveal())
		refused(t, err, Unauthorized, "")
	})
}

// anotherProcess is a store on the same database with memories of its own.
func anotherProcess(s *Store) *Store {
	return &Store{DB: s.DB, Regions: s.Regions, byRegion: s.byRegion, unique: s.unique, keys: s.keys, control: newControl()}
}

func TestSecretKey(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		_, err := s.RevealSecretKey(ctx, w.main, w.ios.ID, "wrong")
		if e := asError(t, err); e.Kind != Unauthorized || e.Field != "password" || e.Data["Left"] != freeTries-1 {
			t.Errorf("wrong password: %v", err)
		}
		key, err := s.RevealSecretKey(ctx, w.main, w.ios.ID, testPassword)
		must(t, err)
		if len(key) != secretKeyLength || utf8.RuneCountInString(key.Reveal()) != secretKeyLength {
			t.Errorf("SecretKey of %d characters", len(key))
		}
		fresh, err := s.ResetSecretKey(ctx, w.main, w.ios.ID, testPassword)
		must(t, err)
		again, err := s.RevealSecretKey(ctx, w.main, w.ios.ID, testPassword)
		must(t, err)
		if fresh == key || again != fresh {
			t.Error("the reset did not replace the key")
		}
		full := w.sub(t, "full", Rights{Role: RoleFull, AllProducts: true})
		_, err = s.RevealSecretKey(ctx, full, w.ios.ID, testPassword)
		refused(t, err, Forbidden, "errors.forbidden.main")
		page, err := s.Audit(ctx, w.main, AuditFilter{Action: ActionReveal})
		must(t, err)
		if len(page.Rows) != 2 || page.Rows[0].TargetID != w.ios.AccessID() {
			t.Errorf("audit: %+v", page.Rows)
		}
		for _, table := range []string{"apps", "credentials", "im_apps", "users", "audit_logs", "login_sessions", "setup_tokens"} {
			if strings.Contains(dump(t, s, table), key.Reveal()) {
				t.Errorf("%s holds a SecretKey in the clear", table)
			}
		}
	})
}

// dump returns a table's rows as text.
func dump(t testing.TB, s *Store, table string) string {
	t.Helper()
	var rows []map[string]any
	must(t, s.read(t.Context()).Table(table).Find(&rows).Error)
	var b strings.Builder
	for _, r := range rows {
		for k, v := range r {
			if raw, ok := v.([]byte); ok {
				v = string(raw)
			}
			fmt.Fprintf(&b, "%s=%v\n", k, v)
		}
	}
	return b.String()
}

func TestCheckPackage(t *testing.T) {
	t.Parallel()
	tests := []struct{ platform, name, key string }{
		{PlatformAndroid, " cn.lanxun.whale ", ""},
		{PlatformAndroid, "com.Example_1.app2", ""},
		{PlatformAndroid, "", "errors.app.package_missing"},
		{PlatformAndroid, "whale", "errors.app.package"},
		{PlatformAndroid, "com.1app", "errors.app.package"},
		{PlatformAndroid, "com.my-app", "errors.app.package"},
		{PlatformAndroid, "com..app", "errors.app.package"},
		{PlatformAndroid, "com.app.", "errors.app.package"},
		{PlatformAndroid, "com.应用", "errors.app.package"},
		{PlatformAndroid, "com." + strings.Repeat("a", 252), "errors.text_long"},
		{PlatformIOS, "cn.lanxun.whale-1.2", ""},
		{PlatformIOS, "", "errors.app.bundle_missing"},
		{PlatformIOS, "cn.lan_xun", "errors.app.bundle"},
		{PlatformIOS, "cn lanxun", "errors.app.bundle"},
		{PlatformIOS, ".cn", "errors.app.bundle"},
		{PlatformMacOS, "cn.lanxun\n", ""},
		{PlatformMacOS, "cn.*", "errors.app.bundle"},
	}
	for _, test := range tests {
		got, err := CheckPackage(test.platform, test.name)
		if test.key == "" {
			if err != nil || got != strings.TrimSpace(test.name) {
				t.Errorf("%s %q: %q, %v", test.platform, test.name, got, err)
			}
			continue
		}
		refused(t, err, Invalid, test.key)
	}
}

func TestAppSettings(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		_, err := s.SetDelivery(ctx, w.main, w.ios.ID, "some", TextFull, 0)
		refused(t, err, Invalid, "errors.app.fanout")
		_, err = s.SetDelivery(ctx, w.main, w.ios.ID, FanoutLatest, "shout", 0)
		refused(t, err, Invalid, "errors.app.text_mode")
		_, err = s.SetDelivery(ctx, w.main, w.ios.ID, FanoutLatest, TextGeneric, 30)
		must(t, err)
		cfg, err := s.SendConfig(ctx, w.ios.ID)
		must(t, err)
		if cfg.Fanout != FanoutLatest || cfg.TextMode != TextGeneric || cfg.HideKey == "" || cfg.Sandbox {
			t.Errorf("config: %+v", cfg)
		}
		a, key, err := s.SetBindRequired(ctx, w.main, w.ios.ID, true)
		must(t, err)
		if !a.BindRequired || len(key) != secretKeyLength {
			t.Errorf("binding: %v, key of %d", a.BindRequired, len(key))
		}
		scope, _, err := s.ScopeForApp(ctx, w.main, w.ios.ID)
		must(t, err)
		kept, err := s.bindKey(ctx, scope)
		must(t, err)
		if string(kept) != key.Reveal() {
			t.Error("the kept binding key is another")
		}
		_, none, err := s.SetBindRequired(ctx, w.main, w.ios.ID, true)
		must(t, err)
		if none != "" {
			t.Error("the binding key is shown a second time")
		}
		fresh, err := s.RotateBindKey(ctx, w.main, w.ios.ID)
		must(t, err)
		if kept, err = s.bindKey(ctx, scope); err != nil || string(kept) != fresh.Reveal() || fresh == key {
			t.Errorf("rotation: %v", err)
		}
		_, err = s.SetFullPush(ctx, w.main, w.ios.ID, true)
		refused(t, err, Conflict, "errors.app.full_push_not_needed")
		_, err = s.SetSandbox(ctx, w.main, w.ios.ID, true)
		must(t, err)
		if cfg, err = s.SendConfig(ctx, w.ios.ID); err != nil || !cfg.Sandbox {
			t.Errorf("sandbox: %+v, %v", cfg, err)
		}
	})
}

// 服务详情 follows what it rests on, and 解除授权 gives back what would have been.
func TestServiceState(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		state := func(want string) {
			t.Helper()
			if _, v, err := s.ScopeForApp(ctx, w.main, w.ios.ID); err != nil || v.Service() != want {
				t.Errorf("service state %s, want %s (%v)", v.Service(), want, err)
			}
		}
		state(ServiceNew)
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentProduction))
		must(t, err)
		state(ServiceNew) // no package name yet
		a, err := s.SetPackage(ctx, w.main, w.ios.ID, "cn.lanxun.whale")
		must(t, err)
		if a.Service() != ServiceAll {
			t.Errorf("returned state %s", a.Service())
		}
		state(ServiceAll)
		z, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		state(ServiceIM)
		if z.PrevState != ServiceAll {
			t.Errorf("state before: %s", z.PrevState)
		}
		_, err = s.SetFullPush(ctx, w.main, w.ios.ID, true)
		must(t, err)
		state(ServiceFull)
		_, err = s.SetFullPush(ctx, w.main, w.ios.ID, false)
		must(t, err)
		state(ServiceIM)
		must(t, s.Release(ctx, w.main, z.ID))
		state(ServiceAll)
		_, err = s.SetSandbox(ctx, w.main, w.ios.ID, true)
		must(t, err)
		state(ServiceNew) // no key that the simulator takes
		sandbox, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentSandbox))
		must(t, err)
		state(ServiceAll)
		must(t, s.DeleteCredential(ctx, w.main, AppOwner(w.ios.ID), sandbox[0].ID))
		state(ServiceNew)
		_, err = s.SetSandbox(ctx, w.main, w.ios.ID, false)
		must(t, err)
		state(ServiceAll)
		must(t, s.DeleteCredential(ctx, w.main, AppOwner(w.ios.ID), saved[0].ID))
		state(ServiceNew)
	})
}

func TestGate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tests := []struct {
		name    string
		app     *App
		allowed []Use
	}{
		{"new", &App{ServiceState: ServiceNew}, []Use{UseIM, UseTest, UsePush, UseStatistics}},
		{"all", &App{ServiceState: ServiceAll}, []Use{UseIM, UseTest, UsePush, UseStatistics}},
		{"im", &App{ServiceState: ServiceIM}, []Use{UseIM}},
		{"full", &App{ServiceState: ServiceIM, FullPush: true}, []Use{UseIM, UseTest, UsePush, UseStatistics}},
		{"deleted", &App{ServiceState: ServiceAll, DeletedAt: &now}, nil},
		{"none", nil, nil},
	}
	for _, test := range tests {
		for _, use := range []Use{UseIM, UseTest, UsePush, UseStatistics} {
			if got, want := Gate(test.app, use) == nil, slices.Contains(test.allowed, use); got != want {
				t.Errorf("%s, %s: allowed %v, want %v", test.name, use, got, want)
			}
		}
	}
}

func TestPlans(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		ops := w.sub(t, "ops", Rights{Role: RoleOps, AllProducts: true})
		p, err := s.CreatePlan(ctx, ops, w.ios.ID, " 活动与公告 ", "每周")
		must(t, err)
		_, err = s.CreatePlan(ctx, ops, w.ios.ID, "活动与公告", "")
		refused(t, err, Conflict, "errors.plan.name_taken")
		_, err = s.CreatePlan(ctx, ops, w.android.ID, "活动与公告", "")
		must(t, err) // another app's
		_, err = s.CreatePlan(ctx, ops, w.ios.ID, IMPlanName, "")
		refused(t, err, Conflict, "errors.plan.name_reserved")
		_, err = s.CreatePlan(ctx, ops, w.ios.ID, "", "")
		refused(t, err, Invalid, "errors.plan.name_missing")
		_, err = s.CreatePlan(ctx, ops, w.ios.ID, "x", strings.Repeat("述", MaxPlanDescription+1))
		refused(t, err, Invalid, "errors.text_long")
		_, err = s.UpdatePlan(ctx, ops, w.ios.ID, p.ID, IMPlanName, "")
		refused(t, err, Conflict, "errors.plan.name_reserved")
		p, err = s.UpdatePlan(ctx, ops, w.ios.ID, p.ID, "公告", "每月")
		must(t, err)
		_, err = s.PlanByID(ctx, ops, w.android.ID, p.ID)
		refused(t, err, NotFound, "") // not that app's
		refused(t, s.DeletePlan(ctx, ops, w.android.ID, p.ID), NotFound, "")
		z, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		list, err := s.Plans(ctx, ops, w.ios.ID)
		must(t, err)
		names := []string{}
		for _, p := range list {
			names = append(names, p.Name)
		}
		if d := cmp.Diff([]string{IMPlanName, "公告"}, names); d != "" {
			t.Errorf("plans (-want +got):\n%s", d)
		}
		must(t, s.DeletePlan(ctx, ops, w.ios.ID, p.ID))
		refused(t, s.DeletePlan(ctx, ops, w.ios.ID, z.PlanID), Conflict, "errors.plan.im_fixed")
	})
}
