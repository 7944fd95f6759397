package harmony

import (
	"encoding/json"
	"strconv"

	"hongyan/push"
)

// Bounds of what is stored of an answer.
const (
	maxCode      = 64
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
	// all is the Result of every target that reasons does not name.
	all push.Result
	// reasons are the tokens that failed for a reason of their own.
	reasons map[string]push.Result
	refresh bool
	said    string // about a code that the table lacks
}

// read makes sense of a reply. worked says that this credential has sent before.
func (s *Sender) read(r push.Reply, worked bool) answer {
	var a reply
	if json.Unmarshal(r.Body, &a) != nil || !digits(a.Code) {
		a = reply{}
	}
	code := a.Code
	if code == "" {
		code = strconv.Itoa(r.Status)
	}
	base := push.Result{Code: code, RetryAfter: r.Wait, Elapsed: r.Elapsed}
	if push.OpaqueToken(a.RequestID, maxRequestID) == nil {
		base.VendorID = a.RequestID
	}
	rw, known := s.table[code]
	said := ""
	if !known {
		said = a.Msg
	}
	switch {
	case a.Code == "" && !known:
		// Not from Push Kit: a proxy's page, or a status it does not document.
		return answer{all: push.ByStatus(r)}
	case !known && r.Status/100 == 5:
		if rw, known = s.table[strconv.Itoa(r.Status)]; !known {
			rw = row{outcome: push.Retry, text: "an error at Huawei"}
		}
	case !known:
		rw = unknown()
	}
	base.Outcome, base.Text, base.KeepToken = rw.outcome, rw.text, rw.keep
	out := answer{all: base, refresh: rw.refresh, said: said}
	switch code {
	case codeOK:
		out.all = accepted(base)
	case codePartly:
		// Whoever is not named was accepted.
		out.all = accepted(base)
		out.reasons = s.named(a.Msg, base, true)
	case codeAllInvalid:
		out.reasons = s.named(a.Msg, base, worked)
	case codeNoPermission:
		if worked {
			// The credential works for others, so it is the token that is foreign.
			out.foreign()
		}
	}
	return out
}

func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && len(s) <= 16
}

// foreign turns a complaint about permissions into one about the tokens.
func (o *answer) foreign() {
	o.all.Outcome, o.all.KeepToken, o.all.Text = push.BadTarget, true, "the device token belongs to another project"
}

// accepted is base as a yes.
func accepted(base push.Result) push.Result {
	return push.Result{Outcome: push.Accepted, VendorID: base.VendorID, Elapsed: base.Elapsed}
}

// named reads which tokens failed and why.
func (s *Sender) named(msg string, base push.Result, worked bool) map[string]push.Result {
	var m struct {
		Illegal map[string][]string `json:"illegalTokens"`
	}
	out := map[string]push.Result{}
	if json.Unmarshal([]byte(msg), &m) != nil {
		return out
	}
	for name, tokens := range m.Illegal {
		r := s.reason(name, base, worked)
		for _, t := range tokens {
			out[t] = r
		}
	}
	return out
}

// reason is the Result of a token that failed for one.
func (s *Sender) reason(name string, base push.Result, worked bool) push.Result {
	r := push.Result{VendorID: base.VendorID, Elapsed: base.Elapsed, Code: name}
	if !word(name) || len(name) > maxCode {
		r.Code = base.Code
	}
	rw, known := s.table[name]
	if !known {
		rw = unknown()
	}
	r.Outcome, r.Text, r.KeepToken = rw.outcome, rw.text, rw.keep
	if name == reasonNoRight && worked {
		r.KeepToken = false // the project is the right one, for others at least
	}
	return r
}

// results spreads the answer over a batch. It is not certain when somebody in the batch
// is at fault and nothing says who.
func (o *answer) results(batch []push.Target) (all []push.Result, certain bool) {
	out, found := make([]push.Result, len(batch)), false
	for i, t := range batch {
		r, failed := o.reasons[t.Token]
		if out[i] = o.all; failed {
			out[i], found = r, true
		}
	}
	if o.reasons != nil && !found && o.all.Outcome == push.Accepted {
		// A partial failure that does not say whose.
		return push.Fill(len(batch), push.Result{
			Outcome: push.Retry, Code: push.CodeBadReply, Text: "a partial failure that names none of the tokens", Elapsed: o.all.Elapsed,
		}), false
	}
	return out, o.all.Code != codeNoPermission || o.all.Outcome != push.BadTarget
}
