package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// arrive lists one request for an IM app, as a bridge would.
func (s *site) arrive(secret models.Secret, a models.Arrival, content string, fill func(*models.Trace)) {
	s.t.Helper()
	in, err := s.Store.IngestBySecret(s.t.Context(), secret.Reveal())
	if err != nil {
		s.t.Fatal(err)
	}
	trace := in.Traced(s.Clock.Now()).Trace()
	trace.Kind = models.ArrivalAlert
	fill(trace)
	if !s.Store.WantArrival(trace) {
		s.t.Fatal("the store does not want it")
	}
	if a.At.IsZero() {
		a.At = s.Clock.Now()
	}
	if err := s.Store.AddArrival(trace, a, content); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Store.FlushArrivals(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// The list on the IM app's page: refused requests say why and what to do, a poll that
// knows the newest is answered with nothing, and contents show only to who may see
// them, only while they are asked for.
func TestIMArrivalPages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, stranger := s.Account("main"), s.Account("other")
		im, secret := s.IMApp(owner, "Chat")
		base := imAppBase(im.ID)
		blind := s.Login(s.Sub(owner, "blind", models.Rights{Role: models.RoleOps, AllProducts: true, CanIM: true}))
		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true, CanIM: true, CanContent: true}))
		v := s.Login(owner)
		v.Get(base).Want(http.StatusOK).Has("最近到达", "最近没有收到请求", "显示内容 10 分钟").Link(base + "/sample")
		s.arrive(secret, models.Arrival{Status: 403, Shape: "POST /masked"}, "", func(t *models.Trace) {
			t.Code = "address_not_allowed"
			t.Count(models.IngestDenied, 1)
		})
		v.Get(base).Has("不允许 1", "来源地址不在 IM 应用的允许名单里", "加入 IP 白名单", "403")
		page := v.Get(base + "/live").Want(http.StatusOK)
		poll := page.All("div", "id", "arrivals")
		if len(poll) != 1 || attribute(poll[0], "hx-get") == "" {
			t.Fatal("the list does not refresh itself")
		}
		next := attribute(poll[0], "hx-get")
		v.Get(next).Want(http.StatusNoContent)
		if still := v.Get(base+"/live?live=off").All("div", "data-poll", "3000"); len(still) != 0 {
			t.Error("a paused list refreshes itself")
		}

		blind.Get(base + "/live").Has("没有“查看消息内容”的权限").HasNot("显示内容 10 分钟")
		blind.Post(base+"/content", "on", "1").Want(http.StatusForbidden)
		read.Get(base + "/live").NoLink(base + "/sample")
		read.Get(base + "/sample").Want(http.StatusForbidden)
		s.Login(stranger).Post(base+"/content", "on", "1").Want(http.StatusNotFound)

		read.Post(base+"/content", "on", "1").To(base+"/live").Has("正在保留收到的内容", "停止并清除")
		v.Get(next).Want(http.StatusOK)
		s.Clock.Advance(time.Minute)
		s.arrive(secret, models.Arrival{Status: 200, Shape: "POST /masked"}, "POST /told 晚上吃什么", func(t *models.Trace) { t.Count(models.IngestAccepted, 1) })
		rows, err := s.Store.LatestArrivals(t.Context(), owner, im.ID)
		if err != nil || len(rows) != 2 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		one := base + "/live/" + rows[0].ID
		read.Get(one).Want(http.StatusOK).Has("晚上吃什么", "内容保留到").HasNot("POST /masked")
		blind.Get(one).Want(http.StatusOK).Has("POST /masked").HasNot("晚上吃什么")
		v.Get("/audit").Has("显示收到的请求的内容", "查看内容")
		s.Clock.Advance(models.ContentTime)
		read.Get(one).Want(http.StatusOK).Has("POST /masked").HasNot("晚上吃什么")
		read.Get(base + "/live").HasNot("正在保留收到的内容")

		// The days: what was not counted is unknown.
		s.Store.StartAccepting(nil)
		s.Store.CountIngest(im.ID, models.IngestAccepted, 7)
		s.Store.CountIngest(im.ID, models.IngestSender, 2)
		if err := s.Store.StopAccepting(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Get(base).Has("每日统计", "发送者本人 2", "旧版本没有统计请求数")
		s.Store.StartAccepting(nil)
		s.Store.CountIngest(im.ID, models.IngestRequest, 4321)
		if err := s.Store.StopAccepting(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Get(base + "?days=30").Has("4,321").HasNot("旧版本没有统计请求数")
	})
}

// 发送示例请求 goes through the process's own listener to an app that is not in the
// sandbox, and its page tells each step; what stands in the way is said in words.
func TestIMSample(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		im, _ := r.IMApp(r.main, "Chat")
		base := imAppBase(im.ID)
		r.admin.Get(base + "/sample").Want(http.StatusOK).Has("没有推送应用授权给这个 IM 应用")
		r.admin.Post(base+"/sample", "app", number(r.app.ID), "account", "bob").Want(http.StatusUnprocessableEntity).Has("还没有授权")
		if _, err := r.Store.Authorize(t.Context(), r.main, im.ID, r.app.ProductID, r.app.ID); err != nil {
			t.Fatal(err)
		}
		r.admin.Get(base + "/sample").Has("还没有注册设备")
		r.admin.Post(base+"/sample", "app", number(r.app.ID)).Want(http.StatusUnprocessableEntity).Has("请选择设备或填写账号")
		phone, err := r.Store.Register(t.Context(), r.scope(), models.Registration{
			Platform: r.app.Platform, Model: "iPhone17,1", Notify: models.NotifyOn,
			Routes: []models.RouteInput{{Channel: "apns", Environment: models.EnvironmentProduction, PackageName: "com.example.chat", Token: strings.Repeat("ab", 32)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		device := number(phone.Device.ID)
		form := r.admin.Get(base + "/sample").Has("未绑定账号")
		form.Submit(base+"/sample", "device", device).Want(http.StatusUnprocessableEntity).Has("这台设备没有绑定账号")
		dev, err := r.Store.AuthDevice(t.Context(), r.scope(), phone.Device.Token, phone.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Store.Bind(t.Context(), dev, []models.Binding{{Account: "bob"}}); err != nil {
			t.Fatal(err)
		}
		r.Clock.Advance(10 * time.Second)
		sent := r.admin.Get(base+"/sample").Submit(base+"/sample", "device", device).Want(http.StatusSeeOther)
		result := sent.Header.Get("Location")
		r.admin.Get(result).Want(http.StatusOK).Has("接入地址已应答", "等待厂商应答", "查看消息轨迹")
		records, err := r.Store.SendRecords(t.Context(), r.scope(), models.RecordFilter{Account: "bob"})
		if err != nil || len(records.Records) != 1 || records.Records[0].Sandbox {
			t.Fatalf("records %+v %v", records, err)
		}
		deliverTo(t, r, phone.Device.ID)
		r.admin.Get(result).Has("APNs").HasNot("等待厂商应答")
		if err := r.Store.FlushArrivals(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.admin.Get(base+"/live").Has("示例请求", "已受理 1")
		r.admin.Get("/audit").Has("测试")
		// Another IM app's page does not show it.
		other, _ := r.IMApp(r.main, "Other")
		r.admin.Get(strings.Replace(result, base, imAppBase(other.ID), 1)).Want(http.StatusNotFound)

		// Every IM server's way of naming a user is taken from the console's own sample.
		for _, b := range Bridges() {
			if b.Tokens {
				continue
			}
			in := models.IMAppInput{Name: im.Name, Bridge: b.ID}
			if _, err := r.Store.UpdateIMApp(t.Context(), r.main, im.ID, in, bridgeIDs()); err != nil {
				t.Fatal(err)
			}
			r.Clock.Advance(time.Minute)
			r.admin.Post(base+"/sample", "app", number(r.app.ID), "account", "bob").Want(http.StatusSeeOther)
		}
		for range 5 {
			r.admin.Post(base+"/sample", "app", number(r.app.ID), "account", "bob")
		}
		r.admin.Post(base+"/sample", "app", number(r.app.ID), "account", "bob").Want(http.StatusUnprocessableEntity).Has("示例请求太频繁")
	})
}
