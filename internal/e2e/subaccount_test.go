package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hongyan/internal/browser"
)

// Besides the estate of the first journey.
const (
	otherProduct = "白鲸客服"
	subPassword  = "another long password"
	content      = "你好，离线消息"
	hint         = "当前登录的是子账号，且未被主账号授权。请联系主账号授权，或切换至主账号登录。"
)

// sub is a sub-account and what it may do.
type sub struct {
	name, role  string
	products    []string // nil for all
	im, content bool
}

func (s sub) sees(product string) bool {
	return s.products == nil || slices.Contains(s.products, product)
}
func (s sub) pushes() bool     { return s.role != "read" }
func (s sub) configures() bool { return s.role == "full" }

// crew has each role over all and over chosen products, with and without each of the
// rights that are granted apart.
func crew() []sub {
	return []sub{
		{name: "只读", role: "read"},
		{name: "单品只读", role: "read", products: []string{productName}, im: true, content: true},
		{name: "单品运营", role: "ops", products: []string{productName}},
		{name: "运营", role: "ops", im: true, content: true},
		{name: "别处管理", role: "full", products: []string{otherProduct}},
		{name: "管理", role: "full", content: true},
	}
}

// household is the main user at one browser and sub-accounts at another.
type household struct {
	*journey

	guest   *walker
	id      string // of the main account
	other   string // path of the app of the other product
	message string // path of the offline message
}

// The main user makes sub-accounts; each signs in through 子账号登录 and sees and may
// do what it was given, and not more. Then sessions, passwords, and the end of an
// account.
func TestSubAccountJourney(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts the program and two browsers")
	}
	s := newConsole(t, "sqlite")
	h := &household{journey: &journey{walker: newWalker(t, s, "zh")}, guest: newWalker(t, s, "zh")}
	// The pages are the same as in other journeys; who sees what of them is not.
	h.views, h.guest.views = h.views[:1], h.guest.views[:1]
	start := time.Now()
	note := func(part string) { t.Logf("%6.1f s: %s", time.Since(start).Seconds(), part) }
	h.furnish(s)
	note("the estate")
	h.invite()
	note("sub-accounts made")
	for _, who := range crew() {
		h.stay(who)
		note(who.name)
	}
	h.nothingForged()
	h.contentAudited()
	note("audit")
	h.sessions()
	note("sessions")
	h.passwords()
	note("passwords")
	h.farewell()
	note("disabled, changed, deleted")
	t.Logf("%d pages", h.seen+h.guest.seen)
}

// furnish makes what there is to see: the first journey's estate, whose pages are not
// looked at again, with content that is kept, full push, and another product.
func (h *household) furnish(s *server) {
	h.t.Helper()
	h.fast = true
	h.setUp(s, mainName, mainPassword)
	h.makeProduct()
	h.makeIMApp()
	h.authorize()
	h.effects()
	h.configure()
	h.sandbox()
	h.visit("/account")
	h.write("content_days", "7")
	h.follow("保存")
	h.offlineMessage()
	h.visit(h.plan)
	h.follow("查看 " + account + " 的消息轨迹")
	h.message = h.path()
	h.shows(content)
	h.visit(h.app + "/config/full")
	h.follow("开通完整推送")
	h.shows("关闭完整推送")

	h.visit("/products")
	h.dialog("新建产品")
	h.write("name", otherProduct)
	h.choosesFirst("category")
	h.choose("region", "ap-guangzhou")
	h.follow("确定")
	h.other = browser.Eval[string](h.Browser, `[...document.querySelectorAll("section.card")].find((s) => s.innerText.includes(`+quoted(otherProduct)+`)).querySelector("a[href$='/config']").getAttribute("href").replace("/config", "")`)
}

// invite makes the sub-accounts.
func (h *household) invite() {
	h.t.Helper()
	h.fast = false
	h.followIn(".side", "子账号")
	h.shows("还没有子账号", "子账号怎样登录")
	h.id = browser.Eval[string](h.Browser, `document.querySelector("[aria-labelledby=how-h] [data-copy]").dataset.copy`)

	h.dialog("新建子账号")
	h.write("name", "x")
	h.choose("scope", "some")
	h.refuse("新建", "请至少选择一个产品")
	h.click("取消")
	h.Wait(`!document.querySelector("dialog")`)
	for i, who := range crew() {
		h.fast = i > 0
		h.dialog("新建子账号")
		h.write("name", who.name)
		h.write("password", subPassword)
		h.choose("role", who.role)
		if who.products != nil {
			h.choose("scope", "some")
			for _, p := range who.products {
				h.choose("products", h.productID(p))
			}
		}
		if who.im {
			h.choose("im", "1")
		}
		if who.content {
			h.choose("content", "1")
		}
		h.follow("新建")
		h.shows("已新建子账号 "+who.name, h.id)
	}
	h.fast = false
	h.look()
	h.fast = true
	for _, who := range crew() {
		row := browser.Eval[string](h.Browser, `[...document.querySelectorAll("main tr")].find((r) => r.querySelector(".t-strong")?.innerText === `+quoted(who.name)+`).innerText`)
		want := []string{map[string]string{"full": "全读写", "ops": "运营", "read": "只读"}[who.role], "从未登录"}
		if who.products == nil {
			want = append(want, "全部产品")
		}
		want = append(want, who.products...)
		if who.content {
			want = append(want, "查看消息内容")
		}
		for _, word := range want {
			if !strings.Contains(row, word) {
				h.t.Errorf("the row of %s does not say %q: %s", who.name, word, row)
			}
		}
		if strings.Contains(row, "第三方服务授权") != who.im {
			h.t.Errorf("the row of %s, whose right to IM is %v: %s", who.name, who.im, row)
		}
	}
}

// productID reads a product's number from the choices of the open dialog.
func (h *household) productID(name string) string {
	h.t.Helper()
	return browser.Eval[string](h.Browser, `[...document.querySelectorAll("dialog:modal label.check")].find((l) => l.innerText.trim() === `+quoted(name)+`).querySelector("[name=products]").value`)
}

// signIn goes through 子账号登录.
func (h *household) signIn(w *walker, name, password string) {
	w.t.Helper()
	w.open("/login")
	w.follow("子账号登录")
	w.write("account", h.id)
	w.write("name", name)
	w.write("password", password)
	w.follow("登录")
}

// signedIn is signIn that must succeed.
func (h *household) signedIn(w *walker, name, password string) {
	w.t.Helper()
	h.signIn(w, name, password)
	if !w.is(`document.querySelector(".side")`) {
		w.t.Fatalf("%s cannot sign in: %s", name, w.text())
	}
}

// leaveConsole signs out by the menu at the top.
func (w *walker) leaveConsole(name string) {
	w.t.Helper()
	w.open("/me")
	w.Do(chromedp.Click(chromedp.CSS("header details.menu summary")))
	w.shows(name)
	w.leave(func() { w.clickIn("header", "退出登录") })
	w.look()
}

// gone checks that a browser's next page is the sign-in.
func (h *household) gone(w *walker, why string) {
	w.t.Helper()
	w.open("/products")
	if !strings.HasPrefix(w.path(), "/login") {
		w.t.Errorf("still signed in after %s: %s", why, w.path())
	}
}

// sessions: one user at two browsers sees both, and ends the other.
func (h *household) sessions() {
	h.t.Helper()
	one, two := h.guest, h.walker
	two.leaveConsole(mainName) // the main user makes room
	h.signedIn(one, "只读", subPassword)
	h.signedIn(two, "只读", subPassword)
	one.fast = false
	one.visit("/me")
	one.fast = true
	one.shows("登录记录", "当前", "撤销其他登录", "Chrome")
	if n := one.sessionRows(); n != 2 {
		one.t.Errorf("%d sessions are listed, want 2", n)
	}
	revoke := browser.Eval[string](one.Browser, `document.querySelector("main form[action$='/revoke'] button").getAttribute("aria-label")`)
	one.follow(revoke)
	one.shows("已撤销登录")
	if n := one.sessionRows(); n != 1 {
		one.t.Errorf("%d sessions are listed after one was revoked, want 1", n)
	}
	h.gone(two, "its session was revoked")
	one.visit("/products")
	one.shows(productName)

	// All others at once; what they send afterwards is refused too.
	h.signedIn(two, "只读", subPassword)
	two.visit("/me")
	one.visit("/me")
	one.follow("撤销其他登录")
	one.shows("已撤销 1 个登录")
	if got := two.status("POST", "/me/sessions/revoke-others", ""); got != 401 {
		two.t.Errorf("a revoked session's form is answered %d, want 401", got)
	}
	h.gone(two, "the others were revoked")
}

func (w *walker) sessionRows() int {
	w.t.Helper()
	return browser.Eval[int](w.Browser, `document.querySelectorAll("[aria-labelledby=sessions-h] tbody tr").length`)
}

// passwords: one's own, after the old one; the other browser is signed out.
func (h *household) passwords() {
	h.t.Helper()
	one, two := h.guest, h.walker
	h.signedIn(two, "只读", subPassword)
	change := func(current, fresh, again string) {
		one.visit("/me")
		one.write("current", current)
		one.write("password", fresh)
		one.write("again", again)
		one.follow("修改密码")
	}
	change("not the password", "a third long password", "a third long password")
	one.shows("密码不正确")
	change(subPassword, "a third long password", "a third long passwort")
	one.shows("两次输入的密码不一致")
	change(subPassword, "short", "short")
	one.shows("密码至少 10 个字符")
	change(subPassword, "a third long password", "a third long password")
	one.shows("密码已修改")
	h.gone(two, "the password was changed elsewhere")
	h.signIn(two, "只读", subPassword)
	two.shows("名称或密码不正确")
	h.signedIn(two, "只读", "a third long password")
	one.visit("/me")
	one.shows("登录记录") // where it was changed nobody has to sign in again
}

// farewell: what the main user changes holds at the sub-account's next click.
func (h *household) farewell() {
	h.t.Helper()
	one, boss := h.guest, h.walker
	boss.leaveConsole("只读")
	boss.write("name", mainName)
	boss.write("password", mainPassword)
	boss.follow("登录")
	row := func(act string) {
		boss.visit("/users")
		boss.click("更多操作：只读")
		boss.follow(act)
	}

	one.visit(h.app + "/plans")
	one.hides("新建计划")
	boss.visit("/users")
	boss.dialog("编辑：只读")
	boss.choose("role", "ops")
	boss.follow("保存")
	boss.shows("已保存子账号 只读")
	one.visit(h.app + "/plans")
	one.shows("新建计划")

	row("停用")
	boss.shows("已停用 只读", "登录已全部失效")
	h.gone(one, "the account was disabled")
	h.signIn(one, "只读", "a third long password")
	one.shows("这个子账号已停用")
	row("启用")
	h.signedIn(one, "只读", "a third long password")

	boss.visit("/users")
	boss.click("更多操作：只读")
	boss.dialog("重置密码")
	boss.write("password", "a fourth long password")
	boss.follow("重置密码")
	h.gone(one, "the password was reset")
	h.signedIn(one, "只读", "a fourth long password")

	row("删除子账号")
	boss.fast = false
	boss.look()
	boss.fast = true
	boss.write("name", "只写")
	boss.follow("删除子账号")
	boss.shows("名称不一致")
	boss.write("name", "只读")
	boss.follow("删除子账号")
	boss.shows("已删除子账号 只读")
	h.gone(one, "the account was deleted")
	h.signIn(one, "只读", "a fourth long password")
	one.shows("名称或密码不正确")
}
