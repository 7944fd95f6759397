package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
)

// deviceGroup is the area of the device API. Web pages call it from their own sites:
// every path answers a preflight, and every answer, errors too, may be read from any
// site. Cookies have no part in it: what a call may do is in headers that only the page
// itself can set.
type deviceGroup struct {
	*web.Group
	m     Machine
	asked map[string]bool // paths that answer a preflight
}

func newDeviceGroup(s *web.Server, m Machine) deviceGroup {
	return deviceGroup{m: m, asked: map[string]bool{}, Group: s.API("/device/v1", func(c echo.Context, status int, kind, message string) error {
		anySite(c)
		return writeStatus(c, status, kind, message)
	})}
}

// add registers a call and its preflight.
func (g deviceGroup) add(method, path string, p web.Permission, h echo.HandlerFunc) {
	h = g.m.machine(h)
	g.Add(method, path, p, func(c echo.Context) error {
		anySite(c)
		return h(c)
	})
	if !g.asked[path] {
		g.asked[path] = true
		g.Add(http.MethodOptions, path, web.Public, preflight(method))
	}
}

// anySite lets pages of every site read the answer, without credentials of the
// browser's.
func anySite(c echo.Context) {
	head := c.Response().Header()
	head.Set(echo.HeaderAccessControlAllowOrigin, "*")
	head.Set(echo.HeaderAccessControlExposeHeaders, echo.HeaderRetryAfter)
}

// preflightAge is how long browsers may remember a preflight, in seconds; Chromium
// takes no longer one.
const preflightAge = "7200"

// preflight answers a browser that asks whether a page of another site may make a call.
func preflight(method string) echo.HandlerFunc {
	headers := strings.Join([]string{echo.HeaderContentType, headerAccessID, headerAccessKey, headerDeviceToken, headerDeviceSecret}, ", ")
	return func(c echo.Context) error {
		head := c.Response().Header()
		head.Set(echo.HeaderAccessControlAllowOrigin, "*")
		head.Set(echo.HeaderAccessControlAllowMethods, method)
		head.Set(echo.HeaderAccessControlAllowHeaders, headers)
		head.Set(echo.HeaderAccessControlMaxAge, preflightAge)
		return c.NoContent(http.StatusNoContent)
	}
}

// webPushKey is the answer of web-push-key.
type webPushKey struct {
	PublicKey   string `json:"public_key"`
	Environment string `json:"environment"`
}

// fieldPublicKey is where a Web Push credential keeps its public key.
const fieldPublicKey = "public_key"

// webPushKey tells a web page which key to subscribe with: that of the credential which
// the worker would send with now, so the sandbox's while the app is in the sandbox.
func (h *deviceHandler) webPushKey(c echo.Context) error {
	cfg, err := h.Devices.SendConfig(c.Request().Context(), deviceApp(c).AppID())
	if err != nil {
		return credentialError(err, "bad_access_key") // deleted this very moment
	}
	k := cfg.CredentialFor(string(push.WebPush), string(push.Production), c.QueryParam("package"))
	if k == nil || k.Fields[fieldPublicKey] == "" {
		e := &apiError{status: http.StatusNotFound, code: "no_web_push_credential"}
		switch {
		case !models.ChannelFits(string(push.WebPush), cfg.Platform):
			e.key = "api.no_web_push_platform"
		case cfg.Sandbox:
			e.key = "api.no_web_push_sandbox"
		}
		return e
	}
	return c.JSON(http.StatusOK, webPushKey{
		PublicKey:   strings.TrimRight(k.Fields[fieldPublicKey].Reveal(), "="), // browsers want none
		Environment: k.Environment,
	})
}
