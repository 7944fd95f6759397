package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// Limits of a push message of UnifiedPush and Web Push.
const (
	maxUnifiedPush    = 4096
	maxUnifiedTopic   = 32
	unifiedPushAtOnce = 30 * time.Second // what is left of TTL 0, "now or never"
)

// unifiedPush makes Hongyan the upstream of a push server: every device has an endpoint
// that takes 1 to 4096 raw bytes. It is /up/{endpoint}, which the device asks for itself
// and which says nothing about any other (bridge_endpoint.go). Servers that may know the
// IM app's secret can use {ingest address}/{token} as well. Knowing the address is the
// authorization, and one that is not known is 404: gone.
type unifiedPush struct{}

func (unifiedPush) bridge() Bridge {
	return Bridge{
		ID:     "unifiedpush",
		Path:   "up",
		Tokens: true,
		Name:   "bridges.unifiedpush.name",
		Help:   "bridges.unifiedpush.help",
		Setup: func(address string) []SetupStep {
			endpoint := rootOf(address) + endpointPath + "<endpoint>"
			return []SetupStep{
				{Text: "bridges.unifiedpush.step_endpoint", Code: "POST " + rootOf(address) + "/device/v1/endpoint\n{}\n\n{\"endpoint\":\"" + endpoint + "\"}"},
				{Text: "bridges.unifiedpush.step_check", Code: "curl '" + endpoint + "'"},
				{Text: "bridges.unifiedpush.step_send", Code: "curl -X POST '" + endpoint + "' -H 'TTL: 86400' -H 'Urgency: high' --data-binary '{\"title\":\"Alice\",\"message\":\"你好\"}'"},
				{Text: "bridges.unifiedpush.step_bytes"},
				{Text: "bridges.unifiedpush.step_gone"},
				{Text: "bridges.unifiedpush.step_matrix", Code: rootOf(address) + "/" + matrixPath},
				{Text: "bridges.unifiedpush.step_secret", Code: address + "/<device_token>"},
			}
		},
		Sample: func(from, to, _, text string, _ time.Time) SampleRequest {
			body, _ := json.Marshal(map[string]string{"title": from, "message": text}) // strings always marshal
			return SampleRequest{Path: "up/" + to, Body: body}
		},
	}
}

// rawLimit makes the body be read as it is, whatever Content-Encoding says: aes128gcm
// is for the app to open.
func (unifiedPush) rawLimit() int64 { return maxUnifiedPush }

func (unifiedPush) parse(r ingestRequest) (intake, error) {
	var in intake
	if !validToken(r.device) {
		return in, &apiError{status: http.StatusNotFound, code: "unknown_device"}
	}
	if len(r.body) == 0 {
		return in, &apiError{status: http.StatusBadRequest, code: "empty"}
	}
	if len(r.body) > maxUnifiedPush {
		return in, tooLarge(maxUnifiedPush)
	}
	m := models.Incoming{Kind: models.KindAlert, Token: r.device}
	c := &m.Content
	c.Sound, c.MutableContent = defaultSound, true // the app's extension opens the bytes
	encoding := oneLine(r.header.Get("Content-Encoding"))
	c.Title, c.Body = unifiedText(r.body, encoding)
	if c.Body == "" {
		c.Body = models.GenericText(r.language)
	}
	fitContent(c)
	c.Speaker = c.Title
	switch r.header.Get("Urgency") {
	case "very-low", "low":
		c.LowPriority = true
	}
	if topic := r.header.Get("Topic"); len(topic) <= maxUnifiedTopic {
		c.CollapseKey = oneLine(topic)
	}
	if ttl, err := strconv.ParseInt(strings.TrimSpace(r.header.Get("TTL")), 10, 64); err == nil && ttl >= 0 {
		life := time.Duration(min(ttl, int64(models.MaxLife/time.Second))) * time.Second
		m.ExpiresAt = r.now.Add(max(life, unifiedPushAtOnce))
	}
	passBytes(c, r.body, encoding)
	in.messages = []models.Incoming{m}
	return in, nil
}

// unifiedText is what can be shown of a message: plain text, or the title and message
// of a JSON object. What is encrypted, binary or the app's own has no text.
func unifiedText(body []byte, encoding string) (title, text string) {
	if encoding != "" && encoding != "identity" || !utf8.Valid(body) {
		return "", ""
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 || !json.Valid(body) {
		if bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) {
			return "", ""
		}
		return "", cleanText(string(body))
	}
	var m struct {
		Title   looseText `json:"title"`
		Message looseText `json:"message"`
	}
	if json.Unmarshal(body, &m) != nil {
		return "", ""
	}
	return oneLine(string(m.Title)), cleanText(string(m.Message))
}

func (p unifiedPush) answer(c echo.Context, r ingestResult) error {
	if r.fateOf() != models.TokenAlive {
		return p.refuse(c, &apiError{status: http.StatusNotFound, code: "unknown_device"})
	}
	c.Response().Header().Set("TTL", "0")
	return c.NoContent(http.StatusCreated)
}

// unauthorized is no 404: that would end every subscription.
func (p unifiedPush) unauthorized(c echo.Context, _ intake) error {
	return p.refuse(c, &apiError{status: http.StatusForbidden, code: "not_authorized"})
}

func (unifiedPush) refuse(c echo.Context, e *apiError) error { return writeError(c, e) }

func (p unifiedPush) routes(h *ingestHandler) []bridgeRoute {
	return append(h.endpointRoutes(p), []bridgeRoute{
		{method: http.MethodPost, path: "up/:device", handler: h.through(p)},
		{method: http.MethodGet, path: "up/:device", handler: func(c echo.Context) error {
			in, err := h.authenticate(c)
			if err != nil {
				return h.refuse(c, p, err)
			}
			return discoverUnifiedPush(c, in)
		}},
	}...)
}
