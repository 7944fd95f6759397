package handlers

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// recordsPage is how many send records a page shows.
const recordsPage = 50

// recordStates are the states that the records can be filtered by.
func recordStates() []string {
	return []string{models.StateAccepted, models.StateArrived, models.StateClicked, models.StatePending, models.StateFailed, models.StateExpired, models.StateSkipped}
}

// records reads the send records that the address asks for, of those that f chooses.
// With a state in f the address does not choose one.
func (h *console) records(c echo.Context, a appPage, f models.RecordFilter, k clock) (views.Records, error) {
	ctx := c.Request().Context()
	keys := web.ReadKeyset(c)
	fixed := f.State != ""
	f.Before, f.After, f.Limit = keys.After, keys.Before, recordsPage
	out := views.Records{
		Base: c.Request().URL.Path, Query: strings.TrimSpace(c.QueryParam("q")),
		From: c.QueryParam("from"), To: c.QueryParam("to"), ClearURL: web.FilterURL(c, "q", "", "from", "", "to", "", "state", ""),
	}
	if state := c.QueryParam("state"); !fixed && slices.Contains(recordStates(), state) {
		f.State = state
		out.Hidden = append(out.Hidden, ui.Pair{Name: "state", Value: state})
	}
	if r := c.QueryParam("range"); r != "" {
		out.Hidden = append(out.Hidden, ui.Pair{Name: "range", Value: r})
	}
	if from, ok := k.day(out.From); ok {
		f.From = from
	}
	if to, ok := k.day(out.To); ok {
		f.To = to.AddDate(0, 0, 1)
	}
	out.Filtered = !fixed && f.State != "" || out.Query != "" || !f.From.IsZero() || !f.To.IsZero()
	if !fixed {
		out.Pills = append(out.Pills, ui.Link{Label: locale.T(ctx, "record.all"), Href: web.FilterURL(c, "state", ""), Current: f.State == ""})
		for _, s := range recordStates() {
			out.Pills = append(out.Pills, ui.Link{Label: locale.T(ctx, "states."+s), Href: web.FilterURL(c, "state", s), Current: f.State == s})
		}
	}
	page, err := h.findRecords(ctx, a.Scope, f, out.Query)
	if err != nil {
		return out, err
	}
	out.Rows, err = h.recordRows(c, a, page.Records, k)
	if err != nil {
		return out, err
	}
	out.Prev, out.Next = web.KeysetURLs(c, page.Newer, page.Older)
	if n := len(out.Rows); n > 0 {
		out.Shown = locale.T(ctx, "record.shown", "N", n)
	}
	return out, nil
}

// waiting lists the messages that wait for a credential, whatever their plan.
func (h *console) waiting(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	r, err := h.credential(c, placeOfApp(a))
	if err != nil {
		return err
	}
	k, err := h.clock(c)
	if err != nil {
		return err
	}
	name := vendorChannelName(ctx, r.Channel)
	if r.Channel == string(push.APNs) {
		name += " · " + environmentWord(ctx, r.Environment)
	}
	p := views.WaitingPage{Crumbs: []ui.Link{{Label: web.T(c, "config.title"), Href: a.Base + "/config"}, {Label: web.T(c, "channel.waiting_title")}}, Name: name}
	if p.Records, err = h.records(c, a, models.RecordFilter{State: models.StatePending, CredentialID: r.ID}, k); err != nil {
		return err
	}
	p.Chrome = web.Chrome(c)
	return web.Page(c, views.Waiting(p))
}

// findRecords looks a query up as what it can be: a message's own id, then the IM
// server's id, then an account.
func (h *console) findRecords(ctx context.Context, scope models.AppScope, f models.RecordFilter, query string) (*models.RecordPage, error) {
	if query == "" {
		return h.Store.SendRecords(ctx, scope, f)
	}
	if _, err := uuid.Parse(query); err == nil {
		m, err := h.Store.MessageByID(ctx, scope, query)
		switch {
		case err == nil:
			return &models.RecordPage{Records: []models.SendRecord{m.SendRecord}}, nil
		case models.KindOf(err) != models.NotFound:
			return nil, err
		}
	}
	bySource, byAccount := f, f
	bySource.SourceID, byAccount.Account = query, query
	page, err := h.Store.SendRecords(ctx, scope, bySource)
	if err != nil || len(page.Records) > 0 || utf8.RuneCountInString(query) > models.MaxAccountRunes {
		return page, err
	}
	return h.Store.SendRecords(ctx, scope, byAccount)
}

// recordRows prepares records for a list. Names of devices are looked up once.
func (h *console) recordRows(c echo.Context, a appPage, records []models.SendRecord, k clock) ([]views.RecordRow, error) {
	ctx := c.Request().Context()
	devices, err := h.deviceNames(ctx, a.Scope, records)
	if err != nil {
		return nil, err
	}
	imApps, err := h.imAppNames(c)
	if err != nil {
		return nil, err
	}
	rows := make([]views.RecordRow, 0, len(records))
	for i := range records {
		r := &records[i]
		state := overall(r)
		row := views.RecordRow{
			ID: r.ID, Time: k.Short(r.AcceptedAt), ISO: k.ISO(r.AcceptedAt), FullTime: k.Full(r.AcceptedAt),
			Account: r.Account, Sender: r.Sender, IMApp: imApps[r.IMAppID], Sandbox: r.Sandbox,
			State: locale.T(ctx, "states."+state), Tone: stateTone(state), Note: recordNote(ctx, r),
			URL: a.Base + "/messages/" + r.ID,
		}
		if r.Source == models.SourceTest {
			row.IMApp = locale.T(ctx, "record.test")
		}
		row.Device, row.Channels = recordDevices(ctx, r, devices)
		rows = append(rows, row)
	}
	return rows, nil
}

// deviceNames returns the models of the phones that the records speak of.
func (h *console) deviceNames(ctx context.Context, scope models.AppScope, records []models.SendRecord) (map[int64]string, error) {
	var ids []int64
	for _, r := range records {
		for _, d := range r.Deliveries {
			if d.DeviceID != 0 && !slices.Contains(ids, d.DeviceID) {
				ids = append(ids, d.DeviceID)
			}
		}
	}
	devices, err := h.Store.DevicesByID(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]string, len(devices))
	for id, d := range devices {
		out[id] = deviceName(ctx, &d)
	}
	return out, nil
}

// imAppNames returns the names of the account's IM apps.
func (h *console) imAppNames(c echo.Context) (map[int64]string, error) {
	return h.Store.IMAppNames(c.Request().Context(), h.actor(c))
}

func recordDevices(ctx context.Context, r *models.SendRecord, names map[int64]string) (device, channels string) {
	var chans []string
	n, last := 0, int64(0)
	for _, d := range r.Deliveries {
		if d.DeviceID != 0 {
			n, last = n+1, d.DeviceID
		}
		if d.Channel != "" && !slices.Contains(chans, d.Channel) {
			chans = append(chans, d.Channel)
		}
	}
	for i, ch := range chans {
		chans[i] = channelName(ctx, ch)
	}
	channels = strings.Join(chans, " · ")
	switch n {
	case 0:
		device = locale.T(ctx, "record.none")
	case 1:
		if device = names[last]; device == "" {
			device = locale.T(ctx, "message.device_gone")
		}
	default:
		device = locale.T(ctx, "record.devices", "N", strconv.Itoa(n))
	}
	if channels == "" {
		channels = locale.T(ctx, "record.none")
	}
	return device, channels
}

// stateRank orders states by what an operator wants to learn first of a message that
// went to several devices: what still waits, then what failed, then the best news.
func stateRank(state string) int {
	order := []string{
		models.StatePending, models.StateClicked, models.StateArrived, models.StateCleared, models.StateAccepted,
		models.StateFailed, models.StateExpired, models.StateSkipped,
	}
	return slices.Index(order, state)
}

// overall is a message's state over its devices; "waiting" before its first turn.
func overall(r *models.SendRecord) string {
	if len(r.Deliveries) == 0 {
		return "waiting"
	}
	best := slices.MinFunc(r.Deliveries, func(a, b models.Delivery) int { return stateRank(a.State) - stateRank(b.State) })
	return best.State
}

func stateTone(state string) ui.Tone {
	switch state {
	case models.StateArrived:
		return ui.OK
	case models.StateClicked:
		return ui.Brand
	case models.StateAccepted, "waiting":
		return ui.Info
	case models.StatePending:
		return ui.Warn
	case models.StateFailed, models.StateExpired:
		return ui.Bad
	}
	return ui.Mute
}

// recordNote says in words why a message stands where it stands.
func recordNote(ctx context.Context, r *models.SendRecord) string {
	done, open := 0, 0
	var worst *models.Delivery
	for i := range r.Deliveries {
		d := &r.Deliveries[i]
		if d.Reason == "" {
			done++
			continue
		}
		open++
		if worst == nil || stateRank(d.State) < stateRank(worst.State) {
			worst = d
		}
	}
	if worst == nil {
		return ""
	}
	words := locale.T(ctx, "reasons."+worst.Reason)
	if worst.Code != "" {
		words += " · " + codeWords(ctx, worst.Channel, worst.Code)
	}
	if done > 0 {
		return locale.T(ctx, "record.mixed", "Done", done, "Open", open, "State", words)
	}
	return words
}
