package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// DeviceInfo is everything known about a device.
type DeviceInfo struct {
	Device   Device
	Routes   []Route // living first, newest first
	Accounts []DeviceAccount
}

// maxFound is the most devices one search returns.
const maxFound = 100

// FindDevices is the 排查工具: devices of the app by device account, by device
// token or by vendor token, whichever matches, at most 100, newest first.
func (s *Store) FindDevices(ctx context.Context, app AppScope, query string) ([]DeviceInfo, error) {
	query = strings.TrimSpace(storable(query))
	if query == "" || len(query) > MaxVendorTokenBytes {
		return nil, nil
	}
	hashes := make([][]byte, 0, 2)
	for _, q := range []string{query, strings.ToLower(query)} {
		sum := sha256.Sum256([]byte(q))
		hashes = append(hashes, sum[:])
	}
	var ids []int64
	err := app.db.read(ctx).Raw(`SELECT device_id FROM device_accounts WHERE app_id = ? AND account = ?
		UNION SELECT id FROM devices WHERE app_id = ? AND token = ?
		UNION SELECT device_id FROM routes WHERE app_id = ? AND token_hash IN ?
		ORDER BY 1 DESC LIMIT ?`, app.appID, query, app.appID, query, app.appID, hashes, maxFound).Scan(&ids).Error
	if err != nil {
		return nil, fmt.Errorf("models: find devices: %w", err)
	}
	return deviceInfos(ctx, app, ids)
}

// DeviceByID returns everything about one device of the app. NotFound otherwise.
func (s *Store) DeviceByID(ctx context.Context, app AppScope, id int64) (*DeviceInfo, error) {
	infos, err := deviceInfos(ctx, app, []int64{id})
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 {
		return nil, notFound("device")
	}
	return &infos[0], nil
}

// AccountDevices returns the devices an account is bound to, living ones first,
// then newest bound first.
func (s *Store) AccountDevices(ctx context.Context, app AppScope, accountType int, account string) ([]DeviceInfo, error) {
	var ids []int64
	err := app.db.read(ctx).Raw(`SELECT a.device_id FROM device_accounts a JOIN devices d ON d.id = a.device_id
		WHERE a.app_id = ? AND a.account = ? AND a.account_type = ?
		ORDER BY CASE WHEN d.retired_at IS NULL THEN 0 ELSE 1 END, a.bound_at DESC, a.device_id DESC LIMIT ?`,
		app.appID, storable(account), accountType, maxFound).Scan(&ids).Error
	if err != nil {
		return nil, fmt.Errorf("models: account devices: %w", err)
	}
	return deviceInfos(ctx, app, ids)
}

// VirtualDevices returns the living virtual phones of the app, newest first.
func (s *Store) VirtualDevices(ctx context.Context, app AppScope) ([]DeviceInfo, error) {
	var ids []int64
	err := app.db.read(ctx).Raw(`SELECT id FROM devices WHERE app_id = ? AND is_virtual AND retired_at IS NULL ORDER BY id DESC LIMIT ?`,
		app.appID, maxFound).Scan(&ids).Error
	if err != nil {
		return nil, fmt.Errorf("models: virtual devices: %w", err)
	}
	return deviceInfos(ctx, app, ids)
}

// NewestDevices returns the app's living devices that registered last, newest first.
func (s *Store) NewestDevices(ctx context.Context, app AppScope, limit int) ([]DeviceInfo, error) {
	var ids []int64
	err := app.db.read(ctx).Raw(`SELECT id FROM devices WHERE app_id = ? AND retired_at IS NULL ORDER BY id DESC LIMIT ?`,
		app.appID, min(limit, maxFound)).Scan(&ids).Error
	if err != nil {
		return nil, fmt.Errorf("models: newest devices: %w", err)
	}
	return deviceInfos(ctx, app, ids)
}

// CountDevices returns how many living devices the app has, counting to limit at
// most; 快速开始 asks for the first one.
func (s *Store) CountDevices(ctx context.Context, app AppScope, limit int) (n int, err error) {
	err = app.db.read(ctx).Raw(`SELECT COUNT(*) FROM (SELECT 1 FROM devices WHERE app_id = ? AND retired_at IS NULL LIMIT ?) d`, app.appID, limit).Scan(&n).Error
	if err != nil {
		return 0, fmt.Errorf("models: count devices: %w", err)
	}
	return n, nil
}

// deviceInfos loads devices of the app in the order of ids.
func deviceInfos(ctx context.Context, app AppScope, ids []int64) ([]DeviceInfo, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	g := app.db.read(ctx)
	var devices []Device
	var routes []Route
	var accounts []DeviceAccount
	err := g.Find(&devices, "app_id = ? AND id IN ?", app.appID, ids).Error
	if err == nil {
		err = g.Order("CASE WHEN retired_at IS NULL THEN 0 ELSE 1 END, registered_at DESC, id DESC").
			Find(&routes, "app_id = ? AND device_id IN ?", app.appID, ids).Error
	}
	if err == nil {
		err = g.Order("account_type").Find(&accounts, "app_id = ? AND device_id IN ?", app.appID, ids).Error
	}
	if err != nil {
		return nil, fmt.Errorf("models: devices: %w", err)
	}
	out := make([]DeviceInfo, len(devices))
	at := make(map[int64]*DeviceInfo, len(devices))
	slices.SortFunc(devices, func(a, b Device) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	for i, d := range devices {
		d.SecretHash = nil
		out[i].Device = d
		at[d.ID] = &out[i]
	}
	for _, r := range routes {
		if d := at[r.DeviceID]; d != nil {
			d.Routes = append(d.Routes, r)
		}
	}
	for _, a := range accounts {
		if d := at[a.DeviceID]; d != nil {
			d.Accounts = append(d.Accounts, a)
		}
	}
	return out, nil
}

// DevicesByID returns the app's devices among ids, for lists that name them.
func (s *Store) DevicesByID(ctx context.Context, app AppScope, ids []int64) (map[int64]Device, error) {
	out := make(map[int64]Device, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var devices []Device
	if err := app.db.read(ctx).Find(&devices, "app_id = ? AND id IN ?", app.appID, ids).Error; err != nil {
		return nil, fmt.Errorf("models: devices by id: %w", err)
	}
	for _, d := range devices {
		out[d.ID] = d
	}
	return out, nil
}
