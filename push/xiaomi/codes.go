package xiaomi

import "hongyan/push"

// Codes that say which target is at fault without a number.
const (
	// codeBadIDs stands for a registration id that an otherwise accepted request
	// lists under data.bad_regids.
	codeBadIDs = "bad_regids"
	// codeReceiptAddress: extra.callback is not valid or not registered.
	codeReceiptAddress = "65038"
	// codeSendFailed is also what a request gets that is left with no target.
	codeSendFailed = "20301"
	// codeChannel refuses the notification channel.
	codeChannel = "27001"
	// codeQuota counts for each notification channel.
	codeQuota = "200001"
)

// row is what one code means for the targets of its request.
type row struct {
	outcome push.Outcome
	// keepToken becomes Result.KeepToken; midnight waits for the new day's quota.
	keepToken, midnight bool
	text                string
	doc                 string
}

// codeTable gives every code that sending can meet its meaning.
func codeTable() map[string]row {
	retry := func(text string) row { return row{outcome: push.Retry, text: text, doc: docCodes} }
	message := func(text string) row { return row{outcome: push.BadMessage, text: text, doc: docCodes} }
	credential := func(text string) row { return row{outcome: push.BadCredential, text: text, doc: docCodes} }
	return map[string]row{
		"0":                {outcome: push.Accepted, doc: docCodes},
		"-1":               retry("unknown error at Xiaomi"),
		"1":                retry("internal error at Xiaomi"),
		"10001":            retry("system error at Xiaomi"),
		"10002":            retry("Xiaomi is busy"),
		"10003":            retry("a remote service of Xiaomi failed"),
		codeSendFailed:     retry("Xiaomi could not send the message"),
		"20607":            retry("database error at Xiaomi"),
		"26003":            retry("an internal call failed at Xiaomi"),
		"65029":            retry("a remote service of Xiaomi failed"),
		"10008":            message("a parameter is wrong"),
		"10012":            message("the request is not valid"),
		"10016":            message("a required parameter is missing"),
		"10017":            message("the value of a parameter is not valid"),
		"65009":            message("the message is too long"),
		"65011":            message("no parameters were given"),
		"65014":            message("too many extra keys"),
		"65015":            message("the extra keys and values are too long"),
		"65036":            message("the receipt parameter is too long"),
		"65037":            message("the receipt address is too long"),
		codeReceiptAddress: message("the receipt address is not valid or not registered with Xiaomi"),
		"26004":            message("Xiaomi holds the message back for review"),
		"26006":            message("Xiaomi wants to review the message"),
		"10027":            {outcome: push.Throttled, text: "the API is called too often", doc: docCodes},
		"200002":           {outcome: push.Throttled, text: "more requests a second than the app may send", doc: docLimits},
		"10034":            {outcome: push.Throttled, midnight: true, text: "too many messages today", doc: docCodes},
		codeQuota:          {outcome: push.Throttled, midnight: true, text: "today's quota of this notification channel is used up", doc: docLimits},
		"10029":            {outcome: push.BadTarget, text: "the device is not known", doc: docCodes},
		codeBadIDs:         {outcome: push.BadTarget, text: "the registration id is not valid", doc: docAPI},
		// The page adds "usually because the device is not online", which is no
		// reason to forget a token; a receipt of type 16 says when it is dead.
		"65003":     {outcome: push.BadTarget, keepToken: true, text: "the device was not found, or is not online", doc: docCodes},
		"10031":     credential("the app is on the blacklist"),
		"10036":     credential("the app may not do this"),
		"10037":     credential("the app's authorization has expired"),
		"21301":     credential("the AppSecret was refused"),
		"21302":     credential("the AppSecret was refused"),
		"21303":     credential("the request is restricted"),
		"21305":     credential("no AppSecret was presented"),
		"22000":     credential("the app is not valid"),
		"22006":     credential("the AppID is not valid"),
		"22007":     credential("the AppKey is not valid"),
		"22022":     credential("the package name does not belong to the AppSecret"),
		"22102":     credential("the app may not send notifications"),
		codeChannel: credential("the notification channel does not fit the app: check channel_id"),
	}
}

// codes is the table as the console and the documentation need it.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for code, r := range codeTable() {
		out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keepToken, Doc: r.doc}
	}
	return out
}
