package models

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// SendCredential is a credential as the worker needs it.
type SendCredential struct {
	ID, Revision int64
	Channel      string
	Environment  string
	PackageName  string // "" serves every package of the app
	Kind         string
	Fields       map[string]Secret
	Paused       bool
	Rate         int64     // Credential.Rate
	RestUntil    time.Time // zero when the credential does not rest
	// ClassRests is until when messages rest that have a class of their own, by its
	// push.Message.ClassTag; nil for none.
	ClassRests map[string]time.Time
	// Receipt is the secret of the address that the vendor reports to, "" for a
	// channel without receipts.
	Receipt Secret
	// ReceiptOn says that the vendor knows the address, where it must before a message
	// may carry it. A simulator does.
	ReceiptOn bool
}

// SendConfig is everything that the worker must know to send for an app. It is
// shared and must not be changed.
type SendConfig struct {
	AppID, AccountID int64
	Region           string
	Platform         string
	Package          string // Android package or Apple bundle id
	Name             string // the product's, which phones may show
	Sandbox          bool   // only credentials of EnvironmentSandbox, through the simulators
	Fanout           string
	TextMode         string
	Merge            time.Duration // 会话合并, 0 for off
	HideKey          Secret        // hides conversations from the vendor, unless TextMode is TextFull
	Language         string        // of generic texts
	Credentials      []SendCredential
}

// CredentialFor finds the app's credential for a route: of its channel and
// environment, and of its package before one for any package; nil when none fits. In
// the sandbox only the sandbox's credentials count.
func (c *SendConfig) CredentialFor(channel, environment, packageName string) *SendCredential {
	if c.Sandbox {
		environment = EnvironmentSandbox
	}
	var some *SendCredential
	for i := range c.Credentials {
		k := &c.Credentials[i]
		switch {
		case k.Channel != channel || k.Environment != environment:
		case k.PackageName == packageName:
			return k
		case k.PackageName == "" || packageName == "":
			some = k
		}
	}
	return some
}

// SendConfig returns how to send for an app, as it was within the last second. It
// is for the worker. NotFound for an app that is unknown or deleted.
func (s *Store) SendConfig(ctx context.Context, appID int64) (*SendConfig, error) {
	return s.control.configs.get(ctx, appID, s.Now(), func(ctx context.Context) (*SendConfig, error) {
		return s.loadSendConfig(ctx, appID)
	})
}

func (s *Store) loadSendConfig(ctx context.Context, appID int64) (*SendConfig, error) {
	var app struct {
		App
		Language    string
		ProductName string
	}
	err := s.read(ctx).Raw(`SELECT a.*, c.language, p.name AS product_name
		FROM apps a JOIN accounts c ON c.id = a.account_id JOIN products p ON p.id = a.product_id
		WHERE a.id = ? AND a.deleted_at IS NULL`, appID).Take(&app).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, notFound("")
	}
	if err != nil {
		return nil, fmt.Errorf("models: send config: %w", err)
	}
	var rows []Credential
	err = s.read(ctx).Where("owner_kind = ? AND owner_id = ?", ownerApp, appID).Order("id").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: send config: %w", err)
	}
	c := &SendConfig{
		AppID: appID, AccountID: app.AccountID, Region: app.Region, Platform: app.Platform, Package: app.PackageName,
		Name: app.ProductName, Sandbox: app.Sandbox, Fanout: app.Fanout, TextMode: app.TextMode,
		Merge: time.Duration(app.MergeSeconds) * time.Second, Language: app.Language,
	}
	if c.TextMode != TextFull {
		if c.HideKey, err = s.hideKey(&app.App); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		fields, err := s.openFields(&rows[i])
		if err != nil {
			return nil, err
		}
		receipt, err := s.receiptSecret(&rows[i])
		if err != nil {
			return nil, err
		}
		send := SendCredential{
			ID: rows[i].ID, Revision: rows[i].Revision, Channel: rows[i].Channel, Environment: rows[i].Environment,
			PackageName: rows[i].PackageName, Kind: rows[i].Kind, Fields: fields, Paused: rows[i].State == CredentialPaused,
			Rate: rows[i].Rate, Receipt: receipt, ReceiptOn: rows[i].ReceiptOnAt != nil || rows[i].Environment == EnvironmentSandbox,
		}
		if rows[i].RestUntil != nil {
			send.RestUntil = *rows[i].RestUntil
		}
		send.ClassRests = classRests(rows[i].ClassRests)
		c.Credentials = append(c.Credentials, send)
	}
	return c, nil
}

// hideKey derives the key that an app's conversation ids are hashed with before a
// vendor sees them. Such ids are names and phone numbers, and a hash without a secret
// would be guessed at once. It changes with the app's SecretKey.
func (s *Store) hideKey(a *App) (Secret, error) {
	secret, err := s.keys.Open(a.SealedSecretKey, keyPlace("secret_key", a.ID))
	if err != nil {
		return "", err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "hongyan conversation", sha256.Size)
	if err != nil {
		return "", fmt.Errorf("models: send config: %w", err)
	}
	return Secret(key), nil
}
