package models

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm/clause"
)

// canaryKey is the meta row that proves the secret key; canaryPlace binds its
// sealed value to that row.
const (
	canaryKey   = "canary"
	canaryPlace = "meta.value:canary"
	canaryText  = "hongyan"
)

// metaRow is a row of meta.
type metaRow struct {
	Key       string `gorm:"primaryKey"`
	Value     []byte
	UpdatedAt time.Time
}

// TableName is GORM's hook.
func (metaRow) TableName() string { return "meta" }

// CheckKey proves that the secret key opens what every database was sealed with,
// and seals the proof on a database's first start. It fails with Forbidden when the
// key is another one.
func (s *Store) CheckKey(ctx context.Context) error {
	for _, d := range s.unique {
		if err := d.checkKey(ctx, s.keys); err != nil {
			return err
		}
	}
	return nil
}

// TryKey does what CheckKey does without writing: a database that has no proof yet
// passes.
func (s *Store) TryKey(ctx context.Context) error {
	for _, d := range s.unique {
		var rows []metaRow
		if err := d.read(ctx).Where("key = ?", canaryKey).Limit(1).Find(&rows).Error; err != nil {
			return fmt.Errorf("models: try key: %w", err)
		}
		for _, row := range rows {
			if err := s.keys.openCanary(row.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// openCanary opens a sealed proof; it fails with Forbidden when the key is another.
func (k *Keyring) openCanary(sealed []byte) error {
	if _, err := k.Open(sealed, canaryPlace); err != nil {
		return &Error{Kind: Forbidden, Key: "secret_key", Err: fmt.Errorf("SECRET_KEY is not the key that this database was sealed with: %w", err)}
	}
	return nil
}

func (d *DB) checkKey(ctx context.Context, keys *Keyring) error {
	sealed, err := keys.Seal([]byte(canaryText), canaryPlace)
	if err != nil {
		return err
	}
	var row metaRow
	err = d.write(ctx, func(tx *Tx) error {
		// Of several processes that boot at once, one row wins; all must open it.
		first := metaRow{Key: canaryKey, Value: sealed, UpdatedAt: tx.now()}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&first).Error; err != nil {
			return err
		}
		return tx.Where("key = ?", canaryKey).Take(&row).Error
	})
	if err != nil {
		return fmt.Errorf("models: check key: %w", err)
	}
	return keys.openCanary(row.Value)
}
