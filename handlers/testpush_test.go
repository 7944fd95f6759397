package handlers

import (
	"context"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
)

// What a channel cuts off is said before anything is sent, for each channel of the
// devices, by the page alone; who has seen it may send, and other texts are looked at
// anew.
func TestTestPushCuts(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		s.Store.StartAccepting(nil)
		t.Cleanup(func() { _ = s.Store.StopAccepting(context.WithoutCancel(t.Context())) })
		r := &ready{site: s, main: owner, app: app, base: appBase(app.ID)}
		routes := func(channels ...push.Channel) (out []models.RouteInput) {
			for _, c := range channels {
				out = append(out, models.RouteInput{Channel: string(c), Environment: models.EnvironmentProduction, Token: apnsToken("ab") + string(c)})
			}
			return out
		}
		one := r.phone(routes(push.Vivo, push.FCM), models.NotifyOn, "u1")
		r.phone(routes(push.Meizu), models.NotifyOn, "u1")
		page := r.base + "/test"
		v.Get(page).Has("填写账号并检查后")
		v.Get(page+"?device="+number(one.Device.ID)).Has("vivo 标题 20 个汉字，正文 50 个汉字（英文加倍）", "FCM 整条 4,096 字节").HasNot("魅族")

		title, body := strings.Repeat("标题", 12)+"末尾", strings.Repeat("正文", 24)
		p := v.Submit(page, "account", "u1", "title", title, "body", body).Want(422)
		p.Has("还没有发送：文字会被截断", "vivo（标题 20 个汉字，正文 50 个汉字（英文加倍））", "标题只剩“"+strings.Repeat("标题", 9)+"标…”", "截断后发送").HasNot("魅族（", "内容只剩", "FCM（")
		none, err := s.Store.SendRecords(t.Context(), r.scope(), models.RecordFilter{})
		if err != nil || len(none.Records) != 0 {
			t.Fatalf("%d messages after a warning: %v", len(none.Records), err)
		}
		// Other texts are not those he was warned of.
		long := strings.Repeat("长", 120)
		p = p.Submit(page, "body", long).Want(422).Has("内容只剩“"+strings.Repeat("长", 49)+"…”", "魅族（标题 32 字，正文 100 字）", "内容只剩“"+strings.Repeat("长", 99)+"…”")
		if to := p.Submit(page).Want(303).Header.Get("Location"); !strings.HasPrefix(to, r.base+"/messages/") {
			t.Errorf("leads to %q", to)
		}
		// A look sends nothing, whether something is cut or not.
		v.Submit(page, "account", "u1", "title", "短", "body", "短", "act", "preview").Want(200).Has("魅族 标题 32 字").HasNot("会被截断")
		v.Submit(page, "account", "u1", "title", title, "body", "短", "act", "preview").Want(200).Has("文字会被截断", "截断后发送").Submit(page).Want(303)

		// With the texts hidden, what is typed is not what is sent.
		if _, err := s.Store.SetDelivery(t.Context(), owner, app.ID, models.FanoutAll, models.TextGeneric, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Store.RenameApp(t.Context(), owner, app.ID, "another name than the product's"); err != nil {
			t.Fatal(err)
		}
		v.Submit(page, "account", "u1", "title", title, "body", long, "act", "preview").Want(200).Has("厂商看到的是：main-whale / 收到一条新消息").HasNot("会被截断")
		v.Submit(page, "account", "u1", "title", title, "body", long).Want(303)
	})
}

// An account may hold what an address has a meaning for.
func TestMessageLeadsToItsAccount(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("owner")
		_, apps := s.Product(owner, "Whale", models.PlatformAndroid)
		s.Store.StartAccepting(nil)
		t.Cleanup(func() { _ = s.Store.StopAccepting(t.Context()) })
		r := &ready{site: s, main: owner, app: apps[0], base: appBase(apps[0].ID)}
		r.phone([]models.RouteInput{{Channel: string(push.Meizu), Environment: models.EnvironmentProduction, Token: apnsToken("cd")}}, models.NotifyOn, "a&b #1+c")
		v := s.Login(owner)
		to := v.Submit(r.base+"/test", "account", "a&b #1+c", "title", "t", "body", "b").Want(303).Header.Get("Location")
		v.Get(to).Want(200).Link(r.base + "/tools?q=a%26b+%231%2Bc")
	})
}
