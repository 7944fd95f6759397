package sandbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// Apple's documents, named in the rules below:
//
//	[send]  https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
//	[reply] https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
//	[token] https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
//	[cert]  https://developer.apple.com/documentation/usernotifications/establishing-a-certificate-based-connection-to-apns

// Limits of [send].
const (
	apnsPayload     = 4096
	apnsPayloadVoIP = 5120
	apnsCollapse    = 64
)

// Reasons maps every reason of [reply] to its status. Settings.Mix takes these names.
func Reasons() map[string]int {
	return map[string]int{
		"BadCollapseId": 400, "BadDeviceToken": 400, "BadExpirationDate": 400,
		"BadMessageId": 400, "BadPriority": 400, "BadTopic": 400,
		"DeviceTokenNotForTopic": 400, "DuplicateHeaders": 400, "IdleTimeout": 400,
		"InvalidPushType": 400, "MissingDeviceToken": 400, "MissingTopic": 400,
		"PayloadEmpty": 400, "TopicDisallowed": 400,
		"BadCertificate": 403, "BadCertificateEnvironment": 403,
		"BadEnvironmentKeyInToken": 403, "ExpiredProviderToken": 403, "Forbidden": 403,
		"InvalidProviderToken": 403, "MissingProviderToken": 403, "UnrelatedKeyIdInToken": 403,
		"BadPath": 404, "MethodNotAllowed": 405,
		"ExpiredToken": 410, "Unregistered": 410,
		"PayloadTooLarge":             413,
		"TooManyProviderTokenUpdates": 429, "TooManyRequests": 429,
		"InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503,
	}
}

// TokenState is what a simulator knows about a device token.
type TokenState struct {
	// Reason refuses the token: "" when it is well, else Unregistered,
	// ExpiredToken, BadDeviceToken, DeviceTokenNotForTopic or TooManyRequests.
	Reason string
	// Since is when the token died, reported with status 410.
	Since time.Time
}

// apnsRequest is one complete request.
type apnsRequest struct {
	method, path string
	headers      map[string]string
	repeated     bool // an apns- or authorization header came twice
	body         []byte
	tooLarge     bool // the body went on beyond what is kept
	token        string
	topic        string
	// authenticated is set once the credential was found good.
	authenticated bool
}

// apnsAnswer is what goes back.
type apnsAnswer struct {
	status     int
	reason     string
	since      time.Time // with status 410
	retryAfter time.Duration
}

func (s *APNs) refuse(reason string) apnsAnswer {
	return apnsAnswer{status: s.reasons[reason], reason: reason}
}

// judge applies Apple's rules in turn and then the dice of the error mix. The
// documents give no order; credentials come first, as a real connection shows: a
// request with a good provider token and a bad device token is answered
// BadDeviceToken, one with both bad InvalidProviderToken.
func (s *APNs) judge(ctx context.Context, c *apnsConn, r *apnsRequest, set *Settings) apnsAnswer {
	if reason := set.roll(); reason != "" {
		r.authenticated = s.reasons[reason] != http.StatusForbidden
		a := s.refuse(reason)
		a.retryAfter = set.RetryAfter
		if a.status == http.StatusGone {
			a.since = s.now()
		}
		return a
	}
	for _, rule := range []func(context.Context, *apnsConn, *apnsRequest) string{
		s.checkTarget, s.checkCredential, s.checkHeaders, s.checkTopic, s.checkPayload,
	} {
		if reason := rule(ctx, c, r); reason != "" {
			return s.refuse(reason)
		}
	}
	return s.checkToken(ctx, r)
}

// checkTarget: [send] "POST /3/device/<device token>".
func (s *APNs) checkTarget(_ context.Context, _ *apnsConn, r *apnsRequest) string {
	if r.method != http.MethodPost {
		return "MethodNotAllowed"
	}
	token, ok := strings.CutPrefix(r.path, "/3/device/")
	switch {
	case r.path == "/3/device" || ok && token == "":
		return "MissingDeviceToken"
	case !ok || strings.ContainsAny(token, "/?"):
		return "BadPath"
	case r.repeated:
		return "DuplicateHeaders"
	}
	r.token = token
	return ""
}

// checkCredential: a client certificate [cert] or a provider token [token].
func (s *APNs) checkCredential(ctx context.Context, c *apnsConn, r *apnsRequest) string {
	reason := ""
	switch {
	case c.client != nil:
		reason = s.checkCertificate(c)
	case r.headers["authorization"] == "":
		reason = "MissingProviderToken"
	default:
		reason = s.checkProvider(ctx, c, r.headers["authorization"])
	}
	r.authenticated = reason == ""
	return reason
}

// checkCertificate: the certificate must be one of ours, in date, and for this service.
func (s *APNs) checkCertificate(c *apnsConn) string {
	now := s.now()
	if c.client.CheckSignatureFrom(s.ca.cert) != nil || now.Before(c.client.NotBefore) || now.After(c.client.NotAfter) {
		return "BadCertificate"
	}
	var prod, dev bool
	for _, e := range c.client.Extensions {
		prod = prod || e.Id.Equal(oidProduction)
		dev = dev || e.Id.Equal(oidDevelopment)
	}
	if (prod || dev) && (s.environment == push.Production && !prod || s.environment == push.Development && !dev) {
		return "BadCertificateEnvironment"
	}
	return ""
}

// checkHeaders: the table of request headers in [send].
func (s *APNs) checkHeaders(_ context.Context, _ *apnsConn, r *apnsRequest) string {
	h := r.headers
	if id, ok := h["apns-id"]; ok && !canonicalID(id) {
		return "BadMessageId"
	}
	if v, ok := h["apns-expiration"]; ok {
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < 0 {
			return "BadExpirationDate"
		}
	}
	if len(h["apns-collapse-id"]) > apnsCollapse {
		return "BadCollapseId"
	}
	kind, ok := h["apns-push-type"]
	if ok && !slices.Contains([]string{
		"alert", "background", "location", "voip", "complication", "fileprovider",
		"mdm", "liveactivity", "pushtotalk", "widgets", "controls",
	}, kind) {
		return "InvalidPushType"
	}
	switch p := h["apns-priority"]; {
	case p != "" && p != "1" && p != "5" && p != "10":
		return "BadPriority"
	case kind == "background" && p != "5":
		return "BadPriority" // "Always use priority 5. Using priority 10 is an error."
	}
	return ""
}

// checkTopic: [send] apns-topic. A certificate names the topic where the header
// does not.
func (s *APNs) checkTopic(ctx context.Context, c *apnsConn, r *apnsRequest) string {
	r.topic = r.headers["apns-topic"]
	var allowed []string
	if c.client != nil {
		own := subjectUID(c.client)
		if r.topic == "" {
			r.topic = own
		}
		allowed = []string{own}
	} else {
		allowed = c.topics()
	}
	switch {
	case r.topic == "":
		return "MissingTopic"
	case !validTopic(r.topic):
		return "BadTopic"
	case len(allowed) > 0 && !slices.ContainsFunc(allowed, func(a string) bool {
		return r.topic == a || strings.HasPrefix(r.topic, a+".")
	}):
		return "TopicDisallowed"
	case s.topics != nil && !s.topics(ctx, r.topic):
		return "TopicDisallowed"
	}
	return ""
}

// checkPayload: "generating a remote notification": a JSON object with an aps
// dictionary, 4 KB, or 5 KB for VoIP and Live Activities.
func (s *APNs) checkPayload(_ context.Context, _ *apnsConn, r *apnsRequest) string {
	limit := apnsPayload
	if kind := r.headers["apns-push-type"]; kind == "voip" || kind == "liveactivity" {
		limit = apnsPayloadVoIP
	}
	if r.tooLarge || len(r.body) > limit {
		return "PayloadTooLarge"
	}
	var p struct {
		APS map[string]json.RawMessage `json:"aps"`
	}
	if len(r.body) == 0 || json.Unmarshal(r.body, &p) != nil || p.APS == nil {
		return "PayloadEmpty"
	}
	return ""
}

// checkToken: [reply] BadDeviceToken, DeviceTokenNotForTopic, Unregistered,
// ExpiredToken, TooManyRequests.
func (s *APNs) checkToken(ctx context.Context, r *apnsRequest) apnsAnswer {
	raw, err := hex.DecodeString(r.token)
	if err != nil || len(raw) < 16 || strings.Trim(r.token, "0") == "" || strings.ToLower(r.token) != r.token {
		return s.refuse("BadDeviceToken")
	}
	st, err := s.tokens.Token(ctx, r.topic, r.token)
	if err != nil {
		return s.refuse("InternalServerError")
	}
	if st.Reason == "" {
		return apnsAnswer{status: http.StatusOK}
	}
	a := s.refuse(st.Reason)
	a.since = st.Since
	return a
}

var (
	idShape    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	topicShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)
)

// canonicalID: [send] "32 lowercase hexadecimal digits, displayed in five groups
// separated by hyphens in the form 8-4-4-4-12".
func canonicalID(id string) bool {
	return idShape.MatchString(id)
}

func validTopic(t string) bool {
	return len(t) <= 255 && topicShape.MatchString(t)
}
