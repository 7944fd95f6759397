package handlers

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	"hongyan/web"
)

// cuts is what the channels of the devices that a test goes to make of its texts.
type cuts struct {
	limits []views.TextLimit // of each of the channels
	rows   []views.TextCut   // those that cut something off
	mark   string            // stands for texts and cuts, "" where nothing is cut
	hidden string            // what the vendor reads instead of the texts, or ""
}

// textCuts looks up what of a test's texts will not reach the devices. An account that
// no device is bound to has no channels.
func (h *console) textCuts(c echo.Context, a appPage, f testForm) (cuts, error) {
	ctx := c.Request().Context()
	var out cuts
	title, body, err := h.sentTexts(c, a, f, &out)
	if err != nil {
		return out, err
	}
	devices, err := h.testDevices(c, a, f)
	if err != nil {
		return out, err
	}
	for _, channel := range channelsOf(devices) {
		spec, ok := h.spec(channel)
		limits := textLimits(ctx, spec.Limits)
		if !ok || limits == "" {
			continue
		}
		name := channelName(ctx, channel)
		out.limits = append(out.limits, views.TextLimit{Channel: name, Limits: limits})
		t, b := spec.Limits.Cut(title, body)
		if t == title && b == body {
			continue
		}
		row := views.TextCut{Channel: name, Limits: limits}
		if t != title {
			row.Title = t
		}
		if b != body {
			row.Body, row.NoBody = b, b == ""
		}
		out.rows = append(out.rows, row)
	}
	if len(out.rows) > 0 {
		said := []string{title, body}
		for _, r := range out.rows { // another device's cuts are another warning
			said = append(said, r.Channel, r.Title, r.Body)
		}
		sum := sha256.Sum256([]byte(strings.Join(said, "\x00")))
		out.mark = base64.RawURLEncoding.EncodeToString(sum[:12])
	}
	return out, nil
}

// sentTexts are the texts that the vendor will read: of an app that hides them, not
// those of the form.
func (h *console) sentTexts(c echo.Context, a appPage, f testForm, out *cuts) (title, body string, err error) {
	if a.App.TextMode == models.TextFull {
		return f.Title, f.Body, nil
	}
	account, err := h.Store.Account(c.Request().Context(), a.Actor)
	if err != nil {
		return "", "", err
	}
	title, body = a.App.ProductName, models.GenericText(account.Language)
	mode := web.T(c, "config.text_generic")
	if a.App.TextMode == models.TextSender {
		mode, title = web.T(c, "config.text_sender"), cmp.Or(f.Title, title)
	}
	out.hidden = web.T(c, "test.hidden", "Mode", mode, "Title", title, "Body", body)
	return title, body, nil
}

// testDevices are the devices that a test goes to.
func (h *console) testDevices(c echo.Context, a appPage, f testForm) ([]models.DeviceInfo, error) {
	switch {
	case f.Device != "":
		d, err := h.testDevice(c, a, f.Device)
		if err != nil {
			return nil, err
		}
		return []models.DeviceInfo{*d}, nil
	case f.Account == "" || len([]rune(f.Account)) > models.MaxAccountRunes:
		return nil, nil
	}
	return h.Store.AccountDevices(c.Request().Context(), a.Scope, 0, f.Account)
}

// channelsOf are the channels that living devices can be reached by, in the order of
// the console.
func channelsOf(devices []models.DeviceInfo) []string {
	var out []string
	for _, channel := range append([]push.Channel{push.APNs}, vendorChannels()...) {
		reached := slices.ContainsFunc(devices, func(d models.DeviceInfo) bool {
			return d.Device.RetiredAt == nil && slices.ContainsFunc(d.Routes, func(r models.Route) bool {
				return r.Channel == string(channel) && r.RetiredAt == nil
			})
		})
		if reached {
			out = append(out, string(channel))
		}
	}
	return out
}

// warnTest answers with the form again when the test was only to be looked at, or when
// something of its texts would be cut off and the operator was not told of that yet.
func (h *console) warnTest(c echo.Context, a appPage, f testForm) (answered bool, err error) {
	cut, err := h.textCuts(c, a, f)
	if err != nil {
		return true, err
	}
	switch {
	case f.Act == actPreview:
		return true, h.testPage(c, http.StatusOK, f, nil)
	case cut.mark == "" || cut.mark == f.Seen:
		return false, nil
	}
	f.Act = "warned"
	return true, h.testPage(c, http.StatusUnprocessableEntity, f, nil)
}
