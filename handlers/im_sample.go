package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// sampleForm is 发送示例请求 on the page of an IM app.
type sampleForm struct {
	App     string `form:"app" query:"app"`
	Device  string `form:"device"`
	Account string `form:"account"`
}

// sampleDevices is how many devices of an app the form offers.
const sampleDevices = 10

// newSample asks for whom.
func (h *console) newSample(ctx echo.Context) error {
	return h.sampleDialog(ctx, http.StatusOK, sampleForm{App: ctx.QueryParam("app")}, nil)
}

// sampleDialog draws the form: an authorized app, and one of its devices or an account.
func (h *console) sampleDialog(ctx echo.Context, status int, f sampleForm, faults c.FormErrors) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	std, who, base := ctx.Request().Context(), h.actor(ctx), imAppBase(m.ID)
	if !who.May(models.PermPush) {
		return &models.Error{Kind: models.Forbidden, Key: "errors.forbidden." + string(models.PermPush)}
	}
	apps, err := h.authorizedApps(std, who, m.ID)
	if err != nil {
		return err
	}
	d := views.SampleForm{
		Action: base + "/sample", CloseURL: base + "/live", Account: f.Account, Device: f.Device, App: f.App,
		ConnectURL: "/authorizations/new?im=" + number(m.ID), MaxAccount: models.MaxAccountRunes, Errors: faults,
	}
	for i, z := range apps {
		d.Apps = append(d.Apps, c.Option{Value: number(z.AppID), Label: z.ProductName + " · " + platformWord(z.Platform) + " " + number(z.AppID), Default: i == 0})
	}
	if len(apps) > 0 {
		chosen := apps[max(0, slices.IndexFunc(apps, func(z models.AuthorizationView) bool { return number(z.AppID) == f.App }))]
		d.App = number(chosen.AppID)
		if d.Devices, err = h.sampleTargets(std, who, chosen.AppID); err != nil {
			return err
		}
		d.NoDevice = len(d.Devices) == 0
		for i := range d.Apps {
			if d.Apps[i].Value != d.App {
				d.Others = append(d.Others, c.Link{Label: d.Apps[i].Label, Href: base + "/sample?app=" + d.Apps[i].Value, Dialog: true})
			} else {
				d.AppName = d.Apps[i].Label
			}
		}
	}
	list, err := h.arrivalsView(ctx, m)
	if err != nil {
		return err
	}
	list.Here, list.Paused = base+"/live", true
	title := web.T(ctx, "arrivals.title")
	p := views.ArrivalsPage{Title: title, Crumbs: imAppCrumbs(ctx, m, title), List: list, Dialog: views.SampleDialog(d)}
	p.Chrome = web.Chrome(ctx)
	return web.Render(ctx, status, views.Arrivals(p))
}

// authorizedApps are the apps that take this IM app's messages, of those that the actor
// may see.
func (h *console) authorizedApps(ctx context.Context, who models.Actor, imAppID int64) ([]models.AuthorizationView, error) {
	all, err := h.Store.Authorizations(ctx, who)
	return slices.DeleteFunc(all, func(z models.AuthorizationView) bool { return z.IMAppID != imAppID }), err
}

// sampleTargets offers the devices that registered last, the newest chosen.
func (h *console) sampleTargets(ctx context.Context, who models.Actor, appID int64) ([]c.Option, error) {
	scope, _, err := h.Store.ScopeForApp(ctx, who, appID)
	if err != nil {
		return nil, err
	}
	devices, err := h.Store.NewestDevices(ctx, scope, sampleDevices)
	if err != nil {
		return nil, err
	}
	var out []c.Option
	for i := range devices {
		d := &devices[i]
		account := locale.T(ctx, "arrivals.sample_no_account")
		if len(d.Accounts) > 0 {
			account = d.Accounts[0].Account
		}
		out = append(out, c.Option{
			Value: number(d.Device.ID), Label: deviceName(ctx, &d.Device) + " · " + account + " · " + locale.T(ctx, "message.device_n", "N", d.Device.ID),
			Default: i == 0,
		})
	}
	return out, nil
}

// sendIMSample posts a request as the IM server would, to this process's own listener
// and through the whole path: bridge, commit, worker, vendor.
func (h *console) sendIMSample(ctx echo.Context) error {
	var f sampleForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	f.Account = strings.TrimSpace(f.Account)
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	std, who := ctx.Request().Context(), h.actor(ctx)
	if !h.samples.Allow(number(m.ID)) {
		return h.sampleDialog(ctx, http.StatusUnprocessableEntity, f, c.FormErrors{"": web.T(ctx, "arrivals.sample_too_often")})
	}
	appID, _ := strconv.ParseInt(f.App, 10, 64) // what is no number is no app
	scope, _, err := h.Store.ScopeForApp(std, who, appID)
	if err != nil {
		return err
	}
	b, ok := BridgeByID(m.Bridge)
	if !ok {
		return fmt.Errorf("handlers: no bridge %q", m.Bridge)
	}
	to, faults, err := h.sampleTo(ctx, scope, b, f)
	if err != nil {
		return err
	}
	if faults != nil {
		return h.sampleDialog(ctx, http.StatusUnprocessableEntity, f, faults)
	}
	secret, err := h.Store.SampleSecretOf(std, who, m.ID, appID)
	if err != nil {
		if faults, err = formFaults(ctx, err); err != nil {
			return err
		}
		return h.sampleDialog(ctx, http.StatusUnprocessableEntity, f, faults)
	}
	got, err := h.postSample(ctx, b, secret, to)
	var own *ownError
	switch {
	case errors.As(err, &own):
		h.Log.WarnContext(std, "sample request refused", "im_app", m.ID, "status", own.status, "code", own.code)
		return h.sampleDialog(ctx, http.StatusUnprocessableEntity, f, c.FormErrors{"": web.T(ctx, "arrivals.sample_refused", "Code", own.code)})
	case err != nil:
		return err
	}
	made := slices.IndexFunc(got.IDs, func(id string) bool { return id != "" })
	if made < 0 {
		return h.sampleDialog(ctx, http.StatusUnprocessableEntity, f, c.FormErrors{"": web.T(ctx, "arrivals.sample_nothing")})
	}
	return web.SeeOther(ctx, imAppBase(m.ID)+"/sample/result?app="+number(appID)+"&message="+got.IDs[made])
}

// sampleTo finds whom the request names: an account, or the token of a device where the
// protocol addresses devices.
func (h *console) sampleTo(ctx echo.Context, scope models.AppScope, b Bridge, f sampleForm) (string, c.FormErrors, error) {
	std := ctx.Request().Context()
	if f.Account != "" {
		if !b.Tokens {
			if n := len([]rune(f.Account)); n > models.MaxAccountRunes || !validAccount(f.Account) {
				return "", c.FormErrors{"account": web.T(ctx, "errors.sandbox.account", "Min", models.MinAccountRunes, "Max", models.MaxAccountRunes)}, nil
			}
			return f.Account, nil, nil
		}
		found, err := h.Store.AccountDevices(std, scope, 0, f.Account)
		if err != nil {
			return "", nil, err
		}
		for i := range found {
			if found[i].Device.RetiredAt == nil {
				return found[i].Device.Token, nil, nil
			}
		}
		return "", c.FormErrors{"account": web.T(ctx, "arrivals.sample_account_none")}, nil
	}
	id, _ := strconv.ParseInt(f.Device, 10, 64) // what is no number is no device
	if id <= 0 {
		return "", c.FormErrors{"account": web.T(ctx, "arrivals.sample_whom")}, nil
	}
	device, err := h.Store.DeviceByID(std, scope, id)
	if err != nil {
		return "", nil, err
	}
	if b.Tokens {
		return device.Device.Token, nil, nil
	}
	for _, a := range device.Accounts {
		if a.AccountType == 0 {
			return a.Account, nil, nil
		}
	}
	return "", c.FormErrors{"device": web.T(ctx, "arrivals.sample_device_unbound")}, nil
}

// postSample posts the bridge's sample for a recipient.
func (h *console) postSample(ctx echo.Context, b Bridge, secret models.Secret, to string) (sampleAnswer, error) {
	sample := b.Sample(web.T(ctx, "sandbox.friend"), to, sampleID(), web.T(ctx, "sandbox.sample_text"), h.Now())
	path, query := "/im/"+secret.Reveal()+"/"+cmp.Or(sample.Path, b.Path), sample.Query
	if sample.SDKAppID != "" {
		in, err := h.Store.IngestBySecret(ctx.Request().Context(), secret.Reveal())
		if err != nil {
			return sampleAnswer{}, err
		}
		query += "&" + sample.SDKAppID + "=" + number(in.SDKAppID())
	}
	if query != "" {
		path += "?" + query
	}
	var answer sampleAnswer
	err := h.own(ctx.Request().Context(), path, "ingest", nil, sample.Body, &answer)
	return answer, err
}

// sampleResult shows step by step what became of a sample; script looks again until the
// vendor has answered.
func (h *console) sampleResult(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	std, who, base := ctx.Request().Context(), h.actor(ctx), imAppBase(m.ID)
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	title := web.T(ctx, "arrivals.sample_result")
	p := views.SampleResultPage{Title: title, Crumbs: imAppCrumbs(ctx, m, title), Again: base + "/sample", Live: base + "/live"}
	appID, _ := strconv.ParseInt(ctx.QueryParam("app"), 10, 64) // what is no number is no app
	if appID == 0 {                                             // nothing was sent yet
		p.Chrome = web.Chrome(ctx)
		return web.Page(ctx, views.SampleResult(p))
	}
	scope, v, err := h.Store.ScopeForApp(std, who, appID)
	if err != nil {
		return err
	}
	msg, err := h.Store.MessageByID(std, scope, ctx.QueryParam("message"))
	if err != nil {
		return err
	}
	if msg.IMAppID != m.ID {
		return &web.Error{Kind: web.KindNotFound}
	}
	p.TraceURL = appBase(v.ID) + "/messages/" + msg.ID
	p.Events = append([]c.Event{{
		State: "ok", Title: locale.T(std, "arrivals.step_sent"), Time: clock.millis(msg.AcceptedAt),
		Text: locale.T(std, "arrivals.step_sent_text", "Bridge", bridgeWord(std, m.Bridge)),
	}}, acceptedEvents(std, msg, clock)...)
	open := len(msg.Deliveries) == 0
	for i := range msg.Deliveries {
		d := &msg.Deliveries[i]
		if d.DeviceID == 0 {
			continue
		}
		open = open || d.State == models.StatePending
		events := messageDevice(std, appBase(v.ID), d, msg.Attempts, models.Device{}, false, clock).Events
		p.Events = append(p.Events, events...)
	}
	tries, _ := strconv.Atoi(ctx.QueryParam("try"))
	if open && tries < sampleWaits {
		p.Wait = base + "/sample/result?app=" + number(appID) + "&message=" + msg.ID + "&try=" + strconv.Itoa(tries+1)
	}
	p.Open = open
	p.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.SampleResult(p))
}
