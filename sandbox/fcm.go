package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"hongyan/push"
)

// Google's documents, named in the rules of fcm*.go:
//
//	[msg]   https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
//	[send]  https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
//	[codes] https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
//	[help]  https://firebase.google.com/docs/cloud-messaging/error-codes
//	[types] https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
//	[oauth] https://developers.google.com/identity/protocols/oauth2/service-account
//	[rpc]   https://cloud.google.com/apis/design/errors
//	[quota] https://github.com/firebase/firebase-admin-go/issues/719, an answer as Google gave it

// fcm is Firebase Cloud Messaging, HTTP v1, and Google's token endpoint. An Account's
// ID is the project, its Fields hold the service_account's file.
type fcm struct{}

const (
	// fcmTokenLife: [oauth] "expires_in": 3600.
	fcmTokenLife = time.Hour
	// fcmRequest is the most read of a request. Not documented; a message has 4096
	// bytes and a token some hundred.
	fcmRequest = 64 << 10
	fcmError   = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
	rpcInfo    = "type.googleapis.com/google.rpc.ErrorInfo"
	rpcBad     = "type.googleapis.com/google.rpc.BadRequest"
	rpcQuota   = "type.googleapis.com/google.rpc.QuotaFailure"
)

// fcmAnswer is one of Google's answers.
type fcmAnswer struct {
	status  int
	rpc     string // google.rpc's name of the status
	code    string // FCM's own, "" for an answer without one
	message string
	details []map[string]any
}

// fcmTokenFault is [codes] INVALID_ARGUMENT about the token, which [help] tells apart
// by its field.
const fcmTokenFault = "INVALID_ARGUMENT:token"

// fcmAnswers are the answers of [codes] and [help], under the names that Settings.Mix
// takes. Where Google uses one code for two things, a colon tells them apart.
func fcmAnswers() map[string]fcmAnswer {
	field := func(name string) []map[string]any {
		return []map[string]any{{"@type": rpcBad, "fieldViolations": []map[string]any{{"field": name, "description": "Invalid value"}}}}
	}
	return map[string]fcmAnswer{
		"UNREGISTERED":     {404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.", nil},
		fcmTokenFault:      {400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", field("message.token")},
		"INVALID_ARGUMENT": {400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument.", field("message.data")},
		// A payload over the limit comes without any detail.
		"INVALID_ARGUMENT:size":  {400, "INVALID_ARGUMENT", "", "Android message is too big", nil},
		"SENDER_ID_MISMATCH":     {403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch", nil},
		"UNAUTHENTICATED":        {401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", []map[string]any{{"@type": rpcInfo, "reason": "ACCESS_TOKEN_EXPIRED", "domain": "googleapis.com"}}},
		"THIRD_PARTY_AUTH_ERROR": {401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service", nil},
		"PERMISSION_DENIED":      {403, "PERMISSION_DENIED", "", "Permission 'cloudmessaging.messages.create' denied on the resource (or it may not exist).", []map[string]any{{"@type": rpcInfo, "reason": "IAM_PERMISSION_DENIED", "domain": "cloudresourcemanager.googleapis.com"}}},
		// A project that does not exist is a 404 without FCM's code: no token is at fault.
		"NOT_FOUND":             {404, "NOT_FOUND", "", "Requested entity was not found.", nil},
		"QUOTA_EXCEEDED":        {429, "RESOURCE_EXHAUSTED", "", "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute' of service 'fcm.googleapis.com'.", []map[string]any{{"@type": rpcInfo, "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"}}},
		"QUOTA_EXCEEDED:device": {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Device message rate exceeded", []map[string]any{{"@type": rpcQuota, "violations": []map[string]any{{"subject": "device", "description": "Device message rate exceeded"}}}}},
		"UNAVAILABLE":           {503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable.", nil},
		"INTERNAL":              {500, "INTERNAL", "INTERNAL", "Internal error encountered.", nil},
		"UNSPECIFIED_ERROR":     {500, "UNKNOWN", "UNSPECIFIED_ERROR", "Unknown error.", nil},
		"BAD_GATEWAY":           {502, "", "", "", nil}, // a page for people, not JSON
	}
}

func (fcm) codes() map[string]bool {
	out := map[string]bool{}
	for name, a := range fcmAnswers() {
		switch a.code {
		case "UNREGISTERED", "SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR":
			out[name] = true
		default:
			out[name] = name == fcmTokenFault || name == "QUOTA_EXCEEDED:device"
		}
	}
	return out
}

// receipt: FCM reports nothing about single messages.
func (fcm) receipt(*Simulator, Delivered, push.ReceiptEvent) (*http.Request, bool) {
	return nil, false
}

var fcmPath = regexp.MustCompile(`^/v1/projects/([^/]+)/messages:send$`)

func (f fcm) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, fcmRequest))
	if err != nil {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	if r.URL.Path == "/token" {
		f.token(s, w, r, body)
		return
	}
	path := fcmPath.FindStringSubmatch(r.URL.Path)
	if path == nil || r.Method != http.MethodPost {
		http.Error(w, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	f.send(s, w, r, path[1], body)
}

// send judges and answers one message: [send].
func (f fcm) send(s *Simulator, w http.ResponseWriter, r *http.Request, project string, body []byte) {
	ctx := r.Context()
	var req fcmRequestBody
	fault := req.read(body)
	set := s.settingsOf(ctx, req.Message.Token)
	held := s.hold(ctx, set)
	name, about := set.roll(), fault
	rolled := name != ""
	if !rolled {
		name = f.authorized(s, r, project)
	}
	if name == "" {
		name, about = f.judge(s, r, &req, fault)
	}
	id := "fake_message_id" // [send] validate_only: nothing is sent, and this is the id
	if !req.ValidateOnly {
		id = fcmID(s.cfg.Now())
	}
	a := fcmAnswer{status: http.StatusOK}
	if name != "" {
		a = fcmAnswers()[name]
	}
	if !req.ValidateOnly {
		s.record(ctx, Received{
			Topic: req.Message.Android.RestrictedPackageName, Token: req.Message.Token, ID: id, Payload: req.shown(body),
			Headers: req.headers(), Status: a.status, Reason: name, Latency: held,
		})
	}
	if name == "" {
		googleJSON(w, http.StatusOK, map[string]string{"name": "projects/" + project + "/messages/" + id})
		return
	}
	if rolled {
		retryAfter(w, set)
	}
	a.write(w, about)
}

// authorized: [send] the caller needs an access token with the messaging scope, of a
// service account of the project.
func (fcm) authorized(s *Simulator, r *http.Request, project string) string {
	token, ok := cutBearer(r.Header.Get("Authorization"))
	if !ok {
		return "UNAUTHENTICATED"
	}
	owner, known, live := s.bearer(token)
	if !known || !live {
		return "UNAUTHENTICATED"
	}
	_, exists, err := s.cfg.Accounts.Account(r.Context(), project)
	switch {
	case err != nil:
		return "INTERNAL"
	case !exists:
		return "NOT_FOUND"
	case owner != project:
		return "PERMISSION_DENIED"
	}
	return ""
}

// judge applies the rules for the message itself and then what is known of its token.
// With the answer comes what it says about the message's shape.
func (fcm) judge(s *Simulator, r *http.Request, req *fcmRequestBody, fault string) (name, about string) {
	if fault == "" {
		fault = req.check()
	}
	switch {
	case fault != "":
		return "INVALID_ARGUMENT", fault
	case req.size() > fcmPayload:
		return "INVALID_ARGUMENT:size", ""
	case req.Message.Token == "":
		return "", "" // to a topic or a condition
	case len(req.Message.Token) > fcmPayload || !fcmTokenShape.MatchString(req.Message.Token):
		return fcmTokenFault, ""
	}
	st, err := s.tokenCode(r.Context(), req.Message.Android.RestrictedPackageName, req.Message.Token)
	if err != nil {
		return "INTERNAL", ""
	}
	return st.Reason, ""
}

// write sends Google's error: [rpc]. about replaces the message of an invalid argument.
func (a fcmAnswer) write(w http.ResponseWriter, about string) {
	if a.rpc == "" {
		http.Error(w, "<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>", a.status)
		return
	}
	details := append([]map[string]any{}, a.details...)
	if a.code != "" {
		details = append(details, map[string]any{"@type": fcmError, "errorCode": a.code})
	}
	if about != "" {
		a.message = about
		details = []map[string]any{{"@type": rpcBad, "fieldViolations": []map[string]any{{"description": about}}}}
	}
	e := map[string]any{"code": a.status, "message": a.message, "status": a.rpc}
	if len(details) > 0 {
		e["details"] = details
	}
	googleJSON(w, a.status, map[string]any{"error": e})
}

func googleJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that went away reads nothing
}

// fcmID makes an id in the form of Google's.
func fcmID(now time.Time) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return fmt.Sprintf("0:%d%%%s", now.UnixMicro(), hex.EncodeToString(b[:]))
}

// headers are how the message travels, for the record.
func (q *fcmRequestBody) headers() map[string]string {
	a := q.Message.Android
	out := map[string]string{}
	for k, v := range map[string]string{"priority": strings.ToUpper(a.Priority), "ttl": a.TTL, "collapse_key": a.CollapseKey} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}
