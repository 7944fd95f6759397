package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// CallbackHeader carries the signature of Huawei's receipts, for HMS Core and HarmonyOS
// alike: https://developer.huawei.com/consumer/cn/doc/harmonyos-guides/push-msg-receipt
const CallbackHeader = "X-HUAWEI-CALLBACK-ID"

// callbackAge is how far a signature's time may lie from ours. Nothing of the body is
// signed, so an old header must not be good for ever.
const callbackAge = 10 * time.Minute

// VerifyCallback checks the value of CallbackHeader, "timestamp=…; nonce=…; value=…",
// against the user name and key entered in AppGallery Connect:
// value = Base64(HMAC-SHA256(key, timestamp + nonce + user)). It returns
// ErrReceiptForged for anything but a good and recent signature, also when no key is
// known. Keys that AppGallery Connect generates are base64 and used decoded, older
// ones as they are; which a key is cannot be seen, so either will do.
func VerifyCallback(header, user, key string, now time.Time) error {
	parts := map[string]string{}
	for part := range strings.SplitSeq(header, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			parts[k] = v
		}
	}
	signed, err := base64.StdEncoding.DecodeString(parts["value"])
	if key == "" || err != nil || len(signed) != sha256.Size || parts["nonce"] == "" || !recent(parts["timestamp"], now) {
		return ErrReceiptForged
	}
	keys := [][]byte{[]byte(key)}
	if decoded, err := base64.StdEncoding.DecodeString(key); err == nil && len(decoded) > 0 {
		keys = append(keys, decoded)
	}
	for _, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(parts["timestamp"] + parts["nonce"] + user))
		if hmac.Equal(mac.Sum(nil), signed) {
			return nil
		}
	}
	return ErrReceiptForged
}

// LooseText is a JSON string or number as text: vendors' reports mix the two. What is
// neither is an error, null is "".
type LooseText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *LooseText) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	*t = LooseText(n)
	return nil
}

// Unix reads the text as a Unix time in seconds or milliseconds; zero for anything else.
func (t LooseText) Unix() time.Time {
	n, err := strconv.ParseInt(string(t), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return UnixGuess(n)
}

// recent reports whether a Unix time, in milliseconds or seconds, lies near now.
func recent(text string, now time.Time) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return false
	}
	at := UnixGuess(n)
	return at.After(now.Add(-callbackAge)) && at.Before(now.Add(callbackAge))
}

// UnixGuess reads a Unix time that may be in seconds or in milliseconds; zero for what
// is neither.
func UnixGuess(n int64) time.Time {
	switch {
	case n <= 0 || n > 1e14:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0).UTC()
	}
	return time.UnixMilli(n).UTC()
}
