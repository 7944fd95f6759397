package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hongyan/internal/browser"
	"hongyan/models"
)

// Every page of the site map in a real browser: axe-core finds nothing on a desk in
// both themes nor on a phone, nothing is refused by the policy, and no page scrolls
// sideways at 320 px.
func TestPagesInTheBrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite, func(d *Deps) { d.PublicURL = "" })
	server := httptest.NewServer(s.Web)
	defer server.Close()
	e := newEstate(t, s, "acme")
	b := browser.New(t, "zh-CN")
	b.Size(1440, 900)
	for _, path := range []string{"/setup", "/login", "/login/sub"} {
		b.Open(server.URL + path)
		examine(t, b, path)
	}
	signIn(b, server.URL, e.Owner)
	for _, route := range consoleRoutes(s) {
		if route.Method != http.MethodGet {
			continue
		}
		path := fill(t, route.Path, e.Params)
		b.Open(server.URL + path)
		examine(t, b, path)
	}
	for _, path := range []string{"/nope", "/products?q=nothing+like+this", "/audit?to=2020-01-01"} {
		b.Open(server.URL + path)
		examine(t, b, path)
	}
}

// signIn goes through the form of a main user.
func signIn(b *browser.Browser, base string, who models.Actor) {
	b.Open(base + "/login")
	browser.Eval[bool](b, `(document.querySelector("[name=name]").value = "`+who.Name+`",
		document.querySelector("[name=password]").value = "`+testPassword+`",
		document.querySelector("form.card-body").requestSubmit(), true)`)
	b.Wait(`document.querySelector(".side") !== null`)
}

// examine looks at the page that the browser shows.
func examine(t *testing.T, b *browser.Browser, path string) {
	t.Helper()
	for _, look := range []struct {
		theme         string
		width, height int64
	}{{"light", 1440, 900}, {"dark", 390, 844}, {"dark", 320, 640}} {
		b.Size(look.width, look.height)
		browser.Eval[bool](b, `(document.documentElement.dataset.theme = "`+look.theme+`", true)`)
		if look.width == 320 {
			if wide := browser.Eval[int](b, `document.documentElement.scrollWidth`); wide > 320 {
				t.Errorf("%s is %d px wide on a phone of 320", path, wide)
			}
			continue
		}
		for _, fault := range b.Axe() {
			t.Errorf("%s, %s at %d: %s", path, look.theme, look.width, fault)
		}
	}
	b.Size(1440, 900)
	for _, m := range b.Messages() {
		// A page that answers 401, 404 or 422 is told of by the browser itself.
		if !strings.Contains(m, "Failed to load resource") && !strings.HasPrefix(m, "debug") {
			t.Errorf("%s: %s", path, m)
		}
	}
}
