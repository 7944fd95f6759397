package handlers

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	"hongyan/views/locale"
	"hongyan/web"
)

// home is the first page: the guide until its end was reached once, then the list.
func (h *console) home(ctx echo.Context) error { return web.SeeOther(ctx, "/products") }

// startMinutes is what the steps take a newcomer, from measuring it.
func startMinutes() []int { return []int{1, 1, 1, 1, 1, 1, 1} }

// startCount is the progress of 快速开始 beside its entry in the sidebar, "" once done.
func (h *console) startCount(ctx echo.Context, products []models.ProductView) (string, error) {
	facts, err := h.Store.StartFacts(ctx.Request().Context(), h.actor(ctx), products)
	if err != nil {
		return "", err
	}
	done, all := 0, facts.Steps()
	for _, is := range all {
		if is {
			done++
		}
	}
	if done == len(all) {
		return "", nil
	}
	return fmt.Sprintf("%d/%d", done, len(all)), nil
}

func (h *console) start(ctx echo.Context) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	products, err := h.Store.Products(std, who, "")
	if err != nil {
		return err
	}
	facts, err := h.Store.StartFacts(std, who, products)
	if err != nil {
		return err
	}
	p := views.StartPage{Sandbox: h.Sandbox}
	if facts.App != nil {
		p.App = appBase(facts.App.ID)
	}
	if facts.IMApp != nil && who.May(models.PermIM) {
		p.Ingest = "/im-apps/" + number(facts.IMApp.ID)
	}
	p.Steps = h.startSteps(std, who, facts, len(products) > 0)
	now := false
	for i, is := range facts.Steps() {
		p.Steps[i].Done = is
		if is {
			p.Done++
			continue
		}
		p.Minutes += startMinutes()[i]
		if !now {
			p.Steps[i].Now, now = true, true
		}
	}
	p.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Start(p))
}

// startSteps words the steps: what to do, or what was done, and the button to the
// page where it is done. Whoever may not do a step is told whom to ask.
func (h *console) startSteps(ctx context.Context, who models.Actor, f models.StartFacts, anyProduct bool) []views.StartStep {
	t := func(key string, data ...any) string { return locale.T(ctx, key, data...) }
	app, im, base := "", "", "/products"
	if f.App != nil {
		app, base = appName(f.App), appBase(f.App.ID)
	}
	if f.IMApp != nil {
		im = f.IMApp.Name
	}
	steps := []views.StartStep{
		h.startProduct(ctx, who, f, anyProduct),
		{Title: t("start.imapp"), Text: t("start.imapp_text"), Label: t("start.imapp"), Href: "/im-apps/new", Icon: "plus", Ask: unless(who, models.PermIM, t("start.ask_im"))},
		{Title: t("start.auth"), Text: t("start.auth_text"), Label: t("start.auth_button"), Href: "/authorizations?view=im", Icon: "plug-connected", Ask: unless(who, models.PermIM, t("start.ask_im"))},
		{Title: t("start.sandbox"), Text: t("start.sandbox_step"), Label: t("start.sandbox_button"), Href: base + "/sandbox", Icon: "flask", Ask: unless(who, models.PermConfigure, t("start.ask_full"))},
		{Title: t("start.phone"), Text: t("start.phone_text"), Label: t("start.phone_button"), Href: base + "/sandbox", Icon: "device-mobile", Ask: unless(who, models.PermPush, t("start.ask_push"))},
		{Title: t("start.send"), Text: t("start.send_text"), Label: t("start.send_button"), Href: base + "/sandbox", Icon: "send", Ask: unless(who, models.PermPush, t("start.ask_push"))},
		{Title: t("start.record"), Text: t("start.record_text"), Label: t("start.record_button"), Href: base + "/plans", Icon: "stack-2"},
	}
	if f.App != nil && f.App.IMPlanID != 0 {
		steps[6].Href = base + "/plans/" + number(f.App.IMPlanID)
	}
	if f.App != nil && f.Ready && !f.App.Sandbox {
		h.startReal(ctx, who, f, base, steps)
	}
	for i, is := range f.Steps() {
		if !is {
			continue
		}
		s := &steps[i]
		s.Ask = ""
		switch i {
		case 1:
			s.Text, s.Href = t("start.imapp_done", "Name", im, "ID", f.IMApp.SDKAppID), "/im-apps/"+number(f.IMApp.ID)
		case 2:
			s.Text = t("start.auth_done", "App", app, "IM", f.App.IMAppName)
		case 3:
			s.Text = t("start.sandbox_done", "App", app)
			if !f.App.Sandbox {
				s.Text, s.Href = t("start.sandbox_real", "App", app), base+"/config"
			}
		case 4:
			s.Text = t("start.phone_done")
		case 5:
			s.Text = t("start.send_done")
		case 6:
			s.Text = t("start.record_done")
		}
		if (i == 1 || i == 2) && !who.May(models.PermIM) {
			s.Href = ""
		}
	}
	// Nothing of an app can be done before there is one.
	if f.App == nil {
		for i := 3; i < len(steps); i++ {
			steps[i].Href = ""
		}
	}
	return steps
}

// startReal words the steps of an app that has real keys and no sandbox: a real phone
// registers, and the IM server sends.
func (h *console) startReal(ctx context.Context, who models.Actor, f models.StartFacts, base string, steps []views.StartStep) {
	t := func(key string) string { return locale.T(ctx, key) }
	steps[3].Href = base + "/config"
	steps[4] = views.StartStep{Title: t("start.real_phone"), Text: t("start.real_phone_text"), Label: t("start.client"), Href: base + "/client", Icon: "device-mobile"}
	steps[5] = views.StartStep{Title: t("start.send"), Text: t("start.real_send_text"), Label: t("start.ingest"), Icon: "send", Ask: unless(who, models.PermIM, t("start.ask_im"))}
	if f.IMApp != nil {
		steps[5].Href = imAppBase(f.IMApp.ID)
	}
}

// startProduct is the first step: a product with an app that the sandbox can send
// for.
func (h *console) startProduct(ctx context.Context, who models.Actor, f models.StartFacts, any bool) views.StartStep {
	s := views.StartStep{
		Title: locale.T(ctx, "start.product"), Text: locale.T(ctx, "start.product_text"), Label: locale.T(ctx, "products.new"),
		Href: "/products/new", Icon: "plus", Dialog: true,
	}
	switch {
	case f.App != nil:
		s.Text = locale.T(ctx, "start.product_done", "Name", appName(f.App), "Region", h.regionWord(ctx, f.App.Region))
		s.Href = "/products"
	case any:
		s.Text, s.Label, s.Href, s.Dialog = locale.T(ctx, "start.product_app"), locale.T(ctx, "products.new_app"), "/products", false
	}
	if f.App == nil && (!who.May(models.PermConfigure) || !any && !mayCreateProduct(who)) {
		s.Ask = locale.T(ctx, "start.ask_full")
	}
	return s
}

// unless returns whom to ask, "" for who has the right.
func unless(who models.Actor, p models.Permission, ask string) string {
	if who.May(p) {
		return ""
	}
	return ask
}
