package handlers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/alert"
	"hongyan/models"
)

const (
	robotToken  = "r0b0t-t0ken"
	robotSecret = "SECr0b0t"
)

// dingTalk is a group robot: it takes what is signed with its secret.
func dingTalk(t *testing.T) (server *httptest.Server, taken *atomic.Int32) {
	t.Helper()
	taken = &atomic.Int32{}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		mac := hmac.New(sha256.New, []byte(robotSecret))
		fmt.Fprintf(mac, "%s\n%s", q.Get("timestamp"), robotSecret)
		if q.Get("access_token") != robotToken || q.Get("sign") != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			fmt.Fprint(w, `{"errcode":310000,"errmsg":"sign not match"}`)
			return
		}
		taken.Add(1)
		fmt.Fprint(w, `{"errcode":0,"errmsg":"ok"}`)
	}))
	t.Cleanup(server.Close)
	return server, taken
}

func TestAlertsPage(t *testing.T) {
	t.Parallel()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			robot, taken := dingTalk(t)
			var sender *alert.Sender
			s := newSite(t, engine, func(d *Deps) {
				sender = newAlerts(t, alert.Options{
					Store: d.Store, Log: d.Log, Now: d.Now, PublicURL: d.PublicURL, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
					RootCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: robot.Certificate().Raw}),
				})
				d.Alerts = sender
			})
			owner := s.Account("linruoxi")
			_, apps := s.Product(owner, "蓝鲸企业聊")
			v := s.Login(owner)
			v.Get("/products").Link("/alerts")
			v.Get("/alerts").Has("告警通知", "现在出了问题只能在控制台看到")
			address := robot.URL + "/robot/send?access_token=" + robotToken

			// What was secret is not written into the form again.
			form := v.Submit("/alerts/new", "kind", "dingtalk", "url", address, "secret", robotSecret).Want(http.StatusUnprocessableEntity)
			if form.FieldError("name") == "" || !strings.Contains(form.FieldError("url"), "再粘贴一次") || !strings.Contains(form.FieldError("secret"), "再粘贴一次") {
				t.Errorf("faults: %q, %q, %q", form.FieldError("name"), form.FieldError("url"), form.FieldError("secret"))
			}
			pages := []*page{form}
			for field, pairs := range map[string][]string{
				"url":    {"name", "值班群", "kind", "dingtalk", "url", "http://oapi.example.com/robot"},
				"secret": {"name", "值班群", "kind", "wecom", "url", address, "secret", robotSecret},
				"events": {"name", "值班群", "kind", "dingtalk", "url", address, "events", ""},
			} {
				if p := v.Submit("/alerts/new", pairs...).Want(http.StatusUnprocessableEntity); p.FieldError(field) == "" {
					t.Errorf("no message under %s", field)
				}
			}
			list := v.Submit("/alerts/new", "name", "值班群", "kind", "dingtalk", "url", address, "secret", "SECwrong").To("/alerts").
				Has("已新建通知 值班群", "钉钉", robot.Listener.Addr().String(), "已设置签名", "凭证即将到期", "还没有发送过通知")
			hooks, err := s.Store.AlertHooks(t.Context(), owner)
			if err != nil || len(hooks) != 1 {
				t.Fatal(hooks, err)
			}
			base := "/alerts/" + number(hooks[0].ID)

			// The test is sent now, and the robot's answer is shown.
			failed := list.Submit(base+"/test").To("/alerts").Has("值班群 没有接收测试通知", "安全设置不通过", "310000", "对方未接收")
			v.Get("/alerts").HasNot("没有接收测试通知").Has("安全设置不通过")
			edit := v.Get(base+"/edit").Has("钉钉，已设置 "+robot.Listener.Addr().String(), "留空不修改")
			v.Submit(base+"/edit", "secret", robotSecret).To("/alerts").Has("已保存 值班群")
			v.Get("/alerts").Submit(base+"/test").To("/alerts").Has("值班群 已接收测试通知", "对方已接收")
			if taken.Load() != 1 {
				t.Errorf("the robot took %d", taken.Load())
			}

			// A refused credential stands in the log, waits, and is delivered.
			keys, err := s.Store.SaveCredentials(t.Context(), owner, models.AppOwner(apps[1].ID),
				models.CredentialInput{Channel: "apns", Environment: models.EnvironmentProduction, Kind: "p8", Fields: map[string]string{"key": "k"}})
			if err == nil {
				_, err = s.Store.PauseCredential(t.Context(), keys[0].ID, keys[0].Revision, "InvalidProviderToken", "")
			}
			if err != nil {
				t.Fatal(err)
			}
			waiting := v.Get("/alerts").Has("等待发送", "凭证被厂商拒绝", "蓝鲸企业聊 · iOS · APNs · 生产环境")
			if err := sender.Deliver(t.Context()); err != nil || taken.Load() != 2 {
				t.Errorf("delivered %d, %v", taken.Load(), err)
			}
			v.Get("/alerts").HasNot("等待发送")

			v.Get("/alerts").Submit(base + "/disable").To("/alerts").Has("已停用 值班群")
			v.Post(base + "/disable").Want(http.StatusConflict)
			v.Get("/alerts").Submit(base + "/enable").To("/alerts").Has("已启用 值班群")
			v.Submit(base+"/edit", "drop", "1").To("/alerts").HasNot("已设置签名")
			log := v.Get("/audit").Has("告警通知", "值班群", "地址或密钥已更换")
			v.Submit(base+"/delete", "name", "值班").Want(http.StatusUnprocessableEntity)
			v.Submit(base+"/delete", "name", "值班群").To("/alerts").Has("已删除 值班群", "现在出了问题只能在控制台看到")

			for _, p := range append(pages, list, failed, edit, waiting, log) {
				for _, secret := range []string{robotToken, robotSecret, "SECwrong"} {
					if strings.Contains(string(p.Body), secret) {
						t.Errorf("%s shows %s", p.Path, secret)
					}
				}
			}
			for _, secret := range []string{robotToken, robotSecret, "SECwrong"} {
				if strings.Contains(s.Log.String(), secret) {
					t.Errorf("the log holds %s", secret)
				}
			}
		})
	}
}

// Without leave of the operator nothing inside is called, and the page says why.
func TestAlertToPrivateAddress(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		robot, _ := dingTalk(t)
		owner := s.Account("linruoxi")
		v := s.Login(owner)
		v.Submit("/alerts/new", "name", "内网", "kind", "generic", "url", robot.URL+"/x").To("/alerts")
		hooks, err := s.Store.AlertHooks(t.Context(), owner)
		if err != nil || len(hooks) != 1 {
			t.Fatal(hooks, err)
		}
		v.Get("/alerts").Submit("/alerts/"+number(hooks[0].ID)+"/test").To("/alerts").Has("地址在内网，未发送", "OUTBOUND_ALLOW")
	})
}

// The pages warn in steps of 30, 7 and 1 days, wherever a credential's state stands.
func TestEndingCredentials(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	owner := s.Account("linruoxi")
	_, apps := s.Product(owner, "蓝鲸企业聊")
	v := s.Login(owner)
	const day = 24 * time.Hour
	for _, step := range []struct {
		left             time.Duration
		list, tone, card string
	}{
		{31 * day, "", "", ""},
		{30 * day, "凭证30 天后到期", "warn", "到期后这个环境的推送会全部失败"},
		{7 * day, "凭证7 天后到期", "warn", "请这几天内上传新证书"},
		{day, "凭证1 天后到期", "bad", "请现在上传新证书"},
		{time.Hour, "凭证24 小时内到期", "bad", "请现在上传新证书"},
		{0, "凭证已过期", "bad", "证书已过期"},
	} {
		from, to := s.Clock.Now().Add(-300*day), s.Clock.Now().Add(step.left)
		for i, channel := range []string{"xm", "apns"} {
			_, err := s.Store.SaveCredentials(t.Context(), owner, models.AppOwner(apps[i].ID), models.CredentialInput{
				Channel: channel, Environment: models.EnvironmentProduction, Kind: map[string]string{"apns": "p12", "xm": "key"}[channel],
				Fields: map[string]string{"k": "v"}, NotAfter: &to, Info: models.CredentialInfo{NotBefore: &from}, Tested: true,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		products, ios, android := v.Get("/products"), v.Get(appBase(apps[1].ID)+"/config"), v.Get(appBase(apps[0].ID)+"/config")
		if step.list == "" {
			products.HasNot("到期")
			ios.HasNot("到期后")
			android.HasNot("到期后")
			continue
		}
		if n := len(products.All("span", "class", "sub t-"+step.tone)); n != 2 {
			t.Errorf("%v: %d notes in the products list have the tone %s", step.left, n, step.tone)
		}
		products.Has(step.list)
		ios.Has(step.card)
		android.Has("请换上新的凭证")
		for _, p := range []*page{ios, android} {
			n := 0
			for _, b := range p.All("div", "class", "banner banner-"+step.tone) {
				if text := nodeText(b); strings.Contains(text, "到期") || strings.Contains(text, "过期") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%v: %s has %d banners of the tone %s about the end", step.left, p.Path, n, step.tone)
			}
		}
	}
}
