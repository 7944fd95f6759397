package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// TestOPPORules breaks one rule of the documents after another.
func TestOPPORules(t *testing.T) {
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: "appkey01", Fields: map[string]string{"master_secret": "master01", "category": "IM"}})
	sim, client := startVendor(t, sandbox.Config{Channel: push.OPPO, Accounts: accounts})
	auth := func(key, stamp, secret string) map[string]any {
		sum := sha256.Sum256([]byte(key + stamp + secret))
		return postForm(t, client, sim.URL()+"/server/v1/auth", "", url.Values{"app_key": {key}, "timestamp": {stamp}, "sign": {hex.EncodeToString(sum[:])}})
	}
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	hour := strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10)
	for name, c := range map[string]struct {
		key, stamp, secret string
		want               float64
	}{
		"good": {"appkey01", now, "master01", 0}, "unknown key": {"appkey02", now, "master01", 14}, "no key": {"", now, "master01", 15},
		"wrong secret": {"appkey01", now, "master02", 16}, "no time": {"appkey01", "", "master01", 18}, "an hour ago": {"appkey01", hour, "master01", 19},
	} {
		if got := auth(c.key, c.stamp, c.secret)["code"]; got != c.want {
			t.Errorf("auth, %s: code %v, want %v", name, got, c.want)
		}
	}
	data, _ := auth("appkey01", now, "master01")["data"].(map[string]any)
	token, _ := data["auth_token"].(string)
	const unicast, batch = "/server/v1/message/notification/unicast", "/server/v1/message/notification/unicast_batch"
	message := func(notification string) string {
		return `{"target_type":2,"target_value":"CN_1","notification":` + notification + `}`
	}
	good := message(`{"title":"t","content":"c"}`)
	with := func(field string) string { return message(`{"title":"t","content":"c",` + field + `}`) }
	for name, c := range map[string]struct {
		token, path, message string
		want                 float64
	}{
		"good": {token, unicast, good, 0}, "good batch": {token, batch, "[" + good + "]", 0},
		"no token": {"", unicast, good, 29}, "unknown token": {"abc", unicast, good, 11},
		"nothing": {token, unicast, "", 40}, "no JSON": {token, unicast, "{", 41}, "two": {token, unicast, good + good, 41},
		"batch is an object": {token, batch, good, 41}, "empty batch": {token, batch, "[]", 41},
		"1001":                {token, batch, "[" + strings.Repeat(good+",", 1000) + good + "]", 41},
		"type as text":        {token, unicast, strings.Replace(good, "2", `"2"`, 1), 41},
		"no target":           {token, unicast, `{"target_type":2,"notification":{"title":"t","content":"c"}}`, 40},
		"no title":            {token, unicast, message(`{"content":"c"}`), 40},
		"blank content":       {token, unicast, message(`{"title":"t","content":" "}`), 40},
		"title of 51":         {token, unicast, message(`{"title":"` + strings.Repeat("鸿", 51) + `","content":"c"}`), 41},
		"content of 201":      {token, unicast, message(`{"title":"t","content":"` + strings.Repeat("雁", 201) + `"}`), 41},
		"unknown field":       {token, unicast, with(`"offline":true`), 41},
		"boolean as text":     {token, unicast, with(`"off_line":"true"`), 41},
		"ttl of eleven days":  {token, unicast, with(`"off_line_ttl":950400`), 41},
		"negative badge":      {token, unicast, with(`"badge_message_count":-1`), 41},
		"parameters no JSON":  {token, unicast, with(`"action_parameters":"x"`), 41},
		"address no URL":      {token, unicast, with(`"call_back_url":"x"`), 41},
		"parameter of 51":     {token, unicast, with(`"call_back_url":"https://a.b/c","call_back_parameter":"` + strings.Repeat("p", 51) + `"`), 41},
		"unknown category":    {token, unicast, with(`"category":"CHAT"`), 67},
		"category not ours":   {token, unicast, with(`"category":"ORDER"`), 67},
		"level, no category":  {token, unicast, with(`"notify_level":2`), 67},
		"level 3":             {token, unicast, with(`"category":"IM","notify_level":3`), 67},
		"level 16":            {token, unicast, with(`"category":"IM","notify_level":16`), 0},
		"odd registration id": {token, unicast, strings.Replace(good, "CN_1", "a_b_c_d", 1), 10000},
	} {
		name2 := "message"
		if c.path == batch {
			name2 = "messages"
		}
		form := url.Values{name2: {c.message}}
		if c.token != "" {
			form.Set("auth_token", c.token)
		}
		if got := postForm(t, client, sim.URL()+c.path, "", form)["code"]; got != c.want {
			t.Errorf("%s: code %v, want %v", name, got, c.want)
		}
	}
	once := message(`{"app_message_id":"id-1","title":"t","content":"c"}`)
	for i, want := range []float64{0, 32} {
		if got := postForm(t, client, sim.URL()+unicast, "", url.Values{"auth_token": {token}, "message": {once}})["code"]; got != want {
			t.Errorf("time %d of one id: code %v, want %v", i+1, got, want)
		}
	}
	sim.Revoke()
	if got := postForm(t, client, sim.URL()+unicast, "", url.Values{"auth_token": {token}, "message": {good}})["code"]; got != 11.0 {
		t.Errorf("revoked token: code %v", got)
	}
}
