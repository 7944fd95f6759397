package meizu

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"hongyan/push"
)

// maxWord bounds a message id and a code that are kept.
const maxWord = 64

// answer is what Meizu says.
type answer struct {
	code, message, msgID string
	// bad is what Meizu says of single devices: pushId → code.
	bad map[string]string
}

// read decodes an answer; false when it is not Meizu's, or says of single devices
// what cannot be made out.
func read(r push.Reply) (answer, bool) {
	var in struct {
		Code    word            `json:"code"`
		Message string          `json:"message"`
		MsgID   word            `json:"msgId"`
		Value   json.RawMessage `json:"value"`
	}
	if json.Unmarshal(r.Body, &in) != nil || !isCode(string(in.Code)) {
		return answer{}, false
	}
	a := answer{code: string(in.Code), message: in.Message, msgID: string(in.MsgID)}
	if len(a.msgID) > maxWord {
		a.msgID = a.msgID[:maxWord]
	}
	if a.code != codeOK {
		return a, true // value says no more
	}
	bad, ok := readValue(in.Value)
	a.bad = bad
	return a, ok && r.Status == http.StatusOK
}

// readValue reads value, which is empty, or an object: by [api] from a code to its
// pushIds, but answers from a pushId to its code have been seen too.
func readValue(raw json.RawMessage) (map[string]string, bool) {
	raw = bytes.TrimSpace(raw)
	switch string(raw) {
	case "", "null", `""`, "[]":
		return nil, true
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil, false
	}
	bad := map[string]string{}
	for k, v := range m {
		var ids []string
		if json.Unmarshal(v, &ids) == nil && isCode(k) {
			for _, id := range ids {
				bad[id] = inValue(k)
			}
			continue
		}
		var one word
		if json.Unmarshal(v, &one) != nil {
			return nil, false
		}
		// A pushId has letters and is long; a code is a short number.
		switch {
		case isCode(string(one)):
			bad[k] = inValue(string(one))
		case isCode(k):
			for id := range strings.SplitSeq(string(one), ",") {
				bad[strings.TrimSpace(id)] = inValue(k)
			}
		default:
			return nil, false
		}
	}
	return bad, true
}

// inValue tells 110010 inside value from the same number at the top.
func inValue(code string) string {
	if code == codeSwitched {
		return switchedOff
	}
	return code
}

// isCode reports whether s looks like one of Meizu's codes.
func isCode(s string) bool {
	return s != "" && len(s) <= 8 && strings.Trim(s, "0123456789") == ""
}

// word is a JSON string or number.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(w))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*w = word(n)
	return nil
}

// result is the result of a code from a table.
func (s *Sender) result(code string, what row, r push.Reply) push.Result {
	out := push.Result{
		Outcome: what.outcome, KeepToken: what.keepToken, NotifyOff: what.notifyOff, DeviceOnly: what.deviceOnly,
		Code: code, Text: what.text, Elapsed: r.Elapsed,
	}
	out.RetryAfter = r.WaitFor(what.outcome, what.untilMidnight, s.http.Now())
	return out
}

// refusal is the result of a code for a whole request. secrets must not be in what
// Meizu says about it.
func (s *Sender) refusal(a answer, r push.Reply, secrets ...string) push.Result {
	what, known := s.whole[a.code]
	if !known {
		what = unknown()
		what.text = push.WithSaid(what.text, push.Quote(a.message, append(secrets, s.appSecret)...))
	}
	return s.result(a.code, what, r)
}
