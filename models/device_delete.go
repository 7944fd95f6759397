package models

import (
	"context"
	"fmt"
	"slices"
)

// purgeChunk is how many rows one small step of deleting takes, so that
// acceptance never waits long for it.
const purgeChunk = 500

// DeleteUserData removes a device account of the app, under every account type,
// with everything of it (删除用户数据): the records of its messages, their
// content, deliveries and attempts, its bindings, the devices that no other account
// is bound to with their topics and endpoints, and what IM servers told about it. It
// works in small steps and may be repeated after a
// failure. What is still waiting to be sent finds no device and ends at its next
// turn. The latest requests of the IM app go too, because they name users. It returns how many messages and devices are gone.
func (s *Store) DeleteUserData(ctx context.Context, app AppScope, account string) (messages, devices int, err error) {
	account = storable(account)
	d := app.db
	// First, while it is known which tokens are his.
	if err := s.forgetIMUser(ctx, app, account); err != nil {
		return 0, 0, fmt.Errorf("models: delete user data: im: %w", err)
	}
	err = d.write(ctx, func(t *Tx) error {
		var err error
		devices, err = t.deleteAccountDevices(app.appID, account)
		return err
	})
	for n := purgeChunk; err == nil && n == purgeChunk; {
		err = d.write(ctx, func(t *Tx) error {
			var ids []string
			err := t.Raw("SELECT id FROM messages WHERE app_id = ? AND account = ? ORDER BY id LIMIT ?", app.appID, account, purgeChunk).Scan(&ids).Error
			if err != nil {
				return err
			}
			n = len(ids)
			return t.deleteMessages(app.appID, ids)
		})
		if err == nil {
			messages += n
		}
	}
	if err == nil {
		err = s.forgetArrivals(ctx, app)
	}
	if err != nil {
		return messages, devices, fmt.Errorf("models: delete user data: %w", err)
	}
	return messages, devices, nil
}

// deleteAccountDevices unbinds an account and deletes the devices that were its
// alone.
func (t *Tx) deleteAccountDevices(appID int64, account string) (int, error) {
	var ids []int64
	err := t.Raw("DELETE FROM device_accounts WHERE app_id = ? AND account = ? RETURNING device_id", appID, account).Scan(&ids).Error
	if err != nil {
		return 0, err
	}
	n := 0
	for part := range slices.Chunk(ids, liteKeys) { // one account may be of very many, as guests are
		var alone []int64
		err = t.Raw("SELECT id FROM devices WHERE id IN ? AND NOT EXISTS (SELECT 1 FROM device_accounts WHERE device_id = devices.id)", part).Scan(&alone).Error
		if err != nil {
			return 0, err
		}
		if len(alone) == 0 {
			continue
		}
		if err := t.deleteDevices(alone); err != nil {
			return 0, err
		}
		n += len(alone)
	}
	return n, nil
}

// deleteDevices deletes devices with what hangs on them; deliveries stay, as part
// of their messages' records.
func (t *Tx) deleteDevices(ids []int64) error {
	for _, q := range []string{
		"DELETE FROM meta WHERE key IN (SELECT 'sandbox:' || app_id || ':phone:' || token FROM devices WHERE id IN ?)",
		"DELETE FROM routes WHERE device_id IN ?",
		"DELETE FROM device_accounts WHERE device_id IN ?",
		"DELETE FROM device_topics WHERE device_id IN ?",
		"DELETE FROM device_endpoints WHERE device_id IN ?",
		"DELETE FROM sandbox_pushes WHERE device_id IN ?",
		"DELETE FROM devices WHERE id IN ?",
	} {
		if err := t.Exec(q, ids).Error; err != nil {
			return err
		}
	}
	return nil
}

// deleteMessages deletes the records of messages with everything of them.
func (t *Tx) deleteMessages(appID int64, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, table := range []string{"attempts", "deliveries", "early_receipts", "vendor_notes", "message_contents"} {
		if err := t.Exec("DELETE FROM "+table+" WHERE message_id IN ?", ids).Error; err != nil {
			return err
		}
	}
	return t.Exec("DELETE FROM messages WHERE app_id = ? AND id IN ?", appID, ids).Error
}
