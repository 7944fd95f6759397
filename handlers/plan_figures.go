package handlers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
)

// trendDays is the shortest trend: one day alone would be a point.
const trendDays = 7

// planFigures fills the funnel, the channels and the trend, and returns how many
// deliveries wait.
func (h *console) planFigures(ctx context.Context, p *views.PlanPage, scope models.AppScope, f models.StatsFilter, words string) (int64, error) {
	trendWords := words
	if shortest := f.To.AddDate(0, 0, 1-trendDays); shortest.Before(f.From) {
		f.DaysFrom, trendWords = shortest, locale.T(ctx, "plan.days7")
	}
	st, err := h.Store.PlanStats(ctx, scope, f)
	if err != nil {
		return 0, err
	}
	p.RangeNote = locale.T(ctx, "plan.range_note", "Range", words)
	p.Funnel = funnelStages(ctx, &st.Total)
	for i := range st.Channels {
		if ch := &st.Channels[i]; ch.Channel != "" {
			p.Channels = append(p.Channels, channelRow(channelName(ctx, ch.Channel), &ch.Funnel, f.Sandbox))
		}
	}
	p.Total = channelRow(locale.T(ctx, "plan.total"), &st.Total, false)
	p.TrendName = locale.T(ctx, "plan.trend_daily")
	p.Trend, p.Days = trend(ctx, st.Days, trendWords)
	return st.Total.Waiting(), nil
}

// funnelStages turns counted numbers into the drawn funnel. Every loss is split into
// reasons that sum to it.
func funnelStages(ctx context.Context, f *models.Funnel) []ui.Stage {
	stages := []ui.Stage{
		{
			Label: locale.T(ctx, "plan.planned"), Figure: thousands(f.Planned), Share: 100,
			Detail: locale.Tn(ctx, "plan.planned_detail", int(f.Messages), "N", thousands(f.Messages)),
			Loss:   locale.T(ctx, "plan.loss_sent"), LossSum: thousands(f.Planned - f.Accepted), Reasons: unsent(ctx, f),
		},
		{
			Label: locale.T(ctx, "plan.accepted"), Figure: thousands(f.Accepted), Share: share(f.Accepted, f.Planned),
			Detail: locale.T(ctx, "plan.of_planned", "Rate", rate(f.Accepted, f.Planned)),
			Loss:   locale.T(ctx, "plan.loss_arrived"), LossSum: thousands(f.Accepted - f.Arrived),
		},
		{
			Label: locale.T(ctx, "plan.arrived"), Figure: thousands(f.Arrived), Share: share(f.Arrived, f.Planned),
			Detail: locale.T(ctx, "plan.of_accepted", "Rate", rate(f.Arrived, f.Accepted)),
			Loss:   locale.T(ctx, "plan.loss_clicked"), LossSum: thousands(f.Arrived - f.Clicked), Reasons: unclicked(ctx, f),
		},
		{
			Label: locale.T(ctx, "plan.clicked"), Figure: thousands(f.Clicked), Share: share(f.Clicked, f.Planned),
			Detail: locale.T(ctx, "plan.of_arrived", "Rate", rate(f.Clicked, f.Arrived)),
		},
	}
	if f.Planned == 0 {
		stages[0].Share = 0
	}
	if n := f.Accepted - f.Arrived; n > 0 {
		stages[1].Reasons = []ui.Reason{{Label: locale.T(ctx, "plan.no_receipt"), Figure: thousands(n)}}
	}
	// What never entered the plan stands under the last stage, which loses nothing.
	if f.Skipped > 0 {
		stages[3].Loss, stages[3].LossSum = locale.T(ctx, "plan.not_planned"), thousands(f.Skipped)
		stages[3].Reasons = lossReasons(ctx, f.SkippedBy, models.StateSkipped)
	}
	return stages
}

func unsent(ctx context.Context, f *models.Funnel) []ui.Reason {
	var out []ui.Reason
	if n := f.Waiting(); n > 0 {
		out = append(out, ui.Reason{Label: locale.T(ctx, "plan.waiting"), Figure: thousands(n), Tone: ui.Warn, Href: recordsOf(models.StatePending)})
	}
	out = append(out, lossReasons(ctx, f.FailedBy, models.StateFailed)...)
	if f.Expired > 0 {
		out = append(out, ui.Reason{Label: locale.T(ctx, "reasons.expired"), Figure: thousands(f.Expired), Href: recordsOf(models.StateExpired)})
	}
	return out
}

func unclicked(ctx context.Context, f *models.Funnel) []ui.Reason {
	var out []ui.Reason
	cleared := min(f.Cleared, f.Arrived-f.Clicked)
	if cleared > 0 {
		out = append(out, ui.Reason{Label: locale.T(ctx, "plan.loss_cleared"), Figure: thousands(cleared)})
	}
	if n := f.Arrived - f.Clicked - cleared; n > 0 {
		out = append(out, ui.Reason{Label: locale.T(ctx, "plan.loss_unread"), Figure: thousands(n)})
	}
	return out
}

// lossReasons lists a loss by reason, the largest first; each leads to its records.
func lossReasons(ctx context.Context, by map[string]int64, state string) []ui.Reason {
	keys := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	out := make([]ui.Reason, 0, len(keys))
	for _, k := range keys {
		tone := ui.Mute
		if k == models.ReasonNoCredential || k == models.ReasonBadMessage || k == models.ReasonNotSent {
			tone = ui.Bad // somebody here can mend these
		}
		out = append(out, ui.Reason{Label: locale.T(ctx, "reasons."+k), Figure: thousands(by[k]), Tone: tone, Href: recordsOf(state)})
	}
	return out
}

// recordsOf is the link from a figure to the records behind it.
func recordsOf(state string) string { return "?state=" + state + "#records-h" }

func channelRow(name string, f *models.Funnel, sandbox bool) views.ChannelRow {
	return views.ChannelRow{
		Name: name, Sandbox: sandbox,
		Planned: thousands(f.Planned), Accepted: thousands(f.Accepted), Arrived: thousands(f.Arrived), Clicked: thousands(f.Clicked),
		ArrivalRate: rate(f.Arrived, f.Accepted), ArrivalShare: share(f.Arrived, f.Accepted), ClickRate: rate(f.Clicked, f.Arrived),
	}
}

// trend draws the days and says in a sentence what the picture shows.
func trend(ctx context.Context, days []models.DayFunnel, words string) (ui.Plot, []views.DayRow) {
	sent := ui.Line{Label: locale.T(ctx, "plan.accepted"), Color: 1, Area: true}
	arrived := ui.Line{Label: locale.T(ctx, "plan.arrived"), Color: 4}
	clicked := ui.Line{Label: locale.T(ctx, "plan.clicked"), Color: 2}
	plot := ui.Plot{Finding: locale.T(ctx, "plan.trend_none", "Range", words)}
	rows := make([]views.DayRow, 0, len(days))
	var most int64
	for i, d := range days {
		day := d.Day.Format("01-02")
		sent.Values = append(sent.Values, float64(d.Accepted))
		arrived.Values = append(arrived.Values, float64(d.Arrived))
		clicked.Values = append(clicked.Values, float64(d.Clicked))
		rows = append(rows, views.DayRow{When: day, Accepted: thousands(d.Accepted), Arrived: thousands(d.Arrived), Clicked: thousands(d.Clicked)})
		if d.Accepted > most {
			most = d.Accepted
			plot.Finding = locale.T(ctx, "plan.trend_finding", "Range", words, "When", day, "N", thousands(most))
		}
		if i == 0 || i == len(days)-1 || i == len(days)/2 {
			plot.X = append(plot.X, day)
		}
	}
	plot.Lines = []ui.Line{sent, arrived, clicked}
	return plot, rows
}

// share returns part of whole in per cent, 0 for nothing.
func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole) * 100
}

// rate writes a share, and a dash where there is nothing to be a share of.
func rate(part, whole int64) string {
	if whole <= 0 {
		return "—"
	}
	return strconv.FormatFloat(share(part, whole), 'f', 1, 64) + "%"
}
