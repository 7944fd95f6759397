package handlers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// Limits of a request, which are those of Tinode's server.
const (
	maxTinodeMessages = 100
	maxTinodeDevices  = 1000
)

// tinodeAtOnce is what is left of an android.ttl of 0, "now or never".
const tinodeAtOnce = 30 * time.Second

// tinodeGateway is a Tinode Push Gateway (tnpg). The server posts arrays of FCM
// messages, each for one device, once and never again; it forgets a device whose
// answer is UNREGISTERED, and stops a batch at an error that may pass. Its token is
// the IM app's secret; the organization in the path is whatever it was given.
type tinodeGateway struct{}

func (tinodeGateway) bridge() Bridge {
	return Bridge{
		ID:     "tinode",
		Tokens: true,
		Name:   "bridges.tinode.name",
		Help:   "bridges.tinode.help",
		Setup: func(address string) []SetupStep {
			_, secret, _ := strings.Cut(address, "/im/")
			return []SetupStep{
				{Text: "bridges.tinode.step_config", Code: tinodeConfig(secret, rootOf(address)+"/")},
				{Text: "bridges.tinode.step_path", Code: tinodeConfig("any", address+"/")},
				{Text: "bridges.tinode.step_app", Code: `{"hi":{"id":"1","ver":"0.22","dev":"<device_token>","platf":"android"}}`},
				{Text: "bridges.tinode.step_channels"},
			}
		},
		Sample: tinodeSample,
	}
}

func tinodeConfig(token, server string) string {
	return `"push": [{` + "\n" + `  "name": "tnpg",` + "\n" +
		`  "config": {"enabled": true, "org": "example", "token": "` + token + `",` + "\n" +
		`    "debug_server": "` + server + `"}` + "\n" + `}]`
}

// tinodeSample is the message of spec/im.md 13 with other names.
func tinodeSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal([]map[string]any{{ // strings always marshal
		"token":   to,
		"android": map[string]string{"priority": "HIGH", "ttl": "3600s"},
		"data": map[string]string{
			"what": "msg", "topic": from, "xfrom": from, "seq": id, "ts": now.UTC().Format(time.RFC3339Nano), "content": text,
		},
	}})
	return SampleRequest{Path: "pushv1/sample", Body: body}
}

// tinodeMessage is an FCM message as Tinode fills it, tolerant where a wrong type
// should not lose it.
type tinodeMessage struct {
	Token        looseText       `json:"token"`
	Topic        looseText       `json:"topic"`
	Data         json.RawMessage `json:"data"`
	Notification json.RawMessage `json:"notification"`
	Android      json.RawMessage `json:"android"`
	APNS         json.RawMessage `json:"apns"`
}

// tinodeData is the part of data that is understood here.
type tinodeData struct {
	What      looseText `json:"what"`
	Topic     looseText `json:"topic"`
	From      looseText `json:"xfrom"`
	At        looseText `json:"ts"`
	Seq       looseText `json:"seq"`
	Content   looseText `json:"content"`
	Silent    looseText `json:"silent"`
	WebRTC    looseText `json:"webrtc"`
	ModeWant  looseText `json:"modeWant"`
	ModeGiven looseText `json:"modeGiven"`
}

// Why an item is refused, as Tinode's server reads it.
const (
	tinodeBadToken = "message.token" // INVALID_ARGUMENT with it: the device is forgotten
	tinodeBadItem  = "message"
	tinodeChannel  = "message.topic"
)

func (tinodeGateway) parse(r ingestRequest) (intake, error) {
	var in intake
	var items []json.RawMessage
	if err := decodeJSON(r.body, &items); err != nil {
		return in, err
	}
	if len(items) > maxTinodeMessages {
		return in, fieldLimit("too_many_items", "", maxTinodeMessages)
	}
	for i, item := range items {
		m, why, ok := readTinode(item, r)
		switch {
		case why != "":
			in.refuse(i, why)
			in.drop(models.IngestInvalid, 1)
			if why == tinodeChannel {
				in.fault = "channel" // whoever reads the log should know what is missing
			}
		case !ok:
			in.drop(models.IngestSkipped, 1)
		default:
			in.at = append(in.at, len(in.messages))
			in.messages = append(in.messages, m)
			continue
		}
		in.at = append(in.at, -1)
	}
	return in, nil
}

// readTinode makes a message of an item. why says what makes it useless, and ok is
// false for one that asks for nothing.
func readTinode(item json.RawMessage, r ingestRequest) (m models.Incoming, why string, ok bool) {
	var f tinodeMessage
	if absent(item) || json.Unmarshal(item, &f) != nil {
		return m, tinodeBadItem, false
	}
	switch {
	case f.Token == "" && f.Topic != "":
		return m, tinodeChannel, false
	case !validToken(string(f.Token)):
		return m, tinodeBadToken, false
	}
	var fields map[string]json.RawMessage
	var d tinodeData
	if json.Unmarshal(f.Data, &fields) != nil || json.Unmarshal(f.Data, &d) != nil || fields == nil {
		return m, tinodeBadItem, false
	}
	if m, ok = f.message(&d, r); !ok {
		return m, "", false
	}
	m.Token = string(f.Token)
	if m.Kind == models.KindAlert {
		delete(fields, "content") // it is the body
		passOn(&m.Content, fields, "what", "topic", "xfrom", "seq", "ts", "mime", "webrtc", "replace", "rc")
	}
	return m, "", true
}

// message is what an item says; false when it says nothing that would be shown or
// counted on an icon.
func (f *tinodeMessage) message(d *tinodeData, r ingestRequest) (models.Incoming, bool) {
	m := models.Incoming{Kind: models.KindAlert, Conversation: cutRunes(oneLine(string(d.Topic)), maxNameRunes)}
	c := &m.Content
	c.Badge = f.badge()
	text, alert := d.text(r.language)
	if !alert {
		// Received on another of the user's devices, or read there.
		m.Kind, m.Conversation = models.KindBadge, ""
		return m, c.Badge != nil
	}
	m.Sender = cutRunes(oneLine(string(d.From)), maxNameRunes)
	m.SourceID = d.sourceID()
	m.ExpiresAt = f.android(c, r.now)
	c.ThreadID, c.Sound = m.Conversation, defaultSound
	title, body := f.texts()
	c.Title = title
	if text == "" {
		text = body
	}
	if c.Body = cleanText(text); c.Body == "" {
		c.Body = models.GenericText(r.language)
	}
	fitContent(c)
	return m, true
}

// text is what shows; false for an event that must not alert.
func (d *tinodeData) text(language string) (text string, alert bool) {
	word := func(zh, en string) (string, bool) {
		if models.IsEnglish(language) {
			return en, true
		}
		return zh, true
	}
	switch {
	case d.Silent == "true" || d.What == "read":
		return "", false
	case d.What == "sub":
		if d.ModeWant == "N" || d.ModeGiven == "N" {
			return "", false // taken away
		}
		return word("邀请你加入聊天", "invited you to a chat")
	}
	switch d.WebRTC {
	case "":
		return string(d.Content), true
	case "started":
		return word("[通话]", "[Call]")
	case "missed":
		return word("[未接来电]", "[Missed call]")
	}
	return "", false // a call that goes on or is over
}

// sourceID names the event within its topic, so that one that comes again is known.
func (d *tinodeData) sourceID() string {
	switch {
	case d.Topic == "":
		return ""
	case d.Seq != "" && d.WebRTC != "":
		return oneLine(string(d.Topic + " " + d.Seq + " " + d.WebRTC))
	case d.Seq != "":
		return oneLine(string(d.Topic + " " + d.Seq))
	case d.At != "":
		return oneLine(string(d.Topic + " " + d.What + " " + d.At))
	}
	return ""
}

// badge is the count of unread messages, which only iOS devices are sent.
func (f *tinodeMessage) badge() *int {
	var a struct {
		Payload struct {
			APS struct {
				Badge looseCount `json:"badge"`
			} `json:"aps"`
		} `json:"payload"`
	}
	if json.Unmarshal(f.APNS, &a) != nil {
		return nil
	}
	return a.Payload.APS.Badge.badge()
}

// android takes priority and life from where FCM has them.
func (f *tinodeMessage) android(c *models.Content, now time.Time) (expires time.Time) {
	var a struct {
		Priority looseText `json:"priority"`
		TTL      looseText `json:"ttl"`
	}
	_ = json.Unmarshal(f.Android, &a) // without it an ordinary message
	c.LowPriority = strings.EqualFold(string(a.Priority), "NORMAL")
	if ttl, err := time.ParseDuration(string(a.TTL)); err == nil && ttl >= 0 {
		expires = now.Add(min(max(ttl, tinodeAtOnce), models.MaxLife))
	}
	return expires
}

// texts returns the title and the body that the server's configuration gave.
func (f *tinodeMessage) texts() (title, body string) {
	type shown struct {
		Title looseText `json:"title"`
		Body  looseText `json:"body"`
	}
	var common shown
	var android struct {
		Notification shown `json:"notification"`
	}
	_ = json.Unmarshal(f.Notification, &common) // usually there is none
	_ = json.Unmarshal(f.Android, &android)
	for _, s := range []shown{android.Notification, common} {
		if title == "" {
			title = oneLine(string(s.Title))
		}
		if body == "" {
			body = string(s.Body)
		}
	}
	return title, body
}

// tinodeAnswer is what the server reads. An errcode of the whole makes it log errmsg.
type tinodeAnswer struct {
	Sent     int                `json:"sent_count"`
	Failed   int                `json:"fail_count"`
	Code     string             `json:"errcode,omitempty"`
	Message  string             `json:"errmsg,omitempty"`
	Response []tinodeItemAnswer `json:"resp,omitempty"`
}

// tinodeItemAnswer answers for one item; without errcode it is well.
type tinodeItemAnswer struct {
	HTTP    int    `json:"code,omitempty"`
	Code    string `json:"errcode,omitempty"`
	Message string `json:"errmsg,omitempty"`
	Detail  string `json:"exerr,omitempty"`
	Index   int    `json:"index,omitempty"`
}

func tinodeItem(c echo.Context, i int, code, detail string, e *apiError) tinodeItemAnswer {
	return tinodeItemAnswer{HTTP: e.status, Code: code, Message: errorBody(c, e).Message, Detail: detail, Index: i}
}

// answer says of each item what is known. A token that is merely not known is not
// UNREGISTERED, which would delete it: the app may not be registered yet.
func (tinodeGateway) answer(c echo.Context, r ingestResult) error {
	var a tinodeAnswer
	for i, n := range r.at {
		one := tinodeItemAnswer{HTTP: http.StatusOK, Index: i}
		switch why := r.refused[i]; {
		case why == tinodeChannel:
			one = tinodeItem(c, i, "UNIMPLEMENTED", why, noChannels())
		case why != "":
			one = tinodeItem(c, i, "INVALID_ARGUMENT", why, fieldError("wrong_type", why))
		case n < 0: // asked for nothing
		case r.fates[n] == models.TokenDead:
			one = tinodeItem(c, i, "UNREGISTERED", "", &apiError{status: http.StatusNotFound, code: "dead_device"})
		case r.fates[n] == models.TokenUnknown:
			one = tinodeItem(c, i, "NOT_FOUND", "", &apiError{status: http.StatusNotFound, code: "unknown_device"})
		default:
			a.Sent++
		}
		if one.Code != "" {
			a.Failed++
		}
		a.Response = append(a.Response, one)
	}
	return c.JSON(http.StatusOK, a)
}

func noChannels() *apiError {
	return &apiError{status: http.StatusNotImplemented, code: "no_channels"}
}

func (tinodeGateway) unauthorized(c echo.Context, in intake) error {
	e := &apiError{status: http.StatusConflict, code: "not_authorized"}
	return c.JSON(http.StatusOK, tinodeAnswer{Failed: len(in.at), Code: "PERMISSION_DENIED", Message: errorBody(c, e).Message})
}

// refuse answers with a status that drops the batch: the server never repeats one.
func (tinodeGateway) refuse(c echo.Context, e *apiError) error {
	code := "INVALID_ARGUMENT"
	switch {
	case e.status == http.StatusUnauthorized:
		code = "UNAUTHENTICATED"
	case e.status == http.StatusForbidden:
		code = "PERMISSION_DENIED"
	case e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed:
		code = "NOT_FOUND"
	case e.status == http.StatusTooManyRequests:
		code = "QUOTA_EXCEEDED"
	case e.status >= http.StatusInternalServerError:
		code = "UNAVAILABLE"
	}
	retryAfter(c, e)
	return c.JSON(e.status, tinodeAnswer{Code: code, Message: errorBody(c, e).Message})
}

func (p tinodeGateway) routes(h *ingestHandler) []bridgeRoute {
	route := func(path string, root bool, take func(echo.Context, tinodeGateway, models.Ingest) error) bridgeRoute {
		return bridgeRoute{method: http.MethodPost, path: path, root: root, handler: h.tinode(p, root, take)}
	}
	push := func(c echo.Context, p tinodeGateway, in models.Ingest) error { return h.serve(c, p, in) }
	return []bridgeRoute{
		route("pushv1/:org", false, push), route("/pushv1/:org", true, push),
		route("sub/:org", false, h.tinodeSub), route("/sub/:org", true, h.tinodeSub),
	}
}

// tinode finds the IM app by the secret in the path, or by the token that the server
// signs in with.
func (h *ingestHandler) tinode(p tinodeGateway, bearer bool, take func(echo.Context, tinodeGateway, models.Ingest) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		secret := c.Param("secret")
		if bearer {
			secret = bearerToken(c)
		}
		in, err := h.authenticateSecret(c, secret)
		if e := apiErrorOf(err); err != nil && bearer && e.status == http.StatusNotFound {
			err = &apiError{status: http.StatusUnauthorized, code: "unauthorized"}
		}
		if err == nil && in.Bridge() != p.bridge().ID {
			h.count(in, models.IngestInvalid, 1)
			err = &apiError{status: http.StatusNotFound, code: "wrong_bridge"}
		}
		if err != nil {
			return h.refuse(c, p, err)
		}
		return take(c, p, in)
	}
}

// bearerToken returns what stands after Bearer, "" without it.
func bearerToken(c echo.Context) string {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// tinodeSubscription asks that devices get the messages of channels, or no more.
type tinodeSubscription struct {
	Channel  looseText   `json:"channel"`
	Channels []looseText `json:"channels"`
	Device   looseText   `json:"device"`
	Devices  []looseText `json:"devices"`
	Unsub    bool        `json:"unsub"`
}

// tinodeSub answers a subscription to channels, of which there are none here. To
// leave one is fine; to join one fails, item by item, so that the server's log says so
// and nobody waits for messages in vain.
func (h *ingestHandler) tinodeSub(c echo.Context, p tinodeGateway, in models.Ingest) error {
	if err := h.allowed(c, in); err != nil {
		return h.refuse(c, p, err)
	}
	r, err := h.request(c, p, in.Language())
	if err != nil {
		return h.refuse(c, p, err)
	}
	var s tinodeSubscription
	if err := decodeJSON(r.body, &s); err != nil {
		return h.refuse(c, p, err)
	}
	devices, channels := s.Devices, s.Channels
	if s.Device != "" {
		devices = append(slices.Clone(devices), s.Device)
	}
	if s.Channel != "" {
		channels = append(slices.Clone(channels), s.Channel)
	}
	n := max(len(devices), len(channels))
	switch {
	case len(devices) == 0:
		return h.refuse(c, p, fieldError("required", "device"))
	case len(channels) == 0:
		return h.refuse(c, p, fieldError("required", "channel"))
	case n > maxTinodeDevices:
		return h.refuse(c, p, fieldLimit("too_many_items", "devices", maxTinodeDevices))
	case s.Unsub:
		return c.JSON(http.StatusOK, tinodeAnswer{Sent: n})
	}
	h.complain(c, in, "channel")
	return c.JSON(http.StatusOK, tinodeAnswer{Failed: n, Code: "UNIMPLEMENTED", Message: errorBody(c, noChannels()).Message})
}
