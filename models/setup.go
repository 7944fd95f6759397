package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// SetupLife is how long the link to first-run setup works.
const SetupLife = 24 * time.Hour

// setupToken opens first-run setup once.
type setupToken struct {
	Hash      []byte `gorm:"primaryKey"`
	CreatedAt time.Time
	ExpiresAt time.Time
	SpentAt   *time.Time
}

// NewSetupToken returns a token that opens first-run setup for SetupLife. With
// replace, as `user setup-link` asks, older ones stop working; a server that starts
// beside others lets theirs work. Conflict once there is a main account.
func (s *Store) NewSetupToken(ctx context.Context, replace bool) (token string, expires time.Time, err error) {
	token, hash, err := randomToken()
	if err != nil {
		return "", time.Time{}, err
	}
	err = s.write(ctx, func(t *Tx) error {
		if err := t.noMain(); err != nil {
			return err
		}
		if replace {
			if err := t.Where("spent_at IS NULL").Delete(&setupToken{}).Error; err != nil {
				return err
			}
		}
		now := t.now()
		expires = now.Add(SetupLife)
		return t.Create(&setupToken{Hash: hash, CreatedAt: now, ExpiresAt: expires}).Error
	})
	return token, expires, failed("setup token", err)
}

// noMain fails with Conflict when there is a main account.
func (t *Tx) noMain() error {
	var n int64
	if err := t.Model(&User{}).Where("is_main").Count(&n).Error; err != nil {
		return err
	}
	if n > 0 {
		return conflict("errors.setup.done", nil)
	}
	return nil
}

// CheckSetupToken tells whether a token opens setup, without spending it.
// Unauthorized when it does not; Conflict once there is a main account.
func (s *Store) CheckSetupToken(ctx context.Context, token string) error {
	done, err := s.HasMainAccount(ctx)
	if err != nil {
		return err
	}
	if done {
		return conflict("errors.setup.done", nil)
	}
	hash := sha256.Sum256([]byte(token))
	var rows []setupToken
	err = s.read(ctx).Where("hash = ? AND spent_at IS NULL AND expires_at > ?", hash[:], s.Now()).Limit(1).Find(&rows).Error
	if err != nil {
		return fmt.Errorf("models: setup token: %w", err)
	}
	if len(rows) == 0 {
		return badSetupToken()
	}
	return nil
}

func badSetupToken() error {
	return &Error{Kind: Unauthorized, Key: "errors.setup.bad_token"}
}

// SetUp spends a setup token and creates the first main account, in one
// transaction; a form with a fault spends nothing. Unauthorized when the token
// does not open; Conflict once there is a main account; Invalid as
// CreateMainAccount.
func (s *Store) SetUp(ctx context.Context, token string, in MainAccount, ip string) (*User, error) {
	// First the token: a stranger must learn nothing from the form's faults, nor
	// make the server hash.
	if err := s.CheckSetupToken(ctx, token); err != nil {
		return nil, err
	}
	in, err := in.check()
	if err != nil {
		return nil, err
	}
	password, err := s.hashPassword(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(token))
	var u *User
	err = s.write(ctx, func(t *Tx) error {
		now := t.now()
		// All tokens are spent together, whichever was used: of two forms sent at
		// once the second waits here for the first and then finds none.
		var spent []setupToken
		if err := t.Raw("UPDATE setup_tokens SET spent_at = ? WHERE spent_at IS NULL AND expires_at > ? RETURNING hash", now, now).
			Scan(&spent).Error; err != nil {
			return err
		}
		ours := false
		for _, row := range spent {
			ours = ours || string(row.Hash) == string(hash[:])
		}
		if !ours {
			return badSetupToken()
		}
		if err := t.noMain(); err != nil {
			return err
		}
		u, err = t.createMain(in, password, Actor{Name: in.UserName, IP: ip})
		return err
	})
	return u, failed("set up", err)
}
