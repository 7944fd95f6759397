package apns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/sideshow/apns2"

	"hongyan/push"
)

const (
	// defaultTimeout bounds one push from the wait for a connection to the answer.
	defaultTimeout = 12 * time.Second
	// fanOut is how many targets of one Send are under way at once.
	fanOut = 256
	// maxToken bounds a device token in hex digits. Apple asks not to assume a
	// length; today's have 64 and those of Live Activities more.
	maxToken = 512
	// checkToken has the shape of a device token and belongs to no device.
	checkToken = "0000000000000000000000000000000000000000000000000000000000000000"
)

// errNoTopic says that neither the target nor the credential names a bundle id.
var errNoTopic = errors.New("push/apns: no topic")

// Sender sends through one key or certificate in one environment.
type Sender struct {
	pool     *pool
	provider *provider // nil with a certificate
	request  *http.Request
	topic    string
	timeout  time.Duration
	now      func() time.Time
	reasons  map[string]reason
}

// Open returns a Sender for the credential in fields; see push.Spec. It opens no
// connection: the first push does.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	c, err := parse(fields, now())
	if err != nil {
		return nil, err
	}
	if o.Environment == "" {
		o.Environment = push.Production
	}
	if !c.good(o.Environment) {
		return nil, &push.FieldError{Field: fieldEnvironments, Code: push.FieldEnvironment}
	}
	base, err := endpoint(o)
	if err != nil {
		return nil, err
	}
	cfg, err := tlsConfig(base.Hostname(), o.RootCAs, c.cert)
	if err != nil {
		return nil, err
	}
	s := &Sender{topic: o.Topic, timeout: o.Timeout, now: now, reasons: reasonTable()}
	if s.topic == "" {
		s.topic = c.info.BundleID
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if c.key != nil {
		s.provider = &provider{key: c.key, keyID: c.keyID, teamID: c.teamID, now: now}
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	s.request = &http.Request{
		Method: http.MethodPost, URL: base, Host: base.Host,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	s.pool = newPool(cfg, address(base), o.MaxConns)
	return s, nil
}

// endpoint is Apple's address for the environment, or the one that replaces it.
func endpoint(o push.Options) (*url.URL, error) {
	raw := apns2.HostProduction
	if o.Environment == push.Development {
		raw = apns2.HostDevelopment
	}
	if o.Endpoint != "" {
		raw = o.Endpoint
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("push/apns: open: endpoint %q is not an https address", raw)
	}
	return u, nil
}

// address is the host and port to dial.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func tlsConfig(host string, roots []byte, cert tls.Certificate) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	if len(cert.Certificate) > 0 {
		cfg.Certificates = []tls.Certificate{cert}
	}
	if len(roots) == 0 {
		return cfg, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(roots) {
		return nil, errors.New("push/apns: open: no certificate in the additional roots")
	}
	cfg.RootCAs = pool
	return cfg, nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	results := make([]push.Result, len(targets))
	payload, err := buildPayload(&m, nil)
	push.Parallel(len(targets), fanOut, func(i int) {
		results[i] = s.one(ctx, &m, &targets[i], payload, err)
	})
	return results
}

// one pushes to one target. payload and err are those for a target without a badge
// of its own.
func (s *Sender) one(ctx context.Context, m *push.Message, t *push.Target, payload []byte, err error) push.Result {
	if t.Badge != nil {
		payload, err = buildPayload(m, t.Badge)
	}
	if err != nil {
		return notSent(err)
	}
	device, ok := normalize(t.Token)
	if !ok {
		return push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "the device token is not hexadecimal"}
	}
	h, err := s.header(m, t)
	if err != nil {
		return notSent(err)
	}
	return s.push(ctx, device, h, payload)
}

// Check implements push.Sender. It pushes to a token that belongs to nobody: Apple
// looks at the credential first, so a complaint about the token proves it.
func (s *Sender) Check(ctx context.Context) push.Result {
	m := push.Message{Kind: push.Silent}
	h, err := s.header(&m, &push.Target{ID: uuid.NewString()})
	if err != nil {
		return notSent(err)
	}
	r := s.push(ctx, checkToken, h, []byte(`{"aps":{"content-available":1}}`))
	if r.Outcome == push.BadTarget {
		return push.Result{Outcome: push.Accepted, Code: r.Code, Text: "the credential was accepted", Elapsed: r.Elapsed}
	}
	return r
}

// Close implements push.Sender. Pushes in flight may still end well.
func (s *Sender) Close() { s.pool.close(s.timeout) }

// normalize returns a device token in lower-case hex, or false if it is none.
func normalize(token string) (string, bool) {
	if token == "" || len(token)%2 != 0 || len(token) > maxToken {
		return "", false
	}
	upper := false
	for i := range len(token) {
		switch c := token[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			upper = true
		default:
			return "", false
		}
	}
	if upper {
		token = strings.ToLower(token)
	}
	return token, true
}

// header builds the request's headers but for the authorization. Names are lower
// case already, as HTTP/2 wants them.
func (s *Sender) header(m *push.Message, t *push.Target) (http.Header, error) {
	topic := t.Topic
	if topic == "" {
		topic = s.topic
	}
	if topic == "" || !headerSafe(topic) {
		return nil, errNoTopic
	}
	// One array carries every value; the map's slices point into it.
	v := []string{topic, pushType(m.Kind), priority(m), "", "", "", ""}
	h := make(http.Header, 8)
	h["apns-topic"], h["apns-push-type"], h["apns-priority"] = v[0:1:1], v[1:2:2], v[2:3:3]
	if v[3] = messageID(t.ID); v[3] != "" {
		h["apns-id"] = v[3:4:4]
	}
	if v[4] = collapseID(m.CollapseKey); v[4] != "" {
		h["apns-collapse-id"] = v[4:5:5]
	}
	if v[5] = expiration(m.ExpiresAt, s.now()); v[5] != "" {
		h["apns-expiration"] = v[5:6:6]
	}
	// An empty User-Agent keeps net/http's own off the wire.
	h["User-Agent"] = v[6:7:7]
	return h, nil
}

// messageID returns id as APNs takes it. An id that is no UUID is turned into one
// that is always the same, so that repeats still carry one id.
func messageID(id string) string {
	if id == "" || canonical(id) {
		return id
	}
	if u, err := uuid.Parse(id); err == nil {
		return u.String()
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)).String()
}

// canonical reports whether id is a UUID in the form Apple asks for.
func canonical(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// push makes the request, and makes it once more with a new provider token if Apple
// calls the present one expired.
func (s *Sender) push(ctx context.Context, device string, h http.Header, payload []byte) push.Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var auth []string
	if s.provider != nil {
		var err error
		if auth, err = s.provider.bearer(); err != nil {
			return notSent(err)
		}
		h["authorization"] = auth
	}
	r := s.try(ctx, device, h, payload, start)
	if s.provider != nil {
		switch r.Code {
		case apns2.ReasonExpiredProviderToken:
			fresh, ok, err := s.provider.refresh(auth)
			if err != nil {
				return notSent(err)
			}
			if ok {
				// A new map: the first request may still be held by the transport.
				h = h.Clone()
				h["authorization"] = fresh
				r = s.try(ctx, device, h, payload, time.Now())
			}
		case apns2.ReasonTooManyProviderTokenUpdates:
			s.provider.tooMany()
		}
	}
	r.Elapsed = time.Since(start)
	return r
}

// try makes one request and reads its answer.
func (s *Sender) try(ctx context.Context, device string, h http.Header, payload []byte, start time.Time) push.Result {
	f := &flight{Context: ctx}
	req := s.request.WithContext(f)
	u := *s.request.URL
	u.Path = "/3/device/" + device
	body := &payloadBody{payload: payload}
	body.reset()
	req.URL, req.Header, req.ContentLength = &u, h, int64(len(payload))
	req.Body, req.GetBody = body, body.again

	res, err := s.pool.transport.RoundTrip(req)
	if err != nil {
		if f.link != nil {
			// A caller's own, shorter deadline says nothing about the connection.
			if time.Since(start) >= s.timeout {
				s.pool.stalled(f.link, start)
			}
			s.pool.release(f.link, false)
		}
		return s.broken(ctx, err)
	}
	r := s.answer(res)
	s.pool.release(f.link, true)
	return r
}

// payloadBody is a request body that can be sent again.
type payloadBody struct {
	bytes.Reader
	payload []byte
}

func (b *payloadBody) reset() { b.Reset(b.payload) }

// Close implements io.Closer.
func (b *payloadBody) Close() error { return nil }

func (b *payloadBody) again() (io.ReadCloser, error) {
	n := &payloadBody{payload: b.payload}
	n.reset()
	return n, nil
}
