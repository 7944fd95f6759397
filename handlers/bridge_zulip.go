package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// zulipBase is where a Zulip server's calls stand. It resolves the path against its
// PUSH_NOTIFICATION_BOUNCER_URL, which loses any path of ours: the secret is the
// password instead, as zulip_org_key.
const (
	zulipBase   = "/api/v1/remotes/push/"
	zulipNotify = "api/v1/remotes/push/notify"
)

// What a Zulip server calls its two kinds of tokens.
const (
	zulipAndroid = "gcm"
	zulipApple   = "apns"
)

// maxZulipDevices is how many devices of a user one notification may list.
const maxZulipDevices = models.MaxUserTokens

// zulipBouncer is Zulip's push bouncer: the server registers tokens of its users here,
// and then posts notifications for users.
type zulipBouncer struct{}

func (zulipBouncer) bridge() Bridge {
	return Bridge{
		ID:     "zulip",
		Path:   zulipNotify,
		Tokens: true,
		Name:   "bridges.zulip.name",
		Help:   "bridges.zulip.help",
		Setup: func(address string) []SetupStep {
			secret, _, _ := strings.Cut(strings.TrimPrefix(address, rootOf(address)+"/im/"), "/")
			return []SetupStep{
				{Text: "bridges.zulip.step_settings", Code: "PUSH_NOTIFICATION_BOUNCER_URL = \"" + rootOf(address) + "\""},
				{Text: "bridges.zulip.step_key", Code: "zulip_org_key = " + secret},
				{Text: "bridges.zulip.step_restart", Code: "/home/zulip/deployments/current/scripts/restart-server"},
				{Text: "bridges.zulip.step_app"},
			}
		},
		Sample: zulipSample,
	}
}

func zulipSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{ // strings and ints always marshal
		"user_uuid": "sample", "android_devices": []string{}, "apple_devices": []string{to},
		"gcm_payload": map[string]any{
			"event": "message", "zulip_message_id": id, "time": now.Unix(), "sender_id": from, "sender_email": from,
			"sender_full_name": from, "content": text, "recipient_type": "private",
		},
		"apns_payload": map[string]any{"alert": map[string]string{"title": from, "body": text}, "badge": 1, "sound": "default"},
		"gcm_options":  map[string]string{"priority": "high"},
	})
	return SampleRequest{Body: body}
}

// zulipPayload is what is understood of gcm_payload; the app gets the rest as it is.
type zulipPayload struct {
	Event      looseText       `json:"event"`
	MessageID  json.RawMessage `json:"zulip_message_id"`
	SenderID   json.RawMessage `json:"sender_id"`
	Email      looseText       `json:"sender_email"`
	FullName   looseText       `json:"sender_full_name"`
	Content    looseText       `json:"content"`
	StreamID   json.RawMessage `json:"stream_id"`
	Stream     looseText       `json:"stream"`
	Topic      looseText       `json:"topic"`
	Recipients looseText       `json:"pm_users"`
}

// zulipAPNs is what is understood of apns_payload.
type zulipAPNs struct {
	Alert  json.RawMessage `json:"alert"` // a text or an object
	Badge  looseCount      `json:"badge"`
	Sound  looseText       `json:"sound"`
	Custom struct {
		Zulip struct {
			Event looseText `json:"event"`
		} `json:"zulip"`
	} `json:"custom"`
}

// parse makes a message for each device that the server lists, and one for the user,
// whose registered tokens the intake adds.
func (zulipBouncer) parse(r ingestRequest) (intake, error) {
	var in intake
	var body struct {
		UserID  json.RawMessage `json:"user_id"`
		UUID    looseText       `json:"user_uuid"`
		GCM     json.RawMessage `json:"gcm_payload"`
		APNs    json.RawMessage `json:"apns_payload"`
		Options json.RawMessage `json:"gcm_options"`
		Android []string        `json:"android_devices"`
		Apple   []string        `json:"apple_devices"`
	}
	if err := decodeJSON(r.body, &body); err != nil {
		return in, err
	}
	user, err := zulipUser(string(body.UUID), body.UserID)
	if err != nil {
		return in, err
	}
	if len(body.Android)+len(body.Apple) > maxZulipDevices {
		return in, fieldLimit("too_many_items", "android_devices", maxZulipDevices)
	}
	m, ok := zulipMessage(body.GCM, body.APNs, body.Options, r.language)
	if !ok {
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	in.user = &userMessage{account: user, base: m}
	for i, list := range [][]string{body.Android, body.Apple} {
		for _, token := range list {
			if !validToken(token) {
				in.drop(models.IngestInvalid, 1)
				continue
			}
			in.user.add(&in, models.UserToken{Kind: []string{zulipAndroid, zulipApple}[i], Token: token})
		}
	}
	return in, nil
}

// zulipUser names a user: newer servers by UUID, older ones by number.
func zulipUser(uuid string, id json.RawMessage) (string, error) {
	if uuid != "" {
		if !validAccount(uuid) {
			return "", fieldLimit("bad_account", "user_uuid", models.MaxAccountRunes)
		}
		return uuid, nil
	}
	user, err := textOrNumber("user_id", id)
	switch {
	case err != nil:
		return "", err
	case user == "":
		return "", fieldError("required", "user_uuid")
	case !validAccount(user):
		return "", fieldLimit("bad_account", "user_id", models.MaxAccountRunes)
	}
	return user, nil
}

// zulipMessage is what a notification says; false when it says nothing.
func zulipMessage(gcm, apns, options json.RawMessage, language string) (models.Incoming, bool) {
	var p zulipPayload
	var a zulipAPNs
	_ = json.Unmarshal(gcm, &p) // either payload may be missing
	_ = json.Unmarshal(apns, &a)
	m := models.Incoming{Kind: models.KindAlert}
	m.Content.Badge = a.Badge.badge()
	if p.Event == "remove" || a.Custom.Zulip.Event == "remove" {
		m.Kind = models.KindBadge // read elsewhere
		return m, m.Content.Badge != nil
	}
	if absent(gcm) && absent(apns) {
		return m, false
	}
	text := func(raw json.RawMessage) string {
		s, _ := textOrNumber("", raw) // of another type it is no id
		return oneLine(s)
	}
	m.SourceID = text(p.MessageID)
	m.Sender = cutRunes(oneLine(string(p.Email)), maxNameRunes)
	if m.Sender == "" {
		m.Sender = cutRunes(text(p.SenderID), maxNameRunes)
	}
	m.Conversation = m.Sender
	if id := text(p.StreamID); id != "" {
		m.Conversation = id + "/" + oneLine(string(p.Topic))
	} else if p.Recipients != "" {
		m.Conversation = oneLine(string(p.Recipients))
	}
	m.Conversation = cutRunes(m.Conversation, maxNameRunes)
	m.Content.ThreadID = m.Conversation
	zulipText(&m.Content, &p, &a, language)
	var o struct {
		Priority looseText `json:"priority"`
	}
	_ = json.Unmarshal(options, &o)
	m.Content.LowPriority = o.Priority == "normal"
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(gcm, &fields)
	delete(fields, "content")
	passOn(&m.Content, fields, "event", "zulip_message_id", "server", "realm_id", "realm_url", "realm_uri", "user_id", "recipient_type", "stream_id", "topic", "pm_users")
	return m, true
}

// zulipText takes the words that the server chose for APNs, else composes them.
func zulipText(c *models.Content, p *zulipPayload, a *zulipAPNs, language string) {
	var alert struct {
		Title    looseText `json:"title"`
		Subtitle looseText `json:"subtitle"`
		Body     looseText `json:"body"`
	}
	if json.Unmarshal(a.Alert, &alert) != nil {
		_ = alert.Body.UnmarshalJSON(a.Alert)
	}
	c.Speaker = speaker(string(p.FullName), string(p.Stream))
	c.Title, c.Subtitle, c.Body = string(alert.Title), string(alert.Subtitle), cleanText(string(alert.Body))
	if c.Body == "" {
		c.Body = cleanText(string(p.Content))
		if c.Body != "" && oneLine(c.Title) == "" {
			c.Body = withSpeaker(c.Speaker, c.Body)
		}
	}
	if c.Body == "" {
		c.Body = models.GenericText(language)
	}
	c.Sound = defaultSound
	if a.Sound != "" {
		c.Sound = push.CutBytes(oneLine(string(a.Sound)), maxWordBytes)
	}
	fitContent(c)
}

// userMessage is a message for a user whose tokens the IM server has registered.
type userMessage struct {
	account string
	base    models.Incoming
}

// add makes the message for one device, once.
func (u *userMessage) add(in *intake, token models.UserToken) {
	if slices.ContainsFunc(in.messages, func(m models.Incoming) bool { return m.Token == token.Token }) {
		return
	}
	one := u.base
	one.Token = token.Token
	in.messages = append(in.messages, one)
	in.kinds = append(in.kinds, token.Kind)
}

// addUserTokens adds the devices that the IM server has registered for a user.
func (h *ingestHandler) addUserTokens(ctx context.Context, in models.Ingest, got *intake) error {
	tokens, err := h.Ingest.UserTokens(ctx, in, got.user.account)
	for _, t := range tokens {
		got.user.add(got, t)
	}
	return err
}

// dropDeadTokens forgets the tokens of a user whose devices are gone.
func (h *ingestHandler) dropDeadTokens(ctx context.Context, in models.Ingest, r *ingestResult) error {
	var dead []models.UserToken
	for i, fate := range r.fates {
		if fate == models.TokenDead {
			dead = append(dead, models.UserToken{Kind: r.kinds[i], Token: r.messages[i].Token})
		}
	}
	if len(dead) == 0 {
		return nil
	}
	_, err := h.Ingest.DropUserTokens(ctx, in, r.user.account, dead...)
	return err
}

func (zulipBouncer) answer(c echo.Context, r ingestResult) error {
	total := map[string]int{}
	deleted := map[string][]string{zulipAndroid: {}, zulipApple: {}}
	for i, fate := range r.fates {
		switch fate {
		case models.TokenAlive:
			total[r.kinds[i]]++
		case models.TokenDead:
			deleted[r.kinds[i]] = append(deleted[r.kinds[i]], r.messages[i].Token)
		case models.TokenUnknown: // kept: the app may register with Hongyan yet
		}
	}
	return c.JSON(http.StatusOK, map[string]any{
		"result": "success", "msg": "", "total_android_devices": total[zulipAndroid], "total_apple_devices": total[zulipApple],
		"deleted_devices": map[string]any{"android_devices": deleted[zulipAndroid], "apple_devices": deleted[zulipApple]},
		"realm":           nil,
	})
}

func (p zulipBouncer) unauthorized(c echo.Context, _ intake) error {
	return p.refuse(c, &apiError{status: http.StatusForbidden, code: "not_authorized"})
}

func (zulipBouncer) refuse(c echo.Context, e *apiError) error {
	retryAfter(c, e)
	code := strings.ToUpper(e.code)
	if e.status == http.StatusUnauthorized {
		code = "INVALID_ZULIP_SERVER"
	}
	return c.JSON(e.status, map[string]string{"result": "error", "code": code, "msg": errorBody(c, e).Message})
}

func (p zulipBouncer) routes(h *ingestHandler) []bridgeRoute {
	post := func(path string, do func(echo.Context, models.Ingest) error) bridgeRoute {
		return bridgeRoute{method: http.MethodPost, path: zulipBase + path, root: true, handler: h.zulip(p, do)}
	}
	return []bridgeRoute{
		post("notify", func(c echo.Context, in models.Ingest) error { return h.serve(c, p, in) }),
		post("register", func(c echo.Context, in models.Ingest) error { return h.zulipRegister(c, p, in, true) }),
		post("unregister", func(c echo.Context, in models.Ingest) error { return h.zulipRegister(c, p, in, false) }),
		post("unregister/all", func(c echo.Context, in models.Ingest) error { return h.zulipForget(c, p, in) }),
	}
}

// zulip finds the IM app by the password, which is its ingest secret.
func (h *ingestHandler) zulip(p zulipBouncer, do func(echo.Context, models.Ingest) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		_, secret, _ := c.Request().BasicAuth()
		in, err := h.authenticateSecret(c, secret)
		switch {
		case err != nil && apiErrorOf(err).status == http.StatusNotFound, err == nil && in.Bridge() != p.bridge().ID:
			return p.refuse(c, &apiError{status: http.StatusUnauthorized, code: "unauthorized"})
		case err != nil:
			return h.refuse(c, p, err)
		}
		return do(c, in)
	}
}

// zulipToken is a registration, of which older servers send a form and newer JSON.
func (h *ingestHandler) zulipToken(c echo.Context, p zulipBouncer, in models.Ingest) (user string, token models.UserToken, err error) {
	if err := h.allowed(c, in); err != nil {
		return "", token, err
	}
	r, err := h.request(c, p, "")
	if err != nil {
		return "", token, err
	}
	return readZulipToken(c.Request().Header.Get(echo.HeaderContentType), r.body)
}

func (h *ingestHandler) zulipRegister(c echo.Context, p zulipBouncer, in models.Ingest, on bool) error {
	about(in, models.ArrivalToken)
	user, token, err := h.zulipToken(c, p, in)
	switch {
	case err != nil:
	case token.Token == "":
		err = fieldError("required", "token")
	case on:
		err = h.Ingest.AddUserToken(c.Request().Context(), in, user, token)
	default:
		var n int64
		if n, err = h.Ingest.DropUserTokens(c.Request().Context(), in, user, token); err == nil && n == 0 {
			err = &apiError{status: http.StatusBadRequest, code: "unknown_token"}
		}
	}
	if err != nil {
		return h.refuse(c, p, err)
	}
	return c.JSON(http.StatusOK, map[string]string{"result": "success", "msg": ""})
}

func (h *ingestHandler) zulipForget(c echo.Context, p zulipBouncer, in models.Ingest) error {
	about(in, models.ArrivalToken)
	user, _, err := h.zulipToken(c, p, in)
	if err == nil {
		_, err = h.Ingest.DropUserTokens(c.Request().Context(), in, user)
	}
	if err != nil {
		return h.refuse(c, p, err)
	}
	return c.JSON(http.StatusOK, map[string]string{"result": "success", "msg": ""})
}
