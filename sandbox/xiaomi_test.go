package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hongyan/push"
	"hongyan/sandbox"
)

// TestXiaomiRules sends one request after another that breaks one rule of the
// documents each.
func TestXiaomiRules(t *testing.T) {
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: "s3cret-of-app", Packages: []string{"im.demo"}, ReceiptURL: "https://example.com/r", Fields: map[string]string{"channel_id": "im"}})
	accounts.Add(sandbox.Account{ID: "im.second", Fields: map[string]string{"app_secret": "s3cret-two"}})
	sim, client := startVendor(t, sandbox.Config{Channel: push.Xiaomi, Accounts: accounts})
	good := func() url.Values {
		return url.Values{"registration_id": {"reg1"}, "restricted_package_name": {"im.demo"}, "title": {"t"}, "description": {"d"}, "pass_through": {"0"}}
	}
	ids := strings.TrimSuffix(strings.Repeat("r,", 1001), ",")
	for name, c := range map[string]struct {
		auth, key, value string
		want             float64
	}{
		"good":               {want: 0},
		"by package":         {auth: "key=s3cret-two", key: "restricted_package_name", value: "im.second", want: 0},
		"no key":             {auth: "s3cret-of-app", want: 21305},
		"upper case":         {auth: "KEY=s3cret-of-app", want: 21305},
		"wrong key":          {auth: "key=s3cret", want: 21301},
		"package's wrong":    {auth: "key=s3cret-tw0", key: "restricted_package_name", value: "im.second", want: 21301},
		"foreign package":    {key: "restricted_package_name", value: "im.other", want: 22022},
		"no package":         {key: "restricted_package_name", want: 10016},
		"no id":              {key: "registration_id", want: 10016},
		"too many ids":       {key: "registration_id", value: ids, want: 10017},
		"empty id":           {key: "registration_id", value: "a,,b", want: 10017},
		"no title":           {key: "title", value: " ", want: 10016},
		"title of 50":        {key: "title", value: strings.Repeat("鸿", 50), want: 10017},
		"title of 49":        {key: "title", value: strings.Repeat("鸿", 49), want: 0},
		"description of 128": {key: "description", value: strings.Repeat("雁", 128), want: 10017},
		"4 KB":               {key: "payload", value: strings.Repeat("x", 4095), want: 65009},
		"silent, no payload": {key: "pass_through", value: "1", want: 10016},
		"pass_through":       {key: "pass_through", value: "true", want: 10017},
		"ttl in words":       {key: "time_to_live", value: "1h", want: 10017},
		"ttl of 15 days":     {key: "time_to_live", value: "1296000000", want: 10017},
		"notify_type":        {key: "notify_type", value: "8", want: 10017},
		"notify_id":          {key: "notify_id", value: "4294967296", want: 10017},
		"jobkey of 21":       {key: "extra.jobkey", value: strings.Repeat("j", 21), want: 10017},
		"jobkey with _":      {key: "extra.jobkey", value: "_j", want: 10017},
		"notify_effect":      {key: "extra.notify_effect", value: "4", want: 10017},
		"long extra":         {key: "extra.big", value: strings.Repeat("x", 1022), want: 65015},
		"channel":            {key: "extra.channel_id", value: "news", want: 27001},
		"callback elsewhere": {key: "extra.callback", value: "https://example.com/other", want: 65038},
		"callback no URL":    {key: "extra.callback", value: "r", want: 65038},
		"long callback":      {key: "extra.callback", value: "https://example.com/" + strings.Repeat("r", 109), want: 65037},
		"registered":         {key: "extra.callback", value: "https://example.com/r", want: 0},
	} {
		form := good()
		if c.key != "" {
			form.Set(c.key, c.value)
		}
		if c.auth == "" {
			c.auth = "key=s3cret-of-app"
		}
		if got := postForm(t, client, sim.URL()+"/v3/message/regid", c.auth, form)["code"]; got != c.want {
			t.Errorf("%s: code %v, want %v", name, got, c.want)
		}
	}
	many := good()
	for _, k := range strings.Split("abcdefghijk", "") {
		many.Set("extra."+k, "x")
	}
	if got := postForm(t, client, sim.URL()+"/v3/message/regid", "key=s3cret-of-app", many)["code"]; got != 65014.0 {
		t.Errorf("eleven extras: code %v", got)
	}
	res, err := client.Post(sim.URL()+"/v3/message/nowhere", "application/x-www-form-urlencoded", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("wrong path: status %d", res.StatusCode)
	}
}
