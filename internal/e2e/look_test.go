package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"hongyan/internal/browser"
)

// view is a way to look at a page.
type view struct {
	theme         string // "" for the one that was chosen
	width, height int64
}

// look checks the page as it stands, in each of the walker's views: axe finds nothing,
// nothing runs out of the page, and the browser refused nothing. An English page says
// nothing in Chinese.
func (w *walker) look() {
	w.t.Helper()
	where := w.path()
	w.seen++
	w.speaks(where)
	if !w.fast {
		w.eachView(func(v view) {
			for _, fault := range w.Axe() {
				w.t.Errorf("%s, %s at %d: %s", where, v.theme, v.width, fault)
			}
			if over := browser.Eval[int](w.Browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				w.t.Errorf("%s, %s at %d: runs %d px out of the page", where, v.theme, v.width, over)
			}
			if menus := w.menusOutside(); menus != "" {
				w.t.Errorf("%s, %s at %d: menus open beyond the window: %s", where, v.theme, v.width, menus)
			}
			w.picture(v)
		})
	}
	w.quiet(where)
}

// menusOutside opens every menu and names those that do not fit into the window.
func (w *walker) menusOutside() string {
	w.t.Helper()
	return browser.Eval[string](w.Browser, `[...document.querySelectorAll("details.menu, details.app-pick")].filter((d) => {
		const was = d.open;
		d.open = true;
		const box = d.querySelector(".menu-list").getBoundingClientRect();
		d.open = was;
		return box.width > 0 && (box.left < 0 || box.right > innerWidth);
	}).map((d) => d.querySelector("summary").textContent.trim() || d.querySelector("summary").getAttribute("aria-label")).join(", ")`)
}

// eachView shows the page in each view, and then as it was.
func (w *walker) eachView(look func(view)) {
	w.t.Helper()
	wear := func(theme string) {
		browser.Eval[bool](w.Browser, `((t) => { if (t) document.documentElement.dataset.theme = t; else delete document.documentElement.dataset.theme; return true; })(`+quoted(theme)+`)`)
	}
	size := func(v view) {
		if v.width != w.screen.width || v.height != w.screen.height {
			w.Size(v.width, v.height)
		}
	}
	before := browser.Eval[string](w.Browser, `document.documentElement.dataset.theme || ""`)
	sits := w.screen
	for _, v := range w.views {
		size(v)
		w.screen = v
		wear(v.theme)
		look(v)
	}
	size(sits)
	w.screen = sits
	wear(before)
}

// speaks checks that an English page has no Chinese left in what it shows, nor in what
// it says to who cannot see it, but the switch to Chinese.
func (w *walker) speaks(where string) {
	w.t.Helper()
	if got := browser.Eval[string](w.Browser, `document.documentElement.lang.slice(0, 2)`); got != w.lang {
		w.t.Errorf("%s is in %q, want %q", where, got, w.lang)
	}
	if w.lang != "en" {
		return
	}
	said := browser.Eval[string](w.Browser, `(() => {
		const said = [document.title];
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("[lang^=zh], script, style")) said.push(walk.currentNode.data);
		for (const e of document.querySelectorAll("[aria-label], [title], [placeholder], [alt], [data-copied]"))
			for (const a of ["aria-label", "title", "placeholder", "alt", "data-copied"]) said.push(e.getAttribute(a) || "");
		return said.join("\n");
	})()`)
	if found := regexp.MustCompile(`[^\n]*\p{Han}[^\n]*`).FindAllString(said, 5); found != nil {
		w.t.Errorf("%s says in Chinese: %q", where, found)
	}
}

// quiet checks that the browser refused and missed nothing. It writes a line of its
// own for every answer that is not a success: right for a form that was answered 422,
// and for what the test asked to be refused.
func (w *walker) quiet(where string) {
	w.t.Helper()
	for _, m := range w.Messages() {
		load := strings.Contains(m, "Failed to load resource")
		address := strings.TrimPrefix(m[strings.LastIndex(m, " ")+1:], w.base)
		if strings.HasPrefix(m, "debug:") || strings.HasPrefix(m, "info:") || load && (strings.Contains(m, "422") || w.refused[address]) {
			continue
		}
		w.t.Errorf("%s: the browser says: %s", where, m)
	}
}

// picture keeps the page for a person to look at, when PICTURES names a folder.
func (w *walker) picture(v view) {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(browser.Eval[string](w.Browser, "location.pathname"), "-")
	name = fmt.Sprintf("%s-%03d%s-%s-%d.png", strings.ReplaceAll(w.t.Name(), "/", "-"), w.seen, name, v.theme, v.width)
	if err := os.WriteFile(filepath.Join(dir, name), w.Picture(), 0o600); err != nil {
		w.t.Error(err)
	}
}
