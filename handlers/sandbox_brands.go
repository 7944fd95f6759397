package handlers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	ui "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// Phones makes what the sandbox needs of the simulators: what they would take for an
// app's keys and for a phone's token.
type Phones interface {
	// Credentials are the keys of every channel that apps of a platform can be
	// reached through, the same in every process.
	Credentials(ctx context.Context, platform string) ([]models.CredentialInput, error)
	// Token is the token that the vendor would give a phone of that name.
	Token(ctx context.Context, c push.Channel, name string) (string, error)
}

// phoneMake is what a virtual phone of a brand says of itself.
type phoneMake struct{ brand, model, os string }

// phoneMakes has a phone for each channel of the simulators.
func phoneMakes() map[push.Channel]phoneMake {
	return map[push.Channel]phoneMake{
		push.APNs:    {"", "iPhone 17", "26.1"},
		push.Huawei:  {"HUAWEI", "Mate 60 Pro", "12"},
		push.Honor:   {"HONOR", "Magic7", "15"},
		push.Xiaomi:  {"Xiaomi", "15 Pro", "15"},
		push.OPPO:    {"OPPO", "Find X8", "15"},
		push.Vivo:    {"vivo", "X200", "15"},
		push.Meizu:   {"Meizu", "21 Pro", "14"},
		push.Harmony: {"HUAWEI", "Mate 70 Pro", "5.0"},
		push.FCM:     {"Google", "Pixel 9", "15"},
		push.WebPush: {"Chrome", "142", "15"},
	}
}

// simulated lists the channels that have a simulator and that the app can be reached
// through, as pages order them.
func (h *console) simulated(a appPage) []push.Channel {
	if !h.Sandbox || h.Simulator == nil {
		return nil
	}
	return slices.DeleteFunc(append([]push.Channel{push.APNs}, vendorChannels()...), func(c push.Channel) bool {
		_, ok := h.Simulator(c)
		return !ok || !models.ChannelFits(string(c), a.App.Platform)
	})
}

// reports says whether a vendor of the app's reports what became of messages.
func (h *console) reports(a appPage) bool {
	return slices.ContainsFunc(h.simulated(a), func(c push.Channel) bool { return models.HasReceipts(string(c)) })
}

// elsewhere is the address of the simulator in another process that the app's pushes go
// to, "" where all of them run here.
func (h *console) elsewhere(a appPage) string {
	if !models.ChannelFits(string(push.APNs), a.App.Platform) {
		return ""
	}
	return h.SimulatorAt
}

// brands are the makes of phone to choose from, none where there is no choice.
func (h *console) brands(ctx context.Context, a appPage) []ui.Option {
	channels := h.simulated(a)
	if len(channels) < 2 {
		return nil
	}
	out := make([]ui.Option, 0, len(channels))
	for _, c := range channels {
		out = append(out, ui.Option{Value: string(c), Label: locale.T(ctx, "sandbox.brands."+string(c))})
	}
	return out
}

// brandOf is the channel of a chosen make, the first where none is named.
func (h *console) brandOf(a appPage, brand string) (push.Channel, error) {
	channels := h.simulated(a)
	switch {
	case len(channels) == 0:
		return "", &web.Error{Kind: web.KindNotFound}
	case brand == "":
		return channels[0], nil
	case !slices.Contains(channels, push.Channel(brand)):
		return "", &models.Error{Kind: models.Invalid, Field: "brand", Key: "errors.sandbox.brand"}
	}
	return push.Channel(brand), nil
}

// phoneBody is what a virtual phone says about itself.
func (h *console) phoneBody(c echo.Context, a appPage, channel push.Channel) (registerBody, error) {
	ctx := c.Request().Context()
	account, err := h.account(c)
	if err != nil {
		return registerBody{}, err
	}
	name := make([]byte, 16)
	_, _ = rand.Read(name) // never fails, see crypto/rand
	token, err := h.Phones.Token(ctx, channel, hex.EncodeToString(name))
	if err != nil {
		return registerBody{}, err
	}
	pkg := a.App.PackageName
	if pkg == "" {
		pkg = "sandbox." + number(a.App.ID) // simulators, like Apple, want one
	}
	phone, on := phoneMakes()[channel], true
	if a.App.Platform == models.PlatformMacOS {
		phone.model = "MacBook Air"
	}
	return registerBody{
		Brand: strings.TrimSpace(locale.T(ctx, "sandbox.virtual", "Brand", phone.brand)), Model: phone.model, OSVersion: phone.os,
		AppVersion: "1.0.0", SDKVersion: "1.0.0", Language: locale.Lang(ctx), TimeZone: account.TimeZone, Notifications: &on,
		Routes: []routeBody{{Channel: string(channel), Environment: environmentSandbox, Package: pkg, Token: token}},
	}, nil
}
