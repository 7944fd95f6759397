package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AccountKey is one end user of one app.
type AccountKey struct {
	AppID   int64
	Type    int
	Account string
}

// Reach is one device that a message can go to, with its living routes. It is
// read for every message, so only what sending needs is filled in: of the device
// its id, app, platform, notification switch, badge with its revision and
// retirement, of a route all but the times and the hash.
type Reach struct {
	Device Device
	Routes []Route
}

const (
	reachDevice = `d.id, d.app_id, d.platform, d.notify, d.badge, d.badge_revision, d.retired_at`
	reachRoute  = `COALESCE(r.id, 0), COALESCE(r.channel, ''), COALESCE(r.environment, ''), COALESCE(r.package_name, ''), COALESCE(r.token, '')`
	reachJoin   = ` LEFT JOIN routes r ON r.device_id = d.id AND r.retired_at IS NULL`
	// Newest bound first; the rows of one account and device together, its newest
	// route first. A device has one account of a type.
	reachOrder = ` ORDER BY a.bound_at DESC, a.device_id DESC, a.account_type, r.registered_at DESC, r.id DESC`

	pgReachAccounts = `SELECT a.app_id, a.account_type, a.account, ` + reachDevice + `, ` + reachRoute + `
		FROM unnest($1::bigint[], $2::int[], $3::text[]) k(app_id, account_type, account)
		JOIN device_accounts a ON a.app_id = k.app_id AND a.account = k.account AND a.account_type = k.account_type
		JOIN devices d ON d.id = a.device_id AND d.retired_at IS NULL` + reachJoin + reachOrder
	// CROSS JOIN keeps SQLite from reordering: keys first, then indexes.
	liteReachAccounts = `SELECT a.app_id, a.account_type, a.account, ` + reachDevice + `, ` + reachRoute + `
		FROM (VALUES %s) k CROSS JOIN device_accounts a ON a.app_id = k.column1 AND a.account = k.column3 AND a.account_type = k.column2
		CROSS JOIN devices d ON d.id = a.device_id AND d.retired_at IS NULL` + reachJoin + reachOrder

	reachDevices = `SELECT 0, 0, '', ` + reachDevice + `, ` + reachRoute + `
		FROM devices d` + reachJoin + ` WHERE d.id IN (%s) ORDER BY d.id, r.registered_at DESC, r.id DESC`
	pgReachDevices = `SELECT 0, 0, '', ` + reachDevice + `, ` + reachRoute + `
		FROM devices d` + reachJoin + ` WHERE d.id = ANY($1) ORDER BY d.id, r.registered_at DESC, r.id DESC`
)

// liteKeys is how many keys one statement takes: SQLite binds 32766 values to one and
// Postgres 65535.
const liteKeys = MaxBatch

// ReachAccounts returns the living devices of each account, newest bound first,
// with their living routes. Accounts without a device are absent.
func (d *DB) ReachAccounts(ctx context.Context, keys []AccountKey) (map[AccountKey][]Reach, error) {
	out := make(map[AccountKey][]Reach, len(keys))
	add := func(k AccountKey, r Reach) { out[k] = append(out[k], r) }
	seen := make(map[AccountKey]bool, len(keys))
	unique := make([]AccountKey, 0, len(keys))
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			unique = append(unique, k)
		}
	}
	var err error
	for len(unique) > 0 && err == nil {
		part := unique[:min(len(unique), liteKeys)]
		unique = unique[len(part):]
		if d.Dialect == Postgres {
			err = d.reach(ctx, add, pgReachAccounts, keyColumns(part)...)
		} else {
			args := make([]any, 0, 3*len(part))
			for _, k := range part {
				args = append(args, k.AppID, k.Type, k.Account)
			}
			values := strings.TrimSuffix(strings.Repeat("(?,?,?),", len(part)), ",")
			err = d.reach(ctx, add, fmt.Sprintf(liteReachAccounts, values), args...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("models: reach accounts: %w", err)
	}
	return out, nil
}

func keyColumns(keys []AccountKey) []any {
	n := len(keys)
	apps, types, accounts := make([]int64, n), make([]int, n), make([]string, n)
	for i, k := range keys {
		apps[i], types[i], accounts[i] = k.AppID, k.Type, k.Account
	}
	return []any{apps, types, accounts}
}

// ReachDevices returns devices by id with their living routes, retired devices
// with none. Devices that do not exist are absent.
func (d *DB) ReachDevices(ctx context.Context, ids []int64) (map[int64]Reach, error) {
	out := make(map[int64]Reach, len(ids))
	add := func(_ AccountKey, r Reach) { out[r.Device.ID] = r }
	for part := range slices.Chunk(ids, liteKeys) {
		var err error
		if d.Dialect == Postgres {
			err = d.reach(ctx, add, pgReachDevices, part)
		} else {
			err = d.reach(ctx, add, fmt.Sprintf(reachDevices, marks(len(part))), idArgs(part)...)
		}
		if err != nil {
			return nil, fmt.Errorf("models: reach devices: %w", err)
		}
	}
	return out, nil
}

// reach runs a query whose rows are (key, device, route or nulls), a device's
// rows together, and calls add for each device.
func (d *DB) reach(ctx context.Context, add func(AccountKey, Reach), q string, args ...any) error {
	rows, closeRows, err := d.queryRows(ctx, q, args...)
	if err != nil {
		return err
	}
	var key AccountKey
	var cur *Reach
	for rows.Next() {
		k, r, route, err := scanReach(rows)
		if err != nil {
			return errors.Join(err, closeRows())
		}
		if cur == nil || k != key || r.Device.ID != cur.Device.ID {
			if cur != nil {
				add(key, *cur)
			}
			key, cur = k, &r
		}
		if route.ID != 0 {
			cur.Routes = append(cur.Routes, route)
		}
	}
	if cur != nil {
		add(key, *cur)
	}
	return errors.Join(rows.Err(), closeRows())
}

// rowScanner is what pgx.Rows and *sql.Rows share.
type rowScanner interface {
	Next() bool
	Scan(...any) error
	Err() error
}

// queryRows reads outside a transaction on either engine, without GORM.
func (d *DB) queryRows(ctx context.Context, q string, args ...any) (rowScanner, func() error, error) {
	if d.Dialect == Postgres {
		rows, err := d.pool.Query(ctx, q, args...)
		if err != nil {
			return nil, nil, err
		}
		return rows, func() error { rows.Close(); return nil }, nil
	}
	rows, err := d.sqlR.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, nil, err
	}
	return rows, rows.Close, nil
}

func scanReach(rows rowScanner) (k AccountKey, r Reach, route Route, err error) {
	d := &r.Device
	err = rows.Scan(&k.AppID, &k.Type, &k.Account, &d.ID, &d.AppID, &d.Platform, &d.Notify, &d.Badge, &d.BadgeRevision, &d.RetiredAt,
		&route.ID, &route.Channel, &route.Environment, &route.PackageName, &route.Token)
	route.AppID, route.DeviceID = d.AppID, d.ID
	return k, r, route, err
}

// FanOut chooses which of an account's devices get a message. reach is newest
// bound first, as ReachAccounts returns it; an unknown mode means all.
func FanOut(mode string, reach []Reach) []Reach {
	switch mode {
	case FanoutLatest:
		return reach[:min(len(reach), 1)]
	case FanoutPerPlatform:
		seen := map[string]bool{}
		var out []Reach
		for _, r := range reach {
			if !seen[r.Device.Platform] {
				seen[r.Device.Platform] = true
				out = append(out, r)
			}
		}
		return out
	}
	return reach
}
