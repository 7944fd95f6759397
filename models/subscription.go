package models

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// channelWeb is Web Push, whose vendor token is a browser's subscription as JSON.
const channelWeb = "web"

// subscription is what of a browser's PushSubscription is kept: what sending needs,
// in this order.
type subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     struct {
		P256dh string `json:"p256dh"`
		Auth   string `json:"auth"`
	} `json:"keys"`
}

// CanonicalSubscription returns the one spelling of a browser's subscription: without
// spaces, without fields that sending does not need, and with its keys in base64url.
// false when the text is none.
func CanonicalSubscription(text string) (string, bool) {
	var s subscription
	if json.Unmarshal([]byte(text), &s) != nil || s.Keys.P256dh == "" || s.Keys.Auth == "" {
		return "", false
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.ContainsFunc(s.Endpoint, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false
	}
	base64url := strings.NewReplacer("+", "-", "/", "_", "=", "")
	s.Keys.P256dh, s.Keys.Auth = base64url.Replace(s.Keys.P256dh), base64url.Replace(s.Keys.Auth)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // an endpoint's & stays one byte
	if e.Encode(&s) != nil {
		return "", false
	}
	return strings.TrimSuffix(b.String(), "\n"), true
}

// ShortToken shortens a vendor token to what tells it apart without giving it away:
// its end, and for a browser's subscription the push service before it.
func ShortToken(channel, token string) string {
	const shown = 6
	host := ""
	var s subscription
	if channel == channelWeb && json.Unmarshal([]byte(token), &s) == nil {
		if u, err := url.Parse(s.Endpoint); err == nil && u.Host != "" {
			host, token = u.Host, s.Endpoint
		}
	}
	return host + "…" + token[max(0, len(token)-shown):]
}
