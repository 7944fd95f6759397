package handlers

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/web"
)

// IngestStore is what the bridges need of models.Store.
type IngestStore interface {
	IngestBySecret(ctx context.Context, secret string) (models.Ingest, error)
	IngestByName(ctx context.Context, bridge, name string) (models.Ingest, error)
	IngestByEndpoint(ctx context.Context, bridge, endpoint string) (in models.Ingest, device string, err error)
	NobodysIngest() models.Ingest
	Locate(ctx context.Context, in models.Ingest, msgs []models.Incoming) ([]models.TokenFate, error)
	Acknowledge(ctx context.Context, in models.Ingest, sourceID string, at time.Time) (int, error)
	AcknowledgeNamed(ctx context.Context, bridge, sourceID string, at time.Time, may func(models.Ingest) bool) (int, error)
	UserTokens(ctx context.Context, in models.Ingest, account string) ([]models.UserToken, error)
	AddUserToken(ctx context.Context, in models.Ingest, account string, token models.UserToken) error
	DropUserTokens(ctx context.Context, in models.Ingest, account string, tokens ...models.UserToken) (int64, error)
	Accept(ctx context.Context, in models.Ingest, msgs []models.Incoming) (models.Accepted, error)
	CountIngest(imAppID int64, outcome string, n int)
	ChangeTopics(ctx context.Context, in models.Ingest, c models.TopicChange) ([]models.TopicFate, error)
	EachSubscriber(ctx context.Context, in models.Ingest, topic string, limit int, fn func([]models.DeviceAt) error) error
	// What the IM app's page shows of the latest requests.
	WantArrival(t *models.Trace) bool
	AddArrival(t *models.Trace, a models.Arrival, content string) error
	// What IM servers tell beside messages, for those whose messages do not say who is
	// offline or who is in a group.
	SetPresence(ctx context.Context, in models.Ingest, states []models.Presence) error
	PresenceOf(ctx context.Context, in models.Ingest, accounts []string) (map[string][]models.Presence, error)
	ChangeGroup(ctx context.Context, in models.Ingest, c models.GroupChange) error
	GroupMembers(ctx context.Context, in models.Ingest, group string, limit int) ([]string, map[string][]models.Presence, error)
	Audience(ctx context.Context, in models.Ingest, limit int) ([]models.AudienceMember, error)
}

// ingestHandler is the part of a bridge that is the same for all.
type ingestHandler struct {
	Machine
	unknown             *web.Limiter
	good, goodEndpoints *goodSecrets
	// namedAddress and namedApp are for addresses without a secret.
	namedAddress, namedApp *web.Limiter
	// endpoint is for each device's own.
	endpoint *web.Limiter
}

func newIngestHandler(m Machine) *ingestHandler {
	return &ingestHandler{
		Machine: m,
		unknown: m.limiter(m.Rates.UnknownSecrets),
		good:    &goodSecrets{},
		// Of their own: there is one for each phone.
		goodEndpoints: &goodSecrets{},

		namedAddress: m.limiter(m.Rates.NamedAddress),
		namedApp:     m.limiter(m.Rates.NamedApp),
		endpoint:     m.limiter(m.Rates.Endpoint),
	}
}

// own serves the bare address /im/{secret} with the IM app's own bridge: some
// servers let nobody choose a path.
func (h *ingestHandler) own(c echo.Context) error {
	in, err := h.authenticate(c)
	if err != nil {
		return err
	}
	for _, p := range bridges() {
		if p.bridge().ID == in.Bridge() {
			return h.serve(c, p, in)
		}
	}
	return &apiError{status: http.StatusNotFound, code: "unknown_bridge"}
}

// through serves one bridge's path.
func (h *ingestHandler) through(p protocol) echo.HandlerFunc {
	id := p.bridge().ID
	return func(c echo.Context) error {
		in, err := h.authenticate(c)
		if err != nil {
			return h.refuse(c, p, err)
		}
		if in.Bridge() != id {
			// The secret is good, so its owner may know what is wrong.
			h.count(in, models.IngestInvalid, 1)
			return h.refuse(c, p, &apiError{status: http.StatusNotFound, code: "wrong_bridge"})
		}
		return h.serve(c, p, in)
	}
}

// authenticate finds the IM app behind the secret in the path. Whoever asks for
// addresses that do not exist is slowed, but never an address known to be good.
func (h *ingestHandler) authenticate(c echo.Context) (models.Ingest, error) {
	return h.authenticateSecret(c, c.Param("secret"))
}

// authenticateSecret is the same for a secret that came another way.
func (h *ingestHandler) authenticateSecret(c echo.Context, secret string) (models.Ingest, error) {
	return h.authenticateBy(c, secret, h.good, func(ctx context.Context) (models.Ingest, error) {
		return h.Ingest.IngestBySecret(ctx, secret)
	})
}

// authenticateBy is the same for what a secret leads to.
func (h *ingestHandler) authenticateBy(c echo.Context, secret string, good *goodSecrets, find func(context.Context) (models.Ingest, error)) (models.Ingest, error) {
	now, from := h.Now(), addressOf(c)
	if h.unknown.Exhausted(from) && !good.has(secret, now) {
		return models.Ingest{}, &apiError{status: http.StatusTooManyRequests, code: "too_many_requests", wait: retryLater}
	}
	in, err := find(c.Request().Context())
	if err != nil {
		if models.KindOf(err) == models.NotFound {
			h.unknown.Allow(from)
			err = &apiError{status: http.StatusNotFound, code: "unknown_address"}
		}
		return in, err
	}
	good.add(secret, now)
	in = h.trace(c, in)
	in.Trace().Tokens = append(in.Trace().Tokens, secret)
	return in, nil
}

// serve takes one request of an authenticated IM app.
func (h *ingestHandler) serve(c echo.Context, p protocol, in models.Ingest) error {
	if err := h.allowed(c, in); err != nil {
		return h.refuse(c, p, err)
	}
	got, err := h.read(c, p, in)
	if err != nil {
		h.count(in, models.IngestInvalid, 1)
		h.complain(c, in, apiErrorOf(err).code)
		return h.refuse(c, p, err)
	}
	if j, ok := p.(joiner); ok {
		if err := j.join(c.Request().Context(), h.Ingest, in, &got); err != nil {
			h.countRefused(c, in, err, len(got.messages))
			return h.refuse(c, p, err)
		}
	}
	if got.fault != "" {
		h.complain(c, in, got.fault)
	}
	note(in, &got)
	for outcome, n := range got.dropped {
		h.count(in, outcome, n)
	}
	if !in.Authorized() {
		h.count(in, models.IngestUnauthorized, len(got.messages))
		return p.unauthorized(c, got)
	}
	done, err := h.store(c.Request().Context(), in, got)
	if err != nil {
		return h.refuse(c, p, err)
	}
	if in.Sample() { // the console asks, in words of its own
		return c.JSON(http.StatusOK, sampleAnswer{Accepted: done.New, IDs: done.IDs})
	}
	return p.answer(c, done)
}

// allowed checks the IM app's allow-list.
func (h *ingestHandler) allowed(c echo.Context, in models.Ingest) error {
	if addressAllowed(in.AllowIPs(), c.RealIP()) {
		return nil
	}
	h.count(in, models.IngestDenied, 1)
	return &apiError{status: http.StatusForbidden, code: "address_not_allowed"}
}

// store finds the devices of tokens, stores what can reach somebody and counts all.
func (h *ingestHandler) store(ctx context.Context, in models.Ingest, got intake) (ingestResult, error) {
	if got.user != nil {
		if err := h.addUserTokens(ctx, in, &got); err != nil {
			h.count(in, models.IngestRefused, max(len(got.messages), 1))
			return ingestResult{intake: got}, err
		}
	}
	out := ingestResult{intake: got}
	msgs, fates, err := h.locate(ctx, in, got.messages)
	if err != nil {
		h.count(in, models.IngestRefused, len(got.messages))
		return out, err
	}
	out.fates = fates
	out.Accepted, err = h.accept(ctx, in, msgs)
	h.countAccepted(in, msgs, out.Accepted)
	if err != nil {
		h.count(in, models.IngestRefused, len(msgs)-len(out.IDs))
		return out, err
	}
	for i := range got.messages {
		if got.messages[i].Topic == "" {
			continue
		}
		done, err := h.fanOut(ctx, in, &got.messages[i])
		out.New += done.New
		out.Duplicates += done.Duplicates
		if err != nil {
			return out, err
		}
	}
	if got.user != nil {
		err = h.dropDeadTokens(ctx, in, &out)
	}
	return out, err
}

// read parses the request's body.
func (h *ingestHandler) read(c echo.Context, p protocol, in models.Ingest) (intake, error) {
	r, err := h.request(c, p, in.Language())
	if err != nil {
		return intake{}, err
	}
	r.sdkAppID, r.sdkKey = in.SDKAppID(), in.SDKKey()
	return p.parse(r)
}

// request reads what a parser sees.
func (h *ingestHandler) request(c echo.Context, p protocol, language string) (ingestRequest, error) {
	var body []byte
	var err error
	if raw, ok := p.(rawProtocol); ok {
		body, err = readRaw(c, raw.rawLimit())
	} else {
		if body, err = readBody(c, maxBridgeBody, maxBridgeLength); err == nil {
			err = checkValues(p, body)
		}
	}
	if err != nil {
		return ingestRequest{}, err
	}
	for _, t := range traces(c) {
		t.Body = body
	}
	r := c.Request()
	return ingestRequest{
		query: r.URL.Query(), header: r.Header, body: body, now: h.Now().UTC(), language: language,
		device: cmp.Or(endpointDevice(c), c.Param("device")), below: below(c), secret: c.Param("secret"),
	}, nil
}

// below returns what a path holds behind the bridge's own.
func below(c echo.Context) string { return strings.Trim(c.Param("*"), "/") }

// accept stores messages, as many at a time as one commit takes. All are stored
// before it returns, or the error says that not all are; a caller that then
// repeats the request finishes it, because what is stored is a duplicate.
func (h *ingestHandler) accept(ctx context.Context, in models.Ingest, msgs []models.Incoming) (models.Accepted, error) {
	var all models.Accepted
	for part := range slices.Chunk(msgs, models.MaxBatch) {
		got, err := h.Ingest.Accept(ctx, in, part)
		if err != nil {
			return all, err
		}
		all.IDs = append(all.IDs, got.IDs...)
		all.New += got.New
		all.Duplicates += got.Duplicates
	}
	return all, nil
}

// countAccepted counts what was stored. Updates of the badge are no offline
// messages and are counted apart.
func (h *ingestHandler) countAccepted(in models.Ingest, msgs []models.Incoming, done models.Accepted) {
	badges := 0
	for _, m := range msgs[:min(len(done.IDs), len(msgs))] {
		if m.Kind == models.KindBadge {
			badges++
		}
	}
	badges = min(badges, done.New)
	h.count(in, models.IngestBadge, badges)
	h.count(in, models.IngestAccepted, done.New-badges)
	h.count(in, models.IngestDuplicate, done.Duplicates)
}

// countRefused counts a request that is refused before its messages, n as far as known,
// are stored: the request is wrong, or we cannot take it now.
func (h *ingestHandler) countRefused(c echo.Context, in models.Ingest, err error, n int) {
	e := apiErrorOf(err)
	if e.status >= http.StatusInternalServerError {
		h.count(in, models.IngestRefused, max(n, 1))
		return
	}
	h.count(in, models.IngestInvalid, max(n, 1))
	h.complain(c, in, e.code)
}

// count counts n outcomes of an IM app.
func (h *ingestHandler) count(in models.Ingest, outcome string, n int) {
	if n <= 0 {
		return
	}
	h.Ingest.CountIngest(in.IMAppID(), outcome, n)
	if t := in.Trace(); t != nil {
		t.Count(outcome, n)
	}
}

// complain logs that an IM server sent something unusable: what, never whose.
func (h *ingestHandler) complain(c echo.Context, in models.Ingest, fault string) {
	h.Log.WarnContext(c.Request().Context(), "unusable request of an IM server",
		"im_app", in.IMAppID(), "bridge", in.Bridge(), "fault", fault, "bytes", c.Request().ContentLength)
}

// refuse answers err in the protocol's form.
func (h *ingestHandler) refuse(c echo.Context, p protocol, err error) error {
	e := apiErrorOf(err)
	h.report(c, e)
	for _, t := range traces(c) {
		refused(t, e)
	}
	return p.refuse(c, e)
}

// addressAllowed reports whether an address stands on an allow-list: addresses and
// networks, separated by commas or white space. An empty list allows all. An
// entry that cannot be read allows nobody.
func addressAllowed(list, ip string) bool {
	entries := strings.FieldsFunc(list, func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\r' || r == '\t'
	})
	if len(entries) == 0 {
		return true
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, e := range entries {
		if p, err := netip.ParsePrefix(e); err == nil && p.Contains(a) {
			return true
		}
		if one, err := netip.ParseAddr(e); err == nil && one.Unmap() == a {
			return true
		}
	}
	return false
}
