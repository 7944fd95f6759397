package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
)

// Limits of a session.
const (
	SessionIdle = 12 * time.Hour     // unless the user asked to stay signed in
	SessionLife = 7 * 24 * time.Hour // always
	touchEvery  = time.Minute
	maxAgent    = 256 // bytes of a User-Agent header
	tokenBytes  = 32
)

// Session is a browser that is signed in. The token is in its cookie only; the row
// holds its SHA-256.
type Session struct {
	ID         int64 `gorm:"primaryKey"`
	UserID     int64
	TokenHash  []byte `json:"-"`
	IP         string
	UserAgent  string
	Stay       bool // does not end by idleness
	CreatedAt  time.Time
	LastSeenAt time.Time // to the minute
	ExpiresAt  time.Time
}

// TableName is GORM's hook.
func (Session) TableName() string { return "login_sessions" }

// randomToken returns 256 random bits as text for a URL or cookie, and the SHA-256
// of that text.
func randomToken() (token string, hash []byte, err error) {
	var raw [tokenBytes]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", nil, fmt.Errorf("models: random token: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(raw[:])
	sum := sha256.Sum256([]byte(token))
	return token, sum[:], nil
}

func (t *Tx) startSession(userID int64, in Login) (string, error) {
	token, hash, err := randomToken()
	if err != nil {
		return "", err
	}
	now := t.now()
	row := Session{
		UserID: userID, TokenHash: hash, IP: in.IP, UserAgent: firstBytes(in.UserAgent, maxAgent), Stay: in.Stay,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(SessionLife),
	}
	if err := t.Create(&row).Error; err != nil {
		return "", err
	}
	return token, t.Model(&User{}).Where("id = ?", userID).UpdateColumn("last_seen_at", now).Error
}

// StartSession signs a user in without a password, as setup does for the main user
// it has just created. It returns the token.
func (s *Store) StartSession(ctx context.Context, u *User, ip, userAgent string) (token string, err error) {
	err = s.write(ctx, func(t *Tx) error {
		token, err = t.startSession(u.ID, Login{IP: ip, UserAgent: userAgent})
		return err
	})
	return token, failed("start session", err)
}

// alive is the condition that a session has not ended, with its arguments.
func (s *Store) alive(now time.Time) (string, []any) {
	return "expires_at > ? AND (stay OR last_seen_at > ?)", []any{now, now.Add(-SessionIdle)}
}

// SessionByHash returns a living session by its token's SHA-256, with its user and
// his present rights, and marks both as seen, at most once a minute. Unauthorized
// when the session ended or the user may no longer sign in.
func (s *Store) SessionByHash(ctx context.Context, hash [sha256.Size]byte) (*Session, *User, error) {
	now := s.Now()
	cond, args := s.alive(now)
	var sessions []Session
	err := s.read(ctx).Where("token_hash = ?", hash[:]).Where(cond, args...).Limit(1).Find(&sessions).Error
	if err != nil {
		return nil, nil, fmt.Errorf("models: session: %w", err)
	}
	if len(sessions) == 0 {
		return nil, nil, &Error{Kind: Unauthorized, Key: "errors.unauthorized_text"}
	}
	sess := &sessions[0]
	var users []User
	if err := s.read(ctx).Where("id = ? AND disabled_at IS NULL", sess.UserID).Limit(1).Find(&users).Error; err != nil {
		return nil, nil, fmt.Errorf("models: session: %w", err)
	}
	if len(users) == 0 {
		return nil, nil, &Error{Kind: Unauthorized, Key: "errors.unauthorized_text"}
	}
	if err := s.loadProducts(ctx, &users[0]); err != nil {
		return nil, nil, err
	}
	if now.Sub(sess.LastSeenAt) >= touchEvery {
		s.touch(ctx, sess, now)
	}
	return sess, &users[0], nil
}

// touch marks a session as used. A database that cannot be written must not keep
// operators from reading, so a failure is only logged.
func (s *Store) touch(ctx context.Context, sess *Session, now time.Time) {
	err := s.write(ctx, func(t *Tx) error {
		// The user before his sessions, as everywhere: two transactions that take
		// them in different orders would wait for each other.
		if err := t.Model(&User{}).Where("id = ?", sess.UserID).UpdateColumn("last_seen_at", now).Error; err != nil {
			return err
		}
		return t.Model(&Session{}).Where("id = ? AND last_seen_at <= ?", sess.ID, now.Add(-touchEvery)).UpdateColumn("last_seen_at", now).Error
	})
	if err != nil && !canceled(err) {
		s.log.Warn("session not marked as seen", "error", err)
		return
	}
	sess.LastSeenAt = now
}

// Sessions returns the actor's own living sessions, the latest used first.
func (s *Store) Sessions(ctx context.Context, who Actor) ([]Session, error) {
	cond, args := s.alive(s.Now())
	var rows []Session
	err := s.read(ctx).Where("user_id = ?", who.UserID).Where(cond, args...).Order("last_seen_at DESC, id DESC").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: sessions: %w", err)
	}
	return rows, nil
}

// SignOut ends the session of a token's SHA-256. Ending one that is gone is fine.
func (s *Store) SignOut(ctx context.Context, hash [sha256.Size]byte) error {
	return failed("sign out", s.write(ctx, func(t *Tx) error {
		return t.Where("token_hash = ?", hash[:]).Delete(&Session{}).Error
	}))
}

// RevokeSession ends one of the actor's own sessions. NotFound.
func (s *Store) RevokeSession(ctx context.Context, who Actor, id int64) error {
	return failed("revoke session", s.write(ctx, func(t *Tx) error {
		res := t.Where("id = ? AND user_id = ?", id, who.UserID).Delete(&Session{})
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return notFound("")
		}
		return t.audit(who, entry{action: ActionRevoke, kind: AuditSession, id: id, name: who.Name})
	}))
}

// RevokeOtherSessions ends all of the actor's sessions but one and says how many.
func (s *Store) RevokeOtherSessions(ctx context.Context, who Actor, keep int64) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		res := t.Where("user_id = ? AND id <> ?", who.UserID, keep).Delete(&Session{})
		n = int(res.RowsAffected)
		if res.Error != nil || n == 0 {
			return res.Error
		}
		return t.audit(who, entry{action: ActionRevoke, kind: AuditSession, id: keep, name: who.Name, after: facts{"ended": n}})
	})
	return n, failed("revoke sessions", err)
}

// endSessions deletes a user's sessions but one.
func (t *Tx) endSessions(userID, keep int64) error {
	return t.Where("user_id = ? AND id <> ?", userID, keep).Delete(&Session{}).Error
}

// SweepControl deletes what has run out in the control plane: sessions, counts of
// wrong passwords, setup tokens. The worker calls it now and then.
func (s *Store) SweepControl(ctx context.Context) error {
	err := s.write(ctx, func(t *Tx) error {
		now := t.now()
		if err := t.Where("expires_at <= ? OR (NOT stay AND last_seen_at <= ?)", now, now.Add(-SessionIdle)).Delete(&Session{}).Error; err != nil {
			return err
		}
		if err := t.Where("at < ? AND until < ?", now.Add(-forgetTries), now).Delete(&loginAttempt{}).Error; err != nil {
			return err
		}
		if err := t.Where("expires_at <= ?", now).Delete(&setupToken{}).Error; err != nil {
			return err
		}
		if err := t.Where("expires_at <= ?", now).Delete(&oldSecret{}).Error; err != nil {
			return err
		}
		return t.Model(&IMApp{}).Where("prev_expires_at <= ?", now).
			UpdateColumns(map[string]any{"prev_hash": nil, "prev_expires_at": nil}).Error
	})
	if err == nil {
		err = s.warnOfStranded(ctx)
	}
	return failed("sweep", err)
}
