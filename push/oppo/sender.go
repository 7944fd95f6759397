package oppo

import (
	"context"
	"encoding/json"
	"net/url"

	"hongyan/push"
)

const (
	pathUnicast = "/server/v1/message/notification/unicast"
	pathBatch   = "/server/v1/message/notification/unicast_batch"
	// parallel is how many requests of one Send are under way at once.
	parallel = 8
	// batchBytes bounds the messages of one request. OPPO states no limit; gateways
	// commonly take two megabytes, and a form makes Chinese text three times as long.
	batchBytes = 512 << 10
	// checkToken has no device: a registration id has three parts at most.
	checkToken = "hongyan_check_reaches_nobody"
)

// Sender sends through one app.
type Sender struct {
	http         *push.HTTP
	base         string
	region       string
	appKey       string
	masterSecret string
	class        class
	tokens       *push.AccessTokens
	rows         map[string]row
}

// request is a share of a Send: messages and the places of their targets.
type request struct {
	places   []int
	messages []message
	bytes    int
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	out := make([]push.Result, len(targets))
	n, fault := s.notification(m)
	if fault != nil {
		return push.Fill(len(targets), *fault)
	}
	requests := split(m, n, s.region, targets, out)
	push.Parallel(len(requests), parallel, func(i int) {
		s.send(ctx, requests[i], targets, out)
	})
	if len(m.Classes[push.OPPO]) > 0 || m.ChannelIDs[push.OPPO] != "" {
		s.ofClass(n, out)
	}
	return out
}

// ofClass makes what OPPO says of a message's own class that message's alone: the
// credential's was not asked for.
func (s *Sender) ofClass(n notification, out []push.Result) {
	other := n.Category != s.class.category || n.ChannelID != s.class.channel
	for i := range out {
		switch out[i].Code {
		case codeClass:
			out[i].Outcome = push.BadMessage
		case codeQuota: // only some classes have one
			out[i].ClassOnly = other
		}
	}
}

// split shares the targets out to requests and answers those that cannot be sent to.
func split(m push.Message, n notification, region string, targets []push.Target, out []push.Result) []request {
	var all []request
	for i, t := range targets {
		if !goodToken(t.Token) {
			out[i] = push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "not a registration id of OPPO"}
			continue
		}
		if elsewhere(t.Token, region) {
			// The service would call it invalid, though it lives.
			out[i] = push.Result{Outcome: push.BadTarget, Code: push.CodeOtherRegion, KeepToken: true, Text: "the registration id is of another region than the credential's"}
			continue
		}
		msg := n.to(t, m)
		// The parts that differ in length; names and numbers are under 512 bytes.
		size := len(t.Token) + len(t.ID) + len(t.Ref) + 512 +
			len(n.Title) + len(n.Content) + len(n.ActionParameters) + len(n.CallBackURL)
		if len(all) == 0 || len(all[len(all)-1].places) == maxTargets || all[len(all)-1].bytes+size > batchBytes {
			all = append(all, request{})
		}
		r := &all[len(all)-1]
		r.places, r.messages, r.bytes = append(r.places, i), append(r.messages, msg), r.bytes+size
	}
	return all
}

// send makes one request and files its results.
func (s *Sender) send(ctx context.Context, r request, targets []push.Target, out []push.Result) {
	results, whole := s.try(ctx, r, targets)
	if whole && len(r.places) > 1 {
		// One target spoils the request and the answer does not say which: halves find it.
		half := len(r.places) / 2
		s.send(ctx, request{places: r.places[:half], messages: r.messages[:half]}, targets, out)
		s.send(ctx, request{places: r.places[half:], messages: r.messages[half:]}, targets, out)
		return
	}
	for i, p := range r.places {
		out[p] = results[i]
	}
}

// try makes one request, a second time with a fresh access token when the vendor
// refuses the first. whole says that a target which the answer does not name spoilt it.
func (s *Sender) try(ctx context.Context, r request, targets []push.Target) (results []push.Result, whole bool) {
	path, form, err := body(r)
	if err != nil {
		return push.Fill(len(r.places), *push.BadContent("the message cannot be written as JSON")), false
	}
	var ids []string
	for _, p := range r.places {
		ids = append(ids, targets[p].Token)
	}
	for again := true; ; again = false {
		if ctx.Err() != nil {
			return push.Fill(len(ids), *push.Interrupted(ctx)), false
		}
		token, version, fault := s.tokens.Get(ctx)
		if fault != nil {
			return push.Fill(len(ids), *fault), false
		}
		form.Set("auth_token", token)
		reply, fault := s.post(ctx, path, form)
		if fault != nil {
			return push.Fill(len(ids), *fault), false
		}
		a, ok := read(reply)
		if !ok {
			return push.Fill(len(ids), unreadable(reply)), false
		}
		if code := a.Code.String(); again && (code == codeBadToken || code == codeMissingToken) {
			s.tokens.Refused(version)
			continue
		}
		results, whole = s.judge(a, reply, r.messages)
		n := &r.messages[0].Notification
		return s.quoted(a, results, append(ids, token, n.Title, n.SubTitle, n.Content)...), whole
	}
}

// body is the request's form, but for the access token.
func body(r request) (path string, form url.Values, err error) {
	if len(r.messages) == 1 {
		data, err := json.Marshal(r.messages[0])
		return pathUnicast, url.Values{"message": {string(data)}}, err
	}
	data, err := json.Marshal(r.messages)
	return pathBatch, url.Values{"messages": {string(data)}}, err
}

// Check implements push.Sender. A fresh access token proves the keys, and a message
// to an id that no device has proves the right to push with the app's classes.
func (s *Sender) Check(ctx context.Context) push.Result {
	if _, fault := s.fetch(ctx); fault != nil {
		return *fault
	}
	out := s.Send(ctx, push.Message{Kind: push.Alert, Title: "Hongyan", Body: "check", ExpiresAt: s.http.Now()}, []push.Target{{Token: checkToken}})
	if r := out[0]; r.Outcome != push.BadTarget {
		return r
	}
	return push.Result{Outcome: push.Accepted, Elapsed: out[0].Elapsed}
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
