package huawei

import (
	"encoding/json"
	"strconv"

	"hongyan/push"
)

// maxCode and maxRequestID bound what is stored of an answer.
const (
	maxCode      = 16
	maxRequestID = 64
)

// reply is Huawei's answer to a send.
type reply struct {
	Code      string `json:"code"`
	Msg       string `json:"msg"`
	RequestID string `json:"requestId"`
}

// answer is what a reply means.
type answer struct {
	// all is the Result of every target that illegal does not name.
	all push.Result
	// illegal are the tokens of a partial failure, bad their Result.
	illegal map[string]bool
	bad     push.Result
	partial bool // a partial failure that names nobody
	refresh bool
	said    string // about a code that the table lacks
}

// code is the code of a reply; the status stands in for an answer without one.
func code(r push.Reply) (reply, string) {
	var a reply
	if json.Unmarshal(r.Body, &a) == nil && digits(a.Code) {
		return a, a.Code
	}
	return reply{}, strconv.Itoa(r.Status)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= maxCode
}

// read makes sense of a reply. worked says that this credential has sent before.
func (s *Sender) read(r push.Reply, worked bool) answer {
	a, c := code(r)
	base := push.Result{Code: c, RetryAfter: r.Wait, Elapsed: r.Elapsed}
	if len(a.RequestID) <= maxRequestID && push.OpaqueToken(a.RequestID, maxRequestID) == nil {
		base.VendorID = a.RequestID
	}
	rw, known := s.table[c]
	said := ""
	if !known {
		said = a.Msg
	}
	switch {
	case a.Code == "" && (!known || r.Status == 200):
		// Not from Push Kit: a proxy's page, or a status it does not document.
		return answer{all: push.ByStatus(r)}
	case !known && r.Status/100 == 5:
		rw, known = s.table[strconv.Itoa(r.Status)]
		if !known {
			rw = row{outcome: push.Retry, text: "an error at Huawei"}
		}
	case !known:
		rw = unknown()
	}
	base.Outcome, base.Text = rw.outcome, rw.text
	out := answer{all: base, refresh: rw.refresh, said: said}
	switch {
	case c == codeOK:
		out.all = accepted(base)
	case c == codePartly:
		out.partly(a.Msg, base)
	case c == codeNoPermission && worked:
		// The credential works for others, so it is the token that is foreign.
		out.foreign()
	}
	return out
}

// foreign turns a complaint about permissions into one about the tokens.
func (o *answer) foreign() {
	o.all.Outcome, o.all.KeepToken, o.all.Text = push.BadTarget, true, "the device token belongs to another app"
}

// accepted is base as a yes.
func accepted(base push.Result) push.Result {
	return push.Result{Outcome: push.Accepted, VendorID: base.VendorID, Elapsed: base.Elapsed}
}

// partly reads which tokens failed. Whoever is not named was accepted, so an answer
// that names nobody cannot be believed.
func (o *answer) partly(msg string, base push.Result) {
	var m struct {
		Illegal []string `json:"illegal_tokens"`
	}
	if json.Unmarshal([]byte(msg), &m) != nil || len(m.Illegal) == 0 {
		o.all, o.partial = unbelievable(base), true
		return
	}
	o.bad, o.all, o.illegal = base, accepted(base), map[string]bool{}
	o.bad.RetryAfter = 0
	for _, t := range m.Illegal {
		o.illegal[t] = true
	}
}

// results spreads the answer over a batch. It is not certain when somebody in the batch
// is at fault and nothing says who: 80300002 speaks of "some tokens", and a partial
// failure may name none that was sent.
func (o *answer) results(batch []push.Target) (all []push.Result, certain bool) {
	out, found := make([]push.Result, len(batch)), false
	for i, t := range batch {
		if out[i] = o.all; o.illegal[t.Token] {
			out[i], found = o.bad, true
		}
	}
	if len(o.illegal) > 0 && !found {
		return push.Fill(len(batch), unbelievable(o.all)), false
	}
	unnamed := o.all.Code == push.CodeBadReply && o.partial
	return out, !unnamed && (o.all.Code != codeNoPermission || o.all.Outcome != push.BadTarget)
}

// unbelievable is the Result of a partial failure that does not say whose.
func unbelievable(base push.Result) push.Result {
	return push.Result{
		Outcome: push.Retry, Code: push.CodeBadReply, Text: "a partial failure that names none of the tokens", Elapsed: base.Elapsed,
	}
}
