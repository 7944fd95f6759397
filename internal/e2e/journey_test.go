package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"hongyan/internal/browser"
	"hongyan/internal/pgtest"
)

// What the journeys' people choose.
const (
	mainName     = "boss@whale.example"
	mainPassword = "a long enough password"
	productName  = "蓝鲸企业聊"
	imName       = "蓝鲸 IM"
	bundleID     = "com.whale.chat"
	account      = "bob"
)

// captured is what a WuKongIM v2.2.5 server was seen to send while bob was offline.
const captured = `{"header":{"no_persist":0,"red_dot":1,"sync_once":0},"setting":0,"message_id":2124668323860844544,"message_idstr":"2124668323860844544","client_msg_no":"c-1","message_seq":1,"from_uid":"alice","channel_id":"bob","channel_type":1,"expire":0,"timestamp":1795395377,"payload":"eyJ0eXBlIjoxLCJjb250ZW50Ijoi5L2g5aW977yM56a757q/5raI5oGvIn0=","to_uids":["bob"],"source_id":1}`

// visible is within what time of its answer a message must stand in the plan.
const visible = 2 * time.Second

// journey is a walk with what it has met on the way.
type journey struct {
	*walker

	ingest string // the IM app's address, shown once
	imApp  string // path of its page
	app    string // path of the app
	plan   string // path of the plan of IM messages
}

// The whole seed in a browser, on the binary that users run: from the link it prints
// to the record of an offline message, and back to 解除授权.
func TestJourney(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts the program and a browser")
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			s := newConsole(t, engine)
			j := &journey{walker: newWalker(t, s, "zh")}
			j.fast = engine != "sqlite" // the pages are the same
			start := time.Now()
			for _, part := range []struct {
				name string
				walk func()
			}{
				{"setup", func() { j.setUp(s, mainName, mainPassword) }},
				{"product", j.makeProduct}, {"IM app", j.makeIMApp}, {"authorization", j.authorize}, {"its effects", j.effects},
				{"configuration", j.configure}, {"sandbox", j.sandbox}, {"offline message", j.offlineMessage},
				{"test push", j.testPush}, {"release", j.release},
			} {
				part.walk()
				t.Logf("%6.1f s: %s", time.Since(start).Seconds(), part.name)
			}
			t.Logf("%d pages", j.seen)
		})
	}
}

// newConsole starts the program on an empty database.
func newConsole(t *testing.T, engine string) *server {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{"DATA_DIR": dir}
	if engine == "postgres" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		env["DATABASE_URL"], env["SECRET_KEY"] = pgtest.New(t), base64.StdEncoding.EncodeToString(key)
	}
	s := newServer(t, engine, env)
	s.start()
	return s
}

// makeProduct: 新建产品 with its four choices; an empty form says what is missing.
func (j *journey) makeProduct() {
	j.t.Helper()
	j.shows("快速开始", "已完成 0 / 7")
	j.followIn(".side", "产品管理")
	j.shows("还没有产品")
	j.dialog("新建产品")
	j.shows("产品名称", "产品分类", "服务接入点", "确定", "取消")
	j.refuse("确定", "没有保存")
	j.write("name", productName)
	j.choosesFirst("category")
	j.choose("region", "ap-guangzhou")
	j.untick("platforms", "android")
	j.choose("platforms", "ios")
	j.follow("确定")
	j.shows(productName, "iOS", "AccessID", "服务详情", "待配置", "立即配置")

	// The themes are a choice that stays.
	j.leave(func() { j.clickIn("header", "切换深色主题") })
	if got := browser.Eval[string](j.Browser, `document.documentElement.dataset.theme`); got != "dark" {
		j.t.Errorf("theme %q after choosing the dark one", got)
	}
	j.leave(func() { j.clickIn("header", "切换浅色主题") })

	// No IM app yet: the switch is not there, and the page says why.
	j.followIn(".side", "第三方服务授权")
	j.shows("还没有 IM 应用", "新建 IM 应用")
	j.hides("云IM应用授权 即时通信")
	if j.is(`document.querySelector("main .seg")`) {
		j.t.Error("the switch is there without an IM app")
	}
}

// choosesFirst takes the first real choice of a select.
func (j *journey) choosesFirst(name string) {
	j.t.Helper()
	label := browser.Eval[string](j.Browser, `[...document.querySelector("dialog:modal select[name=`+name+`]").options].find((o) => o.value).text.trim()`)
	j.pick(name, label)
}

// makeIMApp: the ingest address is shown once.
func (j *journey) makeIMApp() {
	j.t.Helper()
	j.follow("新建 IM 应用")
	j.write("name", imName)
	j.choose("bridge", "wukongim")
	j.follow("确定")
	j.shows(imName, "只显示这一次", "还没有授权")
	j.ingest = browser.Eval[string](j.Browser, `document.querySelector("[aria-labelledby=address-h] .codebox [data-copy]").dataset.copy`)
	if !strings.HasPrefix(j.ingest, j.base+"/") {
		j.t.Fatalf("ingest address %q", j.ingest)
	}
	j.followIn(".side", "IM 应用")
	j.follow("查看：" + imName)
	j.imApp = j.path()
	j.shows("密钥不再显示")
	if secret := strings.Split(strings.TrimPrefix(j.ingest, j.base), "/")[2]; strings.Contains(j.text(), secret) {
		j.t.Error("the secret is shown a second time")
	}
	// Nothing is accepted yet, and the page counts what came.
	j.post(strings.ReplaceAll(captured, "2124668323860844544", "2124668323860844500"))
	j.counted("未授权", "1")
}

// post sends the request of the IM server and expects its answer.
func (j *journey) post(body string) {
	j.t.Helper()
	status, answer := post(j.t.Context(), http.DefaultClient, j.ingest+"?event=msg.offline", body)
	if status != http.StatusOK {
		j.t.Fatalf("the IM server is answered %d: %.300s", status, answer)
	}
}

// counted waits for a row of 接收统计 on the IM app's page, which is written once a
// second, and looks at the page.
func (j *journey) counted(outcome, today string) {
	j.t.Helper()
	for start := time.Now(); ; {
		j.open(j.imApp)
		got := browser.Eval[string](j.Browser, `[...document.querySelectorAll("[aria-labelledby=stats-h] tr")].find((r) => r.querySelector(".state")?.innerText.trim() === `+quoted(outcome)+`)?.querySelector("td.num").innerText.trim() || ""`)
		if got == today {
			break
		}
		if time.Since(start) > 5*time.Second {
			j.t.Fatalf("%s counts %q messages %s today, want %s; it says: %.1500s", j.path(), got, outcome, today, j.text())
		}
	}
	j.look()
}

// authorize: the switch, the first visit's dialog, 新增授权.
func (j *journey) authorize() {
	j.t.Helper()
	j.followIn(".side", "第三方服务授权")
	j.follow("云IM应用授权")
	if !j.is(`document.querySelector("dialog#notice:modal")`) {
		j.t.Fatal("no dialog on the first visit")
	}
	j.shows("授权后会发生什么", "仅限IM推送（免费）", "即时通信IM消息", "需要先解除授权")
	j.follow("知道了")
	j.followIn("main .seg", "TPNS应用授权")
	j.followIn("main .seg", "云IM应用授权")
	if j.is(`document.querySelector("dialog")`) {
		j.t.Error("the first visit's dialog came twice")
	}
	j.dialog("新增授权")
	j.shows("IM 应用名称", "TPNS 产品名称", "TPNS 应用名称")
	j.pick("im_app_id", imName)
	j.pick("product_id", productName)
	app := browser.Eval[string](j.Browser, `document.querySelector("dialog:modal [name=app_id]:not([disabled])").value`)
	j.choose("app_id", app)
	j.app = "/apps/" + app
	j.follow("提交")
	j.shows(imName, productName, "解除授权")

	// An authorized app cannot be chosen again, and the dialog says why.
	j.dialog("新增授权")
	j.shows("不可选择", "已授权给")
	if !j.is(`document.querySelector("dialog:modal [name=app_id][value='` + app + `']").disabled`) {
		j.t.Error("an authorized app can be chosen again")
	}
	j.click("取消")
	j.Wait(`!document.querySelector("dialog")`)
}

// effects: 服务详情, the plan that cannot be changed, what cannot be deleted.
func (j *journey) effects() {
	j.t.Helper()
	j.followIn(".side", "产品管理")
	j.shows("仅限IM推送（免费）")
	j.visit(j.app + "/plans")
	j.shows("即时通信IM消息", "详情")
	j.hides("编辑", "删除")
	j.follow("查看即时通信IM消息的详情")
	j.plan = j.path()
	j.shows("计划发送", "实际发送", "抵达", "点击", "还没有发送记录")
	for _, act := range []string{"/edit", "/delete"} {
		if got := j.status(http.MethodPost, j.plan+act, "name=x"); got < 400 || got >= 500 {
			j.t.Errorf("POST %s%s: %d, want a refusal", j.plan, act, got)
		}
	}

	// Product, app and IM app: each says why it cannot be deleted.
	j.followIn(".side", "产品管理")
	j.click("更多操作：" + productName)
	j.follow("删除产品")
	j.shows("已授权给 IM 应用", "请先解除授权")
	j.visit(j.app + "/config/delete")
	j.shows(imName, "请先解除授权")
	j.visit(j.imApp)
	j.click("更多操作：" + imName)
	j.follow("删除 IM 应用")
	j.shows("请先解除授权")
	j.visit(j.app + "/config")
	for path, form := range map[string]string{
		j.app + "/config/delete": "name=" + productName,
		j.imApp + "/delete":      "name=" + imName,
	} {
		if got := j.status(http.MethodPost, path, form); got < 400 || got >= 500 {
			j.t.Errorf("POST %s: %d, want a refusal", path, got)
		}
	}
}

// configure: bundle id and 上传证书, with the wrong password first.
func (j *journey) configure() {
	t := j.t
	t.Helper()
	file := filepath.Join(t.TempDir(), "whale.p12")
	ends := time.Now().AddDate(0, 6, 0)
	if err := os.WriteFile(file, pushCertificate(t, bundleID, "secret", ends), 0o600); err != nil {
		t.Fatal(err)
	}
	j.followIn(".side", "产品管理")
	j.leave(func() { j.clickIn("main", "立即配置：iOS "+strings.TrimPrefix(j.app, "/apps/")) })
	j.look()
	j.shows("基础配置", "推送证书", "还没有证书", "仅限IM推送（免费）")
	j.write("package_name", "not a bundle id")
	j.leave(func() { j.click("保存 Bundle ID") })
	if !j.is(`document.querySelector("[name=package_name][aria-invalid=true]")`) {
		j.t.Errorf("a wrong bundle id was taken: %.800s", j.text())
	}
	j.look()
	j.write("package_name", bundleID)
	j.follow("保存 Bundle ID")

	j.dialog("上传证书")
	j.upload("file", file)
	j.write("password", "wrong")
	j.refuse("上传并检查", "密码打不开这个文件")
	j.upload("file", file)
	j.write("password", "secret")
	j.follow("上传并检查")
	j.shows("生产环境", "开发环境", bundleID, ends.UTC().Format("2006-01"), "更换证书")
	if !j.is(`[...document.querySelectorAll("h3")].some((h) => h.textContent.trim() === "已上传证书")`) {
		j.t.Error("no 已上传证书")
	}
	j.shows("Apple Push Services")
}

// sandbox: the switch, a key, a phone with an account.
func (j *journey) sandbox() {
	j.t.Helper()
	j.visit(j.app + "/sandbox")
	j.shows("开启沙箱")
	j.follow("开启沙箱")
	j.follow("生成沙箱密钥")
	j.write("account", account)
	j.followIn("[aria-labelledby=phones-h]", "添加虚拟手机")
	j.shows(account)
}

// offlineMessage: the captured request, its record, its story, the phone.
func (j *journey) offlineMessage() {
	j.t.Helper()
	records := `[aria-labelledby="records-h"]`
	j.visit(j.plan)
	j.post(captured)
	took := j.until(j.plan, records, account, visible)
	j.t.Logf("the record stands in the plan %d ms after the answer", took.Milliseconds())
	j.look()
	j.shows(imName, "alice")

	j.follow("查看 " + account + " 的消息轨迹")
	// The record may stand in the plan before the vendor has answered.
	j.until(j.path(), "main", "第 1 次", 10*time.Second)
	j.shows("已受理", "已找到设备", "第 1 次", "已接受", "2124668323860844544")
	j.visit(j.app + "/sandbox")
	j.shows("你好，离线消息", "手机已收到")

	// A repeat of the same message is answered the same and pushed once.
	j.post(captured)
	j.counted("已受理", "1")
	j.counted("重复", "1")
}

// testPush: refused with the guide before 开通完整推送, working after.
func (j *journey) testPush() {
	j.t.Helper()
	j.visit(j.app + "/tools?q=" + account)
	j.follow("发送测试")
	j.shows("仅限IM推送（免费）", "先开通完整推送")
	if got := j.status(http.MethodPost, j.app+"/test", "account="+account+"&body=x"); got < 400 || got >= 500 {
		j.t.Errorf("a test push was answered %d before 开通完整推送", got)
	}
	j.follow("开通完整推送")
	for range 2 { // the card on 基础配置, then the page that asks
		j.follow("开通完整推送")
	}
	j.shows("关闭完整推送")
	j.visit(j.app + "/test?account=" + account)
	j.write("account", account)
	j.write("title", "测试")
	j.write("body", "沙箱里的测试推送")
	j.follow("发送测试")
	j.until(j.app+"/sandbox", "#inbox", "沙箱里的测试推送", 10*time.Second)
	j.look()
	j.followIn(".side", "产品管理")
	j.shows("完整推送")
}

// release: a page says what will happen; afterwards the protocol is answered as ever,
// and what comes is counted.
func (j *journey) release() {
	j.t.Helper()
	j.visit("/authorizations?view=im")
	j.follow("解除授权：" + strings.TrimPrefix(j.app, "/apps/"))
	j.shows("已受理的消息会继续推送", "计入“未授权”", "标记为已解除", "服务详情恢复为授权之前的状态")
	j.follow("解除授权")
	j.shows("还没有授权")
	j.post(strings.ReplaceAll(captured, "2124668323860844544", "2124668323860844777"))
	j.counted("未授权", "2")
	j.visit(j.app + "/plans")
	j.shows("即时通信IM消息", "已解除")
	j.visit(j.plan)
	j.shows("已解除", account)
	j.hides("2124668323860844777")
	j.followIn(".side", "产品管理")
	j.hides("仅限IM推送（免费）", "完整推送")

	// What was done stands in the log, and nothing keeps the app from going now.
	j.followIn(".side", "操作日志")
	j.shows("解除")
	j.visit(j.app + "/config/delete")
	j.hides("请先解除授权")
}

// pushCertificate is a .p12 as Keychain Access exports it for both environments.
func pushCertificate(t *testing.T, bundle, password string, ends time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + bundle,
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: bundle}},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file, err := pkcs12.Modern.Encode(key, cert, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
