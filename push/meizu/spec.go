// Package meizu sends through Meizu (Flyme) Push.
//
// Each request is signed for itself and names up to a hundred devices; the answer
// lists those that were not reached, by reason. It knows nothing of databases, logs or
// retries; see package push.
//
// Meizu's document is the README of github.com/MEIZUPUSH/PushAPI, [api] in comments.
package meizu

import (
	"context"
	"strings"
	"time"

	"hongyan/push"
)

// docAPI is Meizu's document.
const docAPI = "https://github.com/MEIZUPUSH/PushAPI"

// endpoint is Meizu's only address.
const endpoint = "https://server-api-push.meizu.com"

// Keys of the credential's fields, after Meizu's names for them.
const (
	fieldAppID      = "app_id"
	fieldAppKey     = "app_key"
	fieldAppSecret  = "app_secret"
	fieldNoticeType = "notice_msg_type"
)

// Values of notice_msg_type.
const (
	noticePublic  = "0"
	noticePrivate = "1"
)

// Limits of [api].
const (
	maxTargets   = 100
	titleRunes   = 32
	bodyRunes    = 100
	maxParam     = 64
	maxNotifyKey = 8
)

// targetsPerSend is how much one Send carries; it makes as many requests as needed.
const targetsPerSend = 1000

// rate is Meizu's default of pushes a second
// (https://cloud.tencent.com/document/product/548/43794).
const rate = 500

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel:      push.Meizu,
		Fields:       fields(),
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchAlways, TargetsPerRequest: targetsPerSend, TitleRunes: titleRunes, BodyRunes: bodyRunes},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         rate,
		ParseReceipt: ParseReceipt,
		// Meizu refuses every push that brings an address it does not know.
		ReceiptSetup: push.ReceiptBoth,
	}
}

// fields are what an operator enters of an app.
func fields() []push.Field {
	return []push.Field{
		{Key: fieldAppID, Kind: push.FieldText, Required: true, Pattern: "[1-9][0-9]{0,17}", MaxBytes: 18},
		// The app needs it on the phone; no request of ours does, so it is kept for
		// the operator's own record and cannot be proved.
		{Key: fieldAppKey, Kind: push.FieldText, Pattern: "[0-9A-Za-z]{8,64}", MaxBytes: 64},
		{Key: fieldAppSecret, Kind: push.FieldSecret, Required: true, Pattern: "[0-9A-Za-z]{8,64}", MaxBytes: 64},
		// Private messages, such as those of a chat, are not counted against the
		// three that a device may get in a day.
		{Key: fieldNoticeType, Kind: push.FieldChoice, Group: push.GroupClass, Choices: []string{noticePrivate, noticePublic}, MaxBytes: 1},
	}
}

// Inspect checks the fields of a credential without a network. See push.Spec.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Environments: []push.Environment{push.Production}}
	return info, check(fields)
}

func check(fields map[string]string) error {
	for _, f := range Spec().Fields {
		if err := f.Check(fields[f.Key]); err != nil {
			return err
		}
	}
	return nil
}

// noticeTypeOf is Meizu's noticeMsgType: private unless public was chosen.
func noticeTypeOf(value string) int {
	if value == noticePublic {
		return 0
	}
	return 1
}

// Open returns a Sender for the credential's fields. See push.Spec.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	if err := check(fields); err != nil {
		return nil, err
	}
	client, err := push.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		appID: fields[fieldAppID], appSecret: fields[fieldAppSecret], noticeType: noticeTypeOf(fields[fieldNoticeType]),
		http: client, base: endpoint, whole: requestTable(), each: targetTable(),
	}
	if o.Endpoint != "" {
		s.base = strings.TrimRight(o.Endpoint, "/")
	}
	return s, nil
}
