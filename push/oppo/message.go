package oppo

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hongyan/push"
)

// byRegistration is the target_type of a registration id.
const byRegistration = 2

// maxAppID is the longest id of ours that is sent, in bytes: a UUID fits.
const maxAppID = 64

// class is how the app's messages are classified.
type class struct {
	channel, category string
	level             int // 0 leaves it to OPPO
}

func classOf(values map[string]string) class {
	c := class{channel: values[fieldChannel], category: cmp.Or(values[fieldCategory], "IM")}
	if c.category == categoryNone {
		return class{channel: c.channel} // a level needs a category
	}
	c.level, _ = strconv.Atoi(cmp.Or(values[fieldLevel], levelDefault)) // 0 for the default
	return c
}

// classFor is the message's own class, else the credential's, whose level belongs to its
// category alone.
func (s *Sender) classFor(m *push.Message) (class, *push.Result) {
	own, fault := m.Class(push.OPPO, fields)
	if fault != nil || len(own) == 0 {
		return s.class, fault
	}
	c := s.class
	if category := own[fieldCategory]; category != "" && category != c.category {
		if c = (class{channel: c.channel}); category != categoryNone {
			c.category = category
		}
	}
	switch level := own[fieldLevel]; {
	case level == "":
	case level == levelDefault:
		c.level = 0
	case c.category == "":
		return c, push.BadClass(fieldLevel) // a level needs a category
	default:
		c.level, _ = strconv.Atoi(level) // one of the field's choices
	}
	return c, nil
}

// message is one message to one target (docMessage).
type message struct {
	TargetType   int          `json:"target_type"`
	TargetValue  string       `json:"target_value"`
	Notification notification `json:"notification"`
}

// notification is what the phone shows. Absent fields have OPPO's defaults: the
// standard style, a click opens the app.
type notification struct {
	AppMessageID     string `json:"app_message_id,omitempty"`
	Title            string `json:"title"`
	SubTitle         string `json:"sub_title,omitempty"`
	Content          string `json:"content"`
	ActionParameters string `json:"action_parameters,omitempty"`
	OffLine          bool   `json:"off_line"`
	OffLineTTL       int64  `json:"off_line_ttl,omitempty"` // seconds
	CallBackURL      string `json:"call_back_url,omitempty"`
	CallBackParam    string `json:"call_back_parameter,omitempty"`
	ChannelID        string `json:"channel_id,omitempty"`
	Category         string `json:"category,omitempty"`
	NotifyLevel      int    `json:"notify_level,omitempty"`
	NotifyID         int32  `json:"notify_id,omitempty"`
	BadgeOperation   *int   `json:"badge_operation_type,omitempty"` // 0 sets the number
	BadgeCount       *int   `json:"badge_message_count,omitempty"`
}

// notification is what all targets of a message share.
func (s *Sender) notification(m push.Message) (notification, *push.Result) {
	if m.Kind != push.Alert {
		return notification{}, push.BadContent("OPPO Push has notifications only, no silent messages")
	}
	text := m
	text.Subtitle = "" // it has a field of its own
	title, content, fault := push.AlertText(&text, maxTitle, maxContent)
	if fault != nil {
		return notification{}, fault
	}
	n := notification{
		Title: title, SubTitle: push.CutRunes(m.Subtitle, maxSubtitle), Content: content,
		ChannelID: cmp.Or(m.ChannelIDs[push.OPPO], s.class.channel),
		NotifyID:  push.NotifyID(m.CollapseKey),
	}
	if len(m.Data) > 0 {
		data, err := json.Marshal(m.Data)
		if err != nil {
			return n, push.BadContent("the message's data cannot be written as JSON")
		}
		if utf8.RuneCount(data) > maxData {
			return n, &push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge, Text: "the message's data is over 4000 characters"}
		}
		n.ActionParameters = string(data)
	}
	class, fault := s.classFor(&m)
	if fault != nil {
		return n, fault
	}
	n.Category, n.NotifyLevel = class.category, class.level
	now := s.http.Now()
	switch {
	case m.ExpiresAt.IsZero():
		n.OffLine = true
	case m.ExpiresAt.After(now):
		n.OffLine = true
		n.OffLineTTL = int64(push.TTL(m.ExpiresAt, now, time.Second, maxTTL) / time.Second)
	}
	if len(m.ReceiptURL) <= push.MaxReceiptURL {
		n.CallBackURL = m.ReceiptURL
	}
	return n, nil
}

// to addresses a copy of the notification to one target.
func (n notification) to(t push.Target, m push.Message) message {
	if len(t.ID) <= maxAppID {
		n.AppMessageID = t.ID
	}
	if n.CallBackURL != "" && len(t.Ref) <= push.MaxRef {
		n.CallBackParam = t.Ref
	}
	badge := m.Badge
	if t.Badge != nil {
		badge = t.Badge
	}
	if badge != nil && *badge >= 0 {
		set, count := 0, min(*badge, maxBadge+1)
		n.BadgeOperation, n.BadgeCount = &set, &count
	}
	return message{TargetType: byRegistration, TargetValue: t.Token, Notification: n}
}

// goodToken reports whether a registration id can be sent to.
func goodToken(t string) bool {
	return t != "" && len(t) <= maxToken && push.Visible(t) && !strings.ContainsAny(t, ",;")
}

// elsewhere reports whether a registration id is one of the other region's. One of
// China's is a single part, or has CN before the last of two or three parts, with
// underscores between them (docCodes). What has more parts is nobody's.
func elsewhere(token, region string) bool {
	parts := strings.Split(token, "_")
	if len(parts) > 3 {
		return false
	}
	china := len(parts) == 1 || parts[len(parts)-2] == "CN"
	return china != (region == regionChina)
}
