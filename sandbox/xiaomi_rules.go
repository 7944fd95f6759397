package sandbox

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// message judges a message's fields by the table of parameters in
// https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559.
func (x *xiaomi) message(q *miRequest) string {
	f := q.form
	if f.Get("registration_id") == "" || f.Get("restricted_package_name") == "" {
		return "10016"
	}
	// "A comma list of at most 1000."
	if len(q.tokens) > 1000 {
		return "10017"
	}
	for _, t := range q.tokens {
		if strings.TrimSpace(t) == "" {
			return "10017"
		}
	}
	if code := cmp.Or(miText(f), miNumbers(f), miExtras(f, x.patterns)); code != "" {
		return code
	}
	// A channel must be one that was registered for the app.
	if have, want := f.Get("extra.channel_id"), q.account.Fields["channel_id"]; have != "" && want != "" && have != want {
		return "27001"
	}
	return miCallback(f, q.registered)
}

// miText: title under 50 and description under 128 characters, not blank, both
// required for a notification; a pass-through message needs a payload; 4 KB in all.
func miText(f url.Values) string {
	title, description, payload := f.Get("title"), f.Get("description"), f.Get("payload")
	switch f.Get("pass_through") {
	case "1":
		if strings.TrimSpace(payload) == "" {
			return "10016"
		}
	case "", "0":
		if strings.TrimSpace(title) == "" || strings.TrimSpace(description) == "" {
			return "10016"
		}
	default:
		return "10017"
	}
	if utf8.RuneCountInString(title) >= 50 || utf8.RuneCountInString(description) >= 128 {
		return "10017"
	}
	if len(title)+len(description)+len(payload) > 4096 {
		return "65009"
	}
	return ""
}

// miNumbers: notify_type is -1 or a sum of 1, 2 and 4; notify_id an int;
// time_to_live in milliseconds, at most two weeks.
func miNumbers(f url.Values) string {
	for name, in := range map[string][2]int64{
		"notify_type":  {-1, 7},
		"notify_id":    {-1 << 31, 1<<31 - 1},
		"time_to_live": {1, 14 * 24 * 3600 * 1000},
	} {
		if !f.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(f.Get(name), 10, 64)
		if err != nil || n < in[0] || n > in[1] {
			return "10017"
		}
	}
	return ""
}

// miPatterns are the values that extras take: notify_effect 1 to 3; a jobkey has at
// most 20 letters, digits, _ and -, and does not start with _.
func miPatterns() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"extra.notify_effect":  regexp.MustCompile(`^[123]$`),
		"extra.only_send_once": regexp.MustCompile(`^1$`),
		"extra.jobkey":         regexp.MustCompile(`^[0-9A-Za-z-][0-9A-Za-z_-]{0,19}$`),
		"extra.sound_uri":      regexp.MustCompile(`^android\.resource://[^/ ]+/.+$`),
		"extra.callback.type":  regexp.MustCompile(`^[0-9]{1,4}$`),
	}
}

// miExtras: at most ten extras, names and values together at most 1024 characters.
func miExtras(f url.Values, patterns map[string]*regexp.Regexp) string {
	keys, chars := 0, 0
	for k := range f {
		name, ok := strings.CutPrefix(k, "extra.")
		if !ok {
			continue
		}
		keys++
		chars += utf8.RuneCountInString(name) + utf8.RuneCountInString(f.Get(k))
	}
	switch {
	case keys > 10:
		return "65014"
	case chars > 1024:
		return "65015"
	}
	for name, pattern := range patterns {
		if f.Has(name) && !pattern.MatchString(f.Get(name)) {
			return "10017"
		}
	}
	return ""
}

// miCallback: the address has at most 128 bytes and is registered for the app, the
// parameter has at most 64.
func miCallback(f url.Values, registered string) string {
	if !f.Has("extra.callback") {
		return ""
	}
	address := f.Get("extra.callback")
	u, err := url.Parse(address)
	switch {
	case len(f.Get("extra.callback.param")) > 64:
		return "65036"
	case len(address) > 128:
		return "65037"
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", address != registered:
		return "65038"
	}
	return ""
}
