package models

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// AuditLog is one change: who did what to what. Rows are only ever added.
type AuditLog struct {
	ID         int64 `gorm:"primaryKey"`
	AccountID  int64
	UserID     int64 // 0 for the program itself
	UserName   string
	ProductID  int64 // 0 for what belongs to no product
	Action     string
	TargetKind string
	TargetID   string
	TargetName string
	Before     string // JSON object of the fields that changed, "" when there was nothing
	After      string // likewise
	IP         string
	At         time.Time
}

// Kinds of things in the audit log.
const (
	AuditAccount       = "account"
	AuditUser          = "user"
	AuditSession       = "session"
	AuditProduct       = "product"
	AuditApp           = "app"
	AuditCredential    = "credential"
	AuditIMApp         = "im_app"
	AuditAuthorization = "authorization"
	AuditPlan          = "plan"
	AuditMessage       = "message"
	AuditUserData      = "user_data" // all that an app has of one person
	AuditAlertHook     = "alert_hook"
)

// AuditKinds lists the kinds, for a filter.
func AuditKinds() []string {
	return []string{
		AuditProduct, AuditApp, AuditCredential, AuditPlan, AuditIMApp,
		AuditAuthorization, AuditUser, AuditSession, AuditAccount, AuditMessage, AuditUserData, AuditAlertHook,
	}
}

// Actions in the audit log.
const (
	ActionCreate    = "create"
	ActionUpdate    = "update"
	ActionDelete    = "delete"
	ActionPassword  = "password"  // a password was changed or reset
	ActionDisable   = "disable"   // a sub-account may no longer sign in
	ActionEnable    = "enable"    // and again
	ActionRevoke    = "revoke"    // sessions ended by hand
	ActionReset     = "reset"     // a key or secret was replaced
	ActionReveal    = "reveal"    // SecretKey was shown
	ActionAuthorize = "authorize" // 新增授权
	ActionRelease   = "release"   // 解除授权
	ActionSync      = "sync"      // vendor settings carried over from the IM side
	ActionTest      = "test"      // a credential was tested
	ActionPause     = "pause"     // a credential was refused by the vendor
	ActionView      = "view"      // a message's content was shown
)

// AuditActions lists the actions, so that a test can ask for their words.
func AuditActions() []string {
	return []string{
		ActionCreate, ActionUpdate, ActionDelete, ActionPassword, ActionDisable, ActionEnable, ActionRevoke,
		ActionReset, ActionReveal, ActionAuthorize, ActionRelease, ActionSync, ActionTest, ActionPause, ActionView,
	}
}

// facts are the fields of a thing as the audit log shows them. Never a secret.
type facts map[string]any

// entry is a change to write down.
type entry struct {
	action, kind  string
	id            int64
	ref           string // instead of id, for what has no number
	name          string
	product       int64
	before, after facts
}

// audit writes e in the change's own transaction. Of before and after it keeps
// only what differs; an update that changed nothing leaves no row.
func (t *Tx) audit(who Actor, e entry) error {
	before, after := differing(e.before, e.after)
	if e.action == ActionUpdate && len(before) == 0 && len(after) == 0 {
		return nil
	}
	row := AuditLog{
		AccountID: who.AccountID, UserID: who.UserID, UserName: who.Name, ProductID: e.product,
		Action: e.action, TargetKind: e.kind, TargetID: e.ref, TargetName: e.name, IP: who.IP, At: t.now(),
	}
	if row.TargetID == "" {
		row.TargetID = strconv.FormatInt(e.id, 10)
	}
	var err error
	if row.Before, err = factsJSON(before); err != nil {
		return err
	}
	if row.After, err = factsJSON(after); err != nil {
		return err
	}
	if err := t.Create(&row).Error; err != nil {
		return fmt.Errorf("models: audit: %w", err)
	}
	return nil
}

func differing(before, after facts) (b, a facts) {
	if before == nil || after == nil {
		return before, after
	}
	b, a = facts{}, facts{}
	for k, v := range before {
		if w, ok := after[k]; !ok || !reflect.DeepEqual(v, w) {
			b[k] = v
		}
	}
	for k, w := range after {
		if v, ok := before[k]; !ok || !reflect.DeepEqual(v, w) {
			a[k] = w
		}
	}
	return b, a
}

func factsJSON(f facts) (string, error) {
	if len(f) == 0 {
		return "", nil
	}
	b, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("models: audit: %w", err)
	}
	return string(b), nil
}

// AuditFilter chooses rows of the audit log. Zero fields choose everything.
type AuditFilter struct {
	UserID *int64 // 0 for the program itself
	Kind   string
	Action string
	From   time.Time // at or after
	To     time.Time // before
	// Before and After page by id: rows older than Before, or newer than After.
	Before, After int64
	Limit         int // 0 for 50, at most 200
}

// AuditPage is one page of the audit log, newest first. Newer and Older are the
// ids to page from, 0 where there is nothing more.
type AuditPage struct {
	Rows         []AuditLog
	Newer, Older int64
}

// Sizes of a page of rows.
const (
	defaultPage = 50
	maxPage     = 200
)

// Audit returns a page of the audit log. A sub-account sees what concerns its
// products, what it did itself and, with the IM right, IM apps and authorizations.
// Forbidden without PermAudit.
func (s *Store) Audit(ctx context.Context, who Actor, f AuditFilter) (AuditPage, error) {
	if err := who.need(PermAudit); err != nil {
		return AuditPage{}, err
	}
	q := auditScope(s.read(ctx), who)
	if f.UserID != nil {
		q = q.Where("user_id = ?", *f.UserID)
	}
	if f.Kind != "" {
		q = q.Where("target_kind = ?", f.Kind)
	}
	if f.Action != "" {
		q = q.Where("action = ?", f.Action)
	}
	if !f.From.IsZero() {
		q = q.Where("at >= ?", f.From.UTC())
	}
	if !f.To.IsZero() {
		q = q.Where("at < ?", f.To.UTC())
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	return auditPage(q, f, limit)
}

func auditPage(q *gorm.DB, f AuditFilter, limit int) (AuditPage, error) {
	order := "id DESC"
	switch {
	case f.After > 0:
		q, order = q.Where("id > ?", f.After), "id"
	case f.Before > 0:
		q = q.Where("id < ?", f.Before)
	}
	var rows []AuditLog
	if err := q.Order(order).Limit(limit + 1).Find(&rows).Error; err != nil {
		return AuditPage{}, fmt.Errorf("models: audit: %w", err)
	}
	more := len(rows) > limit
	rows = rows[:min(len(rows), limit)]
	page := AuditPage{Rows: rows}
	if len(rows) == 0 {
		return page, nil
	}
	if f.After > 0 {
		slices.Reverse(rows)
	}
	// Whoever paged here came from the other side, so there is something there.
	if f.After > 0 || more {
		page.Older = rows[len(rows)-1].ID
	}
	if f.Before > 0 && f.After == 0 || f.After > 0 && more {
		page.Newer = rows[0].ID
	}
	return page, nil
}

// auditScope limits q to the rows that who may see.
func auditScope(q *gorm.DB, who Actor) *gorm.DB {
	q = q.Where("account_id = ?", who.AccountID)
	if who.IsMain {
		return q
	}
	im := []string{"-"}
	if who.CanIM {
		im = []string{AuditIMApp, AuditAuthorization}
	}
	if who.AllProducts {
		return q.Where("(product_id <> 0 AND target_kind <> ? OR user_id = ? OR target_kind IN ?)", AuditAuthorization, who.UserID, im)
	}
	products := who.Products
	if len(products) == 0 {
		products = []int64{-1}
	}
	// An authorization belongs to a product too and follows both rules.
	return q.Where("(product_id IN ? AND target_kind <> ? OR user_id = ? OR product_id IN ? AND target_kind IN ? OR product_id = 0 AND target_kind IN ?)",
		products, AuditAuthorization, who.UserID, products, im, im)
}

// AuditPerson is someone who stands in the audit log.
type AuditPerson struct {
	UserID   int64
	UserName string
}

// AuditUsers returns everyone whose changes who may see, for a filter; of a user
// who was renamed, the newest name.
func (s *Store) AuditUsers(ctx context.Context, who Actor) ([]AuditPerson, error) {
	if err := who.need(PermAudit); err != nil {
		return nil, err
	}
	var rows []AuditPerson
	newest := auditScope(s.read(ctx).Table("audit_logs"), who).Select("MAX(id)").Group("user_id")
	err := s.read(ctx).Table("audit_logs").Select("user_id, user_name").Where("id IN (?)", newest).
		Order("user_name, user_id").Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: audit users: %w", err)
	}
	return rows, nil
}

// LogContentView writes down that who looked at a message's title and body.
// Forbidden without PermContent; NotFound when the app is not the account's.
func (s *Store) LogContentView(ctx context.Context, who Actor, appID int64, messageID string) error {
	return s.change(ctx, who, PermContent, "log content view", func(t *Tx) error {
		app, err := t.app(who, appID)
		if err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionView, kind: AuditMessage, ref: messageID, name: app.Name, product: app.ProductID})
	})
}
