package vivo

import (
	"context"
	"crypto/md5" //nolint:gosec // vivo's signature is MD5
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"hongyan/push"
)

const (
	// tokenLife is how long a token is used. It is good for a day; vivo advises to
	// renew it every one or two hours ([api] 2.1.1).
	tokenLife = 2 * time.Hour
	// atOnce is the most requests one Send makes at a time.
	atOnce = 16
)

// Paths of [api].
const (
	pathAuth = "/message/auth"
	pathSend = "/message/send"
	pathSave = "/message/saveListPayload"
	pathList = "/message/pushToList"
)

// Sender sends through one app's credential. See push.Sender.
type Sender struct {
	credential
	http   *push.HTTP
	base   string
	tokens *push.AccessTokens
	rows   map[string]row

	mu sync.Mutex
	// singleUntil is when batches may be stored again after vivo said that the day's
	// number is used up.
	singleUntil time.Time
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }

// Check implements push.Sender: the token service proves the keys.
func (s *Sender) Check(ctx context.Context) push.Result {
	if _, fault := s.fetch(ctx); fault != nil {
		return *fault
	}
	return push.Result{Outcome: push.Accepted}
}

// fetch asks for an access token.
func (s *Sender) fetch(ctx context.Context) (push.AccessToken, *push.Result) {
	now := s.http.Now()
	stamp := strconv.FormatInt(now.UnixMilli(), 10)
	sum := md5.Sum([]byte(strings.TrimSpace(s.appID + s.appKey + stamp + s.appSecret))) //nolint:gosec // vivo's signature is MD5
	body, err := json.Marshal(map[string]any{
		"appId": json.Number(s.appID), "appKey": s.appKey, "timestamp": json.Number(stamp), "sign": hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return push.AccessToken{}, &push.Result{Outcome: push.BadCredential, Code: push.CodeSigning, Text: "no request for a token can be made"}
	}
	r, fault := s.http.Do(ctx, http.MethodPost, s.base+pathAuth, header(""), body)
	if fault != nil {
		return push.AccessToken{}, fault
	}
	a, ok := read(r)
	if !ok {
		out := s.byStatus(r)
		if out.Outcome == push.BadMessage {
			out.Outcome = push.Retry // the keys are no message
		}
		return push.AccessToken{}, &out
	}
	if *a.Result == codeOK {
		return push.AccessToken{Value: a.AuthToken, Expires: now.Add(tokenLife)}, nil
	}
	out := s.refusal(a, r)
	if out.Outcome == push.BadMessage {
		// There is nothing in the request but the keys.
		out.Outcome = push.BadCredential
	}
	return push.AccessToken{}, &out
}

func header(token string) http.Header {
	h := http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
	if token != "" {
		// Spelled as in vivo's document; HTTP itself does not care.
		h["authToken"] = []string{token}
	}
	return h
}

// call makes a request with a token, and once more with a new one when vivo refuses
// the first. Without an answer of vivo's own the result says why.
func (s *Sender) call(ctx context.Context, path string, request any) (answer, push.Reply, *push.Result) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer{}, push.Reply{}, &push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "the message cannot be written as JSON"}
	}
	var elapsed time.Duration
	for try := 0; ; try++ {
		token, version, fault := s.tokens.Get(ctx)
		if fault != nil {
			return answer{}, push.Reply{}, fault
		}
		r, fault := s.http.Do(ctx, http.MethodPost, s.base+path, header(token), body)
		if fault != nil {
			fault.Elapsed += elapsed
			return answer{}, push.Reply{}, fault
		}
		r.Elapsed += elapsed
		a, ok := read(r)
		if !ok {
			out := s.byStatus(r)
			return answer{}, r, &out
		}
		if *a.Result != codeAuth || try > 0 {
			return a, r, nil
		}
		elapsed = r.Elapsed
		s.tokens.Refused(version)
	}
}
