package models

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"
)

// Funnel is how a set of messages fared: 计划发送 → 实际发送 → 抵达 → 点击. It sums
// exactly: Planned = Accepted + Failed + Expired + Waiting.
type Funnel struct {
	Messages int64 // offline messages accepted from the IM app
	Planned  int64
	Accepted int64
	Arrived  int64
	Clicked  int64
	Cleared  int64
	Failed   int64
	Expired  int64
	Skipped  int64 // outside 计划发送: no device, notifications off, no route
	// FailedBy and SkippedBy split Failed and Skipped by reason.
	FailedBy  map[string]int64
	SkippedBy map[string]int64
}

// Waiting is how many planned deliveries have no end yet.
func (f *Funnel) Waiting() int64 { return f.Planned - f.Accepted - f.Failed - f.Expired }

func (f *Funnel) add(metric, reason string, n int64) {
	switch metric {
	case MetricMessages:
		f.Messages += n
	case MetricPlanned:
		f.Planned += n
	case MetricAccepted:
		f.Accepted += n
	case MetricArrived:
		f.Arrived += n
	case MetricClicked:
		f.Clicked += n
	case MetricCleared:
		f.Cleared += n
	case MetricExpired:
		f.Expired += n
	case MetricFailed:
		f.Failed += n
		f.FailedBy = addTo(f.FailedBy, reason, n)
	case MetricSkipped:
		f.Skipped += n
		f.SkippedBy = addTo(f.SkippedBy, reason, n)
	}
}

func addTo(m map[string]int64, k string, n int64) map[string]int64 {
	if m == nil {
		m = map[string]int64{}
	}
	m[k] += n
	return m
}

// ChannelFunnel is one channel's part. Channel "" holds what never came to a
// channel.
type ChannelFunnel struct {
	Channel string
	Funnel
}

// DayFunnel is one day's part, in the zone asked for.
type DayFunnel struct {
	Day time.Time // its midnight in that zone
	Funnel
}

// Stats are a plan's numbers over a range: all together, per channel (in order
// of name) and for every day of the range, also those without a message.
type Stats struct {
	Total    Funnel
	Channels []ChannelFunnel
	Days     []DayFunnel
}

// StatsFilter chooses what Stats counts. From and To are days in Zone, both
// included; PlanID 0 counts every plan of the app.
type StatsFilter struct {
	PlanID   int64
	From, To time.Time
	// DaysFrom begins Days earlier than From; Total and Channels still count from
	// From on. Zero: From.
	DaysFrom time.Time
	Zone     *time.Location
	Sandbox  bool
}

// maxStatsDays bounds a range.
const maxStatsDays = 400

// days returns the midnights of the range, and which of them From is.
func (f StatsFilter) days() (days []time.Time, first int, err error) {
	from, to := midnight(f.From, f.Zone), midnight(f.To, f.Zone).AddDate(0, 0, 1)
	begin := from
	if !f.DaysFrom.IsZero() {
		begin = midnight(f.DaysFrom, f.Zone)
	}
	days = daysBetween(begin, to)
	if first = len(days) - len(daysBetween(from, to)); !from.Before(to) || first < 0 || len(days) > maxStatsDays {
		return nil, 0, invalid("from", "range", map[string]any{"Max": maxStatsDays})
	}
	return days, first, nil
}

// counted selects the app's counters of the days.
func (f StatsFilter) counted(ctx context.Context, app AppScope, days []time.Time) *gorm.DB {
	end := days[len(days)-1].AddDate(0, 0, 1)
	return app.db.read(ctx).Table("counters").
		Where("app_id = ? AND hour >= ? AND hour <= ? AND sandbox = ?", app.appID, HourOf(days[0]), HourOf(end.Add(-1)), f.Sandbox)
}

// dayOf finds the day that an hour is counted in. A zone's midnight need not be on
// the hour: an hour that began before the first day is of none.
func (f StatsFilter) dayOf(days []time.Time, hour int64) (int, bool) {
	return slices.BinarySearchFunc(days, midnight(time.Unix(hour*3600, 0), f.Zone), time.Time.Compare)
}

func dayFunnels(days []time.Time) []DayFunnel {
	out := make([]DayFunnel, len(days))
	for i, d := range days {
		out[i].Day = d
	}
	return out
}

// PlanStats reads the counters of a plan. A message counts on the day it was
// accepted, with everything that became of it. Invalid: an empty range, or one
// over 400 days.
func (s *Store) PlanStats(ctx context.Context, app AppScope, f StatsFilter) (*Stats, error) {
	days, first, err := f.days()
	if err != nil {
		return nil, err
	}
	q := f.counted(ctx, app, days).Select("hour, channel, metric, reason, SUM(n) AS n")
	if f.PlanID != 0 {
		q = q.Where("plan_id = ?", f.PlanID)
	}
	var rows []struct {
		Hour                    int64
		Channel, Metric, Reason string
		N                       int64
	}
	if err := q.Group("hour, channel, metric, reason").Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("models: plan statistics: %w", err)
	}
	st := &Stats{Days: dayFunnels(days)}
	channels := map[string]*ChannelFunnel{}
	for _, r := range rows {
		day, ok := f.dayOf(days, r.Hour)
		if !ok {
			continue
		}
		st.Days[day].add(r.Metric, r.Reason, r.N)
		if day < first {
			continue
		}
		st.Total.add(r.Metric, r.Reason, r.N)
		c := channels[r.Channel]
		if c == nil {
			c = &ChannelFunnel{Channel: r.Channel}
			channels[r.Channel] = c
		}
		c.add(r.Metric, r.Reason, r.N)
	}
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		st.Channels = append(st.Channels, *channels[name])
	}
	return st, nil
}

// PlanTrends reads the days of many plans at once, for a list: for each of the plans
// every day of the range, without reasons and channels. f.PlanID is not looked at.
// Invalid: as PlanStats.
func (s *Store) PlanTrends(ctx context.Context, app AppScope, plans []int64, f StatsFilter) (map[int64][]DayFunnel, error) {
	days, _, err := f.days()
	if err != nil {
		return nil, err
	}
	out := make(map[int64][]DayFunnel, len(plans))
	for _, id := range plans {
		out[id] = dayFunnels(days)
	}
	var rows []struct {
		PlanID, Hour int64
		Metric       string
		N            int64
	}
	err = f.counted(ctx, app, days).Select("plan_id, hour, metric, SUM(n) AS n").Where("plan_id IN ?", plans).
		Group("plan_id, hour, metric").Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: plan trends: %w", err)
	}
	for _, r := range rows {
		if day, ok := f.dayOf(days, r.Hour); ok {
			out[r.PlanID][day].add(r.Metric, "", r.N)
		}
	}
	return out, nil
}

// midnight returns the start of t's day in zone, UTC when nil.
func midnight(t time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}

func daysBetween(from, to time.Time) (days []time.Time) {
	for d := from; d.Before(to) && len(days) <= maxStatsDays; d = d.AddDate(0, 0, 1) {
		days = append(days, d)
	}
	return days
}

// Backlog is what is open in a database, for readiness and metrics.
type Backlog struct {
	Batches  int64
	Messages int64
	Paused   int64 // of Messages: waiting for a paused credential
	// Oldest is how long the batch that is due longest has been due; 0 for none.
	Oldest time.Duration
}

// Backlog measures the open work.
func (d *DB) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	g := d.read(ctx)
	err := g.Raw(`SELECT COUNT(*) AS batches, COALESCE(SUM(count), 0) AS messages,
		COALESCE(SUM(CASE WHEN due_at IS NULL THEN count ELSE 0 END), 0) AS paused FROM batches`).Scan(&b).Error
	if err != nil {
		return Backlog{}, fmt.Errorf("models: backlog: %w", err)
	}
	var due []struct{ DueAt time.Time }
	if err := g.Raw("SELECT due_at FROM batches WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1").Scan(&due).Error; err != nil {
		return Backlog{}, fmt.Errorf("models: backlog: %w", err)
	}
	if len(due) > 0 {
		b.Oldest = max(0, d.Now().Sub(due[0].DueAt))
	}
	return b, nil
}
