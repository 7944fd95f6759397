package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
)

// testTimeout bounds a test, so that the page answers before the browser gives up.
const testTimeout = 10 * time.Second

// testCredential is 测试凭证: it asks the vendor, which sends to nobody. A yes or a
// refusal is recorded on the credential; anything else is only told.
func (h *console) testCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		id, err := idParam(ctx, "credential")
		if err != nil {
			return err
		}
		std, who := ctx.Request().Context(), h.actor(ctx)
		k, fields, err := h.Store.CredentialFields(std, who, at.owner, id)
		if err != nil {
			return err
		}
		r := h.checkCredential(std, k, fields, at.bundle)
		code := r.Code
		switch r.Outcome {
		case push.Accepted:
			code = ""
		case push.BadCredential:
		default:
			web.KeepOnce(ctx, at.once, number(k.ID)+" "+r.Code)
			return web.SeeOther(ctx, at.back)
		}
		if _, err := h.Store.CredentialTested(std, who, at.owner, k.ID, k.Revision, code, r.Text); err != nil {
			return err
		}
		if code == "" {
			web.Flash(ctx, web.T(ctx, "credentials.test_ok"), web.T(ctx, "credentials.test_ok_detail", "Milliseconds", r.Elapsed.Milliseconds()))
		}
		return web.SeeOther(ctx, at.back)
	}
}

// checkCredential asks the vendor, or the simulator for a key of the sandbox.
func (h *console) checkCredential(ctx context.Context, k *models.Credential, fields map[string]models.Secret, bundle string) push.Result {
	spec, ok := h.spec(k.Channel)
	if !ok {
		return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
	}
	o := push.Options{Environment: push.Environment(k.Environment), Timeout: testTimeout}
	if spec.Channel == push.WebPush {
		o.DialControl = h.DialControl // the others call no address that anybody brings
	}
	if k.Environment == models.EnvironmentSandbox {
		o.DialControl = nil
		if h.Simulator == nil {
			return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
		}
		sim, ok := h.Simulator(spec.Channel)
		if !ok {
			return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
		}
		o.Endpoint, o.RootCAs, o.Environment = sim.Endpoint, sim.RootCAs, push.Production
	}
	if o.Topic = k.Facts().BundleID; o.Topic == "" {
		o.Topic = bundle
	}
	if k.PackageName != "" {
		o.Topic = k.PackageName
	}
	if o.Topic == "" {
		return push.Result{Outcome: push.Retry, Code: codeNoBundle}
	}
	plain := make(map[string]string, len(fields))
	for key, v := range fields {
		plain[key] = v.Reveal()
	}
	sender, err := spec.Open(ctx, plain, o)
	if err != nil {
		var fault *push.FieldError
		if errors.As(err, &fault) {
			return push.Result{Outcome: push.BadCredential, Code: fault.Code, Text: "the stored credential does not open"}
		}
		return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
	}
	defer sender.Close()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	return sender.Check(ctx)
}

// codeNoBundle says that a key cannot be tested without a bundle id.
const codeNoBundle = "hy_no_bundle"
