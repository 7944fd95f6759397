package honor

import (
	"strings"

	"hongyan/push"
)

// docCodes is Honor's page on the interface. A complete list of codes was not found;
// the 80xxxxxx ones are those of Huawei's list that the service shares.
const docCodes = "https://developer.honor.com/cn/docs/11002/reference/downlink-message"

// Codes that the sender looks at beyond their row. The words are the lists of single
// tokens in an answer.
const (
	codeOK        = "200"
	codePartly    = "80100000"
	codeFail      = "failTokens"
	codeExpire    = "expireTokens"
	codeNotSent   = "sendResult"
	authCodes     = "802000" // what the codes about authorization begin with
	codeRateLimit = "80200021"
)

// row is what a code means for the targets of a request.
type row struct {
	outcome push.Outcome
	text    string
	// refresh: the access token was refused, so try once more with a new one.
	refresh bool
	keep    bool // KeepToken
}

// rows is Honor's table. Codes of three digits but 200 are also statuses of HTTP, used
// when an answer has no code of its own.
func rows() map[string]row {
	badMessage := func(text string) row { return row{outcome: push.BadMessage, text: text} }
	refused := func(text string) row { return row{outcome: push.BadCredential, text: text, refresh: true} }
	return map[string]row{
		codeOK:     {outcome: push.Accepted},
		codeExpire: {outcome: push.BadTarget, text: "the device token is not valid any more"},
		// Tried once more inside the same Send; nothing says that the token is dead.
		codeFail:      {outcome: push.BadTarget, keep: true, text: "Honor could not send to this device token, twice"},
		codeNotSent:   {outcome: push.Retry, text: "Honor did not send and does not say why"},
		codeRateLimit: {outcome: push.Throttled, text: "too many messages at once"},

		codePartly: {outcome: push.Retry, text: "a partial failure that names no tokens"},
		"80100001": badMessage("a parameter is wrong"),
		"80100003": badMessage("the structure of the message is wrong"),
		"80100004": badMessage("the message's end lies in the past"),
		"80200001": refused("the authorization was refused"),
		"80200003": refused("a fresh access token was refused as expired"),
		"80300007": {outcome: push.BadTarget, text: "the device token is not valid"},
		"80300008": badMessage("the message is over 4096 bytes"),
		"80300010": badMessage("no device tokens, or more than 1000"),
		"81000001": {outcome: push.Retry, text: "internal error at Honor"},

		"400": badMessage("the request is wrong"),
		"401": refused("the authorization was refused"),
		"403": {outcome: push.BadCredential, text: "the app may not send"},
		// The address is made of constants and the app id.
		"404": {outcome: push.BadCredential, text: "there is no such address: check the app id"},
		"429": {outcome: push.Throttled, text: "too many messages at once"},
		"500": {outcome: push.Retry, text: "internal error at Honor"},
		"502": {outcome: push.Retry, text: "Honor's gateway reached nobody"},
		"503": {outcome: push.Throttled, text: "too many messages at once"},
	}
}

// unknown is the default for a code that the table lacks: one about authorization is
// worth a new access token, the status 5xx another try.
func unknown(code string, status int) row {
	switch {
	case strings.HasPrefix(code, authCodes):
		return row{outcome: push.BadCredential, refresh: true, text: "the authorization was refused"}
	case status/100 == 5:
		return row{outcome: push.Retry, text: "an error at Honor"}
	}
	return row{outcome: push.BadMessage, text: "a code this version does not know"}
}

func codes() map[string]push.CodeInfo {
	out := map[string]push.CodeInfo{}
	for code, r := range rows() {
		out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keep, Doc: docCodes}
	}
	return out
}
