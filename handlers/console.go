package handlers

import (
	"context"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/web"
)

// console is what the handlers of all pages share: who asks, which app the page is
// about, the frame around it. The handlers of a noun are methods on it, in the file
// of that noun.
type console struct {
	Deps
	// samples limits 发送示例请求, per IM app.
	samples *web.Limiter
	// self calls Deps.Self.
	self *http.Client
}

// signedIn is what a request knows of its user, kept in web.User.Value.
type signedIn struct {
	user    *models.User
	session *models.Session
}

// SessionUser finds who holds a session; it makes console a web.Sessions.
func (h *console) SessionUser(ctx context.Context, hash web.TokenHash) (web.User, error) {
	session, u, err := h.Store.SessionByHash(ctx, hash)
	if models.KindOf(err) == models.Unauthorized {
		return web.User{}, web.ErrNoSession
	}
	if err != nil {
		return web.User{}, err
	}
	var may []web.Permission
	for _, p := range u.Granted() {
		may = append(may, web.Permission(p))
	}
	return web.User{
		ID: u.ID, AccountID: u.AccountID, SessionID: session.ID, Name: u.Name, Main: u.IsMain,
		Permissions: may, Lang: u.Language, Value: signedIn{u, session},
	}, nil
}

func (h *console) saveLanguage(ctx context.Context, u web.User, lang string) error {
	who, ok := u.Value.(signedIn)
	if !ok {
		return nil
	}
	return h.Store.SetLanguage(ctx, who.user.Actor(""), lang)
}

// session returns the session of a signed-in request; on a public route it may be
// empty.
func (h *console) session(c echo.Context) signedIn {
	u, _ := web.CurrentUser(c)
	s, ok := u.Value.(signedIn)
	if !ok {
		return signedIn{user: &models.User{}, session: &models.Session{}}
	}
	return s
}

// actor returns who asks, for every call of models. Without a session it is the
// zero Actor, which finds nothing and may nothing.
func (h *console) actor(c echo.Context) models.Actor {
	s := h.session(c)
	if s.user.ID == 0 {
		return models.Actor{IP: c.RealIP()}
	}
	return s.user.Actor(c.RealIP())
}

// keyAccount is where a request keeps its account, once it was read.
const keyAccount = "hongyan.account"

// account returns the account of the signed-in user, read once per request.
func (h *console) account(c echo.Context) (*models.Account, error) {
	if a, ok := c.Get(keyAccount).(*models.Account); ok {
		return a, nil
	}
	a, err := h.Store.Account(c.Request().Context(), h.actor(c))
	if err != nil {
		return nil, err
	}
	c.Set(keyAccount, a)
	return a, nil
}

// clock returns how this page writes times: in the account's zone.
func (h *console) clock(c echo.Context) (clock, error) {
	a, err := h.account(c)
	if err != nil {
		return clock{}, err
	}
	return clock{now: h.Now(), zone: a.Location()}, nil
}

// publicURL returns the address of this installation, without a trailing slash.
func (h *console) publicURL(c echo.Context) string {
	return publicURL(h.PublicURL, c)
}

// idParam reads a number from the path. What is no number names nothing.
func idParam(c echo.Context, name string) (int64, error) {
	id, err := strconv.ParseInt(c.Param(name), 10, 64)
	if err != nil || id <= 0 {
		return 0, &web.Error{Kind: web.KindNotFound}
	}
	return id, nil
}

// number writes an id for a path or a form.
func number(id int64) string { return strconv.FormatInt(id, 10) }
