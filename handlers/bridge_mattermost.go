package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// Paths that a Mattermost server puts after its PushNotificationServer, and what the
// proxy's own version page is called.
const (
	mattermostSend = "api/v1/send_push"
	mattermostAck  = "api/v1/ack"
)

// mattermostProxy is a Mattermost push proxy. The server posts one notification for
// one session's device, never again, and reads only status: OK, REMOVE (it forgets the
// device) or FAIL. It has no credential: its server_id names the IM app.
type mattermostProxy struct{}

func (mattermostProxy) bridge() Bridge {
	return Bridge{
		ID:     "mattermost",
		Tokens: true,
		Name:   "bridges.mattermost.name",
		Help:   "bridges.mattermost.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.mattermost.step_server", Code: "\"EmailSettings\": {\n  \"SendPushNotifications\": true,\n  \"PushNotificationServer\": \"" + address + "\",\n  \"PushNotificationContents\": \"full\"\n}"},
				{Text: "bridges.mattermost.step_app", Code: `PUT /api/v4/users/sessions/device` + "\n" + `{"device_id":"android_rn:<device_token>"}`},
				{Text: "bridges.mattermost.step_named", Code: rootOf(address)},
				{Text: "bridges.mattermost.step_content"},
			}
		},
		Sample: mattermostSample,
	}
}

func mattermostSample(from, to, id, text string, _ time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{ // strings and ints always marshal
		"ack_id": id, "platform": "apple_rn", "server_id": "sample", "device_id": to, "post_id": id, "category": "CAN_REPLY",
		"message": text, "badge": 1, "channel_id": "sample", "channel_name": from, "type": "message",
		"sender_id": from, "sender_name": from, "version": "v2",
	})
	return SampleRequest{Path: mattermostSend, Body: body}
}

// mattermostPush is the part of a notification that is understood here; the app gets
// the rest as it came.
type mattermostPush struct {
	AckID       looseText  `json:"ack_id"`
	Platform    looseText  `json:"platform"`
	ServerID    looseText  `json:"server_id"`
	DeviceID    looseText  `json:"device_id"`
	PostID      looseText  `json:"post_id"`
	Category    looseText  `json:"category"`
	Sound       looseText  `json:"sound"`
	Message     looseText  `json:"message"`
	Badge       looseCount `json:"badge"`
	ChannelID   looseText  `json:"channel_id"`
	ChannelName looseText  `json:"channel_name"`
	Type        looseText  `json:"type"`
	SenderID    looseText  `json:"sender_id"`
	SenderName  looseText  `json:"sender_name"`
	Override    looseText  `json:"override_username"`
}

func (mattermostProxy) parse(r ingestRequest) (intake, error) {
	var in intake
	var p mattermostPush
	var fields map[string]json.RawMessage
	if err := decodeJSON(r.body, &fields); err != nil {
		return in, err
	}
	if err := decodeJSON(r.body, &p); err != nil {
		return in, err
	}
	token := mattermostToken(string(p.DeviceID), string(p.Platform))
	if token == "" {
		return in, fieldError("required", "device_id")
	}
	if !validToken(token) {
		return in, fieldError("wrong_type", "device_id")
	}
	m, ok := p.message(r.language)
	if !ok {
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	m.Token = token
	if m.Kind == models.KindAlert {
		for _, shown := range []string{"device_id", "platform", "message", "badge", "sound", "category"} {
			delete(fields, shown)
		}
		passOn(&m.Content, fields, "ack_id", "server_id", "post_id", "channel_id", "team_id", "root_id", "type", "is_id_loaded", "version", "signature")
	}
	in.messages = []models.Incoming{m}
	in.names = []string{string(p.ServerID)}
	return in, nil
}

// mattermostToken returns the token of a device id. A session holds "platform:token", of
// which a server may have kept the prefix; a token may hold a colon too.
func mattermostToken(device, platform string) string {
	prefix, rest, ok := strings.Cut(device, ":")
	kind, _, _ := strings.Cut(prefix, "-v") // of an app's version
	switch {
	case !ok:
	case strings.HasPrefix(platform, prefix), kind == "apple", kind == "android", kind == "apple_rn", kind == "android_rn", kind == "apple_voip_rn":
		return rest
	}
	return device
}

// message is what the notification says; false when it says nothing.
func (p *mattermostPush) message(language string) (models.Incoming, bool) {
	m := models.Incoming{Kind: models.KindAlert, SourceID: oneLine(string(p.AckID))}
	if m.SourceID == "" && p.PostID != "" {
		m.SourceID = oneLine(string(p.PostID) + " " + string(p.Type))
	}
	m.Content.Badge = p.Badge.badge()
	if p.Type == "clear" || p.Type == "update_badge" {
		m.Kind = models.KindBadge // silent: the user read elsewhere
		return m, m.Content.Badge != nil
	}
	m.Sender = cutRunes(oneLine(string(p.SenderID)), maxNameRunes)
	m.Conversation = cutRunes(oneLine(string(p.ChannelID)), maxNameRunes)
	name := p.SenderName
	if p.Override != "" {
		name = p.Override
	}
	channel := oneLine(string(p.ChannelName))
	c := &m.Content
	c.Speaker = speaker(string(name), channel)
	if channel == "" || channel == oneLine(string(name)) {
		c.Speaker = speaker(string(name), "") // a conversation of two
	}
	// The server writes the text, with the sender in it where the channel has several.
	c.Title, c.Body = channel, cleanText(string(p.Message))
	if c.Body == "" {
		c.Body = models.GenericText(language)
	}
	c.Sound = defaultSound
	if p.Sound != "" {
		c.Sound = push.CutBytes(oneLine(string(p.Sound)), maxWordBytes)
	}
	if c.Sound == "none" {
		c.Sound = ""
	}
	c.Category, c.ThreadID = push.CutBytes(oneLine(string(p.Category)), maxWordBytes), m.Conversation
	fitContent(c)
	return m, true
}

// mattermostStatus is the answer that the server reads, with HTTP 200.
func mattermostStatus(c echo.Context, status, text string) error {
	answer := map[string]string{"status": status}
	if text != "" {
		answer["error"] = text
	}
	return c.JSON(http.StatusOK, answer)
}

func (p mattermostProxy) answer(c echo.Context, r ingestResult) error {
	switch r.fateOf() {
	case models.TokenDead:
		return mattermostStatus(c, "REMOVE", "")
	case models.TokenUnknown:
		return p.refuse(c, &apiError{status: http.StatusNotFound, code: "unknown_device"})
	case models.TokenAlive:
	}
	return mattermostStatus(c, "OK", "")
}

func (p mattermostProxy) unauthorized(c echo.Context, _ intake) error {
	return p.refuse(c, &apiError{status: http.StatusConflict, code: "not_authorized"})
}

// refuse answers FAIL, which the server logs. A throttled one is the only request
// that the reference proxy answers with another status, and a wrong method.
func (mattermostProxy) refuse(c echo.Context, e *apiError) error {
	text := errorBody(c, e).Message
	if e.status == http.StatusTooManyRequests || e.status == http.StatusMethodNotAllowed {
		retryAfter(c, e)
		return c.JSON(e.status, map[string]string{"status": "FAIL", "error": text})
	}
	return mattermostStatus(c, "FAIL", text)
}

func (p mattermostProxy) routes(h *ingestHandler) []bridgeRoute {
	version := func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"version": "hongyan"})
	}
	return []bridgeRoute{
		{method: http.MethodPost, path: mattermostSend, handler: h.through(p)},
		{method: http.MethodPost, path: mattermostAck, handler: h.mattermostAck(p)},
		{method: http.MethodGet, path: "version", handler: version},
		postNamed(h, p, "/"+mattermostSend),
		{method: http.MethodPost, path: "/" + mattermostAck, root: true, handler: h.mattermostAckNamed(p)},
	}
}

// mattermostReceipt says that the app got a notification.
type mattermostReceipt struct {
	ID         string      `json:"id"`
	ReceivedAt json.Number `json:"received_at"` // ms
}

func readMattermostReceipt(r ingestRequest) (id string, at time.Time, err error) {
	var a mattermostReceipt
	if err := decodeJSON(r.body, &a); err != nil {
		return "", at, err
	}
	if a.ID == "" {
		return "", at, fieldError("required", "id")
	}
	if ms, err := a.ReceivedAt.Int64(); err == nil && ms > 0 {
		at = time.UnixMilli(ms).UTC()
	}
	if at.After(r.now) {
		at = r.now // a phone's clock may be ahead
	}
	return oneLine(a.ID), at, nil
}

// mattermostAck takes an acknowledgement as the receipt of an arrival.
func (h *ingestHandler) mattermostAck(p mattermostProxy) echo.HandlerFunc {
	return func(c echo.Context) error {
		in, err := h.authenticate(c)
		if err != nil {
			return h.refuse(c, p, err)
		}
		if in.Bridge() != p.bridge().ID {
			return h.refuse(c, p, &apiError{status: http.StatusNotFound, code: "wrong_bridge"})
		}
		if err := h.allowed(c, in); err != nil {
			return h.refuse(c, p, err)
		}
		about(in, models.ArrivalReceipt)
		return h.acknowledged(c, p, func(id string, at time.Time) error {
			_, err := h.Ingest.Acknowledge(c.Request().Context(), in, id, at)
			return err
		})
	}
}

// mattermostAckNamed is the same without a secret: an acknowledgement does not even
// name its server, but its id is random and the server's own.
func (h *ingestHandler) mattermostAckNamed(p mattermostProxy) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !h.namedAddress.Allow(addressOf(c)) || !h.namedApp.Allow(addressOf(c)+" ack") {
			return h.refuse(c, p, tooMany())
		}
		return h.acknowledged(c, p, func(id string, at time.Time) error {
			_, err := h.Ingest.AcknowledgeNamed(c.Request().Context(), p.bridge().ID, id, at, func(in models.Ingest) bool {
				return addressAllowed(in.AllowIPs(), c.RealIP())
			})
			return err
		})
	}
}

func (h *ingestHandler) acknowledged(c echo.Context, p mattermostProxy, take func(id string, at time.Time) error) error {
	r, err := h.request(c, p, "")
	if err != nil {
		return h.refuse(c, p, err)
	}
	id, at, err := readMattermostReceipt(r)
	if err != nil {
		return h.refuse(c, p, err)
	}
	if err := take(id, at); err != nil {
		return h.refuse(c, p, err)
	}
	return mattermostStatus(c, "OK", "")
}
