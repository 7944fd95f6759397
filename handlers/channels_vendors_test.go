package handlers

import (
	"context"
	"maps"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// vendors plays every vendor that has a simulator, each knowing the app of values.
func vendors(t *testing.T, values map[push.Channel]map[string]string) (func(push.Channel) (push.Spec, bool), map[push.Channel]*sandbox.Simulator) {
	t.Helper()
	// What each vendor knows the app by.
	ids := map[push.Channel]string{
		push.Huawei: values[push.Huawei]["app_id"], push.Honor: values[push.Honor]["client_id"], push.Xiaomi: values[push.Xiaomi]["app_secret"],
		push.OPPO: values[push.OPPO]["app_key"], push.Vivo: values[push.Vivo]["app_id"], push.Meizu: values[push.Meizu]["app_id"],
		push.Harmony: "whale-im", push.FCM: "whale-im", push.WebPush: values[push.WebPush]["public_key"],
	}
	sims := map[push.Channel]*sandbox.Simulator{}
	for _, channel := range sandbox.Channels() {
		if ids[channel] == "" {
			t.Fatalf("%s: say what its vendor knows the app by", channel)
		}
		known := &sandbox.MemoryAccounts{}
		known.Add(sandbox.Account{ID: ids[channel], Fields: values[channel]})
		sim, err := sandbox.Start(sandbox.Config{Channel: channel, Accounts: known})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sim.Close() })
		sims[channel] = sim
	}
	return func(c push.Channel) (push.Spec, bool) {
		spec, ok := registry.New().Lookup(c)
		sim := sims[c]
		if sim == nil {
			return spec, ok
		}
		open := spec.Open
		spec.Open = func(ctx context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
			o.Endpoint, o.RootCAs = sim.URL(), sim.CA().PEM()
			return open(ctx, fields, o)
		}
		return spec, ok
	}, sims
}

// 测试凭证 asks the vendor: a yes is a working card, a refusal pauses it and says why,
// and a vendor that cannot be asked changes nothing. 测试全部 does so for all.
func TestChannelTests(t *testing.T) {
	values := channelValues(t)
	for _, channel := range []push.Channel{push.Harmony, push.FCM} {
		values[channel] = map[string]string{"service_account": string(serviceAccount(t))}
	}
	channels, sims := vendors(t, values)
	eachEngineWith(t, func(d *Deps) { d.Channels = channels }, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base, own := appBase(app.ID), models.AppOwner(app.ID)
		config := base + "/config"
		all := base + "/credentials/test"
		for channel := range sims {
			path := base + "/credentials/" + string(channel) + "/new"
			if file := values[channel]["service_account"]; file != "" {
				v.UploadAs("f_service_account", path, "account.json", []byte(file)).To(config)
			} else {
				v.Submit(path, channelForm(values[channel])...).To(config)
			}
		}
		everyone, others := number(int64(len(sims))), number(int64(len(sims)-1))
		v.Get(config).Has(everyone+" 个未测试", "还没有验证过").Submit(all).To(config).
			Has(everyone+" 个凭证全部测试通过", "没有发给任何人", everyone+" 个可用").HasNot("未测试")
		for channel := range sims {
			if row, _ := s.channelRow(owner, own, channel, ""); row.State != models.CredentialWorking || row.LastOKAt == nil {
				t.Errorf("%s is %s after a yes", channel, row.State)
			}
		}

		// A MasterSecret that OPPO does not know: it refuses, the card explains.
		wrong := maps.Clone(values[push.OPPO])
		wrong["master_secret"] = "oppoWrong5f1c0de9"
		v.Submit(base+"/credentials/oppo/new", channelForm(wrong)...).To(config)
		row, _ := s.channelRow(owner, own, push.OPPO, "")
		test := base + "/credentials/" + number(row.ID) + "/test"
		v.Get(config).Submit(test).To(config).
			Has("OPPO官方推送通道已暂停", "已暂停", "服务端发送需要 MasterSecret", "修改凭证", others+" 个可用 · 1 个已暂停").HasNot("测试通过")
		v.Submit(base+"/credentials/oppo/new", channelForm(values[push.OPPO])...).To(config).Has(others + " 个可用 · 1 个未测试")
		v.Get(config).Submit(test).To(config).Has("凭证测试通过", everyone+" 个可用").HasNot("已暂停")

		// A vendor that does not answer is no refusal: the card says so, and the states stay.
		before, _ := s.channelRow(owner, own, push.Vivo, "")
		if err := sims[push.Vivo].Set(sandbox.Settings{Mix: map[string]float64{"500": 100}}); err != nil {
			t.Fatal(err)
		}
		v.Get(config).Submit(all).To(config).Has("测试没有完成", "vivo 服务器内部错误", "凭证状态不变", everyone+" 个可用").HasNot("全部测试通过")
		v.Get(config).HasNot("测试没有完成")
		if after, _ := s.channelRow(owner, own, push.Vivo, ""); after.State != before.State {
			t.Errorf("vivo is %s after no answer", after.State)
		}
		if err := sims[push.Vivo].Set(sandbox.Settings{}); err != nil {
			t.Fatal(err)
		}

		// A code that no table explains is told as such, with what the vendor said.
		if err := sims[push.Meizu].Set(sandbox.Settings{Mix: map[string]float64{"999999": 100}}); err != nil {
			t.Fatal(err)
		}
		v.Get(config).Submit(all).To(config).Has("测试没有完成：厂商返回了未知代码 999999，原话：refused by the settings。凭证状态不变。")
		v.Lang = "en"
		v.Get(config).Submit(all).To(config).Has("The test did not finish: The vendor answered with the unknown code 999999 and said: refused by the settings.")
		v.Lang = "zh-CN"
		if err := sims[push.Meizu].Set(sandbox.Settings{}); err != nil {
			t.Fatal(err)
		}
		for channel := range sims {
			for key, value := range values[channel] {
				if strings.Contains(key, "secret") && strings.Contains(s.Log.String(), value) {
					t.Errorf("%s: %s is in the log", channel, key)
				}
			}
		}
	})
}

// Vendor settings of the IM side cover every channel: an authorization carries them
// over, the card says so, and what is newer there is offered, named, and synced.
func TestChannelSync(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		product, apps := s.Product(owner, "Whale", models.PlatformAndroid)
		im, _ := s.IMApp(owner, "Whale IM")
		v, place := s.Login(owner), imAppBase(im.ID)
		values := channelValues(t)
		var covered []push.Channel
		for _, spec := range registry.All() {
			if good, ok := values[spec.Channel]; ok {
				covered = append(covered, spec.Channel)
				v.Submit(place+"/credentials/"+string(spec.Channel)+"/new", channelForm(good)...).To(place).Has("官方推送通道的凭证已保存")
			}
		}
		if len(covered) < 4 {
			t.Fatalf("only %d channels", len(covered))
		}
		v.Get(place).HasNot("/receipts/", "最近成功")
		if _, err := s.Store.Authorize(t.Context(), owner, im.ID, product.ID, apps[0].ID); err != nil {
			t.Fatal(err)
		}
		config := appBase(apps[0].ID) + "/config"
		v.Get(config).Has("从 IM 侧同步", number(int64(len(covered)))+" 个未测试").HasNot("有更新")
		for _, channel := range covered {
			row, fields := s.channelRow(owner, models.AppOwner(apps[0].ID), channel, "")
			if row.Source != models.SourceIM || !maps.Equal(keysOf(fields, values[channel]), values[channel]) {
				t.Errorf("%s was not carried over as it is", channel)
			}
			if models.HasReceipts(string(channel)) == (len(row.ReceiptHash) == 0) {
				t.Errorf("%s: has a receipt address: %v", channel, len(row.ReceiptHash) > 0)
			}
		}
		newer := maps.Clone(values[push.Vivo])
		newer["app_id"] = "300300"
		v.Submit(place+"/credentials/vivo/new", channelForm(newer)...).To(place)
		v.Get(config).Has("vivo官方推送通道 · AppID 300300").Submit(config + "/sync").To(config).Has("AppID 300300").HasNot("AppID 105637")
	})
}

func keysOf(m, of map[string]string) map[string]string {
	out := map[string]string{}
	for key := range of {
		out[key] = m[key]
	}
	return out
}
