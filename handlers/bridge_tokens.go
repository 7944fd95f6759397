package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/web"
)

// locate finds the devices of messages that name one by token and returns those that
// can be stored. fates is parallel to msgs. What is left out is counted: dead and
// unknown tokens, and the sender's own device. Messages for topics are fanned out apart.
func (h *ingestHandler) locate(ctx context.Context, in models.Ingest, msgs []models.Incoming) (kept []models.Incoming, fates []models.TokenFate, err error) {
	if !slices.ContainsFunc(msgs, func(m models.Incoming) bool { return m.Token != "" || m.Topic != "" }) {
		return msgs, nil, nil
	}
	if fates, err = h.Ingest.Locate(ctx, in, msgs); err != nil {
		return nil, nil, err
	}
	kept = make([]models.Incoming, 0, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		switch fates[i] {
		case models.TokenUnknown:
			h.count(in, models.IngestUnknown, 1)
		case models.TokenDead:
			h.count(in, models.IngestDead, 1)
		case models.TokenAlive:
			if m.Topic != "" {
				continue
			}
			if m.Token != "" && m.Sender != "" {
				m.Devices = slices.DeleteFunc(m.Devices, func(d models.DeviceAt) bool { return d.Account == m.Sender })
				if len(m.Devices) == 0 {
					h.count(in, models.IngestSender, 1)
					continue
				}
			}
			kept = append(kept, *m)
		}
	}
	return kept, fates, nil
}

// addressOf is what requests without a good secret are limited by.
func addressOf(c echo.Context) string {
	if jid, ok := c.Request().Context().Value(xmppSenderKey{}).(string); ok {
		return "xmpp " + jid
	}
	return web.AddressKey(c.RealIP())
}

// maxNames is how many app ids one request may name; servers send one.
const maxNames = 8

// named serves an address without a secret: the request names an app or server id
// that an IM app has registered, and knowing a device's token is what authorizes it.
// An id that nobody registered, an IM app that may not be used from here, and a token
// that does not exist are answered alike: as unknown tokens.
func (h *ingestHandler) named(p protocol) echo.HandlerFunc {
	return func(c echo.Context) error {
		from := addressOf(c)
		if !h.namedAddress.Allow(from) {
			return h.refuse(c, p, tooMany())
		}
		r, err := h.request(c, p, models.LanguageChinese)
		if err != nil {
			return h.refuse(c, p, err)
		}
		got, err := p.parse(r)
		if err != nil {
			return h.refuse(c, p, err)
		}
		all := ingestResult{intake: got, fates: make([]models.TokenFate, len(got.messages))}
		if p.bridge().ID == (matrixGateway{}).bridge().ID {
			if err := h.toEndpoints(c, r, &all); err != nil {
				return h.refuse(c, p, err)
			}
		}
		names := slices.Compact(slices.Sorted(slices.Values(all.names)))
		names = slices.DeleteFunc(names, func(name string) bool { return name == "" }) // those done
		if len(names) > maxNames {
			return h.refuse(c, p, fieldLimit("too_many_items", "app_id", maxNames))
		}
		for _, name := range names {
			if !h.namedApp.Allow(from + " " + name) {
				h.tooOften(c, p, name)
				return h.refuse(c, p, tooMany())
			}
			if err := h.ofName(c, p, r, name, &all); err != nil {
				return h.refuse(c, p, err)
			}
		}
		return p.answer(c, all)
	}
}

// ofName stores the part of a request that names one app, with the texts of that IM
// app's language, and enters the fates of its tokens.
func (h *ingestHandler) ofName(c echo.Context, p protocol, r ingestRequest, name string, all *ingestResult) error {
	ctx := c.Request().Context()
	got := all.intake
	in, err := h.Ingest.IngestByName(ctx, p.bridge().ID, name)
	if models.KindOf(err) == models.NotFound {
		// Not registered: its tokens stay unknown, which is the answer, after a look-up
		// like that of any other unknown token.
		return h.lookInVain(ctx, got.messages)
	}
	if err != nil {
		return err
	}
	in = h.trace(c, in)
	in.Trace().Body = r.body
	if err := h.allowed(c, in); err != nil {
		refused(in.Trace(), apiErrorOf(err)) // said to the operator; the caller sees unknown tokens
		return h.lookInVain(ctx, got.messages)
	}
	if in.Language() != r.language {
		r.language = in.Language()
		if got, err = p.parse(r); err != nil {
			return err
		}
	}
	var part intake
	var at []int
	for i, n := range all.names {
		if n == name {
			at = append(at, i)
			part.messages = append(part.messages, got.messages[i])
		}
	}
	note(in, &part)
	for outcome, n := range all.dropped {
		h.count(in, outcome, n)
	}
	all.dropped = nil // counted for the first app named
	if !in.Authorized() {
		h.count(in, models.IngestUnauthorized, len(part.messages))
		return h.lookInVain(ctx, part.messages)
	}
	done, err := h.store(ctx, in, part)
	if err != nil {
		return err
	}
	for n, i := range at {
		if n < len(done.fates) {
			all.fates[i] = done.fates[n]
		}
	}
	all.New += done.New
	all.Duplicates += done.Duplicates
	return nil
}

// lookInVain takes as long as looking up tokens that nobody has: how long an answer
// takes must not tell which app ids are registered here.
func (h *ingestHandler) lookInVain(ctx context.Context, msgs []models.Incoming) error {
	_, err := h.Ingest.Locate(ctx, h.Ingest.NobodysIngest(), slices.Clone(msgs))
	return err
}

// fateOf is the fate of a request's only token, or of its first: alive when there
// was nothing to store for it.
func (r *ingestResult) fateOf() models.TokenFate {
	if len(r.fates) == 0 {
		return models.TokenAlive
	}
	return r.fates[0]
}

// looseText reads a string, and takes anything else for "".
type looseText string

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (s *looseText) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = ""
	}
	*s = looseText(text)
	return nil
}

// looseCount reads a number, and says whether there was one.
type looseCount struct {
	n  int
	ok bool
}

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (n *looseCount) UnmarshalJSON(b []byte) error {
	var f float64
	*n = looseCount{}
	if string(b) != "null" && json.Unmarshal(b, &f) == nil {
		n.ok = f >= 0
		n.n = int(min(max(f, 0), models.MaxBadge))
	}
	return nil
}

// badge is the count as a badge, nil without one.
func (n looseCount) badge() *int {
	if !n.ok {
		return nil
	}
	return &n.n
}

// validToken reports whether a device's token can be looked up.
func validToken(token string) bool {
	return token != "" && len(token) <= models.MaxVendorTokenBytes && token == cleanText(token) && !strings.ContainsRune(token, '\uFFFD')
}

// passOn adds fields that the app may want to a message's data, in order of the keys,
// as long as they fit: unknown ones are kept, never refused. Names that are taken are
// left out; numbers that would arrive changed become text.
func passOn(c *models.Content, fields map[string]json.RawMessage, order ...string) {
	if c.Data == nil {
		c.Data = map[string]any{}
	}
	size := 2
	if b, err := json.Marshal(c.Data); err == nil {
		size = len(b)
	}
	keys := make([]string, 0, len(fields))
	for k := range fields {
		if !slices.Contains(order, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range append(slices.Clone(order), keys...) {
		raw, ok := fields[k]
		if _, taken := c.Data[k]; !ok || taken || absent(raw) || k == "" || k == "aps" || k == models.DataMessageID || k != cleanText(k) {
			continue
		}
		v, ok := dataValue(raw)
		if !ok {
			continue
		}
		b, err := json.Marshal(map[string]any{k: v})
		if err != nil || size+len(b) > models.MaxDataBytes {
			continue
		}
		size += len(b)
		c.Data[k] = v
	}
	if len(c.Data) == 0 {
		c.Data = nil
	}
}

// dataValue reads a value that an app can be given.
func dataValue(raw json.RawMessage) (any, bool) {
	if len(raw) > models.MaxDataBytes {
		return nil, false
	}
	return plainValue(raw)
}

// postNamed is the route of a bridge's whole path without a secret.
func postNamed(h *ingestHandler, p protocol, path string) bridgeRoute {
	return bridgeRoute{method: http.MethodPost, path: path, root: true, handler: h.named(p)}
}
