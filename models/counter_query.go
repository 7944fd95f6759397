package models

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
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
	Zone     *time.Location
	Sandbox  bool
}

// maxStatsDays bounds a range.
const maxStatsDays = 400

// PlanStats reads the counters of a plan. A message counts on the day it was
// accepted, with everything that became of it. Invalid: an empty range, or one
// over 400 days.
func (s *Store) PlanStats(ctx context.Context, app AppScope, f StatsFilter) (*Stats, error) {
	from, to := midnight(f.From, f.Zone), midnight(f.To, f.Zone).AddDate(0, 0, 1)
	days := daysBetween(from, to)
	if len(days) == 0 || len(days) > maxStatsDays {
		return nil, invalid("from", "range", map[string]any{"Max": maxStatsDays})
	}
	q := app.db.read(ctx).Table("counters").Select("hour, channel, metric, reason, SUM(n) AS n").
		Where("app_id = ? AND hour >= ? AND hour <= ? AND sandbox = ?", app.appID, HourOf(from), HourOf(to.Add(-1)), f.Sandbox)
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
	st := &Stats{Days: make([]DayFunnel, len(days))}
	for i, d := range days {
		st.Days[i].Day = d
	}
	channels := map[string]*ChannelFunnel{}
	for _, r := range rows {
		day, ok := slices.BinarySearchFunc(days, midnight(time.Unix(r.Hour*3600, 0), f.Zone), time.Time.Compare)
		if !ok {
			continue // the zone's midnight is not on the hour, and this hour began before it
		}
		st.Total.add(r.Metric, r.Reason, r.N)
		st.Days[day].add(r.Metric, r.Reason, r.N)
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
