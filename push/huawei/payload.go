package huawei

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// request is what messages:send takes.
type request struct {
	ValidateOnly bool    `json:"validate_only,omitempty"`
	Message      message `json:"message"`
}

type message struct {
	Token        []string      `json:"token"`
	Data         string        `json:"data,omitempty"`
	Notification *notification `json:"notification,omitempty"`
	Android      android       `json:"android"`
}

type notification struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

type android struct {
	Urgency      string         `json:"urgency"`
	Category     string         `json:"category,omitempty"`
	TTL          string         `json:"ttl,omitempty"`
	BiTag        string         `json:"bi_tag,omitempty"`
	ReceiptID    string         `json:"receipt_id,omitempty"`
	Notification *androidNotice `json:"notification,omitempty"`
}

type androidNotice struct {
	ClickAction  clickAction `json:"click_action"`
	Importance   string      `json:"importance,omitempty"`
	ChannelID    string      `json:"channel_id,omitempty"`
	NotifyID     int32       `json:"notify_id,omitempty"`
	Tag          string      `json:"tag,omitempty"`
	Group        string      `json:"group,omitempty"`
	Sound        string      `json:"sound,omitempty"`
	DefaultSound bool        `json:"default_sound,omitempty"`
	Badge        *badge      `json:"badge,omitempty"`
}

// Kinds of click_action.
const (
	clickIntent = 1
	clickOpen   = 3
)

type clickAction struct {
	Type   int    `json:"type"`
	Intent string `json:"intent,omitempty"`
}

type badge struct {
	Set   int    `json:"set_num"`
	Class string `json:"class"`
}

// maxGroup bounds the group of a notification, in bytes; Huawei states no limit.
const maxGroup = 64

// payload builds the request for targets that share a badge (-1 for none), without
// their tokens, of which first is the first.
func (s *Sender) payload(m *push.Message, first *push.Target, badgeNumber int, high bool) (*request, *push.Result) {
	data, fault := encodeData(m.Data)
	if fault != nil {
		return nil, fault
	}
	r := &request{Message: message{Token: []string{}}}
	a := &r.Message.Android
	a.Urgency = "NORMAL"
	if high {
		a.Urgency = "HIGH"
	}
	a.TTL, a.BiTag, a.ReceiptID = ttl(m.ExpiresAt, s.http.Now()), first.Ref, s.fields[fieldReceiptID]
	if len(first.Ref) > push.MaxRef {
		a.BiTag = ""
	}
	switch m.Kind {
	case push.Alert:
	case push.Silent:
		r.Message.Data = data
		if data == "" {
			r.Message.Data = "{}" // a message without data and notification is refused
		}
		return r, s.fit(r, "")
	default:
		return nil, push.BadContent("Push Kit cannot do this without showing a notification")
	}
	title, body, fault := push.AlertText(m, titleRunes, bodyRunes)
	if fault != nil {
		return nil, fault
	}
	r.Message.Notification = &notification{Title: title}
	class, fault := m.Class(push.Huawei, fields)
	if fault != nil {
		return nil, fault
	}
	a.Category = cmp.Or(class[fieldCategory], s.fields[fieldCategory])
	n, err := s.notice(m, first, data, r)
	if err != nil {
		return nil, push.BadContent("the message holds data that is not JSON")
	}
	if badgeNumber >= 0 && s.fields[fieldBadgeClass] != "" {
		n.Badge = &badge{Set: badgeNumber, Class: s.fields[fieldBadgeClass]}
	}
	n.Importance = cmp.Or(class[fieldImportance], s.fields[fieldImportance])
	a.Notification = n
	return r, s.fit(r, body)
}

// notice is what the notification does on the phone. Data goes to the app as extras of
// the intent that the operator entered, else beside the app's own start.
func (s *Sender) notice(m *push.Message, first *push.Target, data string, r *request) (*androidNotice, error) {
	n := &androidNotice{
		ClickAction: clickAction{Type: clickOpen}, ChannelID: cmp.Or(m.ChannelIDs[push.Huawei], s.fields[fieldChannelID]),
		// A later message with the same key replaces this one; without a key a
		// repeat of this very message does.
		NotifyID: push.NotifyID(first.ID), Group: push.CutBytes(m.ThreadID, maxGroup),
	}
	if m.CollapseKey != "" {
		// collapse_key stays out: it has a hundred values for all conversations, and
		// the server would drop what is waiting in another one with the same value.
		n.NotifyID = push.NotifyID(m.CollapseKey)
	}
	if address := s.fields[fieldClickIntent]; address != "" {
		intent, err := push.Intent(address, m.Data)
		if err != nil {
			return nil, err
		}
		n.ClickAction = clickAction{Type: clickIntent, Intent: intent}
	} else {
		r.Message.Data = data
	}
	switch name := soundName(m.Sound); name {
	case "":
	case "default":
		n.DefaultSound = true
	default:
		n.Sound = "/raw/" + name
	}
	return n, nil
}

// fit sets as much of the body as fits, nothing for a message without a notification.
func (s *Sender) fit(r *request, body string) *push.Result {
	set := func(body string) {
		if r.Message.Notification != nil {
			r.Message.Notification.Body = body
		}
	}
	body, fault := push.Fit(body, maxPayload, func(body string) ([]byte, error) {
		set(body)
		return push.CompactJSON(r)
	})
	set(body)
	return fault
}

// soundName is a sound file's name without its suffix, as files in raw/ are named;
// "default" for what cannot be one.
func soundName(s string) string {
	s, _, _ = strings.Cut(s, ".")
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "default"
		}
	}
	return s
}

// ttl is how long Huawei keeps the message, "" for its own default of a day.
func ttl(expires, now time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return strconv.Itoa(int(push.TTL(expires, now, time.Second, maxTTL)/time.Second)) + "s"
}

// encodeData is the custom data as a JSON object in a string, "" for none.
func encodeData(data map[string]any) (string, *push.Result) {
	if len(data) == 0 {
		return "", nil
	}
	b, err := push.CompactJSON(data)
	if err != nil || !json.Valid(b) {
		return "", push.BadContent("the message holds data that is not JSON")
	}
	return string(b), nil
}
