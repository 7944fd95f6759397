package handlers

import (
	"context"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// viewIM is the value of ?view= for 云IM应用授权.
const viewIM = "im"

func (h *console) authorizations(ctx echo.Context) error {
	p, err := h.authorizationsPage(ctx, ctx.QueryParam("view") == viewIM)
	if err != nil {
		return err
	}
	if p.IM && h.session(ctx).user.IMNoticeSeenAt == nil {
		p.Dialog = views.AuthorizationNotice()
	}
	return web.Page(ctx, views.Authorizations(p))
}

// authorizationsPage gathers the page. The side 云IM应用授权 exists for who has the
// right, once the account has an IM app; else the page says which of the two is
// missing.
func (h *console) authorizationsPage(ctx echo.Context, im bool) (views.AuthorizationsPage, error) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	has, err := h.Store.HasIMApp(std, who)
	if err != nil {
		return views.AuthorizationsPage{}, err
	}
	right := who.May(models.PermIM)
	p := views.AuthorizationsPage{Switch: has && right, NoIMApp: !has, NoRight: !right, CreateIM: right}
	p.IM = im && p.Switch
	for _, b := range Bridges() {
		p.Bridges = append(p.Bridges, c.Pair{Name: locale.T(std, b.Name), Value: locale.T(std, b.Help)})
	}
	if p.IM {
		if err := h.authorizationRows(ctx, &p); err != nil {
			return p, err
		}
	}
	p.Chrome = web.Chrome(ctx)
	return p, nil
}

func (h *console) authorizationRows(ctx echo.Context, p *views.AuthorizationsPage) error {
	std := ctx.Request().Context()
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	rows, err := h.Store.Authorizations(std, h.actor(ctx))
	if err != nil {
		return err
	}
	for i := range rows {
		z := &rows[i]
		row := views.AuthorizationRow{
			IMApp: z.IMAppName, IMHref: imAppBase(z.IMAppID), SDKAppID: number(z.SDKAppID), Product: z.ProductName,
			App: platformWord(z.Platform), AppHref: appBase(z.AppID) + "/config", Icon: platformIcon(z.Platform), AccessID: number(z.AppID),
			Since: clock.Short(z.CreatedAt), SinceTitle: clock.Full(z.CreatedAt), By: z.CreatedName,
			Plan: appBase(z.AppID) + "/plans/" + number(z.PlanID), Release: "/authorizations/" + number(z.ID) + "/release",
		}
		row.State, row.Tone = authorizationState(std, h.Now(), z)
		p.Rows = append(p.Rows, row)
	}
	p.Summary = locale.Tn(std, "authorizations.summary", len(rows))
	return nil
}

// authorizationState says whether messages of an authorization can leave, from the
// credentials of the kind in use.
func authorizationState(ctx context.Context, now time.Time, z *models.AuthorizationView) (string, c.Tone) {
	usable, paused, ends := 0, 0, false
	for _, k := range z.Credentials {
		if (k.Environment == models.EnvironmentSandbox) != z.Sandbox {
			continue
		}
		switch {
		case k.State == models.CredentialPaused, k.NotAfter != nil && !k.NotAfter.After(now):
			paused++
		default:
			usable++
			_, near := ending(now, k.NotAfter)
			ends = ends || near
		}
	}
	switch {
	case paused > 0:
		return locale.T(ctx, "authorizations.state_paused"), c.Bad
	case usable == 0:
		return locale.T(ctx, "authorizations.state_none"), c.Warn
	case ends:
		return locale.T(ctx, "authorizations.state_ending"), c.Warn
	case z.Sandbox:
		return locale.T(ctx, "authorizations.state_sandbox"), c.Sand
	}
	return locale.T(ctx, "authorizations.state_on"), c.OK
}

// seenNotice is 知道了.
func (h *console) seenNotice(ctx echo.Context) error {
	if err := h.Store.SeeIMNotice(ctx.Request().Context(), h.actor(ctx)); err != nil {
		return err
	}
	return web.SeeOther(ctx, "/authorizations?view="+viewIM)
}

// authorizationForm is 新增授权 as the form sends it. Shown is the product whose apps
// the form offered: another one in Product asks to see that product's apps.
type authorizationForm struct {
	IMApp   int64 `form:"im_app_id"`
	Product int64 `form:"product_id"`
	App     int64 `form:"app_id"`
	Shown   int64 `form:"shown"`
}

func (h *console) newAuthorization(ctx echo.Context) error {
	var f authorizationForm
	if im, err := parseID(ctx.QueryParam("im")); err == nil {
		f.IMApp = im
	}
	if app, err := parseID(ctx.QueryParam("app")); err == nil {
		f.App = app
	}
	return h.authorizationDialog(ctx, 200, f, nil)
}

// authorizationDialog answers with the list under the dialog.
func (h *console) authorizationDialog(ctx echo.Context, status int, f authorizationForm, faults c.FormErrors) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	ims, err := h.Store.IMApps(std, who)
	if err != nil {
		return err
	}
	if len(ims) == 0 {
		// Nothing to choose: the page says what to do first.
		return web.SeeOther(ctx, "/authorizations")
	}
	products, err := h.Store.Candidates(std, who)
	if err != nil {
		return err
	}
	p, err := h.authorizationsPage(ctx, true)
	if err != nil {
		return err
	}
	p.Dialog = authorizationDialog(std, f, ims, products, faults)
	return web.Render(ctx, status, views.Authorizations(p))
}

func authorizationDialog(ctx context.Context, f authorizationForm, ims []models.IMApp, products []models.ProductView, faults c.FormErrors) templ.Component {
	form := views.AuthorizationForm{Errors: faults}
	for i := range ims {
		form.IMApps = append(form.IMApps, c.Option{
			Value: number(ims[i].ID), Label: locale.T(ctx, "authorizations.im_option", "Name", ims[i].Name, "ID", number(ims[i].SDKAppID)),
		})
	}
	if f.IMApp != 0 {
		form.IMApp = number(f.IMApp)
	}
	chosen := chosenProduct(products, f)
	for i := range products {
		p := &products[i]
		form.Products = append(form.Products, c.Option{Value: number(p.ID), Label: p.Name})
		if p.ID == chosen {
			form.Product = number(p.ID)
			form.Apps, form.App, form.Free = appOptions(ctx, p, f.App)
		}
	}
	return views.AuthorizationDialog(form)
}

// chosenProduct is the product whose apps the dialog offers: the one asked for, the
// one of the app asked for, else the first with an app that can be chosen.
func chosenProduct(products []models.ProductView, f authorizationForm) int64 {
	var first, free int64
	for _, p := range products {
		if p.ID == f.Product {
			return p.ID
		}
		if first == 0 {
			first = p.ID
		}
		for i := range p.Apps {
			if p.Apps[i].ID == f.App && f.Product == 0 {
				return p.ID
			}
			if free == 0 && !p.Apps[i].Authorized() {
				free = p.ID
			}
		}
	}
	if free != 0 {
		return free
	}
	return first
}

// appOptions lists a product's apps; authorized ones say why they cannot be chosen.
func appOptions(ctx context.Context, p *models.ProductView, app int64) (options []c.Option, value string, free bool) {
	for i := range p.Apps {
		a := &p.Apps[i]
		o := c.Option{Value: a.AccessID(), Label: appName(a), Icon: platformIcon(a.Platform), Note: "AccessID " + a.AccessID()}
		if a.PackageName != "" {
			o.Note += " · " + a.PackageName
		}
		if a.Authorized() {
			o.Off, o.Note = true, ""
			o.Why = views.AuthorizationTaken(a.IMAppName, "/authorizations/"+number(a.AuthorizationID)+"/release")
		} else {
			if value == "" || a.ID == app {
				value = o.Value
			}
			free = true
		}
		options = append(options, o)
	}
	return options, value, free
}

func (h *console) authorize(ctx echo.Context) error {
	var f authorizationForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	if f.Product != f.Shown {
		f.App = 0
		return h.authorizationDialog(ctx, 200, f, nil)
	}
	std, who := ctx.Request().Context(), h.actor(ctx)
	z, err := h.Store.Authorize(std, who, f.IMApp, f.Product, f.App)
	if err != nil {
		faults, err := formFaults(ctx, err)
		if err != nil {
			return err
		}
		return h.authorizationDialog(ctx, 422, f, faults)
	}
	view, err := h.Store.AuthorizationByID(std, who, z.ID)
	if err != nil {
		return err
	}
	name := view.ProductName + " · " + platformWord(view.Platform)
	web.Flash(ctx, web.T(ctx, "authorizations.done", "App", name), web.T(ctx, authorizedDetail(view)))
	return web.SeeOther(ctx, "/authorizations?view="+viewIM)
}

// authorizedDetail is the sentence about what an authorization did with vendor
// settings.
func authorizedDetail(z *models.AuthorizationView) string {
	switch {
	case z.SyncedAt != nil && !z.SyncedAt.Before(z.CreatedAt):
		return "authorizations.done_synced"
	case slices.ContainsFunc(z.Credentials, func(models.CredentialAt) bool { return true }):
		return "authorizations.done_ready"
	}
	return "authorizations.done_next"
}

// authorization loads the authorization of the path.
func (h *console) authorization(ctx echo.Context) (*models.AuthorizationView, error) {
	id, err := idParam(ctx, "authorization")
	if err != nil {
		return nil, err
	}
	return h.Store.AuthorizationByID(ctx.Request().Context(), h.actor(ctx), id)
}

func (h *console) askRelease(ctx echo.Context) error {
	z, err := h.authorization(ctx)
	if err != nil {
		return err
	}
	app, title := z.ProductName+" · "+platformWord(z.Platform), web.T(ctx, "authorizations.release")
	p := views.ConfirmPage{
		Title: title, Heading: web.T(ctx, "authorizations.release_heading", "App", app, "IM", z.IMAppName),
		Crumbs: []c.Link{{Label: web.T(ctx, "nav.authorizations"), Href: "/authorizations?view=im"}, {Label: title}},
		Lines: []views.Consequence{
			{Icon: "send", Text: web.T(ctx, "authorizations.release_accepted")},
			{Icon: "alert-triangle", Tone: c.Warn, Text: web.T(ctx, "authorizations.release_new", "IM", z.IMAppName)},
			{Icon: "stack-2", Text: web.T(ctx, "authorizations.release_plan")},
			{Icon: "refresh", Text: web.T(ctx, "authorizations.release_state")},
			{Icon: "certificate", Text: web.T(ctx, "authorizations.release_credentials")},
		},
		Action: "/authorizations/" + number(z.ID) + "/release", Back: "/authorizations?view=im", Submit: title, Danger: true,
	}
	if z.FullPush {
		p.Lines = append(p.Lines, views.Consequence{Icon: "lock", Text: web.T(ctx, "authorizations.release_full")})
	}
	p.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Confirm(p))
}

func (h *console) release(ctx echo.Context) error {
	z, err := h.authorization(ctx)
	if err != nil {
		return err
	}
	std, who := ctx.Request().Context(), h.actor(ctx)
	if err := h.Store.Release(std, who, z.ID); err != nil {
		return err
	}
	_, app, err := h.Store.ScopeForApp(std, who, z.AppID)
	if err != nil {
		return err
	}
	service, _ := serviceWords(std, &app.App)
	web.Flash(ctx, web.T(ctx, "authorizations.released", "App", appName(app)), web.T(ctx, "authorizations.released_detail", "State", service))
	return web.SeeOther(ctx, "/authorizations?view="+viewIM)
}
