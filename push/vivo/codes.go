package vivo

import (
	"strconv"

	"hongyan/push"
)

// Codes of [api] that the sender itself must know.
const (
	codeOK         = 0
	codeAuth       = 10000
	codeQuota      = 10070
	codeBatchQuota = 10252
	codeBadRegID   = 10302
)

// statusFailed is the code of an answer with HTTP status 500, vivo's only one beside 200.
const statusFailed = "500"

// row is what a code means for a target.
type row struct {
	outcome   push.Outcome
	keepToken bool
	// untilMidnight: the code stands until the daily quota starts anew. vivo lowers
	// the quota of an app that goes on calling ([api] 1.1).
	untilMidnight bool
	text          string
}

// table gives every code of [api] its meaning, and the statuses of an invalidUser
// under the names of userCode. vivo does not publish the numbers of its checks of
// parameters; they fall to unknown.
func table() map[string]row {
	return map[string]row{
		"10000":      {outcome: push.BadCredential, text: "vivo refused the app's keys or a fresh token; check the keys and this machine's clock"},
		"10094":      {outcome: push.BadCredential, text: "the app id does not belong to the token"},
		"10045":      {outcome: push.BadCredential, text: "the app is under review at vivo and may send in test mode only"},
		"10200":      {outcome: push.BadCredential, text: "vivo saw no app id"},
		"10201":      {outcome: push.BadCredential, text: "vivo saw no app key"},
		"10070":      {outcome: push.Throttled, untilMidnight: true, text: "the day's total of messages is used up"},
		"10252":      {outcome: push.Throttled, untilMidnight: true, text: "the day's number of batch messages is used up"},
		"10254":      {outcome: push.Throttled, untilMidnight: true, text: "the day's messages to all devices are used up"},
		"10072":      {outcome: push.Throttled, text: "vivo asks for fewer messages a second"},
		"10302":      {outcome: push.BadTarget, text: "the regId is not valid"},
		userCode(1):  {outcome: push.BadTarget, text: "the regId does not exist"},
		userCode(2):  {outcome: push.BadTarget, text: "the app was removed or its notifications were turned off"},
		userCode(3):  {outcome: push.BadTarget, keepToken: true, text: "the device has been inactive for long"},
		userCode(4):  {outcome: push.BadTarget, keepToken: true, text: "the device is not registered for test mode"},
		statusFailed: {outcome: push.Retry, text: "internal error at vivo"},
	}
}

// userCode names the status of an invalidUser among the codes.
func userCode(status int) string { return "user_" + strconv.Itoa(status) }

// unknown is the default for a code that is in no table: a check of the request that
// will fail again.
func unknown() row {
	return row{outcome: push.BadMessage, text: "vivo refused the request"}
}

// codes is the table as the console and the documentation need it.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for code, r := range table() {
		out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keepToken, Doc: docAPI}
	}
	return out
}
