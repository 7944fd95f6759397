package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) audit(ctx echo.Context) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	account, err := h.account(ctx)
	if err != nil {
		return err
	}
	page, err := h.Store.Audit(std, who, auditFilter(ctx, clock))
	if err != nil {
		return err
	}
	names, err := h.productNames(ctx)
	if err != nil {
		return err
	}
	p := views.AuditPage{
		User: ctx.QueryParam("user"), Kind: ctx.QueryParam("kind"), From: ctx.QueryParam("from"), To: ctx.QueryParam("to"),
		Zone: account.TimeZone, Kinds: auditKinds(std),
	}
	p.Filtered = p.User+p.Kind+p.From+p.To != ""
	if p.Users, err = h.auditUsers(ctx); err != nil {
		return err
	}
	words := auditWords{ctx: std, clock: clock, products: names, region: h.regionWord}
	for i := range page.Rows {
		p.Rows = append(p.Rows, words.row(&page.Rows[i]))
	}
	p.Previous, p.Next = web.KeysetURLs(ctx, key(page.Newer), key(page.Older))
	p.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Audit(p))
}

// key writes a row's id for the address of a neighbouring page, "" for none.
func key(id int64) string {
	if id == 0 {
		return ""
	}
	return number(id)
}

// auditFilter reads the filters. One that makes no sense filters nothing: the page
// shows what it understood.
func auditFilter(ctx echo.Context, clock clock) models.AuditFilter {
	f := models.AuditFilter{Kind: ctx.QueryParam("kind")}
	if id, err := strconv.ParseInt(ctx.QueryParam("user"), 10, 64); err == nil {
		f.UserID = &id
	}
	if t, ok := clock.day(ctx.QueryParam("from")); ok {
		f.From = t
	}
	if t, ok := clock.day(ctx.QueryParam("to")); ok {
		f.To = t.AddDate(0, 0, 1) // the whole day
	}
	// The list runs from new to old: the page "after" a row holds older ones.
	k := web.ReadKeyset(ctx)
	if id, err := strconv.ParseInt(k.After, 10, 64); err == nil {
		f.Before = id
	}
	if id, err := strconv.ParseInt(k.Before, 10, 64); err == nil {
		f.After = id
	}
	return f
}

func auditKinds(ctx context.Context) []c.Option {
	var out []c.Option
	for _, k := range models.AuditKinds() {
		out = append(out, c.Option{Value: k, Label: locale.T(ctx, "auditlog.kind."+k)})
	}
	return out
}

func (h *console) auditUsers(ctx echo.Context) ([]c.Option, error) {
	users, err := h.Store.AuditUsers(ctx.Request().Context(), h.actor(ctx))
	if err != nil {
		return nil, err
	}
	out := make([]c.Option, 0, len(users))
	for _, u := range users {
		out = append(out, c.Option{Value: number(u.UserID), Label: auditName(ctx.Request().Context(), u.UserID, u.UserName)})
	}
	return out, nil
}

// auditName names who did it; the program itself is 系统.
func auditName(ctx context.Context, id int64, name string) string {
	if id == 0 {
		return locale.T(ctx, "audit.system")
	}
	return name
}

func (a auditWords) row(r *models.AuditLog) views.AuditRow {
	ctx := a.ctx
	row := views.AuditRow{
		Time: a.clock.Exact(r.At), TimeFull: a.clock.Full(r.At), TimeISO: a.clock.ISO(r.At),
		User: auditName(ctx, r.UserID, r.UserName), IP: r.IP,
		Action: locale.T(ctx, "auditlog.action."+r.Action), Kind: locale.T(ctx, "auditlog.kind."+r.TargetKind), Target: r.TargetName,
	}
	if row.Target == "" {
		row.Target = r.TargetID
	}
	if r.TargetKind == models.AuditApp || r.TargetKind == models.AuditMessage {
		row.Kind += " " + r.TargetID // the name alone tells neither platforms nor messages apart
	}
	if name := a.products[r.ProductID]; name != "" && r.TargetKind != models.AuditProduct && name != row.Target {
		row.Kind = name + " · " + row.Kind
	}
	before, after := auditFacts(r.Before), auditFacts(r.After)
	if len(before) > 0 && len(after) > 0 {
		row.Changes = a.changes(before, after)
	} else {
		maps.Copy(after, before)
		row.Facts = a.facts(after, r.TargetName)
	}
	return row
}

// changes lists the fields of an update, before and after.
func (a auditWords) changes(before, after map[string]any) []views.AuditChange {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var out []views.AuditChange
	for _, f := range auditOrder(all) {
		nothing := locale.T(a.ctx, "audit.none")
		out = append(out, views.AuditChange{
			Field: a.field(f), Before: cmp.Or(a.value(f, before[f]), nothing), After: cmp.Or(a.value(f, after[f]), nothing),
		})
	}
	return out
}

// facts says in one line what was made, deleted or done. What is off or empty, and the
// name that stands beside it, would only fill the page.
func (a auditWords) facts(all map[string]any, name string) string {
	var out []string
	for _, f := range auditOrder(all) {
		v := a.value(f, all[f])
		if v == "" || all[f] == false || v == name {
			continue
		}
		if all[f] == true {
			out = append(out, a.field(f))
			continue
		}
		out = append(out, a.field(f)+" "+v)
	}
	return strings.Join(out, " · ")
}

// auditOrder sorts fields as people look for them: what it is first, switches last.
func auditOrder(all map[string]any) []string {
	first := []string{"name", "platform", "region", "role", "all_products", "products", "im_app", "app", "channel", "environment", "kind"}
	rank := func(f string) int {
		if i := slices.Index(first, f); i >= 0 {
			return i
		}
		return len(first)
	}
	return slices.SortedFunc(maps.Keys(all), func(x, y string) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x, y))
	})
}

func auditFacts(text string) map[string]any {
	out := map[string]any{}
	if text == "" {
		return out
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		// A row of another version: shown whole rather than not at all.
		return map[string]any{"": text} // no field: its text is all there is
	}
	return out
}

// auditWords turns rows into words.
type auditWords struct {
	ctx      context.Context
	clock    clock
	products map[int64]string
	region   func(ctx context.Context, id string) string
}

// field names a field.
func (a auditWords) field(field string) string {
	if field == "" {
		return ""
	}
	return locale.T(a.ctx, "auditlog.field."+field)
}

// value writes a value for people.
func (a auditWords) value(field string, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return locale.T(a.ctx, "audit.yes")
		}
		return locale.T(a.ctx, "audit.no")
	case float64:
		if name := a.products[int64(v)]; field == "products" && name != "" {
			return name
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return a.word(field, v)
	case []any:
		words := make([]string, 0, len(v))
		for _, one := range v {
			words = append(words, a.value(field, one))
		}
		return list(a.ctx, words)
	case map[string]any:
		// What a certificate says of itself: the values tell enough.
		var words []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if word := a.value("", v[name]); word != "" {
				words = append(words, word)
			}
		}
		return list(a.ctx, words)
	}
	return ""
}

// word replaces the words that a column holds by those that pages use.
func (a auditWords) word(field, v string) string {
	if v == "" {
		return ""
	}
	switch field {
	case "channel":
		return channelName(a.ctx, v)
	case "category":
		return locale.T(a.ctx, "categories."+v)
	case "region":
		return a.region(a.ctx, v)
	case "role":
		role, _ := roleWords(a.ctx, models.Rights{Role: v})
		return role
	case "platform":
		return platformWord(v)
	case "language":
		return locale.T(a.ctx, "auditlog.language."+v)
	case "bridge":
		if b, ok := BridgeByID(v); ok {
			return locale.T(a.ctx, b.Name)
		}
	case "events":
		return locale.T(a.ctx, "alerts.event."+v)
	case "hook_kind":
		return locale.T(a.ctx, "alerts.kind."+v)
	case "addressing":
		return addressingWord(a.ctx, v)
	case "fanout":
		return locale.T(a.ctx, "auditlog.fanout."+v)
	case "text_mode":
		return locale.T(a.ctx, "auditlog.text."+v)
	case "state":
		return locale.T(a.ctx, "auditlog.state."+v)
	case "environment":
		return locale.T(a.ctx, "auditlog.environment."+v)
	case "key":
		return locale.T(a.ctx, "auditlog.key."+v)
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return a.clock.Exact(t)
	}
	return v
}
