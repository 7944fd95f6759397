package huawei

import "hongyan/push"

// docCodes is Huawei's page that defines the codes, of the business and of HTTP.
const docCodes = "https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197"

// Codes that the sender looks at beyond their row.
const (
	codeOK           = "80000000"
	codePartly       = "80100000"
	codeNoPermission = "80300002"
	codeAllInvalid   = "80300007"
	codeNoPriority   = "80300011"
	codeUnauthorized = "401"
)

// row is what a code means for the targets of a request.
type row struct {
	outcome push.Outcome
	text    string
	// refresh: the access token was refused, so try once more with a new one.
	refresh bool
}

// rows is Huawei's table. Codes of three digits are statuses of HTTP, used when an
// answer has no code of its own.
func rows() map[string]row {
	return map[string]row{
		codeOK: {outcome: push.Accepted},
		// Of the tokens that the answer names; the others were accepted.
		codePartly: {outcome: push.BadTarget, text: "the device token is not valid"},
		"80100001": {outcome: push.BadMessage, text: "a parameter is wrong"},
		"80100002": {outcome: push.BadMessage, text: "the number of device tokens is wrong"},
		"80100003": {outcome: push.BadMessage, text: "the structure of the message is wrong"},
		"80100004": {outcome: push.BadMessage, text: "the message's end lies in the past"},
		"80100013": {outcome: push.BadMessage, text: "the collapse key is not valid"},
		"80100016": {outcome: push.BadMessage, text: "Huawei calls the message sensitive"},
		"80100017": {outcome: push.Throttled, text: "too many topic messages at once"},
		"80200001": {outcome: push.BadCredential, refresh: true, text: "the authorization was refused"},
		"80200003": {outcome: push.BadCredential, refresh: true, text: "a fresh access token was refused as expired"},
		// Until something was accepted the app itself may be at fault; see answer.
		codeNoPermission: {outcome: push.BadCredential, text: "no permission for these tokens: Push Kit is not enabled, or they belong to another app"},
		codeAllInvalid:   {outcome: push.BadTarget, text: "the device token is not valid"},
		"80300008":       {outcome: push.BadMessage, text: "the message is over 4096 bytes"},
		"80300010":       {outcome: push.BadMessage, text: "no device tokens, or more than 1000"},
		// Sent once more with normal priority; see Sender.high.
		codeNoPriority:   {outcome: push.BadCredential, text: "the app may not send with high priority"},
		"80600003":       {outcome: push.Retry, text: "Huawei could not check the access token"},
		"81000001":       {outcome: push.Retry, text: "internal error at Huawei"},
		codeUnauthorized: {outcome: push.BadCredential, refresh: true, text: "the authorization was refused"},
		// The address is made of constants and the app id.
		"404": {outcome: push.BadCredential, text: "there is no such address: check the app id"},
		"500": {outcome: push.Retry, text: "internal error at Huawei"},
		"502": {outcome: push.Retry, text: "Huawei's gateway reached nobody"},
		"503": {outcome: push.Throttled, text: "too many messages at once"},
	}
}

// unknown is the default for a code that Huawei has added since.
func unknown() row {
	return row{outcome: push.BadMessage, text: "a code this version does not know"}
}

func codes() map[string]push.CodeInfo {
	out := map[string]push.CodeInfo{}
	for code, r := range rows() {
		out[code] = push.CodeInfo{Outcome: r.outcome, Doc: docCodes}
	}
	return out
}
