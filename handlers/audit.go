package handlers

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	for i := range page.Rows {
		p.Rows = append(p.Rows, auditRow(std, clock, &page.Rows[i], names))
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

func auditRow(ctx context.Context, clock clock, r *models.AuditLog, products map[int64]string) views.AuditRow {
	row := views.AuditRow{
		Time: clock.Short(r.At), TimeFull: clock.Full(r.At), TimeISO: clock.ISO(r.At),
		User: auditName(ctx, r.UserID, r.UserName), IP: r.IP,
		Action: locale.T(ctx, "auditlog.action."+r.Action), Kind: locale.T(ctx, "auditlog.kind."+r.TargetKind), Target: r.TargetName,
	}
	if row.Target == "" {
		row.Target = r.TargetID
	}
	if r.TargetKind == models.AuditApp {
		row.Kind += " " + r.TargetID // the name alone does not tell the platforms apart
	}
	if name := products[r.ProductID]; name != "" && r.TargetKind != models.AuditProduct && name != row.Target {
		row.Kind = name + " · " + row.Kind
	}
	before, after := auditFacts(r.Before), auditFacts(r.After)
	fields := maps.Clone(before)
	maps.Copy(fields, after)
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		ch := views.AuditChange{Field: auditField(ctx, f), Before: auditValue(ctx, f, before[f], products), After: auditValue(ctx, f, after[f], products)}
		if _, had := before[f]; had && ch.Before == "" && ch.After != "" {
			ch.Before = locale.T(ctx, "audit.none")
		}
		if ch.Before != "" || ch.After != "" {
			row.Changes = append(row.Changes, ch)
		}
	}
	return row
}

func auditFacts(text string) map[string]any {
	out := map[string]any{}
	if text == "" {
		return out
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		// A row of another version: shown whole rather than not at all.
		return map[string]any{"": text}
	}
	return out
}

// auditField names a field; one that has no name yet is shown as it is.
func auditField(ctx context.Context, field string) string {
	key := "auditlog.field." + field
	if name := locale.T(ctx, key); name != key {
		return name
	}
	return field
}

// auditValue writes a value for people.
func auditValue(ctx context.Context, field string, v any, products map[int64]string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return locale.T(ctx, "audit.yes")
		}
		return locale.T(ctx, "audit.no")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return auditWord(ctx, field, v)
	case []any:
		words := make([]string, 0, len(v))
		for _, one := range v {
			if id, ok := one.(float64); ok && field == "products" {
				if name := products[int64(id)]; name != "" {
					words = append(words, name)
					continue
				}
			}
			words = append(words, auditValue(ctx, field, one, products))
		}
		return strings.Join(words, locale.T(ctx, "common.list_separator"))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// auditWord replaces the words that a column holds by those that pages use.
func auditWord(ctx context.Context, field, v string) string {
	switch field {
	case "category":
		return locale.T(ctx, "categories."+v)
	case "role":
		role, _ := roleWords(ctx, models.Rights{Role: v})
		return role
	case "platform":
		return platformWord(v)
	case "fanout":
		return locale.T(ctx, "auditlog.fanout."+v)
	case "text_mode":
		return locale.T(ctx, "auditlog.text."+v)
	}
	return v
}
