package handlers

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) appRow(ctx context.Context, now time.Time, a *models.AppView) views.AppRow {
	row := views.AppRow{
		ID: a.AccessID(), Platform: platformWord(a.Platform), Icon: platformIcon(a.Platform), Package: a.PackageName,
		Sandbox: a.Sandbox, Href: appBase(a.ID) + "/config",
		Menu: []c.Link{
			{Label: locale.T(ctx, "nav.plans"), Href: appBase(a.ID) + "/plans", Icon: "stack-2"},
			{Label: locale.T(ctx, "nav.tools"), Href: appBase(a.ID) + "/tools", Icon: "stethoscope"},
			{Label: locale.T(ctx, "nav.client"), Href: appBase(a.ID) + "/client", Icon: "device-mobile"},
		},
	}
	row.State, row.StateTone = serviceWords(ctx, &a.App)
	row.NoPackage = locale.T(ctx, "products.no_package")
	if a.Platform != models.PlatformAndroid {
		row.NoPackage = locale.T(ctx, "products.no_bundle")
	}
	health(ctx, now, a, &row)
	return row
}

// ending reports whether a credential's end is near enough to speak of, and the step
// that was reached: one of models.AlertDays, or 0 when it has ended.
func ending(now time.Time, end *time.Time) (step int, near bool) {
	if end == nil {
		return 0, false
	}
	left := end.Sub(now)
	if left <= 0 {
		return 0, true
	}
	for _, days := range models.AlertDays() {
		if left <= time.Duration(days)*24*time.Hour {
			return days, true
		}
	}
	return 0, false
}

// endTone is how pages show a step of ending: the last day is no time to wait.
func endTone(step int) c.Tone {
	if step <= 1 {
		return c.Bad
	}
	return c.Warn
}

// endWords says how soon a credential ends.
func endWords(ctx context.Context, now, end time.Time) string {
	left := end.Sub(now)
	switch {
	case left <= 0:
		return locale.T(ctx, "credentials.expired")
	case left < 24*time.Hour:
		return locale.T(ctx, "credentials.ends_today")
	}
	return locale.Tn(ctx, "credentials.ends", int(left/(24*time.Hour)))
}

// health says in a few words whether the app is able to push: its credentials of the
// kind in use (the sandbox's, or the real ones), the worst first.
func health(ctx context.Context, now time.Time, a *models.AppView, row *views.AppRow) {
	var usable, untested, paused int
	var ends *time.Time
	for _, k := range a.Credentials {
		if (k.Environment == models.EnvironmentSandbox) != a.Sandbox {
			continue
		}
		switch k.State {
		case models.CredentialPaused:
			paused++
		case models.CredentialWorking:
			usable++
		default:
			untested++
		}
		if k.NotAfter != nil && (ends == nil || k.NotAfter.Before(*ends)) {
			ends = k.NotAfter
		}
	}
	switch {
	case usable > 0:
		row.Tone, row.Health = c.OK, locale.Tn(ctx, "products.health_usable", usable)
	case untested > 0:
		row.Tone, row.Health = c.Mute, locale.Tn(ctx, "products.health_untested", untested)
		untested = 0
	case paused > 0:
		row.Tone, row.Health = c.Bad, locale.Tn(ctx, "products.health_paused", paused)
		paused = 0
	default:
		row.Tone, row.Health = c.Mute, locale.T(ctx, "products.health_none")
		return
	}
	step, near := ending(now, ends)
	switch {
	case near && step <= 1: // before what is merely paused: the rest will stop too
		row.Tone, row.NoteTone, row.Note = c.Bad, c.Bad, locale.T(ctx, "products.health_ends", "When", endWords(ctx, now, *ends))
	case paused > 0:
		row.NoteTone, row.Note = c.Warn, locale.Tn(ctx, "products.health_paused", paused)
	case near:
		if row.Tone != c.Bad {
			row.Tone = c.Warn
		}
		row.NoteTone, row.Note = c.Warn, locale.T(ctx, "products.health_ends", "When", endWords(ctx, now, *ends))
	case untested > 0:
		row.Note = locale.Tn(ctx, "products.health_untested", untested)
	}
}

type appForm struct {
	Platform string `form:"platform"`
}

func appDialog(p *models.ProductView, f appForm, taken string, faults c.FormErrors) templ.Component {
	form := views.AppForm{Action: "/products/" + number(p.ID) + "/apps/new", Product: p.Name, Platform: f.Platform, Errors: faults}
	for _, o := range platformOptions(models.Platforms()) {
		if hasPlatform(p, o.Value) {
			o.Off, o.Note = true, taken
		}
		form.Platforms = append(form.Platforms, o)
	}
	return views.AppDialog(form)
}

func hasPlatform(p *models.ProductView, platform string) bool {
	return slices.ContainsFunc(p.Apps, func(a models.AppView) bool { return a.Platform == platform })
}

func (h *console) newApp(ctx echo.Context) error {
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	var f appForm
	for _, platform := range models.Platforms() {
		if f.Platform == "" && !hasPlatform(p, platform) {
			f.Platform = platform
		}
	}
	return h.productsDialog(ctx, http.StatusOK, appDialog(p, f, web.T(ctx, "products.platform_exists"), nil))
}

func (h *console) createApp(ctx echo.Context) error {
	var f appForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	p, err := h.product(ctx)
	if err != nil {
		return err
	}
	a, err := h.Store.AddApp(ctx.Request().Context(), h.actor(ctx), p.ID, f.Platform, "")
	if err == nil {
		web.Flash(ctx, web.T(ctx, "products.app_created", "Name", p.Name+" · "+platformWord(a.Platform)), web.T(ctx, "products.app_created_detail"))
		return web.SeeOther(ctx, "/products")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.productsDialog(ctx, http.StatusUnprocessableEntity, appDialog(p, f, web.T(ctx, "products.platform_exists"), faults))
}
