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

// openIM speaks to OpenIM servers in three ways, of which an operator chooses one:
// the webhook beforeOfflinePush, and the push services Getui and JPush in the form in
// which OpenIM calls them. None of the three repeats a request.
type openIM struct{}

// Paths behind the address.
const (
	openIMBefore  = "callbackBeforeOfflinePushCommand"
	openIMGetui   = "getui"
	openIMGetuiIn = openIMGetui + "/auth"
	openIMSingle  = openIMGetui + "/push/single/alias"
	openIMTask    = openIMGetui + "/push/list/message"
	openIMList    = openIMGetui + "/push/list/alias"
	openIMJPush   = "jpush/v3/push"
)

func (openIM) bridge() Bridge {
	return Bridge{
		ID: "openim", Path: "openim", Below: true,
		Name: "bridges.openim.name", Help: "bridges.openim.help",
		Setup:  openIMSetup,
		Sample: openIMSample,
	}
}

func openIMSetup(address string) []SetupStep {
	secret := addressSecret(address)
	return []SetupStep{
		{Text: "bridges.openim.step_webhook", Code: "url: \"" + address + "\"\nbeforeOfflinePush:\n  enable: true\n  timeout: 5\n  failedContinue: true"},
		{Text: "bridges.openim.step_getui", Code: "enable: \"getui\"\ngeTui:\n  pushUrl: \"" + address + "/" + openIMGetui +
			"\"\n  appKey: \"hongyan\"\n  masterSecret: \"" + secret + "\"\n  channelID: \"\"\n  channelName: \"\""},
		{Text: "bridges.openim.step_jpush", Code: "enable: \"jpush\"\njpush:\n  pushURL: \"" + address + "/" + openIMJPush +
			"\"\n  appKey: \"hongyan\"\n  masterSecret: \"" + secret + "\"\n  pushIntent: \"\""},
		{Text: "bridges.openim.step_one"},
		{Text: "bridges.openim.step_restart"},
	}
}

// openIMSample is the webhook for a text message, at the bare address.
func openIMSample(from, to, id, text string, _ time.Time) SampleRequest {
	content, _ := json.Marshal(map[string]string{"content": text}) // strings always marshal
	body, _ := json.Marshal(map[string]any{
		"callbackCommand": openIMBefore, "operationID": id, "platformID": 1, "platform": "iOS",
		"userIDList": []string{to}, "title": from, "desc": text, "clientMsgID": id, "sendID": from,
		"contentType": oimText, "sessionType": oimSingle, "content": string(content),
	})
	return SampleRequest{Body: body}
}

func (p openIM) parse(r ingestRequest) (intake, error) {
	switch r.below {
	case openIMGetuiIn, openIMSingle, openIMTask, openIMList:
		return parseGetui(r)
	case openIMJPush:
		return parseJPush(r)
	}
	return parseOpenIMHook(r)
}

// openIMQuiet marks a message that nobody is to be pushed about.
type openIMQuiet struct{}

// openIMTaken is what the webhook answers: the next code 1 stops OpenIM from pushing
// itself, 0 lets it.
func openIMTaken(taken bool) map[string]any {
	next := 0
	if taken {
		next = 1
	}
	return map[string]any{"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": next}
}

func (openIM) answer(c echo.Context, r ingestResult) error {
	if g, ok := r.extra.(getuiCall); ok {
		return g.answer(c)
	}
	if _, ok := r.extra.(jpushCall); ok {
		return answerJPush(c, r)
	}
	// Also for duplicates: the first one was taken. Where nobody is to be pushed to, or
	// the sender alone, OpenIM must not do it either.
	_, quiet := r.extra.(openIMQuiet)
	nobody := r.dropped[models.IngestSender] > 0 && r.dropped[models.IngestInvalid] == 0
	a := openIMTaken(len(r.IDs) > 0 || quiet || nobody)
	a["accepted"] = r.New
	return c.JSON(http.StatusOK, a)
}

// unauthorized lets OpenIM go on by itself, or tells it that the push failed.
func (openIM) unauthorized(c echo.Context, in intake) error {
	e := &apiError{status: http.StatusForbidden, code: "not_authorized"}
	switch in.extra.(type) {
	case getuiCall:
		return refuseGetui(c, e)
	case jpushCall:
		return refuseJPush(c, e)
	}
	a := openIMTaken(false)
	a["error"] = errorBody(c, e)
	return c.JSON(http.StatusOK, a)
}

func (openIM) refuse(c echo.Context, e *apiError) error {
	switch below(c) {
	case openIMGetuiIn, openIMSingle, openIMTask, openIMList:
		return refuseGetui(c, e)
	case openIMJPush:
		return refuseJPush(c, e)
	}
	// Whatever is not 200 OpenIM logs and then pushes by itself, as it should: nothing
	// was taken.
	a := openIMTaken(false)
	a["actionCode"], a["errCode"], a["errMsg"] = 1, e.status, errorBody(c, e).Message
	a["error"] = errorBody(c, e)
	return c.JSON(e.status, a)
}

// Values of contentType and sessionType.
const (
	oimText   = 101
	oimTyping = 113
	oimSingle = 1
)

// parseOpenIMHook reads a webhook. Only beforeOfflinePush is about offline users; the
// others are answered so that they change nothing.
func parseOpenIMHook(r ingestRequest) (intake, error) {
	var in intake
	f, err := readFields(r.body)
	if err != nil {
		return in, err
	}
	command := firstText(r.below, f.text("callbackCommand"))
	if command == "" {
		return in, fieldError("required", "callbackCommand")
	}
	kind, _ := f.num("contentType")
	if command == openIMBefore && (kind == oimTyping || f.quiet()) {
		in.extra = openIMQuiet{}
	}
	if command != openIMBefore || in.extra != nil {
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	to, ok := textList(f["userIDList"])
	if !ok {
		return in, fieldError(codeWrongType, "userIDList")
	}
	if len(to) > maxRecipients {
		return in, fieldLimit("too_many_items", "userIDList", maxRecipients)
	}
	base, fault := openIMMessage(f, r.language)
	in.fault = fault
	addressAll(&in, &base, to)
	return in, nil
}

// quiet reports whether the sender asked for no push. OpenIM's own servers then do not
// ask either; those that were changed, and middlemen, may.
func (f jsonFields) quiet() bool {
	info := f.object("offlinePushInfo")
	for _, name := range []string{"notPush", "notOfflinePush", "isOnlineOnly"} {
		if f.is(name, 1) || info.is(name, 1) {
			return true
		}
	}
	return false
}

func openIMMessage(f jsonFields, language string) (models.Incoming, string) {
	base := models.Incoming{
		SourceID: oneLine(f.text("clientMsgID")), Kind: models.KindAlert, Sender: oneLine(f.text("sendID")),
		Conversation: cutRunes(oneLine(f.text("groupID")), maxNameRunes),
	}
	if base.Conversation == "" {
		base.Conversation = cutRunes(base.Sender, maxNameRunes)
	}
	kind, _ := f.num("contentType")
	c := models.Content{
		Title: f.text("title"), Body: cleanText(f.text("desc")), Sound: push.CutBytes(oneLine(firstText(f.text("iOSPushSound"), defaultSound)), maxWordBytes),
		ThreadID: base.Conversation, KeepBadge: f.is("iOSBadgeCount", 0),
	}
	if c.Body == "" {
		c.Body = openIMWords(kind, f.text("content"), language)
	}
	fitContent(&c)
	session, _ := f.num("sessionType")
	var d appData
	d.add("client_msg_id", cutRunes(base.SourceID, models.MaxSourceID))
	d.add("ex", f.text("ex"))
	if base.Conversation != base.Sender {
		d.add("group_id", base.Conversation)
	}
	d.add("session_type", session)
	d.add("content_type", kind)
	if v, ok := plainValue(f["signalInfo"]); ok {
		d.add("signal_info", v)
	}
	// The text of the message is in content, and content may be all of it: not passed on.
	d.add("openim", f.rest("callbackCommand", "operationID", "platformID", "platform", "userIDList", "userStatus", "title", "desc", "ex",
		"iOSPushSound", "iOSBadgeCount", "signalInfo", "clientMsgID", "sendID", "groupID", "contentType", "sessionType", "content"))
	c.Data = d.m
	base.Content = c
	return base, d.fault()
}

// openIMWords is what a message without a text for its notification shows as.
func openIMWords(kind int64, content, language string) string {
	var body struct {
		Content json.RawMessage `json:"content"`
		Text    json.RawMessage `json:"text"`
	}
	switch kind {
	case oimText, 106, 114, 117, 118: // text, with mentions, reply, advanced text, markdown
		if json.Unmarshal([]byte(content), &body) == nil {
			for _, raw := range []json.RawMessage{body.Content, body.Text} {
				var s string
				if json.Unmarshal(raw, &s) == nil && cleanText(s) != "" {
					return cleanText(s)
				}
			}
		}
	}
	words := map[int64]int64{102: 2, 103: 4, 104: 5, 105: 8, 107: 11, 108: 7, 109: 6, 115: 12}
	if word, ok := wkWord(words[kind], language); ok {
		return word
	}
	return models.GenericText(language)
}

// addressSecret returns the secret of an ingest address, which stands before the
// bridge's path.
func addressSecret(address string) string {
	parts := strings.Split(address, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[len(parts)-2]
}
