package models

import (
	"context"
	"fmt"
	"time"
)

// Quota is what a vendor said of a day's messages: how many it takes and how many it
// has counted. Limit 0 says nothing.
type Quota struct{ Limit, Used int64 }

const (
	// The index of batches has only what waits for a credential at all.
	selectWaiting = `SELECT credential_id, SUM(count) AS n FROM batches
		WHERE credential_id IN ? AND credential_id <> 0 AND app_id = ? GROUP BY credential_id`
	// The counters' key begins with app and plan: naming the plans makes of a walk
	// through all that the app ever counted a few short ones.
	selectTallies = `SELECT hour, sandbox, channel, metric, SUM(n) AS n FROM counters
		WHERE app_id = ? AND plan_id IN ? AND hour >= ? AND metric IN ? GROUP BY hour, sandbox, channel, metric`
)

// CredentialsWaiting returns how many messages wait for each of an app's credentials:
// for its repair, for the end of a used-up quota, or for another try. One without any
// is not in the answer.
func (s *Store) CredentialsWaiting(ctx context.Context, app AppScope, ids []int64) (map[int64]int64, error) {
	out := make(map[int64]int64, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var rows []struct{ CredentialID, N int64 }
	err := app.db.read(ctx).Raw(selectWaiting, ids, app.appID).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: credentials waiting: %w", err)
	}
	for _, r := range rows {
		out[r.CredentialID] = r.N
	}
	return out, nil
}

// ChannelKey names a channel's counters: those of the sandbox are apart.
type ChannelKey struct {
	Channel string
	Sandbox bool
}

// Tally is how sends of a channel ended.
type Tally struct{ Accepted, Failed int64 }

// ChannelTallies returns how the sends of an app's channels ended since each of some
// moments, by the hour in which the message was accepted; an hour that began before a
// moment does not count for it. A channel without any is not in the answer. Counters
// are kept for a channel, not for each of its credentials.
func (s *Store) ChannelTallies(ctx context.Context, app AppScope, since ...time.Time) (map[ChannelKey][]Tally, error) {
	from := make([]int64, len(since))
	for i, t := range since {
		from[i] = HourOf(t.Add(time.Hour - 1))
	}
	first := from[0]
	for _, h := range from {
		first = min(first, h)
	}
	plans := []int64{0}
	var named []int64
	if err := s.read(ctx).Model(&Plan{}).Where("app_id = ?", app.appID).Pluck("id", &named).Error; err != nil {
		return nil, fmt.Errorf("models: channel tallies: %w", err)
	}
	var rows []struct {
		Hour    int64
		Sandbox bool
		Channel string
		Metric  string
		N       int64
	}
	err := app.db.read(ctx).Raw(selectTallies, app.appID, append(plans, named...), first, []string{MetricAccepted, MetricFailed}).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: channel tallies: %w", err)
	}
	out := map[ChannelKey][]Tally{}
	for _, r := range rows {
		k := ChannelKey{r.Channel, r.Sandbox}
		if out[k] == nil {
			out[k] = make([]Tally, len(since))
		}
		for i, h := range from {
			switch {
			case r.Hour < h:
			case r.Metric == MetricAccepted:
				out[k][i].Accepted += r.N
			default:
				out[k][i].Failed += r.N
			}
		}
	}
	return out, nil
}
