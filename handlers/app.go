package handlers

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/web"
)

// appPage is what every page below /apps/:app starts from: who asks, the app, and
// the right to its data.
type appPage struct {
	Actor models.Actor
	App   *models.AppView
	Scope models.AppScope
	// Base is the start of the app's addresses: "/apps/1500000001".
	Base string
}

const (
	// keyApp is where a request keeps its appPage, for the frame of the page.
	keyApp = "hongyan.app"
	// cookieApp remembers the app that this browser looked at last: the sidebar's
	// App推送管理 leads there from pages that are about no app.
	cookieApp     = "app"
	cookieAppDays = 90
)

// app loads the app of an app page. One that is not of the user's account, or not
// within his products, does not exist for him: NotFound.
func (h *console) app(c echo.Context) (appPage, error) {
	id, err := idParam(c, "app")
	if err != nil {
		return appPage{}, err
	}
	who := h.actor(c)
	scope, app, err := h.Store.ScopeForApp(c.Request().Context(), who, id)
	if err != nil {
		return appPage{}, err
	}
	p := appPage{Actor: who, App: app, Scope: scope, Base: appBase(id)}
	c.Set(keyApp, &p)
	if cookieValue(c, cookieApp) != number(id) {
		c.SetCookie(&http.Cookie{
			Name: cookieApp, Value: number(id), Path: "/", MaxAge: cookieAppDays * 24 * 60 * 60,
			HttpOnly: true, Secure: c.Scheme() == "https", SameSite: http.SameSiteLaxMode,
		})
	}
	return p, nil
}

// appBase is the start of an app's addresses.
func appBase(id int64) string { return "/apps/" + number(id) }

// appOf returns the appPage that app left for this request, or nil.
func appOf(c echo.Context) *appPage {
	p, _ := c.Get(keyApp).(*appPage)
	return p
}

// lastApp returns the app that this browser looked at last, 0 when unknown. It only
// chooses among apps that the user may see anyway.
func lastApp(c echo.Context) int64 {
	id, err := strconv.ParseInt(cookieValue(c, cookieApp), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

func cookieValue(c echo.Context, name string) string {
	cookie, err := c.Cookie(name)
	if err != nil {
		return "" // the only error is that there is none
	}
	return cookie.Value
}

// redirectApp leads /apps/:app to the app's first page, 基础配置.
func (h *console) redirectApp(c echo.Context) error {
	p, err := h.app(c)
	if err != nil {
		return err
	}
	return web.SeeOther(c, p.Base+"/config")
}
