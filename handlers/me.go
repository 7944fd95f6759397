package handlers

import (
	"context"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) me(ctx echo.Context) error {
	p, err := h.mePage(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Me(p))
}

func (h *console) mePage(ctx echo.Context) (views.MePage, error) {
	std, s := ctx.Request().Context(), h.session(ctx)
	account, err := h.account(ctx)
	if err != nil {
		return views.MePage{}, err
	}
	products, err := h.productNames(ctx)
	if err != nil {
		return views.MePage{}, err
	}
	sessions, err := h.sessionRows(ctx, s.session.ID)
	if err != nil {
		return views.MePage{}, err
	}
	p := views.MePage{
		Chrome: web.Chrome(ctx), Name: s.user.Name, Account: account.Name, AccountID: number(account.ID), Sessions: sessions,
	}
	p.Role, p.RoleNote = roleWords(std, s.user.Rights)
	if !s.user.IsMain {
		p.Products = scopeWords(std, s.user.Rights, products)
		p.Rights = rightWords(std, s.user.Rights)
	}
	return p, nil
}

func (h *console) sessionRows(ctx echo.Context, current int64) ([]views.SessionRow, error) {
	std := ctx.Request().Context()
	clock, err := h.clock(ctx)
	if err != nil {
		return nil, err
	}
	sessions, err := h.Store.Sessions(std, h.actor(ctx))
	if err != nil {
		return nil, err
	}
	rows := make([]views.SessionRow, 0, len(sessions))
	for _, s := range sessions {
		rows = append(rows, views.SessionRow{
			ID: number(s.ID), Device: deviceWords(std, s.UserAgent), IP: s.IP, Since: clock.Short(s.CreatedAt),
			LastSeen: clock.Ago(std, s.LastSeenAt), SeenFull: clock.Full(s.LastSeenAt), Current: s.ID == current,
		})
	}
	return rows, nil
}

// deviceWords names the browser of a session.
func deviceWords(ctx context.Context, agent string) string {
	name, system := agentWords(agent)
	switch {
	case name == "" && system == "":
		return locale.T(ctx, "me.device_unknown")
	case system == "":
		return name
	case name == "":
		return system
	}
	return locale.T(ctx, "me.device_of", "Browser", name, "System", system)
}

// roleWords names what a user may do, and explains it.
func roleWords(ctx context.Context, r models.Rights) (role, note string) {
	switch {
	case r.IsMain:
		return locale.T(ctx, "common.main_user"), locale.T(ctx, "users.role_main_note")
	case r.Role == models.RoleFull:
		return locale.T(ctx, "users.role_full"), locale.T(ctx, "users.role_full_note")
	case r.Role == models.RoleOps:
		return locale.T(ctx, "users.role_ops"), locale.T(ctx, "users.role_ops_note")
	}
	return locale.T(ctx, "users.role_read"), locale.T(ctx, "users.role_read_note")
}

// rightWords names the rights that are granted apart from the role.
func rightWords(ctx context.Context, r models.Rights) []string {
	var out []string
	if r.CanIM {
		out = append(out, locale.T(ctx, "users.right_im"))
	}
	if r.CanContent {
		out = append(out, locale.T(ctx, "users.right_content"))
	}
	return out
}

// scopeWords names the products that a sub-account may see; names maps their ids.
func scopeWords(ctx context.Context, r models.Rights, names map[int64]string) string {
	if r.AllProducts {
		return locale.T(ctx, "users.scope_all")
	}
	var words []string
	for _, id := range r.Products {
		if name := names[id]; name != "" {
			words = append(words, name)
		}
	}
	if len(words) == 0 {
		return locale.T(ctx, "users.scope_none")
	}
	return list(ctx, words)
}

type passwordForm struct {
	Current  string `form:"current" trim:"no"`
	Password string `form:"password" trim:"no"`
	Again    string `form:"again" trim:"no"`
}

func (h *console) changePassword(ctx echo.Context) error {
	var f passwordForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	faults := c.FormErrors{}
	if f.Password != f.Again {
		faults["again"] = web.T(ctx, "me.again_mismatch")
	} else {
		err := h.Store.ChangePassword(ctx.Request().Context(), h.actor(ctx), f.Current, f.Password, h.session(ctx).session.ID)
		if err == nil {
			web.Flash(ctx, web.T(ctx, "me.changed"), web.T(ctx, "me.changed_detail"))
			return web.SeeOther(ctx, "/me")
		}
		if faults, err = formFaults(ctx, err); err != nil {
			return err
		}
		// The model asks for "the password"; this form has three of them.
		faults = renamed(renamed(renamed(faults, "", "current"), "password", "current"), "new_password", "password")
	}
	p, err := h.mePage(ctx)
	if err != nil {
		return err
	}
	p.Errors = faults
	return web.FormPage(ctx, views.Me(p))
}

func (h *console) revokeSession(ctx echo.Context) error {
	id, err := idParam(ctx, "session")
	if err != nil {
		return err
	}
	if err := h.Store.RevokeSession(ctx.Request().Context(), h.actor(ctx), id); err != nil {
		return err
	}
	web.Flash(ctx, web.T(ctx, "me.revoked"), "")
	return web.SeeOther(ctx, "/me")
}

func (h *console) revokeOtherSessions(ctx echo.Context) error {
	n, err := h.Store.RevokeOtherSessions(ctx.Request().Context(), h.actor(ctx), h.session(ctx).session.ID)
	if err != nil {
		return err
	}
	web.Flash(ctx, web.Tn(ctx, "me.revoked_others", n), "")
	return web.SeeOther(ctx, "/me")
}
