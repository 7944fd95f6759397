package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// huawei simulates Huawei Push Kit for HMS Core. Sources:
// [send] https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197
// [auth] https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/open-platform-oauth-0000001053629189
// [receipt] https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-receipt-api-0000001051066120
// [faq] Huawei's FAQ on common codes: an access token of app A for app B is 80200001.
type huawei struct{}

// Limits by [send]; the life of an access token by [auth].
const (
	huaweiTokens  = 1000
	huaweiPayload = 4096
	huaweiTTL     = 15 * 24 * 3600 // seconds
	huaweiLife    = time.Hour
)

// huaweiStatus is the status of HTTP with which a code comes; 400 for others. [send]
// lists the statuses, and the FAQ's examples show 200 for what concerns tokens.
func huaweiStatus(code string) int {
	switch {
	case code == "80000000", code == "80100000", code == "80300007", code == "80300002":
		return http.StatusOK
	case strings.HasPrefix(code, "8020"):
		return http.StatusUnauthorized
	case code == "80600003", code == "81000001":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

func (huawei) codes() map[string]bool {
	out := map[string]bool{"80300007": true}
	for _, c := range []string{
		"80100001", "80100002", "80100003", "80100004", "80100013", "80100016", "80100017", "80200001", "80200003",
		"80300002", "80300008", "80300010", "80300011", "80600003", "81000001", "401", "404", "500", "502", "503",
	} {
		out[c] = false
	}
	return out
}

func (h huawei) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/oauth2/v3/token" {
		s.grant(w, r, huaweiLife, "app_secret", func(what string) {
			// [auth]: error 1101 for a wrong parameter, id or secret.
			answerJSON(w, http.StatusBadRequest, map[string]any{"error": 1101, "sub_error": 20042, "error_description": "invalid " + what})
		})
		return
	}
	app, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	app, send := strings.CutSuffix(app, "/messages:send")
	if !ok || !send || app == "" || strings.Contains(app, "/") || r.Method != http.MethodPost {
		plainAnswer(w, http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	h.send(s, w, r, app)
}

// huaweiRequest is a request to messages:send, [send].
type huaweiRequest struct {
	bulk
	bare  map[string]json.RawMessage // the message's own fields
	m     huaweiMessage
	dry   bool
	extra int // bytes of the body that are tokens
}

func (h huawei) send(s *Simulator, w http.ResponseWriter, r *http.Request, app string) {
	q := &huaweiRequest{bulk: bulk{id: requestID(s.cfg.Now())}}
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
	code := h.authorize(s, r, app, &q.account)
	if code == "" {
		code = shape
	}
	if code == "" {
		code = q.check(len(body))
	}
	each, whole, err := s.judge(r.Context(), &q.bulk)
	switch {
	case err != nil:
		code = "81000001"
	case code == "" && whole == "80300011" && q.m.Android.Urgency != "HIGH":
		// [send]: the right in question is that to high priority.
	case code == "":
		code = whole
	}
	h.answer(s, w, r, q, code, each)
}

// answer records the pushes and writes what [send] has for them.
func (huawei) answer(s *Simulator, w http.ResponseWriter, r *http.Request, q *huaweiRequest, code string, each map[string]string) {
	msg := "refused"
	if code == "" {
		if code, msg = "80000000", "Success"; len(each) > 0 {
			code, msg = "80100000", huaweiPartly(q.tokens, each)
			if len(each) == len(distinct(q.tokens)) {
				code, msg = "80300007", "All the tokens are invalid"
			}
		}
	}
	status := huaweiStatus(code)
	if n := statusOf(code); n != 0 {
		status = n
	}
	if !q.dry {
		s.recordBulk(r.Context(), &q.bulk, status, func(t string) string {
			switch {
			case code == "80000000", code == "80100000" && each[t] == "":
				return ""
			case code == "80100000":
				return each[t]
			}
			return code
		})
	}
	if code != "80000000" && code != "80100000" {
		retryAfter(w, q.set)
	}
	if statusOf(code) != 0 {
		plainAnswer(w, status)
		return
	}
	answerJSON(w, status, map[string]string{"code": code, "msg": msg, "requestId": q.id})
}

// huaweiPartly is the msg of a partial failure: JSON in a string.
func huaweiPartly(tokens []string, each map[string]string) string {
	var bad []string
	for _, t := range distinct(tokens) {
		if each[t] != "" {
			bad = append(bad, t)
		}
	}
	out, _ := json.Marshal(map[string]any{"success": len(tokens) - len(bad), "failure": len(bad), "illegal_tokens": bad}) // plain types
	return string(out)
}

// distinct is a list without its repetitions.
func distinct(in []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// authorize judges the access token.
func (huawei) authorize(s *Simulator, r *http.Request, app string, into *Account) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return "80200001"
	}
	owner, known, live := s.bearer(token)
	switch {
	case !known || owner != app:
		return "80200001"
	case !live:
		return "80200003"
	}
	a, found, err := s.cfg.Accounts.Account(r.Context(), app)
	switch {
	case err != nil:
		return "80600003"
	case !found:
		return "80200001"
	}
	*into = a
	return ""
}

// huaweiEvents are the statuses of [receipt]; a tap is not reported.
func huaweiEvents() map[push.ReceiptEvent]int {
	return map[push.ReceiptEvent]int{
		push.EventArrived: 0, push.EventUninstalled: 2, push.EventNotifyOff: 6, push.EventExpired: 10,
		push.EventReplaced: 15, push.EventDropped: 102, push.EventOther: 14,
	}
}

func (huawei) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	status, ok := eventCode(huaweiEvents(), event)
	if !ok {
		return nil, false
	}
	body, _ := json.Marshal(map[string]any{"statuses": []map[string]any{{ // plain types
		"biTag": p.Param, "appid": p.Account.ID, "token": p.Token, "status": status,
		"timestamp": s.cfg.Now().UnixMilli(), "requestId": p.VendorID,
	}}})
	return huaweiReceipt(s, p, body)
}

// huaweiReceipt makes the request of a receipt, signed by [receipt] when the account
// has both a user name and a key.
func huaweiReceipt(s *Simulator, p Delivered, body []byte) (*http.Request, bool) {
	req, err := http.NewRequest(http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	user, key := p.Account.Fields["receipt_user"], []byte(p.Account.Fields["receipt_key"])
	if len(key) == 0 {
		return req, true
	}
	// A key that AppGallery Connect generated is base64 of 32 bytes and more; others
	// are the operator's own words.
	if decoded, err := base64.StdEncoding.DecodeString(string(key)); err == nil && len(decoded) >= sha256.Size {
		key = decoded
	}
	stamp := strconv.FormatInt(s.cfg.Now().UnixMilli(), 10)
	nonce := hex.EncodeToString(randomBytes(16))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(stamp))
	mac.Write([]byte(nonce))
	mac.Write([]byte(user))
	req.Header.Set("X-HUAWEI-CALLBACK-ID",
		"timestamp="+stamp+"; nonce="+nonce+"; value="+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return req, true
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return b
}
