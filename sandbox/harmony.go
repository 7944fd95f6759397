package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"hongyan/push"
)

// harmony simulates Huawei Push Kit for HarmonyOS NEXT. Sources, all below
// https://developer.huawei.com/consumer/cn/doc/:
// [send] harmonyos-references/push-scenariozed-api-request-struct and …-request-param
// [answer] harmonyos-references/push-scenariozed-api-response
// [jwt] harmonyos-guides/push-jwt-token
// [receipt] harmonyos-references/push-msg-receipt-v2
type harmony struct{}

// Limits by [send] and [jwt].
const (
	harmonyTokens  = 1000
	harmonyTest    = 10
	harmonyForm    = 1
	harmonyPayload = 4096
	harmonyTTL     = 15 * 24 * 3600 // seconds
	harmonyLife    = 24 * time.Hour
	harmonyAud     = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"
)

// codes are those of [answer]; the words are reasons of single tokens.
func (harmony) codes() map[string]bool {
	out := map[string]bool{}
	for _, c := range strings.Fields("80100001 80100003 80100004 80100022 80200001 80200005 80300002 80300008 80300010 80300029 " +
		"80300030 80300036 80300037 81000001 401 404 500 502 503") {
		out[c] = false
	}
	for _, c := range strings.Fields("tokenFormatError noRight noPushTypeRight countryNotSupport tokenPlatformNotSupport " +
		"disableSendHuaweiMsgBecauseOfPenalty differentImgVerifyPolicy appinfoError noRightToSendThisLiveNotificationEvent " +
		"atomicUnableSendUnsubscribedMsg notSupportPlayVoice") {
		out[c] = true
	}
	return out
}

func (h harmony) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	project, ok := strings.CutPrefix(r.URL.Path, "/v3/")
	project, send := strings.CutSuffix(project, "/messages:send")
	if !ok || !send || project == "" || strings.Contains(project, "/") || r.Method != http.MethodPost {
		plainAnswer(w, http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	q := &harmonyRequest{bulk: bulk{id: requestID(s.cfg.Now())}, pushType: r.Header.Get("push-type")}
	body, err := readBody(r)
	if err != nil {
		plainAnswer(w, http.StatusRequestEntityTooLarge)
		return
	}
	shape := q.parse(body)
	first := ""
	if len(q.tokens) > 0 {
		first = q.tokens[0]
	}
	q.set = s.settingsOf(r.Context(), first)
	q.held = s.hold(r.Context(), q.set)
	code := h.authorize(s, r, project, &q.account)
	if code == "" {
		code = shape
	}
	if code == "" {
		code = q.check(len(body))
	}
	each, whole, err := s.judge(r.Context(), &q.bulk)
	if err != nil {
		code = "81000001"
	} else if code == "" {
		code = whole
	}
	h.answer(s, w, r, q, code, each)
}

// answer records the pushes and writes what [answer] has for them.
func (harmony) answer(s *Simulator, w http.ResponseWriter, r *http.Request, q *harmonyRequest, code string, each map[string]string) {
	msg := "refused"
	if code == "" {
		if code, msg = "80000000", "Success"; len(each) > 0 {
			code, msg = "80100000", harmonyPartly(q.tokens, each)
			if len(each) == len(distinct(q.tokens)) {
				code = "80300007"
			}
		}
	}
	status := huaweiStatus(code)
	if n := statusOf(code); n != 0 {
		status = n
	}
	s.recordBulk(r.Context(), &q.bulk, status, func(t string) string {
		switch {
		case code == "80000000":
			return ""
		case code == "80100000", code == "80300007":
			return each[t]
		}
		return code
	})
	if code != "80000000" && code != "80100000" {
		retryAfter(w, q.set)
	}
	if statusOf(code) != 0 {
		plainAnswer(w, status)
		return
	}
	answerJSON(w, status, map[string]string{"code": code, "msg": msg, "requestId": q.id})
}

// harmonyPartly is the msg that names the tokens of each reason: JSON in a string.
func harmonyPartly(tokens []string, each map[string]string) string {
	reasons, bad := map[string][]string{}, 0
	for _, t := range distinct(tokens) {
		if why := each[t]; why != "" {
			reasons[why] = append(reasons[why], t)
			bad++
		}
	}
	out, _ := json.Marshal(map[string]any{"success": len(tokens) - bad, "failure": bad, "illegalTokens": reasons}) // plain types
	return string(out)
}

// harmonyClaims are the parts of a token by [jwt].
type harmonyClaims struct {
	Header struct {
		Kid string `json:"kid"`
		Typ string `json:"typ"`
		Alg string `json:"alg"`
	}
	Claims struct {
		Iss string `json:"iss"`
		Aud string `json:"aud"`
		Iat int64  `json:"iat"`
		Exp int64  `json:"exp"`
	}
	signed    []byte
	signature []byte
}

// authorize judges the JWT of the request by [jwt].
func (harmony) authorize(s *Simulator, r *http.Request, project string, into *Account) string {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var c harmonyClaims
	if !ok || !c.parse(text) || c.Header.Alg != "PS256" || c.Header.Typ != "JWT" {
		return "80200001"
	}
	a, found, err := s.cfg.Accounts.Account(r.Context(), project)
	if err != nil {
		return "81000001"
	}
	if !found {
		return "80200001"
	}
	key, ok := harmonyKey(a.Fields["service_account"], project, &c)
	sum := sha256.Sum256(c.signed)
	// RFC 7518 section 3.5: the salt is as long as the digest.
	if !ok || rsa.VerifyPSS(key, crypto.SHA256, sum[:], c.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) != nil {
		return "80200001"
	}
	now := s.cfg.Now()
	switch exp := time.Unix(c.Claims.Exp, 0); {
	case c.Claims.Aud != harmonyAud || c.Claims.Iat <= 0:
		return "80200001"
	case !now.Before(exp):
		return "80200005"
	case exp.After(now.Add(harmonyLife)):
		return "80300036"
	}
	*into = a
	return ""
}

// parse takes a compact JWT apart.
func (c *harmonyClaims) parse(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	for i, into := range []any{&c.Header, &c.Claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return false
		}
	}
	var err error
	c.signature, err = base64.RawURLEncoding.DecodeString(parts[2])
	c.signed = []byte(parts[0] + "." + parts[1])
	return err == nil
}

// harmonyKey finds the public half of the key that the account was given, if the token
// names that key and account.
func harmonyKey(file, project string, c *harmonyClaims) (*rsa.PublicKey, bool) {
	var a struct {
		ProjectID string `json:"project_id"`
		KeyID     string `json:"key_id"`
		Private   string `json:"private_key"`
		Sub       string `json:"sub_account"`
	}
	if json.Unmarshal([]byte(file), &a) != nil || a.ProjectID != project || a.KeyID != c.Header.Kid || a.Sub != c.Claims.Iss {
		return nil, false
	}
	block, _ := pem.Decode([]byte(a.Private))
	if block == nil {
		return nil, false
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, false
	}
	return &key.PublicKey, true
}

func (harmony) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	result, ok := eventCode(huaweiEvents(), event)
	if !ok {
		return nil, false
	}
	pkg := ""
	if len(p.Account.Packages) > 0 {
		pkg = p.Account.Packages[0]
	}
	body, _ := json.Marshal(map[string]any{"statuses": []map[string]any{{ // plain types
		"token": p.Token, "pushType": 0, "appPackageName": pkg, "biTag": p.Param, "requestId": p.VendorID,
		"deliveryStatus": map[string]any{"result": result, "timestamp": s.cfg.Now().UnixMilli()},
	}}})
	return huaweiReceipt(s, p, body)
}
