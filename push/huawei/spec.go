// Package huawei sends through Huawei Push Kit to phones with HMS Core: Android, and
// HarmonyOS up to 4. HarmonyOS NEXT is package harmony.
//
// It knows nothing of databases, logs or retries; see package push.
package huawei

import (
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAppID       = "app_id"
	fieldAppSecret   = "app_secret"
	fieldCategory    = "category"
	fieldImportance  = "importance"
	fieldChannelID   = "channel_id"
	fieldBadgeClass  = "badge_class"
	fieldClickIntent = "click_intent"
	fieldReceiptID   = "receipt_id"
	fieldReceiptUser = "receipt_user"
	fieldReceiptKey  = "receipt_key"
)

// Limits of Push Kit.
// https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197
const (
	maxTokens  = 1000
	maxPayload = 4096 // bytes without the tokens
	maxTTL     = 15 * 24 * time.Hour
	maxBadge   = 99
	maxToken   = 1024 // bytes; Huawei states none, today's have about 130
)

// What a notification shows at most, in characters, and the least rate of tokens a
// second that an app has, by TPNS' tables 产品限制说明 and 厂商通道QPS限制说明; Huawei
// states no length.
const (
	titleRunes = 40
	bodyRunes  = 80
	leastRate  = 6000
)

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel: push.Huawei,
		Fields:  fields(),
		Limits: push.Limits{
			InFlight: push.HTTPInFlight, Batch: push.BatchAlways,
			TargetsPerRequest: maxTokens, PayloadBytes: maxPayload, TitleRunes: titleRunes, BodyRunes: bodyRunes,
		},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         leastRate,
		ParseReceipt: ParseReceipt,
		ReceiptSetup: push.ReceiptConsole,
	}
}

// categories are Huawei's classes of messages, what an IM server sends first.
func categories() []string {
	return []string{
		"IM", "VOIP", "SUBSCRIPTION", "TRAVEL", "HEALTH", "WORK", "ACCOUNT", "EXPRESS", "FINANCE",
		"DEVICE_REMINDER", "MAIL", "SYSTEM_REMINDER", "PLAY_VOICE", "MARKETING",
	}
}

// fields are what an operator enters of an app.
func fields() []push.Field {
	return []push.Field{
		{Key: fieldAppID, Kind: push.FieldText, Required: true, Pattern: "[0-9]{1,20}", MaxBytes: 20},
		{Key: fieldAppSecret, Kind: push.FieldSecret, Required: true, Pattern: `[!-~]+`, MaxBytes: 256},
		// Without the self-classification right Huawei treats every category as
		// marketing, so naming one does no harm.
		{Key: fieldCategory, Kind: push.FieldChoice, Group: push.GroupClass, MaxBytes: 32, Choices: categories()},
		{Key: fieldImportance, Kind: push.FieldChoice, Group: push.GroupClass, MaxBytes: 8, Choices: []string{"NORMAL", "LOW"}},
		{Key: fieldChannelID, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[!-~]+`, MaxBytes: 128},
		{Key: fieldBadgeClass, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[A-Za-z][\w.$]*`, MaxBytes: 256},
		{Key: fieldClickIntent, Kind: push.FieldText, Group: push.GroupClass, Pattern: push.IntentPattern, MaxBytes: 512},
		{Key: fieldReceiptID, Kind: push.FieldText, Group: push.GroupReceipt, Pattern: `[\w-]+`, MaxBytes: 64},
		{Key: fieldReceiptUser, Kind: push.FieldText, Group: push.GroupReceipt, MaxBytes: 128},
		{Key: fieldReceiptKey, Kind: push.FieldSecret, Group: push.GroupReceipt, MaxBytes: 256},
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
