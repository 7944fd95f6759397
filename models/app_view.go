package models

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// AppView is an app with what pages show beside it.
type AppView struct {
	App
	ProductName string
	Category    string
	// AuthorizationID, IMAppID and IMAppName tell the authorization in force, if any.
	AuthorizationID int64
	IMAppID         int64 `gorm:"column:im_app_id"`
	IMAppName       string
	IMBridge        string
	IMPlanID        int64          // plan 即时通信IM消息, 0 before the first authorization
	Credentials     []CredentialAt `gorm:"-"`
}

// Authorized reports whether the app is authorized to an IM app now.
func (v *AppView) Authorized() bool { return v.AuthorizationID != 0 }

// CredentialAt is the state of one of an app's credentials, for a list.
type CredentialAt struct {
	ID          int64
	OwnerID     int64
	Channel     string
	Environment string
	Kind        string
	State       string
	CauseCode   string
	NotAfter    *time.Time
	LastOKAt    *time.Time `gorm:"column:last_ok_at"`
}

const appViewSQL = `SELECT a.*, p.name AS product_name, p.category, COALESCE(z.id, 0) AS authorization_id,
	COALESCE(z.im_app_id, 0) AS im_app_id, COALESCE(i.name, '') AS im_app_name, COALESCE(i.bridge, '') AS im_bridge, COALESCE(l.id, 0) AS im_plan_id
	FROM apps a JOIN products p ON p.id = a.product_id
	LEFT JOIN authorizations z ON z.app_id = a.id AND z.released_at IS NULL
	LEFT JOIN im_apps i ON i.id = z.im_app_id
	LEFT JOIN plans l ON l.app_id = a.id AND l.kind = 'im'
	WHERE a.account_id = ? AND a.deleted_at IS NULL`

// platformOrder sorts apps as Platforms lists them.
const platformOrder = ` ORDER BY CASE a.platform WHEN 'android' THEN 1 WHEN 'ios' THEN 2 ELSE 3 END, a.id`

// appViews returns the account's apps by product, all or those of some products.
// Its callers pick the products that the actor may see.
func (s *Store) appViews(ctx context.Context, who Actor, products ...int64) (map[int64][]AppView, error) {
	q, args := appViewSQL, []any{who.AccountID}
	if len(products) > 0 {
		q, args = q+" AND a.product_id IN ?", append(args, products)
	}
	var views []AppView
	if err := s.read(ctx).Raw(q+platformOrder, args...).Scan(&views).Error; err != nil {
		return nil, fmt.Errorf("models: apps: %w", err)
	}
	credentials, err := s.credentialsAt(ctx, who, 0)
	if err != nil {
		return nil, err
	}
	out := map[int64][]AppView{}
	for _, v := range views {
		v.Credentials = credentials[v.ID]
		out[v.ProductID] = append(out[v.ProductID], v)
	}
	return out, nil
}

// credentialsAt returns the states of the credentials of one app, or with 0 of all
// of the account's apps, by app.
func (s *Store) credentialsAt(ctx context.Context, who Actor, appID int64) (map[int64][]CredentialAt, error) {
	q := s.read(ctx).Table("credentials").Where("account_id = ? AND owner_kind = ?", who.AccountID, ownerApp)
	if appID != 0 {
		q = q.Where("owner_id = ?", appID)
	}
	var rows []CredentialAt
	if err := q.Order("channel, environment, package_name").Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("models: credentials: %w", err)
	}
	out := map[int64][]CredentialAt{}
	for _, r := range rows {
		out[r.OwnerID] = append(out[r.OwnerID], r)
	}
	return out, nil
}

// ScopeForApp is the console's way to an app: one of the actor's account, within
// his products. The scope opens its data-plane rows. NotFound; Forbidden without
// PermView.
func (s *Store) ScopeForApp(ctx context.Context, who Actor, appID int64) (AppScope, *AppView, error) {
	if err := who.need(PermView); err != nil {
		return AppScope{}, nil, err
	}
	var views []AppView
	if err := s.read(ctx).Raw(appViewSQL+" AND a.id = ?", who.AccountID, appID).Scan(&views).Error; err != nil {
		return AppScope{}, nil, fmt.Errorf("models: app: %w", err)
	}
	if len(views) == 0 {
		return AppScope{}, nil, notFound("")
	}
	v := &views[0]
	if err := who.needProduct(v.ProductID); err != nil {
		return AppScope{}, nil, err
	}
	credentials, err := s.credentialsAt(ctx, who, appID)
	if err != nil {
		return AppScope{}, nil, err
	}
	v.Credentials = credentials[appID]
	scope, err := s.scope(&v.App)
	return scope, v, err
}

// accessKeyEntry is what AppByAccessKey remembers of an app.
type accessKeyEntry struct {
	scope AppScope
	hash  []byte
}

// AppByAccessKey authenticates the app in a phone. A key that was reset, or an app
// that was deleted, elsewhere is refused within a second. Unauthorized; the answer
// is the same for an unknown AccessID and a wrong AccessKey.
func (s *Store) AppByAccessKey(ctx context.Context, accessID int64, accessKey string) (AppScope, error) {
	e, err := s.control.keys.get(ctx, accessID, s.Now(), func(ctx context.Context) (accessKeyEntry, error) {
		return s.loadAccessKey(ctx, accessID)
	})
	if err != nil && KindOf(err) != NotFound {
		return AppScope{}, err
	}
	hash := sha256.Sum256([]byte(accessKey))
	if err != nil || subtle.ConstantTimeCompare(hash[:], e.hash) != 1 {
		return AppScope{}, &Error{Kind: Unauthorized, Key: "errors.access_key"}
	}
	return e.scope, nil
}

func (s *Store) loadAccessKey(ctx context.Context, accessID int64) (accessKeyEntry, error) {
	var app App
	err := s.read(ctx).Where("id = ? AND deleted_at IS NULL", accessID).Take(&app).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return accessKeyEntry{}, notFound("")
	}
	if err != nil {
		return accessKeyEntry{}, fmt.Errorf("models: access key: %w", err)
	}
	scope, err := s.scope(&app)
	return accessKeyEntry{scope: scope, hash: app.AccessKeyHash}, err
}
