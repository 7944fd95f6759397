package models

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const deliveryColumns = `message_id, device_id, app_id, plan_id, channel, credential_id, state, reason, code, detail, vendor_id, attempts, ms, resolved_at, at`

// deliveryGuard lets a delivery change only while it is pending: what is settled
// stays settled.
const deliveryGuard = ` ON CONFLICT (message_id, device_id) DO UPDATE SET channel = excluded.channel,
	credential_id = excluded.credential_id, state = excluded.state, reason = excluded.reason, code = excluded.code,
	detail = excluded.detail, vendor_id = excluded.vendor_id, attempts = excluded.attempts, ms = excluded.ms, at = excluded.at
	WHERE deliveries.state = 'pending'`

const (
	liteDeleteBatch    = `DELETE FROM batches WHERE id = ? AND generation = ? AND owner = ?`
	liteUpsertDelivery = `INSERT INTO deliveries (` + deliveryColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)` + deliveryGuard
	liteInsertAttempt  = `INSERT INTO attempts (message_id, device_id, n, app_id, channel, outcome, code, detail, ms, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	liteSetBadge = `UPDATE devices SET badge = ? WHERE id = ? AND badge_revision = ?`

	// In order of id, as lockInOrder does.
	pgDeleteBatches = `DELETE FROM batches USING (
			SELECT b.id FROM batches b JOIN unnest($1::bigint[], $2::int[]) u(id, generation) ON b.id = u.id AND b.generation = u.generation
			WHERE b.owner = $3 ORDER BY b.id FOR UPDATE OF b) l
		WHERE batches.id = l.id RETURNING batches.id`
	pgUpsertDeliveries = `INSERT INTO deliveries (` + deliveryColumns + `)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[],
		$9::text[], $10::text[], $11::text[], $12::int[], $13::int[], $14::timestamptz[], $15::timestamptz[])` + deliveryGuard
	pgInsertAttempts = `INSERT INTO attempts (message_id, device_id, n, app_id, channel, outcome, code, detail, ms, at)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[], $10::timestamptz[])
		ON CONFLICT DO NOTHING`
	// The rows are locked in order of id first: two processes may set the badges of
	// the same devices.
	pgSetBadges = `UPDATE devices SET badge = u.badge FROM unnest($1::bigint[], $2::int[], $3::bigint[]) u(id, badge, revision),
		(SELECT id, badge_revision FROM devices WHERE id = ANY($1) ORDER BY id FOR UPDATE) l
		WHERE devices.id = u.id AND l.id = u.id AND l.badge_revision = u.revision`
)

// deleteBatches ends the batches that owner still holds in the same generation
// and returns their ids.
func (t *Tx) deleteBatches(ctx context.Context, owner string, recs []Recording) (held map[int64]bool, err error) {
	held = make(map[int64]bool, len(recs))
	if t.pgx == nil {
		st := t.lite(ctx, liteDeleteBatch)
		for i := range recs {
			b := recs[i].Batch
			if held[b.ID], err = one(ctx, st, b.ID, b.Generation, owner); err != nil {
				return nil, err
			}
		}
		return held, nil
	}
	ids, generations := make([]int64, len(recs)), make([]int, len(recs))
	for i := range recs {
		ids[i], generations[i] = recs[i].Batch.ID, recs[i].Batch.Generation
	}
	rows, err := t.pgx.Query(ctx, pgDeleteBatches, ids, generations, owner)
	if err != nil {
		return nil, err
	}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { held[id] = true; return nil })
	return held, err
}

// detailRunes limits the vendor's words.
const detailRunes = 500

func (t *Tx) upsertDeliveries(ctx context.Context, ds []*Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	for _, d := range ds {
		// A vendor's words are anybody's words.
		d.Code, d.Detail, d.VendorID = firstRunes(d.Code, detailRunes), firstRunes(d.Detail, detailRunes), firstRunes(d.VendorID, detailRunes)
	}
	if t.pgx != nil {
		return t.upsertDeliveriesPostgres(ctx, ds)
	}
	st := t.lite(ctx, liteUpsertDelivery)
	for _, d := range ds {
		if _, err := st.ExecContext(ctx, d.MessageID, d.DeviceID, d.AppID, d.PlanID, d.Channel, d.CredentialID, d.State, d.Reason,
			d.Code, d.Detail, d.VendorID, d.Attempts, d.Ms, d.ResolvedAt.UTC(), d.At.UTC()); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) upsertDeliveriesPostgres(ctx context.Context, ds []*Delivery) error {
	n := len(ds)
	ids, devices, apps, plans, credentials := make([]pgtype.UUID, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	channels, states, reasons, codes := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	details, vendorIDs, attempts, ms := make([]string, n), make([]string, n), make([]int, n), make([]int, n)
	resolved, at := make([]time.Time, n), make([]time.Time, n)
	for i, d := range ds {
		id, err := uuid.Parse(d.MessageID)
		if err != nil {
			return err
		}
		ids[i], devices[i], apps[i], plans[i], credentials[i] = pgID(id), d.DeviceID, d.AppID, d.PlanID, d.CredentialID
		channels[i], states[i], reasons[i], codes[i] = d.Channel, d.State, d.Reason, d.Code
		details[i], vendorIDs[i], attempts[i], ms[i] = d.Detail, d.VendorID, d.Attempts, d.Ms
		resolved[i], at[i] = d.ResolvedAt, d.At
	}
	_, err := t.pgx.Exec(ctx, pgUpsertDeliveries, ids, devices, apps, plans, channels, credentials, states, reasons, codes, details, vendorIDs, attempts, ms, resolved, at)
	return err
}

func (t *Tx) insertAttempts(ctx context.Context, as []*Attempt) error {
	if len(as) == 0 {
		return nil
	}
	for _, a := range as {
		a.Code, a.Detail = firstRunes(a.Code, detailRunes), firstRunes(a.Detail, detailRunes)
	}
	if t.pgx == nil {
		st := t.lite(ctx, liteInsertAttempt)
		for _, a := range as {
			if _, err := st.ExecContext(ctx, a.MessageID, a.DeviceID, a.N, a.AppID, a.Channel, a.Outcome, a.Code, a.Detail, a.Ms, a.At.UTC()); err != nil {
				return err
			}
		}
		return nil
	}
	n := len(as)
	ids, devices, numbers, apps := make([]pgtype.UUID, n), make([]int64, n), make([]int, n), make([]int64, n)
	channels, outcomes, codes, details := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	ms, at := make([]int, n), make([]time.Time, n)
	for i, a := range as {
		id, err := uuid.Parse(a.MessageID)
		if err != nil {
			return err
		}
		ids[i], devices[i], numbers[i], apps[i] = pgID(id), a.DeviceID, a.N, a.AppID
		channels[i], outcomes[i], codes[i], details[i] = a.Channel, a.Outcome, a.Code, a.Detail
		ms[i], at[i] = a.Ms, a.At
	}
	_, err := t.pgx.Exec(ctx, pgInsertAttempts, ids, devices, numbers, apps, channels, outcomes, codes, details, ms, at)
	return err
}

func (t *Tx) setBadges(ctx context.Context, badges map[int64]Badge) error {
	if len(badges) == 0 {
		return nil
	}
	ids := sortedKeys(badges, cmp.Compare[int64])
	if t.pgx == nil {
		st := t.lite(ctx, liteSetBadge)
		for _, id := range ids {
			if _, err := st.ExecContext(ctx, badges[id].N, id, badges[id].Revision); err != nil {
				return err
			}
		}
		return nil
	}
	values, revisions := make([]int, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		values[i], revisions[i] = badges[id].N, badges[id].Revision
	}
	_, err := t.pgx.Exec(ctx, pgSetBadges, ids, values, revisions)
	return err
}
