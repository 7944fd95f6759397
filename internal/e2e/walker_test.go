package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
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
	lang string // of the pages: "zh" or "en"
	seen int    // pages looked at
	fast bool   // only what the browser refuses, not how pages look

	screen  view            // what the walker sits at
	views   []view          // how every page is looked at
	refused map[string]bool // addresses that were asked to hear a refusal
}

// newWalker opens a browser at a desk, whose pages are looked at in both themes.
func newWalker(t *testing.T, s *server, lang string) *walker {
	t.Helper()
	w := &walker{
		Browser: browser.New(t, lang+"-"+map[string]string{"zh": "CN", "en": "US"}[lang]), t: t, base: "http://" + s.address, lang: lang,
		screen: view{"", 1440, 900}, views: []view{{"light", 1440, 900}, {"dark", 1440, 900}}, refused: map[string]bool{},
	}
	w.Size(w.screen.width, w.screen.height)
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
	w.Do(chromedp.Clear(field))
	w.Type(field, text)
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

// word is the Chinese or the English word, by the walker's language.
func (w *walker) word(zh, en string) string {
	if w.lang == "en" {
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
	w.write("account", w.word("蓝鲸科技", "Whale Chat Ltd"))
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
