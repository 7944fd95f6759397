// Package honor sends through Honor's push service.
//
// Its numbers and words descend from Huawei's, its interface is its own. It knows
// nothing of databases, logs or retries; see package push.
package honor

import (
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAppID         = "app_id"
	fieldClientID      = "client_id"
	fieldClientSecret  = "client_secret"
	fieldImportance    = "importance"
	fieldBadgeClass    = "badge_class"
	fieldClickIntent   = "click_intent"
	fieldArrivedStatus = "arrived_status"
)

// Limits of the service.
// https://developer.honor.com/cn/docs/11002/reference/downlink-message
const (
	maxTokens  = 1000
	maxPayload = 4096 // bytes without the tokens, as at Huawei; Honor's own number was not found
	maxTTL     = 15 * 24 * time.Hour
	maxBadge   = 99
	maxToken   = 1024 // bytes; Honor states none
)

// rate is the service's limit for every app, by TPNS' table 厂商通道QPS限制说明. It
// counts requests; a request to a single phone is the usual one.
const rate = 3000

// arrivedDefault is the status of a receipt that other users of the service take for
// "arrived". Honor's list was not found, so the operator can enter what it says.
const arrivedDefault = "40000002"

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel:      push.Honor,
		Fields:       fields(),
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchAlways, TargetsPerRequest: maxTokens, PayloadBytes: maxPayload},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         rate,
		ParseReceipt: ParseReceipt,
		ReceiptSetup: push.ReceiptConsole,
	}
}

// fields are what an operator enters of an app.
func fields() []push.Field {
	return []push.Field{
		{Key: fieldAppID, Kind: push.FieldText, Required: true, Pattern: "[0-9]{1,20}", MaxBytes: 20},
		{Key: fieldClientID, Kind: push.FieldText, Required: true, Pattern: `[\w.-]+`, MaxBytes: 128},
		{Key: fieldClientSecret, Kind: push.FieldSecret, Required: true, Pattern: `[!-~]+`, MaxBytes: 256},
		// NORMAL is for services and communication, LOW for marketing.
		{Key: fieldImportance, Kind: push.FieldChoice, Group: push.GroupClass, MaxBytes: 8, Choices: []string{"NORMAL", "LOW"}},
		{Key: fieldBadgeClass, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[A-Za-z][\w.$]*`, MaxBytes: 256},
		{Key: fieldClickIntent, Kind: push.FieldText, Group: push.GroupClass, Pattern: push.IntentPattern, MaxBytes: 512},
		{Key: fieldArrivedStatus, Kind: push.FieldText, Group: push.GroupReceipt, Pattern: `[0-9]{1,12}(,[0-9]{1,12})*`, MaxBytes: 128},
	}
}

// Inspect reads the fields of a credential without a network. See push.Spec.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Kind: "app", Environments: []push.Environment{push.Production}}
	_, err := parse(fields)
	return info, err
}

// parse checks every field and fills in the defaults of choices.
func parse(fields map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range Spec().Fields {
		v := fields[f.Key]
		if err := f.Check(v); err != nil {
			return nil, err
		}
		if v == "" && len(f.Choices) > 0 {
			v = f.Choices[0]
		}
		out[f.Key] = v
	}
	return out, nil
}
