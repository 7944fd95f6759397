package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm/clause"
)

// Platforms of apps.
const (
	PlatformAndroid = "android"
	PlatformIOS     = "ios"
	PlatformMacOS   = "macos"
)

// Platforms lists the platforms in the order pages show them.
func Platforms() []string { return []string{PlatformAndroid, PlatformIOS, PlatformMacOS} }

// platformDigit is the second digit of an AccessID, after a 1.
// spec/tpns-api.md: Android 15…, iOS 16….
func platformDigit(platform string) int64 {
	switch platform {
	case PlatformIOS:
		return 6
	case PlatformMacOS:
		return 7
	}
	return 5
}

// App is an 应用: one platform of a product. Its ID is the AccessID.
type App struct {
	ID              int64 `gorm:"primaryKey;autoIncrement:false"`
	AccountID       int64
	ProductID       int64
	Region          string
	Platform        string
	Name            string
	PackageName     string // Android package or Apple bundle id, "" while not set
	AccessKeyHash   []byte `json:"-"`
	SealedAccessKey []byte `gorm:"column:access_key" json:"-"`
	SealedSecretKey []byte `gorm:"column:secret_key" json:"-"`
	SealedBindKey   []byte `gorm:"column:bind_key" json:"-"`
	ServiceState    string // see Service
	FullPush        bool   // 完整推送 opened on an app authorized to an IM app
	Sandbox         bool   // sends through the built-in simulators
	Fanout          string
	TextMode        string
	MergeSeconds    int64      // 会话合并: one alert per conversation and device in so long, 0 for off
	BindRequired    bool       // binding an account needs a signature of the customer's backend
	SyncedAt        *time.Time // when vendor settings were last carried over from the IM side
	CreatedAt       time.Time
	UpdatedAt       time.Time
	DeletedAt       *time.Time
	PurgedAt        *time.Time
}

// AccessID returns the id as people write it.
func (a *App) AccessID() string { return strconv.FormatInt(a.ID, 10) }

// HasBindKey reports whether a key for binding signatures was made.
func (a *App) HasBindKey() bool { return len(a.SealedBindKey) > 0 }

// MaxAppName is the longest name of an app, in characters.
const MaxAppName = 60

// Lengths of an app's keys. An AccessKey is "A" and 11 characters and lies inside
// the app on every phone; a SecretKey holds 190 random bits.
const (
	accessKeyRandom = 11
	secretKeyLength = 32
)

const (
	upperDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	base62      = upperDigits + "abcdefghijklmnopqrstuvwxyz"
)

// randomText returns n characters chosen evenly from alphabet.
func randomText(n int, alphabet string) (string, error) {
	out := make([]byte, n)
	size := big.NewInt(int64(len(alphabet)))
	for i := range out {
		k, err := rand.Int(rand.Reader, size)
		if err != nil {
			return "", fmt.Errorf("models: random text: %w", err)
		}
		out[i] = alphabet[k.Int64()]
	}
	return string(out), nil
}

func (a *App) facts() facts {
	return facts{
		"name": a.Name, "platform": a.Platform, "package_name": a.PackageName, "full_push": a.FullPush,
		"sandbox": a.Sandbox, "fanout": a.Fanout, "text_mode": a.TextMode, "merge_seconds": a.MergeSeconds, "bind_required": a.BindRequired,
	}
}

func (a *App) entry(action string) entry {
	return entry{action: action, kind: AuditApp, id: a.ID, name: a.Name, product: a.ProductID}
}

// createApp writes a new app with fresh keys.
func (s *Store) createApp(t *Tx, who Actor, p *Product, region Region, platform, name string) (*App, error) {
	now := t.now()
	app := &App{
		AccountID: who.AccountID, ProductID: p.ID, Region: region.ID, Platform: platform, Name: name,
		ServiceState: ServiceNew, Fanout: FanoutAll, TextMode: TextFull, CreatedAt: now, UpdatedAt: now,
	}
	const tries = 20 // ten million ids per platform and region: one is free at once
	for range tries {
		n, err := rand.Int(rand.Reader, big.NewInt(10_000_000))
		if err != nil {
			return nil, fmt.Errorf("models: access id: %w", err)
		}
		app.ID = (100+10*platformDigit(platform)+int64(region.Prefix))*10_000_000 + n.Int64()
		if _, err := s.newAccessKey(app); err != nil {
			return nil, err
		}
		if _, err := s.newSecretKey(app); err != nil {
			return nil, err
		}
		// An id that is taken must not fail the transaction.
		res := t.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoNothing: true}).Create(app)
		switch {
		case duplicate(res.Error):
			return nil, conflictField("platform", "errors.app.platform_taken")
		case res.Error != nil:
			return nil, res.Error
		case res.RowsAffected == 1:
			e := app.entry(ActionCreate)
			e.after = app.facts()
			return app, t.audit(who, e)
		}
	}
	return nil, errors.New("models: no AccessID is free")
}

func (s *Store) newAccessKey(a *App) (string, error) {
	text, err := randomText(accessKeyRandom, upperDigits)
	if err != nil {
		return "", err
	}
	key := "A" + text
	hash := sha256.Sum256([]byte(key))
	a.AccessKeyHash = hash[:]
	a.SealedAccessKey, err = s.keys.Seal([]byte(key), keyPlace("access_key", a.ID))
	return key, err
}

func (s *Store) newSecretKey(a *App) (string, error) {
	key, err := randomText(secretKeyLength, base62)
	if err != nil {
		return "", err
	}
	a.SealedSecretKey, err = s.keys.Seal([]byte(key), keyPlace("secret_key", a.ID))
	return key, err
}

// keyPlace names where a sealed key of an app lies.
func keyPlace(column string, appID int64) string {
	return "apps." + column + ":" + strconv.FormatInt(appID, 10)
}

// AddApp adds a platform to a product; name "" takes the product's. Invalid (name,
// platform); Conflict (platform) when the product has it; NotFound; Forbidden
// without PermConfigure.
func (s *Store) AddApp(ctx context.Context, who Actor, productID int64, platform, name string) (*App, error) {
	if !slices.Contains(Platforms(), platform) {
		return nil, invalid("platform", "errors.app.platform", nil)
	}
	name, err := label(name, "name", "", MaxAppName)
	if err != nil {
		return nil, err
	}
	var app *App
	err = s.change(ctx, who, PermConfigure, "add app", func(t *Tx) error {
		p, err := t.product(who, productID)
		if err != nil {
			return err
		}
		region, err := s.Region(p.Region)
		if err != nil {
			return fmt.Errorf("region %q is not configured", p.Region)
		}
		var n int64
		if err := t.Model(&App{}).Where("product_id = ? AND platform = ? AND deleted_at IS NULL", productID, platform).Count(&n).Error; err != nil {
			return err
		}
		if n > 0 {
			return conflictField("platform", "errors.app.platform_taken")
		}
		if name == "" {
			name = p.Name
		}
		app, err = s.createApp(t, who, p, region, platform, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return app, nil
}

// app reads one of the actor's apps and keeps it unchanged.
func (t *Tx) app(who Actor, id int64) (*App, error) {
	var a App
	err := t.locked().Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, id).Take(&a).Error
	if err != nil {
		return nil, found(err, "")
	}
	return &a, who.needProduct(a.ProductID)
}

// DeleteApp deletes an app; typed must be its name. Its keys stop at once, its data
// is purged later in small steps. Invalid (name); Conflict while it is authorized
// to an IM app; NotFound; Forbidden without PermConfigure.
func (s *Store) DeleteApp(ctx context.Context, who Actor, id int64, typed string) error {
	err := s.change(ctx, who, PermConfigure, "delete app", func(t *Tx) error {
		a, err := t.app(who, id)
		if err != nil {
			return err
		}
		if err := confirmName(typed, a.Name); err != nil {
			return err
		}
		return t.deleteApp(who, a)
	})
	if err == nil {
		s.forgetApp(id)
	}
	return err
}

// deleteApp marks an app that t holds locked as deleted, and deletes its
// credentials: nothing is left that could send.
func (t *Tx) deleteApp(who Actor, a *App) error {
	im, err := t.authorizedTo(a.ID)
	if err != nil {
		return err
	}
	if im != nil {
		return conflict("errors.app.authorized", map[string]any{"App": a.Name, "AccessID": a.AccessID(), "IM": im.Name})
	}
	if err := t.Where("owner_kind = ? AND owner_id = ?", ownerApp, a.ID).Delete(&Credential{}).Error; err != nil {
		return err
	}
	res := t.Model(&App{}).Where("id = ? AND deleted_at IS NULL", a.ID).UpdateColumns(map[string]any{"deleted_at": t.now(), "updated_at": t.now()})
	if err := updated(res); err != nil {
		return err
	}
	e := a.entry(ActionDelete)
	e.before = a.facts()
	return t.audit(who, e)
}

// DeletedApp is an app whose data waits to be purged.
type DeletedApp struct {
	Scope     AppScope
	DeletedAt time.Time
}

// DeletedApps returns apps whose data is still in d, the longest deleted first. It is
// for the worker's purge.
func (s *Store) DeletedApps(ctx context.Context, d *DB, limit int) ([]DeletedApp, error) {
	var here []string
	for id, db := range s.byRegion {
		if db == d {
			here = append(here, id)
		}
	}
	var apps []App
	err := s.read(ctx).Where(waitsForPurge+" AND region IN ?", here).Order("deleted_at, id").Limit(limit).Find(&apps).Error
	if err != nil {
		return nil, fmt.Errorf("models: deleted apps: %w", err)
	}
	out := make([]DeletedApp, 0, len(apps))
	for i := range apps {
		scope, err := s.scope(&apps[i])
		if err != nil {
			return nil, err
		}
		out = append(out, DeletedApp{Scope: scope, DeletedAt: *apps[i].DeletedAt})
	}
	return out, nil
}

const waitsForPurge = "deleted_at IS NOT NULL AND purged_at IS NULL"

// warnOfStranded logs how many deleted apps cannot be purged because their region was
// taken out of the configuration.
func (s *Store) warnOfStranded(ctx context.Context) error {
	var regions []string
	for id := range s.byRegion {
		regions = append(regions, id)
	}
	var n int64
	err := s.read(ctx).Model(&App{}).Where(waitsForPurge+" AND region NOT IN ?", regions).Count(&n).Error
	if err == nil && n > 0 {
		s.log.Warn("the data of deleted apps stays, because their regions are not configured any more", "apps", n)
	}
	return err
}

// AppPurged notes that nothing is left of a deleted app but its row, which keeps
// its AccessID from being given to another, and deletes its plans. Conflict when
// the app is not deleted or was noted before.
func (s *Store) AppPurged(ctx context.Context, app AppScope) error {
	return failed("app purged", s.write(ctx, func(t *Tx) error {
		res := t.Model(&App{}).Where("id = ? AND deleted_at IS NOT NULL AND purged_at IS NULL", app.appID).UpdateColumn("purged_at", t.now())
		if err := updated(res); err != nil {
			return err
		}
		if err := t.Where("key = ?", settingsKey(app.appID)).Delete(&metaRow{}).Error; err != nil {
			return err
		}
		return t.Where("app_id = ?", app.appID).Delete(&Plan{}).Error
	}))
}

// scope is the right to touch an app's data-plane rows; its callers have checked
// who asks.
func (s *Store) scope(a *App) (AppScope, error) {
	db, err := s.region(a.Region)
	if err != nil {
		return AppScope{}, err
	}
	return AppScope{appID: a.ID, accountID: a.AccountID, db: db}, nil
}
