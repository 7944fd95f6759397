package apns

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sideshow/apns2"

	"hongyan/push"
)

// maxCollapse is the longest collapse id in bytes:
// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
const maxCollapse = 64

// Errors of building a request; they become Result.Code.
var (
	errTooLarge = errors.New("push/apns: payload too large")
	errContent  = errors.New("push/apns: content cannot be expressed")
)

// ellipsis ends a body that had to be cut.
const ellipsis = "…"

// aps is Apple's dictionary, in the order of its documentation.
type aps struct {
	Alert             *alert `json:"alert,omitempty"`
	Badge             *int   `json:"badge,omitempty"`
	Sound             any    `json:"sound,omitempty"`
	ThreadID          string `json:"thread-id,omitempty"`
	Category          string `json:"category,omitempty"`
	ContentAvailable  int    `json:"content-available,omitempty"`
	MutableContent    int    `json:"mutable-content,omitempty"`
	InterruptionLevel string `json:"interruption-level,omitempty"`
}

type alert struct {
	Title    string `json:"title,omitempty"`
	Subtitle string `json:"subtitle,omitempty"`
	Body     string `json:"body,omitempty"`
}

type criticalSound struct {
	Critical int     `json:"critical"`
	Name     string  `json:"name"`
	Volume   float64 `json:"volume"`
}

// buildPayload returns the JSON for m with the badge of one target, at most
// maxPayload bytes. The body of an alert is cut to fit; anything else too large is
// errTooLarge, and what APNs has no words for is errContent.
func buildPayload(m *push.Message, badge *int) ([]byte, error) {
	if badge == nil {
		badge = m.Badge
	}
	a, err := buildAPS(m, badge)
	if err != nil {
		return nil, err
	}
	data, err := encodeData(m.Data)
	if err != nil {
		return nil, err
	}
	out, err := encode(a, data)
	if err != nil || len(out) <= maxPayload {
		return out, err
	}
	if m.Kind != push.Alert || a.Alert.Body == "" {
		return nil, errTooLarge
	}
	return shorten(a, data, len(out))
}

func buildAPS(m *push.Message, badge *int) (*aps, error) {
	a := &aps{}
	if badge != nil {
		n := max(0, *badge)
		a.Badge = &n
	}
	switch m.Kind {
	case push.Silent:
		// A background push must not carry an alert, a badge or a sound:
		// https://developer.apple.com/documentation/usernotifications/pushing-background-updates-to-your-app
		return &aps{ContentAvailable: 1}, nil
	case push.Badge:
		if a.Badge == nil {
			return nil, errContent
		}
		return a, nil
	case push.Alert:
	default:
		return nil, errContent
	}
	if m.Title == "" && m.Subtitle == "" && m.Body == "" {
		return nil, errContent
	}
	a.Alert = &alert{Title: m.Title, Subtitle: m.Subtitle, Body: m.Body}
	a.ThreadID, a.Category = m.ThreadID, m.Category
	if m.MutableContent {
		a.MutableContent = 1
	}
	if m.Sound != "" {
		a.Sound = m.Sound
	}
	switch m.InterruptionLevel {
	case "", "passive", "active", "time-sensitive":
	case "critical":
		if m.Sound != "" {
			a.Sound = criticalSound{Critical: 1, Name: m.Sound, Volume: 1}
		}
	default:
		return nil, errContent
	}
	a.InterruptionLevel = m.InterruptionLevel
	return a, nil
}

// shorten cuts the alert's body, whose encoding makes the payload size bytes long,
// at a rune so that the payload fits.
func shorten(a *aps, data []byte, size int) ([]byte, error) {
	whole, err := push.CompactJSON(a.Alert.Body)
	if err != nil {
		return nil, errContent
	}
	room := maxPayload - (size - len(whole)) - 2 - len(ellipsis) // 2 for the quotes
	if room < push.LeastBody {
		return nil, errTooLarge
	}
	// Every rune takes at least one byte encoded, so what lies beyond room bytes
	// of the text can never fit.
	a.Alert.Body = cut(a.Alert.Body, room) + ellipsis
	out, err := encode(a, data)
	if err == nil && len(out) > maxPayload {
		return nil, errTooLarge
	}
	return out, err
}

// cut returns the longest start of s whose JSON encoding takes at most room bytes.
func cut(s string, room int) string {
	used := 0
	for i, r := range s {
		n := encodedLen(r, s[i:])
		if used+n > room {
			return s[:i]
		}
		used += n
	}
	return s
}

// encodedLen is how many bytes encoding/json, not escaping HTML, writes for r, the
// first rune of rest.
func encodedLen(r rune, rest string) int {
	switch {
	case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
		return 2
	case r < 0x20, r == '\u2028', r == '\u2029':
		return 6
	case r == utf8.RuneError:
		if _, size := utf8.DecodeRuneInString(rest); size == 1 {
			return 6 // not UTF-8: written as \ufffd
		}
		return 3
	}
	return utf8.RuneLen(r)
}

// encodeData returns the app's own keys as `,"key":value` pairs in key order.
func encodeData(data map[string]any) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	keys := make([]string, 0, len(data))
	for k := range data {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out []byte
	for _, k := range keys {
		if k == "aps" {
			return nil, errContent
		}
		key, err := push.CompactJSON(k)
		if err != nil {
			return nil, errContent
		}
		value, err := push.CompactJSON(data[k])
		if err != nil {
			return nil, errContent
		}
		out = append(append(append(append(out, ','), key...), ':'), value...)
	}
	return out, nil
}

// encode joins Apple's dictionary and the app's own keys.
func encode(a *aps, data []byte) ([]byte, error) {
	head, err := push.CompactJSON(a)
	if err != nil {
		return nil, errContent
	}
	out := make([]byte, 0, len(head)+len(data)+8)
	out = append(append(append(out, `{"aps":`...), head...), data...)
	return append(out, '}'), nil
}

// collapseID is the message's collapse key, hashed when it is longer than Apple
// takes or holds bytes a header cannot carry.
func collapseID(key string) string {
	if len(key) <= maxCollapse && headerSafe(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// headerSafe reports whether s can be a header's value: printable ASCII without
// blanks at its ends.
func headerSafe(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s == strings.TrimSpace(s)
}

// expiration is the apns-expiration header: "" for Apple's default, "0" to try once
// and never store.
func expiration(at, now time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case !at.After(now):
		return "0"
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// pushType and priority follow
// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns:
// background pushes must have priority 5.
func pushType(k push.Kind) string {
	if k == push.Silent {
		return string(apns2.PushTypeBackground)
	}
	return string(apns2.PushTypeAlert)
}

func priority(m *push.Message) string {
	if m.HighPriority && m.Kind != push.Silent {
		return strconv.Itoa(apns2.PriorityHigh)
	}
	return strconv.Itoa(apns2.PriorityLow)
}
