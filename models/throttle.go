package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"time"

	"gorm.io/gorm"
)

// Limits on wrong passwords. They count per login name and address, so that a
// stranger elsewhere cannot lock anybody out, and per address over all names.
const (
	freeTries        = 5  // of one name from one address, before the first wait
	freeAddressTries = 30 // of one address, over all names
	firstWait        = 30 * time.Second
	maxWait          = time.Hour
	maxAddressWait   = 15 * time.Minute
	// forgetTries is how long after the last failure the count starts again.
	forgetTries = 24 * time.Hour
)

// loginAttempt counts failures of one key.
type loginAttempt struct {
	Key      []byte `gorm:"primaryKey"`
	Failures int
	Until    time.Time
	At       time.Time
}

// tries is what a sign-in is counted under.
type tries struct{ pair, address []byte }

// triesOf names the counters of a login. An IPv6 address counts as its /64, which
// is what one customer gets.
func triesOf(login, ip string) tries {
	if a, err := netip.ParseAddr(ip); err == nil {
		a = a.Unmap().WithZone("")
		if a.Is6() {
			if p, err := a.Prefix(64); err == nil {
				a = p.Addr()
			}
		}
		ip = a.String()
	}
	pair := sha256.Sum256([]byte("pair\x00" + login + "\x00" + ip))
	address := sha256.Sum256([]byte("address\x00" + ip))
	return tries{pair: pair[:], address: address[:]}
}

// wait returns how long to refuse after n failures: nothing while tries are free,
// then doubling up to the limit.
func wait(n, free int, limit time.Duration) time.Duration {
	if n < free {
		return 0
	}
	doublings := min(n-free, 20)
	return min(firstWait<<doublings, limit)
}

// take counts a try before its password is looked at, so that guesses in parallel
// gain nothing; a good one is taken back. It returns how many tries are left
// before the next wait, 0 or less when this one brought a wait. TooMany while waiting.
func (s *Store) take(ctx context.Context, k tries) (left int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		now := t.now()
		n, err := t.takeOne(k.pair, freeTries, maxWait, now)
		if err != nil {
			return err
		}
		left = freeTries - n
		_, err = t.takeOne(k.address, freeAddressTries, maxAddressWait, now)
		return err
	})
	return left, failed("throttle", err)
}

// takeOne adds one failure unless the key must wait. The condition stands in the
// upsert itself: of two at once, the second sees what the first wrote.
func (t *Tx) takeOne(key []byte, free int, limit time.Duration, now time.Time) (int, error) {
	var counts []int
	// GORM takes bytes right after a parenthesis for a list, so failures comes first.
	err := t.Raw(`INSERT INTO login_attempts (failures, key, until, at) VALUES (1, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET at = excluded.at,
			failures = CASE WHEN login_attempts.at < ? THEN 1 ELSE login_attempts.failures + 1 END
		WHERE login_attempts.until <= excluded.at
		RETURNING failures`, key, now, now, now.Add(-forgetTries)).Scan(&counts).Error
	if err != nil {
		return 0, err
	}
	if len(counts) == 0 {
		return 0, t.mustWait(key, now)
	}
	n := counts[0]
	if w := wait(n, free, limit); w > 0 {
		return n, t.Model(&loginAttempt{}).Where("key = ?", key).UpdateColumn("until", now.Add(w)).Error
	}
	return n, nil
}

func (t *Tx) mustWait(key []byte, now time.Time) error {
	var a loginAttempt
	if err := t.Where("key = ?", key).Take(&a).Error; err != nil {
		return err
	}
	minutes := int(math.Ceil(a.Until.Sub(now).Minutes()))
	return &Error{Kind: TooMany, Key: "errors.login.throttled", Data: map[string]any{"Minutes": max(minutes, 1)}}
}

// wrong says that a password was not right, with the tries that are left or, when
// there are none, how long to wait.
func wrong(field, key string, left int) *Error {
	if left > 0 {
		return &Error{Kind: Unauthorized, Field: field, Key: key, Data: map[string]any{"Left": left}}
	}
	minutes := int(math.Ceil(wait(freeTries-left, freeTries, maxWait).Minutes()))
	return &Error{Kind: Unauthorized, Field: field, Key: key + "_last", Data: map[string]any{"Minutes": minutes}}
}

// giveBack takes a try back after a right password: the name's failures from this
// address are forgotten, the address loses only this one.
func (t *Tx) giveBack(k tries) error {
	if err := t.Where("key = ?", k.pair).Delete(&loginAttempt{}).Error; err != nil {
		return err
	}
	return t.Model(&loginAttempt{}).Where("key = ? AND failures > 0", k.address).
		UpdateColumns(map[string]any{"failures": gorm.Expr("failures - 1"), "until": t.now()}).Error
}

// VerifyPassword asks the actor for his own password again, before something that
// must not be done on a screen left open. Unauthorized (password) with Left, the
// tries that remain; TooMany.
func (s *Store) VerifyPassword(ctx context.Context, who Actor, password string) (*User, error) {
	u, err := s.UserByID(ctx, who, who.UserID)
	if err != nil {
		return nil, err
	}
	k := triesOf(fmt.Sprintf("user\x00%d", u.ID), who.IP)
	left, err := s.take(ctx, k)
	if err != nil {
		return nil, err
	}
	ok, err := s.passwordMatches(ctx, password, u.PasswordHash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wrong("password", "errors.password.wrong", left)
	}
	return u, failed("throttle", s.write(ctx, func(t *Tx) error { return t.giveBack(k) }))
}

// Login is what a sign-in form gives.
type Login struct {
	// AccountID is 0 for 主账号登录, else the main account's id for 子账号登录.
	AccountID int64
	Name      string
	Password  string
	IP        string
	UserAgent string
	// Stay asks for a session that does not end by idleness.
	Stay bool
}

// key names the login in the throttle.
func (in Login) key() string { return fmt.Sprintf("login\x00%d\x00%s", in.AccountID, in.Name) }

// SignIn checks a password and starts a session, whose token it returns.
// Unauthorized with Left, the tries that remain, whether or not the user exists;
// TooMany with Minutes; Unauthorized with another Key for a disabled sub-account
// whose password was right.
func (s *Store) SignIn(ctx context.Context, in Login) (*User, string, error) {
	k := triesOf(in.key(), in.IP)
	left, err := s.take(ctx, k)
	if err != nil {
		return nil, "", err
	}
	u, err := s.loginUser(ctx, in)
	if err != nil {
		return nil, "", err
	}
	hash := ""
	if u != nil {
		hash = u.PasswordHash
	}
	ok, err := s.passwordMatches(ctx, in.Password, hash)
	if err != nil {
		return nil, "", err
	}
	if !ok {
		return nil, "", wrong("", "errors.login.wrong", left)
	}
	if u.DisabledAt != nil {
		return nil, "", &Error{Kind: Unauthorized, Key: "errors.login.disabled"}
	}
	var token string
	err = s.write(ctx, func(t *Tx) error {
		if err := t.giveBack(k); err != nil {
			return err
		}
		// A password reset or a deletion meanwhile must not leave a new session.
		var ids []int64
		err := t.locked().Model(&User{}).Where("id = ? AND password_hash = ? AND disabled_at IS NULL", u.ID, u.PasswordHash).Pluck("id", &ids).Error
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return wrong("", "errors.login.wrong", left)
		}
		token, err = t.startSession(u.ID, in)
		return err
	})
	if err != nil {
		return nil, "", failed("sign in", err)
	}
	return u, token, s.loadProducts(ctx, u)
}

// loginUser finds whom the form names, nil when there is nobody.
func (s *Store) loginUser(ctx context.Context, in Login) (*User, error) {
	q := s.read(ctx).Where("name = ? AND is_main", in.Name)
	if in.AccountID != 0 {
		q = s.read(ctx).Where("account_id = ? AND name = ? AND NOT is_main", in.AccountID, in.Name)
	}
	var users []User
	if err := q.Limit(1).Find(&users).Error; err != nil {
		return nil, fmt.Errorf("models: sign in: %w", err)
	}
	if len(users) == 0 {
		return nil, nil //nolint:nilnil // nobody is an answer here: the password is checked all the same
	}
	return &users[0], nil
}
