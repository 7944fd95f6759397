package models

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// phoneKey names the meta row of a virtual phone's device secret. It lies in the
// app's own database, where the device does.
func phoneKey(appID int64, token string) string {
	return "sandbox:" + strconv.FormatInt(appID, 10) + ":phone:" + token
}

// KeepVirtualPhone seals and keeps the device secret that the device API gave a
// virtual phone: the inbox reports what its user taps, as the app in a phone would,
// from whichever process serves the page.
func (s *Store) KeepVirtualPhone(ctx context.Context, app AppScope, token string, secret Secret) error {
	key := phoneKey(app.appID, token)
	sealed, err := app.db.seal([]byte(secret.Reveal()), key)
	if err != nil {
		return err
	}
	err = app.db.write(ctx, func(t *Tx) error {
		row := metaRow{Key: key, Value: sealed, UpdatedAt: t.now()}
		return t.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error
	})
	return wrapNil("models: virtual phone", err)
}

// VirtualPhone returns the device secret of a virtual phone of the app. NotFound for
// any other device.
func (s *Store) VirtualPhone(ctx context.Context, app AppScope, token string) (Secret, error) {
	key := phoneKey(app.appID, token)
	var row metaRow
	if err := app.db.read(ctx).Where("key = ?", key).Take(&row).Error; err != nil {
		return "", found(err, "device")
	}
	secret, err := app.db.open(row.Value, key)
	return Secret(secret), err
}

// SignVirtual signs the binding of a virtual phone where its app asks for
// signatures, as the customer's backend does for a real one. Conflict when the app
// is not in the sandbox, where no real person's messages can be had with it.
func (s *Store) SignVirtual(ctx context.Context, app AppScope, token string, b Binding) (Binding, error) {
	var sandbox bool
	if err := s.read(ctx).Raw("SELECT sandbox FROM apps WHERE id = ?", app.appID).Take(&sandbox).Error; err != nil {
		return b, found(err, "")
	}
	if !sandbox {
		return b, conflict("errors.sandbox.off", nil)
	}
	key, err := s.bindKey(ctx, app)
	if err != nil || key == nil {
		return b, err
	}
	b.Time = s.Now().Unix()
	b.Signature = BindSignature(key, token, b)
	return b, nil
}

// A sample secret stands in the place of an ingest secret for one minute. Ingest
// secrets are kept as hashes, so the console cannot send 发送示例消息 to the IM app's
// own address; this one is sealed with the installation's key, opens in every
// process, and reaches one app and no other: one in the sandbox, unless somebody with
// the right asked for a real one (SampleSecretOf).
const (
	samplePrefix = "sample."
	samplePlace  = "ingest.sample"
	sampleLife   = time.Minute
)

type sampleToken struct {
	App   int64 `json:"a"`
	IMApp int64 `json:"i"`
	Until int64 `json:"u"` // Unix seconds
	// Real also reaches an app that is not in the sandbox.
	Real bool `json:"r,omitempty"`
}

// SampleSecret returns what stands for the ingest secret of the IM app that the app
// is authorized to, good for a minute and for this app alone. Conflict when the app
// is not in the sandbox or not authorized; NotFound; Forbidden without PermPush.
func (s *Store) SampleSecret(ctx context.Context, who Actor, appID int64) (Secret, error) {
	if err := who.need(PermPush); err != nil {
		return "", err
	}
	_, v, err := s.ScopeForApp(ctx, who, appID)
	if err != nil {
		return "", err
	}
	switch {
	case !v.Sandbox:
		return "", conflict("errors.sandbox.off", nil)
	case !v.Authorized():
		return "", conflict("errors.sandbox.unauthorized", nil)
	}
	return s.sealSample(sampleToken{App: appID, IMApp: v.IMAppID})
}

// SampleSecretOf is SampleSecret for 发送示例请求 on the page of an IM app: the app need
// not be in the sandbox, so a person's phone may show the sample, and it is written
// down who sent one. Conflict when the app is not authorized to this IM app; NotFound;
// Forbidden without PermIM or PermPush.
func (s *Store) SampleSecretOf(ctx context.Context, who Actor, imAppID, appID int64) (Secret, error) {
	if err := who.need(PermPush); err != nil {
		return "", err
	}
	_, v, err := s.ScopeForApp(ctx, who, appID)
	if err != nil {
		return "", err
	}
	err = s.change(ctx, who, PermIM, "sample secret", func(t *Tx) error {
		m, err := t.imApp(who, imAppID)
		if err != nil {
			return err
		}
		if v.IMAppID != imAppID {
			return conflict("errors.sandbox.unauthorized", nil)
		}
		e := m.entry(ActionTest)
		e.after = facts{"access_id": v.AccessID()}
		return t.audit(who, e)
	})
	if err != nil {
		return "", err
	}
	return s.sealSample(sampleToken{App: appID, IMApp: imAppID, Real: true})
}

func (s *Store) sealSample(t sampleToken) (Secret, error) {
	t.Until = s.Now().Add(sampleLife).Unix()
	plain, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("models: sample secret: %w", err)
	}
	sealed, err := s.seal(plain, samplePlace)
	if err != nil {
		return "", err
	}
	return Secret(samplePrefix + base64.RawURLEncoding.EncodeToString(sealed)), nil
}

// loadSample is IngestBySecret for a sample secret. It asks the database each time:
// it is rare, and the sandbox may have been switched off since.
func (s *Store) loadSample(ctx context.Context, secret string, now time.Time) (Ingest, error) {
	unknown := notFound("im_app")
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, samplePrefix))
	if err != nil {
		return Ingest{}, unknown
	}
	plain, err := s.open(sealed, samplePlace)
	if err != nil {
		return Ingest{}, unknown // not sealed by us
	}
	var t sampleToken
	if err := json.Unmarshal(plain, &t); err != nil || now.Unix() > t.Until {
		return Ingest{}, unknown
	}
	var im struct {
		ID, AccountID int64
		SDKAppID      int64 `gorm:"column:sdk_app_id"`
		Bridge        string
		ContentDays   int
		Language      string
		ContentUntil  *time.Time
	}
	err = s.read(ctx).Raw(`SELECT i.id, i.account_id, i.sdk_app_id, i.bridge, i.content_until, a.content_days, a.language FROM im_apps i JOIN accounts a ON a.id = i.account_id
		WHERE i.id = ? AND i.deleted_at IS NULL`, t.IMApp).Take(&im).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return Ingest{}, unknown
	}
	if err != nil {
		return Ingest{}, fmt.Errorf("models: sample secret: %w", err)
	}
	// No allow-list: the list is for the IM server, and this comes from the console.
	// Virtual phones are known by their device tokens, whatever the IM app's are.
	in := Ingest{
		imAppID: im.ID, accountID: im.AccountID, sdkAppID: im.SDKAppID, bridge: im.Bridge, contentDays: im.ContentDays, language: im.Language,
		addressing: AddressDevice, sample: true,
	}
	if im.ContentUntil != nil {
		in.contentUntil = *im.ContentUntil
	}
	if in.targets, err = s.ingestTargets(ctx, im.ID); err != nil {
		return Ingest{}, err
	}
	in.targets = slices.DeleteFunc(in.targets, func(x ingestTarget) bool { return x.scope.appID != t.App || !x.sandbox && !t.Real })
	return in, nil
}
