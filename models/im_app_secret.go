package models

import (
	"context"
	"crypto/sha256"
	"time"
)

// oldSecret is an ingest secret that works until it expires although two rotations
// came after it.
type oldSecret struct {
	Hash      []byte `gorm:"primaryKey"`
	IMAppID   int64  `gorm:"column:im_app_id"`
	ExpiresAt time.Time
}

// TableName is GORM's hook.
func (oldSecret) TableName() string { return "im_app_old_secrets" }

// newIngestSecret returns 190 random bits for an ingest address, and their hash.
func newIngestSecret() (Secret, []byte, error) {
	text, err := randomText(secretKeyLength, base62)
	if err != nil {
		return "", nil, err
	}
	hash := sha256.Sum256([]byte(text))
	return Secret(text), hash[:], nil
}

// RotateIngestSecret gives an IM app a new ingest secret and returns it, once. The
// old one works for another 24 hours. NotFound; Forbidden without PermIM.
func (s *Store) RotateIngestSecret(ctx context.Context, who Actor, id int64) (*IMApp, Secret, error) {
	secret, hash, err := newIngestSecret()
	if err != nil {
		return nil, "", err
	}
	m, err := s.changeIMApp(ctx, who, "rotate ingest secret", id, []string{"secret_hash", "prev_hash", "prev_expires_at"}, func(t *Tx, m *IMApp) error {
		// The IM server may still use the one before: a form that was sent twice, or a
		// second change on the same day, must not shut it out before its time.
		if m.PrevHash != nil && m.PrevExpiresAt != nil && m.PrevExpiresAt.After(t.now()) {
			if err := t.Create(&oldSecret{Hash: m.PrevHash, IMAppID: id, ExpiresAt: *m.PrevExpiresAt}).Error; err != nil {
				return err
			}
		}
		until := t.now().Add(OldSecretLife)
		m.PrevHash, m.PrevExpiresAt, m.SecretHash = m.SecretHash, &until, hash
		e := m.entry(ActionReset)
		e.after = facts{"key": "ingest_secret"}
		return t.audit(who, e)
	})
	if err != nil {
		return nil, "", err
	}
	return m, secret, nil
}

// DropOldSecret makes every secret before the last rotation stop working now: one may
// have leaked. NotFound; Forbidden without PermIM.
func (s *Store) DropOldSecret(ctx context.Context, who Actor, id int64) error {
	_, err := s.changeIMApp(ctx, who, "drop old secret", id, []string{"prev_hash", "prev_expires_at"}, func(t *Tx, m *IMApp) error {
		m.PrevHash, m.PrevExpiresAt = nil, nil
		if err := t.Where("im_app_id = ?", id).Delete(&oldSecret{}).Error; err != nil {
			return err
		}
		e := m.entry(ActionReset)
		e.after = facts{"key": "old_ingest_secret"}
		return t.audit(who, e)
	})
	return err
}
