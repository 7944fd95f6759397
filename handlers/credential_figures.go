package handlers

import (
	"context"
	"math"
	"strconv"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
)

// Moments that sends are counted from, in the order of figures.since.
const (
	sinceToday   = iota // midnight of the account's zone
	sinceDay            // 24 hours ago
	sinceVendors        // midnight of the vendors, when their quotas start anew
	sinceCount
)

// quotaLow is the share of a daily quota, one part of so many, from which a card
// warns.
const quotaLow = 10

// figures are what an app's credentials have done lately, read with two queries for
// all of them.
type figures struct {
	clock   clock
	tallies map[int64][]models.Tally // by credential, each in the order of since
	waiting map[int64]int64
	base    string // of the app's addresses
}

// vendorsMidnight is when the vendors' day began, which is on the hour.
func vendorsMidnight(now time.Time) time.Time {
	return now.Add(push.UntilMidnight(now)).Add(-24 * time.Hour).Truncate(time.Hour)
}

// figures reads what is known of an app's credentials.
func (h *console) figures(ctx context.Context, k clock, p appPage, rows []models.Credential) (*figures, error) {
	f := &figures{clock: k, base: p.Base}
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	var since [sinceCount]time.Time
	since[sinceToday], since[sinceDay] = k.midnight(0), k.now.Add(-24*time.Hour)
	since[sinceVendors] = vendorsMidnight(k.now)
	var err error
	if f.tallies, err = h.Store.CredentialTallies(ctx, p.Scope, ids, since[:]...); err != nil {
		return nil, err
	}
	f.waiting, err = h.Store.CredentialsWaiting(ctx, p.Scope, ids)
	return f, err
}

// tally is how a credential's sends ended since a moment.
func (f *figures) tally(r *models.Credential, since int) (t models.Tally) {
	if list := f.tallies[r.ID]; list != nil {
		t = list[since]
	}
	return t
}

// facts are the lines of a card about what the credential did.
func (f *figures) facts(ctx context.Context, r *models.Credential, fact func(key, value string)) {
	words := locale.T(ctx, "channel.today_none")
	if today := f.tally(r, sinceToday); today != (models.Tally{}) {
		words = locale.T(ctx, "channel.today_span", "Accepted", thousands(today.Accepted), "Failed", thousands(today.Failed))
	}
	fact("channel.today", words)
	day := f.tally(r, sinceDay)
	words = locale.T(ctx, "channel.success_unknown")
	if tried := day.Accepted + day.Failed; tried > 0 {
		words = locale.T(ctx, "channel.success_span", "Share", percent(day.Accepted, tried), "Accepted", thousands(day.Accepted), "Tried", thousands(tried))
	}
	fact("channel.success", words)
	if hasQuota(r) {
		fact("channel.quota", f.quota(r).words(ctx))
	}
}

// percent writes a share so that only all is 100 % and only none is 0 %.
func percent(part, whole int64) string {
	share := float64(part) * 100 / float64(whole)
	switch text := strconv.FormatFloat(share, 'f', 1, 64); {
	case part == whole:
		return "100%"
	case text == "100.0":
		return "99.9%"
	case part > 0 && text == "0.0":
		return "0.1%"
	default:
		return text + "%"
	}
}

// dailyQuota reports whether a channel's vendor limits the messages of a day.
func dailyQuota(channel string) bool {
	switch push.Channel(channel) {
	case push.APNs, push.FCM, push.WebPush: // they limit rates
		return false
	}
	return true
}

// hasQuota reports whether a credential's day is limited: simulators limit nothing.
func hasQuota(r *models.Credential) bool {
	return dailyQuota(r.Channel) && r.Environment != models.EnvironmentSandbox
}

// quota is what is left of a credential's day.
type quota struct {
	limit, left int64
	from        string // a sentence's key: who says so
	at          string // when the vendor said it
	until       string // it is used up until then
}

func (f *figures) quota(r *models.Credential) quota {
	switch {
	case r.RestUntil != nil && r.RestUntil.After(f.clock.now):
		return quota{from: "channel.quota_out", until: f.clock.Short(*r.RestUntil)}
	case r.QuotaAt != nil && r.QuotaLimit > 0 && !r.QuotaAt.Before(vendorsMidnight(f.clock.now)):
		return quota{limit: r.QuotaLimit, left: max(r.QuotaLimit-r.QuotaUsed, 0), from: "channel.quota_vendor", at: f.clock.Short(*r.QuotaAt)}
	case r.DailyQuota > 0:
		return quota{limit: r.DailyQuota, left: max(r.DailyQuota-f.tally(r, sinceVendors).Accepted, 0), from: "channel.quota_entered"}
	}
	return quota{from: "channel.quota_unknown"}
}

func (q quota) words(ctx context.Context) string {
	return locale.T(ctx, q.from, "Left", thousands(q.left), "Limit", thousands(q.limit), "Time", q.at, "Until", q.until)
}

// low reports whether little is left.
func (q quota) low() bool { return q.limit > 0 && q.left <= q.limit/quotaLow }

// queue is what waits for a credential that sends nothing, and where to see it.
func (f *figures) queue(ctx context.Context, r *models.Credential) views.QueueView {
	n := f.waiting[r.ID]
	if n == 0 {
		return views.QueueView{Text: locale.T(ctx, "channel.waiting_none")}
	}
	return views.QueueView{
		Text: locale.Tn(ctx, "channel.waiting", int(min(n, math.MaxInt32)), "N", thousands(n)), Link: locale.T(ctx, "channel.waiting_show"),
		URL: f.base + "/credentials/" + number(r.ID) + "/waiting",
	}
}

// state adds to a vendor channel's card what waits and that little of the day is left.
func (f *figures) state(ctx context.Context, r *models.Credential, card *views.ChannelCard) {
	if card.Cause != "" || card.Rest != "" {
		q := f.queue(ctx, r)
		card.Queue = &q
		return
	}
	if q := f.quota(r); card.Tone == c.OK && hasQuota(r) && q.low() {
		card.Tone, card.State, card.StateIcon = c.Warn, locale.T(ctx, "channel.quota_low"), "alert-triangle"
		card.Low = locale.T(ctx, "channel.quota_low_text", "Left", thousands(q.left))
	}
}
