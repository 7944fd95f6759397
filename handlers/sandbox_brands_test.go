package handlers

import (
	"net/http"
	"testing"

	"hongyan/models"
	"hongyan/push"
)

// Each vendor's payload, as its simulator records it, reads as what the phone shows.
func TestReadNotice(t *testing.T) {
	t.Parallel()
	for channel, payload := range map[push.Channel]string{
		push.APNs:    `{"aps":{"alert":{"title":"Alice","body":"Hi"},"badge":1},"hy_mid":"m-1"}`,
		push.Huawei:  `{"android":{"urgency":"HIGH","category":"IM","ttl":"259199s","bi_tag":"r","notification":{"click_action":{"type":3},"importance":"NORMAL"}},"data":"{\"hy_mid\":\"m-1\"}","notification":{"title":"Alice","body":"Hi"}}`,
		push.Honor:   `{"android":{"ttl":"259199s","biTag":"r","notification":{"title":"Alice","body":"Hi","importance":"NORMAL","clickAction":{"type":3}}},"data":"{\"hy_mid\":\"m-1\"}"}`,
		push.Xiaomi:  `{"description":"Hi","extra.jobkey":"j","notify_type":"4","pass_through":"0","payload":"{\"hy_mid\":\"m-1\"}","restricted_package_name":"com.example.im","title":"Alice"}`,
		push.OPPO:    `{"action_parameters":"{\"hy_mid\":\"m-1\"}","app_message_id":"a","content":"Hi","off_line":true,"title":"Alice"}`,
		push.Vivo:    `{"appId":112,"notifyType":1,"title":"Alice","content":"Hi","clientCustomMap":{"hy_mid":"m-1"},"requestId":"q","regId":"d"}`,
		push.Meizu:   `{"noticeBarInfo":{"noticeBarType":0,"title":"Alice","content":"Hi"},"clickTypeInfo":{"clickType":0,"parameters":{"hy_mid":"m-1"}}}`,
		push.Harmony: `{"notification":{"category":"IM","title":"Alice","body":"Hi","clickAction":{"actionType":0,"data":{"hy_mid":"m-1"}},"badge":{"setNum":1}}}`,
		push.FCM:     `{"android":{"priority":"HIGH","notification":{"tag":"t"}},"data":{"hy_mid":"m-1"},"notification":{"title":"Alice","body":"Hi"}}`,
		push.WebPush: `{"id":"i","title":"Alice","body":"Hi","tag":"t","badge":1,"data":{"hy_mid":"m-1"}}`,
	} {
		if got := readNotice(&models.SandboxPush{Channel: string(channel), Payload: []byte(payload)}); got != (notice{"m-1", "Alice", "Hi"}) {
			t.Errorf("%s reads as %+v", channel, got)
		}
		for _, broken := range []string{"", "null", "{}", "[1]", `"text"`, payload[:len(payload)/2]} {
			if got := readNotice(&models.SandboxPush{Channel: string(channel), Payload: []byte(broken)}); got != (notice{}) {
				t.Errorf("%s: %q reads as %+v", channel, broken, got)
			}
		}
	}
	for _, c := range vendorChannels() {
		if _, ok := noticePlaces()[c]; !ok || phoneMakes()[c].model == "" {
			t.Errorf("%s has no phone", c)
		}
	}
}

// An Android app: one button saves every key, phones are of the chosen make, and a
// refusal within an answer of 200 shows as one.
func TestSandboxAndroid(t *testing.T) {
	eachReady(t, func(t *testing.T, r *ready) {
		_, apps := r.Product(r.main, "安卓", models.PlatformAndroid)
		base := appBase(apps[0].ID)
		box := base + "/sandbox"
		p := r.admin.Get(box).Want(http.StatusOK).Submit(box+"/switch").To(box).Has("模拟器认可的各厂商密钥", "上报抵达回执")
		p = p.Submit(box+"/key").To(box).Has("模拟器认可 9 个通道的密钥", "浏览器（Web Push）")
		keys, err := r.Store.Credentials(t.Context(), r.main, models.AppOwner(apps[0].ID))
		if err != nil || len(keys) != len(vendorChannels()) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		// Keys of the sandbox leave room for the vendors' own.
		r.admin.Get(base + "/config").Link(base + "/credentials/hw/new")
		if p := p.Submit(box+"/phones", "account", "user_1", "brand", "apns"); p.Want(http.StatusUnprocessableEntity).FieldError("brand") == "" {
			t.Errorf("a make that is not on the list: %s", p.Text())
		}
		p.Submit(box+"/phones", "account", "user_1", "brand", "mz").To(box).Has("虚拟 Meizu 21 Pro", "user_1")
		scope, _, err := r.Store.ScopeForApp(t.Context(), r.main, apps[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		phones, err := r.Store.VirtualDevices(t.Context(), scope)
		if err != nil || len(phones) != 1 || len(phones[0].Routes) != 1 {
			t.Fatalf("phones %+v %v", phones, err)
		}
		to := phones[0].Routes[0]
		if to.Channel != "mz" || to.Environment != models.EnvironmentSandbox {
			t.Errorf("route %s %s", to.Channel, to.Environment)
		}
		route, err := r.Store.FindSandboxRoute(t.Context(), "mz", to.Token)
		if err != nil {
			t.Fatal(err)
		}
		for reason, says := range map[string]string{"": "手机已收到", "110010": "模拟限流", "110003": "模拟拒绝"} {
			push := models.SandboxPush{Channel: "mz", Status: http.StatusOK, Reason: reason, Payload: []byte(`{"noticeBarInfo":{"title":"Alice","content":"Hi"}}`), At: r.Clock.Now()}
			if err := r.Store.AddSandboxPush(t.Context(), route, push); err != nil {
				t.Fatal(err)
			}
			r.admin.Get(box).Has(says, "Alice", "魅族")
			r.admin.Post(box + "/clear")
		}
		r.admin.Get(box).Submit(box+"/settings", "receipts", "").To(box).Has("模拟器设置已保存")
		if set, err := r.Store.SimulatorSettings(t.Context(), apps[0].ID); err != nil || set.Receipts {
			t.Errorf("receipts are still on: %+v %v", set, err)
		}
	})
}
