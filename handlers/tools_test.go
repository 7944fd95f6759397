package handlers

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// ready is an app that a virtual phone and a sample message can reach.
type ready struct {
	*site
	main  models.Actor
	app   models.App
	base  string
	admin *visitor
}

// newReady boots a console whose sandbox calls its own listener.
func newReady(t *testing.T, engine models.Dialect) *ready {
	t.Helper()
	var s *site
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Web.ServeHTTP(w, r) }))
	t.Cleanup(own.Close)
	s = newSite(t, engine, func(d *Deps) { d.Self = own.URL })
	main := s.Account("lin")
	_, apps := s.Product(main, "蓝鲸", models.PlatformIOS, models.PlatformAndroid)
	r := &ready{site: s, main: main, admin: s.Login(main)}
	for _, a := range apps {
		if a.Platform == models.PlatformIOS {
			r.app = a
		}
	}
	r.base = appBase(r.app.ID)
	s.Store.StartAccepting(nil)
	t.Cleanup(func() {
		if err := s.Store.StopAccepting(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return r
}

// phone registers a device and binds accounts to it.
func (r *ready) phone(routes []models.RouteInput, notify int, accounts ...string) models.Registered {
	r.t.Helper()
	scope := r.scope()
	got, err := r.Store.Register(r.t.Context(), scope, models.Registration{
		Platform: r.app.Platform, Brand: "Apple", Model: "iPhone 15", OSVersion: "18.1", AppVersion: "6.8.2", Language: "zh-CN", TimeZone: "Asia/Shanghai",
		Notify: notify, Routes: routes,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	dev, err := r.Store.AuthDevice(r.t.Context(), scope, got.Device.Token, got.Secret)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, a := range accounts {
		if err := r.Store.Bind(r.t.Context(), dev, []models.Binding{{Account: a, Type: i}}); err != nil {
			r.t.Fatal(err)
		}
	}
	return got
}

func (r *ready) scope() models.AppScope {
	r.t.Helper()
	scope, _, err := r.Store.ScopeForApp(r.t.Context(), r.main, r.app.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return scope
}

func (r *ready) credential(in models.CredentialInput) models.Credential {
	r.t.Helper()
	if in.Channel == "" {
		in.Channel, in.Kind, in.Fields = "apns", "p8", map[string]string{"p8": "x"}
	}
	got, err := r.Store.SaveCredentials(r.t.Context(), r.main, models.AppOwner(r.app.ID), in)
	if err != nil {
		r.t.Fatal(err)
	}
	return got[0]
}

func apnsToken(first string) string { return strings.Repeat(first, 64/len(first)) }

func eachReady(t *testing.T, fn func(t *testing.T, r *ready)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fn(t, newReady(t, engine))
		})
	}
}

func TestToolsFindDevices(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		route := models.RouteInput{Channel: "apns", Environment: models.EnvironmentProduction, PackageName: "cn.lanxun.whale", Token: apnsToken("ab")}
		got := r.phone([]models.RouteInput{route}, models.NotifyOn, "zhangwei_0412", "second_account")
		r.admin.Get(r.base + "/tools").Want(200).Has("查一台设备").HasNot("没有找到设备")
		for _, q := range []string{"zhangwei_0412", got.Device.Token, apnsToken("AB")} {
			p := r.admin.Get(r.base+"/tools?q="+url.QueryEscape(q)).Want(200).
				Has("Apple iPhone 15", got.Device.Token, "6.8.2", "…ababab", "zhangwei_0412", "second_account", "APNs 通道没有凭证")
			if strings.Contains(string(p.Body), route.Token) {
				t.Error("the page holds a whole vendor token")
			}
			p.Link(r.base + "/test?device=" + number(got.Device.ID)).Link(r.base + "/config")
		}
		r.admin.Get(r.base+"/devices/"+number(got.Device.ID)).Want(200).Has("Apple iPhone 15", "这台设备现在收不到推送")
		r.admin.Get(r.base+"/tools?q=nobody").Want(200).Has("没有找到设备", "nobody")

		other := r.Account("other")
		_, apps := r.Product(other, "别家")
		stranger := r.Login(other)
		stranger.Get(r.base + "/tools?q=zhangwei_0412").Want(404)
		stranger.Get(r.base + "/devices/" + number(got.Device.ID)).Want(404)
		stranger.Get(appBase(apps[0].ID) + "/devices/" + number(got.Device.ID)).Want(404)
		stranger.Get(appBase(apps[0].ID) + "/test?device=" + number(got.Device.ID)).Want(404)

		reader := r.Login(r.Sub(r.main, "reader", models.Rights{Role: models.RoleRead, AllProducts: true}))
		p := reader.Get(r.base + "/tools?q=zhangwei_0412").Want(200).Has("Apple iPhone 15")
		p.NoLink(r.base + "/test?device=" + number(got.Device.ID)).NoLink(r.base + "/tools/delete?account=zhangwei_0412").NoLink(r.base + "/config#apns")
		reader.Get(r.base + "/test").Want(403)
		reader.Get(r.base + "/tools/delete?account=zhangwei_0412").Want(403)
	})
}

func TestDeviceVerdicts(t *testing.T) {
	r := newReady(t, models.SQLite)
	production := models.RouteInput{Channel: "apns", Environment: models.EnvironmentProduction, PackageName: "cn.lanxun.whale", Token: apnsToken("ab")}
	page := func(d models.Registered) *page {
		return r.admin.Get(r.base + "/devices/" + number(d.Device.ID)).Want(200)
	}
	d := r.phone([]models.RouteInput{production}, models.NotifyOn, "user1")
	page(d).Has("这台设备现在收不到推送：APNs 通道没有凭证")
	r.credential(models.CredentialInput{Environment: models.EnvironmentDevelopment})
	page(d).Has("环境不一致", "Token 注册环境为生产，推送凭证只有开发环境，两者不匹配")
	c := r.credential(models.CredentialInput{Environment: models.EnvironmentProduction})
	page(d).Has("这台设备现在能收到推送").HasNot("收不到推送")
	if _, err := r.Store.PauseCredential(t.Context(), c.ID, c.Revision, "InvalidProviderToken", "wrong key"); err != nil {
		t.Fatal(err)
	}
	page(d).Has("通道凭证被拒绝", "密钥、Key ID 与 Team ID 不匹配", "去修改凭证", "设备本身没有问题")
	past := r.Clock.Now().Add(-time.Hour)
	r.credential(models.CredentialInput{Channel: "apns", Kind: "p12", Fields: map[string]string{"p12": "x"}, Environment: models.EnvironmentProduction, NotAfter: &past})
	page(d).Has("推送证书已过期")
	r.credential(models.CredentialInput{Channel: "apns", Kind: "p12", Fields: map[string]string{"p12": "x"}, Environment: models.EnvironmentProduction, Info: models.CredentialInfo{BundleID: "cn.other"}})
	page(d).Has("包名与证书不匹配", "cn.other")
	r.credential(models.CredentialInput{Environment: models.EnvironmentProduction})

	off := production
	off.Token = apnsToken("cd")
	page(r.phone([]models.RouteInput{off}, models.NotifyOff, "user2")).Has("收不到推送：通知栏已关闭")
	off.Token = apnsToken("ef")
	page(r.phone([]models.RouteInput{off}, models.NotifyUnknown)).Has("这台设备应该能收到推送", "没有绑定账号")
	page(r.phone(nil, models.NotifyOn, "user3")).Has("收不到推送：设备没有可用的厂商 Token")
	off.Token, off.Environment = apnsToken("01"), models.EnvironmentSandbox
	page(r.phone([]models.RouteInput{off}, models.NotifyOn, "user4")).Has("应用没有开启沙箱")

	// Another device takes the token over: the first is retired.
	r.phone([]models.RouteInput{production}, models.NotifyOn, "user1")
	page(d).Has("设备已停用", "已被另一台设备注册")
}

func TestTestPush(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		route := models.RouteInput{Channel: "apns", Environment: models.EnvironmentProduction, Token: apnsToken("ab")}
		d := r.phone([]models.RouteInput{route}, models.NotifyOn, "zhangwei_0412")
		ops := r.Login(r.Sub(r.main, "ops", models.Rights{Role: models.RoleOps, AllProducts: true}))
		p := ops.Submit(r.base+"/test", "account", "")
		if p.Want(422); p.FieldError("account") == "" {
			t.Error("no message under the account")
		}
		p = ops.Submit(r.base+"/test", "account", "zhangwei_0412", "title", "T", "body", strings.Repeat("字", models.MaxBodyRunes+1))
		if p.Want(422); p.FieldError("body") == "" {
			t.Error("no message under the body")
		}
		sent := ops.Submit(r.base+"/test", "account", "zhangwei_0412", "title", "你好", "body", "世界")
		trace := sent.Header.Get("Location")
		if !strings.HasPrefix(trace, r.base+"/messages/") {
			t.Fatalf("leads to %q", trace)
		}
		sent.To(trace).Want(200).Has("测试推送已受理", "zhangwei_0412")
		ops.Get(r.base+"/test?device="+number(d.Device.ID)).Want(200).Has("Apple iPhone 15", "收不到推送")
		ops.Submit(r.base+"/test?device="+number(d.Device.ID), "title", "只给这台").Want(303)
		ops.Post(r.base+"/test", "device", "999999", "title", "x").Want(404)

		im, _ := r.IMApp(r.main, "Chat")
		if _, err := r.Store.Authorize(t.Context(), r.main, im.ID, r.app.ProductID, r.app.ID); err != nil {
			t.Fatal(err)
		}
		ops.Get(r.base+"/test").Want(200).Has("仅限IM推送（免费）", "请联系主账号").NoLink(r.base + "/config#full")
		ops.Post(r.base+"/test", "account", "zhangwei_0412", "title", "x").Want(409).Has("仅限IM推送（免费）")
		r.admin.Get(r.base + "/test").Want(200).Link(r.base + "/config#full")
		if _, err := r.Store.SetFullPush(t.Context(), r.main, r.app.ID, true); err != nil {
			t.Fatal(err)
		}
		ops.Submit(r.base+"/test", "account", "zhangwei_0412", "title", "x").Want(303)
	})
}

func TestDeleteUserData(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		r.phone([]models.RouteInput{{Channel: "apns", Environment: models.EnvironmentProduction, Token: apnsToken("ab")}}, models.NotifyOn, "zhangwei_0412")
		r.phone([]models.RouteInput{{Channel: "apns", Environment: models.EnvironmentProduction, Token: apnsToken("cd")}}, models.NotifyOn, "zhangwei_0412", "colleague")
		r.admin.Submit(r.base+"/test", "account", "zhangwei_0412", "title", "x").Want(303)
		ask := r.base + "/tools/delete?account=zhangwei_0412"
		r.admin.Get(r.base + "/tools?q=zhangwei_0412").Want(200).Link(ask)
		p := r.admin.Get(ask).Want(200).Has("只绑定了这个账号的设备：1 台", "与别的账号共用的设备：1 台")
		if p = p.Submit(r.base+"/tools/delete", "typed", "zhang"); p.Status != 422 || p.FieldError("typed") == "" {
			t.Fatalf("wrong name: %d %s", p.Status, p.Text())
		}
		p.Submit(r.base+"/tools/delete", "typed", "zhangwei_0412").To(r.base+"/tools").Has("用户数据已删除", "1 条消息，1 台设备")
		r.admin.Get(r.base + "/tools?q=zhangwei_0412").Has("没有找到设备").NoLink(ask)
		r.admin.Get(r.base + "/tools?q=colleague").Has("Apple iPhone 15")
		audit := r.admin.Get("/audit").Want(200).Has("用户数据", "删除")
		audit.HasNot("zhangwei_0412")
		ops := r.Login(r.Sub(r.main, "ops", models.Rights{Role: models.RoleOps, AllProducts: true}))
		ops.Get(ask).Want(403)
		ops.Post(r.base+"/tools/delete", "account", "colleague", "typed", "colleague").Want(403)
	})
}

func TestSearch(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		d := r.phone([]models.RouteInput{{Channel: "apns", Environment: models.EnvironmentProduction, Token: apnsToken("ab")}}, models.NotifyOn, "zhangwei_0412")
		trace := r.admin.Submit(r.base+"/test", "account", "zhangwei_0412", "title", "x").Header.Get("Location")
		id := strings.TrimPrefix(trace, r.base+"/messages/")
		r.admin.Get("/search?q=" + id).To(trace)
		r.admin.Get("/search?q=" + d.Device.Token).To(r.base + "/tools?q=" + d.Device.Token).Has("Apple iPhone 15")
		r.admin.Get("/search?q=zhangwei_0412").To(r.base + "/tools?q=zhangwei_0412")
		r.admin.Get("/search?q=" + apnsToken("ab")).Want(303)
		r.admin.Get("/search?q=nothing").Want(200).Has("没有找到", "2 个应用")
		r.admin.Get("/search").Want(200).HasNot("没有找到")
		stranger := r.Login(r.Account("other"))
		stranger.Get("/search?q=" + id).Want(200).Has("没有找到")
		stranger.Get("/search?q=zhangwei_0412").Want(200).Has("没有找到")
		none := r.Login(r.Sub(r.main, "none", models.Rights{Role: models.RoleFull}))
		none.Get("/search?q=zhangwei_0412").Want(200).Has("没有找到")
	})
}
