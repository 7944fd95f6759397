package handlers

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// A proxy for addresses outside must not carry the console's calls to itself.
func TestSelfNeedsNoProxy(t *testing.T) {
	t.Parallel()
	if c, ok := newSelf().Transport.(*http.Transport); !ok || c.Proxy != nil {
		t.Error("calls to the process's own listener go through the environment's proxy")
	}
}

// TestSandboxJourney walks from an app without anything to a tapped notification;
// the worker's part, putting the push into the inbox, is played here.
func TestSandboxJourney(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		box := r.base + "/sandbox"
		p := r.admin.Get(box).Want(200).Has("沙箱已关闭", "看到第一条推送", "还没有收到消息").HasNot("SANDBOX_APNS_ADDR")
		p = p.Submit(box+"/switch").To(box).Has("沙箱已开启", "生成沙箱密钥")
		p = p.Submit(box+"/key").To(box).Has("沙箱密钥已保存", "授权给 IM 应用")
		im, _ := r.IMApp(r.main, "Chat")
		auth, err := r.Store.Authorize(t.Context(), r.main, im.ID, r.app.ProductID, r.app.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Store.SetBindRequired(t.Context(), r.main, r.app.ID, true); err != nil {
			t.Fatal(err)
		}
		if p := p.Submit(box+"/phones", "account", "x"); p.Status != 422 || p.FieldError("account") == "" {
			t.Fatalf("short account: %d %s", p.Status, p.Text())
		}
		if p := r.admin.Post(box+"/sample", "account", ""); p.Status != 422 {
			t.Fatalf("sample without a phone: %d", p.Status)
		}
		p = p.Submit(box+"/phones", "account", "demo_user").To(box).Has("虚拟手机已注册", "demo_user", "iPhone 17")
		phones, err := r.Store.VirtualDevices(t.Context(), r.scope())
		if err != nil || len(phones) != 1 || phones[0].Routes[0].Environment != models.EnvironmentSandbox {
			t.Fatalf("phones %+v %v", phones, err)
		}
		sent := p.Submit(box+"/sample").To(box+"?since=0").Has("示例消息已受理", "demo_user")
		if len(sent.All("div", "hx-get", box+"?since=0&try=1")) != 1 {
			t.Error("the page does not wait for the sample")
		}
		records, err := r.Store.SendRecords(t.Context(), r.scope(), models.RecordFilter{Account: "demo_user"})
		if err != nil || len(records.Records) != 1 || records.Records[0].PlanID != auth.PlanID || !records.Records[0].Sandbox {
			t.Fatalf("records %+v %v", records, err)
		}
		r.admin.Post(box+"/sample", "account", "demo_user").Want(303)
		if records, _ = r.Store.SendRecords(t.Context(), r.scope(), models.RecordFilter{}); len(records.Records) != 2 {
			t.Error("a second sample was taken for a duplicate")
		}
		id := records.Records[1].ID
		push := deliver(t, r, phones[0], id)
		p = r.admin.Get(box).Want(200).Has("沙箱好友", "你好，这是一条离线消息", "手机已收到", "apns-topic", "hy_mid")
		p.Link(r.base + "/messages/" + id).HasNot("看到第一条推送")
		p.Submit(box+"/pushes/"+push+"/tap").To(box+"?push="+push).Has("已上报点击", "已点击")

		r.roles(t, box, push)
		p.Submit(box + "/clear").To(box).Has("还没有收到消息")
		p.Submit(box + "/phones/" + number(phones[0].Device.ID) + "/drop").To(box).HasNot("iPhone 17")
		r.admin.Post(box+"/switch").To(box).Has("沙箱已关闭", "之后的推送会发到真实手机")
		r.admin.Post(box+"/phones", "account", "demo_user").Want(422)
		r.admin.Post(box+"/sample", "account", "demo_user").Want(422).Has("应用没有开启沙箱")
	})
}

// deliverTo plays the worker: everything that is due was accepted for the device.
func deliverTo(t *testing.T, r *ready, device int64) {
	t.Helper()
	db := r.Store.Databases()[0]
	batches, err := db.ClaimDue(t.Context(), "test", time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	var recs []models.Recording
	for _, b := range batches {
		rec := models.Recording{Batch: b}
		for _, item := range b.Items {
			m := item.Message
			rec.Deliveries = append(rec.Deliveries, models.Delivery{
				MessageID: m.ID, DeviceID: device, AppID: m.AppID, PlanID: m.PlanID, Channel: "apns", State: models.StateAccepted, Attempts: 1, ResolvedAt: r.Clock.Now(), At: r.Clock.Now(),
			})
		}
		recs = append(recs, rec)
	}
	if _, _, err := db.Record(t.Context(), "test", recs); err != nil {
		t.Fatal(err)
	}
}

// deliver plays the worker and the simulator for one message.
func deliver(t *testing.T, r *ready, phone models.DeviceInfo, id string) string {
	t.Helper()
	deliverTo(t, r, phone.Device.ID)
	ctx := context.Background()
	route, err := r.Store.FindSandboxRoute(ctx, "apns", phone.Routes[0].Token)
	if err != nil {
		t.Fatal(err)
	}
	payload := `{"aps":{"alert":{"title":"沙箱好友","body":"你好，这是一条离线消息"}},"hy_mid":"` + id + `"}`
	err = r.Store.AddSandboxPush(ctx, route, models.SandboxPush{
		Channel: "apns", VendorID: "v", Status: 200, Ms: 47, Headers: `{"apns-topic":"sandbox","apns-priority":"10"}`, Payload: []byte(payload), At: r.Clock.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Store.SandboxPushes(ctx, r.scope(), 0, 0, 1)
	if err != nil || len(list) != 1 {
		t.Fatal(err)
	}
	return number(list[0].ID)
}

// roles checks who sees and does what on a page with a push.
func (r *ready) roles(t *testing.T, box, push string) {
	t.Helper()
	reader := r.Login(r.Sub(r.main, "reader", models.Rights{Role: models.RoleRead, AllProducts: true}))
	p := reader.Get(box).Want(200).Has("内容已隐藏").HasNot("这是一条离线消息", "沙箱好友")
	for _, act := range []string{"/switch", "/key", "/phones", "/sample", "/clear", "/settings", "/pushes/" + push + "/tap"} {
		p.NoLink(box + act)
		reader.Post(box+act, "account", "demo_user").Want(403)
	}
	ops := r.Login(r.Sub(r.main, "ops", models.Rights{Role: models.RoleOps, AllProducts: true}))
	ops.Post(box+"/switch", "on", "1").Want(403)
	ops.Post(box+"/settings", "latency_ms", "1", "error_percent", "1", "mix", "mixed").Want(403)
	ops.Get(box).Want(200).NoLink(box + "/switch").NoLink(box + "/settings")
	stranger := r.Login(r.Account("stranger"))
	stranger.Get(box).Want(404)
	for _, act := range []string{"/switch", "/key", "/phones", "/sample", "/clear", "/settings", "/pushes/" + push + "/tap"} {
		stranger.Post(box+act, "account", "demo_user").Want(404)
	}
}

func TestSimulatorSettings(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		box := r.base + "/sandbox"
		p := r.admin.Get(box).Submit(box+"/settings", "latency_ms", "many", "error_percent", "101", "mix", "throttle")
		if p.Want(422); p.FieldError("latency_ms") == "" || !strings.Contains(string(p.Body), `value="many"`) {
			t.Errorf("input or message lost: %s", p.Text())
		}
		p.Submit(box+"/settings", "latency_ms", "45", "error_percent", "2").To(box).Has("模拟器设置已保存")
		got, err := r.Store.SimulatorSettings(t.Context(), r.app.ID)
		if err != nil || got != (models.SimulatorSettings{LatencyMs: 45, ErrorPercent: 2, Mix: models.MixThrottle, Receipts: true}) {
			t.Errorf("settings %+v %v", got, err)
		}
	})
}

// A simulator in another process has neither our inbox nor our settings: the page
// says so and offers nothing that would not work.
func TestSandboxElsewhere(t *testing.T) {
	s := newSite(t, models.SQLite, func(d *Deps) { d.SimulatorAt = "127.0.0.1:2197" })
	main := s.Account("lin")
	_, apps := s.Product(main, "蓝鲸", models.PlatformIOS)
	box := appBase(apps[0].ID) + "/sandbox"
	v := s.Login(main)
	p := v.Get(box).Want(200).Has("127.0.0.1:2197", "没有收件箱").HasNot("收到的消息", "模拟器设置", "点按通知可以")
	p.NoLink(box + "/settings").NoLink(box + "/clear").Link(appBase(apps[0].ID) + "/plans")
	p.Submit(box + "/switch").To(box).Has("沙箱已开启")
	v.Post(box+"/settings", "latency_ms", "1", "error_percent", "1", "mix", "mixed").Want(404)
	v.Post(box + "/clear").Want(404)
	en := s.Login(main)
	en.Lang = "en"
	en.Get(box).Want(200).Has("The APNs simulator runs in another process (127.0.0.1:2197)", "no inbox")
}

// An app that no simulator can send for says so, and so does a server without any.
func TestSandboxUnfit(t *testing.T) {
	s := newSite(t, models.SQLite, func(d *Deps) {
		d.Simulator = func(c push.Channel) (push.Options, bool) { return push.Options{}, c == push.APNs }
	})
	who := s.Account("lin")
	_, android := s.Product(who, "安卓", models.PlatformAndroid)
	admin := s.Login(who)
	admin.Get(appBase(android[0].ID) + "/sandbox").Want(200).Has("这个平台还没有模拟器")
	admin.Post(appBase(android[0].ID) + "/sandbox/key").Want(404)
	s = newSite(t, models.SQLite, func(d *Deps) { d.Sandbox = false })
	main := s.Account("lin")
	_, apps := s.Product(main, "蓝鲸", models.PlatformIOS)
	v := s.Login(main)
	v.Get(appBase(apps[0].ID) + "/sandbox").Want(200).Has("没有运行模拟器")
	v.Post(appBase(apps[0].ID)+"/sandbox/switch", "on", "1").Want(404)
}
