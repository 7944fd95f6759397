package harmony

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"hongyan/push"
)

// pushHost is Huawei's address.
const pushHost = "https://push-api.cloud.huawei.com"

// checkToken has no meaning at Huawei: a message to it reaches nobody.
const checkToken = "hongyan-check"

// Sender sends through one project of AppGallery Connect.
type Sender struct {
	http   *push.HTTP
	tokens *push.AccessTokens
	fields map[string]string
	send   string // address
	table  map[string]row
	// worked is set once Huawei accepted something, after which a complaint about
	// permissions is about the token.
	worked atomic.Bool
}

// Open returns a Sender for the credential in fields; see push.Spec.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	c, err := parse(fields)
	if err != nil {
		return nil, err
	}
	h, err := push.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	host := pushHost
	if o.Endpoint != "" {
		host = strings.TrimSuffix(o.Endpoint, "/")
	}
	return &Sender{
		http: h, tokens: c.tokens(h.Now), fields: c.fields, send: host + "/v3/" + c.projectID + "/messages:send", table: rows(),
	}, nil
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

// batch sends one request, and where the answer does not say which targets it is about,
// one to half of them at a time. What a request says of one target it says of first, so
// that a repetition replaces what was shown. test asks for a test message, which counts
// against no phone.
func (s *Sender) batch(ctx context.Context, m *push.Message, first *push.Target, batch []push.Target, test bool) []push.Result {
	r, fault := s.build(m, first, push.BadgeKey(m, first, maxBadge))
	if fault != nil {
		return push.Fill(len(batch), *fault)
	}
	r.Options.TestMessage = test
	for _, t := range batch {
		r.Target.Token = append(r.Target.Token, t.Token)
	}
	body, err := push.CompactJSON(r)
	if err != nil {
		return push.Fill(len(batch), *push.BadContent("the message is not JSON"))
	}
	a := s.post(ctx, r.pushType, body)
	if a.all.Code == codeNoPermission && a.all.Outcome == push.BadCredential && !test && s.Check(ctx).Outcome == push.Accepted {
		// The project may send, though nothing shows it yet: a token of another
		// project that comes first must not stop everything else.
		s.worked.Store(true)
		a.foreign()
	}
	if a.all.Outcome == push.Accepted {
		s.worked.Store(true)
	}
	push.Said(&a.all, a.said, m, batch)
	if out, certain := a.results(batch); certain || len(batch) == 1 {
		return out
	}
	return push.InHalves(batch, a.all.Elapsed, func(half []push.Target) []push.Result {
		return s.batch(ctx, m, first, half, test)
	})
}

// post makes the request with a token, and once more with a new one.
func (s *Sender) post(ctx context.Context, pushType string, body []byte) answer {
	if ctx.Err() != nil {
		return answer{all: *push.Interrupted(ctx)}
	}
	var out answer
	fault := s.tokens.Use(ctx, func(token string) bool {
		header := http.Header{
			"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Push-Type": {pushType},
		}
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

// Check implements push.Sender: a test message to a token that nobody has, because
// this interface has no dry run. Huawei looks at the credential first, so a complaint
// about the token proves it.
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
