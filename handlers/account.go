package handlers

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/web"
)

type accountForm struct {
	Name     string `form:"name"`
	Zone     string `form:"time_zone"`
	Language string `form:"language"`
	Days     string `form:"content_days"`
}

func (h *console) accountSettings(ctx echo.Context) error {
	a, err := h.account(ctx)
	if err != nil {
		return err
	}
	p, err := h.accountPage(ctx, accountForm{Name: a.Name, Zone: a.TimeZone, Language: a.Language, Days: strconv.Itoa(a.ContentDays)}, nil)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.Account(p))
}

func (h *console) accountPage(ctx echo.Context, f accountForm, faults c.FormErrors) (views.AccountPage, error) {
	a, err := h.account(ctx)
	if err != nil {
		return views.AccountPage{}, err
	}
	clock, err := h.clock(ctx)
	if err != nil {
		return views.AccountPage{}, err
	}
	return views.AccountPage{
		Chrome: web.Chrome(ctx), ID: number(a.ID), Created: clock.Date(a.CreatedAt),
		Name: f.Name, Zone: f.Zone, Zones: zoneOptions(f.Zone), Language: f.Language, Days: f.Days, Errors: faults,
		MaxName: models.MaxAccountName, MaxDays: models.MaxContentDays,
	}, nil
}

func (h *console) saveAccount(ctx echo.Context) error {
	var f accountForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	faults := c.FormErrors{}
	days, err := strconv.Atoi(f.Days)
	if err != nil {
		faults["content_days"] = web.T(ctx, "account.content_number", "Max", models.MaxContentDays)
	} else {
		_, err = h.Store.UpdateAccount(ctx.Request().Context(), h.actor(ctx),
			models.AccountSettings{Name: f.Name, TimeZone: f.Zone, Language: f.Language, ContentDays: days})
		if err == nil {
			web.Flash(ctx, web.T(ctx, "account.saved"), "")
			return web.SeeOther(ctx, "/account")
		}
		if faults, err = formFaults(ctx, err); err != nil {
			return err
		}
		faults = renamed(faults, "account_name", "name")
	}
	p, err := h.accountPage(ctx, f, faults)
	if err != nil {
		return err
	}
	return web.FormPage(ctx, views.Account(p))
}

// zoneOptions are the time zones that the form offers, with the one that is set.
func zoneOptions(current string) []c.Option {
	zones := []string{
		"Asia/Shanghai", "Asia/Hong_Kong", "Asia/Macau", "Asia/Taipei", "Asia/Urumqi", "Asia/Singapore", "Asia/Kuala_Lumpur",
		"Asia/Bangkok", "Asia/Ho_Chi_Minh", "Asia/Jakarta", "Asia/Manila", "Asia/Tokyo", "Asia/Seoul", "Asia/Kolkata",
		"Asia/Dubai", "Australia/Sydney", "Europe/London", "Europe/Paris", "Europe/Berlin", "Europe/Moscow",
		"America/New_York", "America/Chicago", "America/Los_Angeles", "America/Sao_Paulo", "UTC",
	}
	out := make([]c.Option, 0, len(zones)+1)
	known := current == ""
	for _, z := range zones {
		out = append(out, c.Option{Value: z, Label: z})
		known = known || z == current
	}
	if !known {
		out = append(out, c.Option{Value: current, Label: current})
	}
	return out
}
