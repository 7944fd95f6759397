package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/xmpp"
)

// xmppPath is what an XMPP IQ is posted to: below the secret, and below the root with
// the XMPP server's domain as the name of the IM app.
const xmppPath = "xmpp"

// Namespaces of a publication, and the fields of its form that have a meaning here.
const (
	nsXMPPForm        = "jabber:x:data"
	xmppFormType      = "FORM_TYPE"
	xmppSecret        = "secret"
	xmppCount         = "message-count"
	xmppSubscriptions = "pending-subscription-count"
	xmppSender        = "last-message-sender"
	xmppBody          = "last-message-body"
)

// xmppPush is a push service of XMPP (XEP-0357): the user's server publishes to the
// node that his app has enabled, which is the device's token. An error makes it forget
// the node (Prosody after 16 in a row, ejabberd at once) unless its type is wait, and
// it never repeats a request. What is published comes over the component connection
// (xmpp_component.go), or is posted as it stands.
type xmppPush struct{}

func (xmppPush) bridge() Bridge {
	return Bridge{
		ID:     "xmpp",
		Path:   xmppPath,
		Tokens: true,
		Name:   "bridges.xmpp.name",
		Help:   "bridges.xmpp.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.xmpp.step_hongyan", Code: "XMPP_COMPONENT_ADDR=127.0.0.1:5347\nXMPP_COMPONENT_DOMAIN=" + xmppDomain + "\nXMPP_COMPONENT_SECRET=<component_secret>"},
				{Text: "bridges.xmpp.step_prosody", Code: xmppProsody},
				{Text: "bridges.xmpp.step_ejabberd", Code: xmppEjabberd},
				{Text: "bridges.xmpp.step_enable", Code: xmppEnable(secretOf(address))},
				{Text: "bridges.xmpp.step_named", Code: xmppEnable("")},
				{Text: "bridges.xmpp.step_content", Code: "push_notification_with_body = true\npush_notification_with_sender = true"},
				{Text: "bridges.xmpp.step_errors"},
			}
		},
		Sample: xmppSample,
	}
}

// xmppDomain stands for the component's domain until one is configured.
const xmppDomain = "push.example.com"

const xmppProsody = `modules_enabled = { "offline", "mam", "smacks", "cloud_notify" }

Component "` + xmppDomain + `"
    component_secret = "<component_secret>"`

const xmppEjabberd = `listen:
  - port: 5347
    ip: 127.0.0.1
    module: ejabberd_service
    hosts:
      ` + xmppDomain + `:
        password: "<component_secret>"
modules:
  mod_push: {}`

// secretOf is the secret in an ingest address.
func secretOf(address string) string {
	_, rest, _ := strings.Cut(address, "/im/")
	secret, _, _ := strings.Cut(rest, "/")
	return secret
}

// xmppEnable is what the app sends after login; without a secret the domain of its
// server names the IM app.
func xmppEnable(secret string) string {
	head := `<iq type="set" id="push-1">` + "\n" + `  <enable xmlns="urn:xmpp:push:0" jid="` + xmppDomain + `" node="<device_token>"`
	if secret == "" {
		return head + "/>\n</iq>"
	}
	return head + `>
    <x xmlns="jabber:x:data" type="submit">
      <field var="FORM_TYPE"><value>http://jabber.org/protocol/pubsub#publish-options</value></field>
      <field var="secret"><value>` + secret + `</value></field>
    </x>
  </enable>
</iq>`
}

// xmppSample is Prosody's publication of spec/im.md 13 with other names.
func xmppSample(from, to, id, text string, _ time.Time) SampleRequest {
	field := func(name, value string) *xmpp.Element {
		v := xmpp.New(nsXMPPForm, "value")
		v.Text = value
		return xmpp.New(nsXMPPForm, "field", v).Set("var", name)
	}
	form := xmpp.New(nsXMPPForm, "x", field(xmppFormType, "urn:xmpp:push:summary"), field(xmppCount, "1"), field(xmppSender, from), field(xmppBody, text)).Set("type", "form")
	item := xmpp.New(xmpp.NSPubSub, "item", xmpp.New(xmpp.NSPush, "notification", form))
	iq := xmpp.New("jabber:client", "iq", xmpp.New(xmpp.NSPubSub, "pubsub", xmpp.New(xmpp.NSPubSub, "publish", item).Set("node", to)))
	iq.Set("type", "set").Set("id", id).Set("from", "localhost").Set("to", xmppDomain)
	return SampleRequest{Body: []byte(iq.String())}
}

func (xmppPush) parse(r ingestRequest) (intake, error) {
	var in intake
	iq, err := xmpp.Parse(r.body)
	switch {
	case errors.Is(err, xmpp.ErrTooLarge):
		return in, tooLarge(xmpp.MaxBytes)
	case err != nil:
		return in, &apiError{status: http.StatusBadRequest, code: "bad_xml"}
	case iq.Name.Local != "iq":
		return in, fieldError("required", "iq")
	}
	in.extra = iq
	pubsub := iq.Child(xmpp.NSPubSub, "pubsub")
	publish := pubsub.Child(xmpp.NSPubSub, "publish")
	item := publish.Child(xmpp.NSPubSub, "item")
	notification := item.Child(xmpp.NSPush, "notification")
	token := publish.Get("node")
	switch {
	case publish == nil:
		return in, fieldError("required", "publish")
	case token == "":
		return in, fieldError("required", "publish.node")
	case !validToken(token):
		return in, fieldError(codeWrongType, "publish.node")
	case notification == nil:
		return in, fieldError("required", "publish.item.notification")
	}
	m := xmppMessage(notification, r.language)
	m.Token = token
	if m.Kind != models.KindBadge { // that may come any number of times
		m.SourceID = xmppSourceID(iq, notification)
		options := xmpp.Form(pubsub.Child(xmpp.NSPubSub, "publish-options").Child(nsXMPPForm, "x"))
		passOnText(&m.Content, options, xmppFormType, xmppSecret)
	}
	in.messages = []models.Incoming{m}
	in.names = []string{xmpp.Domain(iq.Get("from"))}
	return in, nil
}

// xmppSourceID recognises a publication that comes again. An IQ's id need not differ
// from those of yesterday, so what is said is part of it.
func xmppSourceID(iq, notification *xmpp.Element) string {
	if iq.Get("id") == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{iq.Get("from"), iq.Get("id"), notification.String()}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// xmppMessage reads the summary. Without a body the text is generic: the server keeps
// it to itself.
func xmppMessage(notification *xmpp.Element, language string) models.Incoming {
	fields := map[string]string{}
	for _, c := range notification.Children {
		if c.Is(nsXMPPForm, "x") {
			for name, value := range xmpp.Form(c) {
				if _, taken := fields[name]; !taken {
					fields[name] = value
				}
			}
		}
	}
	m := models.Incoming{Kind: models.KindAlert}
	c := &m.Content
	count, err := strconv.Atoi(strings.TrimSpace(fields[xmppCount]))
	from, body := oneLine(fields[xmppSender]), xmppText(fields[xmppBody])
	waiting, _ := strconv.Atoi(fields[xmppSubscriptions]) // 0 for what is no number
	if err == nil && count == 0 && from == "" && body == "" && waiting <= 0 {
		m.Kind = models.KindBadge // read elsewhere
		c.Badge = &count
		return m
	}
	if err == nil && count > 1 {
		// Prosody says 1 whatever waits, so a 1 says nothing: our own counter knows better.
		count = min(count, models.MaxBadge)
		c.Badge = &count
	}
	m.Sender = cutRunes(xmpp.Bare(from), maxNameRunes)
	m.Conversation, c.ThreadID = m.Sender, m.Sender
	name, _, _ := strings.Cut(m.Sender, "@")
	c.Speaker = speaker(name, "")
	c.Body = models.GenericText(language)
	if body != "" {
		c.Body = withSpeaker(c.Speaker, body)
	}
	c.Sound, c.MutableContent = defaultSound, true // the app's extension may fetch what was not said
	passOnText(c, fields, xmppFormType, xmppCount, xmppBody)
	for _, e := range notification.Children {
		if !e.Is(nsXMPPForm, "x") {
			passOnText(c, map[string]string{e.Name.Local: xmppValue(e)})
		}
	}
	fitContent(c)
	return m
}

// xmppText is the body of a message, "" for what servers say in its place.
func xmppText(body string) string {
	body = cleanText(body)
	switch body {
	case "New Message!", "New message": // Prosody, ejabberd
		return ""
	}
	return body
}

// xmppValue is what the app gets of an element that is not known here: its text, or
// when there is more to it all of it.
func xmppValue(e *xmpp.Element) string {
	if len(e.Attr) == 0 && len(e.Children) == 0 {
		return e.Text
	}
	return e.String()
}

// passOnText passes on fields that are texts, but for those named.
func passOnText(c *models.Content, fields map[string]string, but ...string) {
	raw := map[string]json.RawMessage{}
	for name, value := range fields {
		if value != "" && !slices.Contains(but, name) {
			raw[name], _ = json.Marshal(value) // a string always marshals
		}
	}
	passOn(c, raw, xmppSender, xmppSubscriptions)
}

// answer is an error for a token that is dead, and for one that is unknown too: the
// app enables its node again at its next login.
func (p xmppPush) answer(c echo.Context, r ingestResult) error {
	switch r.fateOf() {
	case models.TokenDead:
		return writeXMPP(c, r.extra, &apiError{status: http.StatusNotFound, code: "dead_device"})
	case models.TokenUnknown:
		return writeXMPP(c, r.extra, &apiError{status: http.StatusNotFound, code: "unknown_device"})
	case models.TokenAlive:
	}
	return writeXMPP(c, r.extra, nil)
}

// unauthorized is an error that no server counts: it is not the device's.
func (xmppPush) unauthorized(c echo.Context, in intake) error {
	return writeXMPP(c, in.extra, &apiError{status: http.StatusForbidden, code: "not_authorized"})
}

func (xmppPush) refuse(c echo.Context, e *apiError) error {
	retryAfter(c, e)
	return writeXMPP(c, nil, e)
}

// writeXMPP answers an IQ; where it could not be read the answer names nobody.
func writeXMPP(c echo.Context, extra any, e *apiError) error {
	iq, ok := extra.(*xmpp.Element)
	if !ok {
		iq = xmpp.New("jabber:client", "iq")
	}
	if e == nil {
		return c.Blob(http.StatusOK, "application/xml; charset=utf-8", []byte(xmpp.Reply(iq, nil).String()))
	}
	return c.Blob(e.status, "application/xml; charset=utf-8", []byte(xmpp.Reply(iq, xmppError(e)).String()))
}

// xmppError is the one table from errors to XMPP's. Only what is wrong with the device
// or the request is held against the node; what the operator has to mend is not.
func xmppError(e *apiError) *xmpp.Error {
	out := &xmpp.Error{Type: xmpp.Wait, Condition: "internal-server-error", Text: e.code}
	if e.field != "" {
		out.Text += " (" + e.field + ")"
	}
	switch e.status {
	case http.StatusNotFound:
		out.Type, out.Condition = xmpp.Cancel, "item-not-found"
	case http.StatusMethodNotAllowed:
		out.Type, out.Condition = xmpp.Cancel, "feature-not-implemented"
	case http.StatusRequestEntityTooLarge:
		out.Type, out.Condition = xmpp.Modify, "policy-violation"
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		out.Type, out.Condition = xmpp.Modify, "bad-request"
	case http.StatusForbidden, http.StatusUnauthorized:
		out.Condition = "forbidden"
	case http.StatusTooManyRequests:
		out.Condition = "resource-constraint"
	case http.StatusServiceUnavailable:
		out.Condition = "service-unavailable"
	}
	return out
}

func (p xmppPush) routes(h *ingestHandler) []bridgeRoute {
	return []bridgeRoute{postNamed(h, p, "/"+xmppPath)}
}
