package handlers

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// What the sandbox's page shows.
const (
	inboxShown  = 30
	phoneNotes  = 4  // that a locked phone has room for
	sampleWaits = 20 // how often script looks for a message that was just sent
)

// sandboxForm is what the page's forms send; each uses a part of it.
type sandboxForm struct {
	On      string `form:"on"`
	Account string `form:"account"`
	Brand   string `form:"brand"`
	Latency string `form:"latency_ms"`
	Errors  string `form:"error_percent"`
	Mix     string `form:"mix"`
	Report  string `form:"receipts"`
}

// sandbox is 沙箱收件箱: the way from nothing to a push on a phone that the simulators
// make, and everything that such phones received.
func (h *console) sandbox(c echo.Context) error {
	a, err := h.app(c)
	if err != nil {
		return err
	}
	return h.sandboxPage(c, http.StatusOK, a, sandboxForm{}, nil)
}

// sandboxState is what the page and its forms know of an app's sandbox.
type sandboxState struct {
	phones []models.DeviceInfo
	ready  bool // the app has a key for each of its simulators
}

func (h *console) sandboxState(ctx context.Context, a appPage) (sandboxState, error) {
	var out sandboxState
	var err error
	out.phones, err = h.Store.VirtualDevices(ctx, a.Scope)
	out.ready = true
	for _, channel := range h.simulated(a) {
		out.ready = out.ready && slices.ContainsFunc(a.App.Credentials, func(x models.CredentialAt) bool {
			return x.Environment == models.EnvironmentSandbox && x.Channel == string(channel)
		})
	}
	return out, err
}

// account is whom a sample message is for: the account of the newest phone.
func (s sandboxState) account() string {
	for _, d := range s.phones {
		if len(d.Accounts) > 0 {
			return d.Accounts[0].Account
		}
	}
	return ""
}

// token is the device token of the newest phone with an account.
func (s sandboxState) token(account string) string {
	for _, d := range s.phones {
		if slices.ContainsFunc(d.Accounts, func(a models.DeviceAccount) bool { return a.Account == account }) {
			return d.Device.Token
		}
	}
	return ""
}

func (h *console) sandboxPage(c echo.Context, status int, a appPage, f sandboxForm, faults ui.FormErrors) error {
	ctx := c.Request().Context()
	p := views.SandboxPage{Base: a.Base + "/sandbox", Errors: faults}
	if len(h.simulated(a)) == 0 {
		p.Unfit, p.NoSimulators = true, !h.Sandbox
		p.Chrome = web.Chrome(c)
		return web.Render(c, status, views.Sandbox(p))
	}
	k, err := h.clock(c)
	if err != nil {
		return err
	}
	state, err := h.sandboxState(ctx, a)
	if err != nil {
		return err
	}
	p.On, p.MaySet, p.MayPush = a.App.Sandbox, a.Actor.May(models.PermConfigure), a.Actor.May(models.PermPush)
	p.Elsewhere, p.PlansURL = h.elsewhere(a), a.Base+"/plans"
	received, err := h.sandboxInbox(c, a, state, k, &p)
	if err != nil {
		return err
	}
	p.Account, p.SampleFor = f.Account, state.account()
	if p.Account == "" {
		p.Account = "sandbox_" + strconv.Itoa(len(state.phones)+1)
	}
	p.Authorized, p.AuthorizationURL = a.App.Authorized(), "/authorizations?view=im"
	if !a.Actor.May(models.PermIM) {
		p.AuthorizationURL = ""
	}
	p.Brands, p.Brand = h.brands(ctx, a), f.Brand
	p.Steps = sandboxSteps(ctx, a, state, received)
	for i := range state.phones {
		d := &state.phones[i]
		phone := views.SandboxPhone{ID: number(d.Device.ID), Name: deviceName(ctx, &d.Device), URL: a.Base + "/devices/" + number(d.Device.ID)}
		for _, b := range d.Accounts {
			phone.Account = b.Account
		}
		p.Phones = append(p.Phones, phone)
	}
	if p.Settings, err = h.simulatorFields(ctx, a, f, faults); err != nil {
		return err
	}
	p.Chrome = web.Chrome(c)
	if p.Chrome.App != nil {
		p.Chrome.App.SandboxURL = "" // the banner's button leads here
	}
	return web.Render(c, status, views.Sandbox(p))
}

// sandboxInbox fills the inbox and says whether a phone has received anything. What a
// simulator elsewhere received only its answers tell.
func (h *console) sandboxInbox(c echo.Context, a appPage, s sandboxState, k clock, p *views.SandboxPage) (received bool, err error) {
	if h.elsewhere(a) == "" {
		p.Inbox, err = h.inbox(c, a, s, k)
		return len(p.Inbox.Rows) > 0, err
	}
	list, err := h.Store.SendRecords(c.Request().Context(), a.Scope, models.RecordFilter{State: models.StateAccepted, Limit: 1})
	if err != nil {
		return false, err
	}
	return len(list.Records) > 0, nil
}

func (h *console) simulatorFields(ctx context.Context, a appPage, f sandboxForm, faults ui.FormErrors) (views.SimulatorFields, error) {
	set, err := h.Store.SimulatorSettings(ctx, a.App.ID)
	if err != nil {
		return views.SimulatorFields{}, err
	}
	out := views.SimulatorFields{Latency: strconv.Itoa(set.LatencyMs), Errors: strconv.Itoa(set.ErrorPercent), Mix: set.Mix, Receipts: set.Receipts}
	if faults != nil && f.Mix != "" {
		out = views.SimulatorFields{Latency: f.Latency, Errors: f.Errors, Mix: f.Mix, Receipts: f.Report != ""}
	}
	out.MayReport = h.reports(a)
	words := map[string]string{
		models.MixAll: "sandbox.mix_mixed", models.MixThrottle: "sandbox.mix_throttle",
		models.MixToken: "sandbox.mix_token", models.MixServer: "sandbox.mix_server",
	}
	for _, m := range models.Mixes() {
		out.Mixes = append(out.Mixes, ui.Option{Value: m, Label: locale.T(ctx, words[m])})
	}
	return out, nil
}

// keyText says what the button makes.
func keyText(ctx context.Context, a appPage) string {
	if models.ChannelFits(string(push.APNs), a.App.Platform) {
		return locale.T(ctx, "sandbox.step_key_text")
	}
	return locale.T(ctx, "sandbox.step_keys_text")
}

// sandboxSteps are the steps to the first push, ticked by facts.
func sandboxSteps(ctx context.Context, a appPage, s sandboxState, received bool) []views.SandboxStep {
	t := func(key string) string { return locale.T(ctx, key) }
	out := []views.SandboxStep{
		{Key: "on", Title: t("sandbox.step_on"), Text: t("sandbox.step_on_text"), Done: a.App.Sandbox},
		{Key: "key", Title: t("sandbox.step_key"), Text: keyText(ctx, a), Done: s.ready},
		{Key: "auth", Title: t("sandbox.step_auth"), Text: t("sandbox.step_auth_text"), Done: a.App.Authorized()},
		{Key: "phone", Title: t("sandbox.step_phone"), Text: t("sandbox.step_phone_text"), Done: s.account() != ""},
		{Key: "sample", Title: t("sandbox.step_sample"), Text: t("sandbox.step_sample_text"), Done: received},
	}
	now := false
	for i := range out {
		if !out[i].Done && !now {
			out[i].Now, now = true, true
		}
	}
	if !now {
		return nil
	}
	return out
}

// inbox prepares what phones received, with one push in full.
func (h *console) inbox(c echo.Context, a appPage, s sandboxState, k clock) (views.SandboxInbox, error) {
	ctx := c.Request().Context()
	out := views.SandboxInbox{Clock: k.now.In(k.zone).Format("15:04"), Date: k.Date(k.now)}
	pushes, err := h.Store.SandboxPushes(ctx, a.Scope, 0, 0, inboxShown)
	if err != nil {
		return out, err
	}
	devices, records, err := h.inboxDevices(ctx, a, pushes)
	if err != nil {
		return out, err
	}
	chosen, _ := strconv.ParseInt(c.QueryParam("push"), 10, 64) // what is no number chooses the newest
	if !slices.ContainsFunc(pushes, func(p models.SandboxPush) bool { return p.ID == chosen }) && len(pushes) > 0 {
		chosen = pushes[0].ID
	}
	seen := a.Actor.May(models.PermContent)
	phone := int64(0)
	for i := range pushes {
		if pushes[i].ID == chosen {
			phone = pushes[i].DeviceID
		}
	}
	several := slices.ContainsFunc(pushes, func(p models.SandboxPush) bool { return p.DeviceID != pushes[0].DeviceID })
	for i := range pushes {
		p := &pushes[i]
		n := readNotice(p)
		if _, own := records[p.DeviceID][n.id]; n.id != "" && !own {
			if n.id, err = h.Store.OwnMessage(ctx, a.Scope, n.id, p.DeviceID); err != nil {
				return out, err
			}
		}
		if !seen {
			n.title, n.body = web.T(c, "sandbox.hidden"), web.T(c, "sandbox.hidden_text")
		}
		d := devices[p.DeviceID]
		row := views.SandboxRow{
			URL: a.Base + "/sandbox?push=" + number(p.ID), Title: n.title, Body: n.body, Phone: deviceName(ctx, &d),
			Time: k.Short(p.At), FullTime: k.Full(p.At), ISO: k.ISO(p.At), Current: p.ID == chosen,
		}
		if several {
			row.From = row.Phone
		}
		row.State, row.Tone = h.pushState(ctx, p, records[p.DeviceID][n.id])
		out.Rows = append(out.Rows, row)
		if p.DeviceID == phone && shownOn(p) && len(out.Notes) < phoneNotes && (n.title != "" || n.body != "") {
			note := views.SandboxNote{App: a.App.ProductName, Title: n.title, Body: n.body, Time: k.Ago(ctx, p.At)}
			if n.id != "" && a.Actor.May(models.PermPush) && d.IsVirtual {
				note.TapURL = a.Base + "/sandbox/pushes/" + number(p.ID) + "/tap"
			}
			out.Notes = append(out.Notes, note)
		}
		if p.ID == chosen {
			out.Shown = shownPush(ctx, a, p, n, seen)
		}
	}
	if d, ok := devices[phone]; ok {
		out.Phone = deviceName(ctx, &d)
	} else if len(s.phones) > 0 {
		out.Phone = deviceName(ctx, &s.phones[0].Device)
	}
	out.Refresh = a.Base + "/sandbox"
	// After a sample was sent, script looks again until it is here.
	since, err := strconv.ParseInt(c.QueryParam("since"), 10, 64)
	tries, _ := strconv.Atoi(c.QueryParam("try"))
	if err == nil && tries < sampleWaits && (len(pushes) == 0 || pushes[0].ID <= since) {
		out.Wait = a.Base + "/sandbox?since=" + number(since) + "&try=" + strconv.Itoa(tries+1)
	}
	return out, nil
}

// inboxDevices returns the phones of pushes and how the messages of each fared on it.
func (h *console) inboxDevices(ctx context.Context, a appPage, pushes []models.SandboxPush) (map[int64]models.Device, map[int64]map[string]string, error) {
	var ids []int64
	for _, p := range pushes {
		if p.DeviceID != 0 && !slices.Contains(ids, p.DeviceID) {
			ids = append(ids, p.DeviceID)
		}
	}
	devices, err := h.Store.DevicesByID(ctx, a.Scope, ids)
	if err != nil {
		return nil, nil, err
	}
	states := map[int64]map[string]string{}
	for _, id := range ids {
		states[id] = map[string]string{}
		records, err := h.Store.DeviceRecords(ctx, a.Scope, id, models.MaxPage)
		if err != nil {
			return nil, nil, err
		}
		for i := range records {
			states[id][records[i].ID] = overall(&records[i])
		}
	}
	return devices, states, nil
}

// pushState says what became of a push: the simulator's refusal, else the message's
// state.
func (h *console) pushState(ctx context.Context, p *models.SandboxPush, state string) (string, ui.Tone) {
	switch {
	case h.throttled(p):
		return locale.T(ctx, "sandbox.throttled"), ui.Warn
	case !shownOn(p):
		return locale.T(ctx, "sandbox.refused"), ui.Bad
	case state == models.StateArrived || state == models.StateClicked || state == models.StateCleared:
		return locale.T(ctx, "states."+state), stateTone(state)
	}
	return locale.T(ctx, "sandbox.received"), ui.Sand
}

// shownPush is a push as it went to the vendor, and the answer.
func shownPush(ctx context.Context, a appPage, p *models.SandboxPush, n notice, seen bool) *views.SandboxRequest {
	out := &views.SandboxRequest{
		Channel: channelName(ctx, p.Channel), Status: strconv.Itoa(p.Status), Tone: ui.OK, Ms: thousands(int64(p.Ms)), VendorID: p.VendorID,
		Reason: codeWords(ctx, p.Channel, p.Reason),
	}
	if !shownOn(p) {
		out.Tone = ui.Bad
	}
	if n.id != "" {
		out.MessageURL = a.Base + "/messages/" + n.id
	}
	var headers map[string]string
	if json.Unmarshal([]byte(p.Headers), &headers) == nil {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			out.Headers = append(out.Headers, ui.Pair{Name: name, Value: headers[name]})
		}
	}
	if seen {
		out.Payload = prettyJSON(p.Payload)
	}
	return out
}
