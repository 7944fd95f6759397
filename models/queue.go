package models

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// inserter puts jobs into River inside our own transactions. Only its …Tx
// methods are used: a plain call inside an open transaction would wait for
// SQLite's one writer forever.
type inserter struct {
	pg *river.Client[pgx.Tx]
	lt *river.Client[*sql.Tx]
}

func newInserter(d *DB) (*inserter, error) {
	q := &inserter{}
	var err error
	if d.Dialect == Postgres {
		q.pg, err = river.NewClient(riverpgxv5.New(d.pool), &river.Config{Logger: RiverLog(d.log)})
	} else {
		q.lt, err = river.NewClient(riversqlite.New(d.sqlW), &river.Config{Logger: RiverLog(d.log)})
	}
	if err != nil {
		return nil, fmt.Errorf("models: queue: %w", err)
	}
	return q, nil
}

// enqueue inserts a job that becomes visible when the transaction commits.
func (t *Tx) enqueue(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error {
	var err error
	if t.pgx != nil {
		_, err = t.db.queue.pg.InsertTx(ctx, t.pgx, args, opts)
	} else {
		_, err = t.db.queue.lt.InsertTx(ctx, t.sql, args, opts)
	}
	if err != nil {
		return fmt.Errorf("models: enqueue %s: %w", args.Kind(), err)
	}
	return nil
}

// Queue is a working River client: it fetches and runs jobs until stopped.
type Queue interface {
	Start(ctx context.Context) error
	// StopAndCancel fetches no more, cancels the running jobs' contexts and waits for
	// their ends, up to ctx.
	StopAndCancel(ctx context.Context) error
}

// NewQueue returns a River client on this database that works the given jobs.
// The caller starts and stops it.
func (d *DB) NewQueue(cfg *river.Config) (Queue, error) {
	if d.Dialect == Postgres {
		return river.NewClient(riverpgxv5.New(d.pool), cfg)
	}
	return river.NewClient(riversqlite.New(d.sqlW), cfg)
}
