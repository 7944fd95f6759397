package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"hongyan/internal/htmlcheck"
	"hongyan/internal/pgtest"
	"hongyan/models"
	"hongyan/web"
)

// The kit of every page test: the real routes over a real database, and a visitor
// who gets, posts and reads pages as a browser without script does.

// testPassword is every test user's password.
const testPassword = "a long enough password"

// testClock is moved by hand.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (k *testClock) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.t
}

// Advance moves the clock on.
func (k *testClock) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.t = k.t.Add(d)
}

// site is one console with a database of its own.
type site struct {
	t     *testing.T
	Store *models.Store
	Web   *web.Server
	Clock *testClock
	Log   *bytes.Buffer // what the console logged
}

// onEachEngine runs fn on SQLite and on Postgres.
func onEachEngine(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fn(t, newSite(t, engine))
		})
	}
}

// newSite boots a console.
func newSite(t *testing.T, engine models.Dialect, change ...func(*Deps)) *site {
	t.Helper()
	clock := &testClock{t: time.Now().UTC().Truncate(time.Microsecond)}
	keys, err := models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	logged := &bytes.Buffer{}
	log := slog.New(&testLog{Handler: slog.NewTextHandler(logged, nil), t: t})
	store, err := models.Open(t.Context(), models.Options{
		Database: testDatabase(t, engine), Regions: testRegions(), MaxConns: 6, Keys: keys, Now: clock.Now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d := Deps{Store: store, Log: log, Now: clock.Now, PublicURL: "http://console.example", Sandbox: true}
	for _, c := range change {
		c(&d)
	}
	s, err := NewServer(web.Options{
		Log: log, Now: clock.Now, PublicURL: &url.URL{Scheme: "http", Host: "console.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)}, Version: "1.2.3",
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, Store: store, Web: s, Clock: clock, Log: logged}
}

// testLog fails the test on a sentence that no catalog has, and keeps writes apart.
type testLog struct {
	slog.Handler
	t  *testing.T
	mu sync.Mutex
}

// Handle implements slog.Handler.
func (l *testLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Message == "no sentence for key" {
		r.Attrs(func(a slog.Attr) bool {
			l.t.Errorf("no sentence: %s", a)
			return true
		})
	}
	return l.Handler.Handle(ctx, r)
}

func testRegions() []models.Region {
	return []models.Region{
		{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou", Prefix: 0},
		{ID: "ap-shanghai", Zh: "上海", En: "Shanghai", Prefix: 8},
		{ID: "ap-hongkong", Zh: "中国香港", En: "Hong Kong", Prefix: 4},
		{ID: "ap-singapore", Zh: "新加坡", En: "Singapore", Prefix: 5},
	}
}

// pgTemplate and sqliteTemplate are migrated databases that each test copies.
var pgTemplate = pgtest.Template{Prepare: migrateOnce}

var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hongyan-handlers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	path := filepath.Join(dir, "template.db")
	if err := migrateOnce(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) //nolint:gosec // our own file
})

func migrateOnce(ctx context.Context, dsn string) error {
	s, err := models.Open(ctx, models.Options{Database: dsn})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx, false); err != nil {
		return err
	}
	return s.Close()
}

func testDatabase(t *testing.T, engine models.Dialect) string {
	t.Helper()
	if engine == models.Postgres {
		return pgTemplate.New(t)
	}
	data, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hongyan.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Account creates a main account whose main user has the given name.
func (s *site) Account(name string) models.Actor {
	s.t.Helper()
	u, err := s.Store.CreateMainAccount(s.t.Context(), models.MainAccount{Name: name + " Ltd", UserName: name, Password: testPassword})
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Actor("192.0.2.9")
}

// Sub creates a sub-account of owner with the given rights.
func (s *site) Sub(owner models.Actor, name string, r models.Rights) models.Actor {
	s.t.Helper()
	u, err := s.Store.CreateUser(s.t.Context(), owner, models.UserInput{
		Name: name, Password: testPassword, Role: r.Role, AllProducts: r.AllProducts, Products: r.Products,
		CanIM: r.CanIM, CanContent: r.CanContent,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Actor("192.0.2.9")
}

// Product creates a product with an app for each platform.
func (s *site) Product(owner models.Actor, name string, platforms ...string) (*models.Product, []models.App) {
	s.t.Helper()
	if len(platforms) == 0 {
		platforms = []string{models.PlatformAndroid, models.PlatformIOS}
	}
	p, apps, err := s.Store.CreateProduct(s.t.Context(), owner, models.ProductInput{
		Name: name, Category: "office", Region: "ap-guangzhou", Platforms: platforms,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, apps
}

// IMApp creates an IM app and returns it with the secret of its ingest address.
func (s *site) IMApp(owner models.Actor, name string) (*models.IMApp, models.Secret) {
	s.t.Helper()
	im, secret, err := s.Store.CreateIMApp(s.t.Context(), owner, models.IMAppInput{Name: name, Bridge: Bridges()[0].ID}, []string{Bridges()[0].ID})
	if err != nil {
		s.t.Fatal(err)
	}
	return im, secret
}

// visitor is a browser without script: it keeps cookies and follows nothing by
// itself.
type visitor struct {
	s       *site
	t       *testing.T
	cookies map[string]string
	// Lang is the browser's Accept-Language.
	Lang string
}

// Visitor returns a browser that has signed in nowhere.
func (s *site) Visitor() *visitor {
	return &visitor{s: s, t: s.t, cookies: map[string]string{}, Lang: "zh-CN"}
}

// Login signs a user in through the form.
func (s *site) Login(who models.Actor) *visitor {
	s.t.Helper()
	v := s.Visitor()
	path, form := "/login", []string{"name", who.Name, "password", testPassword}
	if !who.IsMain {
		path, form = "/login/sub", append(form, "account", number(who.AccountID))
	}
	v.Submit(path, form...).Want(http.StatusSeeOther)
	return v
}

// Get asks for a page and checks what holds for every page.
func (v *visitor) Get(path string) *page {
	v.t.Helper()
	return v.send(httptest.NewRequestWithContext(v.t.Context(), http.MethodGet, path, nil))
}

// Post sends a form, pairs of name and value, as a browser of the same site does.
func (v *visitor) Post(path string, pairs ...string) *page {
	v.t.Helper()
	return v.post(path, values(pairs))
}

func values(pairs []string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

func (v *visitor) post(path string, form url.Values) *page {
	v.t.Helper()
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.send(r)
}

// Submit opens a page, fills in the form that it sends to its own address, and sends
// it: the values that the form shows, changed by pairs. A pair whose field the form
// does not have fails the test; "" unticks a box.
func (v *visitor) Submit(path string, pairs ...string) *page {
	v.t.Helper()
	p := v.Get(path).Want(http.StatusOK)
	action, _, _ := strings.Cut(path, "?")
	return p.Submit(action, pairs...)
}

func (v *visitor) send(r *http.Request) *page {
	v.t.Helper()
	r.Host = "console.example"
	r.Header.Set("Accept-Language", v.Lang)
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	v.s.Web.ServeHTTP(w, r)
	answer := w.Result()
	for _, c := range answer.Cookies() {
		v.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	p := &page{v: v, t: v.t, Path: r.URL.RequestURI(), Status: w.Code, Header: answer.Header, Body: w.Body.Bytes()}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") && len(p.Body) > 0 {
		p.check()
	}
	return p
}

// page is an answer.
type page struct {
	v      *visitor
	t      *testing.T
	Path   string
	Status int
	Header http.Header
	Body   []byte
	doc    *html.Node
}

// rawKey is what a catalog key looks like when it was shown instead of its sentence.
var rawKey = regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)+\b`)

func (p *page) check() {
	p.t.Helper()
	for _, fault := range htmlcheck.Page(p.Body) {
		p.t.Errorf("%s: %s", p.Path, fault)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "style-src 'self'") || strings.Contains(csp, "unsafe") {
		p.t.Errorf("%s: policy %q", p.Path, csp)
	}
	var err error
	if p.doc, err = html.Parse(bytes.NewReader(p.Body)); err != nil {
		p.t.Fatalf("%s: %v", p.Path, err)
	}
	if key := rawKey.FindString(p.Text()); key != "" {
		p.t.Errorf("%s: shows the key %q", p.Path, key)
	}
}

// Want fails the test unless the page has the status.
func (p *page) Want(status int) *page {
	p.t.Helper()
	if p.Status != status {
		if p.Status >= http.StatusInternalServerError {
			p.t.Logf("log:\n%s", p.v.s.Log)
		}
		p.t.Fatalf("%s: status %d, want %d\n%s", p.Path, p.Status, status, p.Text())
	}
	return p
}

// To fails the test unless the answer leads to path, and returns the page there.
func (p *page) To(path string) *page {
	p.t.Helper()
	p.Want(http.StatusSeeOther)
	if to := p.Header.Get("Location"); to != path {
		p.t.Fatalf("%s: leads to %q, want %q", p.Path, to, path)
	}
	return p.v.Get(path)
}

// Has fails the test unless the page shows every text.
func (p *page) Has(texts ...string) *page {
	p.t.Helper()
	shown := p.Text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			p.t.Errorf("%s: does not show %q:\n%s", p.Path, text, shown)
		}
	}
	return p
}

// HasNot fails the test if the page shows one of the texts.
func (p *page) HasNot(texts ...string) *page {
	p.t.Helper()
	shown := p.Text()
	for _, text := range texts {
		if strings.Contains(shown, text) {
			p.t.Errorf("%s: shows %q", p.Path, text)
		}
	}
	return p
}

// Text returns what the page shows, and the names that a screen reader reads, with
// single spaces. Elements are parted by spaces.
func (p *page) Text() string {
	if p.doc == nil {
		return string(p.Body)
	}
	var out strings.Builder
	p.each(func(n *html.Node) {
		switch {
		case n.Type == html.TextNode && n.Parent != nil && !slices.Contains([]string{"script", "style", "noscript"}, n.Parent.Data):
			out.WriteString(n.Data + " ")
		case n.Type == html.ElementNode && attribute(n, "aria-label") != "":
			out.WriteString(attribute(n, "aria-label") + " ")
		}
	})
	return strings.Join(strings.Fields(out.String()), " ")
}

func (p *page) each(visit func(*html.Node)) {
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		visit(n)
		for k := n.FirstChild; k != nil; k = k.NextSibling {
			walk(k)
		}
	}
	if p.doc != nil {
		walk(p.doc)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// All returns the elements with the name whose attributes are as given, in order.
func (p *page) All(name string, pairs ...string) []*html.Node {
	var out []*html.Node
	p.each(func(n *html.Node) {
		if n.Type != html.ElementNode || n.Data != name {
			return
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if attribute(n, pairs[i]) != pairs[i+1] {
				return
			}
		}
		out = append(out, n)
	})
	return out
}

// Links returns the addresses that the page links to.
func (p *page) Links() []string {
	var out []string
	for _, a := range p.All("a") {
		out = append(out, attribute(a, "href"))
	}
	return out
}

// Link fails the test unless the page links to the address.
func (p *page) Link(address string) *page {
	p.t.Helper()
	if !slices.Contains(p.Links(), address) {
		p.t.Errorf("%s: has no link to %s", p.Path, address)
	}
	return p
}

// NoLink fails the test if the page links to, or sends a form to, the address.
func (p *page) NoLink(address string) *page {
	p.t.Helper()
	if slices.Contains(p.Links(), address) || len(p.All("form", "action", address)) > 0 {
		p.t.Errorf("%s: offers %s", p.Path, address)
	}
	return p
}

// FieldError returns the message under a field, "" when there is none.
func (p *page) FieldError(name string) string {
	for _, n := range p.All("p", "id", "f-"+name+"-error") {
		return strings.TrimSpace(nodeText(n))
	}
	return ""
}

func nodeText(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var out strings.Builder
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		out.WriteString(nodeText(k))
	}
	return out.String()
}

// Submit sends the page's form with the action, as a browser would: the values that
// it shows, changed by pairs. Of several forms it takes the first that has all the
// fields.
func (p *page) Submit(action string, pairs ...string) *page {
	p.t.Helper()
	sent := values(pairs)
	missing := "is not there"
	for _, form := range p.All("form", "method", "post") {
		if to, _, _ := strings.Cut(attribute(form, "action"), "?"); to != action {
			continue
		}
		shown, names := formValues(form)
		lacks := slices.DeleteFunc(slices.Collect(maps.Keys(sent)), func(name string) bool { return names[name] })
		if len(lacks) > 0 {
			missing = "has no " + strings.Join(lacks, ", ")
			continue
		}
		for name, list := range sent {
			if names["box:"+name] {
				list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
			}
			shown[name] = list
		}
		return p.v.post(attribute(form, "action"), shown)
	}
	p.t.Fatalf("%s: the form to %s %s", p.Path, action, missing)
	return nil
}

// formValues reads what a form would send, and which names it has; "box:name" marks
// boxes and radio buttons.
func formValues(form *html.Node) (url.Values, map[string]bool) {
	out, names := url.Values{}, map[string]bool{}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			name := attribute(n, "name")
			switch {
			case name == "" || hasAttribute(n, "disabled"):
			case n.Data == "button":
				names[name] = true // sent only when it is the one pressed
			case n.Data == "textarea":
				names[name] = true
				out.Add(name, nodeText(n))
			case n.Data == "select":
				names[name] = true
				out.Add(name, selected(n))
			case n.Data == "input" && (attribute(n, "type") == "checkbox" || attribute(n, "type") == "radio"):
				names[name], names["box:"+name] = true, true
				if hasAttribute(n, "checked") {
					out.Add(name, attribute(n, "value"))
				}
			case n.Data == "input":
				names[name] = true
				out.Add(name, attribute(n, "value"))
			}
		}
		for k := n.FirstChild; k != nil; k = k.NextSibling {
			walk(k)
		}
	}
	walk(form)
	return out, names
}

func hasAttribute(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func selected(n *html.Node) string {
	first, found := "", false
	for o := n.FirstChild; o != nil; o = o.NextSibling {
		if o.Type != html.ElementNode || o.Data != "option" {
			continue
		}
		if hasAttribute(o, "selected") {
			return attribute(o, "value")
		}
		if !found {
			first, found = attribute(o, "value"), true
		}
	}
	return first
}

// newForm is a POST as a program sends it: without the browser's headers.
func newForm(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
