package handlers

import (
	"bytes"
	"compress/flate"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// The provider endpoints authenticate twice: by the secret in the path, and as Getui
// and JPush would, with the same secret as master secret.

const (
	getuiTokenLife = 24 * time.Hour // OpenIM keeps a token for 23 hours
	getuiClockSkew = 10 * time.Minute
	maxGetuiAlias  = 1000 // OpenIM sends at most 999
	getuiTokenWord = "getui token"
	getuiTaskWord  = "getui task"
)

// getuiCall is what an answer to Getui's API needs to know.
type getuiCall struct {
	token, task string
	expires     time.Time
}

func parseGetui(r ingestRequest) (intake, error) {
	if r.below == openIMGetuiIn {
		return getuiAuth(r)
	}
	if !getuiTokenGood(r.header.Get("token"), r.secret, r.now) {
		return intake{}, &apiError{status: http.StatusUnauthorized, code: "bad_push_token"}
	}
	f, err := readFields(r.body)
	if err != nil {
		return intake{}, err
	}
	in := intake{extra: getuiCall{}}
	if r.below == openIMTask {
		draft, err := getuiDraftOf(f)
		if err != nil {
			return intake{}, err
		}
		// OpenIM gives a task no id of its own: each is a push of its own, by its time.
		draft.ID = getuiID(firstText(f.text("request_id"), strconv.FormatInt(r.now.UnixNano(), 36)), r.body)
		in.extra = getuiCall{task: sealTask(draft, r.secret)}
		return in, nil
	}
	draft, task := getuiDraft{}, f.text("taskid")
	if r.below == openIMList {
		if draft, err = openTask(task, r.secret); err != nil {
			return intake{}, err
		}
	} else if draft, err = getuiDraftOf(f); err != nil {
		return intake{}, err
	} else if request := f.text("request_id"); request != "" {
		draft.ID = getuiID(request, r.body)
	}
	to, ok := textList(f.object("audience")["alias"])
	switch {
	case !ok:
		return intake{}, fieldError(codeWrongType, "audience.alias")
	case len(to) == 0:
		return intake{}, fieldError("required", "audience.alias")
	case len(to) > maxGetuiAlias:
		return intake{}, fieldLimit("too_many_items", "audience.alias", maxGetuiAlias)
	}
	base := draft.message(r)
	in.extra = getuiCall{task: draft.ID}
	addressAll(&in, &base, to)
	return in, nil
}

// getuiAuth checks the caller's sign and gives it a token. Tokens are not stored: each
// says until when it works, signed.
func getuiAuth(r ingestRequest) (intake, error) {
	f, err := readFields(r.body)
	if err != nil {
		return intake{}, err
	}
	key, at := f.text("appkey"), f.text("timestamp")
	ms, err := strconv.ParseInt(at, 10, 64)
	sum := sha256.Sum256([]byte(key + at + r.secret))
	given := strings.ToLower(f.text("sign"))
	if err != nil || subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(given)) != 1 ||
		r.now.Sub(time.UnixMilli(ms)).Abs() > getuiClockSkew {
		return intake{}, &apiError{status: http.StatusUnauthorized, code: "bad_push_sign"}
	}
	until := r.now.Add(getuiTokenLife)
	text := strconv.FormatInt(until.Unix(), 36)
	return intake{extra: getuiCall{token: text + "." + signWord(r.secret, getuiTokenWord, text), expires: until}}, nil
}

func getuiTokenGood(token, secret string, now time.Time) bool {
	text, sign, _ := strings.Cut(token, ".")
	until, err := strconv.ParseInt(text, 36, 64)
	return err == nil && now.Unix() < until && hmac.Equal([]byte(sign), []byte(signWord(secret, getuiTokenWord, text)))
}

// signWord signs text for one use with an address's secret.
func signWord(secret, use, text string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(use + "\n" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// getuiDraft is a push without its recipients.
type getuiDraft struct {
	ID       string         `json:"i"`
	Title    string         `json:"t,omitempty"`
	Body     string         `json:"b,omitempty"`
	Sound    string         `json:"s,omitempty"`
	Category string         `json:"c,omitempty"`
	TTL      int64          `json:"l,omitempty"` // ms
	Silent   bool           `json:"q,omitempty"`
	Keep     bool           `json:"k,omitempty"`
	Data     map[string]any `json:"d,omitempty"`
}

func getuiDraftOf(f jsonFields) (getuiDraft, error) {
	message, ios := f.object("push_message"), f.object("push_channel").object("ios")
	if message == nil && ios == nil {
		return getuiDraft{}, fieldError("required", "push_message")
	}
	note, alert := message.object("notification"), ios.object("aps").object("alert")
	ups := f.object("push_channel").object("android").object("ups").object("notification")
	d := getuiDraft{
		Title: oneLine(firstText(note.text("title"), alert.text("title"), ups.text("title"))),
		Body:  cleanText(firstText(note.text("body"), alert.text("body"), ups.text("body"))),
		Sound: push.CutBytes(oneLine(firstText(ios.object("aps").text("sound"), defaultSound)), maxWordBytes),
		// APNs' category names buttons; Getui's is a class of message and stays data.
		Keep: note.is("badge_add_num", 0),
	}
	d.TTL, _ = f.object("settings").num("ttl")
	d.Silent = note == nil && alert == nil && ups == nil
	var data appData
	data.add("payload", firstText(message.text("transmission"), note.text("payload"), ios.text("payload")))
	data.add("category", note.text("category"))
	data.add("channel_id", firstText(note.text("channelID"), note.text("channel_id")))
	data.add("getui", note.rest("title", "body", "channelID", "ChannelName", "channel_id", "channel_name", "click_type", "badge_add_num", "category", "payload"))
	d.Data = data.m
	return d, nil
}

// getuiID is the id of a push. The request's alone would swallow another text of the
// same operation.
func getuiID(request string, body []byte) string {
	sum := sha256.Sum256(body)
	return push.CutBytes(oneLine(request), 64) + "-" + hex.EncodeToString(sum[:12])
}

func (d *getuiDraft) message(r ingestRequest) models.Incoming {
	c := models.Content{Title: d.Title, Body: d.Body, Sound: d.Sound, KeepBadge: d.Keep, Data: d.Data}
	m := models.Incoming{SourceID: d.ID, Kind: models.KindAlert}
	if d.Silent {
		m.Kind, c.Sound = models.KindSilent, ""
	} else if c.Title == "" && c.Body == "" {
		c.Body = models.GenericText(r.language)
	}
	if ms := min(d.TTL, models.MaxLife.Milliseconds()); ms > 0 {
		m.ExpiresAt = r.now.Add(time.Duration(ms) * time.Millisecond)
	}
	fitContent(&c)
	m.Content = c
	return m
}

// sealTask puts a push into the id by which OpenIM names it in the next request, so
// that nothing is kept between the two and any process may take the second.
func sealTask(d getuiDraft, secret string) string {
	d.Title, d.Body = cutRunes(d.Title, models.MaxTitleRunes), cutRunes(d.Body, models.MaxBodyRunes)
	plain, _ := json.Marshal(d) // texts and values that were read from JSON always marshal
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestSpeed) // the level is a valid one
	_, _ = z.Write(plain)                        // a buffer takes everything
	_ = z.Close()
	text := base64.RawURLEncoding.EncodeToString(b.Bytes())
	return text + "." + signWord(secret, getuiTaskWord, text)
}

const maxTask = 64 << 10

func openTask(task, secret string) (getuiDraft, error) {
	var d getuiDraft
	bad := fieldError("unknown_task", "taskid")
	text, sign, _ := strings.Cut(task, ".")
	if !hmac.Equal([]byte(sign), []byte(signWord(secret, getuiTaskWord, text))) {
		return d, bad
	}
	packed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return d, bad
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxTask))
	if err != nil || json.Unmarshal(plain, &d) != nil {
		return d, bad
	}
	return d, nil
}

func (g getuiCall) answer(c echo.Context) error {
	var data any = map[string]any{g.task: map[string]string{}}
	switch below(c) {
	case openIMGetuiIn:
		data = map[string]string{"token": g.token, "expire_time": strconv.FormatInt(g.expires.UnixMilli(), 10)}
	case openIMTask:
		data = map[string]string{"taskid": g.task}
	}
	return c.JSON(http.StatusOK, map[string]any{"code": 0, "msg": "success", "data": data})
}

// refuseGetui answers 200 with a code, as OpenIM reads it: 10001 makes it fetch a new
// token.
func refuseGetui(c echo.Context, e *apiError) error {
	code := 20001
	switch {
	case e.code == "bad_push_token":
		code = 10001
	case e.code == "bad_push_sign":
		code = 10003
	case e.status >= http.StatusInternalServerError:
		code = 50000
	}
	body := errorBody(c, e)
	return c.JSON(http.StatusOK, map[string]any{"code": code, "msg": body.Message, "data": map[string]any{}})
}

// jpushCall marks a request to JPush's API.
type jpushCall struct{ id string }

func parseJPush(r ingestRequest) (intake, error) {
	kind, basic, _ := strings.Cut(r.header.Get("Authorization"), " ")
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(basic))
	_, master, _ := strings.Cut(string(pair), ":")
	if err != nil || !strings.EqualFold(kind, "Basic") || subtle.ConstantTimeCompare([]byte(master), []byte(r.secret)) != 1 {
		return intake{}, &apiError{status: http.StatusUnauthorized, code: "bad_push_sign"}
	}
	f, err := readFields(r.body)
	if err != nil {
		return intake{}, err
	}
	to, ok := textList(f.object("audience")["alias"])
	switch {
	case !ok:
		return intake{}, fieldError(codeWrongType, "audience.alias")
	case len(to) == 0: // "all", tags and registration ids: OpenIM sends aliases
		return intake{}, fieldError("required", "audience.alias")
	case len(to) > maxGetuiAlias:
		return intake{}, fieldLimit("too_many_items", "audience.alias", maxGetuiAlias)
	}
	base, fault := jpushMessage(f, r)
	in := intake{extra: jpushCall{base.SourceID}, fault: fault}
	addressAll(&in, &base, to)
	return in, nil
}

func jpushMessage(f jsonFields, r ingestRequest) (models.Incoming, string) {
	note, message := f.object("notification"), f.object("message")
	ios, android := note.object("ios"), note.object("android")
	alert := ios.object("alert") // text, or an object with title and body
	extras := ios.object("extras")
	if extras == nil {
		extras = android.object("extras")
	}
	if extras == nil {
		extras = message.object("extras")
	}
	// Without an id two equal pushes are two messages: OpenIM does not repeat a request.
	id := firstText(extras.text("clientMsgID"), extras.text("ClientMsgID"), message.object("extras").text("ClientMsgID"), f.text("cid"))
	c := models.Content{
		Title: firstText(android.text("title"), alert.text("title"), message.text("title")),
		Body:  cleanText(firstText(note.text("alert"), android.text("alert"), alert.text("body"), ios.text("alert"), message.text("msg_content"))),
		Sound: push.CutBytes(oneLine(firstText(ios.text("sound"), defaultSound)), maxWordBytes), MutableContent: ios.is("mutable-content", 1),
	}
	m := models.Incoming{SourceID: oneLine(id), Kind: models.KindAlert}
	if n, ok := ios.num("badge"); ok && ios.text("badge") == strconv.FormatInt(n, 10) { // "+1" counts up, which is ours to do
		badge := int(max(0, min(n, models.MaxBadge)))
		c.Badge = &badge
	}
	if note == nil { // a message for the app alone
		m.Kind, c = models.KindSilent, models.Content{}
	} else if c.Title == "" && c.Body == "" {
		c.Body = models.GenericText(r.language)
	}
	if ttl, ok := f.object("options").num("time_to_live"); ok && ttl > 0 {
		m.ExpiresAt = r.now.Add(time.Duration(min(ttl, int64(models.MaxLife/time.Second))) * time.Second)
	}
	var d appData
	d.add("client_msg_id", cutRunes(m.SourceID, models.MaxSourceID))
	d.add("ex", extras.text("ex"))
	if m.Kind == models.KindSilent {
		d.add("message", message.rest())
	}
	d.add("extras", extras.rest("clientMsgID", "ClientMsgID", "ex"))
	c.Data = d.m
	fitContent(&c)
	m.Content = c
	return m, d.fault()
}

// answerJPush says yes with texts alone: OpenIM reads the answer as a map of texts and
// takes "0" for success.
func answerJPush(c echo.Context, r ingestResult) error {
	id := "0"
	if len(r.IDs) > 0 {
		id = r.IDs[0]
	}
	return c.JSON(http.StatusOK, map[string]string{"sendno": "0", "msg_id": id})
}

func refuseJPush(c echo.Context, e *apiError) error {
	code := 1003 // a parameter is wrong
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusNotFound:
		code = 1004
	case e.status == http.StatusForbidden:
		code = 1005
	case e.status >= http.StatusInternalServerError:
		code = 1000
	}
	return c.JSON(e.status, map[string]any{"error": map[string]any{"code": code, "message": errorBody(c, e).Message}})
}
