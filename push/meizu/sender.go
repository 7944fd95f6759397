package meizu

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"hongyan/push"
)

// pathPush is the only path that is used: a notification to pushIds, without a task.
const pathPush = "/garcia/api/server/push/varnished/pushByPushId"

// atOnce is the most requests one Send makes at a time.
const atOnce = 8

// nobody is the pushId of Check, in no phone's form.
const nobody = "HongyanCheckReachesNobody"

// Sender sends through one app's credential. See push.Sender.
type Sender struct {
	appID, appSecret string
	noticeType       int
	http             *push.HTTP
	base             string
	whole, each      map[string]row
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }

// Check implements push.Sender. Meizu has no way to prove keys, so a message is sent
// to a pushId that cannot exist: Meizu answers about the device only after it found
// app and signature good.
func (s *Sender) Check(ctx context.Context) push.Result { return s.CheckReceipt(ctx, "") }

// CheckReceipt implements push.ReceiptProver.
func (s *Sender) CheckReceipt(ctx context.Context, url string) push.Result {
	m := message{
		NoticeBar: noticeBar{NoticeMsgType: s.noticeType, Title: "check", Content: "check"},
		PushTime:  pushTime{OffLine: 0}, Advance: advance{Notification: notification{Lights: 1}},
	}
	if url != "" {
		m.ReceiptAsk = &receiptTo{Callback: url, Type: 3}
	}
	a, r, fault := s.call(ctx, m, []push.Target{{Token: nobody}})
	switch {
	case fault != nil:
		return *fault
	case a.code == codeOK, s.each[a.code].outcome == push.BadTarget && a.code != codeSwitched:
		return push.Result{Outcome: push.Accepted, Elapsed: r.Elapsed}
	}
	return s.refusal(a, r)
}

// call makes one signed request. Without an answer of Meizu's own the result says why.
func (s *Sender) call(ctx context.Context, m message, targets []push.Target) (answer, push.Reply, *push.Result) {
	body, err := json.Marshal(m)
	if err != nil {
		return answer{}, push.Reply{}, &push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "the message cannot be written as JSON"}
	}
	ids := make([]string, len(targets))
	for i, t := range targets {
		ids[i] = t.Token
	}
	params := map[string]string{"appId": s.appID, "pushIds": strings.Join(ids, ","), "messageJson": string(body)}
	form := url.Values{"sign": {sign(params, s.appSecret)}}
	for k, v := range params {
		form.Set(k, v)
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=UTF-8"}}
	r, fault := s.http.Do(ctx, http.MethodPost, s.base+pathPush, header, []byte(form.Encode()))
	if fault != nil {
		return answer{}, push.Reply{}, fault
	}
	a, ok := read(r)
	if !ok {
		out := push.ByStatus(r)
		return answer{}, r, &out
	}
	return a, r, nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	shared, refused := s.compose(m)
	if refused != nil {
		return push.Fill(len(targets), *refused)
	}
	out := make([]push.Result, len(targets))
	var places []int
	for i, t := range targets {
		if !goodPushID(t.Token) {
			out[i] = push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "this is no pushId of Meizu"}
			continue
		}
		places = append(places, i)
	}
	push.Parallel((len(places)+maxTargets-1)/maxTargets, atOnce, func(i int) {
		part := places[i*maxTargets : min((i+1)*maxTargets, len(places))]
		s.request(ctx, shared, m, targets, part, out, true)
	})
	return out
}

// request sends to the targets at places and puts their results into out. again
// allows one more request for those that Meizu failed to take.
func (s *Sender) request(ctx context.Context, shared message, m push.Message, targets []push.Target, places []int, out []push.Result, again bool) {
	part := make([]push.Target, len(places))
	for i, p := range places {
		part[i] = targets[p]
	}
	if shared.ReceiptAsk != nil {
		ask := *shared.ReceiptAsk
		ask.Param = push.CutBytes(part[0].Ref, maxParam)
		shared.ReceiptAsk = &ask
	}
	a, r, fault := s.call(ctx, shared, part)
	if fault != nil {
		fill(out, places, *fault)
		return
	}
	if a.code != codeOK {
		what, aboutOne := s.each[a.code]
		switch {
		case !aboutOne || a.code == codeSwitched:
			fill(out, places, s.refusal(a, r, secretsOf(m, part)...))
		case len(places) == 1:
			out[places[0]] = s.result(a.code, what, r)
		default:
			// A device's code for all of them does not say whose it is.
			for _, p := range places {
				s.request(ctx, shared, m, targets, []int{p}, out, again)
			}
		}
		return
	}
	var failed []int
	for i, p := range places {
		code, bad := a.bad[part[i].Token]
		what, known := s.each[code]
		if !known {
			what = unknown()
		}
		switch {
		case !bad:
			out[p] = push.Result{Outcome: push.Accepted, VendorID: a.msgID, Elapsed: r.Elapsed}
			continue
		case what.again:
			failed = append(failed, p)
		}
		out[p] = s.result(code, what, r)
	}
	if again && len(failed) > 0 {
		s.request(ctx, shared, m, targets, failed, out, false)
	}
}

func fill(out []push.Result, places []int, r push.Result) {
	for _, p := range places {
		out[p] = r
	}
}

// secretsOf is what Meizu's words must not be quoted with.
func secretsOf(m push.Message, targets []push.Target) []string {
	out := []string{m.Title, m.Body, m.ReceiptURL}
	for _, t := range targets {
		out = append(out, t.Token)
	}
	for _, v := range m.Data {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// goodPushID keeps out what cannot be a pushId, above all the comma that separates
// them in a request.
func goodPushID(token string) bool {
	if len(token) < 8 || len(token) > 128 {
		return false
	}
	return strings.IndexFunc(token, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	}) < 0
}
