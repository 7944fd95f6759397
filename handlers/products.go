package handlers

import (
	"context"
	"net/http"
	"slices"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) products(ctx echo.Context) error {
	p, err := h.productsPage(ctx, ctx.QueryParam("q"))
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Products(p))
}

func (h *console) productsPage(ctx echo.Context, query string) (views.ProductsPage, error) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return views.ProductsPage{}, err
	}
	all, err := h.Store.Products(std, who, query)
	if err != nil {
		return views.ProductsPage{}, err
	}
	p := views.ProductsPage{
		Query: query, Any: len(all) > 0, CanCreate: mayCreateProduct(who),
	}
	if !p.Any && query != "" {
		some, err := h.Store.Products(std, who, "")
		if err != nil {
			return views.ProductsPage{}, err
		}
		p.Any = len(some) > 0
	}
	// The links are for the list, also when it lies under a dialog of another address.
	total := len(all)
	all, first := productsShown(all, web.ReadKeyset(ctx))
	if len(all) < total {
		p.Shown = web.T(ctx, "products.shown", "From", thousands(int64(first+1)), "To", thousands(int64(first+len(all))), "Total", thousands(int64(total)))
		p.Prev, p.Next = productsNext(query, all, first, total)
	}
	arrived, err := h.Store.Arrivals(std, all, clock.midnight(-1), clock.midnight(0))
	if err != nil {
		return views.ProductsPage{}, err
	}
	for i := range all {
		p.Products = append(p.Products, h.productCard(std, clock, who, &all[i], arrived))
	}
	p.Chrome = web.Chrome(ctx)
	return p, nil
}

// mayCreateProduct reports whether who may create products: who sees only chosen
// ones could not see what he made.
func mayCreateProduct(who models.Actor) bool {
	return who.May(models.PermConfigure) && (who.IsMain || who.AllProducts)
}

func (h *console) productCard(ctx context.Context, clock clock, who models.Actor, p *models.ProductView, arrived map[int64]int64) views.ProductCard {
	base := "/products/" + number(p.ID)
	card := views.ProductCard{ID: number(p.ID), Name: p.Name, Detail: p.Description, Meta: []string{
		locale.T(ctx, "categories."+p.Category),
		locale.T(ctx, "products.region_meta", "Region", h.regionWord(ctx, p.Region)),
		locale.T(ctx, "products.created_meta", "Date", clock.Date(p.CreatedAt)),
	}}
	if who.May(models.PermConfigure) {
		if len(p.Apps) < len(models.Platforms()) {
			card.NewApp = base + "/apps/new"
		}
		card.Menu = []c.Link{
			{Label: locale.T(ctx, "products.edit"), Href: base + "/edit", Icon: "pencil", Dialog: true},
			{Label: locale.T(ctx, "products.delete"), Href: base + "/delete", Icon: "trash", Danger: true},
		}
	}
	for i := range p.Apps {
		row := h.appRow(ctx, clock.now, &p.Apps[i])
		if n, ok := arrived[p.Apps[i].ID]; ok {
			row.Arrived = thousands(n)
		}
		card.AppRows = append(card.AppRows, row)
	}
	return card
}

// regionWord names a region in the language of the page.
func (h *console) regionWord(ctx context.Context, id string) string {
	r, err := h.Store.Region(id)
	switch {
	case err != nil:
		return id // no longer configured; the page still shows where the data was
	case locale.Lang(ctx) == locale.English:
		return r.En
	}
	return r.Zh
}

// productsDialog answers with the list under a dialog: a page of its own, or fetched
// by script and laid over the page that is there.
func (h *console) productsDialog(ctx echo.Context, status int, dialog templ.Component) error {
	p, err := h.productsPage(ctx, "")
	if err != nil {
		return err
	}
	p.Dialog = dialog
	return web.Render(ctx, status, views.Products(p))
}

type productForm struct {
	Name        string   `form:"name"`
	Category    string   `form:"category"`
	Description string   `form:"description"`
	Region      string   `form:"region"`
	Platforms   []string `form:"platforms"`
}

func (f productForm) input() models.ProductInput {
	return models.ProductInput{
		Name: f.Name, Category: f.Category, Description: f.Description, Region: f.Region, Platforms: f.Platforms,
	}
}

// productDialog is 新建产品 with what was typed so far.
func (h *console) productDialog(ctx context.Context, f productForm, faults c.FormErrors) templ.Component {
	return views.ProductDialog(views.ProductForm{
		Action: "/products/new", Name: f.Name, Category: f.Category, Detail: f.Description, Region: f.Region,
		Platforms: f.Platforms, Categories: categoryOptions(ctx), Regions: h.regionOptions(ctx), RegionHint: h.regionHint(),
		AllApps: platformOptions(models.Platforms()), Errors: faults, MaxName: models.MaxProductName, MaxDetail: models.MaxProductDescription,
	})
}

func (h *console) newProduct(ctx echo.Context) error {
	if !mayCreateProduct(h.actor(ctx)) {
		return &web.Error{Kind: web.KindForbidden, Key: "errors.forbidden.all_products"}
	}
	// The newcomer's way, and most people's: one product on both phones.
	f := productForm{Platforms: []string{models.PlatformAndroid, models.PlatformIOS}}
	if len(h.Store.Regions) == 1 {
		f.Region = h.Store.Regions[0].ID
	}
	return h.productsDialog(ctx, http.StatusOK, h.productDialog(ctx.Request().Context(), f, nil))
}

func (h *console) createProduct(ctx echo.Context) error {
	var f productForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	std := ctx.Request().Context()
	p, _, err := h.Store.CreateProduct(std, h.actor(ctx), f.input())
	if err == nil {
		web.Flash(ctx, web.T(ctx, "products.created", "Name", p.Name), web.T(ctx, "products.created_detail"))
		return web.SeeOther(ctx, "/products")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.productsDialog(ctx, http.StatusUnprocessableEntity, h.productDialog(std, f, allMissing(ctx, f, faults)))
}

// allMissing adds the choices that were not made to the one fault that models found
// first, so that a form is not sent back one field at a time.
func allMissing(ctx echo.Context, f productForm, faults c.FormErrors) c.FormErrors {
	for field, missing := range map[string]struct {
		is  bool
		key string
	}{
		"name":      {f.Name == "", "errors.product.name_missing"},
		"category":  {f.Category == "", "errors.product.category"},
		"region":    {f.Region == "", "errors.product.region"},
		"platforms": {len(f.Platforms) == 0, "errors.product.platforms"},
	} {
		if missing.is && faults[field] == "" {
			faults[field] = web.T(ctx, missing.key)
		}
	}
	return faults
}

// product loads the product of the path.
func (h *console) product(ctx echo.Context) (*models.ProductView, error) {
	id, err := idParam(ctx, "product")
	if err != nil {
		return nil, err
	}
	return h.Store.ProductByID(ctx.Request().Context(), h.actor(ctx), id)
}

func (h *console) editDialog(ctx context.Context, p *models.ProductView, f productForm, faults c.FormErrors) templ.Component {
	return views.ProductDialog(views.ProductForm{
		Edit: true, Action: "/products/" + number(p.ID) + "/edit", Name: f.Name, Category: f.Category, Detail: f.Description,
		Region: h.regionWord(ctx, p.Region), Categories: categoryOptions(ctx), Errors: faults,
		MaxName: models.MaxProductName, MaxDetail: models.MaxProductDescription,
	})
}

func (h *console) editProduct(ctx echo.Context) error {
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	f := productForm{Name: p.Name, Category: p.Category, Description: p.Description}
	return h.productsDialog(ctx, http.StatusOK, h.editDialog(ctx.Request().Context(), p, f, nil))
}

func (h *console) saveProduct(ctx echo.Context) error {
	var f productForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	std := ctx.Request().Context()
	saved, err := h.Store.UpdateProduct(std, h.actor(ctx), p.ID, f.input())
	if err == nil {
		web.Flash(ctx, web.T(ctx, "products.saved", "Name", saved.Name), "")
		return web.SeeOther(ctx, "/products")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.productsDialog(ctx, http.StatusUnprocessableEntity, h.editDialog(std, p, f, faults))
}

func (h *console) askDeleteProduct(ctx echo.Context) error {
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Removal(h.productRemoval(ctx, p, "", nil)))
}

func (h *console) productRemoval(ctx echo.Context, p *models.ProductView, typed string, faults c.FormErrors) views.RemovalPage {
	page := views.RemovalPage{
		Chrome: web.Chrome(ctx), Title: web.T(ctx, "products.delete"), Name: p.Name, Label: web.T(ctx, "products.delete_label"),
		Crumbs: []c.Link{{Label: web.T(ctx, "nav.products"), Href: "/products"}, {Label: web.T(ctx, "products.delete_of", "Name", p.Name)}},
		Lost: []string{
			web.Tn(ctx, "products.lost_keys", len(p.Apps)), web.T(ctx, "products.lost_credentials"), web.T(ctx, "products.lost_data"),
		},
		Action: "/products/" + number(p.ID) + "/delete", Back: "/products", Submit: web.T(ctx, "products.delete"),
		Typed: typed, Errors: faults,
	}
	var bound []string
	for i := range p.Apps {
		if p.Apps[i].Authorized() {
			bound = append(bound, platformWord(p.Apps[i].Platform)+" "+p.Apps[i].AccessID())
		}
	}
	if len(bound) > 0 {
		page.Blocked = web.T(ctx, "products.blocked", "Apps", list(ctx.Request().Context(), bound))
		if h.actor(ctx).May(models.PermIM) {
			page.WayOut = c.Link{Label: web.T(ctx, "products.blocked_way"), Href: "/authorizations?view=im"}
		}
	}
	return page
}

type removalForm struct {
	Name string `form:"name"`
}

func (h *console) deleteProduct(ctx echo.Context) error {
	var f removalForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	err = h.Store.DeleteProduct(ctx.Request().Context(), h.actor(ctx), p.ID, f.Name)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "products.deleted", "Name", p.Name), web.T(ctx, "products.deleted_detail"))
		return web.SeeOther(ctx, "/products")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Removal(h.productRemoval(ctx, p, f.Name, faults)))
}

func categoryOptions(ctx context.Context) []c.Option {
	var out []c.Option
	for _, id := range models.ProductCategories() {
		out = append(out, c.Option{Value: id, Label: locale.T(ctx, "categories."+id)})
	}
	return out
}

func platformOptions(platforms []string) []c.Option {
	var out []c.Option
	for _, p := range platforms {
		out = append(out, c.Option{Value: p, Label: platformWord(p), Icon: platformIcon(p)})
	}
	return out
}

// regionHint is the key of the advice on where to store data: the usual one names the
// four places of the default, which may not be there.
func (h *console) regionHint() string {
	for _, id := range []string{"ap-guangzhou", "ap-shanghai", "ap-hongkong", "ap-singapore"} {
		if !slices.ContainsFunc(h.Store.Regions, func(r models.Region) bool { return r.ID == id }) {
			return "products.region_hint_own"
		}
	}
	return "products.region_hint"
}

// regionOptions offers the configured regions; those of the default four say whom
// they are for.
func (h *console) regionOptions(ctx context.Context) []c.Option {
	var out []c.Option
	for _, r := range h.Store.Regions {
		o := c.Option{Value: r.ID, Label: h.regionWord(ctx, r.ID)}
		switch r.ID {
		case "ap-guangzhou", "ap-shanghai":
			o.Note = locale.T(ctx, "products.region_mainland")
		case "ap-hongkong":
			o.Note = locale.T(ctx, "products.region_overseas")
		case "ap-singapore":
			o.Note = locale.T(ctx, "products.region_sea")
		default:
			o.Note = r.Public
		}
		out = append(out, o)
	}
	return out
}

// productNames maps the ids of the actor's products to their names.
func (h *console) productNames(ctx echo.Context) (map[int64]string, error) {
	all, err := h.Store.Products(ctx.Request().Context(), h.actor(ctx), "")
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(all))
	for _, p := range all {
		names[p.ID] = p.Name
	}
	return names, nil
}
