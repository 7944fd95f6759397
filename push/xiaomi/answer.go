package xiaomi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"hongyan/push"
)

const (
	maxCode = 16 // characters of a code that is kept
	// noTargets is the reason MiPush gives, beside the general code, to a request
	// that is left without a target. No page documents it.
	noTargets = "No valid targets!"
)

// answer is MiPush's reply to a message.
type answer struct {
	Result string      `json:"result"`
	Code   json.Number `json:"code"`
	Reason string      `json:"reason"`
	// Description is what Reason is about, in general words.
	Description string `json:"description"`
	// Data is an object, or the same as text.
	Data json.RawMessage `json:"data"`
}

// details is what data holds.
type details struct {
	ID     string `json:"id"`
	BadIDs string `json:"bad_regids"`
	// The day's quota of the app and what arrived of it, as numbers or text.
	Quota json.RawMessage `json:"day_quota"`
	Acked json.RawMessage `json:"day_acked"`
}

// quota is what the answer says of the day, zero unless it says both.
func (d details) quota() push.Quota {
	limit, err := whole(d.Quota)
	used, err2 := whole(d.Acked)
	if err != nil || err2 != nil || limit <= 0 || used < 0 {
		return push.Quota{}
	}
	return push.Quota{Limit: limit, Used: used}
}

func whole(raw json.RawMessage) (int64, error) {
	return strconv.ParseInt(strings.Trim(string(raw), `" `), 10, 64)
}

func (a answer) details() details {
	var d details
	raw := bytes.TrimSpace(a.Data)
	if len(raw) > 0 && raw[0] == '"' {
		var text string
		_ = json.Unmarshal(raw, &text) // what is no text has no details
		raw = []byte(text)
	}
	_ = json.Unmarshal(raw, &d) // the code alone decides; details may be missing
	return d
}

// judge gives each registration id of a request its result. whole says that the
// request was refused because of a target that the answer does not name.
func (s *Sender) judge(reply push.Reply, tokens []string) (results []push.Result, whole bool) {
	var a answer
	if err := json.Unmarshal(reply.Body, &a); err != nil || a.Code == "" || len(a.Code) > maxCode {
		return push.Fill(len(tokens), unreadable(reply)), false
	}
	code, d := a.Code.String(), a.details()
	r := s.result(code, a, reply)
	if r.Outcome == push.Accepted {
		r.VendorID, r.Quota = push.SaneID(d.ID), d.quota()
	}
	results = push.Fill(len(tokens), r)
	if d.BadIDs == "" {
		return results, r.Outcome == push.BadTarget && code != codeSendFailed
	}
	bad := map[string]bool{}
	for t := range strings.SplitSeq(d.BadIDs, ",") {
		bad[strings.TrimSpace(t)] = true
	}
	for i, t := range tokens {
		if bad[t] {
			results[i] = push.Result{Outcome: push.BadTarget, Code: codeBadIDs, Text: s.rows[codeBadIDs].text, Elapsed: reply.Elapsed}
		} else if r.Outcome == push.BadTarget {
			// The named ones are at fault; the others only shared the request.
			results[i] = push.Result{Outcome: push.Retry, Code: code, Text: "another target of the request was refused", Elapsed: reply.Elapsed}
		}
	}
	return results, false
}

// said is what MiPush says about a code that no table explains.
func (s *Sender) said(reply push.Reply) string {
	var a answer
	if json.Unmarshal(reply.Body, &a) != nil || a.Code == "" {
		return ""
	}
	if _, known := s.rows[a.Code.String()]; known {
		return ""
	}
	return cmp.Or(a.Reason, a.Description)
}

// result is what a code means, by the table or by its default.
func (s *Sender) result(code string, a answer, reply push.Reply) push.Result {
	row, known := s.rows[code]
	switch {
	case !known && reply.Status >= http.StatusInternalServerError:
		row = rowUnknown(push.Retry)
	case !known:
		row = rowUnknown(push.BadMessage)
	case row.outcome == push.Accepted && (reply.Status != http.StatusOK || a.Result != "" && a.Result != "ok"):
		return unreadable(reply) // it contradicts itself
	case row.outcome == push.Accepted:
		return push.Result{Outcome: push.Accepted, Elapsed: reply.Elapsed}
	}
	r := push.Result{
		Outcome: row.outcome, Code: code, Text: row.text, KeepToken: row.keepToken,
		RetryAfter: reply.WaitFor(row.outcome, row.midnight, s.http.Now()), Elapsed: reply.Elapsed,
	}
	if code == codeSendFailed && a.Reason == noTargets {
		// It will not get better, but an undocumented word retires no token.
		r.Outcome, r.KeepToken, r.RetryAfter, r.Text = push.BadTarget, true, 0, "no target of the request is valid"
	}
	return r
}

func rowUnknown(o push.Outcome) row {
	return row{outcome: o, text: "a code this version does not know"}
}

// unreadable is the result of an answer that is not MiPush's own.
func unreadable(reply push.Reply) push.Result {
	r := push.ByStatus(reply)
	if reply.Status == http.StatusUnauthorized {
		r.Outcome, r.Text, r.RetryAfter = push.BadCredential, "status 401: the AppSecret was refused", 0
	}
	return r
}
