package huawei

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"hongyan/push"
)

// Huawei's addresses.
const (
	tokenHost = "https://oauth-login.cloud.huawei.com"
	tokenPath = "/oauth2/v3/token"
	pushHost  = "https://push-api.cloud.huawei.com"
)

// checkToken has no meaning at Huawei: a message to it reaches nobody.
const checkToken = "hongyan-check"

// Sender sends through one app of AppGallery Connect.
type Sender struct {
	http   *push.HTTP
	tokens *push.AccessTokens
	fields map[string]string
	send   string // address
	table  map[string]row
	// low is set once Huawei said that the app may not send with high priority.
	low atomic.Bool
	// worked is set once Huawei accepted something, after which a complaint about
	// permissions is about the token.
	worked atomic.Bool
}

// Open returns a Sender for the credential in fields; see push.Spec.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	f, err := parse(fields)
	if err != nil {
		return nil, err
	}
	h, err := push.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	token, api := tokenHost, pushHost
	if o.Endpoint != "" {
		token = strings.TrimSuffix(o.Endpoint, "/")
		api = token
	}
	s := &Sender{http: h, fields: f, send: api + "/v1/" + f[fieldAppID] + "/messages:send", table: rows()}
	s.tokens = push.NewAccessTokens(h.Now, func(ctx context.Context) (push.AccessToken, *push.Result) {
		return push.ClientCredentials(ctx, h, token+tokenPath, f[fieldAppID], f[fieldAppSecret])
	})
	return s, nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	key := func(t push.Target) (int, *push.Result) {
		return push.BadgeKey(&m, &t, maxBadge), push.OpaqueToken(t.Token, maxToken)
	}
	return push.InBatches(targets, maxTokens, key, func(batch []push.Target) []push.Result {
		return s.batch(ctx, &m, &batch[0], batch, false)
	})
}

// batch sends one request, and once more with normal priority where Huawei does not
// let the app use the high one. Where the answer does not say which targets it is about,
// it sends to half of them at a time. What a request says of one target it says of
// first, so that a repetition replaces what was shown.
func (s *Sender) batch(ctx context.Context, m *push.Message, first *push.Target, batch []push.Target, dry bool) []push.Result {
	for {
		high := m.HighPriority && !s.low.Load()
		r, fault := s.payload(m, first, push.BadgeKey(m, first, maxBadge), high)
		if fault != nil {
			return push.Fill(len(batch), *fault)
		}
		r.ValidateOnly = dry
		for _, t := range batch {
			r.Message.Token = append(r.Message.Token, t.Token)
		}
		body, err := push.CompactJSON(r)
		if err != nil {
			return push.Fill(len(batch), *push.BadContent("the message is not JSON"))
		}
		a := s.post(ctx, body)
		if a.all.Code == codeNoPriority && high {
			s.low.Store(true)
			continue
		}
		if a.all.Code == codeNoPermission && a.all.Outcome == push.BadCredential && !dry && s.Check(ctx).Outcome == push.Accepted {
			// The app may send, though nothing shows it yet: a token of another app
			// that comes first must not stop everything else.
			s.worked.Store(true)
			a.foreign()
		}
		if a.all.Outcome == push.Accepted {
			s.worked.Store(true)
		}
		push.Said(&a.all, a.said, m, batch, s.fields[fieldAppSecret])
		if out, certain := a.results(batch); certain || len(batch) == 1 {
			return out
		}
		return push.InHalves(batch, a.all.Elapsed, func(half []push.Target) []push.Result {
			return s.batch(ctx, m, first, half, dry)
		})
	}
}

// post makes the request with an access token, and once more with a new one.
func (s *Sender) post(ctx context.Context, body []byte) answer {
	var out answer
	if ctx.Err() != nil {
		return answer{all: *push.Interrupted(ctx)}
	}
	fault := s.tokens.Use(ctx, func(token string) bool {
		header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json; charset=UTF-8"}}
		before := out.all.Elapsed
		r, fault := s.http.Do(ctx, http.MethodPost, s.send, header, body)
		if fault != nil {
			out = answer{all: *fault}
		} else {
			out = s.read(r, s.worked.Load())
		}
		out.all.Elapsed += before
		return out.refresh
	})
	if fault != nil {
		return answer{all: *fault}
	}
	return out
}

// Check implements push.Sender: a dry run to a token that nobody has. Huawei looks at
// the credential and at Push Kit's state first, so a complaint about the token proves
// both.
func (s *Sender) Check(ctx context.Context) push.Result {
	m := push.Message{Kind: push.Alert, Title: "check", Body: "check"}
	nobody := []push.Target{{Token: checkToken}}
	r := s.batch(ctx, &m, &nobody[0], nobody, true)[0]
	if r.Outcome == push.BadTarget || r.Outcome == push.Accepted {
		return push.Result{Outcome: push.Accepted, Code: r.Code, Text: "the credential was accepted", Elapsed: r.Elapsed}
	}
	return r
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
