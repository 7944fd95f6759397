package webpush

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"hongyan/push"
)

// Pages that define the codes.
const (
	docPush    = "https://www.rfc-editor.org/rfc/rfc8030"
	docVAPID   = "https://www.rfc-editor.org/rfc/rfc8292#section-2.1"
	docErrors  = "https://pushpad.xyz/blog/web-push-errors-explained-with-http-status-codes"
	docWindows = "https://learn.microsoft.com/en-us/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers"
)

// Codes that are not a status alone, because services answer one status for two things.
const (
	codeOtherKey = "key_mismatch"
	codeVAPID    = "400:vapid"
)

// code is what an answer means for the target.
type code struct {
	outcome   push.Outcome
	keepToken bool
	text      string
	doc       string
}

// table has every code; one that is missing is judged by its class, see byClass.
func table() map[string]code {
	retry := code{outcome: push.Retry, text: "the push service is in trouble", doc: docErrors}
	return map[string]code{
		"404":        {outcome: push.BadTarget, text: "the push service does not know the subscription", doc: docPush},
		"410":        {outcome: push.BadTarget, text: "the user left or took the permission back", doc: docPush},
		codeOtherKey: {outcome: push.BadTarget, keepToken: true, text: "the browser subscribed with another key", doc: docVAPID},
		"413":        {outcome: push.BadMessage, text: "the message is too large for the push service", doc: docPush},
		"400":        {outcome: push.BadMessage, text: "the push service could not read the request", doc: docErrors},
		codeVAPID:    {outcome: push.BadCredential, text: "the push service refused the signature or the subject", doc: docVAPID},
		"401":        {outcome: push.BadCredential, text: "the push service refused the signature or the subject", doc: docVAPID},
		"403":        {outcome: push.BadCredential, text: "the push service refused the signature or the subject", doc: docVAPID},
		"406":        {outcome: push.Throttled, text: "too many messages for Microsoft's push service", doc: docWindows},
		"429":        {outcome: push.Throttled, text: "too many messages for the push service", doc: docPush},
		"500":        retry, "502": retry, "503": retry, "504": retry,
	}
}

// codes is the table as the console and the documentation need it.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for name, c := range table() {
		out[name] = push.CodeInfo{Outcome: c.outcome, KeepToken: c.keepToken, Doc: c.doc}
	}
	return out
}

// answer is the Result of an answer from an endpoint. Services that are not known may
// speak about nothing but their own subscription.
func (s *Sender) answer(r push.Reply, from *url.URL) push.Result {
	if r.Status/100 == 2 {
		return push.Result{Outcome: push.Accepted, VendorID: messageID(r.Header.Get("Location")), Elapsed: r.Elapsed}
	}
	name := codeOf(r)
	c, ok := s.codes[name]
	if !ok {
		c = byClass(r.Status)
	}
	out := push.Result{
		Outcome: c.outcome, Code: name, Text: c.text, KeepToken: c.keepToken, RetryAfter: r.Wait, Elapsed: r.Elapsed,
	}
	if s.only != "" || known(from) {
		return out
	}
	switch out.Outcome {
	case push.BadCredential:
		out.Outcome, out.KeepToken = push.BadTarget, true
	case push.Throttled:
		out.DeviceOnly = true
	}
	return out
}

// codeOf is the status, or what the body of known services says more precisely.
func codeOf(r push.Reply) string {
	name := strconv.Itoa(r.Status)
	switch r.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return name
	}
	body := strings.ToLower(string(r.Body))
	for _, said := range []string{
		"do not correspond to the credentials", // FCM
		"does not correspond to the sender id", // FCM
		"mismatchsenderid",                     // FCM, older
		"public key mismatch",                  // Mozilla
		"vapidpkhashmismatch",                  // Apple
	} {
		if strings.Contains(body, said) {
			return codeOtherKey
		}
	}
	if r.Status == http.StatusBadRequest {
		for _, said := range []string{"vapid", "jwt", "authorization", "unauthorizedregistration"} {
			if strings.Contains(body, said) {
				return codeVAPID
			}
		}
	}
	return name
}

// byClass is the default for a status that is not in the table. A redirect is not
// followed: it could lead anywhere.
func byClass(status int) code {
	c := code{text: "status " + strconv.Itoa(status) + ", which no push service documents"}
	switch status / 100 {
	case 3:
		c.outcome, c.keepToken, c.text = push.BadTarget, true, "the address redirects, which is not followed"
	case 4:
		c.outcome = push.BadMessage
	default:
		c.outcome = push.Retry
	}
	return c
}

// messageID is the end of the address under which the service keeps the message.
func messageID(location string) string {
	return push.SaneID(location[strings.LastIndexByte(location, '/')+1:])
}
