package pushtest

import "hongyan/push"

// Documented are the codes that the vendors' pages list, and what each asks of a
// sender; written from the pages, apart from the channels' tables.
func Documented() map[push.Channel]map[push.Outcome]string {
	return map[push.Channel]map[push.Outcome]string{
		push.APNs: {
			push.BadTarget: "BadDeviceToken DeviceTokenNotForTopic Unregistered ExpiredToken",
			push.BadMessage: `BadCollapseId BadExpirationDate BadMessageId BadPriority BadTopic DuplicateHeaders InvalidPushType
				MissingDeviceToken MissingTopic PayloadEmpty BadPath MethodNotAllowed PayloadTooLarge`,
			push.BadCredential: `TopicDisallowed BadEnvironmentKeyInToken ExpiredProviderToken InvalidProviderToken MissingProviderToken
				BadCertificate BadCertificateEnvironment Forbidden`,
			push.Throttled: "TooManyRequests TooManyProviderTokenUpdates",
			push.Retry:     "IdleTimeout InternalServerError ServiceUnavailable Shutdown",
		},
		push.FCM: {
			// THIRD_PARTY_AUTH_ERROR is met by tokens of iPhones and browsers alone.
			push.BadTarget:     "UNREGISTERED SENDER_ID_MISMATCH THIRD_PARTY_AUTH_ERROR",
			push.BadMessage:    "INVALID_ARGUMENT",
			push.BadCredential: "UNAUTHENTICATED PERMISSION_DENIED",
			push.Throttled:     "QUOTA_EXCEEDED",
			push.Retry:         "UNAVAILABLE INTERNAL UNSPECIFIED_ERROR",
		},
		push.Huawei: {
			push.Accepted:      "80000000",
			push.BadTarget:     "80100000 80300007",
			push.BadMessage:    "80100001 80100002 80100003 80100004 80100013 80100016 80300008 80300010",
			push.BadCredential: "80200001 80200003 80300002 80300011 401 404",
			push.Throttled:     "80100017 503",
			push.Retry:         "80600003 81000001 500 502",
		},
		push.Harmony: {
			push.Accepted:  "80000000",
			push.BadTarget: "80100000 80300007 tokenFormatError noRight countryNotSupport tokenPlatformNotSupport",
			push.BadMessage: `80100001 80100003 80100004 80100022 80300008 80300010 80300030 noPushTypeRight differentImgVerifyPolicy
				noRightToSendThisLiveNotificationEvent atomicUnableSendUnsubscribedMsg notSupportPlayVoice`,
			push.BadCredential: "80200001 80200005 80300002 80300036 80300037 disableSendHuaweiMsgBecauseOfPenalty appinfoError",
			push.Throttled:     "80300029 503",
			push.Retry:         "81000001",
		},
		push.Honor: {
			push.Accepted:      "200",
			push.BadTarget:     "failTokens expireTokens 80300007",
			push.BadMessage:    "80300008 80300010",
			push.BadCredential: "80200001 80200003 401",
			push.Throttled:     "80200021",
			push.Retry:         "80100000 81000001",
		},
		push.Xiaomi: {
			push.Accepted:      "0",
			push.BadTarget:     "10029 65003 bad_regids",
			push.BadMessage:    "10008 10012 10016 10017 65014 65015 65036 65037 65038 65009 26004 26006",
			push.BadCredential: "10031 10036 10037 21301 21302 21303 21305 22000 22006 22007 22022 22102 27001",
			push.Throttled:     "10027 10034 200001",
			push.Retry:         "-1 1 10001 10002 10003 20301",
		},
		push.OPPO: {
			push.Accepted:      "0 32", // 32: this id was sent before
			push.BadTarget:     "10000",
			push.BadMessage:    "12 20 21 22 23 24 25 31 34 40 41 51 59",
			push.BadCredential: "11 29 14 15 16 17 18 19 26 27 28 30 67",
			push.Throttled:     "-2 13 55 33",
			push.Retry:         "-1",
		},
		push.Vivo: {
			push.BadTarget:     "10302 user_1 user_2 user_3 user_4",
			push.BadCredential: "10000 10094 10045",
			push.Throttled:     "10070 10072 10252 10254",
			push.Retry:         "500",
		},
		push.Meizu: {
			push.BadTarget:     "110002 110003 110005 device_110010",
			push.BadMessage:    "201 501 513 1005 110004 110031 110032 110053",
			push.BadCredential: "1006 110000 110001 110033 110051 110009",
			push.Throttled:     "110010 110019 110011 519 520",
			push.Retry:         "500 1001 1003",
		},
		push.WebPush: {
			push.BadTarget: "404 410", push.BadMessage: "413", push.BadCredential: "401 403", push.Throttled: "429", push.Retry: "500 503",
		},
	}
}
