package handlers

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/web"
)

var pathParam = regexp.MustCompile(`:([a-z_]+)`)

// fill puts values into a route's pattern. It fails the test for a parameter that
// nobody has given a value.
func fill(t *testing.T, pattern string, params map[string]string) string {
	t.Helper()
	path := pathParam.ReplaceAllStringFunc(pattern, func(p string) string {
		if v, ok := fixed()[p[1:]]; ok {
			return v
		}
		v, ok := params[p[1:]]
		if strings.HasPrefix(pattern, "/im-apps/") && p == ":credential" {
			v = params["im-credential"] // the IM side has keys of its own
		}
		if !ok {
			t.Fatalf("%s: give %s a value in estate", pattern, p)
		}
		return v
	})
	return path + queries()[pattern]
}

// consoleRoutes returns the routes of pages that ask for a user.
func consoleRoutes(s *site) []web.Route {
	return slices.DeleteFunc(s.Web.Routes(), func(r web.Route) bool {
		return r.Permission == web.Public || r.Permission == web.ByKey
	})
}

func paramsOf(pattern string) []string {
	var out []string
	for _, m := range pathParam.FindAllStringSubmatch(pattern, -1) {
		if _, is := fixed()[m[1]]; !is {
			out = append(out, m[1])
		}
	}
	return out
}

// role is a kind of user, and the addresses where more than the route's permission
// decides.
type role struct {
	name   string
	rights *models.Rights // nil for the main user
	except map[string]int
}

func roles(product int64) []role {
	chosen := []int64{product}
	return []role{
		{name: "main"},
		{name: "full", rights: &models.Rights{Role: models.RoleFull, AllProducts: true, CanIM: true, CanContent: true}},
		{name: "full-chosen", rights: &models.Rights{Role: models.RoleFull, Products: chosen}, except: map[string]int{"/products/new": http.StatusForbidden}},
		{name: "ops", rights: &models.Rights{Role: models.RoleOps, AllProducts: true}},
		{name: "ops-im", rights: &models.Rights{Role: models.RoleOps, Products: chosen, CanIM: true}},
		{name: "read", rights: &models.Rights{Role: models.RoleRead, AllProducts: true}},
		{name: "read-content", rights: &models.Rights{Role: models.RoleRead, Products: chosen, CanContent: true}},
	}
}

// Every page, as every role: allowed ones are whole pages (the kit checks headings,
// labels, ids, language, policy and sentences), others are refused and say by whom
// the right is granted. Strangers are led to sign-in.
func TestSiteWalk(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		e := newEstate(t, s, "acme")
		routes := slices.DeleteFunc(consoleRoutes(s), func(r web.Route) bool { return r.Method != http.MethodGet })
		if len(routes) < 20 {
			t.Fatalf("only %d pages", len(routes))
		}
		for _, r := range roles(e.Product) {
			who := e.Owner
			if r.rights != nil {
				who = s.Sub(e.Owner, r.name, *r.rights)
			}
			v := s.Login(who)
			for _, route := range routes {
				path := fill(t, route.Path, e.Params)
				want := http.StatusOK
				if !mayOpen(who, route.Permission) {
					want = http.StatusForbidden
				}
				p := v.Get(path)
				got := p.Status
				if got == http.StatusSeeOther {
					got = v.Get(p.Header.Get("Location")).Status
				}
				if want = cmp.Or(r.except[route.Path], want); got != want {
					t.Errorf("%s: %s answers %d, want %d", r.name, path, got, want)
				}
				if got == http.StatusForbidden {
					p.Has("主账号")
				}
			}
			for path, permission := range e.Beside {
				want := http.StatusOK
				if !who.May(permission) {
					want = http.StatusForbidden
				}
				if got := v.Get(path).Status; got != want {
					t.Errorf("%s: %s answers %d, want %d", r.name, path, got, want)
				}
			}
		}
		stranger := s.Visitor()
		for _, route := range routes {
			path := fill(t, route.Path, e.Params)
			if to := stranger.Get(path).Want(http.StatusSeeOther).Header.Get("Location"); !strings.HasPrefix(to, "/login?next=") {
				t.Errorf("a stranger at %s is led to %s", path, to)
			}
		}
	})
}

func mayOpen(who models.Actor, p web.Permission) bool {
	return p == web.SignedIn || who.May(models.Permission(p))
}

// Nothing Chinese is left on the English pages but the switch of language.
func TestEnglishPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	e := newEstate(t, s, "acme")
	v := s.Login(e.Owner)
	v.Post("/preferences", "lang", "en", "back", "/me").To("/me")
	han := regexp.MustCompile(`\p{Han}+`)
	paths := slices.Collect(maps.Keys(e.Beside))
	for _, route := range consoleRoutes(s) {
		if route.Method == http.MethodGet {
			paths = append(paths, fill(t, route.Path, e.Params))
		}
	}
	for _, path := range paths {
		p := v.Get(path)
		if p.Status != http.StatusOK {
			continue // the walk judges statuses
		}
		text := strings.ReplaceAll(p.Text(), "中文", "")
		if words := han.FindAllString(text, -1); len(words) > 0 {
			t.Errorf("%s shows %q", p.Path, words)
		}
		if len(p.All("html", "lang", "en")) != 1 {
			t.Errorf("%s is not marked as English", p.Path)
		}
	}
}

// Another main account's ids do not exist: every route, read or change, with all of
// its ids foreign, and with each one foreign among its own, answers 404 and changes
// nothing.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		mine, theirs := newEstate(t, s, "acme"), newEstate(t, s, "globex")
		v := s.Login(mine.Owner)
		before := auditRows(t, s, theirs.Owner)
		n := 0
		for _, route := range consoleRoutes(s) {
			for _, params := range mixtures(route.Path, mine.Params, theirs.Params) {
				n++
				refuse(t, v, route, fill(t, route.Path, params))
			}
		}
		for path := range theirs.Beside {
			refuse(t, v, web.Route{Method: http.MethodGet, Path: path}, path)
			if strings.HasSuffix(path, "/new") {
				refuse(t, v, web.Route{Method: http.MethodPost, Path: path}, path)
			}
		}
		if n < 30 {
			t.Errorf("only %d addresses were tried", n)
		}
		if after := auditRows(t, s, theirs.Owner); after != before {
			t.Errorf("the other account's log grew from %d to %d", before, after)
		}
	})
}

// A product outside a sub-account's scope does not exist for it either.
func TestProductsOutOfScope(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		e := newEstate(t, s, "acme")
		who := s.Sub(e.Owner, "chosen", models.Rights{Role: models.RoleFull, Products: []int64{e.Product}, CanIM: true, CanContent: true})
		v := s.Login(who)
		out := maps.Clone(e.Params)
		maps.Copy(out, e.Out)
		for _, route := range consoleRoutes(s) {
			first := paramsOf(route.Path)
			if len(first) == 0 || first[0] != "product" && first[0] != "app" || !mayOpen(who, route.Permission) {
				continue
			}
			refuse(t, v, route, fill(t, route.Path, out))
			// A plan of the one app does not open under the other.
			if len(first) > 1 && e.Out[first[1]] != "" {
				mixed := maps.Clone(e.Params)
				mixed[first[1]] = e.Out[first[1]]
				refuse(t, v, route, fill(t, route.Path, mixed))
			}
		}
	})
}

// mixtures returns the values to try on a route: all ids foreign, and each one alone.
func mixtures(pattern string, mine, theirs map[string]string) []map[string]string {
	names := paramsOf(pattern)
	if len(names) == 0 {
		return nil
	}
	out := []map[string]string{theirs}
	if len(names) > 1 {
		for _, name := range names {
			mixed := maps.Clone(mine)
			mixed[name] = theirs[name]
			if name == "credential" {
				mixed["im-credential"] = theirs["im-credential"]
			}
			out = append(out, mixed)
		}
	}
	return out
}

func refuse(t *testing.T, v *visitor, route web.Route, path string) {
	t.Helper()
	var p *page
	if route.Method == http.MethodGet {
		p = v.Get(path)
	} else {
		p = v.Post(path)
	}
	if p.Status != http.StatusNotFound {
		t.Errorf("%s %s (%s) answers %d, want 404", route.Method, path, route.Path, p.Status)
	}
}

func auditRows(t *testing.T, s *site, who models.Actor) int {
	t.Helper()
	page, err := s.Store.Audit(t.Context(), who, models.AuditFilter{Limit: 200, To: s.Clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Rows)
}

// No page was added past the permission check.
func TestRoutesNameTheirPermission(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	named := map[string]bool{}
	for _, r := range s.Web.Routes() {
		named[r.Method+" "+r.Path] = true
		known := slices.Contains([]web.Permission{web.Public, web.SignedIn, web.ByKey}, r.Permission) ||
			slices.Contains(models.Permissions(), models.Permission(r.Permission))
		if !known {
			t.Errorf("%s %s asks for %q, which nobody has", r.Method, r.Path, r.Permission)
		}
	}
	for _, r := range s.Web.Registered() {
		if r.Method != http.MethodHead && r.Method != "echo_route_not_found" && !named[r.Method+" "+r.Path] {
			t.Errorf("%s %s was added past the permission check", r.Method, r.Path)
		}
	}
	// What anybody may call, spelled out: a new one has to be put here on purpose.
	public := []string{
		"GET /setup", "POST /setup", "GET /login", "POST /login", "GET /login/sub", "POST /login/sub", "POST /logout",
		"POST /preferences", "GET /healthz", "GET /readyz", "GET /device/v1/openapi.yaml",
	}
	for _, r := range s.Web.Routes() {
		if r.Method == http.MethodOptions && strings.HasPrefix(r.Path, "/device/v1/") {
			continue // a browser asks without keys what it may send with them
		}
		if r.Permission == web.Public && !slices.Contains(public, r.Method+" "+r.Path) {
			t.Errorf("%s %s is open to anybody", r.Method, r.Path)
		}
	}
}
