package models

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kinds of plans.
const (
	PlanIM     = "im"     // 即时通信IM消息, made by an authorization
	PlanCustom = "custom" // made by an operator
)

// IMPlanName is the name of the plan that an authorization makes. It is stored, so
// that the server API and exports say it too; nobody may take it for another plan.
const IMPlanName = "即时通信IM消息"

// Limits of a plan, in characters: spec/console.md 1.4.
const (
	MaxPlanName        = 60
	MaxPlanDescription = 300
)

// Plan is a 推送计划: it groups pushes and records.
type Plan struct {
	ID          int64 `gorm:"primaryKey"`
	AccountID   int64
	AppID       int64
	Kind        string
	Name        string
	Description string
	ReleasedAt  *time.Time // of the IM plan: 已解除, until a new authorization
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// IsIM reports whether this is the plan 即时通信IM消息.
func (p *Plan) IsIM() bool { return p.Kind == PlanIM }

// Changeable fails with Conflict for a plan that operators may not rename or delete.
func (p *Plan) Changeable() error {
	if p.IsIM() {
		return conflict("errors.plan.im_fixed", nil)
	}
	return nil
}

func (p *Plan) facts() facts { return facts{"name": p.Name, "description": p.Description} }

func checkPlan(name, description string) (string, string, error) {
	name, err1 := label(name, "name", "errors.plan.name_missing", MaxPlanName)
	description, err2 := label(description, "description", "", MaxPlanDescription)
	return name, description, errors.Join(err1, err2)
}

// viewApp checks that the actor may see the app, for reads of what belongs to it.
func (s *Store) viewApp(ctx context.Context, who Actor, appID int64) error {
	if err := who.need(PermView); err != nil {
		return err
	}
	var products []int64
	err := s.read(ctx).Model(&App{}).Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, appID).Pluck("product_id", &products).Error
	if err != nil {
		return fmt.Errorf("models: app: %w", err)
	}
	if len(products) == 0 {
		return notFound("")
	}
	return who.needProduct(products[0])
}

// Plans returns an app's plans, the IM plan first, then the newest. NotFound;
// Forbidden without PermView.
func (s *Store) Plans(ctx context.Context, who Actor, appID int64) ([]Plan, error) {
	if err := s.viewApp(ctx, who, appID); err != nil {
		return nil, err
	}
	var plans []Plan
	err := s.read(ctx).Where("account_id = ? AND app_id = ?", who.AccountID, appID).
		Order("CASE kind WHEN 'im' THEN 0 ELSE 1 END, id DESC").Find(&plans).Error
	return plans, failed("plans", err)
}

// PlanByID returns a plan of an app. NotFound; Forbidden without PermView.
func (s *Store) PlanByID(ctx context.Context, who Actor, appID, id int64) (*Plan, error) {
	if err := s.viewApp(ctx, who, appID); err != nil {
		return nil, err
	}
	var p Plan
	err := s.read(ctx).Where("account_id = ? AND app_id = ? AND id = ?", who.AccountID, appID, id).Take(&p).Error
	if err != nil {
		return nil, failed("plan", found(err, ""))
	}
	return &p, nil
}

// CreatePlan creates a plan. Invalid (name, description); Conflict (name) when the
// app has a plan of the name or it is the IM plan's; NotFound; Forbidden without
// PermPush.
func (s *Store) CreatePlan(ctx context.Context, who Actor, appID int64, name, description string) (*Plan, error) {
	name, description, err := checkPlan(name, description)
	if err != nil {
		return nil, err
	}
	var p *Plan
	err = s.change(ctx, who, PermPush, "create plan", func(t *Tx) error {
		app, err := t.app(who, appID)
		if err != nil {
			return err
		}
		if name == IMPlanName {
			return conflictField("name", "errors.plan.name_reserved")
		}
		now := t.now()
		p = &Plan{AccountID: who.AccountID, AppID: appID, Kind: PlanCustom, Name: name, Description: description, CreatedAt: now, UpdatedAt: now}
		if err := t.Create(p).Error; err != nil {
			return planNameTaken(err)
		}
		return t.audit(who, entry{action: ActionCreate, kind: AuditPlan, id: p.ID, name: p.Name, product: app.ProductID, after: p.facts()})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func planNameTaken(err error) error {
	if duplicate(err) {
		return conflictField("name", "errors.plan.name_taken")
	}
	return err
}

// ownPlan reads a plan that operators may change, with its app.
func (t *Tx) ownPlan(who Actor, appID, id int64) (*App, *Plan, error) {
	app, err := t.app(who, appID)
	if err != nil {
		return nil, nil, err
	}
	var p Plan
	if err := t.locked().Where("account_id = ? AND app_id = ? AND id = ?", who.AccountID, appID, id).Take(&p).Error; err != nil {
		return nil, nil, found(err, "")
	}
	return app, &p, p.Changeable()
}

// UpdatePlan saves a plan's name and description. Invalid; Conflict (name), and for
// the IM plan, which keeps its name; NotFound; Forbidden without PermPush.
func (s *Store) UpdatePlan(ctx context.Context, who Actor, appID, id int64, name, description string) (*Plan, error) {
	name, description, err := checkPlan(name, description)
	if err != nil {
		return nil, err
	}
	var p *Plan
	err = s.change(ctx, who, PermPush, "update plan", func(t *Tx) error {
		app, plan, err := t.ownPlan(who, appID, id)
		if err != nil {
			return err
		}
		if name == IMPlanName {
			return conflictField("name", "errors.plan.name_reserved")
		}
		p = plan
		before := p.facts()
		p.Name, p.Description, p.UpdatedAt = name, description, t.now()
		if err := t.Select("name", "description", "updated_at").Updates(p).Error; err != nil {
			return planNameTaken(err)
		}
		return t.audit(who, entry{action: ActionUpdate, kind: AuditPlan, id: id, name: p.Name, product: app.ProductID, before: before, after: p.facts()})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// DeletePlan deletes a plan; its records keep its number until they age out.
// Conflict for the IM plan; NotFound; Forbidden without PermPush.
func (s *Store) DeletePlan(ctx context.Context, who Actor, appID, id int64) error {
	return s.change(ctx, who, PermPush, "delete plan", func(t *Tx) error {
		app, p, err := t.ownPlan(who, appID, id)
		if err != nil {
			return err
		}
		if err := t.Delete(&Plan{}, id).Error; err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionDelete, kind: AuditPlan, id: id, name: p.Name, product: app.ProductID, before: p.facts()})
	})
}
