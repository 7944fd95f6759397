package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Product is a 产品: a name, a category and a region, with at most one App per
// platform.
type Product struct {
	ID          int64 `gorm:"primaryKey"`
	AccountID   int64
	Name        string
	Description string // 产品详情
	Category    string // one of ProductCategories
	Region      string // 服务接入点, fixed at creation
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DeletedAt   *time.Time
}

// Limits of a product, in characters.
const (
	MaxProductName        = 60
	MaxProductDescription = 200
)

// ProductCategories lists the ids of 产品分类; their names are in the catalog.
func ProductCategories() []string {
	return []string{
		"social", "office", "education", "shopping", "finance", "news", "video", "music", "game",
		"travel", "life", "health", "tools", "government", "device", "other",
	}
}

func (p *Product) facts() facts {
	return facts{"name": p.Name, "description": p.Description, "category": p.Category, "region": p.Region}
}

// ProductInput is a product as a form gives it. Region and Platforms only count
// when it is created.
type ProductInput struct {
	Name        string
	Description string
	Category    string
	Region      string
	Platforms   []string
}

func (in ProductInput) check() (ProductInput, error) {
	var err error
	if in.Name, err = label(in.Name, "name", "errors.product.name_missing", MaxProductName); err != nil {
		return in, err
	}
	if in.Description, err = label(in.Description, "description", "", MaxProductDescription); err != nil {
		return in, err
	}
	if !slices.Contains(ProductCategories(), in.Category) {
		return in, invalid("category", "errors.product.category", nil)
	}
	return in, nil
}

// Region returns a configured region. NotFound.
func (s *Store) Region(id string) (Region, error) {
	i := slices.IndexFunc(s.Regions, func(r Region) bool { return r.ID == id })
	if i < 0 {
		return Region{}, notFound("")
	}
	return s.Regions[i], nil
}

// CreateProduct creates a product with an app for each platform. Invalid (name,
// description, category, region, platforms); Conflict (name) when the account has
// a product of the name; Forbidden without PermConfigure over all products.
func (s *Store) CreateProduct(ctx context.Context, who Actor, in ProductInput) (*Product, []App, error) {
	in, err := in.check()
	if err != nil {
		return nil, nil, err
	}
	region, err := s.Region(in.Region)
	if err != nil {
		return nil, nil, invalid("region", "errors.product.region", nil)
	}
	platforms := slices.Compact(slices.Sorted(slices.Values(in.Platforms)))
	if len(platforms) == 0 || slices.ContainsFunc(platforms, func(p string) bool { return !slices.Contains(Platforms(), p) }) {
		return nil, nil, invalid("platforms", "errors.product.platforms", nil)
	}
	var p *Product
	var apps []App
	err = s.change(ctx, who, PermConfigure, "create product", func(t *Tx) error {
		if !who.IsMain && !who.AllProducts {
			// He could not see the product he made.
			return &Error{Kind: Forbidden, Key: "errors.forbidden.all_products"}
		}
		now := t.now()
		p = &Product{
			AccountID: who.AccountID, Name: in.Name, Description: in.Description, Category: in.Category,
			Region: region.ID, CreatedAt: now, UpdatedAt: now,
		}
		if err := t.Create(p).Error; err != nil {
			return productNameTaken(err)
		}
		if err := t.audit(who, entry{action: ActionCreate, kind: AuditProduct, id: p.ID, name: p.Name, product: p.ID, after: p.facts()}); err != nil {
			return err
		}
		for _, platform := range Platforms() { // in their own order
			if !slices.Contains(platforms, platform) {
				continue
			}
			app, err := s.createApp(t, who, p, region, platform, p.Name)
			if err != nil {
				return err
			}
			apps = append(apps, *app)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return p, apps, nil
}

func productNameTaken(err error) error {
	if duplicate(err) {
		return conflictField("name", "errors.product.name_taken")
	}
	return err
}

// product reads one of the actor's products and keeps it unchanged.
func (t *Tx) product(who Actor, id int64) (*Product, error) {
	if err := who.needProduct(id); err != nil {
		return nil, err
	}
	var p Product
	err := t.locked().Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, id).Take(&p).Error
	return &p, found(err, "")
}

// UpdateProduct saves name, description and category. Invalid; Conflict (name);
// NotFound; Forbidden without PermConfigure.
func (s *Store) UpdateProduct(ctx context.Context, who Actor, id int64, in ProductInput) (*Product, error) {
	in, err := in.check()
	if err != nil {
		return nil, err
	}
	var p *Product
	err = s.change(ctx, who, PermConfigure, "update product", func(t *Tx) error {
		if p, err = t.product(who, id); err != nil {
			return err
		}
		before := p.facts()
		p.Name, p.Description, p.Category, p.UpdatedAt = in.Name, in.Description, in.Category, t.now()
		if err := t.Select("name", "description", "category", "updated_at").Updates(p).Error; err != nil {
			return productNameTaken(err)
		}
		return t.audit(who, entry{action: ActionUpdate, kind: AuditProduct, id: id, name: p.Name, product: id, before: before, after: p.facts()})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// DeleteProduct deletes a product and its apps; typed must be its name. Their keys
// stop at once, their data is purged later in small steps. Invalid (name);
// Conflict while an app is authorized to an IM app; NotFound; Forbidden without
// PermConfigure.
func (s *Store) DeleteProduct(ctx context.Context, who Actor, id int64, typed string) error {
	var apps []App
	err := s.change(ctx, who, PermConfigure, "delete product", func(t *Tx) error {
		p, err := t.product(who, id)
		if err != nil {
			return err
		}
		if err := confirmName(typed, p.Name); err != nil {
			return err
		}
		if err := t.locked().Where("product_id = ? AND deleted_at IS NULL", id).Order("id").Find(&apps).Error; err != nil {
			return err
		}
		for i := range apps {
			if err := t.deleteApp(who, &apps[i]); err != nil {
				return err
			}
		}
		res := t.Model(&Product{}).Where("id = ? AND deleted_at IS NULL", id).UpdateColumns(map[string]any{"deleted_at": t.now(), "updated_at": t.now()})
		if err := updated(res); err != nil {
			return err
		}
		if err := t.Where("product_id = ?", id).Delete(&userProduct{}).Error; err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionDelete, kind: AuditProduct, id: id, name: p.Name, product: id, before: p.facts()})
	})
	for i := range apps {
		s.forgetApp(apps[i].ID)
	}
	return err
}

// confirmName compares what was typed before something is deleted.
func confirmName(typed, name string) error {
	if strings.TrimSpace(typed) != name {
		return invalid("name", "errors.name_mismatch", map[string]any{"Name": name})
	}
	return nil
}

// ProductView is a product with its apps, as the list shows it.
type ProductView struct {
	Product
	Apps []AppView
}

// Products returns the actor's products, newest first, with their apps; with a
// query only those whose name or an AccessID contains it. Forbidden without
// PermView.
func (s *Store) Products(ctx context.Context, who Actor, query string) ([]ProductView, error) {
	if err := who.need(PermView); err != nil {
		return nil, err
	}
	q := s.read(ctx).Where("account_id = ? AND deleted_at IS NULL", who.AccountID)
	if !who.IsMain && !who.AllProducts {
		q = q.Where("id IN ?", append([]int64{0}, who.Products...))
	}
	var products []Product
	if err := q.Order("id DESC").Find(&products).Error; err != nil {
		return nil, fmt.Errorf("models: products: %w", err)
	}
	apps, err := s.appViews(ctx, who)
	if err != nil {
		return nil, err
	}
	out := make([]ProductView, 0, len(products))
	for _, p := range products {
		v := ProductView{Product: p, Apps: apps[p.ID]}
		if v.matches(query) {
			out = append(out, v)
		}
	}
	return out, nil
}

func (v *ProductView) matches(query string) bool {
	query = strings.ToLower(strings.TrimSpace(query))
	if strings.Contains(strings.ToLower(v.Name), query) {
		return true
	}
	return slices.ContainsFunc(v.Apps, func(a AppView) bool { return strings.Contains(a.AccessID(), query) })
}

// ProductByID returns a product of the actor with its apps. NotFound; Forbidden
// without PermView.
func (s *Store) ProductByID(ctx context.Context, who Actor, id int64) (*ProductView, error) {
	if err := who.need(PermView); err != nil {
		return nil, err
	}
	if err := who.needProduct(id); err != nil {
		return nil, err
	}
	var p Product
	err := s.read(ctx).Where("account_id = ? AND id = ? AND deleted_at IS NULL", who.AccountID, id).Take(&p).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, notFound("")
	}
	if err != nil {
		return nil, fmt.Errorf("models: product: %w", err)
	}
	apps, err := s.appViews(ctx, who, p.ID)
	if err != nil {
		return nil, err
	}
	return &ProductView{Product: p, Apps: apps[p.ID]}, nil
}
