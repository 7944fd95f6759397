package models

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// PurgeStep removes one small part of a deleted app's data-plane rows and reports
// whether nothing is left, in which case the app is marked as purged. It may be
// called again at any time. Conflict when the app is not deleted; NotFound when
// there is no such app.
func (s *Store) PurgeStep(ctx context.Context, appID int64) (done bool, err error) {
	var app struct {
		Region string
		Gone   bool
		Purged bool
	}
	err = s.read(ctx).Raw("SELECT region, deleted_at IS NOT NULL AS gone, purged_at IS NOT NULL AS purged FROM apps WHERE id = ?", appID).Take(&app).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return false, notFound("app")
	case err != nil:
		return false, fmt.Errorf("models: purge: %w", err)
	case !app.Gone:
		return false, conflict("app_not_deleted", nil)
	case app.Purged:
		return true, nil
	}
	d, err := s.region(app.Region)
	if err != nil {
		return false, err
	}
	for _, step := range purgeSteps() {
		n := 0
		err := d.write(ctx, func(t *Tx) error {
			var err error
			n, err = step(t, appID)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("models: purge: %w", err)
		}
		if n > 0 {
			return false, nil
		}
	}
	err = s.write(ctx, func(t *Tx) error {
		return t.Exec("UPDATE apps SET purged_at = ? WHERE id = ? AND deleted_at IS NOT NULL", t.now(), appID).Error
	})
	if err != nil {
		return false, fmt.Errorf("models: purge: %w", err)
	}
	return true, nil
}

// purgeSteps are the small steps, each of which returns how many rows it found.
// Open work goes first, so that it does not write what later steps delete.
func purgeSteps() []func(*Tx, int64) (int, error) {
	return []func(*Tx, int64) (int, error){
		func(t *Tx, app int64) (int, error) {
			return t.purgeRows(`DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE app_id = ? LIMIT ?)`, app)
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

// PurgeApps is the upkeep that removes the data of deleted apps whose region has
// its data in d, until nothing is left or ctx ends; the next run goes on. It
// finds them by itself, so that no job for it can be lost.
func (s *Store) PurgeApps(ctx context.Context, d *DB) error {
	var apps []struct {
		ID     int64
		Region string
	}
	err := s.read(ctx).Raw("SELECT id, region FROM apps WHERE deleted_at IS NOT NULL AND purged_at IS NULL ORDER BY id").Scan(&apps).Error
	if err != nil {
		return fmt.Errorf("models: purge: %w", err)
	}
	for _, a := range apps {
		if s.byRegion[a.Region] != d {
			continue
		}
		for done := false; !done; {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("models: purge: %w", err)
			}
			if done, err = s.PurgeStep(ctx, a.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// ResumeRepaired is the upkeep that resumes batches of d whose credential is not
// paused any more, or is gone: a batch may be recorded as paused in the moment
// its credential is repaired.
func (s *Store) ResumeRepaired(ctx context.Context, d *DB) error {
	ids, err := d.PausedCredentials(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	var paused []int64
	err = s.read(ctx).Raw("SELECT id FROM credentials WHERE id IN ? AND paused_at IS NOT NULL", ids).Scan(&paused).Error
	if err != nil {
		return fmt.Errorf("models: resume repaired: %w", err)
	}
	still := map[int64]bool{}
	for _, id := range paused {
		still[id] = true
	}
	for _, id := range ids {
		if still[id] {
			continue
		}
		if _, err := d.ResumeBatches(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
