package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	ui "hongyan/views/components"
	"hongyan/web"
)

// callTimeout bounds a request that the console makes to its own machine endpoints.
const callTimeout = 10 * time.Second

// maxOwnAnswer bounds the answer to it.
const maxOwnAnswer = 64 << 10

// sandboxAct reads a form of the sandbox's page and runs fn; a refusal that the user
// can mend shows the page again with the reason.
func (h *console) sandboxAct(fn func(c echo.Context, a appPage, f sandboxForm) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		var f sandboxForm
		if err := web.Bind(c, &f); err != nil {
			return err
		}
		a, err := h.app(c)
		if err != nil {
			return err
		}
		if !h.Sandbox {
			return &web.Error{Kind: web.KindNotFound}
		}
		err = fn(c, a, f)
		var own *ownError
		if errors.As(err, &own) {
			h.Log.WarnContext(c.Request().Context(), "sandbox request refused", "route", own.route, "status", own.status, "code", own.code)
			return h.sandboxPage(c, http.StatusUnprocessableEntity, a, f, ui.FormErrors{"": web.T(c, "sandbox.own_refused", "Code", own.code)})
		}
		if err == nil {
			return nil
		}
		faults, err := formFaults(c, err)
		if err != nil {
			return err
		}
		return h.sandboxPage(c, http.StatusUnprocessableEntity, a, f, faults)
	}
}

// ownSimulator is for what only a simulator of this installation can do.
func (h *console) ownSimulator(fn func(c echo.Context, a appPage, f sandboxForm) error) func(c echo.Context, a appPage, f sandboxForm) error {
	return func(c echo.Context, a appPage, f sandboxForm) error {
		if h.elsewhere(a) != "" {
			return &web.Error{Kind: web.KindNotFound}
		}
		return fn(c, a, f)
	}
}

// switchSandbox turns the app's sandbox on or off.
func (h *console) switchSandbox(c echo.Context, a appPage, f sandboxForm) error {
	on := f.On != ""
	if _, err := h.Store.SetSandbox(c.Request().Context(), a.Actor, a.App.ID, on); err != nil {
		return err
	}
	if on {
		web.Flash(c, web.T(c, "sandbox.turned_on"), web.T(c, "common.sandbox_text"))
	} else {
		web.Flash(c, web.T(c, "sandbox.turned_off"), web.T(c, "sandbox.turned_off_detail"))
	}
	return web.SeeOther(c, a.Base+"/sandbox")
}

// makeSandboxKey saves the installation's keys for simulators as the app's credentials.
// Every process, and `hongyan sandbox` with the same secret, accepts them.
func (h *console) makeSandboxKey(c echo.Context, a appPage, _ sandboxForm) error {
	if len(h.simulated(a)) == 0 || h.Phones == nil {
		return &web.Error{Kind: web.KindNotFound}
	}
	keys, err := h.Phones.Credentials(c.Request().Context(), a.App.Platform)
	if err != nil {
		return err
	}
	if _, err := h.Store.SaveCredentials(c.Request().Context(), a.Actor, models.AppOwner(a.App.ID), keys...); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.key_made"), web.Tn(c, "sandbox.key_made_detail", len(keys)))
	return web.SeeOther(c, a.Base+"/sandbox")
}

// addPhone registers a virtual phone and binds an account to it, with the two calls
// that the app in a real phone would make.
func (h *console) addPhone(c echo.Context, a appPage, f sandboxForm) error {
	ctx := c.Request().Context()
	switch n := utf8.RuneCountInString(f.Account); {
	case !a.App.Sandbox:
		return &models.Error{Kind: models.Conflict, Key: "errors.sandbox.off"}
	case n < models.MinAccountRunes || n > models.MaxAccountRunes || !validAccount(f.Account):
		return &models.Error{Kind: models.Invalid, Field: "account", Key: "errors.sandbox.account", Data: map[string]any{"Min": models.MinAccountRunes, "Max": models.MaxAccountRunes}}
	}
	channel, err := h.brandOf(a, f.Brand)
	if err != nil {
		return err
	}
	key, err := h.Store.AccessKey(ctx, a.Actor, a.App.ID)
	if err != nil {
		return err
	}
	headers := map[string]string{headerAccessID: number(a.App.ID), headerAccessKey: key.Reveal()}
	body, err := h.phoneBody(c, a, channel)
	if err != nil {
		return err
	}
	var got registered
	if err := h.own(ctx, "/device/v1/register", "register", headers, body, &got); err != nil {
		return err
	}
	binding, err := h.Store.SignVirtual(ctx, a.Scope, got.DeviceToken, models.Binding{Account: f.Account})
	if err != nil {
		return err
	}
	headers[headerDeviceToken], headers[headerDeviceSecret] = got.DeviceToken, got.DeviceSecret
	bind := bindBody{Account: binding.Account, Time: binding.Time, Signature: binding.Signature}
	if err := h.own(ctx, "/device/v1/accounts/bind", "bind", headers, bind, nil); err != nil {
		return err
	}
	if err := h.Store.KeepVirtualPhone(ctx, a.Scope, got.DeviceToken, models.Secret(got.DeviceSecret)); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.phone_made"), web.T(c, "sandbox.phone_made_detail", "Account", f.Account))
	return web.SeeOther(c, a.Base+"/sandbox")
}

// phoneHeaders authenticate as one of the app's virtual phones.
func (h *console) phoneHeaders(ctx context.Context, a appPage, deviceID int64) (map[string]string, error) {
	d, err := h.Store.DeviceByID(ctx, a.Scope, deviceID)
	if err != nil {
		return nil, err
	}
	secret, err := h.Store.VirtualPhone(ctx, a.Scope, d.Device.Token)
	if err != nil {
		return nil, err
	}
	key, err := h.Store.AccessKey(ctx, a.Actor, a.App.ID)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		headerAccessID: number(a.App.ID), headerAccessKey: key.Reveal(),
		headerDeviceToken: d.Device.Token, headerDeviceSecret: secret.Reveal(),
	}, nil
}

// dropPhone unregisters a virtual phone, as an app that is removed would.
func (h *console) dropPhone(c echo.Context, a appPage, _ sandboxForm) error {
	ctx := c.Request().Context()
	id, err := idParam(c, "device")
	if err != nil {
		return err
	}
	headers, err := h.phoneHeaders(ctx, a, id)
	if err != nil {
		return err
	}
	if err := h.own(ctx, "/device/v1/unregister", "unregister", headers, struct{}{}, nil); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.phone_dropped"), "")
	return web.SeeOther(c, a.Base+"/sandbox")
}

// sendSample posts a message as the app's IM server would, to the IM app's ingest
// address: a real request, through the bridge and the worker to the phone. Instead
// of the address's secret, which nobody but its owner has, it carries one that
// models.SampleSecret made for this minute and this app.
func (h *console) sendSample(c echo.Context, a appPage, f sandboxForm) error {
	ctx := c.Request().Context()
	state, err := h.sandboxState(ctx, a)
	if err != nil {
		return err
	}
	to := f.Account
	if to == "" {
		to = state.account()
	}
	if to == "" {
		return &models.Error{Kind: models.Conflict, Key: "errors.sandbox.no_phone"}
	}
	secret, err := h.Store.SampleSecret(ctx, a.Actor, a.App.ID)
	if err != nil {
		return err
	}
	b, ok := BridgeByID(a.App.IMBridge)
	if !ok {
		return fmt.Errorf("handlers: no bridge %q", a.App.IMBridge)
	}
	newest, err := h.Store.SandboxPushes(ctx, a.Scope, 0, 0, 1)
	if err != nil {
		return err
	}
	address := to
	if b.Tokens {
		address = state.token(to)
	}
	answer, err := h.postSample(c, b, secret, address)
	if err != nil {
		return err
	}
	if answer.Accepted == 0 {
		return &ownError{route: "ingest", status: http.StatusOK, code: "not_accepted"}
	}
	since := "0"
	if len(newest) > 0 {
		since = number(newest[0].ID)
	}
	detail := "sandbox.sample_sent_detail"
	if h.elsewhere(a) != "" {
		detail = "sandbox.sample_sent_elsewhere"
	}
	web.Flash(c, web.T(c, "sandbox.sample_sent"), web.T(c, detail, "Account", to))
	return web.SeeOther(c, a.Base+"/sandbox?since="+since)
}

// sampleID is a message id that no IM server gave before, of the length that they use.
func sampleID() string { return strconv.FormatInt(1e18+mathrand.Int64N(8e18), 10) }

// tapNotice reports a click on a notification through the device API.
func (h *console) tapNotice(c echo.Context, a appPage, _ sandboxForm) error {
	ctx := c.Request().Context()
	id, err := idParam(c, "push")
	if err != nil {
		return err
	}
	p, err := h.Store.SandboxPushByID(ctx, a.Scope, id)
	if err != nil {
		return err
	}
	n := readNotice(p)
	if n.id == "" {
		return &web.Error{Kind: web.KindNotFound}
	}
	headers, err := h.phoneHeaders(ctx, a, p.DeviceID)
	if err != nil {
		return err
	}
	body := map[string]any{"receipts": []map[string]string{{"message_id": n.id, "status": models.StateClicked}}}
	if err := h.own(ctx, "/device/v1/receipts", "receipts", headers, body, nil); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.tapped"), web.T(c, "sandbox.tapped_detail"))
	return web.SeeOther(c, a.Base+"/sandbox?push="+number(id))
}

func (h *console) clearSandbox(c echo.Context, a appPage, _ sandboxForm) error {
	if err := h.Store.ClearSandboxPushes(c.Request().Context(), a.Scope); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.cleared"), web.T(c, "sandbox.cleared_detail"))
	return web.SeeOther(c, a.Base+"/sandbox")
}

func (h *console) saveSimulator(c echo.Context, a appPage, f sandboxForm) error {
	old, err := h.Store.SimulatorSettings(c.Request().Context(), a.App.ID)
	if err != nil {
		return err
	}
	set := models.SimulatorSettings{LatencyMs: wholeNumber(f.Latency), ErrorPercent: wholeNumber(f.Errors), Mix: f.Mix, Receipts: f.Report != ""}
	if !h.reports(a) {
		set.Receipts = old.Receipts // the form has no such field
	}
	if err := h.Store.SetSimulatorSettings(c.Request().Context(), a.Actor, a.App.ID, set); err != nil {
		return err
	}
	web.Flash(c, web.T(c, "sandbox.saved"), web.T(c, "sandbox.saved_detail"))
	return web.SeeOther(c, a.Base+"/sandbox")
}

// wholeNumber reads what a form says; anything else is -1, which no rule allows.
func wholeNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// ownError is a refusal of one of our own machine endpoints. Its text holds neither
// the address, which may contain a secret, nor the body.
type ownError struct {
	route  string
	status int
	code   string
}

// Error implements error.
func (e *ownError) Error() string {
	return fmt.Sprintf("handlers: own %s: %d %s", e.route, e.status, e.code)
}

// newSelf is the client for this process's own listener: a proxy that the environment
// names is for addresses outside.
func newSelf() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}}
}

// own posts JSON, or bytes as they are, to one of this process's machine endpoints, over
// HTTP and its own listener: what works here works for a phone and for an IM server.
// route is what errors call it.
func (h *console) own(ctx context.Context, path, route string, headers map[string]string, body, into any) error {
	if h.Self == "" {
		return fmt.Errorf("handlers: own %s: this process serves no address", route)
	}
	text, ready := body.([]byte)
	if !ready {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("handlers: own %s: %w", route, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.Self+path, bytes.NewReader(text))
	if err != nil {
		return &ownError{route: route, code: "bad_address"}
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer, err := h.self.Do(r)
	if err != nil {
		return &ownError{route: route, code: "unreachable"} // its text would hold the address
	}
	defer func() { _ = answer.Body.Close() }() // read whole below
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxOwnAnswer))
	if err != nil {
		return fmt.Errorf("handlers: own %s: %w", route, err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		var refusal struct {
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		}
		_ = json.Unmarshal(got, &refusal) // without a code the status stands alone
		return &ownError{route: route, status: answer.StatusCode, code: refusal.Error.Code}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(got, into); err != nil {
		return fmt.Errorf("handlers: own %s: %w", route, err)
	}
	return nil
}

// prettyJSON indents JSON for the eye; anything else stays as it is.
func prettyJSON(text []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, text, "", "  ") != nil {
		return string(text)
	}
	return out.String()
}
