package handlers

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
)

// ReceiptStore is what the receipt addresses need of models.Store.
type ReceiptStore interface {
	ReceiptsFrom(ctx context.Context, channel, secret string) (models.Reporter, error)
	VendorReceipts(ctx context.Context, from models.Reporter, list []models.VendorReceipt) error
	VendorRests(ctx context.Context, from models.Reporter, class string, until time.Time, code string) error
	CountReceipts(from models.Reporter, good, refused int)
}

// Limits of one report: Huawei sends up to 1000 statuses with tokens of 200 bytes.
const (
	maxReceiptBody   = 1 << 20
	maxReceiptLength = 4 << 20 // after gzip
)

// receiptHandler takes vendors' reports.
type receiptHandler struct {
	Machine
	unknown *web.Limiter
	good    *goodSecrets
	refused *prometheus.CounterVec
}

// codeUnknownAddress refuses a report to an address that no credential has.
const codeUnknownAddress = "unknown_address"

func newReceiptHandler(m Machine) *receiptHandler {
	h := &receiptHandler{
		Machine: m, unknown: m.limiter(m.Rates.UnknownReceipts), good: &goodSecrets{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hongyan", Subsystem: "receipts", Name: "refused_total",
			Help: "Vendors' reports that were refused, by channel and reason. unknown_address: no credential has the address; too_many_requests: more of those than are looked up.",
		}, []string{"channel", "reason"}),
	}
	for channel := range h.reporting() {
		h.refused.WithLabelValues(channel, codeUnknownAddress) // at 0, so that it is seen
	}
	if m.Metrics != nil {
		m.Metrics.MustRegister(h.refused)
	}
	return h
}

// reporting are the channels whose vendors report.
func (h *receiptHandler) reporting() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, channel := range vendorChannels() {
			if spec, ok := h.spec(channel); ok && spec.ParseReceipt != nil && !yield(string(channel)) {
				return
			}
		}
	}
}

// counted is take, with refusals in the metrics: those at an unknown address are on no
// credential's card.
func (h *receiptHandler) counted(c echo.Context) error {
	err := h.take(c)
	if err == nil {
		return nil
	}
	e := apiErrorOf(err)
	if spec, ok := h.spec(push.Channel(c.Param("channel"))); ok && spec.ParseReceipt != nil && e.status < http.StatusInternalServerError {
		h.refused.WithLabelValues(string(spec.Channel), e.code).Inc()
	}
	return err
}

// take verifies one report and stores what it says. A vendor that does not get its
// yes repeats the report, which does no harm.
func (h *receiptHandler) take(c echo.Context) error {
	channel := push.Channel(c.Param("channel"))
	spec, ok := h.spec(channel)
	if !ok || spec.ParseReceipt == nil {
		return &apiError{status: http.StatusNotFound, code: "not_found"}
	}
	from, err := h.authenticate(c, string(channel))
	if err != nil {
		return err
	}
	body, err := readBody(c, maxReceiptBody, maxReceiptLength)
	if err != nil {
		h.Receipts.CountReceipts(from, 0, 1)
		return err
	}
	fields := make(map[string]string, len(from.Fields))
	for k, v := range from.Fields {
		fields[k] = v.Reveal()
	}
	report, err := spec.ParseReceipt(push.ReceiptRequest{Header: c.Request().Header, Body: body, Fields: fields, Now: h.Now().UTC()})
	if err != nil {
		h.Receipts.CountReceipts(from, 0, 1)
		e := &apiError{status: http.StatusBadRequest, code: "bad_receipt", err: err}
		if errors.Is(err, push.ErrReceiptForged) {
			e.status, e.code = http.StatusForbidden, "forged_receipt"
		}
		return e
	}
	if err := h.Receipts.VendorReceipts(c.Request().Context(), from, vendorReceipts(report.Receipts)); err != nil {
		return err
	}
	if err := h.rest(c.Request().Context(), from, report.Receipts); err != nil {
		return err
	}
	h.Receipts.CountReceipts(from, len(report.Receipts), 0)
	return c.Blob(http.StatusOK, report.ContentType, report.Answer)
}

func (h *receiptHandler) spec(channel push.Channel) (push.Spec, bool) {
	if h.Channels == nil {
		return push.Spec{}, false
	}
	return h.Channels(channel)
}

// authenticate finds the credential behind the secret in the path. Whoever asks for
// addresses that do not exist is slowed, but never one that is known to be good.
func (h *receiptHandler) authenticate(c echo.Context, channel string) (models.Reporter, error) {
	secret, now, from := c.Param("secret"), h.Now(), web.AddressKey(c.RealIP())
	if h.unknown.Exhausted(from) && !h.good.has(secret, now) {
		return models.Reporter{}, &apiError{status: http.StatusTooManyRequests, code: "too_many_requests", wait: retryLater}
	}
	r, err := h.Receipts.ReceiptsFrom(c.Request().Context(), channel, secret)
	if err != nil {
		if models.KindOf(err) == models.NotFound {
			h.unknown.Allow(from)
			err = &apiError{status: http.StatusNotFound, code: codeUnknownAddress}
		}
		return r, err
	}
	h.good.add(secret, now)
	return r, nil
}

// rest has everything wait for the vendor's next day that a report says is over, once
// for each class. A report of yesterday says nothing of today.
func (h *receiptHandler) rest(ctx context.Context, from models.Reporter, list []push.Receipt) error {
	told, now := map[string]bool{}, h.Now().UTC()
	for _, r := range list {
		if !r.DayOver || told[r.Class] {
			continue
		}
		at := now
		if !r.At.IsZero() && r.At.Before(now) {
			at = r.At
		}
		until := at.Add(push.UntilMidnight(at))
		if !until.After(now) {
			continue
		}
		told[r.Class] = true
		if err := h.Receipts.VendorRests(ctx, from, r.Class, until, r.Code); err != nil {
			return err
		}
	}
	return nil
}

// vendorReceipts are those of a report that say which message they are about.
func vendorReceipts(list []push.Receipt) []models.VendorReceipt {
	out := make([]models.VendorReceipt, 0, len(list))
	for _, r := range list {
		message, device, ok := models.ParseReceiptRef(r.Ref)
		if !ok {
			continue
		}
		out = append(out, models.VendorReceipt{
			MessageID: message, DeviceID: device, Token: r.Token, Event: string(r.Event), Code: r.Code, At: r.At,
		})
	}
	return out
}
