package models

import (
	"context"
	"encoding/json"
	"fmt"
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
	ClassRests  string     // the same of messages with a class of their own, see classRests
	// DailyQuota is what the operator says the vendor takes a day, 0 for not said;
	// the others are what the vendor itself last said of it.
	DailyQuota int64
	QuotaLimit int64
	QuotaUsed  int64
	QuotaAt    *time.Time
	// The address that the vendor reports to, empty for channels without receipts.
	SealedReceipt  []byte     `gorm:"column:receipt_secret" json:"-"`
	ReceiptHash    []byte     `json:"-"`
	ReceiptAt      *time.Time // when the vendor last reported; while ReceiptCount is 0, when it tested the address
	ReceiptCount   int64
	ReceiptRefused int64 // reports that were forged or could not be read
	// Since when messages carry the address of a vendor that must know it first
	// (点击激活), who said that it does, and the vendor's code that turned it off again.
	ReceiptOnAt    *time.Time
	ReceiptOnBy    string
	ReceiptOffCode string
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
	s.resumed(ctx, o, Credential{ID: c.ID}) // nothing holds its work any more
	s.forgetTallies(ctx, o, c.ID)
	return nil
}
