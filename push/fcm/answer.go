package fcm

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"hongyan/push"
)

// What to wait for where Google does not say how long:
// https://firebase.google.com/docs/cloud-messaging/scale-fcm
const (
	quotaWait       = time.Minute
	unavailableWait = 10 * time.Second
)

// maxCode bounds a code that this version does not know.
const maxCode = 64

// reply is Google's answer in either case.
type reply struct {
	Name  string `json:"name"`
	Error *struct {
		Message string   `json:"message"`
		Status  string   `json:"status"`
		Details []detail `json:"details"`
	} `json:"error"`
}

// detail is any of google.rpc's details and FCM's own.
type detail struct {
	Type            string `json:"@type"`
	ErrorCode       string `json:"errorCode"`
	FieldViolations []struct {
		Field string `json:"field"`
	} `json:"fieldViolations"`
	Violations []struct {
		Subject     string `json:"subject"`
		Description string `json:"description"`
	} `json:"violations"`
}

// answer is the Result of an answer to a message.
func (s *Sender) answer(r push.Reply) push.Result {
	var got reply
	if json.Unmarshal(r.Body, &got) != nil {
		return push.ByStatus(r)
	}
	if r.Status == http.StatusOK && got.Name != "" {
		return push.Result{Outcome: push.Accepted, VendorID: got.Name[strings.LastIndexByte(got.Name, '/')+1:], Elapsed: r.Elapsed}
	}
	if got.Error == nil || got.Error.Status == "" {
		return push.ByStatus(r)
	}
	name := got.code()
	c, ok := s.codes[name]
	if !ok {
		c = byStatus(r.Status)
	}
	out := push.Result{
		Outcome: c.outcome, Code: push.CutBytes(name, maxCode), Text: c.text,
		KeepToken: c.keepToken, RetryAfter: r.Wait, Elapsed: r.Elapsed,
	}
	switch {
	case out.Outcome == push.Throttled:
		out.DeviceOnly = got.aboutDevice()
		if out.RetryAfter == 0 {
			out.RetryAfter = quotaWait
		}
	case out.RetryAfter == 0 && name == codeUnavailable:
		out.RetryAfter = unavailableWait
	}
	return out
}

// code is Google's code: FCM's own where there is one, else that of google.rpc.
func (g *reply) code() string {
	name := g.Error.Status
	fcm := false
	for _, d := range g.Error.Details {
		if strings.HasSuffix(d.Type, "/google.firebase.fcm.v1.FcmError") && d.ErrorCode != "" {
			name, fcm = d.ErrorCode, true
		}
	}
	switch {
	case name == codeExhausted:
		return codeQuota // the quota of all requests comes without FCM's own code
	case name == codeInvalid && fcm && g.aboutToken():
		return codeInvalidToken
	}
	return name
}

// aboutToken reports whether an invalid argument is the token.
func (g *reply) aboutToken() bool {
	for _, d := range g.Error.Details {
		for _, v := range d.FieldViolations {
			if v.Field == "message.token" {
				return true
			}
		}
	}
	return strings.Contains(strings.ToLower(g.Error.Message), "registration token")
}

// aboutDevice reports whether the quota is that of one device, which says nothing
// about the others.
func (g *reply) aboutDevice() bool {
	said := g.Error.Message
	for _, d := range g.Error.Details {
		for _, v := range d.Violations {
			said += " " + v.Subject + " " + v.Description
		}
	}
	return strings.Contains(strings.ToLower(said), "device")
}

// byStatus is the default for a code that Google has added since: the class of the
// status says who is at fault, and where that is unclear nothing is retired.
func byStatus(status int) code {
	c := code{text: "a code this version does not know"}
	switch {
	case status == http.StatusTooManyRequests:
		c.outcome = push.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		c.outcome = push.BadCredential
	case status >= 400 && status < 500:
		c.outcome = push.BadMessage
	default:
		c.outcome = push.Retry
	}
	return c
}

// refusal is the Result of an answer of the token endpoint that brought no token.
func (s *Sender) refusal(r push.Reply) push.Result {
	var got struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(r.Body, &got) != nil || got.Error == "" || r.Status/100 == 5 || r.Status == http.StatusTooManyRequests {
		return push.ByStatus(r)
	}
	c, ok := s.codes[got.Error]
	if !ok {
		c = code{outcome: push.BadCredential, text: "Google refused the service account"}
	}
	return push.Result{Outcome: c.outcome, Code: push.CutBytes(got.Error, maxCode), Text: c.text, RetryAfter: r.Wait, Elapsed: r.Elapsed}
}
