package xiaomi

import (
	"context"
	"net/http"
	"strings"

	"hongyan/push"
)

const (
	// pathSend is where messages to registration ids go.
	pathSend = "/v3/message/regid"
	// parallel is how many requests of one Send are under way at once.
	parallel = 8
	// checkToken has no device: MiPush's own are longer and end in "=".
	checkToken = "hongyan-check-reaches-nobody"
)

// Sender sends through one app.
type Sender struct {
	http    *push.HTTP
	url     string
	secret  string
	channel string
	topic   string
	rows    map[string]row
}

// request is a share of a Send: targets of one package, by their places.
type request struct {
	topic  string
	places []int
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	out := make([]push.Result, len(targets))
	requests := s.split(targets, out)
	push.Parallel(len(requests), parallel, func(i int) {
		s.send(ctx, m, targets, requests[i], out)
	})
	return out
}

// split shares the targets out to requests and answers those that cannot be sent to.
func (s *Sender) split(targets []push.Target, out []push.Result) []request {
	var all []request
	open := map[string]int{} // package → its request that has room
	for i, t := range targets {
		if !goodToken(t.Token) {
			out[i] = push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "not a registration id of MiPush"}
			continue
		}
		topic := t.Topic
		if topic == "" {
			topic = s.topic
		}
		at, ok := open[topic]
		if !ok || len(all[at].places) == maxTargets {
			at = len(all)
			open[topic] = at
			all = append(all, request{topic: topic})
		}
		all[at].places = append(all[at].places, i)
	}
	return all
}

// send makes one request and files its results.
func (s *Sender) send(ctx context.Context, m push.Message, targets []push.Target, r request, out []push.Result) {
	fill := func(res push.Result) {
		for _, p := range r.places {
			out[p] = res
		}
	}
	form, fault := s.form(m, r.topic, targets[r.places[0]])
	if fault != nil {
		fill(*fault)
		return
	}
	tokens := make([]string, len(r.places))
	for i, p := range r.places {
		tokens[i] = targets[p].Token
	}
	if ctx.Err() != nil {
		fill(*push.Interrupted(ctx))
		return
	}
	form.Set("registration_id", strings.Join(tokens, ","))
	reply, fault := s.http.Do(ctx, http.MethodPost, s.url, s.header(), []byte(form.Encode()))
	if fault != nil {
		fill(*fault)
		return
	}
	results, whole := s.judge(reply, tokens)
	if said := s.said(reply); said != "" {
		for i := range results {
			push.Said(&results[i], said, &m, targets, s.secret)
		}
	}
	for i := range results {
		switch results[i].Code {
		case codeChannel:
			if m.ChannelIDs[push.Xiaomi] != "" {
				results[i].Outcome = push.BadMessage // the credential's own was not asked for
			}
		case codeQuota:
			results[i].ClassOnly = s.classTag(&m) != ""
		}
	}
	if whole && len(tokens) > 1 {
		// One target spoils the request and the answer does not say which: halves find it.
		half := len(r.places) / 2
		s.send(ctx, m, targets, request{r.topic, r.places[:half]}, out)
		s.send(ctx, m, targets, request{r.topic, r.places[half:]}, out)
		return
	}
	for i, p := range r.places {
		out[p] = results[i]
	}
}

func (s *Sender) header() http.Header {
	return http.Header{
		"Authorization": {"key=" + s.secret}, // "key" in lower case only
		"Content-Type":  {"application/x-www-form-urlencoded;charset=UTF-8"},
	}
}

// Check implements push.Sender. MiPush has no dry run, so it is asked to send to an
// id that no device has: key and package are judged before the target.
func (s *Sender) Check(ctx context.Context) push.Result { return s.CheckReceipt(ctx, "") }

// CheckReceipt implements push.ReceiptProver.
func (s *Sender) CheckReceipt(ctx context.Context, url string) push.Result {
	out := make([]push.Result, 1)
	m := push.Message{Kind: push.Alert, Title: "Hongyan", Body: "check", ExpiresAt: s.http.Now(), ReceiptURL: url}
	s.send(ctx, m, []push.Target{{Token: checkToken, Topic: s.topic}}, request{topic: s.topic, places: []int{0}}, out)
	r := out[0]
	if r.Outcome == push.BadTarget || r.Outcome == push.Retry && r.Code == codeSendFailed {
		return push.Result{Outcome: push.Accepted, Elapsed: r.Elapsed}
	}
	return r
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
