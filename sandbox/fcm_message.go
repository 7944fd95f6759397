package sandbox

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of [msg] and [types].
const (
	fcmPayload = 4096
	fcmTTL     = 2419200 // four weeks in seconds
)

// fcmTokenShape: Google documents no form; every token seen is of these characters.
var fcmTokenShape = regexp.MustCompile(`^[A-Za-z0-9_:%=.-]{16,}$`)

// fcmRequestBody is the body of [send]. Google also takes the names in lowerCamelCase;
// no client known to us writes them so.
type fcmRequestBody struct {
	ValidateOnly bool       `json:"validate_only"`
	Message      fcmMessage `json:"message"`
}

// fcmMessage is [msg]. Parts for other platforms are taken as they come.
type fcmMessage struct {
	Name         string            `json:"name"`
	Token        string            `json:"token"`
	Topic        string            `json:"topic"`
	Condition    string            `json:"condition"`
	FID          string            `json:"fid"`
	Data         map[string]string `json:"data"`
	Notification *fcmNotification  `json:"notification"`
	Android      fcmAndroid        `json:"android"`
	APNs         map[string]any    `json:"apns"`
	Webpush      map[string]any    `json:"webpush"`
	Options      fcmOptions        `json:"fcm_options"`
}

type fcmNotification struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Image string `json:"image"`
}

type fcmOptions struct {
	AnalyticsLabel string `json:"analytics_label"`
}

// fcmAndroid is [msg] AndroidConfig.
type fcmAndroid struct {
	CollapseKey           string                  `json:"collapse_key"`
	Priority              string                  `json:"priority"`
	TTL                   string                  `json:"ttl"`
	RestrictedPackageName string                  `json:"restricted_package_name"`
	Data                  map[string]string       `json:"data"`
	Notification          *fcmAndroidNotification `json:"notification"`
	Options               fcmOptions              `json:"fcm_options"`
	DirectBootOK          bool                    `json:"direct_boot_ok"`
	BandwidthOK           bool                    `json:"bandwidth_constrained_ok"`
	SatelliteOK           bool                    `json:"restricted_satellite_ok"`
}

// fcmAndroidNotification is [msg] AndroidNotification.
type fcmAndroidNotification struct {
	fcmNotification
	Icon          string         `json:"icon"`
	Color         string         `json:"color"`
	Sound         string         `json:"sound"`
	Tag           string         `json:"tag"`
	ClickAction   string         `json:"click_action"`
	BodyLocKey    string         `json:"body_loc_key"`
	BodyLocArgs   []string       `json:"body_loc_args"`
	TitleLocKey   string         `json:"title_loc_key"`
	TitleLocArgs  []string       `json:"title_loc_args"`
	ChannelID     string         `json:"channel_id"`
	Ticker        string         `json:"ticker"`
	Sticky        bool           `json:"sticky"`
	EventTime     string         `json:"event_time"`
	LocalOnly     bool           `json:"local_only"`
	Priority      string         `json:"notification_priority"`
	DefaultSound  bool           `json:"default_sound"`
	DefaultBuzz   bool           `json:"default_vibrate_timings"`
	DefaultLight  bool           `json:"default_light_settings"`
	Buzz          []string       `json:"vibrate_timings"`
	Visibility    string         `json:"visibility"`
	Count         *int32         `json:"notification_count"`
	LightSettings map[string]any `json:"light_settings"`
	Proxy         string         `json:"proxy"`
}

// read parses a body as Google does: every name must be known and of its type. It
// returns what is wrong with it.
func (q *fcmRequestBody) read(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return "Invalid JSON payload received. " + strings.TrimPrefix(err.Error(), "json: ")
	}
	if d.More() {
		return "Invalid JSON payload received. Unexpected token."
	}
	return ""
}

var (
	fcmDuration = regexp.MustCompile(`^([0-9]{1,12})(\.[0-9]{1,9})?s$`)
	fcmColor    = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	fcmTopic    = regexp.MustCompile(`^(/topics/)?[a-zA-Z0-9-_.~%]+$`)
	fcmLabel    = regexp.MustCompile(`^[a-zA-Z0-9-_.~%]{1,50}$`)
)

// check returns what [msg] forbids.
func (q *fcmRequestBody) check() string {
	m := &q.Message
	if fault := m.target(); fault != "" {
		return fault
	}
	for _, d := range []map[string]string{m.Data, m.Android.Data} {
		for k := range d {
			// [msg] data: "from", "message_type", or anything that starts with google or gcm.
			if k == "" || k == "from" || k == "message_type" || strings.HasPrefix(k, "google") || strings.HasPrefix(k, "gcm") {
				return "Invalid data payload key: " + k
			}
		}
	}
	for _, label := range []string{m.Options.AnalyticsLabel, m.Android.Options.AnalyticsLabel} {
		if label != "" && !fcmLabel.MatchString(label) {
			return "Invalid analytics label"
		}
	}
	return m.Android.check()
}

// target: [msg] "Required. Target to send a message to", exactly one of them.
func (m *fcmMessage) target() string {
	n := 0
	for _, t := range []string{m.Token, m.Topic, m.Condition, m.FID} {
		if t != "" {
			n++
		}
	}
	switch {
	case n == 0:
		return "Recipient of the message is not set."
	case n > 1:
		return "Only one recipient may be set."
	case m.Topic != "" && !fcmTopic.MatchString(m.Topic):
		return "Malformed topic name"
	}
	return ""
}

func (a *fcmAndroid) check() string {
	// [msg] AndroidMessagePriority. The names of an enum are taken in either case.
	if a.Priority != "" && !slices.Contains([]string{"NORMAL", "HIGH"}, strings.ToUpper(a.Priority)) {
		return "Invalid value at 'message.android.priority'"
	}
	if a.TTL != "" {
		// [msg] ttl: "a duration in seconds with up to nine fractional digits, ending
		// with 's'", at most four weeks.
		t := fcmDuration.FindStringSubmatch(a.TTL)
		if t == nil {
			return "Invalid value at 'message.android.ttl' (Duration)"
		}
		if n, err := strconv.Atoi(t[1]); err != nil || n > fcmTTL {
			return "Invalid value at 'message.android.ttl': too long"
		}
	}
	n := a.Notification
	if n == nil {
		return ""
	}
	switch {
	case n.Color != "" && !fcmColor.MatchString(n.Color):
		return "Invalid value at 'message.android.notification.color'"
	case n.Count != nil && *n.Count < 0:
		return "Invalid value at 'message.android.notification.notification_count'"
	case n.Priority != "" && !slices.Contains([]string{"PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"}, n.Priority):
		return "Invalid value at 'message.android.notification.notification_priority'"
	case n.Visibility != "" && !slices.Contains([]string{"VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"}, n.Visibility):
		return "Invalid value at 'message.android.notification.visibility'"
	}
	return ""
}

// size is what [types] limits: "the maximum payload for both message types is 4096
// bytes", that is the text of the notification and the keys and values of the data.
func (q *fcmRequestBody) size() int {
	m := &q.Message
	n := 0
	for _, d := range []map[string]string{m.Data, m.Android.Data} {
		for k, v := range d {
			n += len(k) + len(v)
		}
	}
	if m.Notification != nil {
		n += len(m.Notification.Title) + len(m.Notification.Body) + len(m.Notification.Image)
	}
	if a := m.Android.Notification; a != nil {
		n += len(a.Title) + len(a.Body) + len(a.Image)
	}
	return n
}

// shown is the message as the phone gets it, for the record: without its token.
func (q *fcmRequestBody) shown(body []byte) []byte {
	var raw struct {
		Message map[string]json.RawMessage `json:"message"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Message == nil {
		return []byte("{}")
	}
	delete(raw.Message, "token")
	out, err := json.Marshal(raw.Message)
	if err != nil {
		return []byte("{}")
	}
	return out
}
