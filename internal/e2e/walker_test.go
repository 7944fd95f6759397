package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hongyan/internal/browser"
)

// walker is a person at a browser: he clicks what he can read, and looks at every page
// that he comes to.
type walker struct {
	*browser.Browser

	t    *testing.T
	base string
	seen int  // pages looked at
	fast bool // only what the browser refuses, not how pages look

	refused map[string]bool // addresses that were asked to hear a refusal
}

func newWalker(t *testing.T, s *server, lang string) *walker {
	t.Helper()
	w := &walker{Browser: browser.New(t, lang), t: t, base: "http://" + s.address, refused: map[string]bool{}}
	w.Size(1440, 900)
	return w
}

// is evaluates a condition in the page.
func (w *walker) is(expression string) bool {
	w.t.Helper()
	return browser.Eval[bool](w.Browser, "Boolean("+expression+")")
}

// text is what the page shows, without what stands behind an open dialog.
func (w *walker) text() string {
	w.t.Helper()
	return browser.Eval[string](w.Browser, `([...document.querySelectorAll("dialog:modal")].pop() || document.body).innerText.replace(/\s+/g, " ")`)
}

// open goes to a path by its address.
func (w *walker) open(path string) {
	w.t.Helper()
	w.Open(w.base + path)
}

// visit opens a path and looks at the page.
func (w *walker) visit(path string) {
	w.t.Helper()
	w.open(path)
	w.look()
}

// path is where the browser is, with its query.
func (w *walker) path() string {
	w.t.Helper()
	return browser.Eval[string](w.Browser, `location.pathname + location.search`)
}

// shows fails the test unless the page shows each of the words.
func (w *walker) shows(words ...string) {
	w.t.Helper()
	text := w.text()
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.t.Fatalf("%s does not say %q; it says: %.2000s", w.path(), word, text)
		}
	}
}

// hides fails the test when the page shows one of the words.
func (w *walker) hides(words ...string) {
	w.t.Helper()
	text := w.text()
	for _, word := range words {
		if strings.Contains(text, word) {
			w.t.Errorf("%s says %q; it says: %.2000s", w.path(), word, text)
		}
	}
}

// look checks the page as it stands: axe finds nothing in either theme, nothing runs
// out of it, and the browser refused nothing.
func (w *walker) look() {
	w.t.Helper()
	where := w.path()
	w.seen++
	if w.fast {
		w.quiet(where)
		return
	}
	before := browser.Eval[string](w.Browser, `document.documentElement.dataset.theme || ""`)
	for _, theme := range []string{"light", "dark"} {
		browser.Eval[bool](w.Browser, `(document.documentElement.dataset.theme = "`+theme+`", true)`)
		for _, fault := range w.Axe() {
			w.t.Errorf("%s, %s: %s", where, theme, fault)
		}
		w.picture(theme)
	}
	browser.Eval[bool](w.Browser, `((t) => { if (t) document.documentElement.dataset.theme = t; else delete document.documentElement.dataset.theme; return true; })("`+before+`")`)
	if over := browser.Eval[int](w.Browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		w.t.Errorf("%s runs %d px out of the page", where, over)
	}
	w.quiet(where)
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
func (w *walker) picture(theme string) {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(browser.Eval[string](w.Browser, "location.pathname"), "-")
	name = fmt.Sprintf("%s-%02d%s-%s.png", strings.ReplaceAll(w.t.Name(), "/", "-"), w.seen, name, theme)
	if err := os.WriteFile(filepath.Join(dir, name), w.Picture(), 0o600); err != nil {
		w.t.Error(err)
	}
}

// find marks the one visible thing to click inside scope that reads as label, or
// fails. An open dialog hides everything but itself.
func (w *walker) find(scope, label string) {
	w.t.Helper()
	found := browser.Eval[string](w.Browser, fmt.Sprintf(`((scope, label) => {
		const read = (e) => e.textContent.replace(/\s+/g, " ").trim();
		const from = [...document.querySelectorAll("dialog:modal")].pop() || document.querySelector(scope);
		if (!from) return "no " + scope;
		const all = [...from.querySelectorAll("a, button, summary")].filter((e) => e.checkVisibility({ visibilityProperty: true }));
		const hits = all.filter((e) => read(e) === label || e.getAttribute("aria-label") === label);
		document.querySelectorAll("[data-here]").forEach((e) => e.removeAttribute("data-here"));
		if (hits.length !== 1) return hits.length + " of " + all.map((e) => e.getAttribute("aria-label") || read(e)).join(" | ");
		hits[0].setAttribute("data-here", "");
		return "";
	})(%s, %s)`, quoted(scope), quoted(label)))
	if found != "" {
		w.t.Fatalf("%s: looking for one %q to click in %s: found %s", w.path(), label, scope, found)
	}
}

// click clicks what reads as label in the page's main part or in the open dialog.
func (w *walker) click(label string) {
	w.t.Helper()
	w.clickIn("main", label)
}

// clickIn is click within a part of the page.
func (w *walker) clickIn(scope, label string) {
	w.t.Helper()
	w.find(scope, label)
	w.Do(chromedp.Click(chromedp.CSS("[data-here]")))
}

// follow clicks, waits for the page that this leads to, and looks at it.
func (w *walker) follow(label string) {
	w.t.Helper()
	w.followIn("main", label)
}

// followIn is follow within a part of the page.
func (w *walker) followIn(scope, label string) {
	w.t.Helper()
	w.leave(func() { w.clickIn(scope, label) })
	w.look()
}

// leave runs an act and waits for the page that it leads to.
func (w *walker) leave(act func()) {
	w.t.Helper()
	browser.Eval[bool](w.Browser, `(window.before = true)`)
	act()
	w.Wait(`!window.before && document.readyState === "complete"`)
}

// dialog clicks, waits for the dialog that opens over the page, and looks at it.
func (w *walker) dialog(label string) {
	w.t.Helper()
	w.click(label)
	w.Wait(`Boolean(document.querySelector("dialog:modal"))`)
	w.look()
}

// refuse clicks a button of the dialog and waits until the dialog says what is wrong.
func (w *walker) refuse(label string, words ...string) {
	w.t.Helper()
	w.click(label)
	w.Wait(`Boolean(document.querySelector("dialog:modal .error, dialog:modal .banner-bad"))`)
	w.shows(words...)
	w.look()
}

// here names the field of the open dialog, or of the page.
func (w *walker) here(selector string) chromedp.CSS {
	w.t.Helper()
	if w.is(`document.querySelector("dialog:modal")`) {
		selector = "dialog:modal " + selector
	} else {
		selector = "main " + selector
	}
	return chromedp.CSS(selector)
}

// write types into a field in place of what is there.
func (w *walker) write(name, text string) {
	w.t.Helper()
	field := w.here(`[name="` + name + `"]:not([type=hidden])`)
	if !w.is(`document.querySelector(` + quoted(string(field)) + `)`) {
		w.t.Fatalf("%s has no field %s; it says: %.1500s", w.path(), name, w.text())
	}
	w.Do(chromedp.Clear(field), chromedp.SendKeys(field, text))
}

// choose takes one card of a group of radio buttons, or ticks a box.
func (w *walker) choose(name, value string) {
	w.t.Helper()
	box := `[name="` + name + `"][value="` + value + `"]`
	if !w.is(`(document.querySelector("dialog:modal") || document).querySelector(` + quoted(box) + `)?.checked`) {
		w.Do(chromedp.Click(w.here(`label:has(` + box + `)`)))
	}
	if !w.is(`(document.querySelector("dialog:modal") || document).querySelector(` + quoted(box) + `).checked`) {
		w.t.Fatalf("%s: %s is not chosen", w.path(), box)
	}
}

// untick takes the tick out of a box.
func (w *walker) untick(name, value string) {
	w.t.Helper()
	box := `[name="` + name + `"][value="` + value + `"]`
	if w.is(`(document.querySelector("dialog:modal") || document).querySelector(` + quoted(box) + `).checked`) {
		w.Do(chromedp.Click(w.here(`label:has(` + box + `)`)))
	}
}

// pick chooses in a select by what the choice reads like.
func (w *walker) pick(name, label string) {
	w.t.Helper()
	got := browser.Eval[string](w.Browser, fmt.Sprintf(`((name, label) => {
		const select = (document.querySelector("dialog:modal") || document).querySelector("select[name='" + name + "']");
		if (!select) return "no select " + name;
		const hits = [...select.options].filter((o) => o.text.trim().startsWith(label) && !o.disabled);
		if (hits.length !== 1) return hits.length + " choices of " + [...select.options].map((o) => o.text).join(" | ");
		if (select.value === hits[0].value) return "";
		select.value = hits[0].value;
		select.dispatchEvent(new Event("change", { bubbles: true }));
		return "";
	})(%s, %s)`, quoted(name), quoted(label)))
	if got != "" {
		w.t.Fatalf("%s: choosing %q: %s", w.path(), label, got)
	}
}

// upload puts a file into a field.
func (w *walker) upload(name, file string) {
	w.t.Helper()
	w.Do(chromedp.SetUploadFiles(w.here(`[name="`+name+`"]`), []string{file}))
}

// word is the Chinese or the English word, by the page's language.
func (w *walker) word(zh, en string) string {
	w.t.Helper()
	if browser.Eval[string](w.Browser, "document.documentElement.lang") == "en" {
		return en
	}
	return zh
}

// status asks the server as the page would, and returns how it answered.
func (w *walker) status(method, path, form string) int {
	w.t.Helper()
	w.refused[path] = true
	options := `{ method: ` + quoted(method) + `, redirect: "manual" }`
	if method == http.MethodPost {
		options = `{ method: "POST", redirect: "manual", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: ` + quoted(form) + ` }`
	}
	return browser.Eval[int](w.Browser, `fetch(`+quoted(path)+`, `+options+`).then((r) => r.status)`)
}

// setupLink is the address that the program printed for the first run.
func setupLink(t *testing.T, s *server) string {
	t.Helper()
	found := regexp.MustCompile(`https?://\S+/setup\?token=\S+`).FindString(s.out.tail())
	if found == "" {
		t.Fatalf("no set-up link in:\n%s", s.out.tail())
	}
	return found
}

// setUp makes the main account by the printed link.
func (w *walker) setUp(s *server, name, password string) {
	w.t.Helper()
	w.Open(setupLink(w.t, s))
	w.look()
	w.write("account", "蓝鲸科技")
	w.write("name", name)
	w.write("password", password)
	w.write("password2", password)
	w.follow(w.word("创建主账号", "Create main account"))
}

// until polls a page until it shows a word, and returns how long that took.
func (w *walker) until(path, selector, word string, within time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		w.open(path)
		if w.is(`document.querySelector(` + quoted(selector) + `)?.innerText.includes(` + quoted(word) + `)`) {
			return time.Since(start)
		}
		if time.Since(start) > within {
			w.t.Fatalf("%s does not show %q in %s after %s; it shows %.1500s", path, word, selector, within, w.text())
		}
	}
}

// quoted writes s as JavaScript would.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return string(b)
}
