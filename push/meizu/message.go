package meizu

import (
	"crypto/md5" //nolint:gosec // Meizu's signature is MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"hongyan/push"
)

// Bounds and default of validTime.
const (
	leastHours   = 1
	mostHours    = 72
	defaultHours = 24
)

// message is messageJson of varnished/pushByPushId.
type message struct {
	NoticeBar  noticeBar  `json:"noticeBarInfo"`
	Click      clickType  `json:"clickTypeInfo"`
	PushTime   pushTime   `json:"pushTimeInfo"`
	Advance    advance    `json:"advanceInfo"`
	ReceiptAsk *receiptTo `json:"extra,omitempty"`
}

type noticeBar struct {
	NoticeMsgType int    `json:"noticeMsgType"`
	NoticeBarType int    `json:"noticeBarType"`
	Title         string `json:"title"`
	Content       string `json:"content"`
}

type clickType struct {
	ClickType  int               `json:"clickType"` // 0 opens the app
	Parameters map[string]string `json:"parameters,omitempty"`
}

type pushTime struct {
	OffLine   int `json:"offLine"`
	ValidTime int `json:"validTime,omitempty"`
}

type advance struct {
	Notification notification `json:"notificationType"`
	NotifyKey    string       `json:"notifyKey,omitempty"`
}

type notification struct {
	Vibrate int `json:"vibrate"`
	Lights  int `json:"lights"`
	Sound   int `json:"sound"`
}

type receiptTo struct {
	Callback string `json:"callback"`
	Param    string `json:"callback.param,omitempty"`
	Type     int    `json:"callback.type"` // 3: arrived and clicked
}

// compose makes the message that all targets share, or the result that they shall
// have because there is none.
func (s *Sender) compose(m push.Message) (message, *push.Result) {
	if m.Kind != push.Alert {
		return message{}, &push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "Meizu shows notifications only; it wakes no app and sets no badge"}
	}
	title, body, fault := push.AlertText(&m, 0, 0)
	if fault != nil {
		return message{}, fault
	}
	// The extras of the intent that opens the app. Meizu states no limit for them; its
	// 1000 bytes are those of customAttribute.
	custom, fault := push.DataLimits{}.Texts(m.Data)
	if fault != nil {
		return message{}, fault
	}
	class, refused := m.Class(push.Meizu, fields)
	if refused != nil {
		return message{}, refused
	}
	noticeType := s.noticeType
	if own := class[fieldNoticeType]; own != "" {
		noticeType = noticeTypeOf(own)
	}
	out := message{
		NoticeBar: noticeBar{NoticeMsgType: noticeType, Title: push.CutRunes(title, titleRunes), Content: push.CutRunes(body, bodyRunes)},
		Click:     clickType{Parameters: custom},
		PushTime:  validFor(m.ExpiresAt, s.http.Now()),
		Advance:   advance{NotifyKey: notifyKey(m.CollapseKey), Notification: notification{Vibrate: 1, Lights: 1, Sound: 1}},
	}
	if m.Sound == "" {
		out.Advance.Notification = notification{Lights: 1}
	}
	// An address that was not activated at Meizu makes every push fail; who calls
	// sets it only then.
	if m.ReceiptURL != "" && len(m.ReceiptURL) <= push.MaxReceiptURL {
		out.ReceiptAsk = &receiptTo{Callback: m.ReceiptURL, Type: 3}
	}
	return out, nil
}

// validFor says for how many hours Meizu keeps a message for a phone that is off; a
// message that has lost its worth is not kept.
func validFor(expires, now time.Time) pushTime {
	switch {
	case expires.IsZero():
		return pushTime{OffLine: 1, ValidTime: defaultHours}
	case !expires.After(now):
		return pushTime{OffLine: 0}
	}
	// Rounded up: a message must not be dropped before its time.
	hours := int((min(expires.Sub(now), mostHours*time.Hour) + time.Hour - 1) / time.Hour)
	return pushTime{OffLine: 1, ValidTime: max(hours, leastHours)}
}

// notifyKey makes Meizu's key of at most eight letters, digits, _ and -, under which
// the last notification alone is shown.
func notifyKey(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:maxNotifyKey]
}

// sign is Meizu's signature: the parameters in the order of their names, as they are
// before they are encoded for the form, and the secret.
func sign(params map[string]string, secret string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(params)) {
		b.WriteString(k + "=" + params[k])
	}
	b.WriteString(secret)
	sum := md5.Sum([]byte(b.String())) //nolint:gosec // Meizu's signature is MD5
	return hex.EncodeToString(sum[:])
}
