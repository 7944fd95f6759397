package handlers

import (
	"net/http"
	"strings"
	"testing"

	"hongyan/internal/htmlcheck"
	"hongyan/models"
	"hongyan/views"
)

// The settings of an app, by the main user.
func TestConfig(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		_, apps := s.Product(owner, "Whale")
		android, ios := apps[0], apps[1]
		base := appBase(ios.ID)
		config, v := base+"/config", s.Login(owner)
		key, err := s.Store.AccessKey(t.Context(), owner, ios.ID)
		if err != nil {
			t.Fatal(err)
		}
		v.Get(config).Want(http.StatusOK).Has("Whale · iOS", ios.AccessID(), key.Reveal(), "广州", "待配置", "Bundle ID", "推送证书", "绑定签名", "删除应用").
			HasNot("开通完整推送").Link(appBase(android.ID) + "/config")
		v.Get(appBase(android.ID)+"/config").Has("包名", "厂商通道", "添加通道", "华为").HasNot("推送证书", "上传证书")
		v.Get(appBase(android.ID) + "/credentials/apns/new").Want(http.StatusNotFound)

		p := v.Get(config).Submit(base+"/config/package", "package_name", "im..whale").Want(http.StatusUnprocessableEntity)
		if got := p.FieldError("package_name"); !strings.Contains(got, "Bundle ID") {
			t.Errorf("package: %q", got)
		}
		p.Submit(base+"/config/package", "package_name", "im.whale.app").To(config).Has("已保存")
		v.Get(config).Submit(base+"/config/delivery", "fanout", "latest", "text_mode", "sender").To(config).Has("已保存推送设置")
		_, app, err := s.Store.ScopeForApp(t.Context(), owner, ios.ID)
		if err != nil || app.Fanout != models.FanoutLatest || app.TextMode != models.TextSender || app.PackageName != "im.whale.app" {
			t.Errorf("saved: %s, %s, %s, %v", app.Fanout, app.TextMode, app.PackageName, err)
		}

		p = v.Submit(base+"/config/delete", "name", "x").Want(http.StatusUnprocessableEntity)
		if p.FieldError("name") == "" {
			t.Error("a wrong name deletes")
		}
		p.Submit(base+"/config/delete", "name", app.Name).To("/products").Has("已删除应用")
		v.Get(config).Want(http.StatusNotFound)
	})
}

// Keys: shown once, after the password, to the main user; each look and reset is in
// the audit log.
func TestConfigKeys(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		base := appBase(apps[0].ID)
		config, v := base+"/config", s.Login(owner)

		p := v.Submit(base+"/config/secret", "password", "wrong").Want(http.StatusUnprocessableEntity)
		if p.FieldError("password") == "" {
			t.Error("a wrong password has no message")
		}
		shown := p.Submit(base+"/config/secret", "password", testPassword).Want(http.StatusOK).Has("只在这一次显示")
		secret, err := s.Store.RevealSecretKey(t.Context(), owner, apps[0].ID, testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(shown.Body), secret.Reveal()) {
			t.Error("the SecretKey is not shown")
		}
		if strings.Contains(string(v.Get(config).Body), secret.Reveal()) {
			t.Error("the SecretKey is shown again")
		}
		p = v.Get(base+"/config/keys/reset?key=secret").Has("立刻失败").Submit(base+"/config/keys/reset", "password", "wrong").Want(http.StatusUnprocessableEntity)
		if p.FieldError("password") == "" {
			t.Error("a wrong password has no message")
		}
		if fresh := p.Submit(base+"/config/keys/reset", "password", testPassword).Want(http.StatusOK); strings.Contains(string(fresh.Body), secret.Reveal()) {
			t.Error("the SecretKey was not reset")
		}

		before, _ := s.Store.AccessKey(t.Context(), owner, apps[0].ID)
		v.Get(base + "/config/keys/reset?key=access").Has("已安装的 App").Submit(base + "/config/keys/reset").To(config).Has("AccessKey 已重置").HasNot(before.Reveal())

		// The binding key is shown once, when it is made or replaced.
		v.Get(base + "/config/keys/reset?key=bind").Want(http.StatusNotFound)
		on := v.Get(config).Has("拿到 AccessKey 的人可以把任何账号绑到自己的手机").Submit(base+"/config/bind").To(config).Has("现在就复制绑定密钥", "已开启绑定签名")
		key := copied(t, on.section("banner"), "")
		if again := v.Get(config); strings.Contains(string(again.Body), key) {
			t.Error("the binding key is shown twice")
		}
		v.Get(base + "/config/keys/reset?key=bind").Submit(base + "/config/keys/reset").To(config).Has("现在就复制绑定密钥")
		v.Get(base + "/config/bind").Has("可以把任何账号绑到自己的手机").Submit(base + "/config/bind").To(config).Has("已关闭绑定签名")

		v.Get("/audit").Has("SecretKey")
		if strings.Contains(s.Log.String(), secret.Reveal()) {
			t.Error("the SecretKey is in the log")
		}
	})
}

// section returns the part of the page inside the first element with the class.
func (p *page) section(class string) *page {
	part := *p
	for _, n := range p.All("div") {
		if strings.Contains(attribute(n, "class"), class) && strings.Contains(nodeText(n), "绑定密钥") {
			part.doc = n
			return &part
		}
	}
	p.t.Fatalf("%s: no %s", p.Path, class)
	return nil
}

// 开通完整推送: the main user's, on an authorized app, both ways.
func TestFullPush(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		whale, apps := s.Product(owner, "Whale", models.PlatformIOS)
		base := appBase(apps[0].ID)
		config, v := base+"/config", s.Login(owner)
		v.Get(base + "/config/full").Want(http.StatusConflict)
		im, _ := s.IMApp(owner, "Chat")
		if _, err := s.Store.Authorize(t.Context(), owner, im.ID, whale.ID, apps[0].ID); err != nil {
			t.Fatal(err)
		}
		full := s.Login(s.Sub(owner, "full", models.Rights{Role: models.RoleFull, AllProducts: true}))
		full.Get(config).Has("开通完整推送", "只有主账号可以开通", "Chat").NoLink(base + "/config/full").NoLink("/authorizations?view=im")
		full.Get(base + "/config/full").Want(http.StatusForbidden)
		full.Post(base+"/config/full", "on", "1").Want(http.StatusForbidden)

		v.Get(config).Has("仅限IM推送（免费）").Link(base + "/config/full")
		// The redirect ends at the card, a part of the address that no browser sends.
		if to := v.Submit(base + "/config/full").Want(http.StatusSeeOther).Header.Get("Location"); to != config+"#full" {
			t.Errorf("leads to %s", to)
		}
		v.Get(config).Has("已开通完整推送", "关闭完整推送")
		v.Get(base + "/config/full").Has("恢复为“仅限IM推送（免费）”").Submit(base + "/config/full").Want(http.StatusSeeOther)
		v.Get(config).Has("已关闭完整推送").Link(base + "/config/full")
	})
}

// Who may not change sees the settings and no way to change them; another account's
// app does not exist.
func TestConfigRights(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		whale, apps := s.Product(owner, "Whale", models.PlatformIOS)
		seal, _ := s.Product(owner, "Seal", models.PlatformIOS)
		base := appBase(apps[0].ID)
		config := base + "/config"
		acts := []string{"/config/package", "/config/delivery", "/config/bind", "/config/sync", "/config/keys/reset", "/config/delete", "/config/secret", "/config/full"}
		pages := []string{"/config/bind", "/config/keys/reset?key=access", "/config/delete", "/config/secret", "/config/full"}

		for _, role := range []string{models.RoleOps, models.RoleRead} {
			v := s.Login(s.Sub(owner, role, models.Rights{Role: role, Products: []int64{whale.ID}}))
			v.Get(config).Want(http.StatusOK).Has(apps[0].AccessID(), "仅主账号可以查看", "需要全读写权限").
				HasNot("重置", "删除应用", "开启绑定签名").NoLink(base + "/config/package").NoLink(base + "/config/delete").NoLink(base + "/config/secret")
			v.Get(base + "/client").Want(http.StatusOK)
			for _, path := range acts {
				v.Post(base + path).Want(http.StatusForbidden).Has("主账号")
			}
			for _, path := range pages {
				v.Get(base + path).Want(http.StatusForbidden)
			}
		}
		full := s.Login(s.Sub(owner, "full", models.Rights{Role: models.RoleFull, Products: []int64{whale.ID}}))
		full.Get(config).Has("删除应用", "仅主账号可以查看").NoLink(base + "/config/secret")
		for _, path := range []string{"/config/secret", "/config/full"} {
			full.Get(base + path).Want(http.StatusForbidden)
		}
		full.Get(base + "/config/keys/reset?key=secret").Want(http.StatusForbidden)
		full.Post(base+"/config/keys/reset", "key", "secret", "password", testPassword).Want(http.StatusForbidden)

		elsewhere := s.Login(s.Sub(owner, "elsewhere", models.Rights{Role: models.RoleFull, Products: []int64{seal.ID}}))
		elsewhere.Get(config).Want(http.StatusNotFound)
		stranger := s.Login(s.Account("other"))
		for _, path := range append([]string{"/config", "/client"}, pages...) {
			stranger.Get(base + path).Want(http.StatusNotFound)
		}
		for _, path := range acts {
			stranger.Post(base+path, "key", "access", "password", testPassword, "package_name", "im.a", "fanout", "all", "text_mode", "full").Want(http.StatusNotFound)
		}
	})
}

// The snippets hold the app's ids, and the signature when the app asks for one.
func TestClient(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner := s.Account("main")
	_, apps := s.Product(owner, "Whale")
	v := s.Login(owner)
	key, err := s.Store.AccessKey(t.Context(), owner, apps[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	path := appBase(apps[1].ID) + "/client"
	for lang, word := range map[string]string{"swift": "func application(", "kotlin": "object Hongyan", "arkts": "pushService.getToken"} {
		v.Get(path+"?lang="+lang).Has(word, apps[1].AccessID(), key.Reveal(), "http://console.example/device/v1/", "hy_mid", "accounts/bind", "绑定签名未开启").
			HasNot("{{", "bindSignature")
	}
	android := appBase(apps[0].ID) + "/client"
	v.Get(android+"?lang=web").Has("pushManager.subscribe", "importScripts", apps[0].AccessID(), "web-push-key", "hy_mid", "accounts/bind").HasNot("{{", "bindSignature")
	for _, channel := range []string{"hw", "honor", "xm", "oppo", "vivo", "mz", "fcm"} {
		v.Get(android+"?lang=kotlin").Has(`"`+channel+`"`, " · "+channel)
	}
	v.Get(android + "?lang=arkts").Has("channel: 'harmony'")
	// Browsers are reached through the keys of Android apps.
	v.Get(path+"?lang=web").Has("func application(").HasNot("pushManager", "lang=web\"")
	bare := models.AppView{}
	for _, lang := range []string{langSwift, langKotlin, langArkTS, langWeb} {
		if got := snippets(lang, &bare, views.ClientPage{}).register; strings.Contains(got, "com.example") || strings.Contains(got, `"package"`) || strings.Contains(got, "package:") {
			t.Errorf("%s without a bundle id or package name:\n%s", lang, got)
		}
	}
	v.Get(path).Has("func application(")
	v.Get(appBase(apps[0].ID) + "/client").Has("object Hongyan")
	if _, _, err := s.Store.SetBindRequired(t.Context(), owner, apps[1].ID, true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Store.SetBindRequired(t.Context(), owner, apps[0].ID, true); err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"swift", "kotlin", "arkts", "web"} {
		v.Get(android+"?lang="+lang).Has("bindSignature", "hmac.new", "signature").HasNot("绑定签名未开启")
	}
}

// English pages are English.
func TestConfigInEnglish(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner := s.Account("main")
	whale, apps := s.Product(owner, "Whale")
	im, _ := s.IMApp(owner, "Chat")
	z, err := s.Store.Authorize(t.Context(), owner, im.ID, whale.ID, apps[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Login(owner)
	v.cookies["lang"] = "en"
	base, imBase := appBase(apps[1].ID), imAppBase(im.ID)
	for _, path := range []string{
		"/im-apps", "/im-apps/new", imBase, imBase + "/edit", imBase + "/rotate", imBase + "/delete", imBase + "/credentials/apns/new",
		"/authorizations", "/authorizations?view=im", "/authorizations/new", "/authorizations/" + number(z.ID) + "/release",
		base + "/config", base + "/config/secret", base + "/config/keys/reset?key=secret", base + "/config/keys/reset?key=access", base + "/config/full",
		base + "/config/delete", base + "/config/bind", base + "/credentials/apns/new", base + "/client", appBase(apps[0].ID) + "/config",
		appBase(apps[0].ID) + "/client?lang=web", appBase(apps[0].ID) + "/client?lang=kotlin", base + "/client?lang=arkts",
	} {
		v.Get(path).Want(http.StatusOK).English()
	}
}

// English fails the test when the page shows Chinese text.
func (p *page) English() *page {
	p.t.Helper()
	for _, text := range htmlcheck.Chinese(p.Body) {
		p.t.Errorf("%s: shows %q", p.Path, text)
	}
	return p
}
