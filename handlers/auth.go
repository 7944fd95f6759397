package handlers

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/web"
)

// Kinds of sign-in page.
const (
	loginMain = "main" // 主账号登录
	loginSub  = "sub"  // 子账号登录
)

type loginForm struct {
	Account  string `form:"account"`
	Name     string `form:"name"`
	Password string `form:"password" trim:"no"`
	Stay     string `form:"stay"`
}

func (h *console) login(as string) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		if _, ok := web.CurrentUser(ctx); ok {
			return web.SeeOther(ctx, web.SafePath(ctx.QueryParam("next")))
		}
		done, err := h.Store.HasMainAccount(ctx.Request().Context())
		if err != nil {
			return err
		}
		if !done {
			return web.SeeOther(ctx, "/setup")
		}
		return web.Page(ctx, views.Login(loginPage(ctx, as, loginForm{}, nil)))
	}
}

func loginPage(ctx echo.Context, as string, f loginForm, faults c.FormErrors) views.LoginPage {
	next := ctx.QueryParam("next")
	if next != "" {
		next = web.SafePath(next)
	}
	return views.LoginPage{
		Chrome: web.Chrome(ctx), As: as, Account: f.Account, Name: f.Name, Stay: f.Stay != "",
		Next: next, Errors: faults,
	}
}

func (h *console) signIn(as string) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		var f loginForm
		if err := web.Bind(ctx, &f); err != nil {
			return err
		}
		in := models.Login{
			Name: f.Name, Password: f.Password, IP: ctx.RealIP(), UserAgent: ctx.Request().UserAgent(), Stay: f.Stay != "",
		}
		faults := c.FormErrors{}
		if f.Name == "" {
			faults["name"] = web.T(ctx, "auth.name_missing")
		}
		if f.Password == "" {
			faults["password"] = web.T(ctx, "auth.password_missing")
		}
		if as == loginSub {
			id, err := strconv.ParseInt(f.Account, 10, 64)
			if err != nil || id <= 0 {
				faults["account"] = web.T(ctx, "auth.account_id_number")
			}
			in.AccountID = id
		}
		if len(faults) == 0 {
			u, token, err := h.Store.SignIn(ctx.Request().Context(), in)
			if err == nil {
				h.Log.Info("signed in", "user", u.ID, "account", u.AccountID, "request_id", web.RequestID(ctx))
				web.SignIn(ctx, token, in.Stay)
				return web.SeeOther(ctx, web.SafePath(ctx.QueryParam("next")))
			}
			if faults, err = formFaults(ctx, err); err != nil {
				return err
			}
		}
		return web.FormPage(ctx, views.Login(loginPage(ctx, as, f, faults)))
	}
}

// logout ends the session. A session that is already gone is as good.
func (h *console) logout(ctx echo.Context) error {
	if s := h.session(ctx); len(s.session.TokenHash) == sha256.Size {
		if err := h.Store.SignOut(ctx.Request().Context(), [sha256.Size]byte(s.session.TokenHash)); err != nil {
			return err
		}
	}
	web.SignOut(ctx)
	return web.SeeOther(ctx, "/login")
}

type setupForm struct {
	Token    string `form:"token"`
	Account  string `form:"account"`
	Name     string `form:"name"`
	Password string `form:"password" trim:"no"`
	Again    string `form:"password2" trim:"no"`
}

// setup shows the form that makes the first main account. Opening it spends nothing.
func (h *console) setup(ctx echo.Context) error {
	token := ctx.QueryParam("token")
	if err := h.Store.CheckSetupToken(ctx.Request().Context(), token); err != nil {
		return h.setupRefused(ctx, err)
	}
	return web.Page(ctx, views.Setup(views.SetupPage{Chrome: web.Chrome(ctx), Token: token}))
}

// setupRefused leads on to sign-in when setup is over, and says how to get a link
// that works when this one does not.
func (h *console) setupRefused(ctx echo.Context, err error) error {
	switch models.KindOf(err) {
	case models.Conflict:
		return web.SeeOther(ctx, "/login")
	case models.Unauthorized:
		return web.Render(ctx, http.StatusUnauthorized, views.SetupClosed(views.SetupClosedPage{
			Chrome: web.Chrome(ctx), Opened: ctx.QueryParam("token") != "" || ctx.Request().Method == http.MethodPost,
		}))
	}
	return err
}

// setupAgain draws the form again. Its address has no token, which a change of the
// language must not lose.
func setupAgain(ctx echo.Context, page views.SetupPage, faults c.FormErrors) error {
	page.Chrome, page.Errors = web.Chrome(ctx), renamed(faults, "account_name", "account")
	page.Chrome.Path = "/setup?token=" + url.QueryEscape(page.Token)
	return web.FormPage(ctx, views.Setup(page))
}

func (h *console) setUp(ctx echo.Context) error {
	var f setupForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	page := views.SetupPage{Token: f.Token, Account: f.Account, Name: f.Name}
	in := models.MainAccount{Name: f.Account, UserName: f.Name, Password: f.Password}
	if f.Password != f.Again {
		// Whether the link works must be known before the form says anything else.
		if err := h.Store.CheckSetupToken(ctx.Request().Context(), f.Token); err != nil {
			return h.setupRefused(ctx, err)
		}
		faults, err := formFaults(ctx, in.Check())
		if err != nil {
			return err
		}
		if faults == nil {
			faults = c.FormErrors{}
		}
		faults["password2"] = web.T(ctx, "auth.again_mismatch")
		return setupAgain(ctx, page, faults)
	}
	u, err := h.Store.SetUp(ctx.Request().Context(), f.Token, in, ctx.RealIP())
	if err != nil {
		var e *models.Error
		if !errors.As(err, &e) || e.Field == "" {
			return h.setupRefused(ctx, err)
		}
		faults, err := formFaults(ctx, err)
		if err != nil {
			return err
		}
		return setupAgain(ctx, page, faults)
	}
	token, err := h.Store.StartSession(ctx.Request().Context(), u, ctx.RealIP(), ctx.Request().UserAgent())
	if err != nil {
		return err
	}
	web.SignIn(ctx, token, false)
	return web.SeeOther(ctx, "/start")
}

// formFaults is web.Faults that also takes a wrong password for a fault of the form.
func formFaults(ctx echo.Context, err error) (c.FormErrors, error) {
	var e *models.Error
	if errors.As(err, &e) && e.Kind == models.Unauthorized && e.Key != "" {
		return c.FormErrors{e.Field: web.T(ctx, e.Key, e.Data)}, nil
	}
	return web.Faults(ctx, err)
}

// renamed moves a message to the name that the field has on this form.
func renamed(faults c.FormErrors, from, to string) c.FormErrors {
	if text, ok := faults[from]; ok {
		delete(faults, from)
		faults[to] = text
	}
	return faults
}
