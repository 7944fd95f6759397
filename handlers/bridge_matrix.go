package handlers

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// Limits of the Push Gateway API.
const (
	maxMatrixDevices = 100
	maxMatrixAppID   = 64  // characters
	maxMatrixPushkey = 512 // bytes
)

// matrixPath is the only path that Synapse lets a pusher have; Dendrite takes any.
const matrixPath = "_matrix/push/v1/notify"

// matrixGateway is a Matrix Push Gateway: a homeserver posts one event for one or more
// pushers of a user. It has no credential: the pusher's app_id names the IM app, and
// knowing its pushkey is what authorizes. Synapse repeats a failed request for a day,
// Dendrite never, and sends an invitation twice.
type matrixGateway struct{}

func (matrixGateway) bridge() Bridge {
	return Bridge{
		ID:     "matrix",
		Path:   matrixPath,
		Tokens: true,
		Name:   "bridges.matrix.name",
		Help:   "bridges.matrix.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.matrix.step_names"},
				{Text: "bridges.matrix.step_pusher", Code: matrixPusher(rootOf(address) + "/" + matrixPath)},
				{Text: "bridges.matrix.step_secret", Code: address},
				{Text: "bridges.matrix.step_id_only", Code: `"data":{"url":"` + rootOf(address) + "/" + matrixPath + `","format":"event_id_only"}`},
				{Text: "bridges.matrix.step_synapse", Code: "ip_range_whitelist:\n  - \"192.0.2.10\""},
			}
		},
		Sample: matrixSample,
	}
}

// rootOf is the console's own address, from an ingest address.
func rootOf(address string) string {
	root, _, _ := strings.Cut(address, "/im/")
	return root
}

func matrixPusher(url string) string {
	return "POST /_matrix/client/v3/pushers/set\n" +
		`{"kind":"http","app_id":"com.example.im.android","pushkey":"<device_token>",` + "\n" +
		` "app_display_name":"IM","device_display_name":"Phone","lang":"zh-CN",` + "\n" +
		` "data":{"url":"` + url + `"}}`
}

// matrixSample is Dendrite's message of spec/im.md 13 with other names.
func matrixSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{"notification": map[string]any{ // strings and ints always marshal
		"event_id": id, "id": id, "room_id": "!sample:localhost", "type": "m.room.message", "sender": from, "sender_display_name": from,
		"content": map[string]string{"msgtype": "m.text", "body": text}, "counts": map[string]int{"unread": 1},
		"devices": []map[string]any{{
			"app_id": "sample", "pushkey": to, "pushkey_ts": now.Unix(), "data": nil, "tweaks": map[string]string{"sound": "default"},
		}},
	}})
	return SampleRequest{Body: body}
}

// matrixNotification is what a homeserver posts, tolerant where a wrong type should
// not lose a message.
type matrixNotification struct {
	EventID           looseText       `json:"event_id"`
	ID                looseText       `json:"id"` // Dendrite's older name of it
	RoomID            looseText       `json:"room_id"`
	RoomName          looseText       `json:"room_name"`
	RoomAlias         looseText       `json:"room_alias"`
	Type              looseText       `json:"type"` // null when Synapse updates a badge
	Sender            looseText       `json:"sender"`
	SenderDisplayName looseText       `json:"sender_display_name"`
	Membership        looseText       `json:"membership"`
	Prio              looseText       `json:"prio"`
	Content           json.RawMessage `json:"content"`
	Counts            json.RawMessage `json:"counts"`
	Devices           []matrixDevice  `json:"devices"`

	fields map[string]json.RawMessage // all of it
}

type matrixDevice struct {
	AppID   string          `json:"app_id"`
	Pushkey string          `json:"pushkey"`
	Data    json.RawMessage `json:"data"`   // may be null
	Tweaks  json.RawMessage `json:"tweaks"` // may be absent
}

func (matrixGateway) parse(r ingestRequest) (intake, error) {
	var body struct {
		Notification *matrixNotification `json:"notification"`
	}
	if err := decodeJSON(r.body, &body); err != nil {
		return intake{}, err
	}
	n := body.Notification
	switch {
	case n == nil:
		return intake{}, fieldError("required", "notification")
	case len(n.Devices) == 0:
		return intake{}, fieldError("required", "notification.devices")
	case len(n.Devices) > maxMatrixDevices:
		return intake{}, fieldLimit("too_many_items", "notification.devices", maxMatrixDevices)
	}
	for i, d := range n.Devices {
		at := "notification.devices" + genericIndex(i)
		switch {
		case d.AppID == "":
			return intake{}, fieldError("required", at+".app_id")
		case d.Pushkey == "":
			return intake{}, fieldError("required", at+".pushkey")
		case utf8.RuneCountInString(d.AppID) > maxMatrixAppID:
			return intake{}, fieldLimit("too_long", at+".app_id", maxMatrixAppID)
		case len(d.Pushkey) > maxMatrixPushkey:
			return intake{}, fieldLimit("too_long", at+".pushkey", maxMatrixPushkey)
		case !validToken(d.Pushkey):
			return intake{}, fieldError("wrong_type", at+".pushkey")
		}
	}
	var all struct {
		Notification map[string]json.RawMessage `json:"notification"`
	}
	_ = json.Unmarshal(r.body, &all) // was read before
	n.fields = all.Notification
	return n.intake(r.language), nil
}

// others returns what the app may want and has no place of its own here: fields that
// nobody knows yet, and counts beside that of unread messages.
func (n *matrixNotification) others() map[string]json.RawMessage {
	out := maps.Clone(n.fields)
	for _, known := range []string{
		"event_id", "id", "room_id", "room_name", "room_alias", "type", "sender", "sender_display_name", "membership", "prio", "content", "devices",
	} {
		delete(out, known)
	}
	var counts map[string]json.RawMessage
	_ = json.Unmarshal(n.Counts, &counts) // of another type there is nothing to keep
	delete(counts, "unread")
	if len(counts) == 0 {
		delete(out, "counts")
	}
	return out
}

// intake makes a message for each device.
func (n *matrixNotification) intake(language string) intake {
	var in intake
	base, ok := n.message(language)
	if !ok {
		in.drop(models.IngestSkipped, len(n.Devices))
		return in
	}
	seen := map[string]bool{}
	for i := range n.Devices {
		d := &n.Devices[i]
		if seen[d.Pushkey] {
			in.drop(models.IngestDuplicate, 1)
			continue
		}
		seen[d.Pushkey] = true
		one := base
		one.Token = d.Pushkey
		d.apply(&one)
		in.messages = append(in.messages, one)
		in.names = append(in.names, d.AppID)
	}
	return in
}

// message is what the event says to every device; false when it says nothing.
func (n *matrixNotification) message(language string) (models.Incoming, bool) {
	var counts struct {
		Unread looseCount `json:"unread"`
	}
	_ = json.Unmarshal(n.Counts, &counts) // without counts there is no badge
	m := models.Incoming{Kind: models.KindAlert, SourceID: oneLine(string(n.EventID))}
	if m.SourceID == "" {
		m.SourceID = oneLine(string(n.ID))
	}
	m.Content.Badge = counts.Unread.badge()
	if m.SourceID == "" && n.Type == "" {
		// Only the counts: the user read elsewhere. It may come any number of times.
		m.Kind = models.KindBadge
		return m, m.Content.Badge != nil
	}
	m.Sender = cutRunes(oneLine(string(n.Sender)), maxNameRunes)
	m.Conversation = cutRunes(oneLine(string(n.RoomID)), maxNameRunes)
	c := &m.Content
	c.ThreadID, c.LowPriority = m.Conversation, n.Prio == "low"
	c.Data = map[string]any{}
	for k, v := range map[string]string{"event_id": cutRunes(m.SourceID, models.MaxSourceID), "room_id": m.Conversation} {
		if v != "" {
			c.Data[k] = v
		}
	}
	passOn(c, n.others())
	n.say(c, language)
	fitContent(c)
	return m, true
}

// say composes the text. An event of which only the id came, and an encrypted one,
// have nothing to show: their text is generic.
func (n *matrixNotification) say(c *models.Content, language string) {
	name := oneLine(string(n.SenderDisplayName))
	if name == "" {
		name, _, _ = strings.Cut(strings.TrimPrefix(oneLine(string(n.Sender)), "@"), ":")
	}
	room := oneLine(string(n.RoomName))
	if room == "" {
		room = oneLine(string(n.RoomAlias))
	}
	c.Speaker = speaker(name, room)
	text := n.text(language)
	if text == "" {
		c.Body = models.GenericText(language)
		return
	}
	c.Body = withSpeaker(c.Speaker, text)
}

// text is what an event shows as, "" for one that cannot be shown.
func (n *matrixNotification) text(language string) string {
	var content struct {
		MsgType    looseText `json:"msgtype"`
		Body       looseText `json:"body"`
		Membership looseText `json:"membership"`
	}
	_ = json.Unmarshal(n.Content, &content) // what cannot be read cannot be shown
	word := func(zh, en string) string {
		if models.IsEnglish(language) {
			return en
		}
		return zh
	}
	switch n.Type {
	case "m.room.message":
		switch content.MsgType {
		case "m.image":
			return word("[图片]", "[Image]")
		case "m.audio":
			return word("[语音]", "[Voice]")
		case "m.video":
			return word("[视频]", "[Video]")
		case "m.file":
			return word("[文件]", "[File]")
		case "m.location":
			return word("[位置]", "[Location]")
		}
		return cleanText(string(content.Body))
	case "m.sticker":
		return word("[表情]", "[Sticker]")
	case "m.call.invite":
		return word("[通话]", "[Call]")
	case "m.room.member":
		if n.Membership == "invite" || content.Membership == "invite" {
			return word("邀请你加入聊天", "invited you to a chat")
		}
	}
	return ""
}

// apply adds what is the device's own: its tweaks and the data of its pusher.
func (d *matrixDevice) apply(m *models.Incoming) {
	if m.Kind == models.KindBadge {
		return
	}
	var tweaks map[string]json.RawMessage
	_ = json.Unmarshal(d.Tweaks, &tweaks) // without tweaks it is quiet
	var sound looseText
	if raw, ok := tweaks["sound"]; ok {
		_ = sound.UnmarshalJSON(raw)
	}
	if sound != "none" {
		m.Content.Sound = push.CutBytes(oneLine(string(sound)), maxWordBytes)
	}
	data := map[string]any{}
	for k, v := range m.Content.Data {
		data[k] = v
	}
	if raw, ok := tweaks["highlight"]; ok && string(raw) != "false" {
		data["highlight"] = true // null means true
	}
	m.Content.Data = data
	var own map[string]json.RawMessage
	_ = json.Unmarshal(d.Data, &own)
	delete(own, "url")
	passOn(&m.Content, own, "default_payload", "format")
}

// answer names the pushers that the homeserver shall drop: those whose device is known
// to be gone. A pushkey that is merely not known stays: the app may not be registered
// yet, or the IM app not authorized.
func (matrixGateway) answer(c echo.Context, r ingestResult) error {
	rejected := []string{}
	for i, fate := range r.fates {
		if fate == models.TokenDead {
			rejected = append(rejected, r.messages[i].Token)
		}
	}
	return c.JSON(http.StatusOK, map[string]any{"rejected": rejected})
}

func (matrixGateway) unauthorized(c echo.Context, _ intake) error {
	return c.JSON(http.StatusOK, map[string]any{"rejected": []string{}})
}

// refuse answers as the Matrix specification words errors.
func (matrixGateway) refuse(c echo.Context, e *apiError) error {
	code := "M_UNKNOWN"
	switch {
	case e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed:
		code = "M_UNRECOGNIZED"
	case e.status == http.StatusForbidden:
		code = "M_FORBIDDEN"
	case e.status == http.StatusRequestEntityTooLarge:
		code = "M_TOO_LARGE"
	case e.status == http.StatusTooManyRequests:
		code = "M_LIMIT_EXCEEDED"
	case e.code == "bad_json":
		code = "M_NOT_JSON"
	case e.status == http.StatusBadRequest:
		code = "M_BAD_JSON"
	}
	retryAfter(c, e)
	return c.JSON(e.status, map[string]string{"errcode": code, "error": errorBody(c, e).Message})
}

func (p matrixGateway) routes(h *ingestHandler) []bridgeRoute {
	return []bridgeRoute{
		postNamed(h, p, "/"+matrixPath),
		// Clients with a UnifiedPush endpoint ask whether its host is a gateway too.
		{method: http.MethodGet, path: "/" + matrixPath, root: true, handler: func(c echo.Context) error {
			return c.JSON(http.StatusOK, map[string]any{"unifiedpush": map[string]string{"gateway": "matrix"}})
		}},
	}
}
