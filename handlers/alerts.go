package handlers

import (
	"context"
	"net/http"
	"strconv"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// alertRows is how many rows of the log a page shows.
const alertRows = 30

// onceAlertTest keeps the id of the test that the next page speaks of.
const onceAlertTest = "alert-test"

func (h *console) alerts(ctx echo.Context) error { return h.alertsPage(ctx, http.StatusOK, nil) }

// alertsPage draws hooks and log, under a dialog if there is one.
func (h *console) alertsPage(ctx echo.Context, status int, dialog templ.Component) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	hooks, err := h.Store.AlertHooks(std, who)
	if err != nil {
		return err
	}
	k := web.ReadKeyset(ctx)
	older, _ := strconv.ParseInt(k.After, 10, 64) // what is no number pages nowhere
	newer, _ := strconv.ParseInt(k.Before, 10, 64)
	log, err := h.Store.Alerts(std, who, older, newer, alertRows)
	if err != nil {
		return err
	}
	p := views.AlertsPage{Dialog: dialog, May: len(hooks) < models.MaxHooks}
	byID := map[int64]*models.AlertHook{}
	for i := range hooks {
		byID[hooks[i].ID] = &hooks[i]
		p.Hooks = append(p.Hooks, hookRow(std, &hooks[i]))
	}
	tested := web.TakeOnce(ctx, onceAlertTest)
	for i := range log.Rows {
		a := &log.Rows[i]
		hook := byID[a.HookID]
		if hook == nil {
			continue // deleted between the two queries
		}
		row := alertRow(std, clock, a, hook)
		if number(a.ID) == tested {
			p.Test = &c.Note{Tone: c.Bad, Title: locale.T(std, "alerts.test_failed", "Name", hook.Name), Text: row.Fault, Alert: true}
		}
		p.Log = append(p.Log, row)
	}
	p.Previous, p.Next = web.KeysetURLs(ctx, key(log.Newer), key(log.Older))
	p.Chrome = web.Chrome(ctx)
	return web.Render(ctx, status, views.Alerts(p))
}

func hookRow(ctx context.Context, hook *models.AlertHook) views.HookRow {
	base := "/alerts/" + number(hook.ID)
	row := views.HookRow{
		Name: hook.Name, Kind: locale.T(ctx, "alerts.kind."+hook.Kind), Host: hook.Host, Signed: hook.Signed(),
		State: locale.T(ctx, "alerts.on"), Tone: c.OK, Edit: base + "/edit", Test: base + "/test",
	}
	for _, e := range hook.EventList() {
		row.Events = append(row.Events, locale.T(ctx, "alerts.event."+e))
	}
	turn := c.Link{Label: locale.T(ctx, "alerts.disable"), Href: base + "/disable", Icon: "player-pause", Post: true}
	if !hook.Enabled {
		row.State, row.Tone = locale.T(ctx, "alerts.off"), c.Mute
		turn = c.Link{Label: locale.T(ctx, "alerts.enable"), Href: base + "/enable", Icon: "check", Post: true}
	}
	row.Menu = []c.Link{turn, {Label: locale.T(ctx, "alerts.delete"), Href: base + "/delete", Icon: "trash", Danger: true}}
	return row
}

// alertRow writes one line of the log.
func alertRow(ctx context.Context, clock clock, a *models.Alert, hook *models.AlertHook) views.AlertRow {
	row := views.AlertRow{
		Time: clock.Exact(a.CreatedAt), TimeFull: clock.Full(a.CreatedAt), TimeISO: clock.ISO(a.CreatedAt),
		Event: locale.T(ctx, "alerts.event."+a.Event), Hook: hook.Name, Tries: number(int64(a.Tries)),
	}
	if f := a.Subject(); f.AppID != 0 {
		row.Subject = f.Product + " · " + platformWord(f.Platform) + " · " + locale.T(ctx, "channels."+f.Channel) + " · " + environmentWord(ctx, f.Environment)
		if f.Days > 0 {
			row.Event = locale.Tn(ctx, "alerts.row_expiry", f.Days)
		}
	}
	if a.ErrorCode != "" {
		row.Fault, row.Code = robotWords(ctx, hook.Kind, a.ErrorCode, a.ErrorText), a.ErrorCode
	}
	switch {
	case a.State == models.AlertSent:
		row.State, row.Tone = locale.T(ctx, "alerts.sent"), c.OK
	case a.State == models.AlertFailed && a.Event == models.AlertTest:
		row.State, row.Tone = locale.T(ctx, "alerts.not_taken"), c.Bad // tried once by design
	case a.State == models.AlertFailed:
		row.State, row.Tone = locale.T(ctx, "alerts.failed"), c.Bad
	case a.Tries == 0:
		row.State, row.Tone = locale.T(ctx, "alerts.waiting"), c.Info
	default:
		row.State, row.Tone = locale.T(ctx, "alerts.retrying", "Time", clock.Short(a.DueAt)), c.Warn
	}
	return row
}

// robotWords explains why an alert was not taken: by the code where it is known, else
// with the receiver's own words.
func robotWords(ctx context.Context, kind, code, text string) string {
	for _, key := range []string{"robots." + kind + "." + code, "robots." + code} {
		if words, ok := locale.Find(ctx, key); ok {
			return words
		}
	}
	if text != "" {
		return locale.T(ctx, "alerts.said", "Text", text)
	}
	return locale.T(ctx, "alerts.refused")
}

type hookForm struct {
	Name   string   `form:"name"`
	Kind   string   `form:"kind"`
	URL    string   `form:"url"`
	Secret string   `form:"secret"`
	Drop   string   `form:"drop"`
	Events []string `form:"events"`
}

func (f hookForm) input() models.AlertHookInput {
	return models.AlertHookInput{
		Name: f.Name, Kind: f.Kind, URL: models.Secret(f.URL), Secret: models.Secret(f.Secret), DropSecret: f.Drop != "", Events: f.Events,
	}
}

// hookDialog is 新建通知, or 编辑通知 for a hook that exists. What is secret is never
// sent back to the browser.
func hookDialog(ctx context.Context, hook *models.AlertHook, f hookForm, faults c.FormErrors) templ.Component {
	form := views.HookForm{
		Action: "/alerts/new", Name: f.Name, Kind: f.Kind, Events: f.Events, MaxName: models.MaxHookName, Errors: faults,
	}
	for _, k := range models.HookKinds() {
		form.Kinds = append(form.Kinds, c.Option{Value: k, Label: locale.T(ctx, "alerts.kind."+k), Note: locale.T(ctx, "alerts.kind."+k+"_note")})
	}
	for _, e := range models.AlertEvents() {
		form.All = append(form.All, c.Option{Value: e, Label: locale.T(ctx, "alerts.event."+e)})
	}
	if hook != nil {
		form.Edit, form.Action = true, "/alerts/"+number(hook.ID)+"/edit"
		form.KindName, form.Host, form.Signed = locale.T(ctx, "alerts.kind."+hook.Kind), hook.Host, hook.Signed()
		form.MaySign = hook.Kind != models.HookWeCom
	} else {
		form.MaySign = true
	}
	// Secrets are not written into the form again, so they have to be pasted again.
	for field, typed := range map[string]string{"url": f.URL, "secret": f.Secret} {
		if len(faults) > 0 && typed != "" && faults[field] == "" {
			faults[field] = locale.T(ctx, "alerts.paste_again")
		}
	}
	return views.HookDialog(form)
}

func (h *console) newAlertHook(ctx echo.Context) error {
	f := hookForm{Kind: models.HookWeCom, Events: models.AlertEvents()}
	return h.alertsPage(ctx, http.StatusOK, hookDialog(ctx.Request().Context(), nil, f, nil))
}

func (h *console) createAlertHook(ctx echo.Context) error {
	var f hookForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	std := ctx.Request().Context()
	hook, err := h.Store.CreateAlertHook(std, h.actor(ctx), f.input())
	if err == nil {
		web.Flash(ctx, web.T(ctx, "alerts.created", "Name", hook.Name), web.T(ctx, "alerts.created_detail"))
		return web.SeeOther(ctx, "/alerts")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.alertsPage(ctx, http.StatusUnprocessableEntity, hookDialog(std, nil, f, faults))
}

// alertHook loads the hook of the path.
func (h *console) alertHook(ctx echo.Context) (*models.AlertHook, error) {
	id, err := idParam(ctx, "hook")
	if err != nil {
		return nil, err
	}
	return h.Store.AlertHookByID(ctx.Request().Context(), h.actor(ctx), id)
}

func (h *console) editAlertHook(ctx echo.Context) error {
	hook, err := h.alertHook(ctx)
	if err != nil {
		return err
	}
	f := hookForm{Name: hook.Name, Kind: hook.Kind, Events: hook.EventList()}
	return h.alertsPage(ctx, http.StatusOK, hookDialog(ctx.Request().Context(), hook, f, nil))
}

func (h *console) saveAlertHook(ctx echo.Context) error {
	var f hookForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	hook, err := h.alertHook(ctx)
	if err != nil {
		return err
	}
	std := ctx.Request().Context()
	saved, err := h.Store.UpdateAlertHook(std, h.actor(ctx), hook.ID, f.input())
	if err == nil {
		web.Flash(ctx, web.T(ctx, "alerts.saved", "Name", saved.Name), "")
		return web.SeeOther(ctx, "/alerts")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.alertsPage(ctx, http.StatusUnprocessableEntity, hookDialog(std, hook, f, faults))
}

// testAlertHook is 发送测试: it sends now and tells what came back.
func (h *console) testAlertHook(ctx echo.Context) error {
	hook, err := h.alertHook(ctx)
	if err != nil {
		return err
	}
	a, err := h.Alerts.Test(ctx.Request().Context(), h.actor(ctx), hook.ID)
	if err != nil {
		return err
	}
	if a.State == models.AlertSent {
		web.Flash(ctx, web.T(ctx, "alerts.test_ok", "Name", hook.Name), web.T(ctx, "alerts.test_ok_detail"))
	} else {
		web.KeepOnce(ctx, onceAlertTest, number(a.ID))
	}
	return web.SeeOther(ctx, "/alerts")
}

func (h *console) setAlertHook(on bool) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		id, err := idParam(ctx, "hook")
		if err != nil {
			return err
		}
		hook, err := h.Store.SetAlertHookEnabled(ctx.Request().Context(), h.actor(ctx), id, on)
		if err != nil {
			return err
		}
		if on {
			web.Flash(ctx, web.T(ctx, "alerts.enabled", "Name", hook.Name), "")
		} else {
			web.Flash(ctx, web.T(ctx, "alerts.disabled", "Name", hook.Name), web.T(ctx, "alerts.disabled_detail"))
		}
		return web.SeeOther(ctx, "/alerts")
	}
}

func (h *console) askDeleteAlertHook(ctx echo.Context) error {
	hook, err := h.alertHook(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Removal(hookRemoval(ctx, hook, "", nil)))
}

func hookRemoval(ctx echo.Context, hook *models.AlertHook, typed string, faults c.FormErrors) views.RemovalPage {
	return views.RemovalPage{
		Chrome: web.Chrome(ctx), Title: web.T(ctx, "alerts.delete"), Name: hook.Name, Label: web.T(ctx, "alerts.delete_label"),
		Crumbs: []c.Link{{Label: web.T(ctx, "nav.alerts"), Href: "/alerts"}, {Label: hook.Name}},
		Lost:   []string{web.T(ctx, "alerts.lost_hook"), web.T(ctx, "alerts.lost_log")},
		Action: "/alerts/" + number(hook.ID) + "/delete", Back: "/alerts", Submit: web.T(ctx, "alerts.delete"), Typed: typed, Errors: faults,
	}
}

func (h *console) deleteAlertHook(ctx echo.Context) error {
	var f removalForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	hook, err := h.alertHook(ctx)
	if err != nil {
		return err
	}
	err = h.Store.DeleteAlertHook(ctx.Request().Context(), h.actor(ctx), hook.ID, f.Name)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "alerts.deleted", "Name", hook.Name), "")
		return web.SeeOther(ctx, "/alerts")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Removal(hookRemoval(ctx, hook, f.Name, faults)))
}
