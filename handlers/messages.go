package handlers

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// layoutMillis writes a moment of a timeline.
const layoutMillis = "15:04:05.000"

// message is 消息轨迹: one message from acceptance to receipt, on each device.
func (h *console) message(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	k, err := h.clock(c)
	if err != nil {
		return err
	}
	m, err := h.Store.MessageByID(ctx, a.Scope, c.Param("message"))
	if err != nil {
		return err
	}
	devices, err := h.Store.DevicesByID(ctx, a.Scope, deviceIDs(m.Deliveries))
	if err != nil {
		return err
	}
	notes, err := h.Store.VendorNotes(ctx, a.Scope, m.ID)
	if err != nil {
		return err
	}
	state := overall(&m.SendRecord)
	p := views.MessagePage{
		Crumbs: messageCrumbs(ctx, a, m), Text: messageText(ctx, m, state), Tone: stateTone(state), State: locale.T(ctx, "states."+state),
		Sandbox: m.Sandbox, Figures: messageFigures(ctx, m, k), Accepted: acceptedEvents(ctx, m, k),
		ID: m.ID, SourceID: m.SourceID, RefreshURL: c.Request().URL.Path,
		DeviceURL: a.Base + "/tools" + "?q=" + url.QueryEscape(m.Account),
	}
	for i := range m.Deliveries {
		d := &m.Deliveries[i]
		device, known := devices[d.DeviceID]
		shown := messageDevice(ctx, a.Base, d, m.Attempts, device, known, k)
		for _, n := range notes {
			if n.DeviceID == d.DeviceID {
				shown.Events = append(shown.Events, noteEvent(ctx, d.Channel, &n, k))
			}
		}
		p.Devices = append(p.Devices, shown)
	}
	if p.Facts, err = h.messageFacts(c, m, k); err != nil {
		return err
	}
	if err := h.messageContent(c, &p, a, m); err != nil {
		return err
	}
	p.Chrome = web.Chrome(c)
	return web.Page(c, views.Message(p))
}

func deviceIDs(ds []models.Delivery) []int64 {
	ids := make([]int64, 0, len(ds))
	for _, d := range ds {
		if d.DeviceID != 0 {
			ids = append(ids, d.DeviceID)
		}
	}
	return ids
}

func messageCrumbs(ctx context.Context, a appPage, m *models.MessageDetail) []ui.Link {
	out := []ui.Link{{Label: locale.T(ctx, "plan.title"), Href: a.Base + "/plans"}}
	if m.PlanID != 0 && m.PlanID == a.App.IMPlanID {
		out = append(out, ui.Link{Label: locale.T(ctx, "authorizations.plan_name"), Href: a.Base + "/plans/" + number(m.PlanID)})
	}
	return append(out, ui.Link{Label: locale.T(ctx, "message.title")})
}

func messageText(ctx context.Context, m *models.MessageDetail, state string) string {
	n := len(deviceIDs(m.Deliveries))
	switch {
	case m.Source == models.SourceTest:
		return locale.T(ctx, "message.text_test", "Account", m.Account)
	case state == "waiting":
		return locale.T(ctx, "message.text_open", "Account", m.Account)
	case n == 0:
		return locale.T(ctx, "message.text_none", "Account", m.Account)
	}
	return locale.Tn(ctx, "message.text", n, "Account", m.Account, "N", n)
}

func messageFigures(ctx context.Context, m *models.MessageDetail, k clock) []ui.Figure {
	var answered time.Duration
	arrived, clicked, reached := 0, 0, 0
	for _, d := range m.Deliveries {
		if d.DeviceID != 0 {
			reached++
		}
		if d.ArrivedAt != nil {
			arrived++
		}
		if d.ClickedAt != nil {
			clicked++
		}
		if d.Attempts > 0 && (answered == 0 || d.At.Sub(m.AcceptedAt) < answered) {
			answered = d.At.Sub(m.AcceptedAt)
		}
	}
	answer := ui.Figure{Label: locale.T(ctx, "message.answer_time"), Value: "—"}
	if answered > 0 {
		answer.Value, answer.Unit = thousands(answered.Milliseconds()), locale.T(ctx, "message.ms")
	}
	life := ui.Figure{Label: locale.T(ctx, "message.life"), Value: locale.T(ctx, "message.life_over"), Detail: words(locale.T(ctx, "message.life_until", "Time", k.Short(m.ExpiresAt)))}
	if left := m.ExpiresAt.Sub(k.now); left > 0 {
		life.Value, life.Unit = fmt.Sprintf("%d:%02d", int(left.Hours()), int(left.Minutes())%60), locale.T(ctx, "message.hours")
	}
	return []ui.Figure{
		answer,
		{Label: locale.T(ctx, "message.arrived"), Value: fmt.Sprintf("%d / %d", arrived, reached)},
		{Label: locale.T(ctx, "message.clicked"), Value: strconv.Itoa(clicked)},
		life,
	}
}

func acceptedEvents(ctx context.Context, m *models.MessageDetail, k clock) []ui.Event {
	events := []ui.Event{{
		State: "ok", Title: locale.T(ctx, "message.ev_accepted"), Time: k.millis(m.AcceptedAt),
		Text: locale.T(ctx, "message.ev_accepted_text", "Source", sourceName(ctx, m.Source)),
	}}
	switch n := len(deviceIDs(m.Deliveries)); {
	case len(m.Deliveries) == 0:
		events = append(events, ui.Event{State: "wait", Title: locale.T(ctx, "message.ev_wait"), Text: locale.T(ctx, "message.ev_wait_text")})
	case n == 0:
		d := m.Deliveries[0]
		events = append(events, ui.Event{
			State: "warn", Title: locale.T(ctx, "message.ev_none"), Time: k.millis(d.ResolvedAt),
			Text: locale.T(ctx, "reasons."+d.Reason+"_text"),
		})
	default:
		events = append(events, ui.Event{
			State: "ok", Title: locale.T(ctx, "message.ev_found"), Time: k.millis(m.Deliveries[0].ResolvedAt),
			Text: locale.Tn(ctx, "message.ev_found_text", n, "Account", m.Account, "N", n),
		})
	}
	return events
}

// messageDevice is the timeline on one device: chosen, each attempt, receipts.
func messageDevice(ctx context.Context, base string, d *models.Delivery, attempts []models.Attempt, device models.Device, known bool, k clock) views.MessageDevice {
	out := views.MessageDevice{
		ID: "device-" + number(d.DeviceID), State: locale.T(ctx, "states."+d.State), Tone: stateTone(d.State),
		Name: locale.T(ctx, "message.no_device"),
	}
	if d.DeviceID != 0 {
		out.Name, out.Note = locale.T(ctx, "message.device_gone"), locale.T(ctx, "message.device_n", "N", d.DeviceID)
	}
	if known {
		out.Name, out.URL = deviceName(ctx, &device), base+"/devices/"+number(device.ID)
	}
	out.Events = append(out.Events, ui.Event{State: "ok", Title: locale.T(ctx, "message.ev_resolved"), Time: k.millis(d.ResolvedAt)})
	if d.DeviceID == 0 {
		out.Events = nil
	}
	channel := channelName(ctx, d.Channel)
	for _, a := range attempts {
		if a.DeviceID == d.DeviceID && a.Outcome != "accepted" {
			out.Events = append(out.Events, attemptEvent(ctx, &a, k))
		}
	}
	switch {
	case d.Reason != "":
		out.Events = append(out.Events, reasonEvent(ctx, base, d, k))
	case d.Attempts > 0:
		out.Events = append(out.Events, ui.Event{
			State: "ok", Title: locale.T(ctx, "message.ev_answer", "Channel", channel), Time: k.millis(d.At),
			Text: locale.T(ctx, "message.ev_answer_text", "N", d.Attempts, "Ms", thousands(int64(d.Ms))),
			Code: vendorWords(d.Code, d.Detail, d.VendorID), CodeOf: locale.T(ctx, "message.vendor_answer"),
		})
	}
	return withReceipts(ctx, out, d, k)
}

func withReceipts(ctx context.Context, out views.MessageDevice, d *models.Delivery, k clock) views.MessageDevice {
	for _, r := range []struct {
		at  *time.Time
		key string
	}{{d.ArrivedAt, "message.ev_arrived"}, {d.ClickedAt, "message.ev_clicked"}, {d.ClearedAt, "message.ev_cleared"}} {
		if r.at != nil {
			out.Events = append(out.Events, ui.Event{State: "ok", Title: locale.T(ctx, r.key), Time: k.millis(*r.at), Text: locale.T(ctx, "message.ev_receipt_text")})
		}
	}
	if d.State == models.StateAccepted {
		out.Events = append(out.Events, ui.Event{State: "wait", Title: locale.T(ctx, "message.ev_no_receipt"), Text: locale.T(ctx, "message.ev_no_receipt_text")})
	}
	return out
}

func attemptEvent(ctx context.Context, a *models.Attempt, k clock) ui.Event {
	return ui.Event{
		State: "bad", Title: locale.T(ctx, "message.ev_attempt", "N", a.N, "Channel", channelName(ctx, a.Channel)), Time: k.millis(a.At),
		Text: codeWords(ctx, a.Channel, a.Code) + " · " + locale.T(ctx, "message.ev_attempt_text", "Ms", thousands(int64(a.Ms))),
		Code: vendorWords(a.Code, a.Detail, ""), CodeOf: locale.T(ctx, "message.vendor_answer"),
	}
}

// noteEvent tells what a vendor reported beside arrival and click.
func noteEvent(ctx context.Context, channel string, n *models.VendorNote, k clock) ui.Event {
	ev := ui.Event{
		State: "warn", Title: locale.T(ctx, "notes."+n.Event), Time: k.millis(n.At),
		Text: locale.T(ctx, "notes.text", "Channel", channelName(ctx, channel)),
		Code: n.Code, CodeOf: locale.T(ctx, "message.vendor_answer"),
	}
	if n.Event == models.EventUninstalled || n.Event == "expired" {
		ev.State = "bad"
	}
	return ev
}

// reasonEvent tells why a delivery waits or ended without the vendor's yes.
func reasonEvent(ctx context.Context, base string, d *models.Delivery, k clock) ui.Event {
	ev := ui.Event{Title: locale.T(ctx, "reasons."+d.Reason), Time: k.millis(d.At), Text: locale.T(ctx, "reasons."+d.Reason+"_text")}
	if d.Reason == models.ReasonPaused || d.Reason == models.ReasonNoCredential {
		ev.Text = codeWords(ctx, d.Channel, d.Code)
		ev.More = views.MessageRemedy(locale.T(ctx, "message.remedy_title", "Channel", channelName(ctx, d.Channel)), locale.T(ctx, "reasons."+d.Reason+"_text"), base+"/config")
	}
	switch d.State {
	case models.StatePending:
		ev.State = "wait"
	case models.StateSkipped:
		ev.State = "warn"
	default:
		ev.State = "bad"
	}
	return ev
}

// vendorWords is the vendor's answer as it came, for who wants to look it up.
func vendorWords(code, detail, id string) string {
	var lines []string
	for _, l := range []string{code, detail, id} {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

func (h *console) messageFacts(c echo.Context, m *models.MessageDetail, k clock) ([]ui.Pair, error) {
	ctx := c.Request().Context()
	names, err := h.imAppNames(c)
	if err != nil {
		return nil, err
	}
	facts := []ui.Pair{
		{Name: locale.T(ctx, "message.recipient"), Value: m.Account},
		{Name: locale.T(ctx, "message.sender"), Value: m.Sender},
		{Name: locale.T(ctx, "message.conversation"), Value: m.Conversation},
		{Name: locale.T(ctx, "message.kind"), Value: messageKind(ctx, m.Kind)},
		{Name: locale.T(ctx, "message.im_app"), Value: names[m.IMAppID]},
		{Name: locale.T(ctx, "message.source"), Value: sourceName(ctx, m.Source)},
		{Name: locale.T(ctx, "message.time"), Value: k.Full(m.AcceptedAt)},
	}
	out := facts[:0]
	for _, f := range facts {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out, nil
}

// messageContent shows what the user saw, to who may see it, and writes down that it
// was seen.
func (h *console) messageContent(c echo.Context, p *views.MessagePage, a appPage, m *models.MessageDetail) error {
	ctx := c.Request().Context()
	switch {
	case !m.HasContent:
		p.NoContent = locale.T(ctx, "message.content_gone")
		return nil
	case !a.Actor.May(models.PermContent):
		p.NoContent = locale.T(ctx, "message.content_right")
		return nil
	}
	content, err := h.Store.MessageContent(ctx, a.Scope, m.ID)
	if models.KindOf(err) == models.NotFound {
		p.NoContent = locale.T(ctx, "message.content_gone")
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.Store.LogContentView(ctx, a.Actor, a.App.ID, m.ID); err != nil {
		return err
	}
	p.Notice = &ui.Notice{App: a.App.ProductName, Title: content.Title, Body: content.Body}
	return nil
}
