// Package harmony sends through Push Kit to phones with HarmonyOS NEXT, HarmonyOS 5
// and later. Android and HarmonyOS up to 4 are package huawei.
//
// It knows nothing of databases, logs or retries; see package push.
package harmony

import (
	"crypto/rsa"
	"encoding/json"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAccount     = "service_account"
	fieldCategory    = "category"
	fieldAction      = "click_action"
	fieldURI         = "click_uri"
	fieldReceiptID   = "receipt_id"
	fieldReceiptUser = "receipt_user"
	fieldReceiptKey  = "receipt_key"
)

// Limits of Push Kit.
// https://developer.huawei.com/consumer/cn/doc/harmonyos-references/push-scenariozed-api-request-param
const (
	maxTokens  = 1000
	maxPayload = 4096 // bytes without the tokens
	maxTTL     = 15 * 24 * time.Hour
	maxBadge   = 99
	maxID      = 64
	maxToken   = 1024 // bytes; Huawei states none
)

// maxFile bounds the uploaded key; Huawei's has about 4 KB.
const maxFile = 32 << 10

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel: push.Harmony,
		Fields: []push.Field{
			{Key: fieldAccount, Kind: push.FieldFile, Required: true, MaxBytes: maxFile},
			{Key: fieldCategory, Kind: push.FieldChoice, Group: push.GroupClass, MaxBytes: 32, Choices: categories()},
			{Key: fieldAction, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[\w.-]+`, MaxBytes: 128},
			{Key: fieldURI, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[A-Za-z][\w.+-]*://[!-~]*`, MaxBytes: 512},
			{Key: fieldReceiptID, Kind: push.FieldText, Group: push.GroupReceipt, Pattern: `[\w-]+`, MaxBytes: 64},
			{Key: fieldReceiptUser, Kind: push.FieldText, Group: push.GroupReceipt, MaxBytes: 128},
			{Key: fieldReceiptKey, Kind: push.FieldSecret, Group: push.GroupReceipt, MaxBytes: 256},
		},
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchAlways, TargetsPerRequest: maxTokens, PayloadBytes: maxPayload},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		ParseReceipt: ParseReceipt,
		ReceiptSetup: push.ReceiptConsole,
	}
}

// categories are Huawei's classes of messages, what an IM server sends first.
func categories() []string {
	return []string{
		"IM", "VOIP", "SUBSCRIPTION", "TRAVEL", "HEALTH", "WORK", "ACCOUNT", "EXPRESS", "FINANCE",
		"DEVICE_REMINDER", "MAIL", "SYSTEM_REMINDER", "MARKETING",
	}
}

// credential is a service account's key.
type credential struct {
	fields    map[string]string
	projectID string
	keyID     string
	account   string // sub_account
	key       *rsa.PrivateKey
}

// Inspect reads the fields of a credential without a network. See push.Spec.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Kind: fieldAccount, Environments: []push.Environment{push.Production}}
	_, err := parse(fields)
	return info, err
}

// parse checks every field, fills in the defaults of choices and opens the key.
func parse(fields map[string]string) (*credential, error) {
	c := &credential{fields: map[string]string{}}
	for _, f := range Spec().Fields {
		v := fields[f.Key]
		if err := f.Check(v); err != nil {
			return nil, err
		}
		if v == "" && len(f.Choices) > 0 {
			v = f.Choices[0]
		}
		c.fields[f.Key] = v
	}
	delete(c.fields, fieldAccount) // the key is enough
	return c, c.open(fields[fieldAccount])
}

// open reads the file that AppGallery Connect hands out. Its addresses are not looked
// at: a forged file must not send our tokens elsewhere.
func (c *credential) open(file string) error {
	bad := func(code string) error { return &push.FieldError{Field: fieldAccount, Code: code} }
	var a struct {
		ProjectID  string `json:"project_id"`
		KeyID      string `json:"key_id"`
		PrivateKey string `json:"private_key"`
		SubAccount string `json:"sub_account"`
	}
	if json.Unmarshal([]byte(file), &a) != nil {
		return bad(push.FieldInvalid)
	}
	if a.PrivateKey == "" {
		return bad(push.FieldNoPrivateKey)
	}
	if !word(a.ProjectID) || !word(a.KeyID) || !word(a.SubAccount) {
		return bad(push.FieldInvalid)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(a.PrivateKey))
	if err != nil {
		return bad(push.FieldNoPrivateKey)
	}
	c.projectID, c.keyID, c.account, c.key = a.ProjectID, a.KeyID, a.SubAccount, key
	return nil
}

// word reports whether s is an id that can stand in an address.
func word(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
