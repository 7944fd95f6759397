package handlers

import (
	"net/http"
	"testing"
	"time"

	"hongyan/models"
)

// sent fills an app with one message per state and returns the plan's path and the
// messages' ids by account.
func sent(t *testing.T, s *site, owner models.Actor, app models.App) (plan string, ids map[string]string) {
	t.Helper()
	im, secret := s.IMApp(owner, "Chat")
	auth, err := s.Store.Authorize(t.Context(), owner, im.ID, app.ProductID, app.ID)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.Store.IngestBySecret(t.Context(), secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	s.Store.StartAccepting(nil)
	t.Cleanup(func() { _ = s.Store.StopAccepting(t.Context()) })
	ids = map[string]string{}
	for _, account := range []string{"ok-user", "arrived-user", "dead-user", "nodevice-user", "paused-user"} {
		got, err := s.Store.Accept(t.Context(), in, []models.Incoming{{
			SourceID: "im-" + account, Kind: models.KindAlert, Account: account, Sender: "alice", Content: models.Content{Title: "alice", Body: "secret words"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ids[account] = got.IDs[0]
	}
	settle(t, s, app, auth.PlanID, ids)
	return appBase(app.ID) + "/plans/" + number(auth.PlanID), ids
}

// settle records an end, or a reason to wait, for each message.
func settle(t *testing.T, s *site, app models.App, plan int64, ids map[string]string) {
	t.Helper()
	db := s.Store.Databases()[0]
	batches, err := db.ClaimDue(t.Context(), "test", time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	now := s.Clock.Now()
	states := map[string]models.Delivery{
		ids["ok-user"]:       {DeviceID: 11, State: models.StateAccepted, Attempts: 1, Ms: 47, VendorID: "vendor-1"},
		ids["arrived-user"]:  {DeviceID: 12, State: models.StateAccepted, Attempts: 2, Ms: 52},
		ids["dead-user"]:     {DeviceID: 13, State: models.StateFailed, Reason: models.ReasonBadToken, Code: "Unregistered", Detail: "the app was removed", Attempts: 1},
		ids["nodevice-user"]: {State: models.StateSkipped, Reason: models.ReasonNoDevice},
		ids["paused-user"]:   {DeviceID: 14, State: models.StatePending, Reason: models.ReasonPaused},
	}
	var recs []models.Recording
	for _, b := range batches {
		rec := models.Recording{Batch: b}
		for _, item := range b.Items {
			d := states[item.Message.ID]
			d.MessageID, d.AppID, d.PlanID, d.At, d.ResolvedAt = item.Message.ID, app.ID, plan, now, now
			count := models.Count{AppID: app.ID, PlanID: plan, Hour: item.Message.Hour(), N: 1}
			add := func(metric, reason, channel string) {
				count.Metric, count.Reason, count.Channel = metric, reason, channel
				rec.Counters = append(rec.Counters, count)
			}
			switch d.State {
			case models.StateSkipped:
				add(models.MetricSkipped, d.Reason, "")
			default:
				d.Channel = "apns"
				add(models.MetricPlanned, "", "apns")
				if d.State != models.StatePending {
					add(d.State, d.Reason, "apns")
				}
			}
			if d.State == models.StateFailed || d.Attempts > 1 {
				rec.Attempts = append(rec.Attempts, models.Attempt{MessageID: d.MessageID, DeviceID: d.DeviceID, N: 1, AppID: app.ID, Channel: "apns", Outcome: "retry", Code: "ServiceUnavailable", Ms: 30, At: now})
			}
			rec.Deliveries = append(rec.Deliveries, d)
		}
		recs = append(recs, rec)
	}
	if _, lost, err := db.Record(t.Context(), "test", recs); err != nil || len(lost) > 0 {
		t.Fatal(lost, err)
	}
	scope, _, err := s.Store.ScopeForApp(t.Context(), models.Actor{}, app.ID)
	if err == nil {
		t.Fatal("an empty actor got a scope", scope)
	}
}

func TestPlanPages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("owner")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		app := apps[0]
		plan, ids := sent(t, s, owner, app)
		scope, _, err := s.Store.ScopeForApp(t.Context(), owner, app.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Store.Receipts(t.Context(), scope, []models.Receipt{{MessageID: ids["arrived-user"], DeviceID: 12, Status: models.StateClicked}}); err != nil {
			t.Fatal(err)
		}
		v := s.Login(owner)
		v.Get(appBase(app.ID)+"/plans").Want(http.StatusOK).Has("即时通信IM消息", "系统", "详情").HasNot("编辑即时通信IM消息")

		p := v.Get(plan).Want(http.StatusOK)
		// The funnel: four planned, two sent, one arrived and clicked; the losses sum.
		p.Has("计划发送 4", "实际发送 2", "抵达 1", "点击 1", "未发送 2", "等待续发 1", "厂商 Token 已失效 1", "未计入计划 1", "没有有效设备 1")
		p.Has("ok-user", "dead-user", "已发送", "失败", "App 已卸载或通知已失效 (Unregistered)", "APNs", "Chat", "alice")
		p.HasNot("secret words")

		v.Get(plan+"?state=failed").Want(http.StatusOK).Has("dead-user").HasNot("ok-user", "nodevice-user")
		v.Get(plan + "?q=ok-user").Want(http.StatusOK).Has("已发送").HasNot("dead-user")
		v.Get(plan + "?q=im-dead-user").Want(http.StatusOK).Has("dead-user").HasNot("ok-user")
		v.Get(plan + "?q=" + ids["ok-user"]).Want(http.StatusOK).Has("ok-user").HasNot("dead-user")
		v.Get(plan+"?from=2001-01-01&to=2001-01-02").Want(http.StatusOK).Has("没有符合条件的记录", "清除筛选")
		for _, r := range []string{"yesterday", "7", "30", "nonsense"} {
			v.Get(plan + "?range=" + r).Want(http.StatusOK)
		}
		v.Get(plan + "?after=nonsense").Want(http.StatusUnprocessableEntity)
	})
}

func TestMessagePage(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("owner")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		_, ids := sent(t, s, owner, apps[0])
		base := appBase(apps[0].ID) + "/messages/"
		v := s.Login(owner)
		v.Get(base+ids["ok-user"]).Want(http.StatusOK).Has("已受理", "已找到设备", "APNs 已接受", "用时 47 毫秒", "等待回执", "im-ok-user", "内容已按隐私设置清除")
		v.Get(base+ids["arrived-user"]).Want(http.StatusOK).Has("第 1 次发往 APNs", "苹果服务暂不可用 (ServiceUnavailable)")
		v.Get(base+ids["dead-user"]).Want(http.StatusOK).Has("失败", "厂商 Token 已失效", "App 可能已卸载")
		v.Get(base + ids["nodevice-user"]).Want(http.StatusOK).Has("没有找到设备")
		v.Get(base + ids["paused-user"]).Want(http.StatusOK).Has("凭证已暂停，等待续发")
		v.Get(base + "0198c0de-0000-7000-8000-000000000000").Want(http.StatusNotFound)
		v.Get(base + "nonsense").Want(http.StatusNotFound)

		stranger := s.Account("stranger")
		w := s.Login(stranger)
		w.Get(base + ids["ok-user"]).Want(http.StatusNotFound)
	})
}

func TestPlanForms(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("owner")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		plan, _ := sent(t, s, owner, apps[0])
		list := appBase(apps[0].ID) + "/plans"
		v := s.Login(owner)
		v.Submit(list+"/new", "name", "").Want(http.StatusUnprocessableEntity).Has("请填写计划名称")
		v.Submit(list+"/new", "name", "Campaign", "description", "weekly").To(list).Has("已新建计划「Campaign」", "weekly")
		v.Submit(list+"/new", "name", "Campaign").Want(http.StatusUnprocessableEntity)

		read := s.Sub(owner, "reader", models.Rights{Role: models.RoleRead, AllProducts: true})
		r := s.Login(read)
		r.Get(list).Want(http.StatusOK).HasNot("新建计划", "编辑Campaign")
		r.Get(list + "/new").Want(http.StatusForbidden)

		plans, err := s.Store.Plans(t.Context(), owner, apps[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plans {
			path := list + "/" + number(p.ID)
			if p.IsIM() {
				v.Post(path+"/edit", "name", "Renamed").Want(http.StatusConflict)
				v.Post(path + "/delete").Want(http.StatusConflict)
				continue
			}
			v.Submit(path+"/edit", "name", "Campaign 2").To(list).Has("Campaign 2")
			v.Submit(path + "/delete").To(list).Has("已删除计划「Campaign 2」")
		}
		v.Get(plan).Want(http.StatusOK)
	})
}

// On an app for IM pushes only, a plan of other pushes shows the guide instead of
// figures, and the plan of IM messages cannot be changed whatever the address.
func TestPlanGuide(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner := s.Account("owner")
	_, apps := s.Product(owner, "Whale", models.PlatformIOS)
	system, _ := sent(t, s, owner, apps[0])
	base := appBase(apps[0].ID)
	other, err := s.Store.CreatePlan(t.Context(), owner, apps[0].ID, "运营", "")
	if err != nil {
		t.Fatal(err)
	}
	v := s.Login(owner)
	own := base + "/plans/" + number(other.ID)
	v.Get(own).Want(http.StatusOK).Has("仅限IM推送（免费）", "需要先开通完整推送", "归入这个计划的推送").HasNot("转化漏斗").Link(base + "/config#full")
	ops := s.Login(s.Sub(owner, "ops", models.Rights{Role: models.RoleOps, AllProducts: true}))
	ops.Get(own).Want(http.StatusOK).Has("请联系主账号开通").NoLink(base + "/config#full")
	v.Get(system).Want(http.StatusOK).Has("转化漏斗").HasNot("需要先开通完整推送")
	for _, act := range []string{"/edit", "/delete"} {
		v.Get(system + act).Want(http.StatusConflict).Has("不能修改或删除")
		v.Post(system+act, "name", "x").Want(http.StatusConflict).Has("不能修改或删除")
	}
	if _, err := s.Store.SetFullPush(t.Context(), owner, apps[0].ID, true); err != nil {
		t.Fatal(err)
	}
	v.Get(own).Want(http.StatusOK).Has("转化漏斗").HasNot("需要先开通完整推送")
}
