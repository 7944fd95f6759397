package handlers

import (
	"context"
	"maps"
	"net/http"
	"strconv"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// Scopes of a sub-account, as the form says them.
const (
	scopeAll  = "all"
	scopeSome = "some"
)

func (h *console) users(ctx echo.Context) error { return h.usersPage(ctx, http.StatusOK, nil) }

// usersPage draws the list, under a dialog if there is one.
func (h *console) usersPage(ctx echo.Context, status int, dialog templ.Component) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return err
	}
	users, err := h.Store.Users(std, who)
	if err != nil {
		return err
	}
	names, err := h.productNames(ctx)
	if err != nil {
		return err
	}
	p := views.UsersPage{
		AccountID: number(who.AccountID), LoginURL: h.publicURL(ctx) + "/login/sub", Dialog: dialog, Chrome: web.Chrome(ctx),
	}
	for i := range users {
		p.Users = append(p.Users, userRow(std, clock, &users[i], names))
	}
	return web.Render(ctx, status, views.Users(p))
}

func userRow(ctx context.Context, clock clock, u *models.User, names map[int64]string) views.UserRow {
	base := "/users/" + number(u.ID)
	row := views.UserRow{
		ID: number(u.ID), Name: u.Name, Products: scopeWords(ctx, u.Rights, names), Rights: rightWords(ctx, u.Rights),
		LastSeen: locale.T(ctx, "users.never"), State: locale.T(ctx, "users.state_active"), Tone: c.OK, EditURL: base + "/edit",
	}
	row.Role, _ = roleWords(ctx, u.Rights)
	if u.LastSeenAt != nil {
		row.LastSeen, row.SeenFull = clock.Ago(ctx, *u.LastSeenAt), clock.Full(*u.LastSeenAt)
	}
	turn := c.Link{Label: locale.T(ctx, "users.disable"), Href: base + "/disable", Icon: "lock", Post: true}
	if u.DisabledAt != nil {
		row.State, row.Tone = locale.T(ctx, "users.state_disabled"), c.Mute
		turn = c.Link{Label: locale.T(ctx, "users.enable"), Href: base + "/enable", Icon: "check", Post: true}
	}
	row.Menu = []c.Link{
		{Label: locale.T(ctx, "users.reset"), Href: base + "/password", Icon: "key", Dialog: true},
		turn,
		{Label: locale.T(ctx, "users.delete"), Href: base + "/delete", Icon: "trash", Danger: true},
	}
	return row
}

type userForm struct {
	Name     string   `form:"name"`
	Password string   `form:"password" trim:"no"`
	Role     string   `form:"role"`
	Scope    string   `form:"scope"`
	Products []string `form:"products"`
	IM       string   `form:"im"`
	Content  string   `form:"content"`
}

func (f userForm) input() models.UserInput {
	in := models.UserInput{
		Name: f.Name, Password: f.Password, Role: f.Role, AllProducts: f.Scope == scopeAll,
		CanIM: f.IM != "", CanContent: f.Content != "",
	}
	for _, p := range f.Products {
		if id, err := strconv.ParseInt(p, 10, 64); err == nil {
			in.Products = append(in.Products, id)
		}
	}
	return in
}

// check finds what the form alone can tell: chosen products without a choice.
func (f userForm) check(ctx echo.Context) c.FormErrors {
	if f.Scope == scopeSome && len(f.Products) == 0 {
		return c.FormErrors{"scope": web.T(ctx, "users.scope_missing")}
	}
	return nil
}

// userDialog is 新建子账号, or 编辑子账号 for a user that exists.
func (h *console) userDialog(ctx echo.Context, id int64, f userForm, faults c.FormErrors) (templ.Component, error) {
	all, err := h.Store.Products(ctx.Request().Context(), h.actor(ctx), "")
	if err != nil {
		return nil, err
	}
	form := views.UserForm{
		Edit: id != 0, Action: "/users/new", Name: f.Name, Role: f.Role, Scope: f.Scope, Products: f.Products,
		IM: f.IM != "", Content: f.Content != "", MaxName: models.MaxUserName, Errors: faults,
	}
	if id != 0 {
		form.Action = "/users/" + number(id) + "/edit"
	}
	for _, p := range all {
		form.All = append(form.All, c.Option{Value: number(p.ID), Label: p.Name})
	}
	return views.UserDialog(form), nil
}

// userAnswer draws the list under the form.
func (h *console) userAnswer(ctx echo.Context, status int, id int64, f userForm, faults c.FormErrors) error {
	dialog, err := h.userDialog(ctx, id, f, faults)
	if err != nil {
		return err
	}
	return h.usersPage(ctx, status, dialog)
}

func (h *console) newUser(ctx echo.Context) error {
	return h.userAnswer(ctx, http.StatusOK, 0, userForm{Role: models.RoleOps, Scope: scopeAll}, nil)
}

func (h *console) createUser(ctx echo.Context) error {
	var f userForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	faults := f.check(ctx)
	if faults != nil {
		more, err := formFaults(ctx, f.input().Check())
		if err != nil {
			return err
		}
		maps.Copy(faults, more)
	} else {
		u, err := h.Store.CreateUser(ctx.Request().Context(), h.actor(ctx), f.input())
		if err == nil {
			web.Flash(ctx, web.T(ctx, "users.created", "Name", u.Name), web.T(ctx, "users.created_detail", "Account", number(u.AccountID)))
			return web.SeeOther(ctx, "/users")
		}
		if faults, err = formFaults(ctx, err); err != nil {
			return err
		}
	}
	return h.userAnswer(ctx, http.StatusUnprocessableEntity, 0, f, faults)
}

// subUser loads the sub-account of the path. The main user is none.
func (h *console) subUser(ctx echo.Context) (*models.User, error) {
	id, err := idParam(ctx, "user")
	if err != nil {
		return nil, err
	}
	u, err := h.Store.UserByID(ctx.Request().Context(), h.actor(ctx), id)
	if err != nil {
		return nil, err
	}
	if u.IsMain {
		return nil, &web.Error{Kind: web.KindNotFound}
	}
	return u, nil
}

func (h *console) editUser(ctx echo.Context) error {
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	f := userForm{Name: u.Name, Role: u.Role, Scope: scopeSome}
	if u.AllProducts {
		f.Scope = scopeAll
	}
	for _, id := range u.Products {
		f.Products = append(f.Products, number(id))
	}
	if u.CanIM {
		f.IM = "1"
	}
	if u.CanContent {
		f.Content = "1"
	}
	return h.userAnswer(ctx, http.StatusOK, u.ID, f, nil)
}

func (h *console) saveUser(ctx echo.Context) error {
	var f userForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	faults := f.check(ctx)
	if faults == nil {
		saved, err := h.Store.UpdateUser(ctx.Request().Context(), h.actor(ctx), u.ID, f.input())
		if err == nil {
			web.Flash(ctx, web.T(ctx, "users.saved", "Name", saved.Name), "")
			return web.SeeOther(ctx, "/users")
		}
		if faults, err = formFaults(ctx, err); err != nil {
			return err
		}
	}
	return h.userAnswer(ctx, http.StatusUnprocessableEntity, u.ID, f, faults)
}

func (h *console) askPassword(ctx echo.Context) error {
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	return h.usersPage(ctx, http.StatusOK, passwordDialog(u, nil))
}

func passwordDialog(u *models.User, faults c.FormErrors) templ.Component {
	return views.UserPasswordDialog(views.UserPasswordForm{Action: "/users/" + number(u.ID) + "/password", Name: u.Name, Errors: faults})
}

type resetForm struct {
	Password string `form:"password" trim:"no"`
}

func (h *console) resetPassword(ctx echo.Context) error {
	var f resetForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	err = h.Store.ResetPassword(ctx.Request().Context(), h.actor(ctx), u.ID, f.Password)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "users.reset_done", "Name", u.Name), web.T(ctx, "users.reset_done_detail"))
		return web.SeeOther(ctx, "/users")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.usersPage(ctx, http.StatusUnprocessableEntity, passwordDialog(u, faults))
}

func (h *console) setDisabled(disabled bool) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		u, err := h.subUser(ctx)
		if err != nil {
			return err
		}
		if err := h.Store.SetUserDisabled(ctx.Request().Context(), h.actor(ctx), u.ID, disabled); err != nil {
			return err
		}
		if disabled {
			web.Flash(ctx, web.T(ctx, "users.disabled", "Name", u.Name), web.T(ctx, "users.disabled_detail"))
		} else {
			web.Flash(ctx, web.T(ctx, "users.enabled", "Name", u.Name), "")
		}
		return web.SeeOther(ctx, "/users")
	}
}

func (h *console) askDeleteUser(ctx echo.Context) error {
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Removal(userRemoval(ctx, u, "", nil)))
}

func userRemoval(ctx echo.Context, u *models.User, typed string, faults c.FormErrors) views.RemovalPage {
	return views.RemovalPage{
		Chrome: web.Chrome(ctx), Title: web.T(ctx, "users.delete"), Name: u.Name, Label: web.T(ctx, "users.delete_label"),
		Crumbs: []c.Link{{Label: web.T(ctx, "nav.users"), Href: "/users"}, {Label: u.Name}},
		Lost:   []string{web.T(ctx, "users.lost_login"), web.T(ctx, "users.lost_rights"), web.T(ctx, "users.kept_audit")},
		Action: "/users/" + number(u.ID) + "/delete", Back: "/users", Submit: web.T(ctx, "users.delete"), Typed: typed, Errors: faults,
	}
}

func (h *console) deleteUser(ctx echo.Context) error {
	var f removalForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	u, err := h.subUser(ctx)
	if err != nil {
		return err
	}
	err = h.Store.DeleteUser(ctx.Request().Context(), h.actor(ctx), u.ID, f.Name)
	if err == nil {
		web.Flash(ctx, web.T(ctx, "users.deleted", "Name", u.Name), "")
		return web.SeeOther(ctx, "/users")
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Removal(userRemoval(ctx, u, f.Name, faults)))
}
