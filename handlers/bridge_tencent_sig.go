package handlers

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// timUserSig is what a UserSig of Tencent's scheme 2.0 (HMAC-SHA256) holds.
type timUserSig struct {
	Version    string `json:"TLS.ver"`
	Identifier string `json:"TLS.identifier"`
	SDKAppID   int64  `json:"TLS.sdkappid"`
	Expire     int64  `json:"TLS.expire"`
	Time       int64  `json:"TLS.time"`
	Sig        string `json:"TLS.sig"`
	UserBuf    string `json:"TLS.userbuf,omitempty"`
}

const (
	maxUserSig      = 4 << 10
	maxUserSigPlain = 16 << 10
)

// sign returns the signature that belongs to the other fields under key.
func (u *timUserSig) sign(key string) string {
	text := "TLS.identifier:" + u.Identifier + "\nTLS.sdkappid:" + strconv.FormatInt(u.SDKAppID, 10) +
		"\nTLS.time:" + strconv.FormatInt(u.Time, 10) + "\nTLS.expire:" + strconv.FormatInt(u.Expire, 10) + "\n"
	if u.UserBuf != "" {
		text += "TLS.userbuf:" + u.UserBuf + "\n"
	}
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// readUserSig undoes the packing of a UserSig.
func readUserSig(sig string) (u timUserSig, ok bool) {
	if len(sig) > maxUserSig {
		return u, false
	}
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig))
	if err != nil {
		return u, false
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return u, false
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxUserSigPlain))
	if err != nil || json.Unmarshal(plain, &u) != nil {
		return u, false
	}
	return u, true
}

// timCheckUserSig checks who calls a REST command.
func timCheckUserSig(r ingestRequest) error {
	refuse := func(code string) error { return &apiError{status: http.StatusForbidden, code: code} }
	id := r.query.Get("sdkappid")
	if id == "" || id != strconv.FormatInt(r.sdkAppID, 10) {
		return refuse("tim_sdkappid")
	}
	u, ok := readUserSig(r.query.Get("usersig"))
	if !ok || u.Version != "2.0" {
		return refuse("tim_usersig")
	}
	// Before anything in it is believed.
	key := cmp.Or(r.sdkKey.Reveal(), r.secret)
	if !hmac.Equal([]byte(u.Sig), []byte(u.sign(key))) {
		return refuse("tim_usersig_key")
	}
	// Ends are compared as durations from the signing time: a sum could overflow.
	age := r.now.Unix() - u.Time
	switch {
	case u.SDKAppID != r.sdkAppID:
		return refuse("tim_usersig_app")
	case u.Identifier == "" || u.Identifier != r.query.Get("identifier"):
		return refuse("tim_usersig_id")
	case age > u.Expire, age < -int64(timFuture/time.Second):
		return refuse("tim_usersig_old")
	}
	return nil
}

// timFuture is how far a caller's clock may be ahead.
const timFuture = 10 * time.Minute

// timErrorCode is Tencent's number for an error; the same error has another one in
// commands about groups.
func timErrorCode(command string, e *apiError) int {
	if n, ok := timCodes()[e.code]; ok {
		if group := strings.HasPrefix(command, "v4/group_open_http_svc/"); group && n[1] != 0 {
			return n[1]
		}
		return n[0]
	}
	switch {
	case e.status >= http.StatusInternalServerError:
		return 91000 // asks to try again
	case e.code == "too_large":
		return 93000
	}
	return 90001
}

// timCodes lists Tencent's numbers by our words: in messages, and in groups where it
// differs.
func timCodes() map[string][2]int {
	return map[string][2]int{
		"bad_json": {90001, 10004}, codeWrongType: {90001, 10004}, "required": {90001, 10004},
		"unknown_command": {60009, 0}, "unknown_address": {60012, 0}, "wrong_bridge": {60012, 0}, "address_not_allowed": {60012, 0},
		"too_many_requests": {60014, 0}, "not_authorized": {90009, 10007},
		"tim_sdkappid": {60012, 0}, "tim_sign": {70009, 0}, "tim_sign_old": {70001, 0},
		"tim_usersig": {70003, 0}, "tim_usersig_key": {70009, 0}, "tim_usersig_app": {70014, 0}, "tim_usersig_id": {70013, 0}, "tim_usersig_old": {70001, 0},
		"tim_to_account": {90003, 10004}, "tim_random": {90005, 10004}, "tim_timestamp": {90006, 0}, "tim_body_array": {90007, 10004},
		"tim_from_account": {90008, 10004}, "tim_body": {90010, 10004}, "tim_many": {90011, 0}, "tim_account_bad": {90012, 0},
		"tim_life": {90026, 0}, "tim_sync": {90031, 0}, "tim_life_type": {90044, 0}, "tim_too_long": {93000, 80002},
		"tim_group_id": {10015, 10015}, "tim_group_unknown": {10010, 10010}, "tim_member_list": {10004, 10004},
		"tim_condition": {90001, 0}, "tim_tag_long": {90020, 0}, "tim_tag_twice": {90022, 0}, "tim_tags": {90032, 0}, "tim_attr": {90033, 0},
		"tim_condition_mix": {90039, 0}, "tim_tag_empty": {90040, 0}, "tim_condition_unknown": {90045, 0}, "tim_audience": {90045, 0},
		"internal": {90992, 10002},
	}
}
