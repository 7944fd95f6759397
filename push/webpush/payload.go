package webpush

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	lib "github.com/SherClockHolmes/webpush-go"

	"hongyan/push"
)

// Errors of building a request; they become Result.Code.
var (
	errTooLarge = errors.New("push/webpush: payload too large")
	errContent  = errors.New("push/webpush: content cannot be expressed")
)

const (
	// maxTTL is what push services keep a message at most; they shorten what is longer.
	maxTTL = 28 * 24 * time.Hour
	// topicChars is the length of a Topic header: RFC 8030 section 5.4.
	topicChars = 32
	// overhead is what RFC 8188's header, its tag and the delimiter add to a message.
	overhead = 86 + 16 + 1
	// padTo is what encrypted messages are padded to a multiple of, so that their
	// length says less about their text.
	padTo = 512
)

// payload is what the service worker gets; see the package's comment.
type payload struct {
	ID     string         `json:"id,omitempty"`
	Title  string         `json:"title,omitempty"`
	Body   string         `json:"body,omitempty"`
	Tag    string         `json:"tag,omitempty"`
	Badge  *int           `json:"badge,omitempty"`
	Silent bool           `json:"silent,omitempty"`
	Thread string         `json:"thread,omitempty"`
	Data   map[string]any `json:"data,omitempty"`
}

// buildPayload returns the JSON for one target, at most maxPayload bytes. A body too
// long is cut to fit.
func buildPayload(m *push.Message, t *push.Target) ([]byte, error) {
	// A browser lets a site be woken only to show something, and takes the permission
	// away from one that does not.
	text := push.BodyText(m)
	if m.Kind != push.Alert || m.Title == "" && text == "" {
		return nil, errContent
	}
	if _, ok := m.Data["aps"]; ok {
		return nil, errContent
	}
	p := &payload{
		ID: t.ID, Title: m.Title, Body: text, Tag: m.CollapseKey, Badge: m.Badge,
		Silent: m.Sound == "", Thread: m.ThreadID, Data: m.Data,
	}
	if t.Badge != nil {
		p.Badge = t.Badge
	}
	if p.Badge != nil {
		n := max(0, *p.Badge)
		p.Badge = &n
	}
	whole, err := marshal(p)
	if err != nil || len(whole) <= maxPayload {
		return whole, err
	}
	body, err := marshal(p.Body)
	if err != nil {
		return nil, err
	}
	if p.Body = push.CutBody(p.Body, maxPayload-(len(whole)-len(body))-len(`""`)); p.Body == "" {
		return nil, errTooLarge
	}
	return marshal(p)
}

// marshal is json.Marshal without escaping <, > and &, which would cost six bytes each.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil, errContent
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// recordSize is how long the encrypted message becomes.
func recordSize(plain int) uint32 {
	n := (plain + overhead + padTo - 1) / padTo * padTo
	return min(uint32(n), lib.MaxRecordSize)
}

// topic is the Topic header, by which a message replaces one that waits: always the
// same for the same key, in the characters it may have.
func topic(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:topicChars]
}

// urgency is RFC 8030 section 5.3's.
func urgency(m *push.Message) lib.Urgency {
	switch {
	case m.HighPriority:
		return lib.UrgencyHigh
	case m.InterruptionLevel == "passive":
		return lib.UrgencyLow
	}
	return lib.UrgencyNormal
}

// ttl is the TTL header, which must be there: 0 for now or never.
func ttl(m *push.Message, now time.Time) int {
	return int(push.TTL(m.ExpiresAt, now, 0, maxTTL) / time.Second)
}

// subscriber is the subject as the library wants it, which puts "mailto:" before
// whatever is no https address.
func subscriber(subject string) string { return strings.TrimPrefix(subject, "mailto:") }
