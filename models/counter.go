package models

import (
	"cmp"
	"context"
	"slices"
)

// Count is one addition to the counters. Counters are kept per hour in which the
// message was accepted (Message.Hour), whatever the hour of the event, so that a
// day's funnel sums exactly: planned = accepted + failed + expired + waiting.
type Count struct {
	AppID   int64
	PlanID  int64
	Hour    int64 // HourOf the message's acceptance
	Sandbox bool
	Channel string // "" where no channel is concerned
	Metric  string
	Reason  string
	N       int64
}

// Hour returns the hour that everything about the message is counted in: the one
// inside its id.
func (m *Message) Hour() int64 {
	t, err := idTime(m.ID)
	if err != nil {
		t = m.AcceptedAt
	}
	return HourOf(t)
}

// Counted reports whether a message takes part in the statistics: an update of the
// number on an icon is no offline message, and nobody sees it arrive.
func (m *Message) Counted() bool { return m.Kind != KindBadge }

const (
	liteUpsertCounter = `INSERT INTO counters (app_id, plan_id, hour, sandbox, channel, metric, reason, slot, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (app_id, plan_id, hour, sandbox, channel, metric, reason, slot) DO UPDATE SET n = n + excluded.n`
	pgUpsertCounter = `INSERT INTO counters (app_id, plan_id, hour, sandbox, channel, metric, reason, slot, n)
		SELECT a, p, h, s, c, m, r, $8, n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $9::bigint[]) u(a, p, h, s, c, m, r, n)
		ON CONFLICT (app_id, plan_id, hour, sandbox, channel, metric, reason, slot) DO UPDATE SET n = counters.n + excluded.n`
)

// addCounts adds to the counters, in one order for everyone so that writers wait
// for each other instead of deadlocking. Keys have N zero.
func (t *Tx) addCounts(ctx context.Context, counts map[Count]int64) error {
	if len(counts) == 0 {
		return nil
	}
	keys := sortedKeys(counts, compareCount)
	slot := t.slot()
	if t.pgx == nil {
		st := t.lite(ctx, liteUpsertCounter)
		for _, k := range keys {
			if _, err := st.ExecContext(ctx, k.AppID, k.PlanID, k.Hour, k.Sandbox, k.Channel, k.Metric, k.Reason, slot, counts[k]); err != nil {
				return err
			}
		}
		return nil
	}
	n := len(keys)
	apps, plans, hours, sandbox := make([]int64, n), make([]int64, n), make([]int64, n), make([]bool, n)
	channels, metrics, reasons, ns := make([]string, n), make([]string, n), make([]string, n), make([]int64, n)
	for i, k := range keys {
		apps[i], plans[i], hours[i], sandbox[i] = k.AppID, k.PlanID, k.Hour, k.Sandbox
		channels[i], metrics[i], reasons[i], ns[i] = k.Channel, k.Metric, k.Reason, counts[k]
	}
	_, err := t.pgx.Exec(ctx, pgUpsertCounter, apps, plans, hours, sandbox, channels, metrics, reasons, slot, ns)
	return err
}

// sumCounts merges additions to the same counter.
func sumCounts(sum map[Count]int64, counts []Count) {
	for _, c := range counts {
		n := c.N
		c.N = 0
		sum[c] += n
	}
}

func compareCount(a, b Count) int {
	return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.PlanID, b.PlanID), cmp.Compare(a.Hour, b.Hour),
		compareBool(a.Sandbox, b.Sandbox), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Reason, b.Reason))
}

func compareIngestCount(a, b ingestCount) int {
	return cmp.Or(cmp.Compare(a.imAppID, b.imAppID), cmp.Compare(a.hour, b.hour), cmp.Compare(a.outcome, b.outcome))
}

func compareInt64(a, b int64) int { return cmp.Compare(a, b) }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// sortedKeys returns a map's keys in order.
func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}
