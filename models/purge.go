package models

import (
	"context"
	"fmt"
	"time"
)

// purgeAfter is how long an app has been deleted before its data goes: every
// process has seen the deletion then, and what was under way is recorded.
const purgeAfter = time.Minute

// purgeApps is how many deleted apps are looked at in one run.
const purgeApps = 100

// PurgeApps is the upkeep that removes the data of deleted apps which d holds,
// in small steps between which others write, until nothing is left or ctx ends;
// the next run goes on. It finds the apps by itself, so that no job for one can be
// lost.
func (s *Store) PurgeApps(ctx context.Context, d *DB) error {
	apps, err := s.DeletedApps(ctx, d, purgeApps)
	if err != nil {
		return err
	}
	for _, a := range apps {
		if s.Now().Sub(a.DeletedAt) < purgeAfter {
			continue
		}
		for more := true; more; {
			if more, err = d.purgeStep(ctx, a.Scope.appID); err != nil {
				return fmt.Errorf("models: purge: %w", err)
			}
		}
		if err := s.AppPurged(ctx, a.Scope); err != nil && KindOf(err) != Conflict { // another process was as fast
			return err
		}
	}
	return nil
}

// purgeStep removes one small part of an app's rows and reports whether there
// may be more.
func (d *DB) purgeStep(ctx context.Context, appID int64) (more bool, err error) {
	for _, step := range purgeSteps() {
		n := 0
		err := d.write(ctx, func(t *Tx) error {
			var err error
			n, err = step(t, appID)
			return err
		})
		if err != nil || n > 0 {
			return true, err
		}
	}
	return false, nil
}

// purgeSteps are the small steps, each of which returns how many rows it found.
// Open work goes first, so that it does not write what later steps delete.
func purgeSteps() []func(*Tx, int64) (int, error) {
	return []func(*Tx, int64) (int, error){
		func(t *Tx, app int64) (int, error) {
			return t.purgeRows(`DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE app_id = ? ORDER BY id LIMIT ?`+t.db.forUpdate()+`)`, app)
		},
		(*Tx).purgeMessages,
		(*Tx).purgeDevices,
		func(t *Tx, app int64) (int, error) {
			return t.purgeRows(`DELETE FROM sandbox_pushes WHERE id IN (SELECT id FROM sandbox_pushes WHERE app_id = ? LIMIT ?)`, app)
		},
		func(t *Tx, app int64) (int, error) {
			return t.purgeRows(`DELETE FROM counters WHERE (app_id, plan_id, hour) IN (SELECT app_id, plan_id, hour FROM counters WHERE app_id = ? LIMIT ?)`, app)
		},
	}
}

func (t *Tx) purgeRows(q string, appID int64) (int, error) {
	r := t.Exec(q, appID, purgeChunk)
	return int(r.RowsAffected), r.Error
}

func (t *Tx) purgeMessages(appID int64) (int, error) {
	var ids []string
	err := t.Raw("SELECT id FROM messages WHERE app_id = ? ORDER BY id LIMIT ?", appID, purgeChunk).Scan(&ids).Error
	if err != nil {
		return 0, err
	}
	return len(ids), t.deleteMessages(appID, ids)
}

func (t *Tx) purgeDevices(appID int64) (int, error) {
	var ids []int64
	err := t.Raw("SELECT id FROM devices WHERE app_id = ? ORDER BY id LIMIT ?", appID, purgeChunk).Scan(&ids).Error
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return len(ids), t.deleteDevices(ids)
}
