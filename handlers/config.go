package handlers

import (
	"cmp"
	"context"
	"strconv"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) config(ctx echo.Context) error { return h.configDialog(ctx, 200, nil) }

// configDialog answers with 基础配置, and with a dialog over it unless nil.
func (h *console) configDialog(ctx echo.Context, status int, dialog templ.Component) error {
	return h.configWith(ctx, status, func(v *views.ConfigPage) { v.Dialog = dialog })
}

// configWith answers with 基础配置 after change put in what a form needs.
func (h *console) configWith(ctx echo.Context, status int, change func(*views.ConfigPage)) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	v, err := h.configPage(ctx, p)
	if err != nil {
		return err
	}
	change(&v)
	return web.Render(ctx, status, views.Config(v))
}

func (h *console) configPage(ctx echo.Context, p appPage) (views.ConfigPage, error) {
	std := ctx.Request().Context()
	clock, err := h.clock(ctx)
	if err != nil {
		return views.ConfigPage{}, err
	}
	key, err := h.Store.AccessKey(std, p.Actor, p.App.ID)
	if err != nil {
		return views.ConfigPage{}, err
	}
	a := p.App
	v := views.ConfigPage{
		Base: p.Base, CanChange: p.Actor.May(models.PermConfigure), Main: p.Actor.May(models.PermMain),
		Name: appName(a), Product: a.ProductName, Region: h.regionWord(std, a.Region), AccessID: a.AccessID(), AccessKey: key.Reveal(),
		IMApp: a.IMAppName, Created: clock.Short(a.CreatedAt), Package: a.PackageName,
		PackageLabel: locale.T(std, "config.package"), PackageHint: locale.T(std, "config.package_hint"),
		Delivery: views.DeliveryForm{Fanout: a.Fanout, TextMode: a.TextMode, Merge: number(a.MergeSeconds)},
		Bind:     views.BindView{On: a.BindRequired, HasKey: a.HasBindKey(), NewKey: web.TakeOnce(ctx, "bind."+a.AccessID())},
		Full:     views.FullPushView{Authorized: a.Authorized(), On: a.FullPush},
	}
	v.Service, v.ServiceTone = serviceWords(std, &a.App)
	if r, err := h.Store.Region(a.Region); err == nil {
		v.RegionURL = r.Public
	}
	if a.Authorized() && p.Actor.May(models.PermIM) {
		v.IMHref = "/authorizations?view=" + viewIM
	}
	if a.Platform != models.PlatformAndroid {
		v.Apple, v.PackageLabel, v.PackageHint = true, "Bundle ID", locale.T(std, "config.bundle_hint")
	}
	if err := h.configCredentials(ctx, clock, p, &v); err != nil {
		return v, err
	}
	if v.Siblings, err = h.siblings(ctx, p); err != nil {
		return v, err
	}
	v.Chrome = web.Chrome(ctx)
	return v, nil
}

// configCredentials fills in 推送证书, what of it needs attention, and what the IM side
// has newer.
func (h *console) configCredentials(ctx echo.Context, clock clock, p appPage, v *views.ConfigPage) error {
	std := ctx.Request().Context()
	var err error
	if v.Apple {
		v.Credentials, err = h.appCredentials(ctx, clock, p)
		v.Alert = worst(std, v.Credentials.Cards)
	} else {
		v.Channels, err = h.appChannels(ctx, clock, p)
		v.Alert = worstChannel(std, v.Channels.Cards)
	}
	if err != nil {
		return err
	}
	items, err := h.Store.PendingSync(std, p.Actor, p.App.ID)
	if err != nil {
		return err
	}
	for _, s := range items {
		what, name := h.syncWords(std, &s)
		if s.Info.KeyID != "" {
			what = "Key ID " + s.Info.KeyID
		}
		if v.Apple {
			name = environmentWord(std, s.Environment)
		}
		v.Sync = append(v.Sync, c.Pair{
			Name: name, Value: locale.T(std, "config.sync_item", "What", what, "Time", clock.Short(s.SavedAt)),
		})
	}
	return nil
}

// siblings are the apps of the same product, one a platform.
func (h *console) siblings(ctx echo.Context, p appPage) ([]c.Link, error) {
	product, err := h.Store.ProductByID(ctx.Request().Context(), p.Actor, p.App.ProductID)
	if err != nil {
		return nil, err
	}
	var out []c.Link
	for i := range product.Apps {
		a := &product.Apps[i]
		out = append(out, c.Link{Label: platformWord(a.Platform), Href: appBase(a.ID) + "/config", Icon: platformIcon(a.Platform), Current: a.ID == p.App.ID})
	}
	return out, nil
}

type packageForm struct {
	PackageName string `form:"package_name"`
}

func (h *console) savePackage(ctx echo.Context) error {
	var f packageForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	_, err = h.Store.SetPackage(ctx.Request().Context(), p.Actor, p.App.ID, f.PackageName)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "config.package_saved"), web.T(ctx, "config.now"))
		return web.SeeOther(ctx, p.Base+"/config")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.configWith(ctx, 422, func(v *views.ConfigPage) { v.Package, v.PackageError = f.PackageName, faults.Get("package_name") })
}

type deliveryForm struct {
	Fanout   string `form:"fanout"`
	TextMode string `form:"text_mode"`
	Merge    int64  `form:"merge_seconds"`
}

func (h *console) saveDelivery(ctx echo.Context) error {
	var f deliveryForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	_, err = h.Store.SetDelivery(ctx.Request().Context(), p.Actor, p.App.ID, f.Fanout, f.TextMode, f.Merge)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "config.delivery_saved"), web.T(ctx, "config.now"))
		return web.SeeOther(ctx, p.Base+"/config")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.configWith(ctx, 422, func(v *views.ConfigPage) {
		v.Delivery = views.DeliveryForm{Fanout: f.Fanout, TextMode: f.TextMode, Merge: number(f.Merge), Errors: faults}
	})
}

// sync is 同步: it carries over what the IM side has newer.
func (h *console) sync(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	n, err := h.Store.ApplySync(ctx.Request().Context(), p.Actor, p.App.ID)
	if err != nil {
		return err
	}
	web.Flash(ctx, web.Tn(ctx, "config.synced", n), web.T(ctx, "config.synced_detail", "IM", p.App.IMAppName))
	return web.SeeOther(ctx, p.Base+"/config")
}

func configCrumbs(ctx echo.Context, p appPage, last string) []c.Link {
	return []c.Link{{Label: web.T(ctx, "config.title"), Href: p.Base + "/config"}, {Label: last}}
}

func (h *console) askDeleteApp(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Removal(h.appRemoval(ctx, p, "", nil)))
}

func (h *console) appRemoval(ctx echo.Context, p appPage, typed string, faults c.FormErrors) views.RemovalPage {
	title := web.T(ctx, "config.delete")
	page := views.RemovalPage{
		Chrome: web.Chrome(ctx), Title: title, Name: p.App.Name, Label: web.T(ctx, "config.delete_label"), Crumbs: configCrumbs(ctx, p, title),
		Lost:   []string{web.T(ctx, "config.lost_keys", "AccessID", p.App.AccessID()), web.T(ctx, "config.lost_credentials"), web.T(ctx, "config.lost_data")},
		Action: p.Base + "/config/delete", Back: p.Base + "/config", Submit: title, Typed: typed, Errors: faults,
	}
	if p.App.Authorized() {
		page.Blocked = web.T(ctx, "config.delete_blocked", "IM", p.App.IMAppName)
		if p.Actor.May(models.PermIM) {
			page.WayOut = c.Link{Label: web.T(ctx, "authorizations.release"), Href: "/authorizations/" + number(p.App.AuthorizationID) + "/release"}
		}
	}
	return page
}

func (h *console) deleteApp(ctx echo.Context) error {
	var f removalForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	err = h.Store.DeleteApp(ctx.Request().Context(), p.Actor, p.App.ID, f.Name)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "config.deleted", "Name", appName(p.App)), web.T(ctx, "config.deleted_detail"))
		return web.SeeOther(ctx, "/products")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Removal(h.appRemoval(ctx, p, f.Name, faults)))
}

// parseID reads an id from a query.
func parseID(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }

// syncWords say what of the IM side is newer: a vendor's keys by what the vendor knows
// us by, else by the file.
func (h *console) syncWords(ctx context.Context, s *models.SyncItem) (what, name string) {
	what, name = s.Info.FileName, vendorChannelName(ctx, s.Channel)
	if spec, ok := h.spec(s.Channel); ok && what == "" {
		what = channelNote(ctx, s.Channel, &spec, s.Info)
	}
	if s.PackageName != "" {
		name += " " + s.PackageName
	}
	return cmp.Or(what, locale.T(ctx, "channel.keys")), name
}
