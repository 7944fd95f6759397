package oppo

import "hongyan/push"

// Codes that the sender itself decides by.
const (
	codeBadToken     = "11"
	codeMissingToken = "29"
	codeDuplicate    = "32"
	codeQuota        = "33"
	codeClass        = "67"
	codeBadTarget    = "10000"
)

// row is what one code means for its target.
type row struct {
	outcome  push.Outcome
	midnight bool // wait for the new day's quota
	text     string
	doc      string
}

// codeTable gives every return code its meaning.
func codeTable() map[string]row {
	message := func(text string) row { return row{outcome: push.BadMessage, text: text, doc: docCodes} }
	credential := func(text string) row { return row{outcome: push.BadCredential, text: text, doc: docCodes} }
	throttled := func(text string) row { return row{outcome: push.Throttled, text: text, doc: docCodes} }
	return map[string]row{
		"0":  {outcome: push.Accepted, doc: docCodes},
		"-2": throttled("OPPO is holding traffic back"),
		"-1": {outcome: push.Retry, text: "the service is unavailable", doc: docCodes},
		// Only after a fresh token was refused as well.
		codeBadToken:     {outcome: push.BadCredential, text: "a fresh access token was refused", doc: docAuth},
		codeMissingToken: {outcome: push.BadCredential, text: "a fresh access token was not seen", doc: docAuth},
		"12":             message("the request method is not allowed"),
		"13":             throttled("more calls than the app may make"),
		"55":             throttled("calls too frequent"),
		"14":             credential("the AppKey is not valid"),
		"15":             credential("the AppKey is missing"),
		"16":             credential("the signature was refused: check that MasterSecret is not the AppSecret"),
		"17":             credential("the signature is missing"),
		"18":             credential("the timestamp is missing"),
		"19":             credential("the timestamp was refused: check this machine's clock"),
		"20":             message("the method does not exist"),
		"21":             message("the method is missing"),
		"22":             message("the version is missing"),
		"23":             message("the version is not valid"),
		"24":             message("the version is not supported"),
		"25":             message("the encoding is wrong"),
		"26":             credential("this server's address is on the blacklist"),
		"27":             credential("the app may not use this function"),
		"28":             credential("the app is disabled"),
		"30":             credential("the app may not push yet: OPPO has to approve it"),
		"31":             message("the data does not exist"),
		// One id goes out for one message and target only, and OPPO has it already.
		codeDuplicate: {outcome: push.Accepted, text: "already sent under this id", doc: docMessage},
		codeQuota:     {outcome: push.Throttled, midnight: true, text: "today's quota is used up", doc: docCodes},
		"34":          message("too many pictures today"),
		"40":          message("a required argument is missing"),
		"41":          message("an argument is not valid"),
		"51":          message("the picture is not valid"),
		"59":          message("the app may not use a second action"),
		codeClass:     {outcome: push.BadCredential, text: "category or notify_level does not fit the app's rights", doc: docClasses},
		codeBadTarget: {outcome: push.BadTarget, text: "the registration id is not valid", doc: docCodes},
	}
}

// codes is the table as the console and the documentation need it.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for code, r := range codeTable() {
		out[code] = push.CodeInfo{Outcome: r.outcome, Doc: r.doc}
	}
	return out
}
