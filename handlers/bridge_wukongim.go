package handlers

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// Limits of a list of recipients.
const (
	maxRecipients     = 100_000
	maxRecipientBytes = 8 << 20 // decompressed
)

// wukongIM speaks the webhook of WuKongIM v2 and v3. The server takes 200, and
// nothing else, for success; v2 never repeats msg.offline, v3 repeats it twice at
// once. Neither signs, so the address is the secret. v2 appends "?event=" to
// whatever address it was given, so ours has no query.
type wukongIM struct{}

func (wukongIM) bridge() Bridge {
	return Bridge{
		ID:   "wukongim",
		Path: "wukongim",
		Name: "bridges.wukongim.name",
		Help: "bridges.wukongim.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.wukongim.step_v2", Code: "webhook:\n  httpAddr: \"" + address + "\"\n  focusEvents:\n    - \"msg.offline\""},
				{Text: "bridges.wukongim.step_v2_env", Code: "WK_WEBHOOK_HTTPADDR=" + address},
				{Text: "bridges.wukongim.step_v3", Code: "[webhook]\nhttp_addr = \"" + address + "\"\nfocus_events = [\"msg.offline\"]"},
				{Text: "bridges.wukongim.step_compress"},
				{Text: "bridges.wukongim.step_restart"},
			}
		},
		Sample: wukongIMSample,
	}
}

// wukongIMSample is the person message of spec/im.md 13 with other names.
func wukongIMSample(from, to, id, text string, now time.Time) SampleRequest {
	payload, _ := json.Marshal(map[string]any{"type": wkText, "content": text}) // strings and ints always marshal
	body, _ := json.Marshal(map[string]any{
		"header":        map[string]int{"no_persist": 0, "red_dot": 1, "sync_once": 0},
		"message_idstr": id, "client_msg_no": id, "message_seq": 1,
		"from_uid": from, "channel_id": to, "channel_type": wkPerson,
		"timestamp": now.Unix(), "payload": payload, "to_uids": []string{to},
	})
	return SampleRequest{Query: "event=" + wkOffline, Body: body}
}

// Events of the webhook.
const (
	wkOffline = "msg.offline"       // a message whose recipients have no connection
	wkNotify  = "msg.notify"        // every message, for archives
	wkOnline  = "user.onlinestatus" // connections
	wkPerson  = 1                   // channel_type of a conversation of two
	wkSignal  = 1 << 5              // setting: payload is encrypted end to end
	wkText    = 1                   // payload type
	wkCommand = 99                  // payload type: an instruction to the app, not for eyes
)

// wkMessage is the body of msg.offline: the fields that matter, tolerant where a
// wrong type should not lose a message.
type wkMessage struct {
	Header struct {
		NoPersist looseInt `json:"no_persist"`
		SyncOnce  looseInt `json:"sync_once"`
		// red_dot is ignored: v3 always says 0.
	} `json:"header"`
	Setting      looseInt    `json:"setting"`
	MessageID    json.Number `json:"message_id"` // beyond 2^53
	MessageIDStr string      `json:"message_idstr"`
	ClientMsgNo  string      `json:"client_msg_no"`
	FromUID      string      `json:"from_uid"`
	ChannelID    string      `json:"channel_id"`
	ChannelType  looseInt    `json:"channel_type"`
	Expire       looseInt    `json:"expire"` // seconds
	Payload      string      `json:"payload"`
	ToUIDs       []string    `json:"to_uids"`
	Compress     string      `json:"compress"`
	CompressTo   string      `json:"compress_to_uids"`

	others map[string]any // fields that nobody knows here
}

// looseInt reads a number, a quoted number or a boolean, and takes anything else
// for 0.
type looseInt int64

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (n *looseInt) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "true" {
		s = "1"
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		v = 0
	}
	*n = looseInt(v)
	return nil
}

func (wukongIM) parse(r ingestRequest) (intake, error) {
	var in intake
	switch event := r.query.Get("event"); event {
	case wkOffline:
	case "":
		return in, fieldError("required", "event")
	default:
		// Including wkNotify and wkOnline: nothing to do, and a refusal would make
		// the server repeat it.
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	var m wkMessage
	if err := decodeJSON(r.body, &m); err != nil {
		return in, err
	}
	if m.Header.NoPersist != 0 || m.Header.SyncOnce != 0 {
		// v2 hands these over too: typing notes, commands, read marks.
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	text, show := wkDisplay(m.Payload, m.Setting&wkSignal != 0, r.language)
	if !show {
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	to, err := m.recipients()
	if err != nil {
		var a *apiError
		if errors.As(err, &a) {
			return in, err
		}
		// v2.2.5 with large-list compression on sends ten bytes of gzip header and
		// no list. Repeating it would not bring the list back.
		in.fault = "compress_to_uids"
		in.drop(models.IngestInvalid, 1)
	}
	m.others = wkOthers(r.body)
	m.address(&in, to, text, r.now)
	return in, nil
}

// wkOthers returns the fields that have no place here, for the app.
func wkOthers(body []byte) map[string]any {
	f, err := readFields(body)
	if err != nil {
		return nil
	}
	out := f.rest("header", "setting", "message_id", "message_idstr", "client_msg_no", "message_seq", "from_uid", "channel_id", "channel_type",
		"expire", "timestamp", "payload", "to_uids", "compress", "compress_to_uids", "source_id")
	if out["topic"] == "" {
		delete(out, "topic")
	}
	return out
}

// address makes a message for each recipient.
func (m *wkMessage) address(in *intake, to []string, text string, now time.Time) {
	base := models.Incoming{
		SourceID:     m.sourceID(),
		Kind:         models.KindAlert,
		Sender:       cutRunes(oneLine(m.FromUID), maxNameRunes),
		Conversation: cutRunes(oneLine(m.ChannelID), maxNameRunes),
		Content:      models.Content{Body: text, Sound: defaultSound},
	}
	if m.ChannelType == wkPerson {
		// v2 names the receiver here, v3 an inner name of the pair: to the receiver
		// the conversation is the other person.
		base.Conversation = base.Sender
	}
	base.Content.ThreadID = base.Conversation
	base.Content.Data = map[string]any{
		"channel_id": base.Conversation, "channel_type": int64(m.ChannelType), "message_id": cutRunes(base.SourceID, models.MaxSourceID),
	}
	if len(m.others) > 0 {
		d := appData{m: base.Content.Data}
		if b, err := json.Marshal(d.m); err == nil {
			d.size = len(b)
		}
		d.add("wukongim", m.others)
		in.note(d.fault())
	}
	if m.Expire > 0 {
		// Counted from now and not from the server's timestamp: its clock may be off,
		// and the hand-over is immediate. Beyond MaxLife is cut at acceptance.
		base.ExpiresAt = now.Add(time.Duration(min(int64(m.Expire), int64(models.MaxLife/time.Second))) * time.Second)
	}
	fitContent(&base.Content)
	in.messages = make([]models.Incoming, 0, len(to))
	seen := make(map[string]struct{}, len(to))
	for _, uid := range to {
		_, twice := seen[uid]
		switch {
		case uid == m.FromUID, uid == base.Sender:
			in.drop(models.IngestSender, 1) // v3 lists a sender who has no connection
		case twice:
			in.drop(models.IngestDuplicate, 1)
		case !validAccount(uid):
			in.drop(models.IngestInvalid, 1)
		default:
			one := base
			one.Account = uid
			in.messages = append(in.messages, one)
		}
		seen[uid] = struct{}{}
	}
}

// sourceID is the server's id of the message, whichever field carries it.
func (m *wkMessage) sourceID() string {
	id := m.MessageIDStr
	if id == "" && m.MessageID != "0" {
		id = m.MessageID.String()
	}
	if id == "" {
		id = m.ClientMsgNo
	}
	return oneLine(id)
}

// recipients returns the offline users, listed plainly or compressed. An error
// that is not an *apiError means the compressed list is unreadable; the plain one
// is still returned.
func (m *wkMessage) recipients() ([]string, error) {
	to := m.ToUIDs
	var unreadable error
	if m.CompressTo != "" {
		more, err := m.decompress()
		if err != nil {
			unreadable = err
		}
		to = append(to, more...)
	}
	if len(to) > maxRecipients {
		return nil, tooManyRecipients()
	}
	return to, unreadable
}

func tooManyRecipients() *apiError {
	return &apiError{status: http.StatusRequestEntityTooLarge, code: "too_many_items", field: "to_uids", data: limitData(maxRecipients)}
}

func (m *wkMessage) decompress() ([]string, error) {
	if m.Compress != "gzip" {
		return nil, errors.New("unknown compression")
	}
	packed, err := base64.StdEncoding.DecodeString(m.CompressTo)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	list, err := io.ReadAll(io.LimitReader(z, maxRecipientBytes+1))
	if err != nil {
		return nil, err
	}
	if len(list) > maxRecipientBytes {
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, code: "too_large", field: "compress_to_uids"}
	}
	if push.ManyValues(list, maxValues) {
		return nil, tooManyRecipients()
	}
	var to []string
	if err := json.Unmarshal(list, &to); err != nil {
		return nil, err
	}
	return to, nil
}

// wkDisplay returns what a payload shows as, and false for one that is not for
// eyes. The payload is the app's own: JSON with a type by convention of the
// server's authors, which is all that can be relied on.
func wkDisplay(payload string, encrypted bool, language string) (string, bool) {
	genericText := models.GenericText(language)
	if encrypted {
		return genericText, true
	}
	raw, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return genericText, true
	}
	var p struct {
		Type    looseInt        `json:"type"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return genericText, true
	}
	switch p.Type {
	case wkText:
		var text string
		if json.Unmarshal(p.Content, &text) == nil {
			if text = cleanText(text); text != "" {
				return text, true
			}
		}
	case wkCommand:
		return "", false
	}
	if word, ok := wkWord(int64(p.Type), language); ok {
		return word, true
	}
	return genericText, true
}

// wkWord is what stands for a payload that is not text, in the account's language.
func wkWord(payloadType int64, language string) (string, bool) {
	words := map[int64][2]string{
		2: {"[图片]", "[Image]"}, 3: {"[动图]", "[GIF]"}, 4: {"[语音]", "[Voice]"}, 5: {"[视频]", "[Video]"},
		6: {"[位置]", "[Location]"}, 7: {"[名片]", "[Contact card]"}, 8: {"[文件]", "[File]"}, 11: {"[聊天记录]", "[Chat history]"},
		12: {"[表情]", "[Sticker]"}, 13: {"[表情]", "[Sticker]"}, 14: {"[图文]", "[Rich text]"},
	}
	w, ok := words[payloadType]
	if models.IsEnglish(language) {
		return w[1], ok
	}
	return w[0], ok
}

func (wukongIM) answer(c echo.Context, r ingestResult) error {
	return c.JSON(http.StatusOK, map[string]any{"status": "ok", "accepted": r.New, "duplicates": r.Duplicates})
}

// unauthorized answers 200: a repetition would be turned away as well.
func (wukongIM) unauthorized(c echo.Context, _ intake) error {
	return c.JSON(http.StatusOK, map[string]any{
		"status": "ignored", "error": errorBody(c, &apiError{status: http.StatusOK, code: "not_authorized"}),
	})
}

func (wukongIM) refuse(c echo.Context, e *apiError) error { return writeError(c, e) }
