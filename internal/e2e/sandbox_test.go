package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hongyan/internal/browser"
)

// brand is a make of virtual phone: how the select names it, its model, and whether its
// vendor reports arrivals.
type brand struct {
	channel, zh, en, model string
	reports                bool
}

func androidBrands() []brand {
	return []brand{
		{"hw", "华为", "Huawei", "Mate 60 Pro", true},
		{"honor", "荣耀", "Honor", "Magic7", true},
		{"xm", "小米", "Xiaomi", "15 Pro", true},
		{"oppo", "OPPO", "OPPO", "Find X8", true},
		{"vivo", "vivo", "vivo", "X200", true},
		{"mz", "魅族", "Meizu", "21 Pro", true},
		{"harmony", "鸿蒙", "HarmonyOS", "Mate 70 Pro", true},
		{"fcm", "Google", "Google", "Pixel 9", false},
		{"web", "浏览器", "Browser", "Chrome 142", false},
	}
}

// An Android app in the sandbox, for somebody who has no vendor account: one button
// makes every key, and a phone of each make shows its message, reports its arrival and
// is tapped. A virtual browser still gets its messages after a restart.
func TestAndroidSandbox(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts the program and a browser")
	}
	for _, run := range []struct{ engine, lang string }{{"sqlite", "zh"}, {"postgres", "zh"}, {"sqlite", "en"}} {
		t.Run(run.engine+" "+run.lang, func(t *testing.T) {
			s := newConsole(t, run.engine)
			j := &journey{walker: newWalker(t, s, run.lang)}
			j.views = append(j.views, view{"dark", 390, 844})
			j.fast = true
			j.setUp(s, mainName, mainPassword)
			j.androidApp()
			j.fast = run.engine != "sqlite"
			j.visit("/start")
			j.shows(j.word("打开沙箱", "Turn on the sandbox"))
			j.visit(j.app + "/sandbox")
			j.follow(j.word("开启沙箱", "Turn on the sandbox"))
			j.follow(j.word("生成沙箱密钥", "Make a sandbox key"))
			brands := androidBrands()
			if run.lang == "en" {
				brands = brands[:1]
			}
			for _, b := range brands {
				j.phoneOf(b)
			}
			j.visit(j.app + "/sandbox")
			j.visit(j.app + "/config")
			j.visit("/start")
			last := brands[len(brands)-1]
			s.kill()
			s.start()
			j.open(j.app + "/sandbox")
			j.sample(last)
			j.received(last, j.word("手机已收到", "On the phone"), last.reports)
			t.Logf("%d pages", j.seen)
		})
	}
}

// androidApp makes a product with an Android app that is authorized to an IM app.
func (j *journey) androidApp() {
	j.t.Helper()
	j.open("/products")
	j.dialog(j.word("新建产品", "New product"))
	j.write("name", "Whale")
	j.choosesFirst("category")
	j.choose("region", "ap-guangzhou")
	j.choose("platforms", "android")
	j.untick("platforms", "ios")
	j.follow(j.word("确定", "Create"))
	j.open("/im-apps/new")
	j.write("name", "Whale IM")
	j.choose("bridge", "wukongim")
	j.follow(j.word("确定", "Create"))
	j.open("/authorizations?view=im")
	j.follow(j.word("知道了", "Got it"))
	j.dialog(j.word("新增授权", "New authorization"))
	j.pick("im_app_id", "Whale IM")
	j.pick("product_id", "Whale")
	app := browser.Eval[string](j.Browser, `document.querySelector("dialog:modal [name=app_id]:not([disabled])").value`)
	j.choose("app_id", app)
	j.follow(j.word("提交", "Submit"))
	j.app = "/apps/" + app
}

// phoneOf adds a phone of a brand, sends it a message and taps it.
func (j *journey) phoneOf(b brand) {
	j.t.Helper()
	j.open(j.app + "/sandbox")
	j.pick("brand", j.word(b.zh, b.en))
	j.write("account", "user_"+b.channel)
	j.leave(func() { j.clickIn("[aria-labelledby=phones-h]", j.word("添加虚拟手机", "Add a virtual phone")) })
	j.shows(b.model, "user_"+b.channel)
	j.sample(b)
	j.received(b, j.word("手机已收到", "On the phone"), b.reports)
	j.look()
	j.leave(func() { j.Do(chromedp.Click(chromedp.CSS(".note-tap"))) })
	j.received(b, j.word("已点击", "Clicked"), false)
}

// sample sends the phone's account a sample message.
func (j *journey) sample(b brand) {
	j.t.Helper()
	j.leave(func() {
		j.clickIn("[aria-labelledby=phones-h]", j.word("发送示例消息给 ", "Send a sample to ")+"user_"+b.channel)
	})
}

// received waits until the newest push is on that phone and in that state, or arrived.
func (j *journey) received(b brand, state string, arrived bool) {
	j.t.Helper()
	if arrived {
		state = j.word("已抵达", "Arrived")
	}
	condition := `((model, state, sample) => {
		const row = document.querySelector("[aria-labelledby=received-h] .list a"), cap = document.querySelector(".phone-cap"), note = document.querySelector(".note");
		return Boolean(row && note && row.innerText.includes(state) && cap.innerText.includes(model) && note.innerText.includes(sample));
	})(` + quoted(b.model) + `, ` + quoted(state) + `, ` + quoted(j.word("你好，这是一条离线消息", "Hello, this is an offline message")) + `)`
	for start := time.Now(); !j.is(condition); j.open(j.app + "/sandbox") {
		if time.Since(start) > 20*time.Second {
			j.t.Fatalf("%s: no message that is %s; the page says: %.1500s", b.channel, state, j.text())
		}
	}
}
