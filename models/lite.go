package models

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// statements are the hot path's SQLite statements, prepared once on the write
// connection: parsing them anew for each row would cost more than running them.
type statements struct {
	mu sync.Mutex
	m  map[string]*sql.Stmt
}

// liteHot lists every statement that may be asked of Tx.lite.
func liteHot() []string {
	return []string{
		liteInsertDedupe, liteSelectDedupe, liteInsertMessage, liteInsertContent, liteInsertBatch,
		liteUpsertCounter, liteDeleteBatch, liteUpsertDelivery, liteInsertAttempt, liteSetBadge, anyEarly,
		liteUpsertPresence, liteUpsertTally,
	}
}

// prepare prepares the hot statements. It runs before a transaction begins,
// because inside one the only write connection is taken.
func (d *DB) prepare(ctx context.Context) error {
	d.hot.mu.Lock()
	defer d.hot.mu.Unlock()
	if d.hot.m != nil {
		return nil
	}
	m := map[string]*sql.Stmt{}
	for _, q := range liteHot() {
		st, err := d.sqlW.PrepareContext(ctx, q)
		if err != nil {
			return fmt.Errorf("models: prepare: %w", err)
		}
		m[q] = st
	}
	d.hot.m = m
	return nil
}

// lite returns a hot statement bound to this transaction.
func (t *Tx) lite(ctx context.Context, q string) *sql.Stmt {
	return t.sql.StmtContext(ctx, t.db.hot.m[q])
}

// writeRetries bounds how often a transaction is run again after a deadlock.
const writeRetries = 3

// hotTimeout bounds one hot transaction on Postgres, so that a server which no
// longer answers refuses messages instead of holding them.
const hotTimeout = 30 * time.Second

// writeHot is write for the hot path: statements are prepared, and a
// transaction that lost a deadlock or a serialization check is run again, so fn
// must start from scratch each time. It is not cut short by the caller's
// departure, because other callers share it.
func (d *DB) writeHot(ctx context.Context, fn func(context.Context, *Tx) error) error {
	return d.writeHotAs(ctx, false, fn)
}

// writeHotAs is writeHot; see writeAs.
func (d *DB) writeHotAs(ctx context.Context, urgent bool, fn func(context.Context, *Tx) error) error {
	ctx = context.WithoutCancel(ctx)
	if d.Dialect == SQLite {
		// No timeout: SQLite's driver starts a goroutine per statement to watch one.
		if err := d.prepare(ctx); err != nil {
			return err
		}
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, hotTimeout)
		defer cancel()
	}
	for try := 0; ; try++ {
		err := d.writeAs(ctx, urgent, func(t *Tx) error { return fn(ctx, t) })
		if err == nil || try == writeRetries || !lostRace(err) {
			return err
		}
	}
}
