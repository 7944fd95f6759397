package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// batchPlace is what a batch's payload is sealed for.
const batchPlace = "batches.payload"

// newBatch is a batch about to be inserted. owner "" leaves it free; paused
// leaves it without a due time.
type newBatch struct {
	*Batch
	owner  string
	paused bool
	rested int64 // Rest.RestRevision
	appID  int64 // 0 when the messages may be of several apps
}

// sealItems returns the sealed payload of a batch.
func (d *DB) sealItems(items []Item) ([]byte, error) {
	plain, err := json.Marshal(items)
	if err != nil {
		return nil, fmt.Errorf("models: batch: encode: %w", err)
	}
	return d.seal(plain, batchPlace)
}

func (d *DB) openItems(sealed []byte) ([]Item, error) {
	plain, err := d.open(sealed, batchPlace)
	if err != nil {
		return nil, err
	}
	var items []Item
	if err := json.Unmarshal(plain, &items); err != nil {
		return nil, fmt.Errorf("models: batch: decode: %w", err)
	}
	return items, nil
}

var errNoKeys = errors.New("models: no secret key")

func (d *DB) seal(plain []byte, place string) ([]byte, error) {
	if d.keys == nil {
		return nil, errNoKeys
	}
	return d.keys.Seal(plain, place)
}

func (d *DB) open(sealed []byte, place string) ([]byte, error) {
	if d.keys == nil {
		return nil, errNoKeys
	}
	return d.keys.Open(sealed, place)
}

const (
	liteInsertBatch = `INSERT INTO batches (credential_id, app_id, count, payload, due_at, expires_at, owner, lease_until, created_at, rest_revision)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	pgInsertBatch = `INSERT INTO batches (credential_id, app_id, count, payload, due_at, expires_at, owner, lease_until, created_at, rest_revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $7 = '' THEN NULL ELSE clock_timestamp() + $8::bigint * interval '1 microsecond' END, $9, $10)
		RETURNING id`
)

// insertBatch writes the batch's row and sets its id. The lease runs by the
// database's clock. expires_at is when the first of its messages expires, so
// that a paused batch is looked at then.
func (t *Tx) insertBatch(ctx context.Context, n *newBatch) error {
	payload, err := t.db.sealItems(n.Items)
	if err != nil {
		return err
	}
	expires := n.Items[0].Message.ExpiresAt
	for i := range n.Items {
		if e := n.Items[i].Message.ExpiresAt; e.Before(expires) {
			expires = e
		}
	}
	var due *time.Time
	if !n.paused {
		due = &n.DueAt
	}
	now := t.now()
	if t.pgx != nil {
		return t.pgx.QueryRow(ctx, pgInsertBatch, n.CredentialID, n.appID, len(n.Items), payload, due, expires,
			n.owner, LeaseTime.Microseconds(), now, n.rested).Scan(&n.ID)
	}
	var lease *time.Time
	if n.owner != "" {
		until := now.Add(LeaseTime)
		lease = &until
	}
	res, err := t.lite(ctx, liteInsertBatch).ExecContext(ctx, n.CredentialID, n.appID, len(n.Items), payload, due, expires,
		n.owner, lease, now, n.rested)
	if err != nil {
		return err
	}
	n.ID, err = res.LastInsertId()
	return err
}

const (
	pgClaim = `UPDATE batches b SET owner = $1, lease_until = clock_timestamp() + $2::bigint * interval '1 microsecond',
			generation = b.generation + 1
		FROM (SELECT id FROM batches
			WHERE due_at <= $3 %s AND (lease_until IS NULL OR lease_until < clock_timestamp())
			ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) c
		WHERE b.id = c.id
		RETURNING b.id, b.generation, b.credential_id, b.due_at, b.payload`
	liteClaimable = `SELECT id, generation + 1, credential_id, due_at, payload FROM batches
		WHERE due_at <= ? %s AND (lease_until IS NULL OR lease_until < ?) ORDER BY due_at, id LIMIT ?`
)

// ClaimDue takes up to limit batches that are due and that nobody holds, for
// lease. The lease runs by the database's clock, so that processes need not
// agree about the time. They come in order of due time. A batch that does not
// open (its key is gone) is left where it is and logged.
//
// What was put off for one of the credentials in except stays where it is.
func (d *DB) ClaimDue(ctx context.Context, owner string, lease time.Duration, limit int, except ...int64) ([]*Batch, error) {
	var got []claimed
	var err error
	switch now := d.Now(); {
	case d.Dialect == Postgres && len(except) == 0:
		got, err = d.claimPostgres(ctx, fmt.Sprintf(pgClaim, ""), owner, lease.Microseconds(), now, limit)
	case d.Dialect == Postgres:
		got, err = d.claimPostgres(ctx, fmt.Sprintf(pgClaim, "AND credential_id <> ALL($5)"), owner, lease.Microseconds(), now, limit, except)
	case len(except) == 0:
		got, err = d.claimSQLite(ctx, fmt.Sprintf(liteClaimable, ""), []any{now}, owner, lease, limit)
	default:
		but := "AND credential_id NOT IN (" + marks(len(except)) + ")"
		got, err = d.claimSQLite(ctx, fmt.Sprintf(liteClaimable, but), idArgs(except, now), owner, lease, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("models: claim: %w", err)
	}
	out := make([]*Batch, 0, len(got))
	for _, c := range got {
		if c.Items, err = d.openItems(c.payload); err != nil {
			d.log.Error("batch does not open", "batch", c.ID, "error", err)
			continue
		}
		out = append(out, c.Batch)
	}
	slices.SortFunc(out, func(a, b *Batch) int {
		if c := a.DueAt.Compare(b.DueAt); c != 0 {
			return c
		}
		return int(a.ID - b.ID)
	})
	return out, nil
}

type claimed struct {
	*Batch
	payload []byte
}

func (d *DB) claimPostgres(ctx context.Context, q string, args ...any) ([]claimed, error) {
	rows, err := d.pool.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (claimed, error) { return scanClaimed(row) })
}

// claimSQLite looks before it takes the writer: the sweep comes every second and
// mostly finds nothing.
func (d *DB) claimSQLite(ctx context.Context, q string, args []any, owner string, lease time.Duration, limit int) (got []claimed, err error) {
	now := d.Now()
	if got, err = queryClaimed(ctx, d.sqlR, q, append(slices.Clone(args), now, 1)...); err != nil || len(got) == 0 {
		return nil, err
	}
	err = d.write(ctx, func(t *Tx) error {
		if got, err = queryClaimed(ctx, t.sql, q, append(slices.Clone(args), now, limit)...); err != nil || len(got) == 0 {
			return err
		}
		args := []any{owner, now.Add(lease)}
		for _, c := range got {
			args = append(args, c.ID)
		}
		_, err = t.sql.ExecContext(ctx, "UPDATE batches SET owner = ?, lease_until = ?, generation = generation + 1 WHERE id IN ("+marks(len(got))+")", args...)
		return err
	})
	return got, err
}

// querier is what *sql.DB and *sql.Tx share.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

func queryClaimed(ctx context.Context, db querier, q string, args ...any) (got []claimed, err error) {
	rows, err := db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		c, err := scanClaimed(rows)
		if err != nil {
			return nil, err
		}
		got = append(got, c)
	}
	return got, rows.Err()
}

func scanClaimed(row interface{ Scan(...any) error }) (claimed, error) {
	c := claimed{Batch: &Batch{}}
	err := row.Scan(&c.ID, &c.Generation, &c.CredentialID, &c.DueAt, &c.payload)
	c.DueAt = c.DueAt.UTC()
	return c, err
}

// marks returns n question marks for an IN list.
func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?,", n), ",")
}

// idArgs returns the arguments before and the ids, for an IN list of marks.
func idArgs(ids []int64, before ...any) []any {
	args := slices.Clone(before)
	for _, id := range ids {
		args = append(args, id)
	}
	return args
}

// RenewLeases makes owner's leases last lease from now and returns the ids it
// still holds; the others were taken over and must be dropped.
func (d *DB) RenewLeases(ctx context.Context, owner string, ids []int64, lease time.Duration) (held []int64, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if d.Dialect == Postgres {
		// A renewal that lost a race is tried again at once: the lease runs meanwhile.
		for try := 0; ; try++ {
			if held, err = d.renewPostgres(ctx, owner, ids, lease); err == nil || try == writeRetries || !lostRace(err) {
				break
			}
		}
	} else {
		err = d.write(ctx, func(t *Tx) error {
			return t.Raw("UPDATE batches SET lease_until = ? WHERE owner = ? AND id IN ("+marks(len(ids))+") RETURNING id",
				idArgs(ids, d.Now().Add(lease), owner)...).Scan(&held).Error
		})
	}
	if err != nil {
		return nil, fmt.Errorf("models: renew leases: %w", err)
	}
	return held, nil
}

// lockInOrder ends a query of the batches that a statement changes. Statements that
// wait for each other's rows lock them in one order, by id, so that none of them is
// the victim of a deadlock; a claim locks in another order and waits for nobody.
func (d *DB) lockInOrder() string { return " ORDER BY id" + d.forUpdate() }

// forUpdate is what a query has at its end that locks its rows.
func (d *DB) forUpdate() string {
	if d.Dialect == Postgres {
		return " FOR UPDATE"
	}
	return "" // one writer
}

// renewPostgres locks the rows in order of id, as lockInOrder does.
func (d *DB) renewPostgres(ctx context.Context, owner string, ids []int64, lease time.Duration) ([]int64, error) {
	rows, err := d.pool.Query(ctx, `UPDATE batches SET lease_until = clock_timestamp() + $3::bigint * interval '1 microsecond'
		FROM (SELECT id FROM batches WHERE id = ANY($2) AND owner = $1 ORDER BY id FOR UPDATE) l
		WHERE batches.id = l.id RETURNING batches.id`, owner, ids, lease.Microseconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// ReleaseBatches hands batches of owner back at shutdown. Each keeps its due
// time, so a fresh one is taken up by the next sweep of any process and a retry
// waits its turn.
func (d *DB) ReleaseBatches(ctx context.Context, owner string, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	err := d.write(ctx, func(t *Tx) error {
		return t.Exec("UPDATE batches SET owner = '', lease_until = NULL FROM (SELECT id FROM batches WHERE owner = ? AND id IN ("+
			marks(len(ids))+")"+d.lockInOrder()+") l WHERE batches.id = l.id", idArgs(ids, owner)...).Error
	})
	if err != nil {
		return fmt.Errorf("models: release batches: %w", err)
	}
	return nil
}

// FreeLeases frees every lease. Only for SQLite at start, where no other process
// can hold one.
func (d *DB) FreeLeases(ctx context.Context) error {
	err := d.write(ctx, func(t *Tx) error {
		return t.Exec("UPDATE batches SET owner = '', lease_until = NULL WHERE owner <> ''").Error
	})
	if err != nil {
		return fmt.Errorf("models: free leases: %w", err)
	}
	return nil
}
