package models

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm/clause"
)

// Environments of credentials, equal to push.Environment's values. The sandbox's is
// a slot of its own.
const (
	EnvironmentProduction  = "production"
	EnvironmentDevelopment = "development"
	EnvironmentSandbox     = "sandbox"
)

// States of a credential.
const (
	CredentialUntested = "untested"
	CredentialWorking  = "working"
	CredentialPaused   = "paused" // refused by the vendor; its work waits
)

// Where a credential came from.
const (
	SourceManual = "manual"
	SourceIM     = "im" // carried over from the IM side
)

// Kinds of credential owners.
const (
	ownerApp = "app"
	ownerIM  = "im"
)

// CredentialOwner is an app, or an IM app with its vendor settings.
type CredentialOwner struct {
	kind string
	id   int64
}

// AppOwner names an app as the owner of credentials.
func AppOwner(appID int64) CredentialOwner { return CredentialOwner{ownerApp, appID} }

// IMOwner names an IM app as the owner of vendor settings.
func IMOwner(imAppID int64) CredentialOwner { return CredentialOwner{ownerIM, imAppID} }

// permission is what changing the owner's credentials needs.
func (o CredentialOwner) permission() Permission {
	if o.kind == ownerIM {
		return PermIM
	}
	return PermConfigure
}

// Credential is our key or certificate for one channel, environment and package of
// an app or IM app: 厂商通道 or 推送证书. Its fields stay sealed.
type Credential struct {
	ID          int64 `gorm:"primaryKey"`
	AccountID   int64
	OwnerKind   string
	OwnerID     int64
	Channel     string
	Environment string
	PackageName string // "" for the app's own
	Kind        string // of the channel's kinds, such as p8 or p12
	Sealed      []byte `gorm:"column:fields" json:"-"`
	Info        string // CredentialInfo as JSON
	NotAfter    *time.Time
	Revision    int64 // grows with every change of the fields
	State       string
	CauseCode   string // why it is paused: the vendor's code and words
	CauseText   string
	PausedAt    *time.Time
	LastOKAt    *time.Time `gorm:"column:last_ok_at"` // to the minute
	Source      string
	SourceID    *int64 // the credential on the IM side that this one is a copy of
	SourceRev   *int64 // and the revision that was copied
	SavedBy     string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Rate        int64      // targets a second at most, 0 for the vendor's published rule
	RestUntil   *time.Time // nothing is sent before: the vendor's daily quota is used up
	RestCode    string     // the vendor's code that said so
	// The address that the vendor reports to, empty for channels without receipts.
	SealedReceipt  []byte     `gorm:"column:receipt_secret" json:"-"`
	ReceiptHash    []byte     `json:"-"`
	ReceiptAt      *time.Time // when the vendor last reported
	ReceiptCount   int64
	ReceiptRefused int64 // reports that were forged or could not be read
}

// CredentialInfo are facts about a credential that are safe to show.
type CredentialInfo struct {
	Subject   string     `json:"subject,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	BundleID  string     `json:"bundle_id,omitempty"` // a certificate's; only this bundle may use it
	KeyID     string     `json:"key_id,omitempty"`
	TeamID    string     `json:"team_id,omitempty"`
	Last4     string     `json:"last4,omitempty"`
	FileName  string     `json:"file_name,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Shown holds fields that are no secret, such as AppId, by field key.
	Shown map[string]string `json:"shown,omitempty"`
}

// Facts returns the facts about a credential.
func (c *Credential) Facts() CredentialInfo {
	var info CredentialInfo
	_ = json.Unmarshal([]byte(c.Info), &info) // we wrote it; at worst a fact is missing
	return info
}

// Owner returns whom the credential belongs to.
func (c *Credential) Owner() CredentialOwner { return CredentialOwner{c.OwnerKind, c.OwnerID} }

func (c *Credential) facts() facts {
	return facts{
		"channel": c.Channel, "environment": c.Environment, "package_name": c.PackageName, "kind": c.Kind,
		"revision": c.Revision, "info": json.RawMessage(c.Info),
	}
}

func credentialPlace(id int64) string { return "credentials.fields:" + strconv.FormatInt(id, 10) }

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
	// Rate is Credential.Rate.
	Rate int64
}

// SaveCredentials saves credentials in their slots (channel, environment, package),
// new or in place of what was there, all or none: a key for both environments is
// two of them. A replaced one is resumed. Invalid for a broken input; NotFound;
// Forbidden without PermConfigure, on the IM side PermIM.
func (s *Store) SaveCredentials(ctx context.Context, who Actor, o CredentialOwner, in ...CredentialInput) ([]Credential, error) {
	out := make([]Credential, len(in))
	err := s.change(ctx, who, o.permission(), "save credential", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		for i := range in {
			c, err := s.saveCredential(t, who, own, in[i])
			if err != nil {
				return err
			}
			out[i] = *c
		}
		return t.settleOwner(o)
	})
	if err != nil {
		return nil, err
	}
	s.resumed(ctx, o, out...)
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

func (s *Store) saveCredential(t *Tx, who Actor, own owned, in CredentialInput) (*Credential, error) {
	if err := in.check(own); err != nil {
		return nil, err
	}
	var rows []Credential
	err := t.locked().Where("owner_kind = ? AND owner_id = ? AND channel = ? AND environment = ? AND package_name = ?",
		own.kind, own.id, in.Channel, in.Environment, in.PackageName).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && in.PackageName != "" {
		if err := t.roomForPackage(own, in.Channel); err != nil {
			return nil, err
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
		return nil, fmt.Errorf("models: credential info: %w", err)
	}
	c.Kind, c.Info, c.NotAfter, c.SavedBy, c.UpdatedAt = in.Kind, string(info), in.NotAfter, who.Name, now
	c.Source, c.SourceID, c.SourceRev = SourceManual, nil, nil
	c.Rate = in.Rate
	c.Revision++
	c.resume(in.Tested, now)
	if err := s.storeCredential(t, c, in.Fields); err != nil {
		return nil, err
	}
	e.id, e.name, e.after = c.ID, own.name, c.facts()
	return c, t.audit(who, e)
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

// resume clears what a refusal left.
func (c *Credential) resume(tested bool, now time.Time) {
	c.State, c.CauseCode, c.CauseText, c.PausedAt = CredentialUntested, "", "", nil
	c.RestUntil, c.RestCode = nil, ""
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
	}
	if own.app != nil && in.Environment != EnvironmentSandbox && in.Info.BundleID != "" &&
		own.app.PackageName != "" && in.PackageName == "" && in.Info.BundleID != own.app.PackageName {
		return invalid("file", "errors.credential.bundle", map[string]any{"Bundle": in.Info.BundleID, "Package": own.app.PackageName})
	}
	return nil
}

// ChannelFits reports whether apps of a platform can be reached through a channel.
func ChannelFits(channel, platform string) bool {
	return (channel == "apns") == (platform == PlatformIOS || platform == PlatformMacOS)
}

// Credentials returns an owner's credentials. NotFound; Forbidden without PermView,
// on the IM side PermIM.
func (s *Store) Credentials(ctx context.Context, who Actor, o CredentialOwner) ([]Credential, error) {
	if err := s.viewOwner(ctx, who, o); err != nil {
		return nil, err
	}
	var rows []Credential
	err := s.read(ctx).Where("account_id = ? AND owner_kind = ? AND owner_id = ?", who.AccountID, o.kind, o.id).
		Order("channel, environment, package_name").Find(&rows).Error
	return rows, failed("credentials", err)
}

func (s *Store) viewOwner(ctx context.Context, who Actor, o CredentialOwner) error {
	if o.kind == ownerIM {
		_, err := s.IMAppByID(ctx, who, o.id)
		return err
	}
	return s.viewApp(ctx, who, o.id)
}

// CredentialByID returns one of an owner's credentials. NotFound; Forbidden as
// Credentials.
func (s *Store) CredentialByID(ctx context.Context, who Actor, o CredentialOwner, id int64) (*Credential, error) {
	if err := s.viewOwner(ctx, who, o); err != nil {
		return nil, err
	}
	var c Credential
	err := s.read(ctx).Where("account_id = ? AND owner_kind = ? AND owner_id = ? AND id = ?", who.AccountID, o.kind, o.id, id).Take(&c).Error
	if err != nil {
		return nil, failed("credential", found(err, ""))
	}
	return &c, nil
}

// CredentialFields opens a credential's fields, to test it with the vendor or to
// keep those a form left alone. They must not reach a page. NotFound; Forbidden
// without PermConfigure, on the IM side PermIM.
func (s *Store) CredentialFields(ctx context.Context, who Actor, o CredentialOwner, id int64) (*Credential, map[string]Secret, error) {
	if err := who.need(o.permission()); err != nil {
		return nil, nil, err
	}
	c, err := s.CredentialByID(ctx, who, o, id)
	if err != nil {
		return nil, nil, err
	}
	fields, err := s.openFields(c)
	return c, fields, err
}

func (s *Store) openFields(c *Credential) (map[string]Secret, error) {
	plain, err := s.keys.Open(c.Sealed, credentialPlace(c.ID))
	if err != nil {
		return nil, err
	}
	fields := map[string]Secret{}
	if err := json.Unmarshal(plain, &fields); err != nil {
		return nil, fmt.Errorf("models: credential %d: fields: %w", c.ID, err)
	}
	return fields, nil
}

// DeleteCredential deletes a credential; work that waited for it ends as 无凭证 or
// goes through another. NotFound; Forbidden without PermConfigure, on the IM side
// PermIM.
func (s *Store) DeleteCredential(ctx context.Context, who Actor, o CredentialOwner, id int64) error {
	var c Credential
	err := s.change(ctx, who, o.permission(), "delete credential", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		err = t.Clauses(clause.Returning{}).Where("account_id = ? AND owner_kind = ? AND owner_id = ? AND id = ?", who.AccountID, o.kind, o.id, id).Delete(&c).Error
		if err != nil {
			return err
		}
		if c.ID == 0 {
			return notFound("")
		}
		e := entry{action: ActionDelete, kind: AuditCredential, id: id, name: own.name, product: own.product, before: c.facts()}
		if err := t.audit(who, e); err != nil {
			return err
		}
		return t.settleOwner(o)
	})
	if err != nil {
		return err
	}
	s.resumed(ctx, o, c)
	return nil
}
