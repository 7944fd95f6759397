package models

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// partitioned lists the tables that Postgres cuts by the day inside a message's
// id, so that a day's records are dropped whole.
func partitioned() []string { return []string{"messages", "deliveries", "attempts"} }

const (
	// partitionsAhead is for how many days to come partitions are kept ready. Rows
	// of a day without one go to the default partition, where they are found and
	// cleaned up all the same, only slower.
	partitionsAhead = 3
	// partitionLockWait bounds how long acceptance may stand behind a change of
	// partitions that itself waits for a long query.
	partitionLockWait = "SET LOCAL lock_timeout = '2s'"
	partitionDay      = "20060102"

	pgCheckViolation = "23514"
	pgLockTimeout    = "55P03"
)

// makePartitions makes the partitions of today and the days to come.
func (d *DB) makePartitions(ctx context.Context) error {
	if d.Dialect != Postgres {
		return nil
	}
	for _, table := range partitioned() {
		have, err := d.partitions(ctx, table)
		if err != nil {
			return err
		}
		today := midnight(d.Now(), time.UTC)
		for i := range partitionsAhead + 1 {
			day := today.AddDate(0, 0, i)
			if have[day] {
				continue
			}
			q := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')",
				partitionName(table, day), table, idBound(day), idBound(day.AddDate(0, 0, 1)))
			if err := d.changePartition(ctx, q); err != nil {
				return fmt.Errorf("models: partition %s: %w", partitionName(table, day), err)
			}
		}
	}
	return nil
}

// dropPartitions drops the partitions of days that ended before the cut.
func (d *DB) dropPartitions(ctx context.Context, cut time.Time) error {
	if d.Dialect != Postgres {
		return nil
	}
	for _, table := range partitioned() {
		have, err := d.partitions(ctx, table)
		if err != nil {
			return err
		}
		for _, day := range sortedKeys(have, time.Time.Compare) {
			if day.AddDate(0, 0, 1).After(cut) {
				break
			}
			if err := d.changePartition(ctx, "DROP TABLE IF EXISTS "+partitionName(table, day)); err != nil {
				return fmt.Errorf("models: drop partition %s: %w", partitionName(table, day), err)
			}
		}
	}
	return nil
}

func partitionName(table string, day time.Time) string {
	return table + "_" + day.Format(partitionDay)
}

// partitions returns the days that have a partition.
func (d *DB) partitions(ctx context.Context, table string) (map[time.Time]bool, error) {
	rows, err := d.pool.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::regclass`, table)
	if err != nil {
		return nil, fmt.Errorf("models: partitions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("models: partitions: %w", err)
	}
	days := map[time.Time]bool{}
	for _, n := range names {
		if day, err := time.Parse(partitionDay, strings.TrimPrefix(n, table+"_")); err == nil {
			days[day] = true
		}
	}
	return days, nil
}

// changePartition makes or drops one partition. Two ends are for the next time:
// the table is in use, or rows of the day lie in the default partition already.
func (d *DB) changePartition(ctx context.Context, q string) error {
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, partitionLockWait); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, q)
		return err
	})
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == pgCheckViolation || e.Code == pgLockTimeout || e.Code == pgDeadlock) {
		d.log.Warn("partition left for the next time", "statement", q, "code", e.Code)
		return nil
	}
	return err
}
