package push

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// maxAsk bounds the body of a library's request, in bytes; a vendor's own limit is
// checked before.
const maxAsk = 1 << 20

// Exchange carries one request of a library over an HTTP and keeps what came of it,
// because libraries turn answers and faults into errors that say less.
type Exchange struct {
	// Reply is the vendor's answer; its Status is 0 when there is none.
	Reply Reply
	// Fault says why there is no answer although a request was made.
	Fault *Result

	do func(method, url string, header http.Header, body []byte) (Reply, *Result)
}

// errNoAnswer is what the library is told; the Exchange knows more.
var errNoAnswer = errors.New("push: exchange: no answer")

// Exchange returns an Exchange for one request within ctx.
func (h *HTTP) Exchange(ctx context.Context) *Exchange {
	return &Exchange{do: func(method, url string, header http.Header, body []byte) (Reply, *Result) {
		return h.Do(ctx, method, url, header, body)
	}}
}

// Client is what the library makes its request with.
func (x *Exchange) Client() *http.Client {
	return &http.Client{
		Transport:     x,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper.
func (x *Exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		defer req.Body.Close() //nolint:errcheck // read to the end or given up
		var err error
		if body, err = io.ReadAll(io.LimitReader(req.Body, maxAsk)); err != nil {
			return nil, errNoAnswer
		}
	}
	x.Reply, x.Fault = x.do(req.Method, req.URL.String(), req.Header, body)
	if x.Fault != nil {
		return nil, errNoAnswer
	}
	return &http.Response{
		StatusCode: x.Reply.Status, Status: http.StatusText(x.Reply.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: x.Reply.Header, Body: io.NopCloser(bytes.NewReader(x.Reply.Body)),
		ContentLength: int64(len(x.Reply.Body)), Request: req,
	}, nil
}
