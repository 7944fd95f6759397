package handlers

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// recentRecords is how many messages a device's page shows.
const recentRecords = 10

// tools is 排查工具: devices by account, device token or vendor token, and everything
// about the first of them.
func (h *console) tools(c echo.Context) error {
	a, err := h.app(c)
	if err != nil {
		return err
	}
	query := strings.TrimSpace(c.QueryParam("q"))
	found, err := h.Store.FindDevices(c.Request().Context(), a.Scope, query)
	if err != nil {
		return err
	}
	byBinding(found, query)
	return h.toolsPage(c, a, query, found, 0)
}

// device is 排查工具 with one device chosen.
func (h *console) device(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	id, err := idParam(c, "device")
	if err != nil {
		return err
	}
	d, err := h.Store.DeviceByID(ctx, a.Scope, id)
	if err != nil {
		return err
	}
	query := strings.TrimSpace(c.QueryParam("q"))
	if query == "" && len(d.Accounts) > 0 {
		query = d.Accounts[0].Account
	}
	found, err := h.Store.FindDevices(ctx, a.Scope, query)
	if err != nil {
		return err
	}
	byBinding(found, query)
	if !slices.ContainsFunc(found, func(x models.DeviceInfo) bool { return x.Device.ID == id }) {
		query, found = d.Device.Token, []models.DeviceInfo{*d}
	}
	return h.toolsPage(c, a, query, found, id)
}

// byBinding sorts devices by when the account was bound to them, newest first, and
// by when they were last seen where the query was no account.
func byBinding(found []models.DeviceInfo, account string) {
	at := func(d *models.DeviceInfo) time.Time {
		for _, b := range d.Accounts {
			if b.Account == account {
				return b.BoundAt
			}
		}
		return d.Device.LastSeenAt
	}
	slices.SortStableFunc(found, func(x, y models.DeviceInfo) int { return at(&y).Compare(at(&x)) })
}

// toolsPage draws what was found with the device chosen, by default the first.
func (h *console) toolsPage(c echo.Context, a appPage, query string, found []models.DeviceInfo, chosen int64) error {
	ctx := c.Request().Context()
	p := views.ToolsPage{Action: a.Base + "/tools", Query: query, Searched: query != ""}
	credentials, err := h.Store.Credentials(ctx, a.Actor, models.AppOwner(a.App.ID))
	if err != nil {
		return err
	}
	k, err := h.clock(c)
	if err != nil {
		return err
	}
	bound := false
	for i := range found {
		d := &found[i]
		if chosen == 0 {
			chosen = d.Device.ID
		}
		v := diagnose(ctx, a, d, credentials, k)
		p.Rows = append(p.Rows, views.DeviceRow{
			URL: a.Base + "/devices/" + number(d.Device.ID) + "?q=" + url.QueryEscape(query), Name: deviceName(ctx, &d.Device),
			Note: deviceNote(ctx, d, query, k), State: v.Short, Tone: v.Tone, Icon: deviceIcon(&d.Device), Current: d.Device.ID == chosen,
		})
		bound = bound || slices.ContainsFunc(d.Accounts, func(b models.DeviceAccount) bool { return b.Account == query })
		if d.Device.ID == chosen {
			if p.Device, err = h.deviceView(c, a, d, v, k); err != nil {
				return err
			}
			p.Device.Self = p.Rows[i].URL
		}
	}
	if query != "" && !bound {
		page, err := h.Store.SendRecords(ctx, a.Scope, models.RecordFilter{Account: query, Limit: 1})
		if err != nil {
			return err
		}
		bound = len(page.Records) > 0
		if bound && len(found) == 0 && a.App.IMPlanID != 0 {
			p.RecordsURL = a.Base + "/plans/" + number(a.App.IMPlanID) + "?q=" + url.QueryEscape(query)
		}
	}
	if bound && a.Actor.May(models.PermConfigure) {
		p.DeleteURL = a.Base + "/tools/delete?account=" + url.QueryEscape(query)
	}
	p.Chrome = web.Chrome(c)
	return web.Page(c, views.Tools(p))
}

// deviceNote tells devices of one account apart.
func deviceNote(ctx context.Context, d *models.DeviceInfo, query string, k clock) string {
	parts := []string{cutMiddle(d.Device.Token, 4, 4)}
	for _, b := range d.Accounts {
		if b.Account == query {
			parts = append(parts, locale.T(ctx, "tools.bound_at", "Time", k.Short(b.BoundAt)))
		}
	}
	return strings.Join(parts, " · ")
}

func deviceIcon(d *models.Device) string {
	if d.IsVirtual {
		return "flask"
	}
	return platformIcon(d.Platform)
}

// cutMiddle keeps the ends of an id.
func cutMiddle(s string, head, tail int) string {
	if len(s) <= head+tail+1 {
		return s
	}
	return s[:head] + "…" + s[len(s)-tail:]
}

// deviceView prepares everything about one device.
func (h *console) deviceView(c echo.Context, a appPage, d *models.DeviceInfo, v verdict, k clock) (*views.DeviceView, error) {
	ctx, dev := c.Request().Context(), &d.Device
	out := &views.DeviceView{
		Name: deviceName(ctx, dev), Tone: v.Tone, Verdict: v.Title, VerdictText: v.Text, Checks: v.Checks, CheckedAt: k.Short(k.now),
		Token: dev.Token, ID: number(dev.ID), Virtual: dev.IsVirtual,
	}
	if v.FixURL != "" && a.Actor.May(models.PermConfigure) {
		out.Fix = ui.Link{Label: v.FixLabel, Href: v.FixURL}
	}
	if a.Actor.May(models.PermPush) {
		out.TestURL = a.Base + "/test?device=" + number(dev.ID)
	}
	out.Facts = deviceFacts(ctx, d, k)
	for _, r := range d.Routes {
		out.Routes = append(out.Routes, views.DeviceRoute{
			Channel: channelName(ctx, r.Channel), Environment: environmentName(ctx, r.Environment), Package: r.PackageName,
			Token: models.ShortToken(r.Channel, r.Token), Time: k.Short(r.RegisteredAt), FullTime: k.Full(r.RegisteredAt), ISO: k.ISO(r.RegisteredAt),
			State: routeState(ctx, &r), Tone: routeTone(&r),
		})
	}
	for _, b := range d.Accounts {
		one := views.DeviceBinding{Account: b.Account, URL: a.Base + "/tools?q=" + url.QueryEscape(b.Account), Time: k.Short(b.BoundAt), FullTime: k.Full(b.BoundAt), ISO: k.ISO(b.BoundAt)}
		if b.AccountType != 0 {
			one.Type = locale.T(ctx, "tools.account_type", "Type", b.AccountType)
		}
		out.Accounts = append(out.Accounts, one)
	}
	records, err := h.Store.DeviceRecords(ctx, a.Scope, dev.ID, recentRecords)
	if err != nil {
		return nil, err
	}
	for i := range records {
		r := &records[i]
		state := overall(r)
		from := r.Sender
		if r.Source == models.SourceTest {
			from = locale.T(ctx, "tools.test_push")
		} else if from == "" {
			from = locale.T(ctx, "tools.no_sender")
		}
		out.Records = append(out.Records, views.DeviceRecord{
			URL: a.Base + "/messages/" + r.ID, From: from, Account: r.Account, Time: k.Short(r.AcceptedAt), FullTime: k.Full(r.AcceptedAt), ISO: k.ISO(r.AcceptedAt),
			State: locale.T(ctx, "states."+state), Tone: stateTone(state), Note: recordNote(ctx, r),
		})
	}
	return out, nil
}

// deviceFacts is 设备注册详情; what a phone never said is left out.
func deviceFacts(ctx context.Context, d *models.DeviceInfo, k clock) []ui.Pair {
	dev := &d.Device
	system := strings.TrimSpace(platformWord(dev.Platform) + " " + dev.OSVersion)
	app := dev.AppVersion
	if dev.SDKVersion != "" {
		app = strings.TrimPrefix(app+" / "+dev.SDKVersion, " / ")
	}
	all := []ui.Pair{
		{Name: locale.T(ctx, "tools.model"), Value: strings.TrimSpace(dev.Brand + " " + dev.Model)},
		{Name: locale.T(ctx, "tools.system"), Value: system},
		{Name: locale.T(ctx, "tools.versions"), Value: app},
		{Name: locale.T(ctx, "tools.language"), Value: dev.Language},
		{Name: locale.T(ctx, "tools.time_zone"), Value: dev.TimeZone},
		{Name: locale.T(ctx, "tools.badge"), Value: thousands(int64(dev.Badge))},
		{Name: locale.T(ctx, "tools.registered_at"), Value: k.Full(dev.RegisteredAt)},
		{Name: locale.T(ctx, "tools.seen_at"), Value: k.Full(dev.LastSeenAt)},
	}
	return slices.DeleteFunc(all, func(p ui.Pair) bool { return p.Value == "" })
}

func environmentName(ctx context.Context, environment string) string {
	switch environment {
	case models.EnvironmentSandbox:
		return locale.T(ctx, "common.sandbox")
	case models.EnvironmentDevelopment:
		return locale.T(ctx, "tools.development")
	}
	return locale.T(ctx, "tools.production")
}

func routeState(ctx context.Context, r *models.Route) string {
	if r.RetiredAt != nil {
		return locale.T(ctx, "tools.route_retired")
	}
	return locale.T(ctx, "tools.route_alive")
}

func routeTone(r *models.Route) ui.Tone {
	if r.RetiredAt != nil {
		return ui.Mute
	}
	return ui.OK
}

// askDeleteUserData says what goes with a person's data, before it goes.
func (h *console) askDeleteUserData(c echo.Context) error {
	p, err := h.userDataRemoval(c, c.QueryParam("account"))
	if err != nil {
		return err
	}
	return web.Page(c, views.UserData(p))
}

func (h *console) userDataRemoval(c echo.Context, account string) (views.UserDataPage, error) {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return views.UserDataPage{}, err
	}
	account = strings.TrimSpace(account)
	if account == "" {
		return views.UserDataPage{}, &web.Error{Kind: web.KindNotFound}
	}
	found, err := h.Store.FindDevices(ctx, a.Scope, account)
	if err != nil {
		return views.UserDataPage{}, err
	}
	shared, alone := 0, 0
	for _, d := range found {
		mine := func(b models.DeviceAccount) bool { return b.Account == account }
		switch {
		case !slices.ContainsFunc(d.Accounts, mine):
		case slices.ContainsFunc(d.Accounts, func(b models.DeviceAccount) bool { return !mine(b) }):
			shared++
		default:
			alone++
		}
	}
	p := views.UserDataPage{
		Account: account, Action: a.Base + "/tools/delete", Back: a.Base + "/tools?q=" + url.QueryEscape(account),
		ToolsURL: a.Base + "/tools",
		Lost:     []string{locale.T(ctx, "tools.lost_messages"), locale.Tn(ctx, "tools.lost_devices", alone)},
	}
	if shared > 0 {
		p.Lost = append(p.Lost, locale.Tn(ctx, "tools.lost_bindings", shared))
	}
	p.Lost = append(p.Lost, locale.T(ctx, "tools.lost_waiting"))
	p.Kept = locale.T(ctx, "tools.kept")
	p.Chrome = web.Chrome(c)
	return p, nil
}

type userDataForm struct {
	Account string `form:"account"`
	Typed   string `form:"typed"`
}

func (h *console) deleteUserData(c echo.Context) error {
	var f userDataForm
	if err := web.Bind(c, &f); err != nil {
		return err
	}
	if f.Account == "" || f.Typed != f.Account {
		p, err := h.userDataRemoval(c, f.Account)
		if err != nil {
			return err
		}
		p.Typed, p.Errors = f.Typed, ui.FormErrors{"typed": web.T(c, "tools.typed_wrong", "Name", f.Account)}
		return web.FormPage(c, views.UserData(p))
	}
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	if err := h.Store.LogUserDataDeletion(ctx, a.Actor, a.App.ID); err != nil {
		return err
	}
	messages, devices, err := h.Store.DeleteUserData(ctx, a.Scope, f.Account)
	if err != nil {
		return err
	}
	web.Flash(c, web.T(c, "tools.deleted"), web.T(c, "tools.deleted_detail", "Messages", thousands(int64(messages)), "Devices", thousands(int64(devices))))
	return web.SeeOther(c, a.Base+"/tools")
}
