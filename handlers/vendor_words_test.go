package handlers

import (
	"context"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/views/locale"
)

// inBoth runs fn in each language; a sentence that a catalog lacks fails the test.
func inBoth(t *testing.T, fn func(t *testing.T, ctx context.Context, lang string)) {
	t.Helper()
	bundle, err := locale.NewBundle(func(lang, key string) { t.Errorf("no sentence in %s for %s", lang, key) })
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{locale.Chinese, locale.English} {
		t.Run(lang, func(t *testing.T) { fn(t, locale.With(t.Context(), bundle.Localizer(lang)), lang) })
	}
}

func wantWords(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q says nothing of %q", got, w)
		}
	}
}

// A retired token is explained by the table of its own vendor, or by the receipt that
// called it dead; so is the device that went with its last token.
func TestRetiredWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		channel, code, zh, en string
	}{
		{"hw", "80300007", "设备 Token 全部无效", "opening the app registers a new one (80300007)"},
		{"xm", "10029", "设备标识无效", "The device is not known"},
		{"fcm", "UNREGISTERED", "App 已卸载或 Token 已过期", "removed"},
		{"apns", "Unregistered", "App 已卸载或通知已失效", "removed"},
		{"hw", "receipt 2", "华为的回执说 App 已卸载或 Token 已失效（状态 2）", "said that the app was removed"},
		{"xm", "receipt 16", "小米的回执说", "(status 16)"},
		{"oppo", "20017", "厂商返回了未知代码 20017", "unknown code 20017"},
		{"hw", models.RetiredReplaced, "换了 Token", "another token"},
	}
	inBoth(t, func(t *testing.T, ctx context.Context, lang string) {
		for _, c := range cases {
			want := c.zh
			if lang == locale.English {
				want = c.en
			}
			route := models.Route{Channel: c.channel, Token: "token", RetiredAt: &now, RetiredCode: c.code}
			older := models.Route{Channel: "mz", Token: "older", RetiredAt: &now, RetiredCode: "110003"}
			d := &models.DeviceInfo{Device: models.Device{Notify: models.NotifyOn, LastSeenAt: now}, Routes: []models.Route{route, older}}
			app := appPage{App: &models.AppView{}, Base: "/apps/1"}
			var dead string
			for _, check := range diagnose(ctx, app, d, nil, clock{now, time.UTC}).Checks {
				dead += check.Note
			}
			wantWords(t, dead, want)
			d.Device.RetiredAt, d.Device.RetiredCode = &now, c.code
			wantWords(t, diagnose(ctx, app, d, nil, clock{now, time.UTC}).Text, want)
		}
	})
}

// Only what retires a token is said to have done so.
func TestRetiringCodesSayIt(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, ctx context.Context, _ string) {
		for _, spec := range registry.All() {
			for code, info := range spec.Codes {
				words, known := locale.Code(ctx, string(spec.Channel), code, "")
				retires := info.Outcome == push.BadTarget && !info.KeepToken
				if says := strings.Contains(words, "已停用") || strings.Contains(words, "retired"); !known || says && !retires {
					t.Errorf("%s %s: %q, outcome %v, keeps %v", spec.Channel, code, words, info.Outcome, info.KeepToken)
				}
			}
		}
		for _, key := range []string{"reasons.token_kept", "reasons.token_kept_text"} {
			if words := locale.T(ctx, key); strings.Contains(words, "已停用") || strings.Contains(words, "is retired") {
				t.Errorf("%s: %q", key, words)
			}
		}
	})
}

// A receipt's status that nothing explains is not called "not shown".
func TestNoteWords(t *testing.T) {
	t.Parallel()
	cases := []struct {
		channel, code, zh, en string
	}{
		{"honor", "40000009", "厂商回报状态 40000009，含义未知", "status 40000009, meaning unknown"},
		{"honor", "40000009", "“抵达状态码”", "“Statuses of arrival”"},
		{"vivo", "7", "厂商回报状态 7，含义未知", "status 7, meaning unknown"},
		{"oppo", "push_odd", "厂商回报状态 push_odd，含义未知", "status push_odd, meaning unknown"},
		{"mz", "3", "厂商回报状态 3，含义未知", "status 3, meaning unknown"},
		{"harmony", "155", "厂商回报状态 155，含义未知", "status 155, meaning unknown"},
		{"oppo", "", "没有可读的状态", "without a readable status"},
		{"hw", "51", "厂商回报：没有展示", "not shown"},
		{"harmony", "51", "手机开机后还没有解锁", "not unlocked"},
		{"xm", "64", "不符合消息的过滤条件", "filter"},
	}
	inBoth(t, func(t *testing.T, ctx context.Context, lang string) {
		for _, c := range cases {
			want := c.zh
			if lang == locale.English {
				want = c.en
			}
			n := models.VendorNote{Event: string(push.EventOther), Code: c.code}
			ev := noteEvent(ctx, c.channel, &n, clock{time.Now(), time.UTC})
			wantWords(t, ev.Title+" "+ev.Text, want)
			if strings.Contains(want, c.code+"，含义未知") && strings.Contains(ev.Title, "没有展示") {
				t.Errorf("%s %s: %q", c.channel, c.code, ev.Title)
			}
		}
	})
}

// A code that no table explains is called unknown, with what the vendor said; what is
// our own finding is said in the page's language.
func TestUnknownCodeWords(t *testing.T) {
	t.Parallel()
	faults := []string{
		push.FieldMissing, push.FieldInvalid, push.FieldEmpty, push.FieldTooLarge, push.FieldNotCert, push.FieldNotP12, push.FieldWrongPassword,
		push.FieldNoPrivateKey, push.FieldManyKeys, push.FieldKeyMismatch, push.FieldExpired, push.FieldNotYetValid, push.FieldNotP8, push.FieldBundle, push.FieldEnvironment,
	}
	inBoth(t, func(t *testing.T, ctx context.Context, lang string) {
		zh := lang == locale.Chinese
		said := push.WithSaid("the authorization was refused", "签名 not match")
		test, _ := testWords(ctx, credentialPlace{}, "mz", testAnswer{Code: "110052", Said: push.SaidIn(said)})
		receipts, _ := testWords(ctx, credentialPlace{}, "mz", testAnswer{Code: receiptsTested + "110052", Said: push.SaidIn(said)})
		got := []string{causeWords(ctx, "honor", "80200005", said), test, receipts}
		for i, code := range []string{"80200005", "110052", "110052"} {
			if zh {
				wantWords(t, got[i], "厂商返回了未知代码 "+code+"，原话：签名 not match")
			} else {
				wantWords(t, got[i], "unknown code "+code, "said: 签名 not match")
			}
		}
		if words := causeWords(ctx, "honor", "80200005", "the authorization was refused"); strings.Contains(words, "refused") || zh && words != "厂商返回了未知代码 80200005" {
			t.Errorf("without the vendor's words: %q", words)
		}
		for _, code := range append(faults, "oauth_1101") {
			words := causeWords(ctx, "hw", code, "credential field app_secret: "+code)
			if _, known := locale.Code(ctx, "hw", code, ""); !known || strings.Contains(words, "credential field") || zh && strings.Contains(words, code) {
				t.Errorf("%s: %q", code, words)
			}
		}
		k := models.Credential{Channel: "hw", CauseCode: push.FieldInvalid}
		vendor := locale.T(ctx, "channels.hw")
		if words := refusedWords(ctx, &k); strings.Contains(words, vendor) {
			t.Errorf("the vendor is blamed for %q", words)
		}
		if k.CauseCode = "80200001"; !strings.Contains(refusedWords(ctx, &k), vendor) {
			t.Errorf("nobody is blamed for %s", k.CauseCode)
		}
	})
}
