package honor

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"hongyan/push"
)

// Bounds of what is stored of an answer.
const (
	maxCode      = 16
	maxRequestID = 64
)

// reply is Honor's answer to a send.
type reply struct {
	Code    json.RawMessage `json:"code"` // a number, or the same as a string
	Message string          `json:"message"`
	Data    struct {
		SendResult   *bool    `json:"sendResult"`
		RequestID    string   `json:"requestId"`
		FailTokens   []string `json:"failTokens"`
		ExpireTokens []string `json:"expireTokens"`
	} `json:"data"`
}

// answer is what a reply means.
type answer struct {
	// all is the Result of every target that single does not name.
	all     push.Result
	single  map[string]push.Result
	refresh bool
	said    string // about a code that the table lacks
}

// read makes sense of a reply.
func (s *Sender) read(r push.Reply) answer {
	var a reply
	code := ""
	if json.Unmarshal(r.Body, &a) == nil {
		code = digits(strings.Trim(string(a.Code), `"`))
	}
	if code == "" {
		if code = strconv.Itoa(r.Status); r.Status == http.StatusOK || s.table[code].text == "" {
			// Not from Honor: a proxy's page, or a status that means nothing here.
			return answer{all: push.ByStatus(r)}
		}
		a = reply{}
	}
	base := push.Result{Code: code, RetryAfter: r.Wait, Elapsed: r.Elapsed}
	if push.OpaqueToken(a.Data.RequestID, maxRequestID) == nil {
		base.VendorID = a.Data.RequestID
	}
	rw, known := s.table[code]
	if !known {
		rw = unknown(code, r.Status)
	}
	out := answer{all: apply(base, rw), refresh: rw.refresh}
	if !known {
		out.said = a.Message
	}
	if code != codeOK && code != codePartly {
		return out
	}
	yes := push.Result{Outcome: push.Accepted, VendorID: base.VendorID, Elapsed: base.Elapsed}
	if out.single = s.single(a, base); len(out.single) > 0 {
		out.all = yes // whoever is not named was accepted
		return out
	}
	if code == codeOK {
		if out.all = yes; a.Data.SendResult == nil || !*a.Data.SendResult {
			base.Code = codeNotSent
			out.all = apply(base, s.table[codeNotSent])
		}
	}
	return out
}

// apply is base with what a row says.
func apply(base push.Result, rw row) push.Result {
	base.Outcome, base.Text, base.KeepToken = rw.outcome, rw.text, rw.keep
	return base
}

// digits returns s if it is a number that a code can be, else "".
func digits(s string) string {
	if _, err := strconv.ParseUint(s, 10, 64); err != nil || len(s) > maxCode {
		return ""
	}
	return s
}

// single reads which tokens failed.
func (s *Sender) single(a reply, base push.Result) map[string]push.Result {
	out := map[string]push.Result{}
	base.RetryAfter = 0
	for code, tokens := range map[string][]string{codeFail: a.Data.FailTokens, codeExpire: a.Data.ExpireTokens} {
		base.Code = code
		for _, t := range tokens {
			out[t] = apply(base, s.table[code])
		}
	}
	return out
}

// results spreads the answer over a batch. It is not certain when somebody in the batch
// is at fault and nothing says who.
func (o *answer) results(batch []push.Target) (all []push.Result, certain bool) {
	out, found := make([]push.Result, len(batch)), false
	for i, t := range batch {
		r, failed := o.single[t.Token]
		if out[i] = o.all; failed {
			out[i], found = r, true
		}
	}
	if len(o.single) > 0 && !found {
		return push.Fill(len(batch), push.Result{
			Outcome: push.Retry, Code: push.CodeBadReply, Text: "a partial failure that names none of the tokens", Elapsed: o.all.Elapsed,
		}), false
	}
	return out, o.all.Code != codePartly
}
