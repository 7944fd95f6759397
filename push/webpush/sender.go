package webpush

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	lib "github.com/SherClockHolmes/webpush-go"

	"hongyan/push"
)

const (
	// defaultConns is how many requests are under way at once; with one target per
	// request they are what limits the messages per second.
	defaultConns = 128
	// checkEndpoint belongs to no browser. Apple's service should judge a request's key
	// before its address, as its other push service does; nobody documents it.
	checkEndpoint = "https://web.push.apple.com"
	checkPath     = "/push/hongyan-check"
	// strangersPart is how much of the places servers get together that are no browser's
	// push service, and strangerWait how long a message waits for one of theirs: whoever
	// subscribes with an address that never answers must not stop the others.
	strangersPart = 4 // one in four, beside the others
	strangerWait  = 2 * time.Second
)

// Sender sends with one key pair.
type Sender struct {
	http  *push.HTTP
	slots push.Slots
	// strangers are the places for addresses that are no browser's push service.
	strangers push.Slots
	vapid     lib.Options
	only      string // the one origin that may be called, "" for any
	check     string
	codes     map[string]code
}

// Open returns a Sender for the credential in fields; see push.Spec. Subscriptions name
// the address to call, so that without o.DialControl it opens only for o.Endpoint: then
// nothing but that address is called, and subscriptions at a name that is reserved for
// nothing (.invalid) stand for it: those of virtual browsers outlive a port.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	if err := check(fields); err != nil {
		return nil, err
	}
	s := &Sender{check: checkEndpoint + checkPath, codes: table()}
	switch {
	case o.Endpoint != "":
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("push/webpush: open: the endpoint is not an https address")
		}
		s.only, s.check = originOf(u), u.Scheme+"://"+u.Host+checkPath
	case o.DialControl == nil:
		return nil, errors.New("push/webpush: open: no control over the addresses that subscriptions name")
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	var err error
	if s.http, err = push.NewHTTP(o); err != nil {
		return nil, err
	}
	s.slots, s.strangers = push.NewSlots(o.MaxConns), push.NewSlots(o.MaxConns/strangersPart)
	s.vapid = lib.Options{
		Subscriber: subscriber(fields[fieldSubject]), VAPIDPublicKey: fields[fieldPublic], VAPIDPrivateKey: fields[fieldPrivate],
	}
	return s, nil
}

// Send implements push.Sender. Target.ID goes along as id, by which the service worker
// knows a message that arrives twice.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	out := make([]push.Result, len(targets))
	push.Parallel(len(targets), cap(s.slots), func(i int) { out[i] = s.one(ctx, &m, &targets[i]) })
	return out
}

func (s *Sender) one(ctx context.Context, m *push.Message, t *push.Target) push.Result {
	sub, ok := parseSubscription(t.Token)
	if !ok {
		return push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "this is no subscription of a browser"}
	}
	if s.only != "" && sub.stands() {
		sub.move(s.check)
	}
	if s.only != "" && sub.origin != s.only {
		return push.Result{Outcome: push.BadTarget, Code: push.CodeRefusedAddress, KeepToken: true, Text: "the subscription is not for the push service in use"}
	}
	body, err := buildPayload(m, t)
	switch {
	case errors.Is(err, errTooLarge):
		return push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge, Text: "more than 3000 bytes"}
	case err != nil:
		return push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "Web Push has no form for this message: a browser must be shown something"}
	}
	o := s.vapid
	o.Topic, o.Urgency, o.TTL, o.RecordSize = topic(m.CollapseKey), urgency(m), ttl(m, s.http.Now()), recordSize(len(body))
	send := func() push.Result { return s.post(ctx, sub, body, o) }
	if s.only == "" && !browsers(sub.url) {
		return s.stranger(ctx, send)
	}
	return s.slots.One(ctx, send)
}

// stranger sends to an address that anybody may have chosen. That it does not answer
// says nothing about the credential.
func (s *Sender) stranger(ctx context.Context, send func() push.Result) push.Result {
	wait, cancel := context.WithTimeout(ctx, strangerWait)
	defer cancel()
	var r push.Result
	if s.strangers.Take(wait) {
		defer s.strangers.Leave()
		r = send()
	} else {
		r = *push.Interrupted(wait)
	}
	r.DeviceOnly = r.DeviceOnly || r.Outcome == push.Retry
	return r
}

// post encrypts, signs and sends one message.
func (s *Sender) post(ctx context.Context, sub *subscription, body []byte, o lib.Options) push.Result {
	x := s.http.Exchange(ctx)
	o.HTTPClient = x.Client()
	res, err := lib.SendNotificationWithContext(ctx, body, &sub.Subscription, &o)
	if err == nil {
		_ = res.Body.Close() // in memory
		return s.answer(x.Reply, sub.url)
	}
	if x.Fault != nil {
		return *x.Fault
	}
	// Nothing was sent: the library could not encrypt or sign, which its errors do not
	// tell apart. Both keys were checked before.
	return push.Result{Outcome: push.BadCredential, Code: push.CodeSigning, Text: "the message could not be encrypted or signed"}
}

// Check implements push.Sender. There is nowhere to ask about a key, so it sends to a
// subscription that nobody has: a push service that complains about the address has
// taken the signature. Whether browsers subscribed with this very key shows at the
// first message.
func (s *Sender) Check(ctx context.Context) push.Result {
	sub, err := s.nobody()
	if err != nil {
		return push.Result{Outcome: push.Retry, Code: push.CodeSigning, Text: "no key could be made"}
	}
	o := s.vapid
	o.TTL, o.RecordSize = 0, padTo
	r := s.post(ctx, sub, []byte("{}"), o)
	switch r.Code {
	case "400", "404", "410", "":
		if r.Outcome == push.Retry {
			return r
		}
		return push.Result{Outcome: push.Accepted, Code: r.Code, Text: "a push service took the key's signature", Elapsed: r.Elapsed}
	}
	return r
}

// nobody is a subscription that no browser has.
func (s *Sender) nobody() (*subscription, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var auth [authBytes]byte
	_, _ = rand.Read(auth[:]) // never fails, see crypto/rand
	e := base64.RawURLEncoding
	sub := &subscription{Subscription: lib.Subscription{Endpoint: s.check}}
	sub.Keys.P256dh, sub.Keys.Auth = e.EncodeToString(key.PublicKey().Bytes()), e.EncodeToString(auth[:])
	if sub.url, err = url.Parse(s.check); err != nil {
		return nil, err
	}
	return sub, nil
}

// Close implements push.Sender.
func (s *Sender) Close() { s.http.Close() }
