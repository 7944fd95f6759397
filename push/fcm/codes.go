package fcm

import "hongyan/push"

// Google's pages that define the codes.
const (
	docCodes = "https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"
	docHelp  = "https://firebase.google.com/docs/cloud-messaging/error-codes"
	docAuth  = "https://developers.google.com/identity/protocols/oauth2/service-account"
	docRPC   = "https://cloud.google.com/apis/design/errors"
)

// Codes that answer.go decides by. The ones with a colon are ours: Google says
// INVALID_ARGUMENT of a token and of everything else.
const (
	codeUnregistered    = "UNREGISTERED"
	codeInvalid         = "INVALID_ARGUMENT"
	codeInvalidToken    = "INVALID_ARGUMENT:token"
	codeQuota           = "QUOTA_EXCEEDED"
	codeExhausted       = "RESOURCE_EXHAUSTED"
	codeUnavailable     = "UNAVAILABLE"
	codeNotFound        = "NOT_FOUND"
	codeUnauthenticated = "UNAUTHENTICATED"
)

// code is one row of Google's tables: what the answer means for the target.
type code struct {
	outcome   push.Outcome
	keepToken bool
	text      string
	doc       string
}

// table gives every documented code its meaning. One that is missing here is judged by
// its status, see byStatus.
func table() map[string]code {
	key := func(text string) code { return code{outcome: push.BadCredential, text: text, doc: docAuth} }
	return map[string]code{
		codeUnregistered: {outcome: push.BadTarget, text: "the app was removed or its token has expired", doc: docCodes},
		codeInvalidToken: {outcome: push.BadTarget, text: "this is not a registration token of FCM", doc: docCodes},
		codeInvalid:      {outcome: push.BadMessage, text: "FCM refused a part of the message, or its size", doc: docCodes},
		"SENDER_ID_MISMATCH": {outcome: push.BadTarget, keepToken: true,
			text: "the token belongs to another Firebase project", doc: docCodes},
		// Only tokens of iPhones and browsers meet this; it says nothing about the
		// service account, which must not be paused for it.
		"THIRD_PARTY_AUTH_ERROR": {outcome: push.BadTarget, keepToken: true,
			text: "Firebase holds no valid APNs or Web Push key for this device", doc: docCodes},
		codeQuota:       {outcome: push.Throttled, text: "over FCM's quota", doc: docCodes},
		codeUnavailable: {outcome: push.Retry, text: "FCM is overloaded", doc: docCodes},
		"INTERNAL":      {outcome: push.Retry, text: "internal error at FCM", doc: docCodes},
		"UNSPECIFIED_ERROR": {outcome: push.Retry,
			text: "FCM gives no reason", doc: docCodes},
		codeUnauthenticated: {outcome: push.BadCredential, text: "a fresh access token was refused", doc: docHelp},
		"PERMISSION_DENIED": {outcome: push.BadCredential, text: "the service account may not send, or the FCM API is off in its project", doc: docHelp},
		codeNotFound:        {outcome: push.BadCredential, text: "Google knows no such project", doc: docRPC},
		// The token endpoint's own.
		"invalid_grant":       key("Google does not take the key: deleted or disabled, or this machine's clock is wrong"),
		"invalid_client":      key("Google does not know the service account"),
		"unauthorized_client": key("the service account may not ask for tokens"),
		"invalid_scope":       key("the service account may not ask for FCM's scope"),
		"access_denied":       key("an organization's rule forbids the service account"),
		"deleted_client":      key("the service account was deleted"),
		"org_internal":        key("an organization's rule forbids the service account"),
		"invalid_request":     key("Google could not read the request for a token"),
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
