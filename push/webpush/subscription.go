package webpush

import (
	"crypto/ecdh"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	lib "github.com/SherClockHolmes/webpush-go"

	"hongyan/push"
)

const (
	// maxToken and maxEndpoint bound what a browser's subscription may be; real ones
	// have 300 to 900 bytes.
	maxToken    = 8 << 10
	maxEndpoint = 2048
	// authBytes is the length of the shared secret: RFC 8291 section 3.2.
	authBytes = 16
)

// subscription is a target's address.
type subscription struct {
	lib.Subscription
	origin string // as in originOf
	url    *url.URL
}

// parseSubscription reads a token; false when it is no subscription.
func parseSubscription(token string) (*subscription, bool) {
	var s subscription
	if len(token) > maxToken || json.Unmarshal([]byte(token), &s.Subscription) != nil || len(s.Endpoint) > maxEndpoint {
		return nil, false
	}
	u, ok := address(s.Endpoint)
	if !ok {
		return nil, false
	}
	s.origin, s.url = originOf(u), u
	auth, err := decode(s.Keys.Auth)
	if err != nil || len(auth) != authBytes {
		return nil, false
	}
	key, err := decode(s.Keys.P256dh)
	if err != nil {
		return nil, false
	}
	_, err = ecdh.P256().NewPublicKey(key)
	return &s, err == nil
}

// stands reports whether the subscription names no real push service: RFC 6761 section
// 6.4 keeps this domain from ever existing.
func (s *subscription) stands() bool {
	return strings.HasSuffix(strings.ToLower(s.url.Hostname()), ".invalid")
}

// move leads the subscription to another origin.
func (s *subscription) move(to string) {
	u, err := url.Parse(to)
	if err != nil {
		return // Open has parsed it
	}
	there := *s.url
	there.Scheme, there.Host = u.Scheme, u.Host
	s.url, s.origin, s.Endpoint = &there, originOf(u), there.String()
}

// address reads an https address that names a host and nothing unusual.
func address(raw string) (*url.URL, bool) {
	if !push.Visible(raw) {
		return nil, false
	}
	u, err := url.Parse(raw)
	return u, err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && u.Opaque == "" && u.Fragment == ""
}

// originOf is scheme, host and port of an address, for comparing.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// browsers reports whether an address is at one of the browsers' push services, where
// nobody else can run a server: if it does not answer, the service does not.
func browsers(u *url.URL) bool {
	if p := u.Port(); p != "" && p != "443" {
		return false
	}
	switch host := strings.ToLower(u.Hostname()); host {
	case "fcm.googleapis.com", "web.push.apple.com", "updates.push.services.mozilla.com":
		return true
	default: // Microsoft's, of which each region has its own
		return strings.HasSuffix(host, ".notify.windows.com")
	}
}

// known reports whether an endpoint is one of the browsers' push services. Only these are
// believed when they find fault with our key or slow us down: anybody can run a server,
// subscribe with its address, and answer 403 to everything, or name another address of a
// service, which refuses every key. Microsoft's is not among them, because it answers 403
// for a subscription made with another key too.
func known(u *url.URL) bool {
	var path string
	switch host := strings.ToLower(u.Hostname()); {
	case u.Port() != "" && u.Port() != "443" || u.RawQuery != "":
		return false
	case host == "fcm.googleapis.com": // Chrome, Edge on Android, Opera, Samsung Internet
		path = `^/(fcm/send|wp|preprod/wp)/[A-Za-z0-9_:%=-]+$`
	case strings.HasSuffix(host, ".push.services.mozilla.com"):
		path = `^/wpush/v[12]/[A-Za-z0-9_:%=-]+$`
	case host == "web.push.apple.com":
		path = `^(/[A-Za-z0-9_=-]+)+$`
	default:
		return false
	}
	return regexp.MustCompile(path).MatchString(u.EscapedPath())
}
