// Package fcm sends through Firebase Cloud Messaging, HTTP v1, to Android phones with
// Google's services.
//
// Its access token comes from golang.org/x/oauth2, everything else is a thin client:
// Google's own SDK links a hundred times as much. It knows nothing of databases, logs
// or retries; see package push.
package fcm

import (
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAccount = "service_account"
	fieldChannel = "channel_id"
)

// Google's addresses. They are never taken from the uploaded file, whose token_uri
// could name anybody.
const (
	tokenBase = "https://oauth2.googleapis.com"
	sendBase  = "https://fcm.googleapis.com"
)

const (
	// maxFile is the most a service account's file may have, in bytes; real ones have
	// about 2,400.
	maxFile = 16 << 10
	// maxPayload is Google's limit for notification and data together:
	// https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
	maxPayload = 4096
	// targetsPerSend bounds one Send. FCM takes one token per request; 500 is what
	// Google's own SDKs take in one call.
	targetsPerSend = 500
	// messagesPerSecond is the default quota of 600,000 a minute for each project:
	// https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
	messagesPerSecond = 10_000
)

// Spec describes the channel: its service account, its limits, its codes, and how to
// open a sender. FCM reports nothing about single messages, so it has no receipts.
func Spec() push.Spec {
	return push.Spec{
		Channel: push.FCM,
		Fields: []push.Field{
			{Key: fieldAccount, Kind: push.FieldFile, Required: true, MaxBytes: maxFile},
			{Key: fieldChannel, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[^\x00-\x1f\x7f]+`, MaxBytes: 128},
		},
		Limits:       push.Limits{InFlight: push.HTTPInFlight, TargetsPerRequest: targetsPerSend, PayloadBytes: maxPayload, Data: dataLimits()},
		Environments: environments(),
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         messagesPerSecond,
	}
}

func environments() []push.Environment { return []push.Environment{push.Production} }

// Inspect reads the fields of a credential without a network. See push.Spec. A
// service account is for every app of its project, so there is no bundle to compare.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Environments: environments()}
	a, err := parse(fields)
	if err != nil {
		return info, err
	}
	info.Kind, info.Subject = kindServiceAccount, a.Email
	return info, nil
}
