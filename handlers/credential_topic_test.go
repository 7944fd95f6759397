package handlers

import (
	"testing"

	"hongyan/models"
	"hongyan/push"
)

// 测试凭证 works on the page of an IM app too, for every channel. Where the vendor must
// be told a package, it is that of the app the settings will serve; without one the page
// says what to do first, with the way there.
func TestTestsOnTheIMSide(t *testing.T) {
	values := channelValues(t)
	for _, channel := range []push.Channel{push.Harmony, push.FCM} {
		values[channel] = map[string]string{"service_account": string(serviceAccount(t))}
	}
	others, sims := vendors(t, values)
	apple, key := simulated(t)
	channels := func(channel push.Channel) (push.Spec, bool) {
		if channel == push.APNs {
			return apple(channel)
		}
		return others(channel)
	}
	eachEngineWith(t, func(d *Deps) { d.Channels = channels }, func(t *testing.T, s *site) {
		owner := s.Account("main")
		im, _ := s.IMApp(owner, "Whale IM")
		v, place, own := s.Login(owner), imAppBase(im.ID), models.IMOwner(im.ID)
		v.Upload(place+"/credentials/apns/new", "AuthKey.p8", key, "key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E", "environment", "production").To(place)
		for channel := range sims {
			path := place + "/credentials/" + string(channel) + "/new"
			if file := values[channel]["service_account"]; file != "" {
				v.UploadAs("f_service_account", path, "account.json", []byte(file)).To(place)
			} else {
				v.Submit(path, channelForm(values[channel])...).To(place)
			}
		}
		rows, err := s.Store.Credentials(t.Context(), owner, own)
		if err != nil || len(rows) != len(sims)+1 {
			t.Fatalf("%d credentials, %v", len(rows), err)
		}
		test := func(channel push.Channel) *page {
			t.Helper()
			for _, k := range rows {
				if k.Channel == string(channel) {
					return v.Get(place).Submit(place + "/credentials/" + number(k.ID) + "/test").To(place)
				}
			}
			t.Fatalf("no credential of %s", channel)
			return nil
		}
		needs := map[push.Channel][3]string{
			push.Xiaomi: {"请先把一个 Android 应用授权给这个 IM 应用", "Android 应用还没有填写", "Android 应用包名不同"},
			push.APNs:   {"请先把一个 iOS 或 macOS 应用授权给这个 IM 应用", "iOS 或 macOS 应用还没有填写", "Bundle ID 不同"},
		}
		// Without an authorization.
		for _, k := range rows {
			channel := push.Channel(k.Channel)
			if lack, needed := needs[channel]; needed {
				test(channel).Has(lack[0]).HasNot("凭证测试通过").Link("/authorizations/new?im=" + number(im.ID))
			} else {
				test(channel).Has("凭证测试通过")
			}
		}
		all := place + "/credentials/test"
		v.Get(place).Submit(all).To(place).Has(needs[push.Xiaomi][0]).HasNot("全部测试通过")

		// With apps that have no package yet, then with one each, then with two each.
		product, apps := s.Product(owner, "Whale", models.PlatformAndroid, models.PlatformIOS)
		authorize := func(product int64, apps []models.App) {
			t.Helper()
			for _, app := range apps {
				if _, err := s.Store.Authorize(t.Context(), owner, im.ID, product, app.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		name := func(app models.App, pkg string) {
			t.Helper()
			if _, err := s.Store.SetPackage(t.Context(), owner, app.ID, pkg); err != nil {
				t.Fatal(err)
			}
		}
		fits := func(app models.App) push.Channel {
			if app.Platform == models.PlatformAndroid {
				return push.Xiaomi
			}
			return push.APNs
		}
		authorize(product.ID, apps)
		for _, app := range apps {
			test(fits(app)).Has(needs[fits(app)][1]).Link(appBase(app.ID) + "/config")
			name(app, "cn.lanxun.whale")
			test(fits(app)).Has("凭证测试通过")
		}
		v.Get(place).Submit(all).To(place).Has("凭证全部测试通过")
		for channel := range sims {
			if row, _ := s.channelRow(owner, own, channel, ""); row.State != models.CredentialWorking {
				t.Errorf("%s is %s", channel, row.State)
			}
		}
		product, more := s.Product(owner, "Seal", models.PlatformAndroid, models.PlatformIOS)
		authorize(product.ID, more)
		for _, app := range more {
			test(fits(app)).Has("凭证测试通过") // the other has no package, so there is one
			name(app, "cn.lanxun.seal")
			test(fits(app)).Has(needs[fits(app)][2])
		}
	})
}
