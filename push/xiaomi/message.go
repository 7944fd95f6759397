package xiaomi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// Values of pass_through.
const (
	asNotification = "0"
	asSilent       = "1"
)

// Values of notify_type.
const (
	notifyAll   = "-1" // sound, vibration and light
	notifyLight = "4"
)

// receiptTypes asks for receipts of arrival (1), click (2), an invalid device (16),
// notifications turned off (32), a filter that did not match (64) and an exceeded
// quota (128).
const receiptTypes = "243"

// jobKeyLen is the longest jobkey in characters.
const jobKeyLen = 20

// form is the request for a message to one package, but for its registration ids.
// The first target lends its id and reference to all of them.
func (s *Sender) form(m push.Message, topic string, first push.Target) (url.Values, *push.Result) {
	v := url.Values{"restricted_package_name": {topic}}
	if topic == "" || !push.Visible(topic) {
		return nil, push.BadContent("the package name is missing or not valid")
	}
	payload := ""
	if len(m.Data) > 0 {
		data, err := json.Marshal(m.Data)
		if err != nil {
			return nil, push.BadContent("the message's data cannot be written as JSON")
		}
		payload = string(data)
	}
	switch m.Kind {
	case push.Alert:
		if fault := s.alert(v, m, topic, first); fault != nil {
			return nil, fault
		}
	case push.Silent:
		v.Set("pass_through", asSilent)
		if payload == "" {
			payload = "{}" // a silent message must have one
		}
	default:
		// The phone counts its notifications itself; nothing sets its badge.
		return nil, push.BadContent("MiPush has notifications and silent messages only")
	}
	if payload != "" {
		v.Set("payload", payload)
	}
	if fault := fits(v); fault != nil {
		return nil, fault
	}
	s.delivery(v, m, first)
	return v, nil
}

// alert adds what the phone shows.
func (s *Sender) alert(v url.Values, m push.Message, topic string, first push.Target) *push.Result {
	title, body, fault := push.AlertText(&m, maxTitle, maxDescription)
	if fault != nil {
		return fault
	}
	v.Set("pass_through", asNotification)
	v.Set("title", title)
	v.Set("description", body)
	v.Set("notify_type", notifyAll)
	v.Set("extra.notify_effect", "1") // a click opens the app, which finds the payload
	if channel := cmp.Or(m.ChannelIDs[push.Xiaomi], s.channel); channel != "" {
		v.Set("extra.channel_id", channel)
	}
	// Without a number of its own every notification of the app has number 0 and
	// replaces the one before.
	id := push.NotifyID(m.CollapseKey)
	if id == 0 {
		id = push.NotifyID(first.ID)
	}
	if id != 0 {
		v.Set("notify_id", strconv.Itoa(int(id)))
	}
	if m.Sound == "" {
		v.Set("notify_type", notifyLight)
	}
	if name := soundName(m.Sound); name != "" {
		v.Set("extra.sound_uri", "android.resource://"+topic+"/raw/"+name)
	}
	return nil
}

// soundName is the name of a sound in the app's raw folder, without its ending; ""
// for the phone's own or a name that Android does not allow.
func soundName(sound string) string {
	name := strings.TrimSuffix(sound, path.Ext(sound))
	if name == "default" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return ""
	}
	return name
}

// delivery adds how long the message lives, what keeps it from being shown twice and
// where Xiaomi reports to.
func (s *Sender) delivery(v url.Values, m push.Message, first push.Target) {
	now := s.http.Now()
	switch {
	case m.ExpiresAt.IsZero():
	case !m.ExpiresAt.After(now):
		v.Set("extra.only_send_once", "1") // to phones that are online now
	default:
		ttl := push.TTL(m.ExpiresAt, now, time.Second, maxTTL)
		v.Set("time_to_live", strconv.FormatInt(ttl.Milliseconds(), 10))
	}
	// The phone ignores a second message of the same jobkey.
	if key := jobKey(first.ID); key != "" {
		v.Set("extra.jobkey", key)
	}
	if m.ReceiptURL != "" && len(m.ReceiptURL) <= push.MaxReceiptURL {
		v.Set("extra.callback", m.ReceiptURL)
		v.Set("extra.callback.type", receiptTypes)
		if first.Ref != "" && len(first.Ref) <= push.MaxRef {
			param := first.Ref
			if tag := s.classTag(&m); tag != "" {
				param += tagMark + tag // a receipt names no channel, and each has a quota
			}
			v.Set("extra.callback.param", param)
		}
	}
}

// tagMark stands between a receipt's reference and the tag of its message's channel. It
// is in neither.
const tagMark = "."

// classTag is the message's ClassTag, "" when it chooses the credential's channel.
func (s *Sender) classTag(m *push.Message) string {
	if m.ChannelIDs[push.Xiaomi] == s.channel {
		return ""
	}
	return m.ClassTag(push.Xiaomi)
}

// jobKey shortens a message's id to what MiPush takes: letters and digits.
func jobKey(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])[:jobKeyLen]
}

// fits refuses a message over Xiaomi's limit before it is sent.
func fits(v url.Values) *push.Result {
	if len(v.Get("title"))+len(v.Get("description"))+len(v.Get("payload")) > maxMessage {
		return &push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge, Text: "the message is over 4096 bytes"}
	}
	return nil
}

// goodToken reports whether a registration id can stand in a list of them.
func goodToken(t string) bool {
	return t != "" && len(t) <= maxToken && push.Visible(t) && !strings.Contains(t, ",")
}
