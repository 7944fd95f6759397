package models

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Tally is how sends through a credential ended.
type Tally struct{ Accepted, Failed int64 }

// TallyKey names a credential's tally of one hour. Unlike a counter's, the hour is the
// one of the vendor's answer: that is the day on which the vendor counts a message.
type TallyKey struct {
	AppID        int64
	CredentialID int64
	Hour         int64 // HourOf the answer
}

// tallyLife is how long tallies are kept; a card looks back a day.
const tallyLife = 72 * time.Hour

const (
	liteUpsertTally = `INSERT INTO credential_tallies (app_id, credential_id, hour, slot, accepted, failed) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (app_id, credential_id, hour, slot) DO UPDATE SET accepted = accepted + excluded.accepted, failed = failed + excluded.failed`
	pgUpsertTally = `INSERT INTO credential_tallies (app_id, credential_id, hour, slot, accepted, failed)
		SELECT a, c, h, $4, x, f FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::bigint[], $6::bigint[]) u(a, c, h, x, f)
		ON CONFLICT (app_id, credential_id, hour, slot) DO UPDATE
		SET accepted = credential_tallies.accepted + excluded.accepted, failed = credential_tallies.failed + excluded.failed`
	selectTallies = `SELECT credential_id, hour, SUM(accepted) AS accepted, SUM(failed) AS failed FROM credential_tallies
		WHERE app_id = ? AND credential_id IN ? AND hour >= ? GROUP BY credential_id, hour`
	// Locked in the order in which addTallies writes.
	deleteTallies = `DELETE FROM credential_tallies WHERE (app_id, credential_id, hour, slot) IN (
		SELECT app_id, credential_id, hour, slot FROM credential_tallies WHERE app_id = ? AND credential_id IN ?
		ORDER BY app_id, credential_id, hour, slot`
)

// addTallies adds to the tallies, in one order for everyone as addCounts does.
func (t *Tx) addTallies(ctx context.Context, tallies map[TallyKey]Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	keys := sortedKeys(tallies, compareTallyKey)
	slot := t.slot()
	if t.pgx == nil {
		st := t.lite(ctx, liteUpsertTally)
		for _, k := range keys {
			if _, err := st.ExecContext(ctx, k.AppID, k.CredentialID, k.Hour, slot, tallies[k].Accepted, tallies[k].Failed); err != nil {
				return err
			}
		}
		return nil
	}
	n := len(keys)
	apps, credentials, hours := make([]int64, n), make([]int64, n), make([]int64, n)
	accepted, failed := make([]int64, n), make([]int64, n)
	for i, k := range keys {
		apps[i], credentials[i], hours[i] = k.AppID, k.CredentialID, k.Hour
		accepted[i], failed[i] = tallies[k].Accepted, tallies[k].Failed
	}
	_, err := t.pgx.Exec(ctx, pgUpsertTally, apps, credentials, hours, slot, accepted, failed)
	return err
}

func compareTallyKey(a, b TallyKey) int {
	return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.CredentialID, b.CredentialID), cmp.Compare(a.Hour, b.Hour))
}

// sumTallies merges additions to the same tally.
func sumTallies(sum, tallies map[TallyKey]Tally) {
	for k, t := range tallies {
		s := sum[k]
		sum[k] = Tally{s.Accepted + t.Accepted, s.Failed + t.Failed}
	}
}

// CredentialTallies returns how the sends through some of an app's credentials ended
// since each of some moments; an hour that began before a moment does not count for it.
// A credential without any is not in the answer. Updates of a badge are not counted,
// as in the statistics.
func (s *Store) CredentialTallies(ctx context.Context, app AppScope, ids []int64, since ...time.Time) (map[int64][]Tally, error) {
	out := make(map[int64][]Tally, len(ids))
	if len(ids) == 0 || len(since) == 0 {
		return out, nil
	}
	from := make([]int64, len(since))
	for i, t := range since {
		from[i] = HourOf(t.Add(time.Hour - 1))
	}
	first := from[0]
	for _, h := range from {
		first = min(first, h)
	}
	var rows []struct{ CredentialID, Hour, Accepted, Failed int64 }
	if err := app.db.read(ctx).Raw(selectTallies, app.appID, ids, first).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("models: credential tallies: %w", err)
	}
	for _, r := range rows {
		if out[r.CredentialID] == nil {
			out[r.CredentialID] = make([]Tally, len(since))
		}
		for i, h := range from {
			if r.Hour >= h {
				t := &out[r.CredentialID][i]
				t.Accepted, t.Failed = t.Accepted+r.Accepted, t.Failed+r.Failed
			}
		}
	}
	return out, nil
}

// forgetTallies deletes what was counted of credentials that are gone, or are another
// app at the vendor now. Results that were under way may count afterwards, and should
// it fail nothing is lost: upkeep removes the rows within days.
func (s *Store) forgetTallies(ctx context.Context, o CredentialOwner, ids ...int64) {
	if o.kind != ownerApp || len(ids) == 0 {
		return
	}
	db, err := s.appDB(ctx, o.id)
	if err == nil {
		err = db.deleteTallies(ctx, o.id, ids)
	}
	if err != nil {
		s.log.Warn("tallies of a credential not deleted", "error", err)
	}
}

func (d *DB) deleteTallies(ctx context.Context, appID int64, ids []int64) error {
	return d.write(ctx, func(t *Tx) error {
		return t.Exec(deleteTallies+d.forUpdate()+")", appID, ids).Error
	})
}
