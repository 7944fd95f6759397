package handlers

import (
	"context"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/web"
)

func (h *console) imAppDialog(ctx echo.Context, status int, m *models.IMApp, dialog templ.Component) error {
	p, err := h.imAppPage(ctx, m, "")
	if err != nil {
		return err
	}
	p.Dialog = dialog
	return web.Render(ctx, status, views.IMApp(p))
}

func editIMAppDialog(ctx context.Context, m *models.IMApp, f imAppForm, faults c.FormErrors) templ.Component {
	return views.IMAppDialog(views.IMAppForm{
		Edit: true, Action: imAppBase(m.ID) + "/edit", CloseURL: imAppBase(m.ID), Name: f.Name, SDKAppID: number(m.SDKAppID),
		Bridge: f.Bridge, AllowIPs: f.AllowIPs, Addressing: f.Addressing, Addressings: addressingOptions(ctx), Names: f.Names, HasKey: m.HasSDKKey(), Bridges: bridgeOptions(ctx), MaxName: models.MaxIMAppName, Errors: faults,
	})
}

func (h *console) editIMApp(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	f := imAppForm{Name: m.Name, Bridge: m.Bridge, AllowIPs: m.AllowIPs, Addressing: m.Addressing, Names: m.Names}
	return h.imAppDialog(ctx, 200, m, editIMAppDialog(ctx.Request().Context(), m, f, nil))
}

func (h *console) saveIMApp(ctx echo.Context) error {
	var f imAppForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	std := ctx.Request().Context()
	saved, err := h.Store.UpdateIMApp(std, h.actor(ctx), m.ID, f.input(), bridgeIDs())
	if err == nil {
		detail := ""
		if saved.Bridge != m.Bridge {
			detail = web.T(ctx, "im_apps.bridge_changed")
		}
		web.Flash(ctx, web.T(ctx, "im_apps.saved", "Name", saved.Name), detail)
		return web.SeeOther(ctx, imAppBase(m.ID))
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.imAppDialog(ctx, 422, m, editIMAppDialog(std, m, f, faults))
}

func imAppCrumbs(ctx echo.Context, m *models.IMApp, last string) []c.Link {
	return []c.Link{{Label: web.T(ctx, "im_apps.title"), Href: "/im-apps"}, {Label: m.Name, Href: imAppBase(m.ID)}, {Label: last}}
}

func (h *console) askRotate(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	title := web.T(ctx, "im_apps.rotate")
	return web.Page(ctx, views.Confirm(views.ConfirmPage{
		Chrome: web.Chrome(ctx), Title: title, Crumbs: imAppCrumbs(ctx, m, title), Heading: web.T(ctx, "im_apps.rotate_heading"),
		Lines: []views.Consequence{
			{Icon: "key", Text: web.T(ctx, "im_apps.rotate_1")},
			{Icon: "clock", Tone: c.Warn, Text: web.T(ctx, "im_apps.rotate_2")},
			{Icon: "info-circle", Text: web.T(ctx, "im_apps.rotate_3")},
		},
		Action: imAppBase(m.ID) + "/rotate", Back: imAppBase(m.ID), Submit: title,
	}))
}

func (h *console) rotate(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	m, secret, err := h.Store.RotateIngestSecret(ctx.Request().Context(), h.actor(ctx), m.ID)
	if err != nil {
		return err
	}
	keepSecret(ctx, m.ID, secret)
	web.Flash(ctx, web.T(ctx, "im_apps.rotated"), web.T(ctx, "im_apps.rotated_detail"))
	return web.SeeOther(ctx, imAppBase(m.ID))
}

func (h *console) askDrop(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	title := web.T(ctx, "im_apps.drop")
	return web.Page(ctx, views.Confirm(views.ConfirmPage{
		Chrome: web.Chrome(ctx), Title: title, Crumbs: imAppCrumbs(ctx, m, title), Heading: web.T(ctx, "im_apps.drop_heading"),
		Lines:  []views.Consequence{{Icon: "alert-triangle", Tone: c.Warn, Text: web.T(ctx, "im_apps.drop_1")}},
		Action: imAppBase(m.ID) + "/drop", Back: imAppBase(m.ID), Submit: title, Danger: true,
	}))
}

func (h *console) drop(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	if err := h.Store.DropOldSecret(ctx.Request().Context(), h.actor(ctx), m.ID); err != nil {
		return err
	}
	web.Flash(ctx, web.T(ctx, "im_apps.dropped"), "")
	return web.SeeOther(ctx, imAppBase(m.ID))
}

func (h *console) askDeleteIMApp(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	p, err := h.imAppRemoval(ctx, m, "", nil)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Removal(p))
}

func (h *console) imAppRemoval(ctx echo.Context, m *models.IMApp, typed string, faults c.FormErrors) (views.RemovalPage, error) {
	all, err := h.Store.Authorizations(ctx.Request().Context(), h.actor(ctx))
	if err != nil {
		return views.RemovalPage{}, err
	}
	title := web.T(ctx, "im_apps.delete")
	p := views.RemovalPage{
		Title: title, Name: m.Name, Label: web.T(ctx, "im_apps.delete_label"), Crumbs: imAppCrumbs(ctx, m, title),
		Lost:   []string{web.T(ctx, "im_apps.lost_address"), web.T(ctx, "im_apps.lost_credentials"), web.T(ctx, "im_apps.lost_records")},
		Action: imAppBase(m.ID) + "/delete", Back: imAppBase(m.ID), Submit: title, Typed: typed, Errors: faults,
	}
	var bound []string
	for _, z := range all {
		if z.IMAppID == m.ID {
			bound = append(bound, z.ProductName+" · "+platformWord(z.Platform)+" "+number(z.AppID))
		}
	}
	if len(bound) > 0 {
		p.Blocked = web.T(ctx, "im_apps.blocked", "Apps", list(ctx.Request().Context(), bound))
		p.WayOut = c.Link{Label: web.T(ctx, "im_apps.blocked_way"), Href: "/authorizations?view=im"}
	}
	p.Chrome = web.Chrome(ctx)
	return p, nil
}

func (h *console) deleteIMApp(ctx echo.Context) error {
	var f removalForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	err = h.Store.DeleteIMApp(ctx.Request().Context(), h.actor(ctx), m.ID, f.Name)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "im_apps.deleted", "Name", m.Name), web.T(ctx, "im_apps.deleted_detail"))
		return web.SeeOther(ctx, "/im-apps")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	p, err := h.imAppRemoval(ctx, m, f.Name, faults)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Removal(p))
}
