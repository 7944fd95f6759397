package models

import (
	"context"
	"fmt"
	"time"
)

// How long things are kept that have no setting of their own.
const (
	// DefaultRetention is how many days records are kept unless the operator says
	// otherwise.
	DefaultRetention = 90
	// dedupeLife is how long a message is recognised again; at least 24 hours are
	// promised.
	dedupeLife = 48 * time.Hour
	// counterDays is how long statistics are kept: a year and a month.
	counterDays = 400
)

// Tidy is the upkeep that comes every few seconds: receipts that crossed their
// send's record, and paused batches in which a message expired.
func (d *DB) Tidy(ctx context.Context) error {
	for n := purgeChunk; n == purgeChunk; {
		var err error
		if n, err = d.FoldReceipts(ctx); err != nil {
			return err
		}
	}
	_, err := d.DueExpired(ctx)
	return err
}

// Retain is the upkeep that comes every hour: it removes records older than days
// and whatever else has had its time, in small steps between which others
// write, and makes Postgres' partitions of the days to come. It ends with ctx;
// the next run goes on.
func (d *DB) Retain(ctx context.Context, days int) error {
	if err := d.makePartitions(ctx); err != nil {
		return err
	}
	now := d.Now()
	cut := now.AddDate(0, 0, -days)
	if err := d.dropPartitions(ctx, cut); err != nil {
		return err
	}
	for _, step := range d.retentionSteps(now, cut) {
		for more := true; more; {
			var err error
			if more, err = d.deleteSome(ctx, step); err != nil {
				return fmt.Errorf("models: retention: %s: %w", step.table, err)
			}
		}
	}
	if err := d.deleteRetired(ctx, cut); err != nil {
		return fmt.Errorf("models: retention: devices: %w", err)
	}
	return d.vacuum(ctx)
}

// retentionStep deletes rows of one table, some at a time.
type retentionStep struct {
	table string
	key   string // the columns that name a row, or the beginning of the primary key
	from  string // how to find what to delete, behind FROM
	arg   any
}

// retentionSteps lists what has a time. Steps whose condition has no index read
// the whole table, but only the tables that stay small.
func (d *DB) retentionSteps(now, cut time.Time) []retentionStep {
	old := idBound(cut)
	records := func(table string) string {
		if d.Dialect == Postgres {
			return table + "_default" // whole days are dropped
		}
		return table
	}
	attempts, deliveries, messages := records("attempts"), records("deliveries"), records("messages")
	dedupe := retentionStep{"dedupe", "key", "dedupe WHERE hour < ?", HourOf(now.Add(-dedupeLife))}
	if d.Dialect == SQLite { // there the first rows are the oldest
		dedupe.key, dedupe.from = "id", fmt.Sprintf("(SELECT id, hour FROM dedupe ORDER BY id LIMIT %d) x WHERE hour < ?", purgeChunk)
	}
	statistics := HourOf(now.AddDate(0, 0, -counterDays))
	return []retentionStep{
		{attempts, "message_id, device_id, n", attempts + " WHERE message_id < ?", old},
		{deliveries, "message_id, device_id", deliveries + " WHERE message_id < ?", old},
		// The key begins with the app: step from app to app instead of reading all.
		{messages, "app_id, id", `(WITH RECURSIVE app(a) AS (SELECT MIN(app_id) FROM ` + messages + `
			UNION ALL SELECT (SELECT MIN(app_id) FROM ` + messages + ` WHERE app_id > a) FROM app WHERE a IS NOT NULL)
			SELECT m.app_id, m.id FROM app JOIN ` + messages + ` m ON m.app_id = app.a WHERE m.id < ?) x`, old},
		{"message_contents", "message_id", "message_contents WHERE expires_at <= ?", now},
		{"early_receipts", "message_id, device_id, status", "early_receipts WHERE message_id < ?", idBound(now.Add(-earlyLife))},
		{"vendor_notes", "message_id, device_id, event", "vendor_notes WHERE message_id < ?", old},
		dedupe,
		{"im_presence", "im_app_id, account, platform", "im_presence WHERE seen < ?", now.Add(-presenceLife).Unix()},
		{"im_group_members", "im_app_id, group_id, account", `im_group_members WHERE im_app_id IN (SELECT id FROM im_apps WHERE deleted_at <= ?)`, now},
		{"counters", "app_id, plan_id, hour", "counters WHERE hour < ?", statistics},
		{"im_app_stats", "im_app_id, hour", "im_app_stats WHERE hour < ?", statistics},
	}
}

// deleteSome does one step once and reports whether there may be more. It looks
// first, outside the writer: mostly there is nothing.
func (d *DB) deleteSome(ctx context.Context, s retentionStep) (more bool, err error) {
	var found int
	if err := d.read(ctx).Raw("SELECT COUNT(*) FROM (SELECT 1 FROM "+s.from+" LIMIT 1) f", s.arg).Scan(&found).Error; err != nil || found == 0 {
		return false, err
	}
	err = d.write(ctx, func(t *Tx) error {
		r := t.Exec(fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s LIMIT %d)", s.table, s.key, s.key, s.from, purgeChunk), s.arg)
		more = r.RowsAffected >= purgeChunk
		return r.Error
	})
	return more, err
}

// deleteRetired deletes devices and routes that were retired before the cut. What was
// found is asked for again by the writer: it may have come back to life meanwhile.
func (d *DB) deleteRetired(ctx context.Context, cut time.Time) error {
	for table, del := range map[string]func(*Tx, []int64, time.Time) error{
		"routes":  (*Tx).deleteRetiredRoutes,
		"devices": (*Tx).deleteRetiredDevices,
	} {
		for n := purgeChunk; n == purgeChunk; {
			var ids []int64
			if err := d.read(ctx).Raw("SELECT id FROM "+table+" WHERE retired_at < ? LIMIT ?", cut, purgeChunk).Scan(&ids).Error; err != nil {
				return err
			}
			if n = len(ids); n == 0 {
				break
			}
			if err := d.write(ctx, func(t *Tx) error { return del(t, ids, cut) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tx) deleteRetiredRoutes(ids []int64, cut time.Time) error {
	return t.Exec("DELETE FROM routes WHERE id IN ? AND retired_at < ?", ids, cut).Error
}

func (t *Tx) deleteRetiredDevices(ids []int64, cut time.Time) error {
	var retired []int64
	err := t.Raw("SELECT id FROM devices WHERE id IN ? AND retired_at < ?"+t.db.lockInOrder(), ids, cut).Scan(&retired).Error
	if err != nil || len(retired) == 0 {
		return err
	}
	return t.deleteDevices(retired)
}

// vacuumPages is how many pages SQLite gives back in one step.
const vacuumPages = 500

// vacuum returns deleted rows' space to the disk on SQLite, in small steps.
// Postgres reuses it by itself.
func (d *DB) vacuum(ctx context.Context) error {
	if d.Dialect != SQLite {
		return nil
	}
	for {
		var free int
		if err := d.sqlR.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return fmt.Errorf("models: vacuum: %w", err)
		}
		if free < vacuumPages {
			return nil
		}
		if _, err := d.sqlW.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)); err != nil {
			return fmt.Errorf("models: vacuum: %w", err)
		}
	}
}
