package handlers

import (
	"context"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// decorate fills in the frame of a signed-in user's page: the sidebar, with what he
// may see, and on app pages the app selector. A frame that could not be read whole
// is drawn with less; the page itself is not lost for it.
func (h *console) decorate(ctx echo.Context, ch *views.Chrome) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	products, err := h.Store.Products(std, who, "")
	if err != nil {
		h.Log.Warn("sidebar without apps", "error", err, "request_id", web.RequestID(ctx))
	}
	n := navigation{ctx: std, path: ctx.Request().URL.Path, who: who, sandbox: h.Sandbox}
	if p := appOf(ctx); p != nil {
		n.app = p.App.ID
		ch.App = chromeApp(std, p)
		ch.Apps = appLinks(std, products, p.App.ID, n.path)
	} else {
		n.app = sidebarApp(products, lastApp(ctx))
	}
	if n.start, err = h.startCount(ctx, products); err != nil {
		h.Log.Warn("sidebar without progress", "error", err, "request_id", web.RequestID(ctx))
	}
	ch.Nav = n.groups()
}

// sidebarApp chooses the app that the sidebar leads to from an account page: the one
// looked at last, else the first.
func sidebarApp(products []models.ProductView, last int64) int64 {
	var first int64
	for _, p := range products {
		for _, a := range p.Apps {
			if a.ID == last {
				return last
			}
			if first == 0 {
				first = a.ID
			}
		}
	}
	return first
}

func chromeApp(ctx context.Context, p *appPage) *views.ChromeApp {
	label, tone := serviceWords(ctx, &p.App.App)
	app := &views.ChromeApp{
		Name: appName(p.App), Platform: p.App.Platform, State: label, StateTone: tone, Sandbox: p.App.Sandbox,
	}
	if p.Actor.May(models.PermConfigure) {
		app.SandboxURL = p.Base + "/sandbox"
	}
	return app
}

// appName names an app with its product, as in "蓝鲸企业聊 · Android".
func appName(a *models.AppView) string { return a.ProductName + " · " + platformWord(a.Platform) }

// platformWord is the platform's own name, the same in every language.
func platformWord(platform string) string {
	switch platform {
	case models.PlatformIOS:
		return "iOS"
	case models.PlatformMacOS:
		return "macOS"
	}
	return "Android"
}

func platformIcon(platform string) string {
	if platform == models.PlatformAndroid {
		return "brand-android"
	}
	return "brand-apple"
}

// serviceWords names an app's 服务详情.
func serviceWords(ctx context.Context, a *models.App) (string, c.Tone) {
	tones := map[string]c.Tone{
		models.ServiceNew: c.Warn, models.ServiceAll: c.OK, models.ServiceIM: c.Brand, models.ServiceFull: c.OK,
	}
	return locale.T(ctx, "services."+a.Service()), tones[a.Service()]
}

// appLinks offers every app; choosing one stays on the same page of the other app
// where that page exists for every app.
func appLinks(ctx context.Context, products []models.ProductView, current int64, path string) []c.Link {
	page := "config"
	rest := strings.Split(strings.TrimPrefix(path, appBase(current)+"/"), "/")
	switch rest[0] {
	case "plans", "tools", "client", "sandbox", "config":
		page = rest[0]
	}
	var out []c.Link
	for _, p := range products {
		for i := range p.Apps {
			a := &p.Apps[i]
			out = append(out, c.Link{
				Label: appName(a), Href: appBase(a.ID) + "/" + page, Icon: platformIcon(a.Platform), Current: a.ID == current,
			})
		}
	}
	return out
}

// navigation builds the sidebar.
type navigation struct {
	ctx     context.Context
	path    string
	who     models.Actor
	app     int64  // that App推送管理 leads to, 0 for none
	start   string // progress of 快速开始, "" once done
	sandbox bool
}

func (n navigation) groups() []views.NavGroup {
	groups := []views.NavGroup{{Items: n.global()}}
	if n.app != 0 {
		groups = append(groups, views.NavGroup{Label: locale.T(n.ctx, "nav.app"), Items: n.ofApp()})
	}
	return append(groups, views.NavGroup{Label: locale.T(n.ctx, "nav.account_group"), Items: n.ofAccount()})
}

func (n navigation) item(key, href, icon string) views.NavItem {
	current := n.path == href || strings.HasPrefix(n.path, href+"/")
	return views.NavItem{Label: locale.T(n.ctx, "nav."+key), Href: href, Icon: icon, Current: current}
}

func (n navigation) global() []views.NavItem {
	start := n.item("start", "/start", "rocket")
	start.Count = n.start
	items := []views.NavItem{
		start,
		n.item("products", "/products", "package"),
		n.item("authorizations", "/authorizations", "plug-connected"),
	}
	if n.who.May(models.PermIM) {
		items = append(items, n.item("im_apps", "/im-apps", "bolt"))
	}
	return items
}

func (n navigation) ofApp() []views.NavItem {
	base := appBase(n.app)
	items := []views.NavItem{
		n.item("plans", base+"/plans", "stack-2"),
		n.item("tools", base+"/tools", "stethoscope"),
		n.item("config", base+"/config", "settings"),
		n.item("client", base+"/client", "device-mobile"),
	}
	// One message belongs to its plan, one device to the search that found it.
	items[0].Current = items[0].Current || strings.HasPrefix(n.path, base+"/messages")
	items[1].Current = items[1].Current || strings.HasPrefix(n.path, base+"/devices") || n.path == base+"/test"
	items[2].Current = items[2].Current || strings.HasPrefix(n.path, base+"/credentials")
	if n.sandbox {
		items = append(items, n.item("sandbox", base+"/sandbox", "flask"))
	}
	return items
}

func (n navigation) ofAccount() []views.NavItem {
	var items []views.NavItem
	if n.who.May(models.PermUsers) {
		items = append(items, n.item("users", "/users", "users"))
	}
	if n.who.May(models.PermAudit) {
		items = append(items, n.item("audit", "/audit", "history"))
	}
	if n.who.May(models.PermMain) {
		items = append(items, n.item("alerts", "/alerts", "bell"), n.item("account", "/account", "id-badge-2"))
	}
	return items
}
