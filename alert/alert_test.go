package alert_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// clean fails the test if a secret stands in the log or in what is stored in the clear.
func (r *rig) clean() {
	r.t.Helper()
	page, err := r.store.Alerts(r.t.Context(), r.main, 0, 0, 200)
	r.must(err)
	text := r.log.String() + fmt.Sprintf("%+v", page)
	for _, s := range secrets() {
		if strings.Contains(text, s) {
			r.t.Errorf("the log or a row holds %s", s)
		}
	}
}

func (r *rig) deliver() {
	r.t.Helper()
	r.must(r.alerts.Deliver(r.t.Context()))
}

// Every kind is delivered to a receiver that checks its key and signature.
func TestDeliver(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		for kind, secret := range map[string]models.Secret{
			models.HookWeCom: "", models.HookDingTalk: dingSecret, models.HookFeishu: feishuSecret, models.HookGeneric: genericSign,
		} {
			r.hook(kind, secret)
		}
		r.pause()
		r.deliver()
		r.deliver() // nothing is due any more
		got := r.robots.texts()
		if len(got) != 4 {
			t.Fatalf("%d were taken: %q\n%s", len(got), got, r.log)
		}
		generic := 0
		for _, text := range got {
			var body struct {
				Version           int
				ID, Event         string
				At                time.Time
				Account           struct{ ID int64 }
				App               struct{ ID int64 }
				Channel, Code     string
				Package, URL      string
				Title, Text       string
				EndsAt, ResumesAt *time.Time
			}
			if json.Unmarshal([]byte(text), &body) == nil {
				generic++
				if body.Version != 1 || body.ID == "" || body.Event != "paused" || body.Account.ID != r.main.AccountID || body.App.ID != r.app.ID ||
					body.Channel != "hw" || body.Code != "80200001" || body.Package != "cn.example.store" || !body.At.Equal(r.clock.Now()) || body.EndsAt != nil {
					t.Errorf("generic: %s", text)
				}
				text = body.Title + body.Text + body.URL
			} else if strings.ContainsAny(text, "<>") {
				t.Errorf("a product's name could mention people: %s", text)
			}
			for _, want := range []string{"被厂商拒绝", "蓝讯", "华为", "生产环境", "cn.example.store", "80200001", fmt.Sprintf("https://push.example.com/apps/%d/config", r.app.ID)} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing: %s", want, text)
				}
			}
		}
		if generic != 1 {
			t.Errorf("%d generic ones", generic)
		}
		if a := r.row(); a.State != models.AlertSent || a.Tries != 1 || a.DoneAt == nil || a.ErrorCode != "" {
			t.Errorf("log: %+v", a)
		}
		r.clean()
	})
}

func TestDeliverInEnglish(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		_, err := r.store.UpdateAccount(t.Context(), r.main, models.AccountSettings{Name: "Lanxun", TimeZone: "Asia/Tokyo", Language: models.LanguageEnglish})
		r.must(err)
		r.hook(models.HookWeCom, "")
		until := time.Date(2027, 1, 2, 16, 0, 0, 0, time.UTC)
		_, err = r.store.RestCredential(t.Context(), r.key.ID, r.key.Revision, until, "80300008")
		r.must(err)
		r.deliver()
		got := r.robots.texts()
		if len(got) != 1 || !strings.Contains(got[0], "quota is used up") || !strings.Contains(got[0], "2027-01-03 01:00 +09:00") || !strings.Contains(got[0], "Huawei") {
			t.Errorf("taken: %q", got)
		}
	})
}

// What a receiver refuses is not taken for delivered, whatever its status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		body := func(status int, text string) func(http.ResponseWriter) bool {
			return func(w http.ResponseWriter) bool {
				w.Header().Set("Location", "/robot/send?access_token="+dingToken)
				w.WriteHeader(status)
				fmt.Fprint(w, text)
				return true
			}
		}
		hooks := map[string]*models.AlertHook{
			models.HookWeCom: r.hook(models.HookWeCom, ""), models.HookDingTalk: r.hook(models.HookDingTalk, "SECwrong"),
			models.HookFeishu: r.hook(models.HookFeishu, "wrong"), models.HookGeneric: r.hook(models.HookGeneric, "wrong"),
		}
		for name, c := range map[string]struct {
			kind       string
			say        func(http.ResponseWriter) bool
			code, text string
		}{
			"ding sign":          {models.HookDingTalk, nil, "310000", "机器人发送签名不匹配"},
			"feishu sign":        {models.HookFeishu, nil, "19021", ""}, // too long to be quoted,
			"generic sign":       {models.HookGeneric, nil, "hy_status_403", ""},
			"wecom words":        {models.HookWeCom, body(200, `{"errcode":93000,"errmsg":"invalid webhook url, hint"}`), "93000", "invalid webhook url"},
			"repeats its key":    {models.HookWeCom, body(200, `{"errcode":1,"errmsg":"key `+weComKey+` is unknown"}`), "1", ""},
			"repeats the secret": {models.HookDingTalk, body(200, `{"errcode":1,"errmsg":"SECwrong is wrong"}`), "1", ""},
			"old feishu":         {models.HookFeishu, body(200, `{"StatusCode":19024,"StatusMessage":"Key Words Not Found"}`), "19024", "Key Words Not Found"},
			"no code":            {models.HookWeCom, body(200, `{"ok":true}`), "hy_bad_reply", ""},
			"null code":          {models.HookWeCom, body(200, `{"errcode":null}`), "hy_bad_reply", ""},
			"empty code":         {models.HookWeCom, body(200, `{"errcode":""}`), "hy_bad_reply", ""},
			"a page":             {models.HookDingTalk, body(200, "<html>login</html>"), "hy_bad_reply", ""},
			"code 0 but 500":     {models.HookDingTalk, body(500, `{"errcode":0}`), "hy_status_500", ""},
			"robot redirect":     {models.HookDingTalk, body(302, ""), "hy_status_302", ""},
			"generic redirect":   {models.HookGeneric, body(307, ""), "hy_status_307", ""},
			"generic 500":        {models.HookGeneric, body(500, "boom "+genericPath), "hy_status_500", ""},
		} {
			before := r.robots.calls()
			r.robots.say(c.say)
			a, err := r.alerts.Test(t.Context(), r.main, hooks[c.kind].ID)
			r.must(err)
			if a.State != models.AlertFailed || a.ErrorCode != c.code || a.ErrorText != c.text {
				t.Errorf("%s: %s %s %q, want %s %q", name, a.State, a.ErrorCode, a.ErrorText, c.code, c.text)
			}
			if n := r.robots.calls() - before; n != 1 {
				t.Errorf("%s: %d requests", name, n)
			}
		}
		if got := r.robots.texts(); len(got) != 0 {
			t.Errorf("taken: %q", got)
		}
		r.clean()
	})
}

// Tries go on for a day with growing waits, and a repaired hook gets what waited.
func TestRetry(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		h := r.hook(models.HookDingTalk, "SECwrong")
		r.pause()
		r.pause()
		r.deliver()
		if n := r.robots.calls(); n != 1 {
			t.Errorf("%d tries after one failed, want the rest to wait", n)
		}
		r.deliver() // the second is due, the first is not
		if n := r.robots.calls(); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
		for range 6 * 60 { // six hours by the minute
			r.clock.Advance(time.Minute)
			r.deliver()
		}
		if a := r.row(); a.State != models.AlertWaiting || a.Tries < 9 || a.Tries > 16 || a.ErrorCode != "310000" {
			t.Errorf("after six hours: %+v", a)
		}
		_, err := r.store.UpdateAlertHook(t.Context(), r.main, h.ID, models.AlertHookInput{Name: h.Name, Secret: dingSecret, Events: models.AlertEvents()})
		r.must(err)
		r.deliver()
		if got := r.robots.texts(); len(got) != 2 {
			t.Errorf("%d taken after the repair", len(got))
		}
		if a := r.row(); a.State != models.AlertSent || a.ErrorCode != "" {
			t.Errorf("after the repair: %+v", a)
		}

		r.robots.say(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true })
		r.pause()
		for range 25 * 6 {
			r.clock.Advance(10 * time.Minute)
			r.deliver()
		}
		a := r.row()
		if a.State != models.AlertFailed || a.ErrorCode != "hy_status_502" || a.DoneAt == nil || a.DoneAt.Sub(a.CreatedAt) > 24*time.Hour || a.DoneAt.Sub(a.CreatedAt) < 22*time.Hour {
			t.Errorf("after a day: %+v", a)
		}
		calls := r.robots.calls()
		r.clock.Advance(48 * time.Hour)
		r.deliver()
		if r.robots.calls() != calls {
			t.Error("a given-up alert was tried")
		}
		r.clean()
	})
}

// A hook that does not answer holds up its own alerts only, and one that cannot be
// opened is given up.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		bad, good := r.hook(models.HookWeCom, ""), r.hook(models.HookDingTalk, dingSecret)
		r.robots.say(nil)
		_, err := r.store.UpdateAlertHook(t.Context(), r.main, bad.ID, models.AlertHookInput{
			Name: bad.Name, URL: "https://127.0.0.1:1/cgi-bin/webhook/send?key=" + weComKey, Events: models.AlertEvents(),
		})
		r.must(err)
		for range 3 {
			r.pause()
		}
		r.deliver()
		if got := r.robots.texts(); len(got) != 3 {
			t.Errorf("%d taken by the good one", len(got))
		}
		page, err := r.store.Alerts(t.Context(), r.main, 0, 0, 10)
		r.must(err)
		codes := map[string]int{}
		for _, a := range page.Rows {
			if a.HookID == good.ID && a.State != models.AlertSent {
				t.Errorf("good: %+v", a)
			}
			codes[a.ErrorCode]++
		}
		if codes["hy_network"] != 1 || codes[""] != 5 {
			t.Errorf("codes %v", codes)
		}
		r.clean()
	})
}

// Without leave, nothing inside is called: neither by address nor by name.
func TestPrivateAddress(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		r.alerts = r.sender()
		h := r.hook(models.HookDingTalk, dingSecret)
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
			address := strings.Replace(r.robots.address(models.HookDingTalk), "127.0.0.1", host, 1)
			_, err := r.store.UpdateAlertHook(t.Context(), r.main, h.ID, models.AlertHookInput{Name: h.Name, URL: models.Secret(address), Events: models.AlertEvents()})
			r.must(err)
			a, err := r.alerts.Test(t.Context(), r.main, h.ID)
			r.must(err)
			if a.State != models.AlertFailed || a.ErrorCode != "hy_refused_address" {
				t.Errorf("%s: %+v", host, a)
			}
		}
		if n := r.robots.calls(); n != 0 {
			t.Errorf("%d requests went in", n)
		}
		r.clean()
	})
}

func TestOfOthers(t *testing.T) {
	t.Parallel()
	eachDB(t, func(t *testing.T, r *rig) {
		h := r.hook(models.HookDingTalk, dingSecret)
		stranger := models.Actor{AccountID: r.main.AccountID + 1, Rights: r.main.Rights}
		sub := models.Actor{AccountID: r.main.AccountID, Rights: models.Rights{Role: models.RoleFull, AllProducts: true, CanIM: true}}
		if _, err := r.alerts.Test(t.Context(), stranger, h.ID); models.KindOf(err) != models.NotFound {
			t.Errorf("another account: %v", err)
		}
		if _, err := r.alerts.Test(t.Context(), sub, h.ID); models.KindOf(err) != models.Forbidden {
			t.Errorf("a sub-account: %v", err)
		}
		if n := r.robots.calls(); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}
