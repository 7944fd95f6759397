package handlers

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
)

// statsDays is how far back the page of an IM app counts, today included.
const statsDays = 7

func (h *console) imAppStats(ctx context.Context, clock clock, who models.Actor, m *models.IMApp, p *views.IMAppPage) error {
	today, _ := clock.day(clock.Date(h.Now())) // our own layout always parses
	rows, err := h.Store.IMAppStats(ctx, who, m.ID, today.AddDate(0, 0, 1-statsDays), h.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	day, week := map[string]int64{}, map[string]int64{}
	var daySum, weekSum int64
	for _, r := range rows {
		if r.Outcome == models.IngestRequest {
			continue // counts requests, not what became of messages
		}
		week[r.Outcome] += r.N
		weekSum += r.N
		if r.Hour >= models.HourOf(today) {
			day[r.Outcome] += r.N
			daySum += r.N
		}
	}
	for _, outcome := range outcomesInOrder() {
		// 未授权 always stands here: its zero is an answer too.
		if week[outcome] == 0 && (weekSum == 0 || outcome != models.IngestUnauthorized) {
			continue
		}
		s := views.IngestStat{Today: thousands(day[outcome]), Week: thousands(week[outcome])}
		s.Label, s.Note, s.Tone = outcomeWords(ctx, outcome)
		if week[outcome] == 0 {
			s.Tone = c.Mute
		}
		p.Stats = append(p.Stats, s)
	}
	p.StatsTotal = views.IngestStat{Label: locale.T(ctx, "im_apps.total"), Today: thousands(daySum), Week: thousands(weekSum)}
	p.Refused = week[models.IngestUnauthorized] > 0 && len(p.Authorized) == 0
	return nil
}

// dailyRanges are how many days the table of days can show.
func dailyRanges() []int { return []int{7, 30} }

// imAppDaily counts what came in day by day, in the account's zone, newest first. Days
// before the IM app existed are left out; requests were not counted in earlier
// versions, and a day that has messages and no request says so.
func (h *console) imAppDaily(ctx echo.Context, clock clock, m *models.IMApp) (views.IMDaily, error) {
	std, base := ctx.Request().Context(), imAppBase(m.ID)
	days := dailyRanges()[0]
	if n, err := strconv.Atoi(ctx.QueryParam("days")); err == nil && slices.Contains(dailyRanges(), n) {
		days = n
	}
	var v views.IMDaily
	for _, n := range dailyRanges() {
		v.Ranges = append(v.Ranges, c.Link{Label: locale.T(std, "arrivals.days_n", "N", n), Href: base + "?days=" + strconv.Itoa(n) + "#daily-h", Current: n == days})
	}
	today, _ := clock.day(clock.Date(h.Now())) // our own layout always parses
	rows, err := h.Store.IMAppStats(std, h.actor(ctx), m.ID, today.AddDate(0, 0, 1-days), h.Now().Add(time.Hour))
	if err != nil {
		return v, err
	}
	counts := map[string]map[string]int64{}
	for _, r := range rows {
		day := clock.Date(time.Unix(r.Hour*3600, 0))
		if counts[day] == nil {
			counts[day] = map[string]int64{}
		}
		counts[day][r.Outcome] += r.N
	}
	accepted := c.Line{Label: locale.T(std, "im_apps.in_accepted"), Color: 1, Area: true}
	failed := c.Line{Label: locale.T(std, "arrivals.daily_failed"), Color: 3}
	most, when := int64(0), ""
	for i := days - 1; i >= 0; i-- {
		at := today.AddDate(0, 0, -i)
		if clock.Date(at) < clock.Date(m.CreatedAt) {
			continue
		}
		n := counts[clock.Date(at)]
		d := dayRow(std, at, n)
		v.Days = append([]views.IMDay{d}, v.Days...)
		v.Unknown = v.Unknown || d.Requests == unknownFigure
		accepted.Values = append(accepted.Values, float64(n[models.IngestAccepted]))
		failed.Values = append(failed.Values, float64(sumOf(n, failedOutcomes())))
		if n[models.IngestAccepted] > most {
			most, when = n[models.IngestAccepted], d.Day
		}
		if days == dailyRanges()[0] || i%5 == 0 {
			v.Plot.X = append(v.Plot.X, at.Format("01-02"))
		}
	}
	v.Plot.Lines, v.Plot.Small = []c.Line{accepted, failed}, true
	v.Plot.Finding = locale.T(std, "arrivals.daily_none", "N", days)
	if most > 0 {
		v.Plot.Finding = locale.T(std, "arrivals.daily_finding", "N", days, "When", when, "Most", thousands(most))
	}
	return v, nil
}

// unknownFigure stands for a number that was not counted.
const unknownFigure = "—"

// failedOutcomes are those that somebody should mend.
func failedOutcomes() []string {
	return []string{models.IngestUnauthorized, models.IngestInvalid, models.IngestDenied, models.IngestRefused}
}

// droppedOutcomes are messages that are not pushed, with the reason.
func droppedOutcomes() []string {
	return []string{models.IngestSender, models.IngestSkipped, models.IngestDead, models.IngestUnknown}
}

func sumOf(n map[string]int64, outcomes []string) (sum int64) {
	for _, o := range outcomes {
		sum += n[o]
	}
	return sum
}

func dayRow(ctx context.Context, at time.Time, n map[string]int64) views.IMDay {
	d := views.IMDay{
		Day: at.Format("01-02"), Requests: thousands(n[models.IngestRequest]), Accepted: thousands(n[models.IngestAccepted]),
		Badge: thousands(n[models.IngestBadge]), Duplicate: thousands(n[models.IngestDuplicate]),
	}
	if n[models.IngestRequest] == 0 && len(n) > 0 {
		d.Requests = unknownFigure
	}
	d.Dropped, d.DroppedBy = reasons(ctx, n, droppedOutcomes())
	d.Failed, d.FailedBy = reasons(ctx, n, failedOutcomes())
	return d
}

// reasons sums outcomes and names each with its number.
func reasons(ctx context.Context, n map[string]int64, outcomes []string) (sum string, by []string) {
	for _, o := range outcomes {
		if n[o] > 0 {
			label, _, _ := outcomeWords(ctx, o)
			by = append(by, label+" "+thousands(n[o]))
		}
	}
	return thousands(sumOf(n, outcomes)), by
}
