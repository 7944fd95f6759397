package models

import (
	"context"
	"fmt"

	"gorm.io/gorm/clause"
)

// SandboxSecret returns what make made the first time that any process asked under
// this name: key material of the sandbox that cannot be derived. It is kept sealed in
// the control database, so that every process has the same.
func (s *Store) SandboxSecret(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	key := "sandbox:secret:" + name
	var rows []metaRow
	if err := s.read(ctx).Where("key = ?", key).Limit(1).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("models: sandbox secret: %w", err)
	}
	if len(rows) > 0 {
		return s.keys.Open(rows[0].Value, key)
	}
	plain, err := make()
	if err != nil {
		return nil, err
	}
	sealed, err := s.keys.Seal(plain, key)
	if err != nil {
		return nil, err
	}
	var row metaRow
	err = s.write(ctx, func(t *Tx) error {
		// Of several processes that start at once, one makes it; all use that.
		first := metaRow{Key: key, Value: sealed, UpdatedAt: t.now()}
		if err := t.Clauses(clause.OnConflict{DoNothing: true}).Create(&first).Error; err != nil {
			return err
		}
		return t.Where("key = ?", key).Take(&row).Error
	})
	if err != nil {
		return nil, fmt.Errorf("models: sandbox secret: %w", err)
	}
	return s.keys.Open(row.Value, key)
}
