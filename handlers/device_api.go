package handlers

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/web"
)

// DeviceStore is what the device API needs of models.Store.
type DeviceStore interface {
	AppByAccessKey(ctx context.Context, accessID int64, accessKey string) (models.AppScope, error)
	SendConfig(ctx context.Context, appID int64) (*models.SendConfig, error)
	Register(ctx context.Context, app models.AppScope, r models.Registration) (models.Registered, error)
	AuthDevice(ctx context.Context, app models.AppScope, token string, secret models.Secret) (models.DeviceScope, error)
	Bind(ctx context.Context, dev models.DeviceScope, bindings []models.Binding) error
	Unbind(ctx context.Context, dev models.DeviceScope, bindings []models.Binding) error
	SetBadge(ctx context.Context, dev models.DeviceScope, badge int) error
	SetNotify(ctx context.Context, dev models.DeviceScope, on bool) error
	Report(ctx context.Context, dev models.DeviceScope, rs []models.Receipt) (int, error)
	DeviceEndpoint(ctx context.Context, dev models.DeviceScope, bridge string, renew bool) (models.Secret, error)
	Unregister(ctx context.Context, dev models.DeviceScope) error
}

// Headers of the device API.
const (
	headerAccessID     = "X-Access-ID"
	headerAccessKey    = "X-Access-Key" //nolint:gosec // a header's name
	headerDeviceToken  = "X-Device-Token"
	headerDeviceSecret = "X-Device-Secret" //nolint:gosec // a header's name
)

// Names of what the middleware leaves in Echo's context.
const (
	keyDeviceApp = "hongyan.device_api.app"
	keyDevice    = "hongyan.device_api.device"
)

// deviceHandler serves the app in a phone. openapi/device.v1.yaml is its contract.
type deviceHandler struct {
	Machine
	perAddress, perApp *web.Limiter
}

func newDeviceHandler(m Machine) *deviceHandler {
	return &deviceHandler{Machine: m, perAddress: m.limiter(m.Rates.DeviceAddress), perApp: m.limiter(m.Rates.DeviceApp)}
}

// app lets through calls that carry an app's keys. The keys are in every copy of
// the app: they say for which app a call is, and whose limits it counts against.
func (h *deviceHandler) app(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !h.perAddress.Allow(web.AddressKey(c.RealIP())) {
			return tooMany()
		}
		head := c.Request().Header
		id, err := strconv.ParseInt(head.Get(headerAccessID), 10, 64)
		if err != nil {
			return &apiError{status: http.StatusUnauthorized, code: "bad_access_key"}
		}
		app, err := h.Devices.AppByAccessKey(c.Request().Context(), id, head.Get(headerAccessKey))
		if err != nil {
			return credentialError(err, "bad_access_key")
		}
		// After the check, so that a stranger cannot use up an app's share.
		if !h.perApp.Allow(strconv.FormatInt(id, 10)) {
			return tooMany()
		}
		c.Set(keyDeviceApp, app)
		return next(c)
	}
}

// device lets through calls that carry a device's token and secret.
func (h *deviceHandler) device(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		head := c.Request().Header
		dev, err := h.Devices.AuthDevice(c.Request().Context(), deviceApp(c), head.Get(headerDeviceToken), models.Secret(head.Get(headerDeviceSecret)))
		if err != nil {
			return credentialError(err, "bad_device")
		}
		c.Set(keyDevice, dev)
		return next(c)
	}
}

func tooMany() *apiError {
	return &apiError{status: http.StatusTooManyRequests, code: "too_many_requests", wait: retryLater}
}

// credentialError gives a wrong credential one answer, whichever half of it is
// wrong, and leaves other failures alone.
func credentialError(err error, code string) error {
	switch models.KindOf(err) {
	case models.Unauthorized, models.NotFound, models.Forbidden:
		return &apiError{status: http.StatusUnauthorized, code: code, err: err}
	}
	return err
}

// deviceApp returns what app left behind; the zero scope, which reaches nothing,
// on a route without it.
func deviceApp(c echo.Context) models.AppScope {
	app, _ := c.Get(keyDeviceApp).(models.AppScope)
	return app
}

func thisDevice(c echo.Context) models.DeviceScope {
	dev, _ := c.Get(keyDevice).(models.DeviceScope)
	return dev
}

// readDevice reads a call's body into v.
func readDevice(c echo.Context, v any) error {
	body, err := readBody(c, maxDeviceBody, maxDeviceBody)
	if err != nil {
		return err
	}
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return fieldError(codeWrongType, "") // to Go null is an empty object, to the contract it is none
	}
	return decodeJSON(body, v)
}

// registered is the answer of register.
type registered struct {
	DeviceToken  string `json:"device_token"`
	DeviceSecret string `json:"device_secret,omitempty"`
	Created      bool   `json:"created"`
}

// register makes or refreshes a device.
func (h *deviceHandler) register(c echo.Context) error {
	var body registerBody
	if err := readDevice(c, &body); err != nil {
		return err
	}
	r, err := body.registration()
	if err != nil {
		return err
	}
	ctx, app := c.Request().Context(), deviceApp(c)
	cfg, err := h.Devices.SendConfig(ctx, app.AppID())
	if err != nil {
		return credentialError(err, "bad_access_key") // deleted this very moment
	}
	r.Platform = cfg.Platform
	r.Token = c.Request().Header.Get(headerDeviceToken)
	r.Secret = c.Request().Header.Get(headerDeviceSecret)
	got, err := h.Devices.Register(ctx, app, r)
	if err != nil {
		if models.KindOf(err) == models.Unauthorized {
			return credentialError(err, "bad_device")
		}
		return modelField(err, map[string]string{"package_name": "package", "notify": "notifications"})
	}
	status := http.StatusOK
	if got.Created {
		status = http.StatusCreated
	}
	return c.JSON(status, registered{DeviceToken: got.Device.Token, DeviceSecret: got.Secret.Reveal(), Created: got.Created})
}

// bind binds an end user to the device.
func (h *deviceHandler) bind(c echo.Context) error {
	var body bindBody
	if err := readDevice(c, &body); err != nil {
		return err
	}
	b, err := body.binding()
	if err != nil {
		return err
	}
	if err := h.Devices.Bind(c.Request().Context(), thisDevice(c), []models.Binding{b}); err != nil {
		return modelField(err, map[string]string{"type": "account_type"})
	}
	return c.NoContent(http.StatusNoContent)
}

// unbind removes an end user from the device.
func (h *deviceHandler) unbind(c echo.Context) error {
	var body bindBody
	if err := readDevice(c, &body); err != nil {
		return err
	}
	b, err := body.binding()
	if err != nil {
		return err
	}
	if err := h.Devices.Unbind(c.Request().Context(), thisDevice(c), []models.Binding{b}); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// badge sets where the device's unread count goes on from.
func (h *deviceHandler) badge(c echo.Context) error {
	var body struct {
		Badge *int `json:"badge"`
	}
	if err := readDevice(c, &body); err != nil {
		return err
	}
	switch {
	case body.Badge == nil:
		return fieldError("required", "badge")
	case *body.Badge < 0 || *body.Badge > models.MaxBadge:
		return fieldRange("badge", 0, models.MaxBadge)
	}
	if err := h.Devices.SetBadge(c.Request().Context(), thisDevice(c), *body.Badge); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// notifications notes whether the user allows notifications.
func (h *deviceHandler) notifications(c echo.Context) error {
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if err := readDevice(c, &body); err != nil {
		return err
	}
	if body.Enabled == nil {
		return fieldError("required", "enabled")
	}
	if err := h.Devices.SetNotify(c.Request().Context(), thisDevice(c), *body.Enabled); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// receipts takes what became of messages on the device.
func (h *deviceHandler) receipts(c echo.Context) error {
	var body receiptsBody
	if err := readDevice(c, &body); err != nil {
		return err
	}
	rs, err := body.receipts()
	if err != nil {
		return err
	}
	if _, err := h.Devices.Report(c.Request().Context(), thisDevice(c), rs); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// unregister stops sending to the device.
func (h *deviceHandler) unregister(c echo.Context) error {
	if err := h.Devices.Unregister(c.Request().Context(), thisDevice(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// modelField puts the names that the API uses into a field that models named:
// without the list that a single item was put in, and by names.
func modelField(err error, names map[string]string) error {
	var m *models.Error
	if !errors.As(err, &m) || m.Field == "" {
		return err
	}
	own := *m
	own.Field = strings.TrimPrefix(own.Field, "accounts[0].")
	parent, last, nested := strings.Cut(own.Field, ".")
	if !nested {
		parent, last = "", own.Field
	}
	if name, ok := names[last]; ok {
		own.Field = name
		if nested {
			own.Field = parent + "." + name
		}
	}
	return &own
}
