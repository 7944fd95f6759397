package handlers

import (
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/web"
)

// maxSearchApps bounds how many apps one search looks into: each is a few lookups by
// key, in the app's own database.
const maxSearchApps = 50

// search is the box in the top bar: a message id, an IM server's message id, a
// device token or an account, looked up in every app that the user may see. One
// hit is gone to at once.
func (h *console) search(c echo.Context) error {
	ctx, who := c.Request().Context(), h.actor(c)
	query := strings.TrimSpace(c.QueryParam("q"))
	products, err := h.Store.Products(ctx, who, "")
	if err != nil {
		return err
	}
	p := views.SearchPage{Query: query}
	last := lastApp(c)
	var apps []*models.AppView
	for i := range products {
		for j := range products[i].Apps {
			// The app looked at last first: it is probably meant.
			if a := &products[i].Apps[j]; a.ID == last {
				apps = append([]*models.AppView{a}, apps...)
			} else {
				apps = append(apps, a)
			}
		}
	}
	p.Apps = len(apps)
	if len(apps) > maxSearchApps {
		apps = apps[:maxSearchApps]
	}
	for _, a := range apps {
		if query == "" {
			break
		}
		hits, err := h.searchApp(c, who, a.ID, query)
		if err != nil {
			return err
		}
		p.Hits = append(p.Hits, hits...)
	}
	if len(p.Hits) == 1 {
		return web.SeeOther(c, p.Hits[0].Href)
	}
	p.Chrome = web.Chrome(c)
	return web.Page(c, views.Search(p))
}

// searchApp looks a query up in one app: first as a message's id, which is unique,
// then as everything else.
func (h *console) searchApp(c echo.Context, who models.Actor, appID int64, query string) ([]ui.Link, error) {
	ctx := c.Request().Context()
	scope, app, err := h.Store.ScopeForApp(ctx, who, appID)
	if err != nil {
		return nil, err
	}
	base := appBase(appID)
	if _, err := uuid.Parse(query); err == nil {
		m, err := h.Store.MessageByID(ctx, scope, query)
		if err == nil {
			return []ui.Link{{Label: web.T(c, "search.message_in", "App", appName(app)), Href: base + "/messages/" + m.ID, Icon: "send"}}, nil
		}
		if models.KindOf(err) != models.NotFound {
			return nil, err
		}
	}
	var hits []ui.Link
	page, err := h.Store.SendRecords(ctx, scope, models.RecordFilter{SourceID: query, Limit: 2})
	if err != nil {
		return nil, err
	}
	switch {
	case len(page.Records) == 1:
		hits = append(hits, ui.Link{Label: web.T(c, "search.message_in", "App", appName(app)), Href: base + "/messages/" + page.Records[0].ID, Icon: "send"})
	case len(page.Records) > 1:
		to := base + "/plans"
		if app.IMPlanID != 0 {
			to += "/" + number(app.IMPlanID)
		}
		hits = append(hits, ui.Link{Label: web.T(c, "search.messages_in", "App", appName(app)), Href: to + "?q=" + url.QueryEscape(query), Icon: "send"})
	}
	found, err := h.Store.FindDevices(ctx, scope, query)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		page, err := h.Store.SendRecords(ctx, scope, models.RecordFilter{Account: query, Limit: 1})
		if err != nil || len(page.Records) == 0 {
			return hits, err
		}
		return append(hits, ui.Link{Label: web.T(c, "search.account_in", "App", appName(app)), Href: base + "/tools?q=" + url.QueryEscape(query), Icon: "user"}), nil
	}
	return append(hits, ui.Link{Label: web.Tn(c, "search.devices_in", len(found), "App", appName(app)), Href: base + "/tools?q=" + url.QueryEscape(query), Icon: "device-mobile"}), nil
}
