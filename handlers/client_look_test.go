package handlers

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"hongyan/internal/browser"
	"hongyan/models"
	"hongyan/push"
)

// The sample code of every language in a real browser, as every page.
func TestClientSamplesInTheBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s := newSite(t, models.SQLite)
	owner, app, _ := androidSite(s, "main")
	server := httptest.NewServer(s.Web)
	t.Cleanup(server.Close)
	b := browser.New(t, "zh-CN")
	signIn(b, server.URL, owner)
	for _, lang := range []string{langKotlin, langArkTS, langWeb, langSwift} {
		path := appBase(app.ID) + "/client?lang=" + lang
		b.Open(server.URL + path)
		if n := browser.Eval[int](b, `document.querySelectorAll("main pre").length`); n < 4 {
			t.Errorf("%s shows %d samples", path, n)
		}
		examine(t, b, path)
	}
	browser.Eval[bool](b, `fetch("/preferences", {method: "POST", body: new URLSearchParams({lang: "en"})}).then((r) => r.ok)`)
	path := appBase(app.ID) + "/client?lang=" + langWeb
	b.Open(server.URL + path)
	examine(t, b, path+" in English")
}

// The warning before a test push that would be cut.
func TestTestPushInTheBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s := newSite(t, models.SQLite)
	owner, app, _ := androidSite(s, "main")
	s.Store.StartAccepting(nil)
	t.Cleanup(func() { _ = s.Store.StopAccepting(context.WithoutCancel(t.Context())) })
	r := &ready{site: s, main: owner, app: app, base: appBase(app.ID)}
	r.phone([]models.RouteInput{
		{Channel: string(push.Vivo), Environment: models.EnvironmentProduction, Token: apnsToken("ab")},
		{Channel: string(push.FCM), Environment: models.EnvironmentProduction, Token: apnsToken("cd")},
	}, models.NotifyOn, "zhangwei_0412")
	server := httptest.NewServer(s.Web)
	t.Cleanup(server.Close)
	b := browser.New(t, "zh-CN")
	signIn(b, server.URL, owner)
	for _, lang := range []string{"zh-CN", "en"} {
		browser.Eval[bool](b, `fetch("/preferences", {method: "POST", body: new URLSearchParams({lang: "`+lang+`"})}).then((r) => r.ok)`)
		b.Open(server.URL + r.base + "/test")
		browser.Eval[bool](b, `(document.querySelector("[name=account]").value = "zhangwei_0412",
			document.querySelector("[name=title]").value = "本周五下午三点的全体会议改到了四点半，请准时参加",
			document.querySelector("[name=body]").value = "会议室从 A301 换到 B205，请带上季度总结。".repeat(4),
			document.querySelector("form.card-body").requestSubmit(), true)`)
		b.Wait(`document.querySelector("[name=seen]") !== null`)
		if *configPictures != "" {
			for _, look := range []struct {
				name  string
				width int64
			}{{"light", 1440}, {"dark", 390}} {
				b.Size(look.width, 900)
				browser.Eval[bool](b, `(document.documentElement.dataset.theme = "`+look.name+`", true)`)
				if err := os.WriteFile(filepath.Join(*configPictures, "test-"+lang+"-"+look.name+".png"), b.Picture(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		examine(t, b, "/test with a warning, "+lang)
	}
}
