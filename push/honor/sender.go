package honor

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"hongyan/push"
)

// Honor's addresses.
const (
	tokenHost = "https://iam.developer.honor.com"
	tokenPath = "/auth/token"
	pushHost  = "https://push-api.cloud.honor.com"
)

// checkToken has no meaning at Honor: a message to it reaches nobody.
const checkToken = "hongyan-check"

// testUser is the targetUserType of test messages, which count against no phone.
const testUser = 1

// Sender sends through one app of Honor's developer service.
type Sender struct {
	http   *push.HTTP
	tokens *push.AccessTokens
	fields map[string]string
	send   string // address
	table  map[string]row
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
	s := &Sender{http: h, fields: f, send: api + "/api/v1/" + f[fieldAppID] + "/sendMessage", table: rows()}
	s.tokens = push.NewAccessTokens(h.Now, func(ctx context.Context) (push.AccessToken, *push.Result) {
		return push.ClientCredentials(ctx, h, token+tokenPath, f[fieldClientID], f[fieldClientSecret])
	})
	return s, nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	key := func(t push.Target) (int, *push.Result) {
		return push.BadgeKey(&m, &t, maxBadge), push.OpaqueToken(t.Token, maxToken)
	}
	return push.InBatches(targets, maxTokens, key, func(batch []push.Target) []push.Result {
		return s.batch(ctx, &m, batch)
	})
}

// batch sends to a batch, and once more to those that Honor names in failTokens.
func (s *Sender) batch(ctx context.Context, m *push.Message, batch []push.Target) []push.Result {
	results := s.once(ctx, m, &batch[0], batch, 0)
	var again []push.Target
	var where []int
	for i, r := range results {
		if r.Code == codeFail {
			again, where = append(again, batch[i]), append(where, i)
		}
	}
	if len(again) == 0 {
		return results
	}
	for j, r := range s.once(ctx, m, &batch[0], again, 0) {
		r.Elapsed += results[where[j]].Elapsed
		results[where[j]] = r
	}
	return results
}

// once makes one request for a batch, and where the answer does not say which targets it
// is about, one for half of them at a time. What a request says of one target it says of
// first, so that a repetition replaces what was shown.
func (s *Sender) once(ctx context.Context, m *push.Message, first *push.Target, batch []push.Target, userType int) []push.Result {
	r, fault := s.build(m, first, push.BadgeKey(m, first, maxBadge))
	if fault != nil {
		return push.Fill(len(batch), *fault)
	}
	r.Android.TargetUserType = userType
	for _, t := range batch {
		r.Token = append(r.Token, t.Token)
	}
	body, err := push.CompactJSON(r)
	if err != nil {
		return push.Fill(len(batch), *push.BadContent("the message is not JSON"))
	}
	a := s.post(ctx, body)
	push.Said(&a.all, a.said, m, batch, s.fields[fieldClientSecret])
	if out, certain := a.results(batch); certain || len(batch) == 1 {
		return out
	}
	return push.InHalves(batch, a.all.Elapsed, func(half []push.Target) []push.Result {
		return s.once(ctx, m, first, half, userType)
	})
}

// post makes the request with an access token, and once more with a new one.
func (s *Sender) post(ctx context.Context, body []byte) answer {
	if ctx.Err() != nil {
		return answer{all: *push.Interrupted(ctx)}
	}
	var out answer
	fault := s.tokens.Use(ctx, func(token string) bool {
		header := http.Header{
			"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"},
			"Timestamp": {strconv.FormatInt(s.http.Now().UnixMilli(), 10)},
		}
		before := out.all.Elapsed
		r, fault := s.http.Do(ctx, http.MethodPost, s.send, header, body)
		if fault != nil {
			out = answer{all: *fault}
		} else {
			out = s.read(r)
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
// this interface has no dry run. Honor looks at the credential first, so a complaint
// about the token proves it.
func (s *Sender) Check(ctx context.Context) push.Result {
	m := push.Message{Kind: push.Alert, Title: "check", Body: "check"}
	nobody := []push.Target{{Token: checkToken}}
	r := s.once(ctx, &m, &nobody[0], nobody, testUser)[0]
	if r.Outcome == push.BadTarget || r.Outcome == push.Accepted {
		return push.Result{Outcome: push.Accepted, Code: r.Code, Text: "the credential was accepted", Elapsed: r.Elapsed}
	}
	return r
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
