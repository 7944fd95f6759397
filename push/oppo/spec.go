// Package oppo sends through OPPO Push, which serves OPPO, realme and OnePlus phones.
//
// Requests carry an access token that AppKey and MasterSecret fetch and that lives a
// day. One request carries up to a thousand messages, each with its own target and
// content. See package push for the contract.
package oppo

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldAppKey       = "app_key"
	fieldAppSecret    = "app_secret"
	fieldMasterSecret = "master_secret"
	fieldRegion       = "region"
	fieldChannel      = "channel_id"
	fieldCategory     = "category"
	fieldLevel        = "notify_level"
)

// Vendor pages.
const (
	// docAuth is the page of access tokens.
	docAuth = "https://open.oppomobile.com/new/developmentDoc/info?id=11234"
	// docCodes is the page of addresses and return codes, docMessage that of a
	// notification's fields.
	docCodes   = "https://open.oppomobile.com/new/developmentDoc/info?id=11235"
	docMessage = "https://open.oppomobile.com/new/developmentDoc/info?id=11236"
	// docClasses is the page of message classes.
	docClasses = "https://open.oppomobile.com/new/developmentDoc/info?id=13189"
)

// Limits of docMessage, in characters; a Chinese character or an emoji counts one.
const (
	maxTargets  = 1000 // messages of one request
	maxTitle    = 50
	maxSubtitle = 10
	maxContent  = 200 // of a message in the standard style
	maxData     = 4000
	maxBadge    = 99 // more shows as 99+
	maxToken    = 512
	// maxTTL is how long OPPO keeps a message.
	maxTTL = 10 * 24 * time.Hour
)

// rate is what OPPO takes a second from the smallest apps, by the QPS rules in its
// console; larger ones may raise it.
const rate = 5000

// Values that leave a class to OPPO.
const (
	categoryNone = "none"
	levelDefault = "default"
)

// Values of the region field.
const (
	regionChina  = "cn"
	regionAbroad = "intl"
)

// hosts are OPPO's services by the value of the region field.
func hosts() map[string]string {
	return map[string]string{
		regionChina:  "https://api.push.oppomobile.com",
		regionAbroad: "https://api-intl.push.oppomobile.com",
	}
}

// Spec describes the channel.
func Spec() push.Spec {
	return push.Spec{
		Channel:      push.OPPO,
		Fields:       fields(),
		Limits:       push.Limits{InFlight: push.HTTPInFlight, Batch: push.BatchAlways, TargetsPerRequest: maxTargets, TitleRunes: maxTitle, BodyRunes: maxContent},
		Environments: []push.Environment{push.Production},
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
		Rate:         rate,
		ParseReceipt: ParseReceipt,
		ReceiptSetup: push.ReceiptMessage,
	}
}

// fields are what OPPO's console shows of an app. The AppSecret is the app's own, for
// registering; sending takes the MasterSecret. Mixing them up is the usual mistake,
// so the form takes both and a credential that has one for the other is refused.
func fields() []push.Field {
	const key = `[A-Za-z0-9]{8,128}`
	return []push.Field{
		{Key: fieldAppKey, Kind: push.FieldText, Required: true, Pattern: key, MaxBytes: 128},
		{Key: fieldAppSecret, Kind: push.FieldSecret, Pattern: key, MaxBytes: 128},
		{Key: fieldMasterSecret, Kind: push.FieldSecret, Required: true, Pattern: key, MaxBytes: 128},
		{Key: fieldRegion, Kind: push.FieldChoice, Choices: []string{regionChina, regionAbroad}, MaxBytes: 8},
		{Key: fieldChannel, Kind: push.FieldText, Group: push.GroupClass, Pattern: `[A-Za-z0-9_.\-]{1,64}`, MaxBytes: 64},
		// Chat is IM by OPPO's rules (docClasses); the rest are its other classes of
		// communication and service, then those of content and marketing.
		{Key: fieldCategory, Kind: push.FieldChoice, Group: push.GroupClass, MaxBytes: 32, Choices: []string{
			"IM", "ACCOUNT", "DEVICE_REMINDER", "ORDER", "TODO", "SUBSCRIPTION", "NEWS", "CONTENT", "MARKETING", "SOCIAL", categoryNone,
		}},
		// 1 the notification bar, 2 the lock screen too, 16 also a banner, vibration
		// and sound, for which OPPO's leave is needed.
		{Key: fieldLevel, Kind: push.FieldChoice, Group: push.GroupClass, Choices: []string{levelDefault, "1", "2", "16"}, MaxBytes: 8},
	}
}

// check returns the first field that is at fault.
func check(values map[string]string) error {
	for _, f := range fields() {
		if err := f.Check(values[f.Key]); err != nil {
			return err
		}
	}
	if values[fieldMasterSecret] == values[fieldAppSecret] {
		return &push.FieldError{Field: fieldMasterSecret, Code: push.FieldInvalid}
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
	base, region := o.Endpoint, cmp.Or(values[fieldRegion], regionChina)
	if base == "" {
		base = hosts()[region]
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("push/oppo: open: endpoint %q is not an https address", base)
	}
	h, err := push.NewHTTP(o)
	if err != nil {
		return nil, fmt.Errorf("push/oppo: open: %w", err)
	}
	s := &Sender{
		http: h, base: base, region: region, appKey: values[fieldAppKey], masterSecret: values[fieldMasterSecret],
		class: classOf(values), rows: codeTable(),
	}
	s.tokens = push.NewAccessTokens(h.Now, s.fetch)
	return s, nil
}
