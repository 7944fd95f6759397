package fcm

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"hongyan/push"
)

const (
	// scope is all that sending needs.
	scope = "https://www.googleapis.com/auth/firebase.messaging"
	// defaultConns is how many requests are under way at once; with one token per
	// request they are what limits the messages per second.
	defaultConns = 256
	// maxToken bounds a registration token, whose format Google does not tell; today's
	// have about 160 characters.
	maxToken = 4096
	// checkTopic is only ever named with validate_only.
	checkTopic = "hongyan-check"
)

// Sender sends through one service account.
type Sender struct {
	http    *push.HTTP
	tokens  *push.AccessTokens
	slots   push.Slots
	jwt     jwt.Config
	send    string
	channel string
	codes   map[string]code
}

// Open returns a Sender for the credential in fields; see push.Spec. It opens no
// connection: the first push does.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	a, err := parse(fields)
	if err != nil {
		return nil, err
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	h, err := push.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	token, send := tokenBase, sendBase
	if o.Endpoint != "" {
		token, send = strings.TrimSuffix(o.Endpoint, "/"), strings.TrimSuffix(o.Endpoint, "/")
	}
	s := &Sender{
		http: h, slots: push.NewSlots(o.MaxConns), channel: fields[fieldChannel], codes: table(),
		send: send + "/v1/projects/" + url.PathEscape(a.Project) + "/messages:send",
		jwt: jwt.Config{
			Email: a.Email, PrivateKey: []byte(a.Key), PrivateKeyID: a.KeyID, Scopes: []string{scope},
			TokenURL: token + "/token", Audience: tokenBase + "/token", Expires: time.Hour,
		},
	}
	s.tokens = push.NewAccessTokens(h.Now, s.fetch)
	return s, nil
}

// fetch asks Google for an access token.
func (s *Sender) fetch(ctx context.Context) (push.AccessToken, *push.Result) {
	x := s.http.Exchange(ctx)
	t, err := s.jwt.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, x.Client())).Token()
	if err == nil {
		return push.AccessToken{Value: t.AccessToken, Expires: expiry(t, s.http.Now())}, nil
	}
	switch {
	case x.Fault != nil:
		return push.AccessToken{}, x.Fault
	case x.Reply.Status == 0:
		return push.AccessToken{}, &push.Result{Outcome: push.BadCredential, Code: push.CodeSigning, Text: "the service account's key could not sign"}
	}
	r := s.refusal(x.Reply)
	return push.AccessToken{}, &r
}

// expiry is when a token ends by our own clock: the library knows only the system's.
func expiry(t *oauth2.Token, now time.Time) time.Time {
	life := time.Hour // Google's, where it does not say
	if !t.Expiry.IsZero() {
		life = time.Until(t.Expiry)
	}
	return now.Add(life)
}

// Send implements push.Sender. FCM takes no id of ours: that a message which is sent
// again replaces the first one is up to its collapse key.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	msg, err := s.buildMessage(&m, nil)
	return s.slots.Each(ctx, len(targets), func(i int) push.Result {
		return s.one(ctx, &m, &targets[i], msg, err)
	})
}

// one pushes to one target. msg and err are those for a target without a badge of its
// own.
func (s *Sender) one(ctx context.Context, m *push.Message, t *push.Target, msg []byte, err error) push.Result {
	if !plausible(t.Token) {
		return push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "this is no registration token"}
	}
	if t.Badge != nil {
		msg, err = s.buildMessage(m, t.Badge)
	}
	if err != nil {
		return notSent(err)
	}
	body, err := requestBody(msg, t.Token)
	if err != nil {
		return notSent(err)
	}
	return s.post(ctx, body)
}

// plausible reports whether a token could be one; what a token looks like is Google's
// affair.
func plausible(token string) bool {
	return token != "" && len(token) <= maxToken && push.Visible(token)
}

func notSent(err error) push.Result {
	if errors.Is(err, errTooLarge) {
		return push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge, Text: "more than FCM's 4096 bytes"}
	}
	return push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "FCM has no form for this message"}
}

// post makes the request, and makes it once more with a new access token if Google
// refuses the present one.
func (s *Sender) post(ctx context.Context, body []byte) push.Result {
	var spent time.Duration
	for try := 0; ; try++ {
		token, version, fault := s.tokens.Get(ctx)
		if fault != nil {
			return *fault
		}
		reply, fault := s.http.Do(ctx, http.MethodPost, s.send, http.Header{
			"Authorization": {"Bearer " + token}, "Content-Type": {"application/json; charset=utf-8"},
		}, body)
		if fault != nil {
			r := *fault
			r.Elapsed += spent
			return r
		}
		r := s.answer(reply)
		spent += reply.Elapsed
		r.Elapsed = spent
		if r.Code != codeUnauthenticated {
			return r
		}
		s.tokens.Refused(version)
		if try > 0 {
			return r
		}
	}
}

// Check implements push.Sender. It has Google validate a message to a topic without
// sending it, which proves key, project and permission.
func (s *Sender) Check(ctx context.Context) push.Result {
	r := s.post(ctx, []byte(`{"validate_only":true,"message":{"topic":"`+checkTopic+`","data":{"check":"1"}}}`))
	if r.Outcome == push.Accepted {
		return push.Result{Outcome: push.Accepted, Text: "Google took the service account and would send", Elapsed: r.Elapsed}
	}
	return r
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
