package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// imArrivals is 最近到达 of an IM app on a page of its own, of which script takes the
// list alone every few seconds. A request that names what it shows gets 204 while
// nothing else is there, so that the list stays as it is under the reader's hands.
func (h *console) imArrivals(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	list, err := h.arrivalsView(ctx, m)
	if err != nil {
		return err
	}
	if seen := ctx.QueryParam("seen"); seen != "" && seen == list.Seen {
		return ctx.NoContent(http.StatusNoContent)
	}
	return h.arrivalsPage(ctx, m, list, nil)
}

func (h *console) arrivalsPage(ctx echo.Context, m *models.IMApp, list views.ArrivalsView, detail *views.ArrivalDetail) error {
	title := web.T(ctx, "arrivals.title")
	p := views.ArrivalsPage{Title: title, Crumbs: imAppCrumbs(ctx, m, title), List: list, Detail: detail}
	p.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Arrivals(p))
}

// arrivalsView is the list of the latest requests.
func (h *console) arrivalsView(ctx echo.Context, m *models.IMApp) (views.ArrivalsView, error) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return views.ArrivalsView{}, err
	}
	rows, err := h.Store.LatestArrivals(std, who, m.ID)
	if err != nil {
		return views.ArrivalsView{}, err
	}
	base := imAppBase(m.ID)
	v := views.ArrivalsView{
		Base: base, Paused: ctx.QueryParam("live") == "off", Here: base, MayShow: who.May(models.PermContent),
		Status: locale.T(std, "arrivals.none_yet"), Kept: models.KeptArrivals, Minutes: int(models.ContentTime / time.Minute),
	}
	if strings.HasSuffix(ctx.Request().URL.Path, "/live") {
		v.Here = base + "/live"
	}
	if who.May(models.PermPush) {
		v.SampleURL = base + "/sample"
	}
	if m.ContentUntil != nil && h.Now().Before(*m.ContentUntil) {
		v.Until = clock.Exact(*m.ContentUntil)
	}
	last := ""
	for i := range rows {
		v.Rows = append(v.Rows, arrivalRow(std, clock, base, &rows[i]))
		if i == 0 {
			last = rows[i].ID
			v.Status = locale.T(std, "arrivals.status", "Time", clock.Exact(rows[i].At))
		}
	}
	v.Seen = last + "." + strconv.FormatBool(v.Until != "")
	v.PollURL = base + "/live?seen=" + v.Seen
	return v, nil
}

func arrivalRow(ctx context.Context, clock clock, base string, a *models.Arrival) views.ArrivalRow {
	row := views.ArrivalRow{
		ID: "arrival-" + a.ID, URL: base + "/live/" + a.ID, ISO: clock.ISO(a.At), Time: clock.Exact(a.At), FullTime: clock.Full(a.At),
		Kind: locale.T(ctx, "arrivals.kind."+a.Kind), Sample: a.Sample, Content: a.HasContent(clock.now), Took: took(ctx, a.Micros),
		Status: "—", Outcomes: arrivalOutcomes(ctx, a),
	}
	if a.Status > 0 {
		row.Status = strconv.Itoa(a.Status)
	}
	row.Why, row.Remedy = arrivalWhy(ctx, a)
	return row
}

// took writes a duration in milliseconds.
func took(ctx context.Context, micros int64) string {
	ms := strconv.FormatFloat(float64(micros)/1000, 'f', 1, 64)
	return locale.T(ctx, "arrivals.ms", "N", ms)
}

// arrivalOutcomes says what became of a request's messages, each with its number.
func arrivalOutcomes(ctx context.Context, a *models.Arrival) []views.ArrivalOutcome {
	counts := a.Outcomes()
	var out []views.ArrivalOutcome
	for _, outcome := range outcomesInOrder() {
		if counts[outcome] > 0 {
			label, _, tone := outcomeWords(ctx, outcome)
			out = append(out, views.ArrivalOutcome{Tone: tone, Text: label + " " + thousands(int64(counts[outcome]))})
		}
	}
	switch {
	case len(out) > 0:
	case a.Code != "":
		out = append(out, views.ArrivalOutcome{Tone: c.Bad, Text: locale.T(ctx, "arrivals.refused")})
	default:
		out = append(out, views.ArrivalOutcome{Tone: c.Mute, Text: locale.T(ctx, "arrivals.nothing")})
	}
	return out
}

// arrivalWhy says in words why a request, or a part of it, failed, and what to do.
func arrivalWhy(ctx context.Context, a *models.Arrival) (why, remedy string) {
	if a.Code == "" {
		counts := a.Outcomes()
		for _, outcome := range []string{models.IngestUnauthorized, models.IngestUnknown, models.IngestInvalid, models.IngestRefused} {
			if counts[outcome] > 0 {
				_, why, _ = outcomeWords(ctx, outcome)
				return why, locale.T(ctx, "arrivals.do."+outcome)
			}
		}
		return "", ""
	}
	if a.Code == codeAnswered {
		return locale.T(ctx, "arrivals.why_answered", "Status", a.Status), locale.T(ctx, "arrivals.do.other")
	}
	var data map[string]any
	if json.Unmarshal([]byte(a.Detail), &data) != nil || data == nil {
		data = map[string]any{}
	}
	e := &apiError{code: a.Code, data: data}
	e.field, _ = data["Field"].(string)
	return errorWords(ctx, e), locale.T(ctx, "arrivals.do."+remedyOf(a.Code, a.Status))
}

// remedyOf groups the codes of refusals by what there is to do.
func remedyOf(code string, status int) string {
	switch {
	case slices.Contains([]string{"wrong_bridge", "unknown_bridge", "method_not_allowed", "unknown_command", "not_found"}, code):
		return "bridge"
	case code == "address_not_allowed":
		return "address"
	case strings.HasPrefix(code, "tim_usersig"), strings.HasPrefix(code, "tim_sign"), strings.HasPrefix(code, "bad_push"), code == "unauthorized", code == "tim_sdkappid":
		return "signature"
	case status == http.StatusTooManyRequests:
		return "rate"
	case status == http.StatusRequestEntityTooLarge:
		return "large"
	case status >= http.StatusInternalServerError:
		return "refused"
	case code == "not_authorized":
		return "unauthorized"
	case strings.HasSuffix(code, "_device"), code == "unknown_token":
		return "unknown"
	}
	return "other"
}

// imArrival is one request in full: texts masked, unless they were asked for when it
// came and the reader may see them.
func (h *console) imArrival(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	a, err := h.Store.ArrivalByID(std, who, m.ID, ctx.Param("arrival"))
	if err != nil {
		return err
	}
	list, err := h.arrivalsView(ctx, m)
	if err != nil {
		return err
	}
	list.Here, list.Paused = imAppBase(m.ID)+"/live", true // nothing moves behind a dialog
	d := &views.ArrivalDetail{Row: arrivalRow(std, clock, imAppBase(m.ID), a), From: a.Address, Close: list.Here, Request: a.Shape, Note: locale.T(std, "arrivals.masked")}
	if a.Bytes >= 0 {
		d.Size = locale.Tn(std, "arrivals.bytes", int(a.Bytes), "N", thousands(a.Bytes))
	}
	if d.Row.Content && who.May(models.PermContent) {
		text, err := h.Store.ArrivalContent(std, who, m.ID, a.ID)
		switch {
		case err == nil:
			d.Request, d.Note = text, locale.T(std, "arrivals.told", "Time", clock.Exact(*a.ContentUntil))
		case models.KindOf(err) != models.NotFound: // its time ended just now
			return err
		}
	}
	return h.arrivalsPage(ctx, m, list, d)
}

// showContent turns the contents of what arrives on for ten minutes, or off.
func (h *console) showContent(ctx echo.Context) error {
	var f struct {
		On string `form:"on"`
	}
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	m, err = h.Store.ShowContent(ctx.Request().Context(), h.actor(ctx), m.ID, f.On != "")
	if err != nil {
		return err
	}
	if m.ContentUntil != nil {
		clock, err := h.clock(ctx)
		if err != nil {
			return err
		}
		web.Flash(ctx, web.T(ctx, "arrivals.content_on"), web.T(ctx, "arrivals.content_on_detail", "Time", clock.Exact(*m.ContentUntil)))
	} else {
		web.Flash(ctx, web.T(ctx, "arrivals.content_off"), web.T(ctx, "arrivals.content_off_detail"))
	}
	return web.SeeOther(ctx, imAppBase(m.ID)+"/live")
}
