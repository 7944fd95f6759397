package handlers

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// keyTraces is where a request keeps the traces of the IM apps that it is for: mostly
// one, none while nobody is known.
const keyTraces = "hongyan.traces"

// traces returns them.
func traces(c echo.Context) []*models.Trace {
	list, _ := c.Get(keyTraces).([]*models.Trace)
	return list
}

// trace begins the trace of a request for an IM app, which in then knows.
func (h *ingestHandler) trace(c echo.Context, in models.Ingest) models.Ingest {
	in = in.Traced(h.Now())
	c.Set(keyTraces, append(traces(c), in.Trace()))
	return in
}

// about notes what kind of request this is.
func about(in models.Ingest, kind string) {
	if t := in.Trace(); t != nil {
		t.Kind = kind
	}
}

// note notes what a parsed request is about, and the tokens that it must not be shown
// with.
func note(in models.Ingest, got *intake) {
	t := in.Trace()
	if t == nil {
		return
	}
	for i := range got.messages {
		m := &got.messages[i]
		if m.Token != "" {
			t.Tokens = append(t.Tokens, m.Token)
		}
		kind := m.Kind
		if kind == "" {
			kind = models.KindAlert
		}
		if t.Kind != "" && t.Kind != kind {
			kind = models.ArrivalMixed
		}
		t.Kind = kind
	}
	if told, ok := got.extra.(interface{ about() string }); ok {
		if kind := told.about(); kind != "" {
			t.Kind = kind
		}
	}
}

// refused notes why a request is refused.
func refused(t *models.Trace, e *apiError) { t.Code, t.Field, t.Data = e.code, e.field, e.data }

// tooOften notes for the IM app of a name that a request was refused by a limit. The
// caller used up a burst of look-ups before, so that one more costs nothing new.
func (h *ingestHandler) tooOften(c echo.Context, p protocol, name string) {
	in, err := h.Ingest.IngestByName(c.Request().Context(), p.bridge().ID, name)
	if err != nil {
		return // nobody's name: there is nobody to tell
	}
	in = h.trace(c, in)
	h.count(in, models.IngestDenied, 1)
}

// seen wraps an address of a bridge: when the request was answered, it counts it and
// keeps for the IM app's page what became of it.
func (h *ingestHandler) seen(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		list := traces(c)
		for _, t := range list {
			h.keep(c.Request().Context(), t, rawRequest{
				method: c.Request().Method, route: c.Path(), url: c.Request().URL, header: c.Request().Header,
				secret: c.Param("secret"), address: c.RealIP(), length: c.Request().ContentLength,
			}, c.Response().Status)
		}
		return err
	}
}

// keep counts a request and, if it is among those that are shown, keeps it masked.
// Every request ends with it.
func (h *ingestHandler) keep(ctx context.Context, t *models.Trace, r rawRequest, status int) {
	h.Ingest.CountIngest(t.IMAppID, models.IngestRequest, 1)
	if t.Code == "" && status >= http.StatusBadRequest && !t.Bad() {
		t.Code = codeAnswered
	}
	if !h.Ingest.WantArrival(t) {
		return
	}
	if t.Kind == "" {
		t.Kind = models.ArrivalOther
	}
	r.body, r.tokens = t.Body, t.Tokens
	now := h.Now()
	a := models.Arrival{At: t.Began.UTC(), Status: status, Address: r.address, Micros: now.Sub(t.Began).Microseconds(), Bytes: r.size(), Shape: r.masked()}
	content := ""
	if now.Before(t.ContentUntil) {
		content = r.told()
	}
	if err := h.Ingest.AddArrival(t, a, content); err != nil {
		h.Log.WarnContext(ctx, "request of an IM server not listed", "im_app", t.IMAppID, "error", err)
	}
}

// codeAnswered stands for a refusal that the protocol answered without a code of ours.
const codeAnswered = "answered"

// sampleAnswer is what the console gets for a sample of its own.
type sampleAnswer struct {
	Accepted int      `json:"accepted"`
	IDs      []string `json:"ids"`
}

// outcomesInOrder lists what may become of messages, the best first.
func outcomesInOrder() []string {
	return []string{
		models.IngestAccepted, models.IngestUnauthorized, models.IngestRefused, models.IngestDenied, models.IngestInvalid,
		models.IngestUnknown, models.IngestDead, models.IngestBadge, models.IngestDuplicate, models.IngestSender, models.IngestSkipped,
	}
}
