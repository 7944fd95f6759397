// Package xiaomi sends through Xiaomi's MiPush, in China and abroad.
//
// MiPush knows an app by its AppSecret alone: there is no access token. One request
// carries up to a thousand registration ids that get the same message. See package
// push for the contract.
package xiaomi

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAppID     = "app_id"
	fieldAppKey    = "app_key"
	fieldAppSecret = "app_secret"
	fieldRegion    = "region"
	fieldChannel   = "channel_id"
)

// Vendor pages.
const (
	// docAPI is the page of addresses and parameters.
	docAPI = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559"
	// docCodes is the page of error codes.
	docCodes = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1560"
	// docLimits is the page of daily and per-second limits.
	docLimits = "https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1656"
)

// Limits of docAPI.
const (
	maxTargets = 1000 // registration ids of one request
	maxMessage = 4096 // bytes of a message
	// maxTitle and maxDescription are in characters; the page says "less than 50"
	// and "less than 128", and counts a Chinese character as one.
	maxTitle       = 49
	maxDescription = 127
	maxToken       = 512 // bytes; ours, Xiaomi states none and uses about 64
	// maxTTL is how long Xiaomi keeps a message.
	maxTTL = 14 * 24 * time.Hour
)

// rate is what Xiaomi takes a second from the smallest apps (docLimits, by number of
// phones online daily); larger ones may raise it.
const rate = 500

// hosts are Xiaomi's services by the value of the region field. The phone's region
// decides, see https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1696.
func hosts() map[string]string {
	return map[string]string{
		"cn":   "https://api.xmpush.xiaomi.com",
		"sgp":  "https://sgp-api.xmpush.global.xiaomi.com",
		"fr":   "https://fr-api.xmpush.global.xiaomi.com",
		"idmb": "https://idmb-api.xmpush.global.xiaomi.com",
		"ru":   "https://ru-api.xmpush.global.xiaomi.com",
	}
}

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel:      push.Xiaomi,
		Fields:       fields(),
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchAlways, TargetsPerRequest: maxTargets, PayloadBytes: maxMessage, TitleRunes: maxTitle, BodyRunes: maxDescription},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         rate,
		ParseReceipt: ParseReceipt,
		// Xiaomi takes an address with a message only once it is registered there.
		ReceiptSetup:   push.ReceiptBoth,
		CheckTopic:     true, // restricted_package_name is required
		ReceiptRefused: []string{codeReceiptAddress},
	}
}

// fields are what Xiaomi's console shows of an app. Only the AppSecret takes part in
// sending; AppID and AppKey are what the app itself registers with.
func fields() []push.Field {
	return []push.Field{
		{Key: fieldAppID, Kind: push.FieldText, Pattern: "[0-9]{1,32}", MaxBytes: 32},
		{Key: fieldAppKey, Kind: push.FieldText, Pattern: "[0-9]{1,32}", MaxBytes: 32},
		{Key: fieldAppSecret, Kind: push.FieldSecret, Required: true, Pattern: `[A-Za-z0-9+/=_\-]{8,128}`, MaxBytes: 128},
		{Key: fieldRegion, Kind: push.FieldChoice, Choices: []string{"cn", "sgp", "fr", "idmb", "ru"}, MaxBytes: 8},
		{Key: fieldChannel, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[A-Za-z0-9_.\-]{1,64}`, MaxBytes: 64},
	}
}

// check returns the first field that is at fault.
func check(values map[string]string) error {
	for _, f := range fields() {
		if err := f.Check(values[f.Key]); err != nil {
			return err
		}
	}
	return nil
}

// Inspect reads the fields of a credential without a network. Nothing in them says
// which package they are for and they do not expire. See push.Spec.
func Inspect(values map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	return push.CredentialInfo{Environments: []push.Environment{push.Production}}, check(values)
}

// Open returns a Sender for the credential in fields; see push.Spec.
func Open(_ context.Context, values map[string]string, o push.Options) (push.Sender, error) {
	if err := check(values); err != nil {
		return nil, err
	}
	base := o.Endpoint
	if base == "" {
		region := values[fieldRegion]
		if region == "" {
			region = "cn"
		}
		base = hosts()[region]
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("push/xiaomi: open: endpoint %q is not an https address", base)
	}
	h, err := push.NewHTTP(o)
	if err != nil {
		return nil, fmt.Errorf("push/xiaomi: open: %w", err)
	}
	return &Sender{
		http: h, url: base + pathSend, secret: values[fieldAppSecret], channel: values[fieldChannel],
		topic: o.Topic, rows: codeTable(),
	}, nil
}
