package handlers

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// sparkDays is how far the list of plans looks back.
const sparkDays = 14

// plans lists the app's plans with a trend each.
func (h *console) plans(c echo.Context) error {
	p, err := h.plansPage(c)
	if err != nil {
		return err
	}
	return web.Page(c, views.Plans(p))
}

func (h *console) plansPage(c echo.Context) (views.PlansPage, error) {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return views.PlansPage{}, err
	}
	k, err := h.clock(c)
	if err != nil {
		return views.PlansPage{}, err
	}
	list, err := h.Store.Plans(ctx, a.Actor, a.App.ID)
	if err != nil {
		return views.PlansPage{}, err
	}
	p := views.PlansPage{Search: strings.TrimSpace(c.QueryParam("q")), IMOnly: models.Gate(&a.App.App, models.UsePush) != nil}
	base := a.Base + "/plans"
	may := a.Actor.May(models.PermPush)
	if may {
		p.NewURL = base + "/new"
	}
	if p.IMOnly {
		p.GuideURL = a.Base + "/config" + "#full"
	}
	list = slices.DeleteFunc(list, func(plan models.Plan) bool {
		return p.Search != "" && !strings.Contains(strings.ToLower(planName(ctx, &plan)), strings.ToLower(p.Search))
	})
	trends, err := h.Store.PlanTrends(ctx, a.Scope, planIDs(list), models.StatsFilter{
		From: k.now.AddDate(0, 0, 1-sparkDays), To: k.now, Zone: k.zone, Sandbox: a.App.Sandbox,
	})
	if err != nil {
		return views.PlansPage{}, err
	}
	for _, plan := range list {
		row := planRow(ctx, plan, trends[plan.ID])
		row.URL = base + "/" + number(plan.ID)
		if may && !plan.IsIM() {
			row.EditURL, row.DeleteURL = row.URL+"/edit", row.URL+"/delete"
		}
		p.Rows = append(p.Rows, row)
	}
	p.Chrome = web.Chrome(c)
	return p, nil
}

func planIDs(list []models.Plan) []int64 {
	out := make([]int64, 0, len(list))
	for _, plan := range list {
		out = append(out, plan.ID)
	}
	return out
}

// planRow is a plan in the list, with its last sparkDays days.
func planRow(ctx context.Context, plan models.Plan, days []models.DayFunnel) views.PlanRow {
	row := views.PlanRow{Name: planName(ctx, &plan), Note: plan.Description, System: plan.IsIM(), Released: plan.ReleasedAt != nil}
	if row.System {
		row.Note = locale.T(ctx, "plan.im_note")
	}
	var sum int64
	for _, d := range days {
		sum += d.Accepted
		row.Trend = append(row.Trend, float64(d.Accepted))
	}
	row.Finding = locale.T(ctx, "plan.spark_finding", "N", thousands(sum))
	yesterday := days[len(days)-2].Funnel
	row.Yesterday = thousands(yesterday.Accepted)
	row.Arrival, row.Click = rate(yesterday.Arrived, yesterday.Accepted), rate(yesterday.Clicked, yesterday.Arrived)
	return row
}

// planName is what a plan is called: the one of IM messages by the reader's language.
func planName(ctx context.Context, p *models.Plan) string {
	if p.IsIM() {
		return locale.T(ctx, "authorizations.plan_name")
	}
	return p.Name
}

// planForm is the body of 新建计划 and 编辑计划.
type planForm struct {
	Name        string `form:"name" label:"plan.name" validate:"required,max=60"`
	Description string `form:"description" label:"plan.description" validate:"max=300"`
}

func (h *console) newPlan(c echo.Context) error {
	return h.planDialog(c, views.PlanForm{New: true}, false)
}

func (h *console) editPlan(c echo.Context) error {
	plan, err := h.ownPlan(c)
	if err != nil {
		return err
	}
	return h.planDialog(c, views.PlanForm{Name: plan.Name, Description: plan.Description}, false)
}

// planDialog draws the form over the list of plans.
func (h *console) planDialog(c echo.Context, f views.PlanForm, failed bool) error {
	p, err := h.plansPage(c)
	if err != nil {
		return err
	}
	f.Action, f.CloseURL = c.Request().URL.Path, plansPath(c)
	page := views.Plans(p, views.PlanDialog(f))
	if failed {
		return web.FormPage(c, page)
	}
	return web.Page(c, page)
}

func (h *console) createPlan(c echo.Context) error {
	return h.planSave(c, true, "plan.created", func(ctx context.Context, name, description string) error {
		_, err := h.Store.CreatePlan(ctx, h.actor(c), appID(c), name, description)
		return err
	})
}

func (h *console) savePlan(c echo.Context) error {
	// A plan that is not there, or is the system's, has no form to be wrong about.
	plan, err := h.ownPlan(c)
	if err != nil {
		return err
	}
	return h.planSave(c, false, "plan.saved", func(ctx context.Context, name, description string) error {
		_, err := h.Store.UpdatePlan(ctx, h.actor(c), appID(c), plan.ID, name, description)
		return err
	})
}

func (h *console) planSave(c echo.Context, isNew bool, done string, save func(ctx context.Context, name, description string) error) error {
	var form planForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	faults := web.Validate(c, &form)
	if faults == nil {
		var err error
		if faults, err = web.Faults(c, save(c.Request().Context(), form.Name, form.Description)); err != nil {
			return err
		}
	}
	if faults != nil {
		return h.planDialog(c, views.PlanForm{New: isNew, Name: form.Name, Description: form.Description, Errors: faults}, true)
	}
	web.Flash(c, web.T(c, done, "Name", form.Name), "")
	return web.SeeOther(c, plansPath(c))
}

func (h *console) askDeletePlan(c echo.Context) error {
	plan, err := h.ownPlan(c)
	if err != nil {
		return err
	}
	p, err := h.plansPage(c)
	if err != nil {
		return err
	}
	return web.Page(c, views.Plans(p, views.PlanDeleteDialog(plan.Name, c.Request().URL.Path, plansPath(c))))
}

func (h *console) deletePlan(c echo.Context) error {
	plan, err := h.plan(c)
	if err != nil {
		return err
	}
	if err := h.Store.DeletePlan(c.Request().Context(), h.actor(c), appID(c), plan.ID); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "plan.deleted", "Name", plan.Name), "")
	return web.SeeOther(c, plansPath(c))
}

// plan loads the plan named by the path.
func (h *console) plan(c echo.Context) (*models.Plan, error) {
	id, err := idParam(c, "plan")
	if err != nil {
		return nil, err
	}
	return h.Store.PlanByID(c.Request().Context(), h.actor(c), appID(c), id)
}

// ownPlan is plan for a form that changes it: the system's cannot be changed.
func (h *console) ownPlan(c echo.Context) (*models.Plan, error) {
	plan, err := h.plan(c)
	if err != nil {
		return nil, err
	}
	return plan, plan.Changeable()
}

// planRange is the days that a plan's figures cover.
type planRange struct {
	id, key  string
	from, to time.Time
}

// planRanges are the choices of 计划详情, the first one the default.
func planRanges(k clock) []planRange {
	yesterday := k.now.AddDate(0, 0, -1)
	return []planRange{
		{"today", "plan.today", k.now, k.now},
		{"yesterday", "plan.yesterday_short", yesterday, yesterday},
		{"7", "plan.days7", k.now.AddDate(0, 0, -6), k.now},
		{"30", "plan.days30", k.now.AddDate(0, 0, -29), k.now},
	}
}

// showPlan is 推送计划 › 详情.
func (h *console) showPlan(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.app(c)
	if err != nil {
		return err
	}
	plan, err := h.plan(c)
	if err != nil {
		return err
	}
	k, err := h.clock(c)
	if err != nil {
		return err
	}
	p := views.PlanPage{ListURL: a.Base + "/plans", Name: planName(ctx, plan), Text: plan.Description, System: plan.IsIM(), Released: plan.ReleasedAt != nil}
	switch {
	case p.Released:
		p.Text = locale.T(ctx, "plan.im_released_text")
	case p.System:
		p.Text = locale.T(ctx, "plan.im_text", "Days", h.RetentionDays)
	}
	ranges := planRanges(k)
	chosen := ranges[0]
	for _, r := range ranges {
		if r.id == c.QueryParam("range") {
			chosen = r
		}
	}
	for _, r := range ranges {
		p.Ranges = append(p.Ranges, ui.Link{Label: locale.T(ctx, r.key), Href: web.FilterURL(c, "range", r.id), Current: r.id == chosen.id})
	}
	if p.Guide, err = planGuide(a, plan); err != nil {
		return err
	}
	waiting, err := h.planFigures(ctx, &p, a.Scope, models.StatsFilter{PlanID: plan.ID, From: chosen.from, To: chosen.to, Zone: k.zone, Sandbox: a.App.Sandbox}, locale.T(ctx, chosen.key))
	if err != nil {
		return err
	}
	p.Note = pausedNote(ctx, a.App, waiting)
	if p.Note != nil && a.Actor.May(models.PermConfigure) {
		p.Note.End = ui.Button(ui.Btn{Label: locale.T(ctx, "plan.paused_fix"), Href: a.Base + "/config", Small: true})
	}
	if p.Records, err = h.records(c, a, models.RecordFilter{PlanID: plan.ID}, k); err != nil {
		return err
	}
	p.Records.IM = p.System
	p.Chrome = web.Chrome(c)
	return web.Page(c, views.Plan(p))
}

// planGuide is what stands in place of the figures of other pushes while an app may
// only carry IM messages, nil otherwise.
func planGuide(a appPage, plan *models.Plan) (*views.PlanGuide, error) {
	if plan.IsIM() {
		return nil, nil //nolint:nilnil // no guide is an answer
	}
	err := models.Gate(&a.App.App, models.UseStatistics)
	if models.KindOf(err) != models.Conflict {
		return nil, err
	}
	g := &views.PlanGuide{}
	if a.Actor.May(models.PermMain) {
		g.OpenURL = a.Base + "/config#full"
	}
	return g, nil
}

// pausedNote tells of a credential that stopped the app's pushes.
func pausedNote(ctx context.Context, app *models.AppView, waiting int64) *ui.Note {
	for _, cred := range app.Credentials {
		if cred.State != models.CredentialPaused || (cred.Environment == models.EnvironmentSandbox) != app.Sandbox {
			continue
		}
		return &ui.Note{
			Tone: ui.Bad, Title: locale.T(ctx, "plan.paused_title", "Channel", channelName(ctx, cred.Channel)),
			Text: locale.T(ctx, "plan.paused_text", "N", thousands(waiting), "Cause", codeWords(ctx, cred.Channel, cred.CauseCode)),
		}
	}
	return nil
}

// plansPath is the list that the plan of this request stands in.
func plansPath(c echo.Context) string { return appBase(appID(c)) + "/plans" }
