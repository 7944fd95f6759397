package handlers

import (
	"context"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views/locale"
	"hongyan/web"
)

// receiptsTested marks, among the answers kept for the page, what was said to a test
// with the receipt address.
const receiptsTested = "receipts:"

// setReceipts is 点击激活, for vendors that must know the receipt address before a
// message may carry it, or takes it back. Before it says so, it asks the vendor with
// the address along, which sends to nobody: a vendor that does not know the address
// says that, and a wrong click costs no message.
func (h *console) setReceipts(ctx echo.Context) error {
	at, err := h.appPlace(ctx)
	if err != nil {
		return err
	}
	id, err := idParam(ctx, "credential")
	if err != nil {
		return err
	}
	std, who, on := ctx.Request().Context(), h.actor(ctx), ctx.FormValue("on") == "1"
	k, fields, err := h.Store.CredentialFields(std, who, at.owner, id)
	if err != nil {
		return err
	}
	spec, ok := h.spec(k.Channel)
	if !ok || spec.ReceiptSetup != push.ReceiptBoth || k.Environment == models.EnvironmentSandbox {
		return &web.Error{Kind: web.KindNotFound}
	}
	if on {
		proven, err := h.proveReceipts(ctx, at, k, fields, &spec)
		if err != nil {
			return err
		}
		if !proven {
			return web.SeeOther(ctx, at.back)
		}
	}
	if err := h.Store.SetReceipts(std, who, at.app.ID, k.ID, on); err != nil {
		return err
	}
	said, detail := "channel.deactivated", "channel.deactivated_detail"
	if on {
		said, detail = "channel.activated", "channel.activated_detail"
	}
	name := vendorChannelName(std, k.Channel)
	web.Flash(ctx, web.T(ctx, said, "Name", name), web.T(ctx, detail))
	return web.SeeOther(ctx, at.back)
}

// proveReceipts asks the vendor whether it takes the receipt address. A refusal of the
// keys is recorded on the credential, anything else but a yes only told.
func (h *console) proveReceipts(ctx echo.Context, at credentialPlace, k *models.Credential, fields map[string]models.Secret, spec *push.Spec) (bool, error) {
	view, err := h.receiptView(ctx, at, k, spec)
	if err != nil || view == nil || view.Fault != "" {
		return false, err // the card says what is wrong with the address
	}
	std := ctx.Request().Context()
	topic, lacks, err := h.testTopic(std, h.actor(ctx), at, k)
	switch {
	case err != nil:
		return false, err
	case lacks != "":
		web.KeepOnce(ctx, at.once, number(k.ID)+" "+lacks)
		return false, nil
	}
	r := h.checkCredential(std, k, fields, topic, func(ctx context.Context, s push.Sender) push.Result {
		if p, ok := s.(push.ReceiptProver); ok {
			return p.CheckReceipt(ctx, view.URL)
		}
		return s.Check(ctx)
	})
	switch r.Outcome {
	case push.Accepted:
		_, err := h.Store.CredentialTested(std, h.actor(ctx), at.owner, k.ID, k.Revision, "", "")
		return true, err
	case push.BadCredential:
		_, err := h.Store.CredentialTested(std, h.actor(ctx), at.owner, k.ID, k.Revision, r.Code, r.Text)
		return false, err
	}
	keepAnswers(ctx, at, testAnswer{ID: k.ID, Code: receiptsTested + r.Code, Said: push.SaidIn(r.Text)})
	return false, nil
}

// receiptWords tells of a test with the receipt address that was no yes.
func receiptWords(ctx context.Context, channel string, a testAnswer) (string, bool) {
	code, is := strings.CutPrefix(a.Code, receiptsTested)
	if !is {
		return "", false
	}
	vendor := locale.T(ctx, "channels."+channel)
	cause, known := locale.Code(ctx, channel, code, a.Said)
	if !known || strings.HasPrefix(code, "hy_") {
		return locale.T(ctx, "channel.receipt_unproven", "Vendor", vendor, "Cause", cause), true
	}
	return locale.T(ctx, "channel.receipt_unknown", "Vendor", vendor, "Code", code), true
}
