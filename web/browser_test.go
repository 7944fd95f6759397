package web

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/labstack/echo/v4"

	"hongyan/internal/browser"
	"hongyan/views"
	"hongyan/views/components/kit"
)

// widest names what runs out of the page.
const widest = `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position !== "fixed").slice(0, 6).map((e) => e.tagName + "." + (e.className.baseVal ?? e.className)).join(" | ")`

func kitSite(t *testing.T) string {
	t.Helper()
	s := newServer(t, func(o *Options) {
		o.Decorate = func(c echo.Context, ch *views.Chrome) { kit.Decorate(c.Path(), ch) }
	})
	if missing := s.assets.Missing(); len(missing) > 0 {
		t.Fatalf("browser files are missing, run make assets: %v", missing)
	}
	addKit(s)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv.URL
}

// Every component, in both themes, on a desk and in a hand: axe finds nothing, the
// browser refuses nothing, and nothing runs out of the page.
func TestKitInTheBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	site := kitSite(t)
	b := browser.New(t, "zh-CN")
	for _, theme := range []string{"light", "dark"} {
		b.Open(site + "/login")
		browser.Eval[bool](b, `fetch("/preferences", {method: "POST", body: new URLSearchParams({theme: "`+theme+`"})}).then((r) => r.ok)`)
		for _, width := range []int64{1440, 1000, 390, 320} {
			b.Size(width, 900)
			for _, path := range []string{"/kit", "/kit/dialog", "/login", "/login/sub", "/setup", "/nope", "/forbidden"} {
				b.Open(site + path)
				name := strings.Join([]string{theme, path, browser.Eval[string](b, "String(innerWidth)")}, " ")
				if got := browser.Eval[string](b, `document.documentElement.dataset.theme`); got != theme {
					t.Errorf("%s: theme is %q", name, got)
				}
				if over := browser.Eval[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("%s: runs %d px out of the page: %s", name, over, browser.Eval[string](b, widest))
				}
				if width == 1440 || width == 390 {
					for _, fault := range b.Axe() {
						t.Errorf("%s: %s", name, fault)
					}
				}
				for _, m := range b.Messages() {
					if !strings.HasPrefix(m, "info:") && !strings.Contains(m, "404") && !strings.Contains(m, "403") {
						t.Errorf("%s: console: %s", name, m)
					}
				}
				if *pictures != "" {
					file := strings.NewReplacer("/", "_", " ", "-").Replace(name) + ".png"
					if err := os.WriteFile(filepath.Join(*pictures, file), b.Picture(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// What script adds: dialogs over the page, copy buttons, the drawer, toasts.
func TestScript(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	site := kitSite(t)
	b := browser.New(t, "zh-CN")
	b.Open(site + "/kit")

	// A dialog's address opens over the page; a refused form shows itself again.
	b.Do(chromedp.Click(chromedp.CSS(`.page-head a[data-dialog]`)))
	b.Wait(`document.querySelector("dialog:modal") !== null`)
	if got := browser.Eval[string](b, "location.pathname"); got != "/kit" {
		t.Errorf("the page moved to %s", got)
	}
	if got := browser.Eval[string](b, "document.activeElement.name"); got != "category" {
		t.Errorf("focus is on %q, want the first invalid field", got)
	}
	b.Do(chromedp.Click(chromedp.CSS(`dialog .dialog-foot .btn-primary`)))
	b.Wait(`!document.querySelector("dialog [aria-busy=true]")`)
	if n := browser.Eval[int](b, `document.querySelectorAll("dialog:modal").length`); n != 1 {
		t.Errorf("%d dialogs after a refused form, want 1", n)
	}
	b.Do(chromedp.Click(chromedp.CSS(`dialog a[data-close].btn-icon`)))
	b.Wait(`document.querySelector("dialog") === null`)
	if got := browser.Eval[bool](b, `document.activeElement.matches(".page-head a[data-dialog]")`); !got {
		t.Error("focus did not return to what opened the dialog")
	}

	// The same dialog as a page: modal too, and closing it leaves its address.
	b.Open(site + "/kit/dialog")
	b.Wait(`document.querySelector("dialog:modal") !== null`)
	b.Do(chromedp.KeyEvent("\x1b"))
	b.Wait(`location.pathname === "/kit"`)

	// A saved form comes back with a toast.
	b.Do(chromedp.Click(chromedp.CSS(`form[action="/kit/saved"] > .btn-s`)))
	b.Wait(`document.querySelector(".toast")?.textContent.includes("1,206")`)

	// Copying works without the clipboard's permission.
	b.Do(chromedp.Click(chromedp.CSS(`.copy button`)))
	b.Wait(`document.querySelector(".copy button").hasAttribute("data-done")`)

	// The drawer opens without script's help and closes with Escape.
	b.Size(390, 844)
	b.Do(chromedp.Click(chromedp.CSS(`.top-menu`)))
	b.Wait(`getComputedStyle(document.getElementById("nav")).visibility === "visible"`)
	b.Do(chromedp.KeyEvent("\x1b"))
	b.Wait(`getComputedStyle(document.getElementById("nav")).visibility === "hidden"`)
	for _, m := range b.Messages() {
		if !strings.HasPrefix(m, "info:") && !strings.Contains(m, "422") {
			t.Errorf("console: %s", m)
		}
	}
}
