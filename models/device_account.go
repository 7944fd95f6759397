package models

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Limits of account bindings.
const (
	MinAccountRunes = 2
	MaxBindings     = 20
	MaxAccountType  = 65535
	MaxBadge        = 99999
	// BindWindow is how far a binding signature's time may be off.
	BindWindow = 10 * time.Minute
)

// Binding is one account to bind to a device. Time (Unix seconds) and Signature
// prove, where the app asks for it, that the customer's own backend allows it.
type Binding struct {
	Type      int
	Account   string
	Time      int64
	Signature string // hex
}

// BindSignature returns the signature that the customer's backend makes for a
// binding: HMAC-SHA256 in hex, with the app's binding key, over
// "token|account|time", and "|type" behind it when the account type is not 0.
// time is in Unix seconds.
func BindSignature(key []byte, token string, b Binding) string {
	m := hmac.New(sha256.New, key)
	text := token + "|" + b.Account + "|" + strconv.FormatInt(b.Time, 10)
	if b.Type != 0 {
		text += "|" + strconv.Itoa(b.Type)
	}
	_, _ = m.Write([]byte(text)) // a hash's Write never fails
	return hex.EncodeToString(m.Sum(nil))
}

// CheckBinding reports, as Forbidden, why a binding's signature does not hold:
// bind_signature_missing, bind_signature_time (more than BindWindow off) or
// bind_signature_wrong.
func CheckBinding(key []byte, token string, b Binding, now time.Time) error {
	if b.Signature == "" {
		return &Error{Kind: Forbidden, Key: "bind_signature_missing", Field: "signature"}
	}
	if off := now.Sub(time.Unix(b.Time, 0)); off > BindWindow || off < -BindWindow {
		return &Error{Kind: Forbidden, Key: "bind_signature_time", Field: "time"}
	}
	if !hmac.Equal([]byte(strings.ToLower(b.Signature)), []byte(BindSignature(key, token, b))) {
		return &Error{Kind: Forbidden, Key: "bind_signature_wrong", Field: "signature"}
	}
	return nil
}

// bindKey returns the app's binding key when it requires signatures, nil when not.
func (s *Store) bindKey(ctx context.Context, app AppScope) ([]byte, error) {
	var row struct {
		BindRequired bool
		BindKey      []byte
	}
	err := s.read(ctx).Raw("SELECT bind_required, bind_key FROM apps WHERE id = ?", app.appID).Take(&row).Error
	if err != nil {
		return nil, found(err, "app")
	}
	if !row.BindRequired {
		return nil, nil
	}
	if len(row.BindKey) == 0 {
		return nil, errors.New("models: app requires binding signatures but has no key")
	}
	return s.open(row.BindKey, keyPlace("bind_key", app.appID))
}

// Bind binds accounts to the device. A device has one account per account type:
// another of the same type takes its place. Binding again makes the device the
// account's latest. Invalid names the field; Forbidden is CheckBinding's.
func (s *Store) Bind(ctx context.Context, dev DeviceScope, bindings []Binding) error {
	if len(bindings) == 0 || len(bindings) > MaxBindings {
		return invalid("accounts", "too_many", map[string]any{"Max": MaxBindings})
	}
	key, err := s.bindKey(ctx, dev.app)
	if err != nil {
		return wrapUnlessError("models: bind", err)
	}
	for i, b := range bindings {
		if err := b.check(i); err != nil {
			return err
		}
		if key == nil {
			continue
		}
		if err := CheckBinding(key, dev.token, b, s.Now()); err != nil {
			return err
		}
	}
	err = dev.app.db.writeHot(ctx, func(_ context.Context, t *Tx) error { return t.bind(dev, bindings) })
	return wrapNil("models: bind", err)
}

// wrapNil is wrapUnlessError for errors that may be nil.
func wrapNil(where string, err error) error {
	if err == nil {
		return nil
	}
	return wrapUnlessError(where, err)
}

func (b *Binding) check(i int) error {
	field := func(name string) string { return fmt.Sprintf("accounts[%d].%s", i, name) }
	n := utf8.RuneCountInString(b.Account)
	switch {
	case n < MinAccountRunes || n > MaxAccountRunes:
		return invalid(field("account"), "account_length", map[string]any{"Min": MinAccountRunes, "Max": MaxAccountRunes})
	case b.Account != storable(b.Account):
		return invalid(field("account"), "malformed", nil)
	case b.Type < 0 || b.Type > MaxAccountType:
		return invalid(field("type"), "malformed", nil)
	}
	return nil
}

func (t *Tx) bind(dev DeviceScope, bindings []Binding) error {
	now := t.now()
	for i, b := range bindings {
		// A later binding of one request is the newer one.
		row := DeviceAccount{DeviceID: dev.deviceID, AccountType: b.Type, Account: b.Account, AppID: dev.app.appID, BoundAt: now.Add(time.Duration(i) * time.Microsecond)}
		if err := t.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error; err != nil {
			return err
		}
	}
	var n int64
	if err := t.Model(&DeviceAccount{}).Where("device_id = ?", dev.deviceID).Count(&n).Error; err != nil {
		return err
	}
	if n > MaxBindings {
		return conflict("too_many", map[string]any{"Max": MaxBindings})
	}
	return touch(t.DB, dev, now)
}

func touch(g *gorm.DB, dev DeviceScope, now time.Time) error {
	return g.Exec("UPDATE devices SET last_seen_at = ? WHERE id = ?", now, dev.deviceID).Error
}

// Unbind removes accounts from the device: those given, or all when none is.
// Accounts that are not bound are no error.
func (s *Store) Unbind(ctx context.Context, dev DeviceScope, bindings []Binding) error {
	err := dev.app.db.writeHot(ctx, func(_ context.Context, t *Tx) error {
		if len(bindings) == 0 {
			return t.Delete(&DeviceAccount{}, "device_id = ?", dev.deviceID).Error
		}
		for _, b := range bindings {
			if err := t.Delete(&DeviceAccount{}, "device_id = ? AND account_type = ? AND account = ?", dev.deviceID, b.Type, storable(b.Account)).Error; err != nil {
				return err
			}
		}
		return nil
	})
	return wrapNil("models: unbind", err)
}

// SetBadge sets the number from which our own badge counter goes on, usually 0
// when the app was opened.
func (s *Store) SetBadge(ctx context.Context, dev DeviceScope, badge int) error {
	if badge < 0 || badge > MaxBadge {
		return invalid("badge", "malformed", map[string]any{"Max": MaxBadge})
	}
	// Messages on their way were counted from the number before: see Badge.
	return s.setDevice(ctx, dev, "badge", badge, map[string]any{"badge_revision": gorm.Expr("badge_revision + 1")})
}

// SetNotify notes whether the phone shows the app's notifications.
func (s *Store) SetNotify(ctx context.Context, dev DeviceScope, on bool) error {
	notify := NotifyOff
	if on {
		notify = NotifyOn
	}
	return s.setDevice(ctx, dev, "notify", notify, nil)
}

func (s *Store) setDevice(ctx context.Context, dev DeviceScope, column string, value int, more map[string]any) error {
	err := dev.app.db.writeHot(ctx, func(_ context.Context, t *Tx) error {
		set := map[string]any{column: value, "last_seen_at": t.now()}
		maps.Copy(set, more)
		return t.Model(&Device{}).Where("id = ?", dev.deviceID).Updates(set).Error
	})
	return wrapNil("models: set "+column, err)
}

// Unregister retires the device and its routes and unbinds its accounts. Its
// records stay; the same token and secret may register again.
func (s *Store) Unregister(ctx context.Context, dev DeviceScope) error {
	err := dev.app.db.writeHot(ctx, func(_ context.Context, t *Tx) error {
		gone := map[string]any{"retired_at": t.now(), "retired_code": RetiredUnregistered}
		if err := t.Model(&Route{}).Where("device_id = ? AND retired_at IS NULL", dev.deviceID).Updates(gone).Error; err != nil {
			return err
		}
		if err := t.Model(&Device{}).Where("id = ?", dev.deviceID).Updates(gone).Error; err != nil {
			return err
		}
		if err := t.Delete(&DeviceAccount{}, "device_id = ?", dev.deviceID).Error; err != nil {
			return err
		}
		// Whoever has the phone next gets neither the channels nor the endpoint of the last.
		if err := t.Exec("DELETE FROM device_topics WHERE device_id = ?", dev.deviceID).Error; err != nil {
			return err
		}
		return t.Exec("DELETE FROM device_endpoints WHERE device_id = ?", dev.deviceID).Error
	})
	return wrapNil("models: unregister", err)
}
