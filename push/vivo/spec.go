// Package vivo sends through vivo Push.
//
// One target is sent with /message/send, which alone has receipts; two or more with
// the same content are stored once with /message/saveListPayload and sent with
// /message/pushToList. It knows nothing of databases, logs or retries; see package
// push.
//
// vivo's document is behind a login; its published version 2.9.2 is what the comments
// call [api], https://dev.vivo.com.cn/documentCenter/doc/362.
package vivo

import (
	"context"
	"strings"
	"time"

	"hongyan/push"
)

// docAPI is vivo's page of the server API, with its codes.
const docAPI = "https://dev.vivo.com.cn/documentCenter/doc/362"

// endpoint is vivo's only address ([api] 1.2).
const endpoint = "https://api-push.vivo.com.cn"

// Keys of the credential's fields, after vivo's names for them.
const (
	fieldAppID          = "app_id"
	fieldAppKey         = "app_key"
	fieldAppSecret      = "app_secret"
	fieldClassification = "classification"
	fieldCategory       = "category"
	fieldPushMode       = "push_mode"
)

// Values of classification and push_mode.
const (
	classOperations = "0"
	classSystem     = "1"
	modeTest        = "1"
)

// Limits of [api]. Titles and bodies are counted in half widths, a Chinese character
// being two; the rune limits below are what is always shown in full.
const (
	maxTargets     = 1000
	minTargets     = 2 // of pushToList
	titleWidth     = 40
	bodyWidth      = 100
	maxCustomPairs = 10
	maxCustomChars = 1024
	maxParam       = 64
	maxRequestID   = 64
)

// targetsPerSend is how much one Send carries; it makes as many requests as needed.
const targetsPerSend = maxTargets

// dataLimits are those of clientCustomMap: a map of texts.
func dataLimits() push.DataLimits {
	return push.DataLimits{Pairs: maxCustomPairs, Chars: maxCustomChars}
}

// rate is vivo's default of pushes a second, which grows with the installs
// (https://cloud.tencent.com/document/product/548/43794).
const rate = 500

// systemCategories belong to classification 1, operationCategories to 0.
func systemCategories() []string {
	return []string{"IM", "ACCOUNT", "TODO", "DEVICE_REMINDER", "ORDER", "SUBSCRIPTION"}
}

func operationCategories() []string { return []string{"NEWS", "CONTENT", "MARKETING", "SOCIAL"} }

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel:      push.Vivo,
		Fields:       fields(),
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchSilent, TargetsPerRequest: targetsPerSend, TitleRunes: titleWidth / 2, BodyRunes: bodyWidth / 2, Wide: true, Data: dataLimits()},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         rate,
		ParseReceipt: ParseReceipt,
		ReceiptSetup: push.ReceiptMessage,
	}
}

// fields are what an operator enters of an app.
func fields() []push.Field {
	return []push.Field{
		{Key: fieldAppID, Kind: push.FieldText, Required: true, Pattern: "[1-9][0-9]{0,17}", MaxBytes: 18},
		{Key: fieldAppKey, Kind: push.FieldText, Required: true, Pattern: "[0-9A-Za-z-]{8,64}", MaxBytes: 64},
		{Key: fieldAppSecret, Kind: push.FieldSecret, Required: true, Pattern: "[0-9A-Za-z-]{8,64}", MaxBytes: 64},
		// An IM message is vivo's first example of a system message; these are not
		// counted against what a device may get in a day.
		{Key: fieldClassification, Kind: push.FieldChoice, Group: push.GroupClass, Choices: []string{classSystem, classOperations}, MaxBytes: 1},
		{Key: fieldCategory, Kind: push.FieldChoice, Group: push.GroupClass, Choices: append(systemCategories(), operationCategories()...), MaxBytes: 16},
		// Test mode reaches the devices registered at vivo only, and is all there is
		// while the app is under review (code 10045).
		{Key: fieldPushMode, Kind: push.FieldChoice, Group: push.GroupClass, Choices: []string{"0", modeTest}, MaxBytes: 1},
	}
}

// Inspect checks the fields of a credential without a network. See push.Spec.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Environments: []push.Environment{push.Production}}
	_, err := parse(fields)
	return info, err
}

// credential is what the fields say.
type credential struct {
	appID, appKey, appSecret string
	class                    class
	test                     bool
}

func parse(fields map[string]string) (credential, error) {
	for _, f := range Spec().Fields {
		if err := f.Check(fields[f.Key]); err != nil {
			return credential{}, err
		}
	}
	c := credential{
		appID: fields[fieldAppID], appKey: fields[fieldAppKey], appSecret: fields[fieldAppSecret],
		test: fields[fieldPushMode] == modeTest,
	}
	var fits bool
	if c.class, fits = classOf(fields[fieldClassification], fields[fieldCategory]); !fits {
		return credential{}, &push.FieldError{Field: fieldCategory, Code: push.FieldInvalid}
	}
	return c, nil
}

// Open returns a Sender for the credential's fields. See push.Spec.
func Open(_ context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
	c, err := parse(fields)
	if err != nil {
		return nil, err
	}
	client, err := push.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	s := &Sender{credential: c, http: client, base: endpoint, rows: table()}
	if o.Endpoint != "" {
		s.base = strings.TrimRight(o.Endpoint, "/")
	}
	s.tokens = push.NewAccessTokens(client.Now, s.fetch)
	return s, nil
}
