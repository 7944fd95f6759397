package harmony

import (
	"strings"
	"time"

	"hongyan/push"
)

// Values of the header push-type.
const (
	typeAlert      = "0"
	typeBackground = "6"
)

// request is what messages:send takes.
type request struct {
	Payload payload `json:"payload"`
	Options options `json:"pushOptions"`
	Target  target  `json:"target"`

	pushType string
}

type payload struct {
	Notification *notification `json:"notification,omitempty"`
	// ExtraData is a background message's data.
	ExtraData string `json:"extraData,omitempty"`
}

type notification struct {
	Category     string      `json:"category"`
	Title        string      `json:"title"`
	Body         string      `json:"body"`
	NotifyID     int32       `json:"notifyId,omitempty"`
	AppMessageID string      `json:"appMessageId,omitempty"`
	ClickAction  clickAction `json:"clickAction"`
	Badge        *badge      `json:"badge,omitempty"`
	Sound        string      `json:"sound,omitempty"`
}

// Kinds of clickAction.
const (
	clickHome = 0
	clickPage = 1
)

type clickAction struct {
	ActionType int            `json:"actionType"`
	Action     string         `json:"action,omitempty"`
	URI        string         `json:"uri,omitempty"`
	Data       map[string]any `json:"data,omitempty"`
}

type badge struct {
	Set int `json:"setNum"`
}

type options struct {
	TestMessage bool   `json:"testMessage,omitempty"`
	TTL         int    `json:"ttl,omitempty"`
	BiTag       string `json:"biTag,omitempty"`
	ReceiptID   string `json:"receiptId,omitempty"`
}

type target struct {
	Token []string `json:"token"`
}

// build makes the request for targets that share a badge (-1 for none), without their
// tokens, of which first is the first.
func (s *Sender) build(m *push.Message, first *push.Target, badgeNumber int) (*request, *push.Result) {
	r := &request{pushType: typeAlert, Target: target{Token: []string{}}}
	r.Options.ReceiptID = s.fields[fieldReceiptID]
	if !m.ExpiresAt.IsZero() {
		r.Options.TTL = int(push.TTL(m.ExpiresAt, s.http.Now(), time.Second, maxTTL) / time.Second)
	}
	if len(first.Ref) <= push.MaxRef {
		r.Options.BiTag = first.Ref
	}
	switch m.Kind {
	case push.Alert:
	case push.Silent:
		r.pushType, r.Payload.ExtraData = typeBackground, "{}"
		if len(m.Data) > 0 {
			data, err := push.CompactJSON(m.Data)
			if err != nil {
				return nil, push.BadContent("the message holds data that is not JSON")
			}
			r.Payload.ExtraData = string(data)
		}
		return r, r.fit("")
	default:
		return nil, push.BadContent("Push Kit cannot do this without showing a notification")
	}
	title, body, fault := push.AlertText(m, 0, 0)
	if fault != nil {
		return nil, fault
	}
	n := &notification{
		Category: s.fields[fieldCategory], Title: push.CutBytes(title, maxPayload/4),
		// A later message with the same key replaces this one; without a key a repeat
		// of this very message does. collapseKey stays out: it has a hundred values
		// for all conversations.
		NotifyID:    push.NotifyID(m.CollapseKey),
		ClickAction: clickAction{ActionType: clickHome, Data: m.Data},
		Sound:       soundFile(m.Sound),
	}
	if n.NotifyID == 0 {
		n.NotifyID = push.NotifyID(first.ID)
	}
	if word(first.ID) && len(first.ID) <= maxID {
		// Of a request to several devices the first one's id stands for all: a repeat
		// of the request is then known on each of them.
		n.AppMessageID = first.ID
	}
	if s.fields[fieldAction] != "" || s.fields[fieldURI] != "" {
		n.ClickAction.ActionType, n.ClickAction.Action, n.ClickAction.URI = clickPage, s.fields[fieldAction], s.fields[fieldURI]
	}
	if badgeNumber >= 0 {
		n.Badge = &badge{Set: badgeNumber}
	}
	r.Payload.Notification = n
	return r, r.fit(body)
}

// fit sets as much of the body as fits, nothing for a message without a notification.
func (r *request) fit(body string) *push.Result {
	set := func(body string) {
		if r.Payload.Notification != nil {
			r.Payload.Notification.Body = body
		}
	}
	body, fault := push.Fit(body, maxPayload, func(body string) ([]byte, error) {
		set(body)
		return push.CompactJSON(r)
	})
	set(body)
	return fault
}

// soundFile is a sound's file name with its suffix, as files in rawfile/ are named; ""
// for the system's sound.
func soundFile(s string) string {
	name, suffix, ok := strings.Cut(s, ".")
	if !ok || !word(name) || !word(suffix) {
		return ""
	}
	return s
}
