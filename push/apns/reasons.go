package apns

import (
	"net/http"

	"github.com/sideshow/apns2"

	"hongyan/push"
)

// docResponses is Apple's page that defines the reasons.
const docResponses = "https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns"

// docToken is Apple's page on provider tokens and how often they may change.
const docToken = "https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns"

// Reasons that sideshow/apns2 v0.25 has no constant for. Apple documents
// BadEnvironmentKeyIdInToken and answers BadEnvironmentKeyInToken.
const (
	reasonBadEnvironmentKey   = "BadEnvironmentKeyInToken"
	reasonBadEnvironmentKeyID = "BadEnvironmentKeyIdInToken"
	reasonUnrelatedKeyID      = "UnrelatedKeyIdInToken"
)

// reason is one row of Apple's table: what the answer means for the target.
type reason struct {
	outcome push.Outcome
	// deviceOnly and keepToken become Result.DeviceOnly and Result.KeepToken.
	deviceOnly, keepToken bool
	text                  string
	doc                   string
}

// reasonTable gives every documented reason its meaning. A reason that is missing
// here is judged by its status alone, see byStatus.
func reasonTable() map[string]reason {
	badMessage := func(text string) reason { return reason{outcome: push.BadMessage, text: text, doc: docResponses} }
	badCredential := func(text string) reason {
		return reason{outcome: push.BadCredential, text: text, doc: docResponses}
	}
	retry := func(text string) reason { return reason{outcome: push.Retry, text: text, doc: docResponses} }
	return map[string]reason{
		// 400
		apns2.ReasonBadDeviceToken:         {outcome: push.BadTarget, text: "the device token is not valid for this environment", doc: docResponses},
		apns2.ReasonDeviceTokenNotForTopic: {outcome: push.BadTarget, keepToken: true, text: "the device token belongs to another bundle id", doc: docResponses},
		apns2.ReasonBadCollapseID:          badMessage("the collapse id is too long"),
		apns2.ReasonBadExpirationDate:      badMessage("the expiration date is not valid"),
		apns2.ReasonBadMessageID:           badMessage("the message id is not a UUID"),
		apns2.ReasonBadPriority:            badMessage("the priority is not valid for this push type"),
		apns2.ReasonBadTopic:               badMessage("the topic is not valid"),
		apns2.ReasonDuplicateHeaders:       badMessage("a header was repeated"),
		apns2.ReasonInvalidPushType:        badMessage("the push type is not valid"),
		apns2.ReasonMissingDeviceToken:     badMessage("the request named no device token"),
		apns2.ReasonMissingTopic:           badMessage("the request named no topic"),
		apns2.ReasonPayloadEmpty:           badMessage("the payload was empty"),
		apns2.ReasonTopicDisallowed:        badCredential("this key or certificate may not push to the bundle id"),
		reasonBadEnvironmentKey:            badCredential("the key is for the other environment"),
		reasonBadEnvironmentKeyID:          badCredential("the key is for the other environment"),
		apns2.ReasonIdleTimeout:            retry("the connection was idle for too long"),
		// 403
		apns2.ReasonExpiredProviderToken:      {outcome: push.BadCredential, text: "a fresh provider token was refused as expired: check this machine's clock", doc: docToken},
		apns2.ReasonInvalidProviderToken:      badCredential("key, key id and team id do not fit together, or the key was revoked"),
		apns2.ReasonMissingProviderToken:      badCredential("neither a certificate nor a provider token was presented"),
		apns2.ReasonBadCertificate:            badCredential("the certificate is not valid or was revoked"),
		apns2.ReasonBadCertificateEnvironment: badCredential("the certificate is for the other environment"),
		apns2.ReasonForbidden:                 badCredential("the action is not allowed with this key or certificate"),
		reasonUnrelatedKeyID:                  retry("the connection was opened with another key"),
		// 404, 405
		apns2.ReasonBadPath:          badMessage("the request path is not valid"),
		apns2.ReasonMethodNotAllowed: badMessage("the request method is not POST"),
		// 410
		apns2.ReasonUnregistered: {outcome: push.BadTarget, text: "the app was removed or its notifications were turned off", doc: docResponses},
		apns2.ReasonExpiredToken: {outcome: push.BadTarget, text: "the device token has expired", doc: docResponses},
		// 413
		apns2.ReasonPayloadTooLarge: badMessage("the payload is too large"),
		// 429
		apns2.ReasonTooManyRequests:             {outcome: push.Throttled, deviceOnly: true, text: "too many notifications for this device in a row", doc: docResponses},
		apns2.ReasonTooManyProviderTokenUpdates: {outcome: push.Throttled, text: "the provider token changed too often", doc: docToken},
		// 500, 503
		apns2.ReasonInternalServerError: retry("internal error at Apple"),
		apns2.ReasonServiceUnavailable:  retry("the service is unavailable"),
		apns2.ReasonShutdown:            retry("the server is shutting down"),
	}
}

// byStatus is the default for a reason that Apple has added since: the class of
// the status says who is at fault, and where that is unclear nothing is retired
// and nothing is thrown away.
func byStatus(status int) reason {
	r := reason{doc: docResponses, text: "a reason this version does not know"}
	switch {
	case status == http.StatusTooManyRequests:
		r.outcome = push.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		r.outcome = push.BadCredential
	case status == http.StatusGone:
		r.outcome = push.BadTarget
	case status >= 400 && status < 500:
		r.outcome = push.BadMessage
	default:
		r.outcome = push.Retry
	}
	return r
}

// codes is the table as the console and the documentation need it.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for code, r := range reasonTable() {
		out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keepToken, Doc: r.doc}
	}
	return out
}
