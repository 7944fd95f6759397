package models

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// CredentialInput is a credential that push.Spec has found valid.
type CredentialInput struct {
	Channel     string
	Environment string
	PackageName string // "" for the app's own
	Kind        string
	Fields      map[string]string
	Info        CredentialInfo
	NotAfter    *time.Time
	// Tested says that the vendor has just accepted these fields.
	Tested bool
	// Rate and DailyQuota are Credential's.
	Rate       int64
	DailyQuota int64
	// SameApp says that these fields are of the app at the vendor that the replaced
	// ones were of, so that its receipt address is still registered there.
	SameApp bool
}

// SaveCredentials saves credentials in their slots (channel, environment, package),
// new or in place of what was there, all or none: a key for both environments is
// two of them. A replaced one is resumed. Invalid for a broken input; NotFound;
// Forbidden without PermConfigure, on the IM side PermIM.
func (s *Store) SaveCredentials(ctx context.Context, who Actor, o CredentialOwner, in ...CredentialInput) ([]Credential, error) {
	out := make([]Credential, len(in))
	var anew []int64 // that are another app at the vendor now
	err := s.change(ctx, who, o.permission(), "save credential", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		for i := range in {
			c, other, err := s.saveCredential(t, who, own, in[i])
			if err != nil {
				return err
			}
			if out[i] = *c; other {
				anew = append(anew, c.ID)
			}
		}
		return t.settleOwner(o)
	})
	if err != nil {
		return nil, err
	}
	s.resumed(ctx, o, out...)
	s.forgetTallies(ctx, o, anew...)
	return out, nil
}

// owned is what a credential's owner contributes to it.
type owned struct {
	CredentialOwner
	name    string
	product int64
	app     *App // nil on the IM side
}

// owner checks that the owner is the actor's and keeps it unchanged.
func (t *Tx) owner(who Actor, o CredentialOwner) (owned, error) {
	if o.kind == ownerIM {
		m, err := t.imApp(who, o.id)
		if err != nil {
			return owned{}, err
		}
		return owned{CredentialOwner: o, name: m.Name}, nil
	}
	a, err := t.app(who, o.id)
	if err != nil {
		return owned{}, err
	}
	return owned{CredentialOwner: o, name: a.Name, product: a.ProductID, app: a}, nil
}

func (t *Tx) settleOwner(o CredentialOwner) error {
	if o.kind == ownerIM {
		return nil
	}
	return t.settle(o.id)
}

// saveCredential saves one; other says that it replaced keys of another app at the
// vendor.
func (s *Store) saveCredential(t *Tx, who Actor, own owned, in CredentialInput) (saved *Credential, other bool, err error) {
	if err := in.check(own); err != nil {
		return nil, false, err
	}
	var rows []Credential
	err = t.locked().Where("owner_kind = ? AND owner_id = ? AND channel = ? AND environment = ? AND package_name = ?",
		own.kind, own.id, in.Channel, in.Environment, in.PackageName).Find(&rows).Error
	if err != nil {
		return nil, false, err
	}
	if len(rows) == 0 && in.PackageName != "" {
		if err := t.roomForPackage(own, in.Channel); err != nil {
			return nil, false, err
		}
	}
	now := t.now()
	c := &Credential{
		AccountID: who.AccountID, OwnerKind: own.kind, OwnerID: own.id, Channel: in.Channel,
		Environment: in.Environment, PackageName: in.PackageName, CreatedAt: now, Sealed: []byte{},
	}
	e := entry{action: ActionCreate, kind: AuditCredential, product: own.product}
	if len(rows) > 0 {
		c, e.action, e.before = &rows[0], ActionUpdate, rows[0].facts()
	}
	info, err := json.Marshal(in.Info)
	if err != nil {
		return nil, false, fmt.Errorf("models: credential info: %w", err)
	}
	c.Kind, c.Info, c.NotAfter, c.SavedBy, c.UpdatedAt = in.Kind, string(info), in.NotAfter, who.Name, now
	c.Source, c.SourceID, c.SourceRev = SourceManual, nil, nil
	c.Rate, c.DailyQuota = in.Rate, in.DailyQuota
	same := s.sameFields(c, in.Fields)
	c.replaced(same, in.SameApp)
	c.Revision++
	c.resume(in.Tested, now)
	if err := s.storeCredential(t, c, in.Fields); err != nil {
		return nil, false, err
	}
	e.id, e.name, e.after = c.ID, own.name, c.facts()
	return c, len(rows) > 0 && !same && !in.SameApp, t.audit(who, e)
}

// maxPackages is how many 渠道包名 an owner may have keys of one channel for.
const maxPackages = 50

func (t *Tx) roomForPackage(own owned, channel string) error {
	var n int64
	err := t.Model(&Credential{}).Where("owner_kind = ? AND owner_id = ? AND channel = ? AND package_name <> ''", own.kind, own.id, channel).Count(&n).Error
	if err == nil && n >= maxPackages {
		return invalid("package_name", "errors.credential.packages", map[string]any{"Max": maxPackages})
	}
	return err
}

// sameFields reports whether a credential holds exactly these fields. One that does
// not open holds others.
func (s *Store) sameFields(c *Credential, fields map[string]string) bool {
	if c.ID == 0 {
		return false
	}
	old, err := s.openFields(c)
	return err == nil && maps.EqualFunc(old, fields, func(a Secret, b string) bool { return a.Reveal() == b })
}

// replaced ends what was said of the fields that are about to be replaced, unless
// they are the same ones: other keys may be another app at the vendor, and another
// message class may have a quota of its own.
func (c *Credential) replaced(sameFields, sameApp bool) {
	if sameFields {
		return
	}
	c.RestUntil, c.RestCode, c.ClassRests = nil, "", ""
	c.QuotaLimit, c.QuotaUsed, c.QuotaAt = 0, 0, nil
	if !sameApp {
		c.ReceiptOnAt, c.ReceiptOnBy, c.ReceiptOffCode = nil, "", ""
	}
}

// resume clears what a refusal left. A rest goes on: good keys say nothing of how
// much they may still send today.
func (c *Credential) resume(tested bool, now time.Time) {
	c.State, c.CauseCode, c.CauseText, c.PausedAt = CredentialUntested, "", "", nil
	if tested {
		c.State, c.LastOKAt = CredentialWorking, &now
	}
}

// storeCredential writes c with its fields sealed. The seal is bound to the row's
// id, which a new row has only after it was written.
func (s *Store) storeCredential(t *Tx, c *Credential, fields map[string]string) error {
	if c.ID == 0 {
		if err := t.Create(c).Error; err != nil {
			return err
		}
	}
	plain, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("models: credential fields: %w", err)
	}
	if c.Sealed, err = s.keys.Seal(plain, credentialPlace(c.ID)); err != nil {
		return err
	}
	if c.OwnerKind == ownerApp && HasReceipts(c.Channel) && len(c.ReceiptHash) == 0 {
		if err := s.newReceiptSecret(c); err != nil {
			return err
		}
	}
	return t.Save(c).Error
}

// check refuses what no form offers.
func (in CredentialInput) check(own owned) error {
	environments := []string{EnvironmentProduction, EnvironmentDevelopment, EnvironmentSandbox}
	switch {
	case in.Channel == "" || in.Kind == "" || len(in.Fields) == 0:
		return invalid("", "errors.credential.incomplete", nil)
	case !slices.Contains(environments, in.Environment), own.app == nil && in.Environment == EnvironmentSandbox:
		return invalid("environment", "errors.credential.environment", nil)
	case own.app != nil && !ChannelFits(in.Channel, own.app.Platform):
		return invalid("", "errors.credential.platform", nil)
	case in.Rate < 0 || in.Rate > MaxRate:
		return invalid("rate", "errors.credential.rate", map[string]any{"Max": MaxRate})
	case in.DailyQuota < 0 || in.DailyQuota > MaxDailyQuota:
		return invalid("daily_quota", "errors.credential.daily_quota", map[string]any{"Max": MaxDailyQuota})
	}
	if own.app != nil && in.Environment != EnvironmentSandbox && in.Info.BundleID != "" &&
		own.app.PackageName != "" && in.PackageName == "" && in.Info.BundleID != own.app.PackageName {
		return invalid("file", "errors.credential.bundle", map[string]any{"Bundle": in.Info.BundleID, "Package": own.app.PackageName})
	}
	return nil
}
