package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/web"
)

// Keys that /config/keys/reset can replace.
const (
	keyAccess = "access"
	keySecret = "secret"
	keyBind   = "bind"
)

type passwordAgain struct {
	Key      string `form:"key"`
	Password string `form:"password" trim:"no"`
}

func (h *console) secretForm(p appPage) views.SecretForm {
	return views.SecretForm{Action: p.Base + "/config/secret", Back: p.Base + "/config"}
}

func (h *console) askSecret(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	return h.configDialog(ctx, http.StatusOK, views.SecretDialog(h.secretForm(p)))
}

// showSecret shows the SecretKey on this one answer, after the password.
func (h *console) showSecret(ctx echo.Context) error {
	var f passwordAgain
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	form := h.secretForm(p)
	key, err := h.Store.RevealSecretKey(ctx.Request().Context(), p.Actor, p.App.ID, f.Password)
	if err != nil {
		if form.Errors, err = formFaults(ctx, err); err != nil {
			return err
		}
		return h.configDialog(ctx, http.StatusUnprocessableEntity, views.SecretDialog(form))
	}
	form.Key = key.Reveal()
	return h.configDialog(ctx, http.StatusOK, views.SecretDialog(form))
}

// mayReset reports whether a key may be reset: the SecretKey by the main user only,
// the binding key once there is one.
func mayReset(p appPage, key string) error {
	switch {
	case key == keyAccess, key == keyBind && p.App.HasBindKey():
		return nil
	case key == keySecret && p.Actor.May(models.PermMain):
		return nil
	case key == keySecret:
		return &web.Error{Kind: web.KindForbidden, Key: "errors.forbidden.main"}
	}
	return &web.Error{Kind: web.KindNotFound}
}

func (h *console) resetPage(ctx echo.Context, p appPage, key string, faults c.FormErrors) views.ResetKeyPage {
	v := views.ResetKeyPage{Key: key, Password: key == keySecret, Action: p.Base + "/config/keys/reset", Back: p.Base + "/config", Errors: faults}
	line := func(icon string, tone c.Tone, sentence string) {
		v.Lines = append(v.Lines, views.Consequence{Icon: icon, Tone: tone, Text: web.T(ctx, sentence)})
	}
	switch key {
	case keyAccess:
		v.Title = web.T(ctx, "config.reset_access")
		line("alert-triangle", c.Warn, "config.reset_access_1")
		line("device-mobile", c.Mute, "config.reset_access_2")
	case keySecret:
		v.Title = web.T(ctx, "config.reset_secret")
		line("alert-triangle", c.Warn, "config.reset_secret_1")
		line("eye", c.Mute, "config.reset_secret_2")
	default:
		v.Title = web.T(ctx, "config.bind_rotate")
		line("alert-triangle", c.Warn, "config.reset_bind_1")
		line("eye", c.Mute, "config.reset_bind_2")
	}
	v.Crumbs, v.Chrome = configCrumbs(ctx, p, v.Title), web.Chrome(ctx)
	return v
}

func (h *console) askReset(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	key := ctx.QueryParam("key")
	if err := mayReset(p, key); err != nil {
		return err
	}
	return web.Page(ctx, views.ResetKey(h.resetPage(ctx, p, key, nil)))
}

func (h *console) reset(ctx echo.Context) error {
	var f passwordAgain
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	if err := mayReset(p, f.Key); err != nil {
		return err
	}
	std, id := ctx.Request().Context(), p.App.ID
	var key models.Secret
	switch f.Key {
	case keyAccess:
		_, err = h.Store.ResetAccessKey(std, p.Actor, id)
	case keySecret:
		key, err = h.Store.ResetSecretKey(std, p.Actor, id, f.Password)
	default:
		key, err = h.Store.RotateBindKey(std, p.Actor, id)
	}
	if err != nil {
		faults, err := formFaults(ctx, err)
		if err != nil {
			return err
		}
		return web.FormPage(ctx, views.ResetKey(h.resetPage(ctx, p, f.Key, faults)))
	}
	switch f.Key {
	case keySecret:
		// On this one answer, as when it is revealed.
		form := h.secretForm(p)
		form.Key = key.Reveal()
		return h.configDialog(ctx, http.StatusOK, views.SecretDialog(form))
	case keyBind:
		web.KeepOnce(ctx, "bind."+p.App.AccessID(), key.Reveal())
		web.Flash(ctx, web.T(ctx, "config.bind_rotated"), "")
	default:
		web.Flash(ctx, web.T(ctx, "config.access_reset"), web.T(ctx, "config.access_reset_detail"))
	}
	return web.SeeOther(ctx, p.Base+"/config")
}

func (h *console) askBind(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	title := web.T(ctx, "config.bind_turn_off")
	return web.Page(ctx, views.Confirm(views.ConfirmPage{
		Chrome: web.Chrome(ctx), Title: title, Crumbs: configCrumbs(ctx, p, title), Heading: web.T(ctx, "config.bind_off_heading"),
		Lines:  []views.Consequence{{Icon: "alert-triangle", Tone: c.Warn, Text: web.T(ctx, "config.bind_off_warning")}},
		Action: p.Base + "/config/bind", Back: p.Base + "/config", Submit: title, Danger: true,
	}))
}

type switchForm struct {
	On string `form:"on"`
}

// setBind turns the binding signature on or off; turning it on makes a key, shown
// once on the page that follows.
func (h *console) setBind(ctx echo.Context) error {
	var f switchForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	a, key, err := h.Store.SetBindRequired(ctx.Request().Context(), p.Actor, p.App.ID, f.On != "")
	if err != nil {
		return err
	}
	if key != "" {
		web.KeepOnce(ctx, "bind."+p.App.AccessID(), key.Reveal())
	}
	if a.BindRequired {
		web.Flash(ctx, web.T(ctx, "config.bind_on_flash"), web.T(ctx, "config.bind_on_detail"))
	} else {
		web.Flash(ctx, web.T(ctx, "config.bind_off_flash"), "")
	}
	return web.SeeOther(ctx, p.Base+"/config")
}

func (h *console) askFull(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	if !p.App.Authorized() {
		return &web.Error{Kind: web.KindConflict, Key: "errors.app.full_push_not_needed"}
	}
	v := views.ConfirmPage{
		Title: web.T(ctx, "config.full_open"), Heading: web.T(ctx, "config.full_heading"), Action: p.Base + "/config/full", Back: p.Base + "/config",
		Lines: []views.Consequence{
			{Icon: "circle-check", Tone: c.OK, Text: web.T(ctx, "config.full_1")},
			{Icon: "stack-2", Text: web.T(ctx, "config.full_2")},
			{Icon: "refresh", Text: web.T(ctx, "config.full_3")},
		},
		Hidden: []c.Pair{{Name: "on", Value: "1"}},
	}
	if p.App.FullPush {
		v.Title, v.Heading, v.Hidden = web.T(ctx, "config.full_close"), web.T(ctx, "config.full_close_heading"), nil
		v.Lines = []views.Consequence{
			{Icon: "lock", Tone: c.Warn, Text: web.T(ctx, "config.full_close_1")},
			{Icon: "stack-2", Text: web.T(ctx, "config.full_2")},
		}
	}
	v.Submit, v.Crumbs, v.Chrome = v.Title, configCrumbs(ctx, p, v.Title), web.Chrome(ctx)
	return web.Page(ctx, views.Confirm(v))
}

func (h *console) setFull(ctx echo.Context) error {
	var f switchForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	a, err := h.Store.SetFullPush(ctx.Request().Context(), p.Actor, p.App.ID, f.On != "")
	if err != nil {
		return err
	}
	if a.FullPush {
		web.Flash(ctx, web.T(ctx, "config.full_opened"), web.T(ctx, "config.full_opened_detail"))
	} else {
		web.Flash(ctx, web.T(ctx, "config.full_closed"), "")
	}
	return web.SeeOther(ctx, p.Base+"/config#full")
}
