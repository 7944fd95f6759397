package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/internal/browser"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/push/webpush"
	"hongyan/sandbox"
	"hongyan/worker"
)

// webApp is an app whose Web Push goes to a simulator, with everything that sends.
type webApp struct {
	s      *site
	sim    *sandbox.Simulator
	inbox  *sandbox.Memory
	owner  models.Actor
	key    string // public
	app    models.App
	scope  models.AppScope
	ingest models.Ingest
}

func newWebApp(t *testing.T, s *site) *webApp {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &webApp{s: s, inbox: sandbox.NewMemory(10), owner: s.Account("main")}
	var private string
	var err error
	a.key, private, err = webpush.NewKeys()
	must(err)
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: a.key})
	a.sim, err = sandbox.Start(sandbox.Config{Channel: push.WebPush, Accounts: accounts, Recorder: a.inbox})
	must(err)
	t.Cleanup(func() { _ = a.sim.Close() })

	product, apps := s.Product(a.owner, "网页聊天", models.PlatformAndroid)
	a.app = apps[0]
	_, err = s.Store.SetSandbox(ctx, a.owner, a.app.ID, true)
	must(err)
	_, err = s.Store.SaveCredentials(ctx, a.owner, models.AppOwner(a.app.ID), models.CredentialInput{
		Channel: string(push.WebPush), Environment: models.EnvironmentSandbox, Kind: "vapid",
		Fields: map[string]string{"public_key": a.key, "private_key": private, "subject": "mailto:ops@example.com"},
	})
	must(err)
	im, secret, err := s.Store.CreateIMApp(ctx, a.owner, models.IMAppInput{Name: "IM", Bridge: "generic"}, []string{"generic"})
	must(err)
	_, err = s.Store.Authorize(ctx, a.owner, im.ID, product.ID, a.app.ID)
	must(err)
	a.scope, _, err = s.Store.ScopeForApp(ctx, a.owner, a.app.ID)
	must(err)
	a.ingest, err = s.Store.IngestBySecret(ctx, secret.Reveal())
	must(err)

	w := worker.New(worker.Options{Store: s.Store, Registry: registry.New().Lookup, Sandbox: func(c push.Channel) (push.Options, bool) {
		return push.Options{Endpoint: a.sim.URL(), RootCAs: a.sim.CA().PEM()}, c == push.WebPush
	}})
	must(w.Start(ctx))
	s.Store.StartAccepting(w)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		if err := errors.Join(s.Store.StopAccepting(ctx), w.Stop(ctx)); err != nil {
			t.Error(err)
		}
	})
	return a
}

// awaited polls until the only delivery of a message satisfies done.
func (a *webApp) awaited(t *testing.T, message, what string, done func(models.Delivery) bool) {
	t.Helper()
	var last models.Delivery
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		m, err := a.s.Store.MessageByID(t.Context(), a.scope, message)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Deliveries) == 1 {
			if last = m.Deliveries[0]; done(last) {
				return
			}
		}
	}
	t.Fatalf("not %s: %+v", what, last)
}

// shop is a customer's own web site, on another origin than the console.
type shop struct {
	mu    sync.Mutex
	files map[string]string
}

func (f *shop) put(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path] = text
}

// ServeHTTP implements http.Handler.
func (f *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	text, ok := f.files[r.URL.Path]
	f.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case strings.HasSuffix(r.URL.Path, ".js"):
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	_, _ = io.WriteString(w, text)
}

// standIn takes the place of the browser's own push service, which is a vendor's: the
// subscription is a simulator's. Everything else of the browser is the real one.
const standIn = `
  PushManager.prototype.getSubscription = async () => null;
  PushManager.prototype.subscribe = async function (options) {
    window.asked = options;
    return { toJSON: () => (SUBSCRIPTION) };
  };`

// The code of 客户端接入 › Web, copied from the page as it stands, in a real browser on
// another origin: it fetches the key, registers, and the message that reaches the
// simulator makes the service worker show a notification and report it.
func TestWebSampleInTheBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s := newSite(t, models.SQLite, func(d *Deps) { d.PublicURL = "" })
	console := httptest.NewServer(s.Web)
	t.Cleanup(console.Close)
	a := newWebApp(t, s)
	b := browser.New(t, "zh-CN")

	// Copy the files from the page.
	signIn(b, console.URL, a.owner)
	b.Open(console.URL + appBase(a.app.ID) + "/client?lang=web")
	copied := func(id string) string {
		return browser.Eval[string](b, `document.querySelector("section[aria-labelledby=`+id+`-h] [data-copy]").dataset.copy`)
	}
	files := &shop{files: map[string]string{"/hongyan.js": copied("base"), "/page.js": copied("register"), "/sw.js": copied("receipt")}}
	subscription, err := sandbox.WebPushSubscription(a.sim.URL(), a.key, "visitor")
	if err != nil {
		t.Fatal(err)
	}
	files.put("/", `<!doctype html><html lang="zh"><title>IM</title><button id="push-on">开启通知</button>
<script>`+strings.Replace(standIn, "SUBSCRIPTION", subscription, 1)+`</script>
<script src="/hongyan.js"></script><script src="/page.js"></script></html>`)
	server := httptest.NewServer(files)
	t.Cleanup(server.Close)
	origin := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	b.AllowNotifications(origin)
	b.Messages()
	b.Open(origin + "/")

	// The page registers by itself; then somebody signs in.
	browser.Eval[bool](b, `(async () => {
		while (!await Hongyan.kept("readonly", (store) => store.get("device"))) await new Promise((next) => setTimeout(next, 50));
		return true;
	})()`)
	if got := browser.Eval[string](b, `asked.applicationServerKey + " " + asked.userVisibleOnly`); got != a.key+" true" {
		t.Errorf("subscribed with %s, want the app's key", got)
	}
	browser.Eval[bool](b, `Hongyan.call("accounts/bind", { account: "bob" }).then(() => true)`)

	// A message for him reaches the simulator, encrypted for this browser.
	got, err := s.Store.Accept(t.Context(), a.ingest, []models.Incoming{{
		SourceID: "1", Account: "bob", Sender: "alice", Content: models.Content{Title: "爱丽丝", Body: "在吗？"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	message := got.IDs[0]
	a.awaited(t, message, "accepted", func(d models.Delivery) bool { return d.State == models.StateAccepted })
	list := a.inbox.List()
	if len(list) != 1 || list[0].Status != http.StatusCreated {
		t.Fatalf("the simulator received %d pushes", len(list))
	}
	var sent struct {
		Title string
		Data  map[string]any
	}
	if err := json.Unmarshal(list[0].Payload, &sent); err != nil || sent.Title != "爱丽丝" || sent.Data["hy_mid"] != message {
		t.Fatalf("the browser would read %+v, %v", sent, err)
	}

	// The browser hands it to the service worker. What is on the screen may be asked only
	// after it is there: asked too early, Chromium takes it for gone.
	w := b.Worker()
	browser.Eval[bool](w, `(() => {
		const show = registration.showNotification.bind(registration);
		self.shown = new Promise((done, failed) => registration.showNotification = (...args) => show(...args).then(done, failed));
		return true;
	})()`)
	b.DeliverPush(origin, string(list[0].Payload))
	shown := browser.Eval[string](w, `self.shown.then(() => registration.getNotifications()).then(([n]) => [n.title, n.body, n.data.hy_mid].join(" | "))`)
	if shown != "爱丽丝 | 在吗？ | "+message {
		t.Errorf("the notification says %s", shown)
	}
	a.awaited(t, message, "reported as arrived", func(d models.Delivery) bool { return d.ArrivedAt != nil })

	// A click on the screen cannot be made from here; its handler can be run.
	browser.Eval[bool](w, `registration.getNotifications().then(([notification]) =>
		dispatchEvent(new NotificationEvent("notificationclick", { notification })))`)
	a.awaited(t, message, "reported as clicked", func(d models.Delivery) bool { return d.ClickedAt != nil })
	for _, m := range b.Messages() {
		if strings.Contains(m, "CORS") || strings.HasPrefix(m, "error") && !strings.Contains(m, "favicon") {
			t.Errorf("console: %s", m)
		}
	}
}
