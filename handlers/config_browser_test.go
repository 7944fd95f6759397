package handlers

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hongyan/internal/browser"
	"hongyan/models"
)

// configPictures keeps what the browser test sees:
// go test ./handlers -run TestConfigInTheBrowser -config-pictures /tmp/pictures
var configPictures = flag.String("config-pictures", "", "write a picture of every page into this folder")

// configSite fills a console with an app in every state that these pages know.
func configSite(t *testing.T) (s *site, owner models.Actor, paths map[string]string) {
	t.Helper()
	s = newSite(t, models.SQLite)
	owner = s.Account("main")
	whale, apps := s.Product(owner, "蓝鲸企业聊")
	s.Product(owner, "Seal", models.PlatformIOS)
	im, _ := s.IMApp(owner, "蓝鲸 IM")
	for _, app := range apps {
		if _, err := s.Store.Authorize(t.Context(), owner, im.ID, whale.ID, app.ID); err != nil {
			t.Fatal(err)
		}
	}
	v, now := s.Login(owner), s.Clock.Now()
	base, imBase := appBase(apps[1].ID), imAppBase(im.ID)
	v.Post(base+"/config/package", "package_name", "cn.lanxun.whale.ios").To(base + "/config")
	file := testP12(t, "cn.lanxun.whale.ios", "secret", now.AddDate(-1, 0, 21), now.Add(21*24*time.Hour+time.Hour))
	v.Upload(base+"/credentials/apns/new", "whale.p12", file, "password", "secret", "environment", "production").Want(http.StatusSeeOther)
	v.Upload(base+"/credentials/apns/new", "AuthKey.p8", testP8(t), "key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E", "environment", "development").Want(http.StatusSeeOther)
	dev := s.credentials(t, owner, apps[1].ID)[models.EnvironmentDevelopment]
	if _, err := s.Store.CredentialTested(t.Context(), owner, models.AppOwner(apps[1].ID), dev.ID, dev.Revision, "InvalidProviderToken", "refused"); err != nil {
		t.Fatal(err)
	}
	v.Upload(imBase+"/credentials/apns/new", "AuthKey.p8", testP8(t), "key_id", "NEWKEY1234", "team_id", "L9WM3C5R2E", "environment", "production").Want(http.StatusSeeOther)
	s.Store.StartAccepting(nil)
	s.Store.CountIngest(im.ID, models.IngestUnauthorized, 12)
	s.Store.CountIngest(im.ID, models.IngestAccepted, 12345)
	if err := s.Store.StopAccepting(t.Context()); err != nil {
		t.Fatal(err)
	}
	z, err := s.Store.Authorizations(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return s, owner, map[string]string{
		"notice": "/authorizations?view=im", "im-apps": "/im-apps", "im-new": "/im-apps/new", "im-app": imBase, "im-rotate": imBase + "/rotate", "im-delete": imBase + "/delete",
		"tpns": "/authorizations", "auth-new": "/authorizations/new", "release": "/authorizations/" + number(z[0].ID) + "/release",
		"config-ios": base + "/config", "config-android": appBase(apps[0].ID) + "/config", "upload": base + "/credentials/apns/new",
		"secret": base + "/config/secret", "reset": base + "/config/keys/reset?key=secret", "full": base + "/config/full", "client": base + "/client",
	}
}

// Every page, in both themes and languages, on a desk and in a hand: axe finds
// nothing, the browser refuses nothing, nothing runs out of the page.
func TestConfigInTheBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s, owner, paths := configSite(t)
	srv := httptest.NewServer(s.Web)
	t.Cleanup(srv.Close)
	b := browser.New(t, "zh-CN")
	b.Open(srv.URL + "/login")
	b.Type("#f-name", owner.Name)
	b.Type("#f-password", testPassword)
	b.Do(chromedp.Click(chromedp.CSS("button.btn-primary")))
	b.Wait(`location.pathname !== "/login"`)
	for _, look := range []struct {
		name, lang, theme string
		width             int64
	}{{"zh-light-1440", "zh-CN", "light", 1440}, {"en-dark-390", "en", "dark", 390}} {
		browser.Eval[bool](b, `fetch("/preferences", {method: "POST", body: new URLSearchParams({theme: "`+look.theme+`", lang: "`+look.lang+`"})}).then((r) => r.ok)`)
		b.Size(look.width, 900)
		for name, path := range paths {
			b.Open(srv.URL + path)
			at := look.name + " " + name
			if over := browser.Eval[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s: runs %d px out of the page", at, over)
			}
			for _, fault := range b.Axe() {
				t.Errorf("%s: %s", at, fault)
			}
			for _, m := range b.Messages() {
				if !strings.HasPrefix(m, "info:") && !strings.HasPrefix(m, "debug:") {
					t.Errorf("%s: console: %s", at, m)
				}
			}
			if *configPictures != "" {
				if err := os.WriteFile(filepath.Join(*configPictures, name+"-"+look.name+".png"), b.Picture(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// With script: the first-visit dialog is left by 知道了, choosing another product
// changes the apps in place, a refused upload shows itself again, and the secret of a
// new IM app can be copied from the page that follows.
func TestConfigScript(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s, owner, paths := configSite(t)
	srv := httptest.NewServer(s.Web)
	t.Cleanup(srv.Close)
	b := browser.New(t, "zh-CN")
	b.Open(srv.URL + "/login?next=%2Fauthorizations%3Fview%3Dim")
	b.Type("#f-name", owner.Name)
	b.Type("#f-password", testPassword)
	b.Do(chromedp.Click(chromedp.CSS("button.btn-primary")))
	b.Wait(`document.querySelector("dialog:modal")?.textContent.includes("知道了")`)
	b.Do(chromedp.Click(chromedp.CSS("dialog .btn-primary")))
	b.Wait(`document.querySelector("dialog") === null && location.search === "?view=im"`)

	b.Do(chromedp.Click(chromedp.CSS(`a[href="/authorizations/new"]`)))
	b.Wait(`document.querySelector("dialog:modal") !== null`)
	browser.Eval[bool](b, `(() => { const s = document.querySelector("#f-product_id"); s.value = [...s.options].find((o) => o.text !== s.selectedOptions[0].text).value; s.dispatchEvent(new Event("change", {bubbles: true})); return true; })()`)
	b.Wait(`document.querySelector("dialog").textContent.includes("不可选择")`)

	b.Open(srv.URL + paths["config-ios"])
	b.Do(chromedp.Click(chromedp.CSS(`a[href="` + paths["upload"] + `"]`)))
	b.Wait(`document.querySelector("dialog:modal") !== null`)
	b.Do(chromedp.Click(chromedp.CSS(`dialog .dialog-foot .btn-primary`)))
	b.Wait(`document.querySelector("dialog:modal")?.textContent.includes("请选择证书文件")`)

	b.Open(srv.URL + "/im-apps")
	b.Do(chromedp.Click(chromedp.CSS(`.page-head a[data-dialog]`)))
	b.Wait(`document.querySelector("dialog:modal") !== null`)
	b.Type("dialog #f-name", "Second")
	b.Do(chromedp.Click(chromedp.CSS(`dialog .dialog-foot .btn-primary`)))
	b.Wait(`document.querySelector(".codebox button[data-copy*='/im/']") !== null`)
}
