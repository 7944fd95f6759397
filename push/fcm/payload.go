package fcm

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// Errors of building a request; they become Result.Code.
var (
	errTooLarge = errors.New("push/fcm: payload too large")
	errContent  = errors.New("push/fcm: content cannot be expressed")
)

// maxTTL is how long FCM keeps a message at most:
// https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan
const maxTTL = 28 * 24 * time.Hour

// message is Google's Message without its token:
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
//
// restricted_package_name is left out on purpose: a message with a name that does not
// fit is taken and then not delivered, without a word.
type message struct {
	Notification *notification     `json:"notification,omitempty"`
	Data         map[string]string `json:"data,omitempty"`
	Android      android           `json:"android"`
}

type notification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
}

type android struct {
	Priority     string               `json:"priority"`
	TTL          string               `json:"ttl,omitempty"`
	CollapseKey  string               `json:"collapse_key,omitempty"`
	Notification *androidNotification `json:"notification,omitempty"`
}

type androidNotification struct {
	ChannelID    string `json:"channel_id,omitempty"`
	Tag          string `json:"tag,omitempty"`
	Sound        string `json:"sound,omitempty"`
	DefaultSound bool   `json:"default_sound,omitempty"`
	Count        int    `json:"notification_count,omitempty"`
	Priority     string `json:"notification_priority,omitempty"`
}

// buildMessage returns the message's JSON with the badge of one target and without its
// token, at most maxPayload bytes; that is a little stricter than Google, who counts
// the notification and the data alone. A body too long is cut to fit.
func (s *Sender) buildMessage(m *push.Message, badge *int) ([]byte, error) {
	if badge == nil {
		badge = m.Badge
	}
	out, err := s.compose(m, badge)
	if err != nil {
		return nil, err
	}
	whole, err := push.CompactJSON(out)
	if err != nil || len(whole) <= maxPayload {
		return whole, err
	}
	if out.Notification == nil || out.Notification.Body == "" {
		return nil, errTooLarge
	}
	body, err := push.CompactJSON(out.Notification.Body)
	if err != nil {
		return nil, err
	}
	out.Notification.Body = push.CutBody(out.Notification.Body, maxPayload-(len(whole)-len(body))-len(`""`))
	if out.Notification.Body == "" {
		return nil, errTooLarge
	}
	return push.CompactJSON(out)
}

func (s *Sender) compose(m *push.Message, badge *int) (*message, error) {
	out := &message{Android: android{Priority: "NORMAL", TTL: ttl(m.ExpiresAt, s.http.Now())}}
	if m.Collapses {
		// A message with a key is "collapsible", of which a device gets 20 at once and
		// then one in three minutes:
		// https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
		// For a mere repeat of a message the notification's tag is enough.
		out.Android.CollapseKey = valid(m.CollapseKey)
	}
	var err error
	if out.Data, err = data(m.Data); err != nil {
		return nil, err
	}
	if m.HighPriority && m.Kind == push.Alert {
		out.Android.Priority = "HIGH"
	}
	switch m.Kind {
	case push.Silent:
		// A message of data alone wakes the app, which shows what it likes.
		return out, nil
	case push.Alert:
	default:
		return nil, errContent // Android takes no badge without a notification
	}
	out.Notification = &notification{Title: valid(m.Title), Body: push.BodyText(m)}
	if out.Notification.Title == "" && out.Notification.Body == "" {
		return nil, errContent
	}
	n := &androidNotification{ChannelID: cmp.Or(m.ChannelIDs[push.FCM], s.channel), Tag: valid(m.CollapseKey)}
	if n.Priority, err = shownPriority(m.InterruptionLevel); err != nil {
		return nil, err
	}
	switch m.Sound {
	case "":
	case "default":
		n.DefaultSound = true
	default:
		n.Sound = valid(m.Sound)
	}
	if badge != nil {
		n.Count = min(max(*badge, 0), math.MaxInt32) // 0 is "not said" for Google
	}
	out.Android.Notification = n
	return out, nil
}

// shownPriority is how much a notification may disturb, for phones before Android 8,
// where it is not the channel that decides.
func shownPriority(level string) (string, error) {
	switch level {
	case "", "active":
		return "", nil
	case "passive":
		return "PRIORITY_LOW", nil
	case "time-sensitive", "critical":
		return "PRIORITY_HIGH", nil
	}
	return "", errContent
}

// ttl is Google's duration: "" for the default of four weeks, "0s" for now or never.
func ttl(expires, now time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return strconv.FormatInt(int64(push.TTL(expires, now, 0, maxTTL)/time.Second), 10) + "s"
}

// data is the message's data as FCM takes it. Keys that Google keeps for itself keep
// their names, inside push.DataMore.
func data(in map[string]any) (map[string]string, error) {
	if _, ok := in["aps"]; ok {
		return nil, errContent
	}
	out, fault := dataLimits().Texts(in)
	if fault != nil {
		return nil, errContent // it has no limit of its own to be over
	}
	return out, nil
}

// dataLimits: data is text only, and some keys are Google's own, see message.
func dataLimits() push.DataLimits { return push.DataLimits{Reserved: reserved} }

// reserved reports whether a key is Google's own: "from", "message_type", or any word
// that begins with "google" or "gcm".
func reserved(k string) bool {
	return k == "from" || k == "message_type" || strings.HasPrefix(k, "google") || strings.HasPrefix(k, "gcm")
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// requestBody puts a message and its token together.
func requestBody(msg []byte, token string) ([]byte, error) {
	t, err := push.CompactJSON(token)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(msg)+len(t)+24)
	out = append(append(out, `{"message":{"token":`...), t...)
	// A message always has a member: android.
	return append(append(append(out, ','), msg[1:]...), '}'), nil
}
