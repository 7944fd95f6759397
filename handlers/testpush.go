package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/web"
)

// testForm is 发送测试推送: to one device, or to every device of an account.
type testForm struct {
	Device  string `form:"device"`
	Account string `form:"account"`
	Title   string `form:"title"`
	Body    string `form:"body"`
	// Act is "preview" to look at it without sending.
	Act string `form:"act"`
	// Seen is what cutMark gave for the texts whose cuts the operator was warned of.
	Seen string `form:"seen"`
}

// actPreview is testForm.Act of the button that sends nothing.
const actPreview = "preview"

func (h *console) newTest(c echo.Context) error {
	f := testForm{
		Device: c.QueryParam("device"), Account: strings.TrimSpace(c.QueryParam("account")),
		Title: web.T(c, "test.sample_title"), Body: web.T(c, "test.sample_body"),
	}
	return h.testPage(c, http.StatusOK, f, nil)
}

// gateTest refuses the test on an app that may only carry IM messages, with the
// guide. It returns true when it has answered.
func (h *console) gateTest(c echo.Context, a appPage, status int) (bool, error) {
	err := models.Gate(&a.App.App, models.UseTest)
	switch {
	case err == nil:
		return false, nil
	case models.KindOf(err) != models.Conflict:
		return true, err
	}
	p := views.GuidePage{IMApp: a.App.IMAppName, Back: a.Base + "/tools", Tools: a.Base + "/tools"}
	if a.Actor.May(models.PermMain) {
		p.OpenURL = a.Base + "/config#full"
	}
	if h.Sandbox && a.App.Sandbox {
		p.SandboxURL = a.Base + "/sandbox"
	}
	p.Chrome = web.Chrome(c)
	return true, web.Render(c, status, views.Guide(p))
}

func (h *console) testPage(c echo.Context, status int, f testForm, faults ui.FormErrors) error {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	if done, err := h.gateTest(c, a, http.StatusOK); done || err != nil {
		return err
	}
	cuts, err := h.textCuts(c, a, f)
	if err != nil {
		return err
	}
	p := views.TestPage{
		Limits: cuts.limits, Cuts: cuts.rows, Seen: cuts.mark, Hidden: cuts.hidden, Warned: cuts.rows != nil && f.Act != "",
		Action: a.Base + "/test", Back: a.Base + "/tools", Tools: a.Base + "/tools", Account: f.Account, Title: f.Title, Body: f.Body, Sandbox: a.App.Sandbox,
		MaxAccount: models.MaxAccountRunes, MaxTitle: models.MaxTitleRunes, MaxBody: models.MaxBodyRunes,
		AppName: a.App.ProductName, Errors: faults,
	}
	if f.Device != "" {
		d, err := h.testDevice(c, a, f.Device)
		if err != nil {
			return err
		}
		k, err := h.clock(c)
		if err != nil {
			return err
		}
		credentials, err := h.Store.Credentials(ctx, a.Actor, models.AppOwner(a.App.ID))
		if err != nil {
			return err
		}
		v := diagnose(ctx, a, d, credentials, k)
		p.Device, p.DeviceName = f.Device, deviceName(ctx, &d.Device)
		p.DeviceNote = cutMiddle(d.Device.Token, 4, 4)
		p.Back = a.Base + "/devices/" + f.Device
		p.Tone, p.Verdict, p.VerdictText = v.Tone, v.Title, v.Text
	}
	p.Chrome = web.Chrome(c)
	return web.Render(c, status, views.Test(p))
}

// testDevice loads the device that a form names. One of another app is none.
func (h *console) testDevice(c echo.Context, a appPage, text string) (*models.DeviceInfo, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return nil, &web.Error{Kind: web.KindNotFound}
	}
	return h.Store.DeviceByID(c.Request().Context(), a.Scope, id)
}

func (f testForm) faults(c echo.Context) ui.FormErrors {
	out := ui.FormErrors{}
	if f.Device == "" && f.Account == "" {
		out["account"] = web.T(c, "test.account_missing")
	}
	if f.Title == "" && f.Body == "" {
		out["body"] = web.T(c, "test.body_missing")
	}
	for name, field := range map[string]struct {
		text string
		most int
	}{"account": {f.Account, models.MaxAccountRunes}, "title": {f.Title, models.MaxTitleRunes}, "body": {f.Body, models.MaxBodyRunes}} {
		if n := len([]rune(field.text)); n > field.most {
			out[name] = web.T(c, "test.too_long", "Max", field.most, "Now", n)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (h *console) sendTest(c echo.Context) error {
	var f testForm
	if err := web.Bind(c, &f); err != nil {
		return err
	}
	a, err := h.app(c)
	if err != nil {
		return err
	}
	if done, err := h.gateTest(c, a, http.StatusConflict); done || err != nil {
		return err
	}
	faults := f.faults(c)
	var device int64
	if f.Device != "" {
		d, err := h.testDevice(c, a, f.Device)
		if err != nil {
			return err
		}
		device = d.Device.ID
		if len(d.Accounts) > 0 {
			f.Account = d.Accounts[0].Account // so that the record shows whose phone it was
		}
	}
	if faults == nil {
		if stop, err := h.warnTest(c, a, f); stop || err != nil {
			return err
		}
		in := models.Incoming{Kind: models.KindAlert, Account: f.Account, Sender: a.Actor.Name, Content: models.Content{Title: f.Title, Body: f.Body, Sound: defaultSound}}
		id, err := h.Store.AcceptTest(c.Request().Context(), a.Scope, 0, in, device)
		if err == nil {
			web.Flash(c, web.T(c, "test.sent"), web.T(c, "test.sent_detail"))
			return web.SeeOther(c, a.Base+"/messages/"+url.PathEscape(id))
		}
		if faults, err = formFaults(c, err); err != nil {
			return err
		}
	}
	return h.testPage(c, http.StatusUnprocessableEntity, f, faults)
}
