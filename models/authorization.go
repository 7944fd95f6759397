package models

import (
	"context"
	"fmt"
	"time"
)

// Authorization is a 授权: an IM app may push through an app. An app has at most
// one that is not released; an IM app may have several.
type Authorization struct {
	ID          int64 `gorm:"primaryKey"`
	AccountID   int64
	IMAppID     int64 `gorm:"column:im_app_id"`
	ProductID   int64
	AppID       int64
	PlanID      int64
	PrevState   string // the service state before, for the record
	CreatedBy   int64
	CreatedName string
	CreatedAt   time.Time
	ReleasedAt  *time.Time
}

// AuthorizationView is an authorization with the names a list shows.
type AuthorizationView struct {
	Authorization
	IMAppName   string
	SDKAppID    int64 `gorm:"column:sdk_app_id"`
	IMBridge    string
	ProductName string
	AppName     string
	Platform    string
	PackageName string
	FullPush    bool
	Sandbox     bool
	SyncedAt    *time.Time
	Credentials []CredentialAt `gorm:"-"`
}

const authorizationSQL = `SELECT z.*, i.name AS im_app_name, i.sdk_app_id, i.bridge AS im_bridge, p.name AS product_name,
	a.name AS app_name, a.platform, a.package_name, a.full_push, a.sandbox, a.synced_at
	FROM authorizations z JOIN im_apps i ON i.id = z.im_app_id JOIN products p ON p.id = z.product_id JOIN apps a ON a.id = z.app_id
	WHERE z.account_id = ? AND z.released_at IS NULL`

// Authorizations returns the authorizations in force that concern the actor's
// products, newest first. Forbidden without PermIM.
func (s *Store) Authorizations(ctx context.Context, who Actor) ([]AuthorizationView, error) {
	return s.authorizations(ctx, who, " ORDER BY z.id DESC")
}

// AuthorizationByID returns one that is in force. Conflict for one that ended; NotFound; Forbidden without
// PermIM.
func (s *Store) AuthorizationByID(ctx context.Context, who Actor, id int64) (*AuthorizationView, error) {
	rows, err := s.authorizations(ctx, who, " AND z.id = ?", id)
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return &rows[0], nil
	}
	var ended []Authorization
	err = s.read(ctx).Where("account_id = ? AND id = ? AND released_at IS NOT NULL", who.AccountID, id).Limit(1).Find(&ended).Error
	if err != nil {
		return nil, fmt.Errorf("models: authorization: %w", err)
	}
	return nil, released(who, ended)
}

// released says that an authorization ended before, to whoever could have seen it: a
// page that was open meanwhile is out of date, not lost.
func released(who Actor, ended []Authorization) error {
	if len(ended) == 0 || !who.MayProduct(ended[0].ProductID) {
		return notFound("")
	}
	return conflict("errors.authorization.released", nil)
}

func (s *Store) authorizations(ctx context.Context, who Actor, more string, args ...any) ([]AuthorizationView, error) {
	if err := who.need(PermIM); err != nil {
		return nil, err
	}
	var rows []AuthorizationView
	if err := s.read(ctx).Raw(authorizationSQL+more, append([]any{who.AccountID}, args...)...).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("models: authorizations: %w", err)
	}
	credentials, err := s.credentialsAt(ctx, who, 0)
	if err != nil {
		return nil, err
	}
	out := rows[:0]
	for _, r := range rows {
		if who.MayProduct(r.ProductID) {
			r.Credentials = credentials[r.AppID]
			out = append(out, r)
		}
	}
	return out, nil
}

// Candidates returns the products and apps that 新增授权 offers. An app with an
// AuthorizationID is shown but cannot be chosen; IMAppName says why. Forbidden
// without PermIM.
func (s *Store) Candidates(ctx context.Context, who Actor) ([]ProductView, error) {
	if err := who.need(PermIM); err != nil {
		return nil, err
	}
	return s.Products(ctx, who, "")
}

// authorizedTo returns the IM app that an app is authorized to, nil for none.
func (t *Tx) authorizedTo(appID int64) (*IMApp, error) {
	var rows []IMApp
	err := t.Where("id IN (?)", t.Model(&Authorization{}).Select("im_app_id").Where("app_id = ? AND released_at IS NULL", appID)).
		Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err //nolint:nilnil // no authorization is an answer
	}
	return &rows[0], nil
}

// Authorize lets an IM app push through an app: the app becomes 仅限IM推送（免费）, its
// plan 即时通信IM消息 appears or goes on, and vendor settings of the IM side fill slots
// where the app has none. Conflict (app_id) when the app is authorized already;
// Invalid (im_app_id, product_id, app_id) for what is not the actor's to choose;
// Forbidden without PermIM.
func (s *Store) Authorize(ctx context.Context, who Actor, imAppID, productID, appID int64) (*Authorization, error) {
	var z *Authorization
	err := s.change(ctx, who, PermIM, "authorize", func(t *Tx) error {
		// In this order everywhere: the app, then the IM app.
		app, err := t.app(who, appID)
		if KindOf(err) == NotFound || err == nil && app.ProductID != productID {
			return chosen(t, who, productID)
		}
		if err != nil {
			return err
		}
		im, err := t.imApp(who, imAppID)
		if KindOf(err) == NotFound {
			return invalid("im_app_id", "errors.authorization.im_app", nil)
		}
		if err != nil {
			return err
		}
		if other, err := t.authorizedTo(appID); err != nil || other != nil {
			return taken(other, err)
		}
		z, err = s.authorize(t, who, im, app)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.forgetApp(appID)
	return z, nil
}

// chosen says which of the two selects was wrong.
func chosen(t *Tx, who Actor, productID int64) error {
	if _, err := t.product(who, productID); err != nil {
		if KindOf(err) == NotFound {
			return invalid("product_id", "errors.authorization.product", nil)
		}
		return err
	}
	return invalid("app_id", "errors.authorization.app", nil)
}

func taken(other *IMApp, err error) error {
	if err != nil {
		return err
	}
	e := conflictField("app_id", "errors.authorization.taken")
	e.Data = map[string]any{"IM": other.Name}
	return e
}

func (s *Store) authorize(t *Tx, who Actor, im *IMApp, app *App) (*Authorization, error) {
	plan, err := t.imPlan(app)
	if err != nil {
		return nil, err
	}
	z := &Authorization{
		AccountID: who.AccountID, IMAppID: im.ID, ProductID: app.ProductID, AppID: app.ID, PlanID: plan.ID,
		PrevState: app.ServiceState, CreatedBy: who.UserID, CreatedName: who.Name, CreatedAt: t.now(),
	}
	if err := t.Create(z).Error; err != nil {
		if duplicate(err) {
			return nil, conflictField("app_id", "errors.authorization.taken")
		}
		return nil, err
	}
	copied, err := s.fillEmpty(t, who, im, app)
	if err != nil {
		return nil, err
	}
	after := facts{"im_app": im.Name, "sdk_app_id": im.SDKAppID, "app": app.Name, "access_id": app.ID}
	if copied > 0 {
		after["credentials"] = copied
	}
	err = t.audit(who, entry{action: ActionAuthorize, kind: AuditAuthorization, id: z.ID, name: app.Name, product: app.ProductID, after: after})
	if err != nil {
		return nil, err
	}
	return z, t.settle(app.ID)
}

// imPlan creates the app's plan 即时通信IM消息, or lets the old one go on.
func (t *Tx) imPlan(app *App) (*Plan, error) {
	now := t.now()
	var rows []Plan
	if err := t.locked().Where("app_id = ? AND kind = ?", app.ID, PlanIM).Find(&rows).Error; err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return &rows[0], t.Model(&rows[0]).UpdateColumns(map[string]any{"released_at": nil, "updated_at": now}).Error
	}
	p := &Plan{AccountID: app.AccountID, AppID: app.ID, Kind: PlanIM, Name: IMPlanName, CreatedAt: now, UpdatedAt: now}
	return p, t.Create(p).Error
}

// Release is 解除授权: the IM app may no longer push through the app. What it was
// promised still goes; plan and records stay, marked; the service state returns;
// 完整推送 is closed. Conflict when it ended before; NotFound; Forbidden without PermIM.
func (s *Store) Release(ctx context.Context, who Actor, id int64) error {
	var z Authorization
	err := s.change(ctx, who, PermIM, "release authorization", func(t *Tx) error {
		if err := t.Where("account_id = ? AND id = ?", who.AccountID, id).Take(&z).Error; err != nil {
			return found(err, "")
		}
		if z.ReleasedAt != nil {
			return released(who, []Authorization{z})
		}
		app, err := t.app(who, z.AppID)
		if err != nil {
			return err
		}
		var im IMApp
		if err := t.Where("id = ?", z.IMAppID).Take(&im).Error; err != nil {
			return err
		}
		now := t.now()
		if err := updated(t.Model(&Authorization{}).Where("id = ? AND released_at IS NULL", id).UpdateColumn("released_at", now)); err != nil {
			return err
		}
		if err := t.Model(&Plan{}).Where("id = ?", z.PlanID).UpdateColumns(map[string]any{"released_at": now, "updated_at": now}).Error; err != nil {
			return err
		}
		if err := t.Model(&App{}).Where("id = ?", app.ID).UpdateColumns(map[string]any{"full_push": false, "updated_at": now}).Error; err != nil {
			return err
		}
		before := facts{"im_app": im.Name, "sdk_app_id": im.SDKAppID, "app": app.Name, "access_id": app.ID}
		err = t.audit(who, entry{action: ActionRelease, kind: AuditAuthorization, id: id, name: app.Name, product: app.ProductID, before: before})
		if err != nil {
			return err
		}
		return t.settle(app.ID)
	})
	if err == nil {
		s.forgetApp(z.AppID)
	}
	return err
}
