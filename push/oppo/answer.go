package oppo

import (
	"cmp"
	"encoding/json"
	"net/http"

	"hongyan/push"
)

const (
	maxCode = 16 // characters of a code that is kept
)

// answer is OPPO's reply to anything. Its message is kept of an unknown code alone, as
// far as it repeats nothing: see quoted.
type answer struct {
	Code    json.Number     `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// one is what OPPO says about one message.
type one struct {
	MessageID string      `json:"messageId"`
	Target    string      `json:"registrationId"`
	ErrorCode json.Number `json:"errorCode"`
}

func read(reply push.Reply) (answer, bool) {
	var a answer
	if err := json.Unmarshal(reply.Body, &a); err != nil || a.Code == "" || len(a.Code) > maxCode {
		return a, false
	}
	return a, true
}

// judge gives each message of a request its result.
func (s *Sender) judge(a answer, reply push.Reply, messages []message) (results []push.Result, whole bool) {
	code := a.Code.String()
	if code != "0" || len(messages) == 1 {
		r := s.result(code, messages[0].Notification.AppMessageID, reply)
		var d one
		if json.Unmarshal(a.Data, &d) == nil && r.Outcome == push.Accepted {
			r.VendorID = push.SaneID(d.MessageID)
		}
		// Both are about one message, and this answer is about all.
		return push.Fill(len(messages), r), code == codeBadTarget || code == codeDuplicate
	}
	var list []one
	if json.Unmarshal(a.Data, &list) != nil {
		return push.Fill(len(messages), unreadable(reply)), false
	}
	results = make([]push.Result, len(messages))
	next := byTarget(list)
	for i, msg := range messages {
		d, ok := at(list, next, i, msg.TargetValue)
		if !ok { // nothing was said about it
			results[i] = unreadable(reply)
			continue
		}
		r := s.result(cmp.Or(d.ErrorCode.String(), "0"), msg.Notification.AppMessageID, reply)
		if r.Outcome == push.Accepted {
			r.VendorID = push.SaneID(d.MessageID)
		}
		results[i] = r
	}
	return results, false
}

// quoted adds what OPPO said about a code that no table explains. It must share nothing
// with the secrets.
func (s *Sender) quoted(a answer, results []push.Result, secrets ...string) []push.Result {
	if _, known := s.rows[a.Code.String()]; known {
		return results
	}
	said := push.Quote(a.Message, append(secrets, s.appKey, s.masterSecret)...)
	for i := range results {
		results[i].Text = push.WithSaid(results[i].Text, said)
	}
	return results
}

// byTarget is the list by registration id, for answers that are not in order.
func byTarget(list []one) map[string][]one {
	m := make(map[string][]one, len(list))
	for _, d := range list {
		m[d.Target] = append(m[d.Target], d)
	}
	return m
}

// at finds what was said about the i-th message: by its target's id, the first time
// that it occurs, or by its place where the answer names no ids.
func at(list []one, next map[string][]one, i int, target string) (one, bool) {
	if said := next[target]; len(said) > 0 {
		if len(said) > 1 {
			next[target] = said[1:]
		}
		return said[0], true
	}
	if i < len(list) && list[i].Target == "" {
		return list[i], true
	}
	return one{}, false
}

// result is what a code means, by the table or by its default.
func (s *Sender) result(code, id string, reply push.Reply) push.Result {
	if len(code) > maxCode {
		return unreadable(reply)
	}
	r, known := s.rows[code]
	switch {
	case !known && reply.Status >= http.StatusInternalServerError:
		r = row{outcome: push.Retry, text: "a code this version does not know"}
	case !known:
		r = row{outcome: push.BadMessage, text: "a code this version does not know"}
	case code == codeDuplicate && id == "":
		r = row{outcome: push.BadMessage, text: "OPPO takes it for a duplicate"} // of something else: we gave no id
	case r.outcome == push.Accepted && reply.Status != http.StatusOK:
		return unreadable(reply) // it contradicts itself
	}
	if r.outcome == push.Accepted && code == "0" {
		return push.Result{Outcome: push.Accepted, Elapsed: reply.Elapsed}
	}
	return push.Result{Outcome: r.outcome, Code: code, Text: r.text, RetryAfter: reply.WaitFor(r.outcome, r.midnight, s.http.Now()), Elapsed: reply.Elapsed}
}

// unreadable is the result of an answer that is not OPPO's own.
func unreadable(reply push.Reply) push.Result { return push.ByStatus(reply) }
