// Package browser drives a real headless Chromium in tests and runs axe-core, the
// accessibility rules, on its pages. It needs Chromium on the machine and the
// packages of `npm ci`; without them a test fails and says what to install.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long one step of a test may take on a busy machine.
const patience = 60 * time.Second

// Browser is one tab of a Chromium of its own. It ends with its test.
type Browser struct {
	t   *testing.T
	ctx context.Context
	axe string

	mu       sync.Mutex
	messages []string
}

// New starts Chromium with pages in the given language, such as "zh-CN".
func New(t *testing.T, lang string) *Browser {
	t.Helper()
	path := chromium(t)
	axe := axeSource(t)
	// The folder must outlive the browser, so it is not one of t's.
	dir, err := os.MkdirTemp("", "hongyan-browser-")
	if err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("lang", lang), chromedp.Flag("accept-lang", lang),
		chromedp.WindowSize(1440, 900),
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{t: t, ctx: ctx, axe: axe}
	t.Cleanup(func() {
		cancel()
		stop()
		_ = os.RemoveAll(dir) // left-overs in the temporary folder do no harm
	})
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, m.String()+" "+m.URL)
			b.mu.Unlock()
		}
	}()
	return b
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is missing: on Debian run apt-get install --no-install-recommends chromium fonts-noto-cjk")
	return ""
}

// axeSource reads axe-core from the locked packages at the top of the repository.
func axeSource(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside the repository")
		}
		dir = filepath.Dir(dir)
	}
	data, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("axe-core is missing: run npm ci at the top of the repository: %v", err)
	}
	return string(data)
}

// Do runs steps, such as chromedp.Click.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// Type presses the keys of a text in a field. chromedp.SendKeys reads the field's
// attributes beside the goroutine that writes them (v0.23), to tell upload fields.
func (b *Browser) Type(field chromedp.CSS, text string) {
	b.t.Helper()
	b.Do(chromedp.Focus(field, chromedp.NodeVisible), chromedp.KeyEvent(text))
}

// Open loads an address.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(address))
}

// Size sets the window's inner size in CSS pixels.
func (b *Browser) Size(width, height int64) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(width, height))
}

// Wait blocks until the expression is true in the page, or in the page that the
// browser moves to meanwhile.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience)))
		if err == nil {
			return
		}
		// A page that goes away takes the question with it: ask the next one.
		// The protocol has no code of its own for that.
		moved := strings.Contains(err.Error(), "context with specified id") || strings.Contains(err.Error(), "navigated")
		if ctx.Err() != nil || !moved {
			b.t.Fatalf("browser: waiting for %s: %v", expression, err)
		}
	}
}

// Eval returns the value of an expression in b's page. A promise is awaited.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("browser: %.120s: %v", expression, err)
	}
	return v
}

// Axe returns what axe-core finds wrong with the page, one line per kind of fault;
// none means that it found nothing.
func (b *Browser) Axe() []string {
	b.t.Helper()
	if !Eval[bool](b, `typeof axe === "object"`) { // half a megabyte, once a page
		Eval[bool](b, b.axe+`; true`)
	}
	// Colours on their way from one state to another would be measured half-way.
	raw := Eval[string](b, `
		document.getAnimations().forEach((a) => { try { a.finish(); } catch { a.cancel(); } });
		axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) =>
			({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + "  " + n.html.slice(0, 200) + "  " + (n.any[0]?.message || "")) }))))`)
	var found []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(raw), &found); err != nil {
		b.t.Fatalf("browser: axe: %v", err)
	}
	var out []string
	for _, v := range found {
		out = append(out, fmt.Sprintf("%s: %s: %q", v.ID, v.Help, v.Nodes))
	}
	return out
}

// Messages returns what the page wrote to the console since the last call:
// exceptions, refused scripts and styles, failed requests.
func (b *Browser) Messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.messages
	b.messages = nil
	return out
}

// Picture returns the whole page as a PNG.
func (b *Browser) Picture() []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	data, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("browser: picture: %v", err)
	}
	return data
}
