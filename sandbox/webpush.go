package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// Documents, named in the rules of webpush*.go:
//
//	[push]  RFC 8030, Generic Event Delivery Using HTTP Push
//	[ece]   RFC 8188, Encrypted Content-Encoding for HTTP
//	[enc]   RFC 8291, Message Encryption for Web Push
//	[vapid] RFC 8292, Voluntary Application Server Identification
//	[apple] https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
//	[wns]   https://learn.microsoft.com/en-us/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers

// webPush is a browser's push service, and behind it browsers that hold the keys of
// their subscriptions (WebPushSubscription). An Account's ID is its public key.
type webPush struct{}

const (
	webPushPath = "/push/"
	// webPushBody: [push] 7.2 a service must take 4096 bytes and may refuse more.
	webPushBody = 4096
	// webPushLife: [vapid] 2 exp "MUST NOT be more than 24 hours from the time of the request".
	webPushLife = 24 * time.Hour
	// webPushSkew is how far off a clock may be. Not documented.
	webPushSkew = time.Minute
)

// webPushAnswer is a status and what services write in the body.
type webPushAnswer struct {
	status int
	body   string
}

func webPushAnswers() map[string]webPushAnswer {
	return map[string]webPushAnswer{
		"307":          {307, ""},
		"400":          {400, `{"code":400,"errno":110,"error":"Bad Request","message":"Invalid header"}`},
		"400:vapid":    {400, `{"reason":"BadJwtToken"}`},
		"401":          {401, `{"code":401,"errno":109,"error":"Unauthorized","message":"Request did not validate missing authorization header"}`},
		"403":          {403, "invalid JWT provided"},
		"key_mismatch": {403, "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n"},
		"404":          {404, `{"code":404,"errno":102,"error":"Not Found","message":"Request did not validate invalid token"}`},
		"406":          {406, ""}, // [wns] over the service's limit
		"410":          {410, "push subscription has unsubscribed or expired.\n"},
		"413":          {413, `{"code":413,"errno":104,"error":"Payload Too Large","message":"Request payload is too large"}`},
		"429":          {429, ""},
		"500":          {500, ""}, "502": {502, "<html>"}, "503": {503, ""}, "504": {504, ""},
	}
}

func (webPush) codes() map[string]bool {
	out := map[string]bool{}
	for name := range webPushAnswers() {
		out[name] = name == "404" || name == "410" || name == "key_mismatch"
	}
	return out
}

// receipt: the receipts of [push] 5.1 are offered by no browser's service.
func (webPush) receipt(*Simulator, Delivered, push.ReceiptEvent) (*http.Request, bool) {
	return nil, false
}

// webPushSeen is one request.
type webPushSeen struct {
	id    string // of the subscription
	token string // the subscription as its owner holds it
	plain []byte
}

func (v webPush) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	s.requests.Add(1)
	var q webPushSeen
	if id, ok := strings.CutPrefix(r.URL.Path, webPushPath); ok {
		q.id, q.token = id, webPushToken(s.origin(), id)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, webPushBody+1))
	if err != nil {
		return // the caller broke off
	}
	set := s.settingsOf(ctx, q.token)
	held := s.hold(ctx, set)
	name := set.roll()
	rolled := name != ""
	if !rolled {
		name = v.judge(s, r, &q, body)
	}
	a := webPushAnswer{status: http.StatusCreated}
	if name != "" {
		a = webPushAnswers()[name]
	}
	id := webPushMessageID()
	s.record(ctx, Received{
		Token: q.token, ID: id, Payload: q.plain, Status: a.status, Reason: name, Latency: held,
		Headers: map[string]string{"ttl": r.Header.Get("TTL"), "urgency": r.Header.Get("Urgency"), "topic": r.Header.Get("Topic")},
	})
	if rolled {
		retryAfter(w, set)
	}
	if name == "" {
		// [push] 5: the resource of the message, and the TTL that is kept.
		w.Header().Set("Location", s.URL()+"/m/"+id)
		w.Header().Set("TTL", r.Header.Get("TTL"))
	}
	if a.status == http.StatusTemporaryRedirect {
		w.Header().Set("Location", s.URL()+"/elsewhere")
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // a caller that went away reads nothing
}

// judge applies the rules in turn and returns a name of webPushAnswers, "" for yes.
func (v webPush) judge(s *Simulator, r *http.Request, q *webPushSeen, body []byte) string {
	key, name := v.authorized(s, r)
	if name != "" {
		return name
	}
	if name := webPushHeaders(r, body); name != "" {
		return name
	}
	owner, _, ok := strings.Cut(q.id, ".")
	if r.Method != http.MethodPost || !ok || strings.Contains(q.id, "/") {
		return "404"
	}
	// [vapid] 4.2: a subscription restricted to a key takes no other.
	if subtle.ConstantTimeCompare([]byte(owner), []byte(webPushOwner(key))) != 1 {
		return "key_mismatch"
	}
	st, err := s.tokenCode(r.Context(), "", q.token)
	switch {
	case err != nil:
		return "500"
	case st.Reason != "":
		return st.Reason
	}
	if len(body) > 0 {
		if q.plain, ok = webPushOpen(q.id, body); !ok {
			return "400" // a real service cannot see this; the browser would drop it
		}
	}
	return ""
}

var webPushTopic = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// webPushHeaders: [push] 5.2 TTL is required, 5.3 urgency, 5.4 topic, 7.2 size; [enc] 4
// the encoding.
func webPushHeaders(r *http.Request, body []byte) string {
	ttl, err := strconv.ParseInt(r.Header.Get("TTL"), 10, 32)
	topic, urgency := r.Header.Get("Topic"), r.Header.Get("Urgency")
	switch {
	case len(body) > webPushBody:
		return "413"
	case err != nil || ttl < 0:
		return "400"
	case topic != "" && !webPushTopic.MatchString(topic):
		return "400"
	case urgency != "" && urgency != "very-low" && urgency != "low" && urgency != "normal" && urgency != "high":
		return "400"
	case len(body) > 0 && r.Header.Get("Content-Encoding") != "aes128gcm":
		return "400"
	}
	return ""
}

// authorized: [vapid] 2 and 3: an ES256 token for this service, signed with the key
// beside it, of somebody who can be reached. It returns the key.
func (webPush) authorized(s *Simulator, r *http.Request) (key []byte, name string) {
	scheme, params, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "vapid") {
		return nil, "401" // [vapid] 2: absent
	}
	var t, k string
	for _, p := range strings.Split(params, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(p), "="); name {
		case "t":
			t = value
		case "k":
			k = value
		}
	}
	key, err := base64.RawURLEncoding.DecodeString(k)
	if err != nil {
		return nil, "403"
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil || !webPushSigned(t, public, s.URL(), s.cfg.Now()) {
		return nil, "403"
	}
	switch _, found, err := s.cfg.Accounts.Account(r.Context(), k); {
	case err != nil:
		return nil, "500"
	case !found:
		return nil, "key_mismatch"
	}
	return key, ""
}

// webPushSigned: [vapid] 2 aud is the service's origin, exp at most a day ahead; sub is a
// contact, which [apple] insists on.
func webPushSigned(token string, public *ecdsa.PublicKey, origin string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	var head struct{ Alg string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sig) != 64 || !decodePart(parts[0], &head) || !decodePart(parts[1], &claims) || head.Alg != "ES256" {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return false
	}
	exp := time.Unix(claims.Exp, 0)
	return claims.Aud == origin && exp.After(now.Add(-webPushSkew)) && !exp.After(now.Add(webPushLife+webPushSkew)) && webPushContact(claims.Sub)
}

func webPushContact(sub string) bool {
	if mail, ok := strings.CutPrefix(sub, "mailto:"); ok {
		name, host, ok := strings.Cut(mail, "@")
		return ok && name != "" && strings.Contains(host, ".") && !strings.ContainsAny(mail, " <>:")
	}
	u, err := url.Parse(sub)
	return err == nil && u.Scheme == "https" && strings.Contains(u.Host, ".")
}
