package vivo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"hongyan/push"
)

// maxVendorID bounds a task id that is kept.
const maxVendorID = 64

// answer is any of vivo's answers.
type answer struct {
	Result       *int      `json:"result"`
	Desc         string    `json:"desc"`
	AuthToken    string    `json:"authToken"`
	TaskID       text      `json:"taskId"`
	InvalidUser  *invalid  `json:"invalidUser"`
	InvalidUsers []invalid `json:"invalidUsers"`
}

// invalid is a target that vivo will not reach.
type invalid struct {
	Status int    `json:"status"`
	UserID string `json:"userid"`
}

// text is a JSON string or number; task ids have been seen as both.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	if !bytes.Equal(b, []byte("null")) {
		*t = text(b)
	}
	return nil
}

// read decodes an answer; false when it is not vivo's.
func read(r push.Reply) (answer, bool) {
	var a answer
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &a) != nil || a.Result == nil {
		return answer{}, false
	}
	if len(a.TaskID) > maxVendorID {
		a.TaskID = a.TaskID[:maxVendorID]
	}
	return a, true
}

// byStatus is the result of an answer that read could not make out.
func (s *Sender) byStatus(r push.Reply) push.Result {
	out := push.ByStatus(r)
	if r.Status == http.StatusInternalServerError {
		out.Code, out.Text = statusFailed, s.rows[statusFailed].text
	}
	return out
}

// refusal is the result of a code for a whole request. secrets must not be in what
// vivo says about it.
func (s *Sender) refusal(a answer, r push.Reply, secrets ...string) push.Result {
	code := strconv.Itoa(*a.Result)
	what, known := s.rows[code]
	if !known {
		what = unknown()
		what.text = push.WithSaid(what.text, push.Quote(a.Desc, append(secrets, s.appKey, s.appSecret)...))
	}
	return s.result(code, what, r)
}

func (s *Sender) result(code string, what row, r push.Reply) push.Result {
	out := push.Result{Outcome: what.outcome, KeepToken: what.keepToken, Code: code, Text: what.text, Elapsed: r.Elapsed}
	out.RetryAfter = r.WaitFor(what.outcome, what.untilMidnight, s.http.Now())
	return out
}

// invalidResult is the result of one target that vivo names as invalid.
func (s *Sender) invalidResult(u invalid, r push.Reply) push.Result {
	code := userCode(u.Status)
	what, known := s.rows[code]
	if !known {
		// Said to be out of reach, for a reason this version does not know.
		what = row{outcome: push.BadTarget, keepToken: true, text: "vivo does not reach the device"}
	}
	return s.result(code, what, r)
}
