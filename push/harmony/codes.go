package harmony

import "hongyan/push"

// docCodes is Huawei's page that defines the codes, the reasons and the statuses.
const docCodes = "https://developer.huawei.com/consumer/cn/doc/harmonyos-references/push-scenariozed-api-response"

// Codes that the sender looks at beyond their row.
const (
	codeOK           = "80000000"
	codePartly       = "80100000"
	codeNoPermission = "80300002"
	codeAllInvalid   = "80300007"
	reasonNoRight    = "noRight"
)

// row is what a code means for the targets of a request, a reason for one of them.
type row struct {
	outcome push.Outcome
	text    string
	// refresh: the token was refused, so try once more with a new one.
	refresh bool
	keep    bool // KeepToken
}

// rows is Huawei's table: codes of requests, reasons of single tokens (words), and
// statuses of HTTP (three digits) for answers without a code.
func rows() map[string]row {
	badMessage := func(text string) row { return row{outcome: push.BadMessage, text: text} }
	badCredential := func(text string) row { return row{outcome: push.BadCredential, text: text} }
	return map[string]row{
		codeOK: {outcome: push.Accepted},
		// Each failed token has a reason of its own; this stands for one without.
		codePartly: {outcome: push.BadTarget, keep: true, text: "the device token was refused without a reason"},
		"80100001": badMessage("a parameter is wrong"),
		"80100003": badMessage("the structure of the message is wrong"),
		"80100004": badMessage("the message's end lies in the past"),
		"80100022": badMessage("the picture was not verified by Huawei"),
		"80200001": {outcome: push.BadCredential, refresh: true, text: "the service account's token was refused"},
		"80200005": {outcome: push.BadCredential, refresh: true, text: "a fresh token was refused as expired: check this machine's clock"},
		// Until something was accepted the project itself may be at fault; see read.
		codeNoPermission: badCredential("no permission for these tokens: Push Kit is not enabled, or they belong to another project"),
		codeAllInvalid:   {outcome: push.BadTarget, keep: true, text: "the device token was refused without a reason"},
		"80300008":       badMessage("the message is over 4096 bytes"),
		"80300010":       badMessage("no device tokens, or more than 1000"),
		"80300029":       {outcome: push.Throttled, text: "too many test messages"},
		"80300030":       badMessage("a test message to more than 10 device tokens"),
		"80300036":       badCredential("the token's life is over a day: check this machine's clock"),
		"80300037":       badCredential("Huawei has barred the app for a violation"),
		"81000001":       {outcome: push.Retry, text: "internal error at Huawei"},

		"tokenFormatError":        {outcome: push.BadTarget, text: "the device token is not valid"},
		"tokenPlatformNotSupport": {outcome: push.BadTarget, keep: true, text: "the device token is not one of HarmonyOS NEXT"},
		// Dead once the credential has worked for others; see reason.
		reasonNoRight:                            {outcome: push.BadTarget, keep: true, text: "the device token belongs to another project"},
		"countryNotSupport":                      {outcome: push.BadTarget, keep: true, text: "Huawei does not send to the phone's country"},
		"noPushTypeRight":                        badMessage("the app has no right to this kind of message"),
		"noRightToSendThisLiveNotificationEvent": badMessage("the app has no right to this live notification"),
		"atomicUnableSendUnsubscribedMsg":        badMessage("an atomic service cannot send this kind of message"),
		"differentImgVerifyPolicy":               badMessage("the picture was verified for another kind of message"),
		"notSupportPlayVoice":                    badMessage("the category is one of voice messages"),
		"disableSendHuaweiMsgBecauseOfPenalty":   badCredential("Huawei has barred the app for a violation"),
		"appinfoError":                           badCredential("the app does not exist in AppGallery Connect"),

		"401": {outcome: push.BadCredential, refresh: true, text: "the service account's token was refused"},
		// The address is made of constants and the project id.
		"404": badCredential("there is no such address: check the service account's project"),
		"500": {outcome: push.Retry, text: "internal error at Huawei"},
		"502": {outcome: push.Retry, text: "Huawei's gateway reached nobody"},
		"503": {outcome: push.Throttled, text: "too many messages at once"},
	}
}

// unknown is the default for a code or reason that Huawei has added since.
func unknown() row {
	return row{outcome: push.BadMessage, text: "a code this version does not know"}
}

func codes() map[string]push.CodeInfo {
	out := map[string]push.CodeInfo{}
	for code, r := range rows() {
		out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keep, Doc: docCodes}
	}
	return out
}
