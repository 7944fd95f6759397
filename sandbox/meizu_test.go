package sandbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hongyan/push"
)

// TestMeizuSign: the worked example of Meizu's document, whose secret is "<APP_SECRET>".
func TestMeizuSign(t *testing.T) {
	t.Parallel()
	form := url.Values{
		"appId": {"10000"}, "pushIds": {"RA50c6348036344485d01776773577c64740465480a6b"}, "sign": {"left out"},
		"messageJson": {`{"title":"title","content":"content","pushTimeInfo":{"offLine":1,"validTime":24}}`},
	}
	if got, want := meizuSign(form, "<APP_SECRET>"), "ac076ff25d9900015a681cb5172aa53b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

const meizuPushed = `{"noticeBarInfo":{"noticeMsgType":1,"noticeBarType":2,"title":"t","content":"c"},"clickTypeInfo":{"clickType":0,"parameters":{"k":"v"}},
"pushTimeInfo":{"offLine":1,"validTime":24},"advanceInfo":{"notifyKey":"abc-_12"},"extra":{"callback":"https://a.example/r","callback.param":"p","callback.type":3}}`

func TestMeizuSimulator(t *testing.T) {
	t.Parallel()
	accounts := &MemoryAccounts{}
	accounts.Add(Account{ID: "100999", Fields: map[string]string{"app_secret": "secret"}, ReceiptURL: "https://a.example/r"})
	inbox := NewMemory(100)
	sim, client := startVendor(t, Config{Channel: push.Meizu, Accounts: accounts, Recorder: inbox})
	post := func(path string, form url.Values, secret string) (int, map[string]any) {
		t.Helper()
		if secret != "" {
			form.Set("sign", meizuSign(form, secret))
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, sim.URL()+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		out := map[string]any{}
		_ = json.Unmarshal(body, &out)
		return res.StatusCode, out
	}
	id := func(n int) string { return strings.Repeat("a", 40) + string(rune('a'+n)) }
	form := func(message string, ids ...string) url.Values {
		return url.Values{"appId": {"100999"}, "pushIds": {strings.Join(ids, ",")}, "messageJson": {message}}
	}
	change := func(old, with string) url.Values {
		t.Helper()
		if !strings.Contains(meizuPushed, old) {
			t.Fatalf("nothing to change: %s", old)
		}
		return form(strings.Replace(meizuPushed, old, with, 1), id(0))
	}
	if err := sim.SetToken(id(1), TokenState{Reason: "device_110010"}); err != nil {
		t.Fatal(err)
	}
	_, got := post(meizuPath, form(meizuPushed, id(0), id(1), "x"), "secret")
	value, _ := json.Marshal(got["value"])
	if got["code"] != "200" || got["msgId"] == "" || string(value) != `{"110003":["x"],"110010":["`+id(1)+`"]}` {
		t.Errorf("%v", got)
	}
	if all := inbox.List(); len(all) != 3 || all[0].Reason != "" || all[1].Reason != "device_110010" || string(all[0].Payload) != meizuPushed {
		t.Errorf("%+v", all)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = id(0)
	}
	other := form(meizuPushed, id(0))
	other.Set("appId", "1")
	for name, c := range map[string]struct {
		form   url.Values
		secret string
		want   string
	}{
		"signature":    {form(meizuPushed, id(0)), "secre7", "1006"},
		"no signature": {form(meizuPushed, id(0)), "", "110004"},
		"app":          {other, "secret", "110000"},
		"no ids":       {form(meizuPushed), "secret", "110004"},
		"101 ids":      {form(meizuPushed, many...), "secret", "1005"},
		"not JSON":     {form("{", id(0)), "secret", "1005"},
		"type":         {change(`"title":"t"`, `"title":1`), "secret", "1005"},
		"member":       {change(`"title"`, `"titles"`), "secret", "1005"},
		"title":        {change(`"t"`, `"`+strings.Repeat("长", 33)+`"`), "secret", "1005"},
		"content":      {change(`"c"`, `"`+strings.Repeat("长", 101)+`"`), "secret", "1005"},
		"validTime":    {change(`:24`, `:73`), "secret", "1005"},
		"clickType":    {change(`"clickType":0`, `"clickType":1`), "secret", "1005"},
		"notifyKey":    {change(`abc-_12`, `abc-_1234`), "secret", "1005"},
		"callback":     {change(`a.example`, `b.example`), "secret", "1005"},
		"param":        {change(`"p"`, `"`+strings.Repeat("x", 65)+`"`), "secret", "1005"},
	} {
		if _, got := post(meizuPath, c.form, c.secret); got["code"] != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if status, _ := post("/garcia/api/server/push/unvarnished/pushByPushId", form(meizuPushed, id(0)), "secret"); status != http.StatusNotFound {
		t.Errorf("a wrong path: %d", status)
	}
}
