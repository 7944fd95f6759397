package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// rocketChatGateway is a Rocket.Chat push gateway. A workspace posts one notification
// for one device to {gateway}/push/apn/send or {gateway}/push/gcm/send. 406 makes it
// forget the token, 422 give up; anything else that is not 2xx it repeats up to five
// times within 31 minutes.
type rocketChatGateway struct{}

func (rocketChatGateway) bridge() Bridge {
	return Bridge{
		ID:     "rocketchat",
		Tokens: true,
		Name:   "bridges.rocketchat.name",
		Help:   "bridges.rocketchat.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.rocketchat.step_gateway", Code: "OVERWRITE_SETTING_Push_enable=true\nOVERWRITE_SETTING_Push_enable_gateway=true\nOVERWRITE_SETTING_Push_gateway=" + address},
				{Text: "bridges.rocketchat.step_registered"},
				{Text: "bridges.rocketchat.step_app", Code: `POST /api/v1/push.token` + "\n" + `{"type":"gcm","value":"<device_token>","appName":"com.example.im"}`},
				{Text: "bridges.rocketchat.step_named", Code: rootOf(address)},
				{Text: "bridges.rocketchat.step_content"},
			}
		},
		Sample: rocketChatSample,
	}
}

func rocketChatSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{ // strings and ints always marshal
		"token": to,
		"options": map[string]any{
			"createdAt": now.UTC().Format(time.RFC3339), "createdBy": "<SERVER>", "sent": false, "sending": 0,
			"title": from, "text": text, "from": "push", "badge": 1, "sound": "default", "uniqueId": "sample",
			"payload": map[string]any{"messageId": id, "rid": from, "sender": map[string]string{"_id": from, "username": from}, "type": "d"},
		},
	})
	return SampleRequest{Path: "push/apn/send", Body: body}
}

// rocketChatOptions is the notification, tolerant where a wrong type should not lose it.
type rocketChatOptions struct {
	CreatedAt json.RawMessage `json:"createdAt"`
	Title     looseText       `json:"title"`
	Text      looseText       `json:"text"`
	From      looseText       `json:"from"`
	Payload   json.RawMessage `json:"payload"`
	Badge     looseCount      `json:"badge"`
	Sound     looseText       `json:"sound"`
	NotID     json.RawMessage `json:"notId"`
	APN       json.RawMessage `json:"apn"`
	UniqueID  looseText       `json:"uniqueId"`

	others map[string]json.RawMessage // fields that have no place here
}

// rocketChatPayload is what the app gets: where the message is. It may be JSON in a
// text, as the app itself is given it.
type rocketChatPayload struct {
	MessageID looseText       `json:"messageId"`
	RoomID    looseText       `json:"rid"`
	Sender    json.RawMessage `json:"sender"`
	Name      looseText       `json:"name"` // of a room that is not a conversation of two
	Type      looseText       `json:"type"` // "d" for a conversation of two
}

func (rocketChatGateway) parse(r ingestRequest) (intake, error) {
	var in intake
	var body struct {
		Token   string             `json:"token"`
		Options *rocketChatOptions `json:"options"`
	}
	if err := decodeJSON(r.body, &body); err != nil {
		return in, err
	}
	switch {
	case body.Token == "":
		return in, fieldError("required", "token")
	case !validToken(body.Token):
		return in, fieldError("wrong_type", "token")
	case body.Options == nil:
		return in, fieldError("required", "options")
	}
	var all struct {
		Options map[string]json.RawMessage `json:"options"`
	}
	_ = json.Unmarshal(r.body, &all) // was read before
	for _, known := range []string{
		// Of gcm an app needs nothing: it is the workspace's logo and "inbox".
		"createdAt", "createdBy", "sent", "sending", "title", "text", "from", "userId", "payload", "badge", "sound", "notId", "apn", "gcm", "topic", "uniqueId",
	} {
		delete(all.Options, known)
	}
	body.Options.others = all.Options
	m := body.Options.message(r.language)
	m.Token = body.Token
	in.messages = []models.Incoming{m}
	in.names = []string{string(body.Options.UniqueID)}
	return in, nil
}

func (o *rocketChatOptions) message(language string) models.Incoming {
	payload := o.Payload
	var packed string
	if json.Unmarshal(payload, &packed) == nil {
		payload = json.RawMessage(packed)
	}
	var p rocketChatPayload
	_ = json.Unmarshal(payload, &p) // without it the app opens where it was
	var sender struct {
		ID       looseText `json:"_id"`
		Username looseText `json:"username"`
		Name     looseText `json:"name"`
	}
	_ = json.Unmarshal(p.Sender, &sender)

	m := models.Incoming{Kind: models.KindAlert, SourceID: o.sourceID(string(p.MessageID))}
	c := &m.Content
	c.Badge = o.Badge.badge()
	c.Title, c.Body = string(o.Title), cleanText(string(o.Text))
	if c.Title == "" && c.Body == "" && absent(o.Payload) && c.Badge != nil {
		m.Kind = models.KindBadge
		return m
	}
	m.Sender = cutRunes(oneLine(string(sender.ID)), maxNameRunes)
	m.Conversation = cutRunes(oneLine(string(p.RoomID)), maxNameRunes)
	c.ThreadID = m.Conversation
	if c.Body == "" {
		c.Body = models.GenericText(language) // the workspace hides the content
	}
	name := string(sender.Name)
	if name == "" {
		name = string(sender.Username)
	}
	group := string(p.Name)
	if p.Type == "d" {
		group = ""
	}
	c.Speaker = speaker(name, group)
	c.Sound = push.CutBytes(oneLine(string(o.Sound)), maxWordBytes)
	if c.Sound == "none" {
		c.Sound = ""
	}
	var apn struct {
		Category looseText `json:"category"`
	}
	_ = json.Unmarshal(o.APN, &apn)
	c.Category = push.CutBytes(oneLine(string(apn.Category)), maxWordBytes)
	// The app reads its payload as JSON in a text.
	fields := map[string]json.RawMessage{"notId": o.NotID}
	maps.Copy(fields, o.others)
	if !absent(payload) && json.Valid(payload) {
		fields["ejson"], _ = json.Marshal(string(payload)) // a string always marshals
	}
	if o.From != "" {
		fields["messageFrom"], _ = json.Marshal(string(o.From))
	}
	passOn(c, fields, "ejson", "messageFrom", "notId")
	fitContent(c)
	return m
}

// sourceID is the message's id, or a hash of what a repetition has in common: the
// workspace repeats a request as it was.
func (o *rocketChatOptions) sourceID(messageID string) string {
	if id := oneLine(messageID); id != "" {
		return id
	}
	if absent(o.CreatedAt) {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(o.CreatedAt), string(o.Title), string(o.Text), string(o.NotID), string(o.Payload)}, "\x00")))
	return hex.EncodeToString(sum[:])
}

func (p rocketChatGateway) answer(c echo.Context, r ingestResult) error {
	switch r.fateOf() {
	case models.TokenDead:
		return writeError(c, &apiError{status: http.StatusNotAcceptable, code: "dead_device"})
	case models.TokenUnknown:
		return p.refuse(c, &apiError{status: http.StatusUnprocessableEntity, code: "unknown_device"})
	case models.TokenAlive:
	}
	return c.JSON(http.StatusOK, map[string]bool{"success": true})
}

func (p rocketChatGateway) unauthorized(c echo.Context, _ intake) error {
	return p.refuse(c, &apiError{status: http.StatusUnprocessableEntity, code: "not_authorized"})
}

// refuse answers 422 where a repetition would not help.
func (rocketChatGateway) refuse(c echo.Context, e *apiError) error {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusMethodNotAllowed:
		return writeError(c, e)
	}
	if e.status < http.StatusInternalServerError {
		final := *e
		final.status = http.StatusUnprocessableEntity
		e = &final
	}
	return writeError(c, e)
}

func (p rocketChatGateway) routes(h *ingestHandler) []bridgeRoute {
	var out []bridgeRoute
	for _, service := range []string{"apn", "gcm"} {
		path := "push/" + service + "/send"
		out = append(out, bridgeRoute{method: http.MethodPost, path: path, handler: h.through(p)}, postNamed(h, p, "/"+path))
	}
	return out
}
