package models

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// IMApp is an IM 应用: an IM system of the account that hands over messages.
type IMApp struct {
	ID            int64 `gorm:"primaryKey"`
	AccountID     int64
	Name          string
	SDKAppID      int64      `gorm:"column:sdk_app_id"`
	Bridge        string     // which IM server's protocol its ingest address speaks
	SecretHash    []byte     `json:"-"` // SHA-256 of the ingest secret
	PrevHash      []byte     `json:"-"` // of the one before, until PrevExpiresAt
	PrevExpiresAt *time.Time // nil when no old secret works
	AllowIPs      string     `gorm:"column:allow_ips"` // addresses and CIDRs, one a line; "" allows all
	Addressing    string     // AddressDevice or AddressVendor
	Names         string     // app or server ids that the IM server names, one a line
	SealedSDKKey  []byte     `gorm:"column:sdk_key" json:"-"` // see IMAppInput.SDKKey; nil without one
	LastRequestAt *time.Time
	LastOutcome   string     // one of Ingest…
	ContentUntil  *time.Time // until when contents of what arrives are kept
	CreatedAt     time.Time
	UpdatedAt     time.Time
	DeletedAt     *time.Time
}

// TableName is GORM's hook.
func (IMApp) TableName() string { return "im_apps" }

// Limits of an IM app.
const (
	MaxIMAppName  = 60 // characters
	MaxAllowIPs   = 100
	MaxIMNames    = 20
	MaxIMName     = 255            // bytes of an app or server id
	OldSecretLife = 24 * time.Hour // how long the secret before a rotation still works
	maxSDKAppID   = 9_999_999_999
	firstSDKAppID = 1_400_000_000 // generated ids look like those people know
)

func (m *IMApp) facts() facts {
	return facts{"name": m.Name, "sdk_app_id": m.SDKAppID, "bridge": m.Bridge, "allow_ips": m.AllowIPs, "addressing": m.Addressing, "names": m.Names}
}

func (m *IMApp) entry(action string) entry {
	return entry{action: action, kind: AuditIMApp, id: m.ID, name: m.Name}
}

// IMAppInput is an IM app as a form gives it.
type IMAppInput struct {
	Name string
	// SDKAppID is 0 to have one generated; it only counts at creation.
	SDKAppID int64
	Bridge   string
	// AllowIPs holds addresses and CIDRs, apart by lines, spaces or commas.
	AllowIPs string
	// Addressing is AddressDevice, also for "", or AddressVendor.
	Addressing string
	// Names holds app or server ids, apart by lines, spaces or commas.
	Names string
	// SDKKey is the SecretKey that the IM server already signs with, "" to keep what is
	// stored; DropSDKKey forgets that.
	SDKKey     Secret
	DropSDKKey bool
}

// check applies the rules; bridges are the ids of those that exist.
func (in IMAppInput) check(bridges []string) (IMAppInput, error) {
	name, err1 := label(in.Name, "name", "errors.im_app.name_missing", MaxIMAppName)
	allow, err2 := checkAllowIPs(in.AllowIPs)
	names, err3 := checkIMNames(in.Names)
	in.Addressing = cmp.Or(in.Addressing, AddressDevice)
	err := errors.Join(
		err1,
		unless(slices.Contains(bridges, in.Bridge), invalid("bridge", "errors.im_app.bridge", nil)),
		unless(in.SDKAppID >= 0 && in.SDKAppID <= maxSDKAppID, invalid("sdk_app_id", "errors.im_app.sdk_app_id", nil)),
		unless(in.Addressing == AddressDevice || in.Addressing == AddressVendor, invalid("addressing", "errors.im_app.addressing", nil)),
		err2, err3, checkSDKKey(in.SDKKey),
	)
	in.Name, in.AllowIPs, in.Names = name, allow, names
	return in, err
}

// checkAllowIPs brings an allow-list into one form: an address or CIDR a line.
func checkAllowIPs(text string) (string, error) {
	parts := entries(text)
	out := make([]string, 0, len(parts))
	for _, p := range parts {
		line, ok := allowLine(p)
		if !ok {
			return "", invalid("allow_ips", "errors.im_app.allow_ips", map[string]any{"Value": firstRunes(p, 50)})
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	if len(out) > MaxAllowIPs {
		return "", invalid("allow_ips", "errors.im_app.allow_ips_many", map[string]any{"Max": MaxAllowIPs})
	}
	return strings.Join(out, "\n"), nil
}

func allowLine(p string) (string, bool) {
	if a, err := netip.ParseAddr(p); err == nil && a.Zone() == "" {
		return a.Unmap().String(), true
	}
	prefix, err := netip.ParsePrefix(p)
	if err != nil {
		return "", false
	}
	return prefix.Masked().String(), true
}

// CreateIMApp creates an IM app and returns the secret of its ingest address, which
// is not kept and cannot be shown again. Invalid (name, sdk_app_id, bridge,
// allow_ips); Conflict (sdk_app_id) when the account has it; Forbidden without
// PermIM.
func (s *Store) CreateIMApp(ctx context.Context, who Actor, in IMAppInput, bridges []string) (*IMApp, Secret, error) {
	in, err := in.check(bridges)
	if err != nil {
		return nil, "", err
	}
	secret, hash, err := newIngestSecret()
	if err != nil {
		return nil, "", err
	}
	var m *IMApp
	err = s.change(ctx, who, PermIM, "create im app", func(t *Tx) error {
		id := in.SDKAppID
		if id == 0 {
			if id, err = t.freeSDKAppID(who); err != nil {
				return err
			}
		}
		now := t.now()
		m = &IMApp{
			AccountID: who.AccountID, Name: in.Name, SDKAppID: id, Bridge: in.Bridge, SecretHash: hash,
			AllowIPs: in.AllowIPs, Addressing: in.Addressing, Names: in.Names, CreatedAt: now, UpdatedAt: now,
		}
		if err := t.Create(m).Error; err != nil {
			if duplicate(err) {
				return conflictField("sdk_app_id", "errors.im_app.sdk_app_id_taken")
			}
			return err
		}
		if err := t.setIMAppNames(m); err != nil {
			return err
		}
		if err := s.setSDKKey(m, in); err != nil {
			return err
		}
		if err := t.Select("sdk_key").Updates(m).Error; err != nil {
			return err
		}
		e := m.entry(ActionCreate)
		e.after = m.facts()
		return t.audit(who, e)
	})
	if err != nil {
		return nil, "", err
	}
	s.forgetIngest() // that no IM app had these names may be remembered
	return m, secret, nil
}

func (t *Tx) freeSDKAppID(who Actor) (int64, error) {
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
		if err != nil {
			return 0, fmt.Errorf("models: sdk app id: %w", err)
		}
		id := firstSDKAppID + n.Int64()
		var taken int64
		if err := t.Model(&IMApp{}).Where("account_id = ? AND sdk_app_id = ? AND deleted_at IS NULL", who.AccountID, id).Count(&taken).Error; err != nil {
			return 0, err
		}
		if taken == 0 {
			return id, nil
		}
	}
}

// imApp reads one of the account's IM apps and keeps it unchanged.
func (t *Tx) imApp(who Actor, id int64) (*IMApp, error) {
	var m IMApp
	err := t.locked().Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, id).Take(&m).Error
	if err != nil {
		return nil, found(err, "")
	}
	return &m, nil
}

// IMApps returns the account's IM apps, newest first. Forbidden without PermIM.
func (s *Store) IMApps(ctx context.Context, who Actor) ([]IMApp, error) {
	if err := who.need(PermIM); err != nil {
		return nil, err
	}
	var rows []IMApp
	err := s.read(ctx).Where("account_id = ? AND deleted_at IS NULL", who.AccountID).Order("id DESC").Find(&rows).Error
	return rows, failed("im apps", err)
}

// HasIMApp reports whether the account has an IM app, also to users without the IM
// right: the hint on 第三方服务授权 depends on it.
func (s *Store) HasIMApp(ctx context.Context, who Actor) (bool, error) {
	var n int64
	err := s.read(ctx).Model(&IMApp{}).Where("account_id = ? AND deleted_at IS NULL", who.AccountID).Count(&n).Error
	return n > 0, failed("im apps", err)
}

// IMAppByID returns one of the account's IM apps. NotFound; Forbidden without
// PermIM.
func (s *Store) IMAppByID(ctx context.Context, who Actor, id int64) (*IMApp, error) {
	if err := who.need(PermIM); err != nil {
		return nil, err
	}
	var m IMApp
	err := s.read(ctx).Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, id).Take(&m).Error
	if err != nil {
		return nil, failed("im app", found(err, ""))
	}
	return &m, nil
}

// UpdateIMApp saves name, bridge, allow-list, addressing, names and SecretKey. Invalid; NotFound; Forbidden
// without PermIM.
func (s *Store) UpdateIMApp(ctx context.Context, who Actor, id int64, in IMAppInput, bridges []string) (*IMApp, error) {
	in, err := in.check(bridges)
	if err != nil {
		return nil, err
	}
	return s.changeIMApp(ctx, who, "update im app", id, []string{"name", "bridge", "allow_ips", "addressing", "names", "sdk_key"}, func(t *Tx, m *IMApp) error {
		before := m.facts()
		m.Name, m.Bridge, m.AllowIPs, m.Addressing, m.Names = in.Name, in.Bridge, in.AllowIPs, in.Addressing, in.Names
		if err := t.setIMAppNames(m); err != nil {
			return err
		}
		if err := s.setSDKKey(m, in); err != nil {
			return err
		}
		e := m.entry(ActionUpdate)
		e.before, e.after = before, m.facts()
		if in.SDKKey != "" || in.DropSDKKey {
			e.after["replaced"] = true // the key itself is no fact, but that it changed is one
		}
		return t.audit(who, e)
	})
}

func (s *Store) changeIMApp(ctx context.Context, who Actor, act string, id int64, columns []string, fn func(t *Tx, m *IMApp) error) (*IMApp, error) {
	var m *IMApp
	err := s.change(ctx, who, PermIM, act, func(t *Tx) error {
		var err error
		if m, err = t.imApp(who, id); err != nil {
			return err
		}
		if err := fn(t, m); err != nil {
			return err
		}
		m.UpdatedAt = t.now()
		return t.Select(append([]string{"updated_at"}, columns...)).Updates(m).Error
	})
	if err != nil {
		return nil, err
	}
	s.forgetIngest()
	return m, nil
}

// DeleteIMApp deletes an IM app and its vendor settings; typed must be its name.
// Its address stops at once. Invalid (name); Conflict while an app is authorized to
// it; NotFound; Forbidden without PermIM.
func (s *Store) DeleteIMApp(ctx context.Context, who Actor, id int64, typed string) error {
	_, err := s.changeIMApp(ctx, who, "delete im app", id, []string{"deleted_at", "sdk_key"}, func(t *Tx, m *IMApp) error {
		if err := confirmName(typed, m.Name); err != nil {
			return err
		}
		var n int64
		if err := t.Model(&Authorization{}).Where("im_app_id = ? AND released_at IS NULL", id).Count(&n).Error; err != nil {
			return err
		}
		if n > 0 {
			return conflict("errors.im_app.authorized", map[string]any{"Name": m.Name, "Count": n})
		}
		if err := t.Where("owner_kind = ? AND owner_id = ?", ownerIM, id).Delete(&Credential{}).Error; err != nil {
			return err
		}
		for _, table := range []string{"im_app_tokens", "im_arrivals"} {
			if err := t.Exec("DELETE FROM "+table+" WHERE im_app_id = ?", id).Error; err != nil {
				return err
			}
		}
		now := t.now()
		m.DeletedAt, m.SealedSDKKey = &now, nil
		if err := t.setIMAppNames(m); err != nil {
			return err
		}
		e := m.entry(ActionDelete)
		e.before = m.facts()
		return t.audit(who, e)
	})
	if err != nil {
		return err
	}
	return s.forgetTopics(ctx, id)
}

// IMAppStat counts what an ingest address received.
type IMAppStat struct {
	Hour    int64 // hours since 1970, UTC
	Outcome string
	N       int64
}

// IMAppStats returns an IM app's counts per hour and outcome, from (inclusive) to
// (exclusive). NotFound; Forbidden without PermIM.
func (s *Store) IMAppStats(ctx context.Context, who Actor, id int64, from, to time.Time) ([]IMAppStat, error) {
	if _, err := s.IMAppByID(ctx, who, id); err != nil {
		return nil, err
	}
	var rows []IMAppStat
	err := s.read(ctx).Table("im_app_stats").Where("im_app_id = ? AND hour >= ? AND hour < ?", id, HourOf(from), HourOf(to.Add(time.Hour-1))).
		Order("hour, outcome").Scan(&rows).Error
	return rows, failed("im app statistics", err)
}

// IMAppNames returns the names of the account's IM apps by id, deleted ones too:
// records outlive them.
func (s *Store) IMAppNames(ctx context.Context, who Actor) (map[int64]string, error) {
	if err := who.need(PermView); err != nil {
		return nil, err
	}
	var rows []IMApp
	if err := s.read(ctx).Select("id", "name").Find(&rows, "account_id = ?", who.AccountID).Error; err != nil {
		return nil, fmt.Errorf("models: IM app names: %w", err)
	}
	out := make(map[int64]string, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Name
	}
	return out, nil
}
