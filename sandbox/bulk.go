package sandbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"hongyan/push"
)

// bulk is one request to several devices at Huawei and at the vendors whose services
// descend from Huawei's.
type bulk struct {
	account Account
	tokens  []string
	ref     string // comes back with receipts
	payload []byte // the message without its tokens
	id      string // the vendor's id for the request
	set     Settings
	held    time.Duration
}

// maxBulkBody bounds a request's body: a thousand tokens and a message fit well.
const maxBulkBody = 1 << 20

// errBody says that a request's body is too large or broke off.
var errBody = errors.New("sandbox: unreadable body")

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBulkBody+1))
	if err != nil || len(body) > maxBulkBody {
		return nil, errBody
	}
	return body, nil
}

// topic is the package that the app's tokens belong to; requests do not name it.
func (b *bulk) topic() string {
	if len(b.account.Packages) == 0 {
		return ""
	}
	return b.account.Packages[0]
}

// judge finds what is wrong with each token, and what is wrong with the whole request:
// states and dice that name a code of one token apply to that token, others to all.
func (s *Simulator) judge(ctx context.Context, b *bulk) (each map[string]string, whole string, err error) {
	each = map[string]string{}
	if code := b.set.roll(); code != "" && !s.known[code] {
		whole = code
	}
	for _, t := range b.tokens {
		st, err := s.tokenCode(ctx, b.topic(), t)
		if err != nil {
			return nil, "", err
		}
		code := st.Reason
		if code == "" {
			if code = b.set.roll(); !s.known[code] {
				code = ""
			}
		}
		switch {
		case code == "":
		case s.known[code]:
			each[t] = code
		case whole == "":
			whole = code
		}
	}
	return each, whole, nil
}

// recordBulk notes each device's push; code gives the answer about one token.
func (s *Simulator) recordBulk(ctx context.Context, b *bulk, status int, code func(token string) string) {
	tokens := b.tokens
	if len(tokens) == 0 {
		tokens = []string{""}
	}
	for _, t := range tokens {
		reason := code(t)
		s.record(ctx, Received{
			Topic: b.topic(), Token: t, ID: b.id, Payload: b.payload, Status: status, Reason: reason, Latency: b.held,
		})
		if reason == "" && t != "" {
			s.deliver(b.set, Delivered{Account: b.account, Token: t, VendorID: b.id, Param: b.ref, At: s.cfg.Now()})
		}
	}
}

// retryAfter puts the settings' Retry-After on an answer.
func retryAfter(w http.ResponseWriter, set Settings) {
	if set.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(set.RetryAfter.Seconds())))
	}
}

// answerJSON writes v as the answer.
func answerJSON(w http.ResponseWriter, status int, v any) {
	body, _ := json.Marshal(v) // our own plain types
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone does not matter
}

// plainAnswer writes a status with a page, as a gateway does.
func plainAnswer(w http.ResponseWriter, status int) {
	http.Error(w, http.StatusText(status), status)
}

// grant answers a token service's client_credentials request, RFC 6749 section 4.4:
// known finds the account and whether the secret is its own.
func (s *Simulator) grant(w http.ResponseWriter, r *http.Request, life time.Duration, secretField string, refuse func(what string)) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		refuse("request")
		return
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		refuse("grant_type")
		return
	}
	a, ok, err := s.cfg.Accounts.Account(r.Context(), r.PostForm.Get("client_id"))
	switch {
	case err != nil:
		plainAnswer(w, http.StatusInternalServerError)
	case !ok:
		refuse("client_id")
	case a.Fields[secretField] == "" || a.Fields[secretField] != r.PostForm.Get("client_secret"):
		refuse("client_secret")
	default:
		answerJSON(w, http.StatusOK, map[string]any{
			"access_token": s.issue(a.ID, life), "expires_in": int(life / time.Second), "token_type": "Bearer",
		})
	}
}

// withoutTokens is a request's object without its list of tokens, as it is recorded.
func withoutTokens(object map[string]json.RawMessage) []byte {
	left := map[string]json.RawMessage{}
	for k, v := range object {
		if k != "token" {
			left[k] = v
		}
	}
	out, _ := json.Marshal(left) // was read from JSON
	return out
}

// requestID makes an id as these services give them: a time and random digits.
func requestID(now time.Time) string {
	return strconv.FormatInt(now.UnixMilli(), 10) + hex.EncodeToString(randomBytes(6))
}

// statusOf is a three-digit code as a status of HTTP, 0 for another code.
func statusOf(code string) int {
	n, err := strconv.Atoi(code)
	if err != nil || n < 400 || n > 599 {
		return 0
	}
	return n
}

// eventCode finds a vendor's status for an event; false when the vendor reports none.
func eventCode(table map[push.ReceiptEvent]int, e push.ReceiptEvent) (int, bool) {
	n, ok := table[e]
	return n, ok
}
