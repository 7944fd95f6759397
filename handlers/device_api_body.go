package handlers

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"hongyan/models"
	"hongyan/push"
)

// environmentSandbox is the environment of a virtual phone's route.
const environmentSandbox = "sandbox"

// maxReceipts is the most receipts of one call.
const maxReceipts = 100

// routeBody is one vendor token of a device.
type routeBody struct {
	Channel     string `json:"channel"`
	Environment string `json:"environment"`
	Package     string `json:"package"`
	Token       string `json:"token"`
}

// registerBody is what an install says about itself. Absent fields keep what is
// known.
type registerBody struct {
	Routes        []routeBody `json:"routes"`
	Brand         string      `json:"brand"`
	Model         string      `json:"model"`
	OSVersion     string      `json:"os_version"`
	AppVersion    string      `json:"app_version"`
	SDKVersion    string      `json:"sdk_version"`
	Language      string      `json:"language"`
	TimeZone      string      `json:"time_zone"`
	Notifications *bool       `json:"notifications"`
}

// registration checks what models does not: models keeps any channel, a phone may
// only name one that exists.
func (b *registerBody) registration() (models.Registration, error) {
	r := models.Registration{
		Brand: b.Brand, Model: b.Model, OSVersion: b.OSVersion, AppVersion: b.AppVersion,
		SDKVersion: b.SDKVersion, Language: b.Language, TimeZone: b.TimeZone,
	}
	if b.Notifications != nil {
		r.Notify = models.NotifyOff
		if *b.Notifications {
			r.Notify = models.NotifyOn
		}
	}
	if b.Routes == nil {
		return r, nil
	}
	if len(b.Routes) > models.MaxRoutes {
		return r, fieldLimit("too_many_items", "routes", models.MaxRoutes)
	}
	r.Routes = make([]models.RouteInput, 0, len(b.Routes))
	virtual := len(b.Routes) > 0
	for i := range b.Routes {
		one, err := b.Routes[i].route()
		if err != nil {
			return r, apiErrorOf(err).below("routes[" + strconv.Itoa(i) + "]")
		}
		virtual = virtual && one.Environment == environmentSandbox
		r.Routes = append(r.Routes, one)
	}
	// A phone that only the simulators can reach is the sandbox's.
	r.Virtual = virtual
	return r, nil
}

func (b *routeBody) route() (models.RouteInput, error) {
	r := models.RouteInput{Channel: b.Channel, Environment: b.Environment, PackageName: b.Package, Token: b.Token}
	if r.Environment == "" {
		r.Environment = string(push.Production)
	}
	switch {
	case r.Channel == "":
		return r, fieldError("required", "channel")
	case !slices.Contains(channels(), push.Channel(r.Channel)):
		return r, fieldError("not_one_of", "channel")
	case !slices.Contains([]string{string(push.Production), string(push.Development), environmentSandbox}, r.Environment):
		return r, fieldError("not_one_of", "environment")
	case r.Token == "":
		return r, fieldError("required", "token")
	case len(r.Token) > models.MaxVendorTokenBytes:
		return r, fieldLimit("too_long", "token", models.MaxVendorTokenBytes)
	}
	if r.Channel == string(push.WebPush) {
		if _, ok := models.CanonicalSubscription(r.Token); !ok {
			return r, fieldError("not_subscription", "token")
		}
	}
	if r.Channel == string(push.APNs) {
		if _, err := hex.DecodeString(r.Token); err != nil {
			// The usual mistake is Data's description, "<7d9f 3c0a …>" or "32 bytes".
			return r, fieldError("not_hex", "token")
		}
	}
	return r, nil
}

// channels are the vendors whose tokens a device can have.
func channels() []push.Channel {
	return []push.Channel{
		push.APNs, push.FCM, push.Huawei, push.Honor, push.Xiaomi, push.OPPO, push.Vivo, push.Meizu, push.Harmony, push.WebPush,
	}
}

// bindBody names an end user, and proves that the customer's backend agrees.
type bindBody struct {
	Account     string `json:"account"`
	AccountType int    `json:"account_type"`
	Time        int64  `json:"time"`
	Signature   string `json:"signature"`
}

func (b *bindBody) binding() (models.Binding, error) {
	out := models.Binding{Type: b.AccountType, Account: b.Account, Time: b.Time, Signature: b.Signature}
	switch {
	case b.Account == "":
		return out, fieldError("required", "account")
	case !validAccount(b.Account):
		return out, fieldLimit("bad_account", "account", models.MaxAccountRunes)
	case utf8.RuneCountInString(b.Account) < models.MinAccountRunes:
		return out, fieldLimit("too_short", "account", models.MinAccountRunes)
	case b.AccountType < 0 || b.AccountType > models.MaxAccountType:
		return out, fieldRange("account_type", 0, models.MaxAccountType)
	}
	return out, nil
}

// receiptsBody is what became of messages.
type receiptsBody struct {
	Receipts []struct {
		MessageID string  `json:"message_id"`
		Status    string  `json:"status"`
		At        *string `json:"at"`
	} `json:"receipts"`
}

func (b *receiptsBody) receipts() ([]models.Receipt, error) {
	switch {
	case len(b.Receipts) == 0:
		return nil, fieldError("required", "receipts")
	case len(b.Receipts) > maxReceipts:
		return nil, fieldLimit("too_many_items", "receipts", maxReceipts)
	}
	out := make([]models.Receipt, 0, len(b.Receipts))
	for i, r := range b.Receipts {
		field := func(name string) string { return "receipts[" + strconv.Itoa(i) + "]." + name }
		switch {
		case r.MessageID == "":
			return nil, fieldError("required", field("message_id"))
		case !slices.Contains([]string{models.StateArrived, models.StateClicked, models.StateCleared}, r.Status):
			return nil, fieldError("not_one_of", field("status"))
		}
		one := models.Receipt{MessageID: r.MessageID, Status: r.Status}
		if r.At != nil {
			at, err := time.Parse(time.RFC3339, *r.At)
			if err != nil {
				return nil, fieldError("bad_time", field("at"))
			}
			one.At = at.UTC()
		}
		out = append(out, one)
	}
	return out, nil
}
