package apns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/sideshow/apns2"
	"golang.org/x/net/http2"

	"hongyan/push"
)

// maxAnswer bounds how much of an answer's body is read, in bytes. Apple's are
// under 100.
const maxAnswer = 16 << 10

// maxReason is the longest reason stored, in bytes.
const maxReason = 64

// answer turns a response into a result and finishes it.
func (s *Sender) answer(res *http.Response) push.Result {
	if res.StatusCode == apns2.StatusSent {
		// The status is the statement; nothing in a body can take it back. Reading
		// to the end lets the stream close in good order.
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return push.Result{Outcome: push.Accepted, VendorID: vendorID(res)}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close() // what is left of it does not matter
	var a struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"`
	}
	wait := push.RetryAfter(res.Header.Get("Retry-After"), s.now())
	if err != nil || json.Unmarshal(body, &a) != nil || !isReason(a.Reason) {
		return unreadable(res.StatusCode, wait)
	}
	row, known := s.reasons[a.Reason]
	if !known {
		row = byStatus(res.StatusCode)
	}
	r := push.Result{
		Outcome: row.outcome, VendorID: vendorID(res),
		Code: a.Reason, Text: row.text, RetryAfter: wait,
		DeviceOnly: row.deviceOnly, KeepToken: row.keepToken,
	}
	if res.StatusCode == http.StatusGone && a.Timestamp > 0 {
		r.DeadSince = time.UnixMilli(a.Timestamp).UTC()
	}
	return r
}

// unreadable is the result of an answer that does not come from APNs itself, such
// as a proxy's page. Only what its status says beyond doubt is believed.
func unreadable(status int, wait time.Duration) push.Result {
	r := push.Result{
		Outcome: push.Retry, Code: push.CodeBadReply, RetryAfter: wait,
		Text: fmt.Sprintf("status %d without a reason", status),
	}
	switch status {
	case http.StatusTooManyRequests:
		r.Outcome = push.Throttled
	case http.StatusRequestEntityTooLarge:
		r.Outcome = push.BadMessage
	}
	return r
}

// isReason accepts the shape of Apple's reasons and keeps everything else out of
// records and pages.
func isReason(s string) bool {
	if s == "" || len(s) > maxReason {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// vendorID returns the answer's apns-id if it looks like one.
func vendorID(res *http.Response) string {
	id := res.Header.Get("Apns-Id")
	if len(id) > maxReason || !headerSafe(id) {
		return ""
	}
	return id
}

// notSent is the result for a request that was not made.
func notSent(err error) push.Result {
	switch {
	case errors.Is(err, errTooLarge):
		return push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge, Text: "the payload is over 4096 bytes"}
	case errors.Is(err, errSigning):
		return push.Result{Outcome: push.BadCredential, Code: push.CodeSigning, Text: "the key could not sign a provider token"}
	case errors.Is(err, errNoTopic):
		return push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "the bundle id is missing or not valid"}
	}
	return push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "the message cannot be expressed on this channel"}
}

// broken is the result of a request without an answer. Nothing is known about
// whether Apple took it, so it is tried again under the same id.
func (s *Sender) broken(ctx context.Context, err error) push.Result {
	r := push.Result{Outcome: push.Retry, Code: push.CodeNetwork, Text: "the connection failed"}
	var goAway http2.GoAwayError //nolint:staticcheck // the only way to learn why
	switch {
	case errors.Is(err, errClosed):
		r.Code, r.Text = push.CodeClosed, "the sender was closed"
	case ctx.Err() != nil:
		r.Code, r.Text = push.CodeTimeout, "no answer in time"
	case s.provider == nil && refusedCertificate(err):
		r.Outcome, r.Code, r.Text = push.BadCredential, push.CodeRefusedTLS, "the certificate was refused during the TLS handshake"
	case errors.As(err, &goAway):
		r.Text = "APNs closed the connection"
		var a struct {
			Reason string `json:"reason"`
		}
		if json.Unmarshal([]byte(goAway.DebugData), &a) == nil && isReason(a.Reason) {
			r.Text += ": " + a.Reason
		}
	}
	return r
}

// refusedCertificate reports whether the peer ended TLS because of our certificate.
// crypto/tls has no exported type for a received alert, only its number (RFC 8446
// section 6.2) behind an unexported one.
func refusedCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return false
	}
	switch v.Uint() {
	case 40, 42, 43, 44, 45, 46, 48, 49, 116:
		// handshake_failure, bad_, unsupported_, revoked, expired, unknown
		// certificate, unknown_ca, access_denied, certificate_required
		return true
	}
	return false
}
