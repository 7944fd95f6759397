package handlers

import (
	"context"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// bridgeIDs lists the ids of the bridges that exist, for models to check against.
func bridgeIDs() []string {
	var out []string
	for _, b := range Bridges() {
		out = append(out, b.ID)
	}
	return out
}

// bridgeWord names an IM server; one whose bridge is gone keeps its id.
func bridgeWord(ctx context.Context, id string) string {
	if b, ok := BridgeByID(id); ok {
		return locale.T(ctx, b.Name)
	}
	return id
}

func bridgeOptions(ctx context.Context) []c.Option {
	var out []c.Option
	for i, b := range Bridges() {
		out = append(out, c.Option{Value: b.ID, Label: locale.T(ctx, b.Name), Note: locale.T(ctx, b.Help), Default: i == 0})
	}
	return out
}

func addressingOptions(ctx context.Context) []c.Option {
	return []c.Option{
		{Value: models.AddressDevice, Label: addressingWord(ctx, models.AddressDevice), Note: locale.T(ctx, "im_apps.addressing_device_note"), Default: true},
		{Value: models.AddressVendor, Label: addressingWord(ctx, models.AddressVendor), Note: locale.T(ctx, "im_apps.addressing_vendor_note")},
	}
}

func addressingWord(ctx context.Context, addressing string) string {
	if addressing == models.AddressVendor {
		return locale.T(ctx, "im_apps.addressing_vendor")
	}
	return locale.T(ctx, "im_apps.addressing_device")
}

// outcomeWords says what became of what an IM server posted.
func outcomeWords(ctx context.Context, outcome string) (label, note string, tone c.Tone) {
	switch outcome {
	case models.IngestAccepted:
		return locale.T(ctx, "im_apps.in_accepted"), locale.T(ctx, "im_apps.in_accepted_note"), c.OK
	case models.IngestUnauthorized:
		return locale.T(ctx, "im_apps.in_unauthorized"), locale.T(ctx, "im_apps.in_unauthorized_note"), c.Bad
	case models.IngestDuplicate:
		return locale.T(ctx, "im_apps.in_duplicate"), locale.T(ctx, "im_apps.in_duplicate_note"), c.Mute
	case models.IngestSender:
		return locale.T(ctx, "im_apps.in_sender"), locale.T(ctx, "im_apps.in_sender_note"), c.Mute
	case models.IngestBadge:
		return locale.T(ctx, "im_apps.in_badge"), locale.T(ctx, "im_apps.in_badge_note"), c.Info
	case models.IngestSkipped:
		return locale.T(ctx, "im_apps.in_skipped"), locale.T(ctx, "im_apps.in_skipped_note"), c.Mute
	case models.IngestDead:
		return locale.T(ctx, "im_apps.in_dead"), locale.T(ctx, "im_apps.in_dead_note"), c.Mute
	case models.IngestUnknown:
		return locale.T(ctx, "im_apps.in_unknown"), locale.T(ctx, "im_apps.in_unknown_note"), c.Warn
	case models.IngestInvalid:
		return locale.T(ctx, "im_apps.in_invalid"), locale.T(ctx, "im_apps.in_invalid_note"), c.Warn
	case models.IngestDenied:
		return locale.T(ctx, "im_apps.in_denied"), locale.T(ctx, "im_apps.in_denied_note"), c.Bad
	case models.IngestRefused:
		return locale.T(ctx, "im_apps.in_refused"), locale.T(ctx, "im_apps.in_refused_note"), c.Bad
	}
	return "", "", c.Mute
}

func (h *console) imApps(ctx echo.Context) error {
	p, err := h.imAppsPage(ctx)
	if err != nil {
		return err
	}
	return web.Page(ctx, views.IMApps(p))
}

func (h *console) imAppsPage(ctx echo.Context) (views.IMAppsPage, error) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return views.IMAppsPage{}, err
	}
	apps, err := h.Store.IMApps(std, who)
	if err != nil {
		return views.IMAppsPage{}, err
	}
	bound, err := h.Store.Authorizations(std, who)
	if err != nil {
		return views.IMAppsPage{}, err
	}
	count := map[int64]int{}
	for _, z := range bound {
		count[z.IMAppID]++
	}
	var p views.IMAppsPage
	for i := range apps {
		m := &apps[i]
		row := views.IMAppRow{
			Name: m.Name, SDKAppID: number(m.SDKAppID), Bridge: bridgeWord(std, m.Bridge), Href: imAppBase(m.ID),
			Apps: locale.T(std, "im_apps.apps_none"), AppsTone: c.Warn, Last: locale.T(std, "im_apps.never"),
		}
		if n := count[m.ID]; n > 0 {
			row.Apps, row.AppsTone = locale.Tn(std, "im_apps.apps_count", n), c.OK
		}
		if m.LastRequestAt != nil {
			row.Last = clock.Ago(std, *m.LastRequestAt)
			row.LastText, _, row.LastTone = outcomeWords(std, m.LastOutcome)
		}
		p.Apps = append(p.Apps, row)
	}
	p.Chrome = web.Chrome(ctx)
	return p, nil
}

func imAppBase(id int64) string { return "/im-apps/" + number(id) }

// imAppForm is an IM app as the form sends it.
type imAppForm struct {
	Name     string `form:"name"`
	SDKAppID string `form:"sdk_app_id"`
	Bridge   string `form:"bridge"`
	AllowIPs string `form:"allow_ips"`
	// Addressing is what the tokens are, Names the app or server ids.
	Addressing string `form:"addressing"`
	Names      string `form:"names"`
	SDKKey     string `form:"sdk_key"`
	DropKey    bool   `form:"drop_key"`
}

// input returns what models take; an SDKAppID that is no number becomes one that
// models refuse with the right words.
func (f imAppForm) input() models.IMAppInput {
	in := models.IMAppInput{Name: f.Name, Bridge: f.Bridge, AllowIPs: f.AllowIPs, Addressing: f.Addressing, Names: f.Names, SDKKey: models.Secret(strings.TrimSpace(f.SDKKey)), DropSDKKey: f.DropKey}
	if f.SDKAppID != "" {
		id, err := strconv.ParseInt(f.SDKAppID, 10, 64)
		if err != nil || id == 0 {
			id = -1
		}
		in.SDKAppID = id
	}
	return in
}

func (h *console) imAppsDialog(ctx echo.Context, status int, dialog templ.Component) error {
	p, err := h.imAppsPage(ctx)
	if err != nil {
		return err
	}
	p.Dialog = dialog
	return web.Render(ctx, status, views.IMApps(p))
}

func newIMAppDialog(ctx context.Context, f imAppForm, faults c.FormErrors) templ.Component {
	return views.IMAppDialog(views.IMAppForm{
		Action: "/im-apps/new", CloseURL: "/im-apps", Name: f.Name, SDKAppID: f.SDKAppID, Bridge: f.Bridge,
		AllowIPs: f.AllowIPs, Addressing: f.Addressing, Addressings: addressingOptions(ctx), Names: f.Names,
		Bridges: bridgeOptions(ctx), MaxName: models.MaxIMAppName, Errors: faults,
	})
}

func (h *console) newIMApp(ctx echo.Context) error {
	return h.imAppsDialog(ctx, 200, newIMAppDialog(ctx.Request().Context(), imAppForm{}, nil))
}

func (h *console) createIMApp(ctx echo.Context) error {
	var f imAppForm
	if err := web.Bind(ctx, &f); err != nil {
		return err
	}
	std := ctx.Request().Context()
	m, secret, err := h.Store.CreateIMApp(std, h.actor(ctx), f.input(), bridgeIDs())
	if err == nil {
		keepSecret(ctx, m.ID, secret)
		web.Flash(ctx, web.T(ctx, "im_apps.created_flash", "Name", m.Name), web.T(ctx, "im_apps.created_detail"))
		return web.SeeOther(ctx, imAppBase(m.ID))
	}
	faults, err := formFaults(ctx, err)
	if err != nil {
		return err
	}
	return h.imAppsDialog(ctx, 422, newIMAppDialog(std, f, faults))
}

// keepSecret hands a new ingest secret to the next view of the IM app's page, the
// only one that shows it.
func keepSecret(ctx echo.Context, id int64, secret models.Secret) {
	web.KeepOnce(ctx, "im."+number(id), secret.Reveal())
}

// imApp loads the IM app of the path.
func (h *console) imAppOf(ctx echo.Context) (*models.IMApp, error) {
	id, err := idParam(ctx, "im")
	if err != nil {
		return nil, err
	}
	return h.Store.IMAppByID(ctx.Request().Context(), h.actor(ctx), id)
}

func (h *console) imApp(ctx echo.Context) error {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return err
	}
	p, err := h.imAppPage(ctx, m, web.TakeOnce(ctx, "im."+number(m.ID)))
	if err != nil {
		return err
	}
	return web.Page(ctx, views.IMApp(p))
}

// maskedSecret stands for an ingest secret that was shown before.
const maskedSecret = "••••••••••••"

// imAppPage gathers what the page of an IM app shows; secret is "" but on the first
// view after it was made.
func (h *console) imAppPage(ctx echo.Context, m *models.IMApp, secret string) (views.IMAppPage, error) {
	std, who := ctx.Request().Context(), h.actor(ctx)
	clock, err := h.clock(ctx)
	if err != nil {
		return views.IMAppPage{}, err
	}
	p := views.IMAppPage{
		Name: m.Name, SDKAppID: number(m.SDKAppID), Bridge: bridgeWord(std, m.Bridge), Base: imAppBase(m.ID),
		Created: clock.Short(m.CreatedAt), Fresh: secret != "", MayConnect: "/authorizations/new?im=" + number(m.ID),
		Last: locale.T(std, "im_apps.never"), AllowIPs: strings.Fields(m.AllowIPs),
	}
	if secret == "" {
		secret = maskedSecret
	}
	if b, ok := BridgeByID(m.Bridge); ok {
		p.BridgeHelp = locale.T(std, b.Help)
		p.Address = strings.TrimSuffix(h.publicURL(ctx)+"/im/"+secret+"/"+b.Path, "/")
		if b.Tokens {
			p.Addressing, p.Names = addressingWord(std, m.Addressing), strings.Fields(m.Names)
		}
		for _, s := range b.Setup(p.Address) {
			p.Steps = append(p.Steps, views.SetupStep{Text: locale.T(std, s.Text), Code: s.Code, Masked: strings.Contains(s.Code, maskedSecret)})
		}
		if b.ID == (xmppPush{}).bridge().ID {
			h.xmppLink(std, clock, &p)
		}
	}
	if m.PrevExpiresAt != nil && m.PrevExpiresAt.After(h.Now()) {
		p.OldUntil = clock.Short(*m.PrevExpiresAt)
	}
	if m.LastRequestAt != nil {
		p.Last = clock.Ago(std, *m.LastRequestAt)
		p.LastText, _, p.LastTone = outcomeWords(std, m.LastOutcome)
	}
	if err := h.imAppAuthorized(std, clock, who, m, &p); err != nil {
		return p, err
	}
	if err := h.imAppStats(std, clock, who, m, &p); err != nil {
		return p, err
	}
	if p.Live, err = h.arrivalsView(ctx, m); err != nil {
		return p, err
	}
	if p.Daily, err = h.imAppDaily(ctx, clock, m); err != nil {
		return p, err
	}
	if p.Channels, err = h.imChannels(ctx, clock, m); err != nil {
		return p, err
	}
	if p.Credentials, err = h.imCredentials(ctx, clock, m); err != nil {
		return p, err
	}
	p.Chrome = web.Chrome(ctx)
	return p, nil
}

func (h *console) imAppAuthorized(ctx context.Context, clock clock, who models.Actor, m *models.IMApp, p *views.IMAppPage) error {
	all, err := h.Store.Authorizations(ctx, who)
	if err != nil {
		return err
	}
	for _, z := range all {
		if z.IMAppID == m.ID {
			p.Authorized = append(p.Authorized, views.IMAppAuthorized{
				Name: z.ProductName + " · " + platformWord(z.Platform), AccessID: number(z.AppID), Icon: platformIcon(z.Platform),
				Href: appBase(z.AppID) + "/config", Since: clock.Short(z.CreatedAt),
			})
		}
	}
	return nil
}
