package handlers

import (
	"context"
	"strings"
	"time"

	"hongyan/models"
	"hongyan/views"
	ui "hongyan/views/components"
	"hongyan/views/locale"
)

// verdict is whether a device can receive a push now, and the checks behind it.
type verdict struct {
	Tone        ui.Tone
	Short       string // for a chip
	Title, Text string
	Checks      []views.Check
	// FixURL is where the cause is repaired, "" where only the user of the phone can.
	FixURL, FixLabel string
}

// diagnosis collects checks; the first bad one decides.
type diagnosis struct {
	ctx context.Context
	a   appPage
	k   clock
	verdict
	bad bool
}

func (g *diagnosis) t(key string, data ...any) string { return locale.T(g.ctx, key, data...) }

func (g *diagnosis) check(tone ui.Tone, key, note, state string, data ...any) {
	g.Checks = append(g.Checks, views.Check{Tone: tone, Icon: checkIcon(tone), Title: g.t(key, data...), Note: note, State: state})
}

// fail notes why the device receives nothing, unless something before it already does.
func (g *diagnosis) fail(reason, text, fixURL, fixLabel string) {
	if g.bad {
		return
	}
	g.bad = true
	g.Title, g.Text, g.FixURL, g.FixLabel = g.t("tools.cannot", "Reason", reason), text, fixURL, fixLabel
}

func checkIcon(tone ui.Tone) string {
	switch tone {
	case ui.OK:
		return "circle-check"
	case ui.Bad:
		return "circle-x"
	case ui.Warn:
		return "alert-triangle"
	}
	return "help-circle"
}

// diagnose looks at a device in the order in which a push would: is it registered,
// may it show notifications, is there a way to it, is our key for that way good.
func diagnose(ctx context.Context, a appPage, d *models.DeviceInfo, credentials []models.Credential, k clock) verdict {
	g := &diagnosis{ctx: ctx, a: a, k: k}
	g.registration(&d.Device, retiredChannel(d))
	g.notifications(&d.Device)
	g.routes(d, credentials)
	g.accounts(d)
	g.check(ui.Mute, "tools.check_quiet", g.t("tools.check_quiet_text"), g.t("tools.unknown"))
	switch {
	case g.bad:
		g.Tone, g.Short = ui.Bad, g.t("tools.short_bad")
	case d.Device.Notify == models.NotifyUnknown:
		g.Tone, g.Short, g.Title, g.Text = ui.Warn, g.t("tools.short_maybe"), g.t("tools.can_maybe"), g.t("tools.can_maybe_text")
	default:
		g.Tone, g.Short, g.Title, g.Text = ui.OK, g.t("tools.short_ok"), g.t("tools.can"), g.t("tools.can_text")
	}
	return g.verdict
}

// registration checks that the device is registered; channel is what it was retired for.
func (g *diagnosis) registration(d *models.Device, channel string) {
	if d.RetiredAt == nil {
		g.check(ui.OK, "tools.check_registered", g.t("tools.check_registered_text", "Time", g.k.Ago(g.ctx, d.LastSeenAt)), g.t("tools.normal"))
		return
	}
	why := g.retired(channel, d.RetiredCode)
	g.check(ui.Bad, "tools.check_retired", g.t("tools.check_retired_text", "Time", g.k.Short(*d.RetiredAt), "Reason", why), g.t("tools.retired"))
	g.fail(g.t("tools.why_retired"), g.t("tools.why_retired_text", "Reason", why), "", "")
}

// retiredChannel is the channel whose code retired a device: it was given up together
// with the last of its vendor tokens. "" when no token says so.
func retiredChannel(d *models.DeviceInfo) string {
	for i := range d.Routes {
		if r := &d.Routes[i]; r.RetiredAt != nil && r.RetiredCode == d.Device.RetiredCode {
			return r.Channel
		}
	}
	return ""
}

// retired says in words why a device or a vendor token of the channel was given up.
func (g *diagnosis) retired(channel, code string) string {
	switch code {
	case models.RetiredMoved:
		return g.t("tools.retired_moved")
	case models.RetiredReplaced:
		return g.t("tools.retired_replaced")
	case models.RetiredUnregistered:
		return g.t("tools.retired_unregistered")
	case "":
		return g.t("tools.retired_unknown")
	}
	if status, ok := strings.CutPrefix(code, models.RetiredReceipt); ok {
		return g.t("tools.retired_receipt", "Channel", channelName(g.ctx, channel), "Code", status)
	}
	return codeWords(g.ctx, channel, code)
}

func (g *diagnosis) notifications(d *models.Device) {
	at := g.t("tools.check_notify_text", "Time", g.k.Short(d.LastSeenAt))
	switch d.Notify {
	case models.NotifyOn:
		g.check(ui.OK, "tools.check_notify_on", at, g.t("tools.on"))
	case models.NotifyOff:
		g.check(ui.Bad, "tools.check_notify_off", at, g.t("tools.off"))
		g.fail(g.t("reasons.notify_off"), g.t("tools.why_notify_text"), "", "")
	default:
		g.check(ui.Mute, "tools.check_notify", g.t("tools.check_notify_unknown"), g.t("tools.unknown"))
	}
}

// routes checks each way to the device, and its credential. One good way is enough.
func (g *diagnosis) routes(d *models.DeviceInfo, credentials []models.Credential) {
	living, good := 0, false
	worst := diagnosis{ctx: g.ctx, a: g.a, k: g.k}
	for i := range d.Routes {
		r := &d.Routes[i]
		if r.RetiredAt != nil {
			continue
		}
		living++
		g.check(ui.OK, "tools.check_route", g.t("tools.check_route_text", "Token", models.ShortToken(r.Channel, r.Token), "Package", orDash(r.PackageName), "Environment", environmentName(g.ctx, r.Environment)),
			g.t("tools.registered"), "Channel", channelName(g.ctx, r.Channel))
		good = worst.credential(r, credentials) || good
	}
	g.Checks = append(g.Checks, worst.Checks...)
	switch {
	case living == 0:
		note := g.t("tools.check_no_route_text")
		if len(d.Routes) > 0 {
			last := &d.Routes[0]
			note = g.t("tools.check_dead_route_text", "Time", g.k.Short(*last.RetiredAt), "Reason", g.retired(last.Channel, last.RetiredCode))
		}
		g.check(ui.Bad, "tools.check_no_route", note, g.t("tools.none"))
		g.fail(g.t("reasons.no_route"), g.t("reasons.no_route_text"), "", "")
	case !good && !g.bad:
		g.bad, g.Title, g.Text, g.FixURL, g.FixLabel = true, worst.Title, worst.Text, worst.FixURL, worst.FixLabel
	}
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}

// credential checks our key for one way to the device.
func (g *diagnosis) credential(r *models.Route, credentials []models.Credential) bool {
	channel := channelName(g.ctx, r.Channel)
	config, label := g.a.Base+"/config", g.t("tools.fix_credential")
	need := r.Environment
	if g.a.App.Sandbox {
		need, config, label = models.EnvironmentSandbox, g.a.Base+"/sandbox", g.t("tools.fix_sandbox")
	}
	if need == models.EnvironmentSandbox && !g.a.App.Sandbox {
		g.check(ui.Bad, "tools.check_credential", g.t("tools.virtual_real_text"), g.t("tools.none"), "Channel", channel)
		g.fail(g.t("tools.virtual_real"), g.t("tools.virtual_real_text"), g.a.Base+"/sandbox", g.t("tools.fix_sandbox"))
		return false
	}
	c, other := credentialOf(r, need, credentials)
	if c == nil {
		reason, text := g.t("tools.no_credential", "Channel", channel), g.t("tools.no_credential_text")
		if other != "" && !g.a.App.Sandbox {
			reason = g.t("tools.env_mismatch", "Channel", channel)
			text = g.t("tools.env_mismatch_text", "Device", environmentName(g.ctx, need), "Ours", environmentName(g.ctx, other))
		}
		g.check(ui.Bad, "tools.check_credential", text, g.t("tools.none"), "Channel", channel)
		g.fail(reason, text, config, label)
		return false
	}
	return g.credentialState(r, c, channel, config, label)
}

// credentialOf finds the app's credential for a route as the worker does; other is
// an environment that there is a credential for instead.
func credentialOf(r *models.Route, environment string, credentials []models.Credential) (best *models.Credential, other string) {
	for i := range credentials {
		c := &credentials[i]
		switch {
		case c.Channel != r.Channel:
		case c.Environment != environment:
			if c.Environment != models.EnvironmentSandbox {
				other = c.Environment
			}
		case c.PackageName == r.PackageName:
			return c, ""
		case c.PackageName == "" || r.PackageName == "":
			best = c
		}
	}
	return best, other
}

func (g *diagnosis) credentialState(r *models.Route, c *models.Credential, channel, config, label string) bool {
	facts := c.Facts()
	switch {
	case c.State == models.CredentialPaused:
		cause := codeWords(g.ctx, c.Channel, c.CauseCode)
		since := ""
		if c.PausedAt != nil {
			since = g.k.Short(*c.PausedAt)
		}
		g.check(ui.Bad, "tools.check_credential", g.t("tools.paused_text", "Cause", cause, "Time", since), g.t("tools.refused"), "Channel", channel)
		g.fail(g.t("tools.paused", "Channel", channel), g.t("tools.paused_fix"), config, label)
		return false
	case c.NotAfter != nil && !c.NotAfter.After(g.k.now):
		text := g.t("tools.expired_text", "Time", g.k.Date(*c.NotAfter))
		g.check(ui.Bad, "tools.check_credential", text, g.t("tools.expired"), "Channel", channel)
		g.fail(g.t("tools.expired_reason", "Channel", channel), text, config, label)
		return false
	case facts.BundleID != "" && r.PackageName != "" && facts.BundleID != r.PackageName:
		text := g.t("tools.package_text", "Device", r.PackageName, "Ours", facts.BundleID)
		g.check(ui.Bad, "tools.check_credential", text, g.t("tools.mismatch"), "Channel", channel)
		g.fail(g.t("tools.package_reason"), text, config, label)
		return false
	case c.State == models.CredentialUntested:
		g.check(ui.OK, "tools.check_credential", g.t("tools.untested_text", "Environment", environmentName(g.ctx, c.Environment)), g.t("tools.untested"), "Channel", channel)
		return true
	}
	at := time.Time{}
	if c.LastOKAt != nil {
		at = *c.LastOKAt
	}
	g.check(ui.OK, "tools.check_credential", g.t("tools.working_text", "Environment", environmentName(g.ctx, c.Environment), "Time", g.k.Short(at)), g.t("tools.normal"), "Channel", channel)
	return true
}

func (g *diagnosis) accounts(d *models.DeviceInfo) {
	if len(d.Accounts) == 0 {
		g.check(ui.Warn, "tools.check_accounts", g.t("tools.no_accounts_text"), g.t("tools.none"))
		return
	}
	names := make([]string, 0, len(d.Accounts))
	for _, b := range d.Accounts {
		names = append(names, g.t("tools.account_bound", "Account", b.Account, "Time", g.k.Short(b.BoundAt)))
	}
	g.check(ui.OK, "tools.check_accounts", strings.Join(names, g.t("common.list_separator")), locale.Tn(g.ctx, "tools.accounts", len(d.Accounts)))
}
