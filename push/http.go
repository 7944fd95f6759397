package push

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
	"strconv"
	"strings"
	"time"
)

const (
	// httpTimeout bounds one request to a vendor unless Options say otherwise.
	httpTimeout = 10 * time.Second
	// HTTPInFlight is the most connections to one host, and so the most requests at
	// once: at 50 ms they are 5000 a second, as much as any of the vendors' rules.
	HTTPInFlight = 256
	// maxAnswer bounds how much of an answer is read, in bytes: a thousand dead
	// tokens of 200 bytes fit.
	maxAnswer = 1 << 20
)

// HTTP sends requests to a vendor over connections of its own. It is safe for
// concurrent use. Redirects are not followed: a vendor's API has none, and
// following one could carry a credential to a stranger.
type HTTP struct {
	client  *http.Client
	timeout time.Duration
	closed  context.Context
	close   context.CancelFunc
	now     func() time.Time
}

// NewHTTP returns an HTTP for the installation's options.
func NewHTTP(o Options) (*HTTP, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.RootCAs) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.RootCAs) {
			return nil, errors.New("push: http: no certificate among the root CAs")
		}
		conf.RootCAs = pool
	}
	dial := &net.Dialer{Timeout: httpTimeout, KeepAlive: 15 * time.Second, Control: o.DialControl}
	h := &HTTP{timeout: o.Timeout, now: o.Now}
	if h.timeout <= 0 {
		h.timeout = httpTimeout
	}
	if h.now == nil {
		h.now = time.Now
	}
	conns := o.MaxConns
	if conns <= 0 {
		conns = HTTPInFlight
	}
	// HTTP/1.1 with many connections: the vendors' gateways either do not speak
	// HTTP/2 or allow few streams, and one lost packet then stops them all.
	h.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dial.DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: httpTimeout,
			MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns, MaxIdleConns: 4 * conns, IdleConnTimeout: 90 * time.Second, Proxy: http.ProxyFromEnvironment,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.DialControl != nil {
		// A proxy would dial in our place and see addresses that we may not.
		h.client.Transport.(*http.Transport).Proxy = nil //nolint:forcetypeassert // made above
	}
	h.closed, h.close = context.WithCancel(context.Background())
	return h, nil
}

// Now is the clock of the options.
func (h *HTTP) Now() time.Time { return h.now() }

// Close ends requests under way and closes the connections.
func (h *HTTP) Close() {
	h.close()
	h.client.CloseIdleConnections()
}

// Reply is a vendor's answer to one request.
type Reply struct {
	Status  int
	Header  http.Header
	Body    []byte
	Elapsed time.Duration
	// Wait is what Retry-After asks for, 0 without one.
	Wait time.Duration
}

// Do sends one request and reads the whole answer. Without one the Result says why,
// as every target of the request shall have it.
func (h *HTTP) Do(ctx context.Context, method, url string, header http.Header, body []byte) (Reply, *Result) {
	if h.closed.Err() != nil {
		return Reply{}, &Result{Outcome: Retry, Code: CodeClosed, Text: "the sender was closed"}
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	stop := context.AfterFunc(h.closed, cancel)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body)) //nolint:gosec // a vendor's or the installation's address, or one that DialControl judges
	if err != nil {
		// Only an address can be wrong here; its text may hold a token.
		return Reply{}, &Result{Outcome: BadMessage, Code: CodeBadContent, Text: "no request can be made for this address"}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	start := time.Now()
	res, err := h.client.Do(req) //nolint:gosec // as above
	if err != nil {
		return Reply{}, h.fault(ctx, err, time.Since(start))
	}
	defer res.Body.Close() //nolint:errcheck // read to the end or given up
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Reply{}, h.fault(ctx, err, time.Since(start))
	}
	return Reply{
		Status: res.StatusCode, Header: res.Header, Body: data, Elapsed: time.Since(start),
		Wait: RetryAfter(res.Header.Get("Retry-After"), h.now()),
	}, nil
}

// fault says why a request has no answer, without repeating its address.
func (h *HTTP) fault(ctx context.Context, err error, elapsed time.Duration) *Result {
	r := &Result{Outcome: Retry, Code: CodeNetwork, Text: "no connection to the vendor, or it broke", Elapsed: elapsed}
	var timeout net.Error
	switch {
	case h.closed.Err() != nil:
		r.Code, r.Text = CodeClosed, "the sender was closed"
	case errors.Is(err, ErrAddressRefused):
		r.Outcome, r.Code, r.Text, r.KeepToken = BadTarget, CodeRefusedAddress, "the address is not one that may be called", true
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Code, r.Text = CodeTimeout, "the vendor did not answer in time"
	case ctx.Err() != nil:
		r.Text = "cut short"
	}
	return r
}

// ErrAddressRefused is what Options.DialControl returns for an address that may
// not be dialled.
var ErrAddressRefused = errors.New("push: http: address refused")

// Interrupted is the Result of targets whose context ended before they were sent.
func Interrupted(ctx context.Context) *Result {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Result{Outcome: Retry, Code: CodeTimeout, Text: "no time was left to send"}
	}
	return &Result{Outcome: Retry, Code: CodeNetwork, Text: "cut short before it was sent"}
}

// RetryAfter reads a Retry-After header, in seconds or as a date; 0 when there is
// none or it lies in the past.
func RetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
		return time.Duration(min(max(n, 0), 7*24*3600)) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// WaitFor is a Result's RetryAfter: what the vendor said, and at least until midnight in
// China where it is a used-up day that the outcome waits for; 0 for one that is final.
func (r Reply) WaitFor(o Outcome, midnight bool, now time.Time) time.Duration {
	switch {
	case o != Throttled && o != Retry:
		return 0
	case midnight:
		// Whatever the header says, the day's quota is no larger before.
		return max(r.Wait, UntilMidnight(now))
	}
	return r.Wait
}

// ByStatus is the Result of an answer that the vendor's own format does not explain,
// such as a proxy's page: only what the status says beyond doubt is believed.
func ByStatus(r Reply) Result {
	out := Result{
		Outcome: Retry, Code: CodeBadReply, Text: fmt.Sprintf("status %d in no known format", r.Status), RetryAfter: r.Wait, Elapsed: r.Elapsed,
	}
	switch r.Status {
	case http.StatusTooManyRequests:
		out.Outcome = Throttled
	case http.StatusServiceUnavailable:
		if r.Wait > 0 {
			out.Outcome = Throttled
		}
	case http.StatusRequestEntityTooLarge:
		out.Outcome = BadMessage
	}
	return out
}

// Fill returns one copy of a Result for each of n targets.
func Fill(n int, r Result) []Result {
	out := make([]Result, n)
	for i := range out {
		out[i] = r
	}
	return out
}
