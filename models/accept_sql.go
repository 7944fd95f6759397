package models

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// The statements of acceptance, written twice: Postgres takes a whole group as
// arrays in one statement, SQLite is fastest with one prepared row at a time.
const (
	liteInsertDedupe  = `INSERT INTO dedupe (key, message_id, hour) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	liteSelectDedupe  = `SELECT message_id FROM dedupe WHERE key = ?`
	liteInsertMessage = `INSERT INTO messages (id, app_id, im_app_id, plan_id, source, source_id, kind, account, account_type,
		sender, conversation, sandbox, accepted_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	liteInsertContent = `INSERT INTO message_contents (message_id, app_id, content, expires_at) VALUES (?, ?, ?, ?)`

	pgInsertDedupe = `INSERT INTO dedupe (key, message_id, hour)
		SELECT k, m, $3 FROM unnest($1::bytea[], $2::uuid[]) u(k, m) ON CONFLICT DO NOTHING RETURNING key`
	pgSelectDedupe  = `SELECT key, message_id FROM dedupe WHERE key = ANY($1)`
	pgInsertMessage = `INSERT INTO messages (id, app_id, im_app_id, plan_id, source, source_id, kind, account, account_type,
		sender, conversation, sandbox, accepted_at, expires_at)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
		$9::int[], $10::text[], $11::text[], $12::boolean[], $13::timestamptz[], $14::timestamptz[])`
	pgInsertContent = `INSERT INTO message_contents (message_id, app_id, content, expires_at)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::timestamptz[])`
)

// insertDedupe enters the keys of rows, which are distinct and sorted, and marks
// those that were there already as duplicates under their first id.
func (t *Tx) insertDedupe(ctx context.Context, rows []*acceptRow, hour int64) error {
	if t.pgx != nil {
		return t.insertDedupePostgres(ctx, rows, hour)
	}
	insert, first := t.lite(ctx, liteInsertDedupe), t.lite(ctx, liteSelectDedupe)
	for _, r := range rows {
		entered, err := one(ctx, insert, r.key[:], r.item.Message.ID, hour)
		if err != nil {
			return err
		}
		if entered {
			continue
		}
		r.dup = true
		if err := first.QueryRowContext(ctx, r.key[:]).Scan(&r.item.Message.ID); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) insertDedupePostgres(ctx context.Context, rows []*acceptRow, hour int64) error {
	missing := make(map[dedupeKey]*acceptRow, len(rows))
	for _, r := range rows {
		missing[r.key] = r
	}
	// Old keys are swept beside us: a key that was there for the insert may be gone
	// for the select, and is then entered in the next round.
	for len(missing) > 0 {
		keys, ids := make([][]byte, 0, len(rows)), make([]pgtype.UUID, 0, len(rows))
		for _, r := range rows {
			if missing[r.key] != nil {
				keys, ids = append(keys, r.key[:]), append(ids, pgID(uuid.MustParse(r.item.Message.ID)))
			}
		}
		inserted, err := t.pgx.Query(ctx, pgInsertDedupe, keys, ids, hour)
		if err != nil {
			return err
		}
		var key []byte
		if _, err := pgx.ForEachRow(inserted, []any{&key}, func() error {
			delete(missing, dedupeKey(key))
			return nil
		}); err != nil {
			return err
		}
		if len(missing) == 0 {
			return nil
		}
		if err := t.firstIDs(ctx, missing); err != nil {
			return err
		}
	}
	return nil
}

// firstIDs finds the first ids of duplicates and removes them from missing.
func (t *Tx) firstIDs(ctx context.Context, missing map[dedupeKey]*acceptRow) error {
	keys := make([][]byte, 0, len(missing))
	for k := range missing {
		keys = append(keys, k[:])
	}
	old, err := t.pgx.Query(ctx, pgSelectDedupe, keys)
	if err != nil {
		return err
	}
	var key []byte
	var id uuid.UUID
	_, err = pgx.ForEachRow(old, []any{&key, &id}, func() error {
		k := dedupeKey(key)
		missing[k].dup, missing[k].item.Message.ID = true, id.String()
		delete(missing, k)
		return nil
	})
	return err
}

// insertMessages writes the records of new messages.
func (t *Tx) insertMessages(ctx context.Context, rows []*acceptRow) error {
	if t.pgx != nil {
		return t.insertMessagesPostgres(ctx, rows)
	}
	st := t.lite(ctx, liteInsertMessage)
	for _, r := range rows {
		m := &r.item.Message
		if _, err := st.ExecContext(ctx, m.ID, m.AppID, m.IMAppID, m.PlanID, m.Source, m.SourceID, m.Kind, m.Account, m.AccountType,
			m.Sender, m.Conversation, m.Sandbox, m.AcceptedAt, m.ExpiresAt); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) insertMessagesPostgres(ctx context.Context, rows []*acceptRow) error {
	n := len(rows)
	ids, apps, ims, plans := make([]pgtype.UUID, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sources, sourceIDs, kinds, accounts := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	types, senders, convs, sandbox := make([]int, n), make([]string, n), make([]string, n), make([]bool, n)
	at, expires := make([]time.Time, n), make([]time.Time, n)
	for i, r := range rows {
		m := &r.item.Message
		ids[i], apps[i], ims[i], plans[i] = pgID(uuid.MustParse(m.ID)), m.AppID, m.IMAppID, m.PlanID
		sources[i], sourceIDs[i], kinds[i], accounts[i] = m.Source, m.SourceID, m.Kind, m.Account
		types[i], senders[i], convs[i], sandbox[i] = m.AccountType, m.Sender, m.Conversation, m.Sandbox
		at[i], expires[i] = m.AcceptedAt, m.ExpiresAt
	}
	_, err := t.pgx.Exec(ctx, pgInsertMessage, ids, apps, ims, plans, sources, sourceIDs, kinds, accounts, types, senders, convs, sandbox, at, expires)
	return err
}

// keptContent is what a message said, sealed, for an account with 内容保留.
type keptContent struct {
	id      string
	appID   int64
	sealed  []byte
	expires time.Time
}

func (t *Tx) insertContents(ctx context.Context, kept []keptContent) error {
	if t.pgx == nil {
		st := t.lite(ctx, liteInsertContent)
		for _, k := range kept {
			if _, err := st.ExecContext(ctx, k.id, k.appID, k.sealed, k.expires); err != nil {
				return err
			}
		}
		return nil
	}
	n := len(kept)
	ids, apps, contents, expires := make([]pgtype.UUID, n), make([]int64, n), make([][]byte, n), make([]time.Time, n)
	for i, k := range kept {
		ids[i], apps[i], contents[i], expires[i] = pgID(uuid.MustParse(k.id)), k.appID, k.sealed, k.expires
	}
	_, err := t.pgx.Exec(ctx, pgInsertContent, ids, apps, contents, expires)
	return err
}

// addIngestStats adds counts to the IM apps' hourly statistics and notes when
// each was last called. It runs once a second, so GORM will do.
func (t *Tx) addIngestStats(n map[ingestCount]int64, last map[int64]ingestLast) error {
	for _, k := range sortedKeys(n, compareIngestCount) {
		err := t.Exec(`INSERT INTO im_app_stats (im_app_id, hour, outcome, n) VALUES (?, ?, ?, ?)
			ON CONFLICT (im_app_id, hour, outcome) DO UPDATE SET n = im_app_stats.n + excluded.n`, k.imAppID, k.hour, k.outcome, n[k]).Error
		if err != nil {
			return err
		}
	}
	for _, id := range sortedKeys(last, compareInt64) {
		err := t.Exec("UPDATE im_apps SET last_request_at = ?, last_outcome = ? WHERE id = ?", last[id].at, last[id].outcome, id).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// one runs a prepared statement that must change at most one row and reports
// whether it did.
func one(ctx context.Context, st *sql.Stmt, args ...any) (bool, error) {
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// pgID is an id as pgx encodes it fastest: other kinds of UUID go through their
// text.
func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }
