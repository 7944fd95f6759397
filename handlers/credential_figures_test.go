package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// parked records that messages for accounts wait for a credential: out its quota until
// then, or, with a zero time, for its repair. It counts accepted and failed sends
// through the credential with them.
func parked(t *testing.T, s *site, app models.App, k models.Credential, until time.Time, accepted, failed int64, accounts ...string) {
	t.Helper()
	ctx := t.Context()
	db := s.Store.Databases()[0]
	batches, err := db.ClaimDue(ctx, "test", time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	var recs []models.Recording
	for _, b := range batches {
		rec := models.Recording{Batch: b}
		rest := models.Rest{CredentialID: k.ID, DueAt: until, Paused: until.IsZero()}
		if !rest.Paused {
			rest.RestRevision = k.Revision
		}
		for _, item := range b.Items {
			m := item.Message
			if !slices.Contains(accounts, m.Account) {
				continue
			}
			reason := models.ReasonThrottled
			if rest.Paused {
				reason = models.ReasonPaused
			}
			rec.Deliveries = append(rec.Deliveries, models.Delivery{
				MessageID: m.ID, DeviceID: 1, AppID: app.ID, PlanID: m.PlanID, Channel: k.Channel, CredentialID: k.ID,
				State: models.StatePending, Reason: reason, At: s.Clock.Now(), ResolvedAt: s.Clock.Now(),
			})
			rest.Items = append(rest.Items, item)
		}
		if len(rest.Items) > 0 {
			rec.Rest = append(rec.Rest, rest)
			key := models.TallyKey{AppID: app.ID, CredentialID: k.ID, Hour: models.HourOf(s.Clock.Now())}
			rec.Tallies = map[models.TallyKey]models.Tally{key: {Accepted: accepted, Failed: failed}}
			accepted, failed = 0, 0
		}
		recs = append(recs, rec)
	}
	if _, lost, err := db.Record(ctx, "test", recs); err != nil || len(lost) > 0 {
		t.Fatal(lost, err)
	}
}

// handOver accepts a message for each account from an IM app that app is authorized to.
func handOver(t *testing.T, s *site, in models.Ingest, accounts ...string) {
	t.Helper()
	for _, account := range accounts {
		if _, err := s.Store.Accept(t.Context(), in, []models.Incoming{{
			SourceID: "im-" + account, Account: account, Sender: "alice", Content: models.Content{Title: "alice", Body: "secret words"},
		}}); err != nil {
			t.Fatal(err)
		}
	}
}

// authorized gives an app an IM app that hands over messages without a worker.
func authorized(t *testing.T, s *site, owner models.Actor, app models.App) models.Ingest {
	t.Helper()
	im, secret := s.IMApp(owner, "Chat")
	if _, err := s.Store.Authorize(t.Context(), owner, im.ID, app.ProductID, app.ID); err != nil {
		t.Fatal(err)
	}
	in, err := s.Store.IngestBySecret(t.Context(), secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	s.Store.StartAccepting(nil)
	t.Cleanup(func() { _ = s.Store.StopAccepting(context.WithoutCancel(t.Context())) })
	return in
}

// A card says what its keys did, what is left of the day and what waits, and says that
// it does not know where it does not.
func TestCredentialFigures(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base, own, values := appBase(app.ID), models.AppOwner(app.ID), channelValues(t)
		config := base + "/config"
		in := authorized(t, s, owner, app)
		save := func(channel push.Channel, more ...string) *page {
			return v.Submit(base+"/credentials/"+string(channel)+"/new", channelForm(values[channel], more...)...).To(config)
		}
		save(push.Xiaomi).Has("24 小时成功率", "未知，24 小时内没有发送", "每日配额", "未知：厂商没有答复，也没有填写", "今日", "还没有发送").HasNot("没有消息在等待")
		xm, _ := s.channelRow(owner, own, push.Xiaomi, "")

		// What the operator entered.
		if got := v.Submit(base+"/credentials/xm/new", channelForm(values[push.Xiaomi], "daily_quota", "many")...).Want(http.StatusUnprocessableEntity).FieldError("daily_quota"); !strings.Contains(got, "10,000,000,000") && !strings.Contains(got, "10000000000") {
			t.Errorf("a quota that is no number: %q", got)
		}
		save(push.Xiaomi, "daily_quota", "40,000")
		xm, _ = s.channelRow(owner, own, push.Xiaomi, "")
		if xm.DailyQuota != 40000 {
			t.Fatalf("quota %d", xm.DailyQuota)
		}
		handOver(t, s, in, "u1", "u2")
		parked(t, s, app, xm, s.Clock.Now().Add(5*time.Hour), 1234, 5, "u1", "u2")
		v.Get(config).Has("1,234 条已发送，5 条失败", "99.6%（1,234 / 1,239 条被厂商接受）", "剩约 38,766 / 40,000")
		v.Get(base + "/credentials/xm/new").Has("每日配额")

		// What the vendor said, which knows better, and that little is left.
		if err := s.Store.CredentialWorked(t.Context(), xm.ID, xm.Revision, models.Quota{Limit: 50000, Used: 45500}); err != nil {
			t.Fatal(err)
		}
		v.Get(config).Has("剩 4,500 / 50,000", "厂商答复", "配额将尽", "今天的配额只剩 4,500 条", "1 个配额将尽").HasNot("剩约")

		// Used up: until when, what waits, and where to see it.
		until := s.Clock.Now().Add(5 * time.Hour)
		if _, err := s.Store.RestCredential(t.Context(), xm.ID, xm.Revision, until, "200001"); err != nil {
			t.Fatal(err)
		}
		list := base + "/credentials/" + number(xm.ID) + "/waiting"
		v.Get(config).Has("配额已用完", "已用完，", "2 条消息在等待。", "查看等待的消息").Link(list)
		v.Get(list).Has("等待小米官方推送通道恢复后发送的消息", "u1", "u2").HasNot("secret words")
		v.Get(list + "?q=u2").Has("u2").HasNot("u1")
		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true}))
		read.Get(config).Link(list).HasNot("登记好以后")
		read.Get(list).Has("u1")

		// With another secret the rest is over, and it says so; with another app at the
		// vendor the figures begin anew.
		other := map[string]string{"app_secret": "xmOther5f1c0de9aa=="}
		v.Submit(base+"/credentials/xm/new", channelForm(other)...).To(config).Has("等待的消息马上续发", "1,234 条已发送").HasNot("配额已用完")
		other["app_id"] = "9" + values[push.Xiaomi]["app_id"]
		v.Submit(base+"/credentials/xm/new", channelForm(other, "daily_quota", "40,000")...).To(config).Has("还没有发送", "剩约 40,000 / 40,000").HasNot("1,234")

		// Of two keys of one channel each has figures of its own.
		save(push.Vivo, "daily_quota", "2,000")
		vivo, _ := s.channelRow(owner, own, push.Vivo, "")
		v.Submit(base+"/credentials/vivo/new?more=1", channelForm(values[push.Vivo], "package_name", "cn.lanxun.p1", "daily_quota", "100")...).To(config)
		handOver(t, s, in, "u3")
		parked(t, s, app, vivo, time.Time{}, 10, 0, "u3")
		pkg, _ := s.channelRow(owner, own, push.Vivo, "cn.lanxun.p1")
		handOver(t, s, in, "u4")
		parked(t, s, app, pkg, s.Clock.Now().Add(time.Minute), 95, 5, "u4")
		v.Get(config).Has(
			"10 条已发送，0 条失败", "100%（10 / 10 条被厂商接受）", "剩约 1,990 / 2,000（按这组凭证今天的发送量）",
			"95 条已发送，5 条失败", "95.0%（95 / 100 条被厂商接受）", "剩约 5 / 100（按这组凭证今天的发送量）",
		)
		s.Clock.Advance(25 * time.Hour)
		v = s.Login(owner)
		v.Get(config).Has("剩约 2,000 / 2,000", "剩约 100 / 100").HasNot("10 条已发送", "95 条已发送", "被厂商接受")
		if _, err := s.Store.PauseCredential(t.Context(), vivo.ID, vivo.Revision, "10002", "x"); err != nil {
			t.Fatal(err)
		}
		v.Get(config).Has("1 条消息在等待。").Link(base + "/credentials/" + number(vivo.ID) + "/waiting")
		v.Get(base + "/credentials/" + number(vivo.ID) + "/waiting").Has("u3").HasNot("u1")
	})
}

// The certificates of an iOS app say the same.
func TestCertificateFigures(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		app, own := apps[0], models.AppOwner(apps[0].ID)
		in := authorized(t, s, owner, app)
		rows, err := s.Store.SaveCredentials(t.Context(), owner, own, models.CredentialInput{
			Channel: "apns", Environment: models.EnvironmentProduction, Kind: "p8", Fields: map[string]string{"key": "k"},
		})
		if err != nil {
			t.Fatal(err)
		}
		v := s.Login(owner)
		config := appBase(app.ID) + "/config"
		v.Get(config).Has("24 小时成功率", "未知，24 小时内没有发送").HasNot("每日配额")
		handOver(t, s, in, "u1")
		parked(t, s, app, rows[0], time.Time{}, 3, 1, "u1")
		if _, err := s.Store.PauseCredential(t.Context(), rows[0].ID, 1, "InvalidProviderToken", ""); err != nil {
			t.Fatal(err)
		}
		list := appBase(app.ID) + "/credentials/" + number(rows[0].ID) + "/waiting"
		v.Get(config).Has("75.0%（3 / 4 条被厂商接受）", "已暂停", "1 条消息在等待。").Link(list)
		v.Get(list).Has("APNs", "生产环境", "u1")
	})
}

// receiptVendor is Meizu's or Xiaomi's simulator with one app, whose receipt address
// can be registered.
func receiptVendor(t *testing.T, channel push.Channel, values map[string]string) (func(push.Channel) (push.Spec, bool), func(url string)) {
	t.Helper()
	id := values["app_id"]
	if channel == push.Xiaomi {
		id = values["app_secret"]
	}
	known := &sandbox.MemoryAccounts{}
	register := func(url string) { known.Add(sandbox.Account{ID: id, Fields: values, ReceiptURL: url}) }
	register("")
	sim, err := sandbox.Start(sandbox.Config{Channel: channel, Accounts: known})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return func(c push.Channel) (push.Spec, bool) {
		spec, ok := registry.New().Lookup(c)
		if c == channel {
			open := spec.Open
			spec.Open = func(ctx context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
				o.Endpoint, o.RootCAs = sim.URL(), sim.CA().PEM()
				return open(ctx, fields, o)
			}
		}
		return spec, ok
	}, register
}

// 点击激活 asks the vendor first: an address that it does not know is not activated and
// costs nothing. Activated, the card says by whom; another app at the vendor begins
// anew; it can be taken back.
func TestActivateReceipts(t *testing.T) {
	for _, channel := range []push.Channel{push.Meizu, push.Xiaomi} {
		t.Run(string(channel), func(t *testing.T) {
			values := channelValues(t)[channel]
			channels, register := receiptVendor(t, channel, values)
			eachEngineWith(t, func(d *Deps) { d.Channels = channels }, func(t *testing.T, s *site) {
				register("")
				owner, app, v := androidSite(s, "main")
				base, own := appBase(app.ID), models.AppOwner(app.ID)
				config, form := base+"/config", base+"/credentials/"+string(channel)+"/new"
				v.Submit(form, channelForm(values)...).To(config).Has("回执激活 未激活", "回执未激活，抵达数会缺失", "点击激活")
				v.Get(form).HasNot("激活回执")
				row := func() models.Credential {
					k, _ := s.channelRow(owner, own, channel, "")
					return k
				}
				act := base + "/credentials/" + number(row().ID) + "/receipts"
				v.Get(config).Submit(act).To(config).Has("没有激活", "不接受带这个回执地址的请求", "未激活").HasNot("的回执已激活")
				if k := row(); k.ReceiptOnAt != nil || k.State != models.CredentialUntested {
					t.Fatalf("activated %v, state %s", k.ReceiptOnAt, k.State)
				}

				secret, err := s.Store.ReceiptSecret(t.Context(), owner, own, row().ID)
				if err != nil {
					t.Fatal(err)
				}
				register("http://console.example" + ReceiptPath(string(channel), secret))
				v.Get(config).Submit(act).To(config).Has("的回执已激活", "回执激活 已激活 · main", "停用回执", "正常").HasNot("回执未激活", "不接受带")
				if k := row(); k.ReceiptOnAt == nil || k.ReceiptOnBy != "main" || k.State != models.CredentialWorking {
					t.Fatalf("activated %v by %q, state %s", k.ReceiptOnAt, k.ReceiptOnBy, k.State)
				}
				for _, name := range []string{"ops", "read"} {
					who := s.Login(s.Sub(owner, name, models.Rights{Role: name, AllProducts: true}))
					who.Get(config).Has("已激活 · main").HasNot("停用回执", secret.Reveal())
					who.Post(act, "on", "0").Want(http.StatusForbidden)
				}
				v.Get("/audit").Has("回执激活")

				// The vendor changed its mind: the card says that too.
				if err := s.Store.ReceiptsRefused(t.Context(), row().ID, row().Revision, "65038"); err != nil {
					t.Fatal(err)
				}
				v.Get(config).Has("拒绝了回执地址（65038），已自动停用", "点击激活").Submit(act).To(config).Has("已激活 · main").HasNot("已自动停用")

				other := map[string]string{"app_id": "9" + values["app_id"], "app_secret": values["app_secret"]}
				v.Submit(form, channelForm(other)...).To(config).Has("回执要重新登记并激活", "未激活")
				v.Submit(form, channelForm(values)...).To(config)
				v.Get(config).Submit(act).To(config).Has("已激活 · main").Submit(act).To(config).Has("的回执已停用", "未激活")
				v.Post(act, "on", "0").Want(http.StatusConflict)

				// Only such a vendor has something to activate.
				v.Submit(base+"/credentials/hw/new", channelForm(channelValues(t)[push.Huawei])...).To(config)
				hw, _ := s.channelRow(owner, own, push.Huawei, "")
				v.Post(base+"/credentials/"+number(hw.ID)+"/receipts", "on", "1").Want(http.StatusNotFound)
			})
		})
	}
}

// A card that an authorization filled says so, whatever the channel; one that the
// operator saved is his own.
func TestSyncedCardsSayIt(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		im, _ := s.IMApp(owner, "Chat")
		var in []models.CredentialInput
		for _, channel := range vendorChannels() {
			in = append(in, models.CredentialInput{
				Channel: string(channel), Environment: models.EnvironmentProduction, Kind: string(channel), Fields: map[string]string{"app_id": "1"},
			})
		}
		if _, err := s.Store.SaveCredentials(t.Context(), owner, models.IMOwner(im.ID), in...); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Store.Authorize(t.Context(), owner, im.ID, app.ProductID, app.ID); err != nil {
			t.Fatal(err)
		}
		config := appBase(app.ID) + "/config"
		synced := func(want int) {
			t.Helper()
			if n := strings.Count(v.Get(config).Text(), "从 IM 侧同步"); n != want {
				t.Errorf("%d cards say that they were synced, want %d", n, want)
			}
		}
		synced(len(vendorChannels()))
		v.Submit(appBase(app.ID)+"/credentials/hw/new", channelForm(channelValues(t)[push.Huawei])...).To(config)
		synced(len(vendorChannels()) - 1)
	})
}
