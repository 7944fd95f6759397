package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"hongyan/internal/browser"
)

// stay is a sub-account's time at the console, from 子账号登录 to 退出登录: it sees and
// may do what it was given.
func (h *household) stay(who sub) {
	h.t.Helper()
	w := h.guest
	w.fast = who.name != "只读" // who sees every page that says what is missing
	h.signedIn(w, who.name, subPassword)
	h.seesProducts(w, who)
	h.seesIM(w, who)
	if who.sees(productName) {
		h.seesApp(w, who)
		h.seesContent(w, who)
	} else {
		h.shutOut(w)
	}
	w.visit("/start")
	w.visit("/audit")
	w.visit("/me")
	w.shows(who.name, h.id, "权限")
	h.everyLink(w, who)
	h.forge(w, who)
	w.leaveConsole(who.name)
}

// seesProducts: the products of its scope, and in the sidebar what it may open.
func (h *household) seesProducts(w *walker, who sub) {
	h.t.Helper()
	w.visit("/products")
	for _, p := range []string{productName, otherProduct} {
		if who.sees(p) {
			w.shows(p)
		} else {
			w.hides(p)
		}
	}
	side := browser.Eval[string](w.Browser, `document.querySelector(".side").innerText`)
	for word, may := range map[string]bool{
		"产品管理": true, "第三方服务授权": true, "IM 应用": who.im, "操作日志": true, "子账号": false, "账号设置": false,
	} {
		if regexp.MustCompile(`(?m)^\s*`+word+`\s*$`).MatchString(side) != may {
			w.t.Errorf("%s: %s in the sidebar, want %v: %q", who.name, word, may, side)
		}
	}
	if got := w.is(`[...document.querySelectorAll("main a")].some((a) => a.innerText.trim() === "新建产品")`); got != (who.configures() && who.products == nil) {
		w.t.Errorf("%s is offered a new product: %v", who.name, got)
	}
}

// seesIM: the switch with the right, else the seed's hint with its link.
func (h *household) seesIM(w *walker, who sub) {
	h.t.Helper()
	w.followIn(".side", "第三方服务授权")
	if !who.im {
		if w.is(`document.querySelector("main .seg")`) {
			w.t.Errorf("%s sees the switch", who.name)
		}
		w.shows(hint, "切换至主账号登录")
		w.hides("新增授权", imName)
		w.visit("/authorizations?view=im") // the address alone does not open it
		w.shows(hint)
		w.hides("新增授权", imName)
		return
	}
	w.hides(hint)
	w.follow("云IM应用授权")
	w.shows("授权后会发生什么")
	w.follow("知道了")
	w.followIn("main .seg", "TPNS应用授权")
	w.followIn("main .seg", "云IM应用授权")
	if w.is(`document.querySelector("dialog")`) {
		w.t.Errorf("%s: the first visit's dialog came twice", who.name)
	}
	w.shows(imName, productName, "新增授权", "解除授权")
}

// seesApp: records for everybody, pushes for who pushes, forms for who configures.
func (h *household) seesApp(w *walker, who sub) {
	h.t.Helper()
	w.visit(h.app + "/plans")
	w.shows("即时通信IM消息", "详情")
	if who.pushes() {
		plan := "计划 " + who.name
		w.dialog("新建计划")
		w.write("name", plan)
		w.follow("确定")
		w.shows("已新建计划", plan)
	} else {
		w.hides("新建计划", "编辑", "删除")
	}
	w.visit(h.plan)
	w.shows(account, "已发送")

	w.visit(h.app + "/config")
	w.shows("基础配置", bundleID, "已上传证书")
	forms := browser.Eval[int](w.Browser, `document.querySelectorAll("main form").length`)
	if who.configures() {
		w.shows("更换证书", "重置")
	} else if forms > 0 {
		w.t.Errorf("%s finds %d forms on 基础配置", who.name, forms)
	} else {
		w.hides("更换证书", "重置", "删除应用")
		w.shows("需要全读写权限")
	}
	w.shows("仅主账号可以查看", "只有主账号可以开通")

	w.visit(h.app + "/tools?q=" + account)
	w.shows(account, "这台设备")
	if !who.pushes() {
		w.hides("发送测试")
		return
	}
	w.follow("发送测试")
	w.write("title", "测试 "+who.name)
	w.write("body", "来自子账号")
	w.follow("发送测试")
	w.shows("测试推送已受理")
	words := "内容已隐藏"
	if who.content {
		words = "测试 " + who.name
	}
	w.until(h.app+"/sandbox", "#inbox", words, 10*time.Second)
}

// seesContent: what the message says only with the right to it.
func (h *household) seesContent(w *walker, who sub) {
	h.t.Helper()
	w.visit(h.message)
	w.shows("已受理", "已接受", "2124668323860844544")
	pages := []string{h.message, h.plan, h.app + "/sandbox", h.app + "/tools?q=" + account, "/search?q=2124668323860844544"}
	if who.content {
		w.shows(content)
		w.visit(h.app + "/sandbox")
		w.hides("内容已隐藏")
		return
	}
	w.shows("查看消息内容需要单独的权限")
	w.visit(h.app + "/sandbox")
	w.shows("内容已隐藏")
	for _, page := range pages {
		w.open(page)
		if w.is(`document.documentElement.outerHTML.includes(` + quoted(content) + `)`) {
			w.t.Errorf("%s reads the message at %s", who.name, page)
		}
	}
}

// shutOut: for who was given other products this one does not exist.
func (h *household) shutOut(w *walker) {
	h.t.Helper()
	for _, page := range []string{h.app + "/config", h.app + "/plans", h.plan, h.message, h.app + "/tools?q=" + account, h.app + "/sandbox", h.app + "/client"} {
		if got := w.status(http.MethodGet, page, ""); got != http.StatusNotFound {
			w.t.Errorf("%s is answered %d, want 404", page, got)
		}
	}
	for page, form := range map[string]string{h.app + "/config/package": "package_name=com.forged.app", h.app + "/plans/new": "name=forged"} {
		if got := w.status(http.MethodPost, page, form); got != http.StatusNotFound {
			w.t.Errorf("POST %s is answered %d, want 404", page, got)
		}
	}
	w.visit("/search?q=2124668323860844544")
	w.hides(productName, account+" ")
	w.visit(h.other + "/config")
	w.shows(otherProduct)
	if !w.is(`document.querySelector("main form[action$='/config/package']")`) {
		w.t.Error("no form for the package name of the product that was given")
	}
}

// everyLink follows every link there is, from page to page: none leads to a refusal,
// and no page has a form for what this user may not do.
func (h *household) everyLink(w *walker, who sub) {
	h.t.Helper()
	type found struct {
		Pages  int
		Faults []string
		Forms  [][2]string // page, action
	}
	got := browser.Eval[found](w.Browser, `(async () => {
		const todo = [location.pathname], seen = new Set(todo), out = { Pages: 0, Faults: [], Forms: [] };
		while (todo.length) {
			const path = todo.shift();
			const answer = await fetch(path);
			out.Pages++;
			if (!answer.ok) { out.Faults.push(answer.status + " " + path); continue; }
			const at = new URL(answer.url);
			const page = new DOMParser().parseFromString(await answer.text(), "text/html");
			for (const f of page.querySelectorAll("main form[method=post], dialog form[method=post]"))
				out.Forms.push([path, new URL(f.getAttribute("action") || at.href, at).pathname]);
			for (const a of page.querySelectorAll("a[href]")) {
				const to = new URL(a.getAttribute("href"), at);
				const name = to.pathname + [...to.searchParams.keys()];
				if (to.origin !== location.origin || to.pathname.startsWith("/static/") || seen.has(name)) continue;
				seen.add(name);
				todo.push(to.pathname + to.search);
			}
		}
		return out;
	})()`)
	if got.Pages < 10 {
		w.t.Errorf("%s: only %d pages were found", who.name, got.Pages)
	}
	for _, f := range got.Faults {
		w.t.Errorf("%s is led to a refusal: %s", who.name, f)
	}
	for _, f := range got.Forms {
		if right := h.rightFor(f[1]); !h.has(who, right) {
			w.t.Errorf("%s finds a form for %s at %s, which takes the right %q", who.name, f[1], f[0], right)
		}
	}
}

// rightFor is what a form's address asks for, told from the words and not from
// the program's table.
func (h *household) rightFor(action string) string {
	for _, r := range []struct{ right, pattern string }{
		{"", `^/(me/.*|preferences|logout)$`},
		{"main", `^/(users|account)\b|/config/(secret|full)$`},
		{"im", `^/(im-apps|authorizations)\b`},
		{"configure", `^/products\b|/config/|/credentials/|/tools/delete$|/sandbox/(switch|key|settings)$`},
		{"push", `/plans/|/test$|/sandbox/`},
	} {
		if regexp.MustCompile(r.pattern).MatchString(action) {
			return r.right
		}
	}
	return "unknown"
}

func (h *household) has(who sub, right string) bool {
	switch right {
	case "":
		return true
	case "im":
		return who.im
	case "configure":
		return who.configures()
	case "push":
		return who.pushes()
	}
	return false
}

// forge sends from the page's context what the pages do not offer.
func (h *household) forge(w *walker, who sub) {
	h.t.Helper()
	for _, act := range []struct{ path, form, right string }{
		{"/users/new", "name=forged&password=" + subPassword + "&role=full&scope=all", "main"},
		{"/account", "name=forged", "main"},
		{h.app + "/config/secret", "password=" + subPassword, "main"},
		{h.app + "/config/full", "", "main"},
		{"/im-apps/new", "name=forged&bridge=wukongim", "im"},
		{h.imApp + "/rotate", "", "im"},
		{"/authorizations/1/release", "", "im"},
		{"/products/new", "name=forged&category=1&region=ap-guangzhou&platforms=ios", "configure"},
		{h.app + "/config/package", "package_name=com.forged.app", "configure"},
		{h.app + "/config/keys/reset?key=access", "", "configure"},
		{h.app + "/config/delete", "name=" + productName, "configure"},
		{h.app + "/tools/delete?account=" + account, "account=" + account, "configure"},
		{h.app + "/sandbox/switch", "on=", "configure"},
		{h.app + "/plans/new", "name=forged", "push"},
		{h.plan + "/delete", "", "push"},
		{h.app + "/test", "account=" + account + "&body=forged", "push"},
		{h.app + "/sandbox/phones", "account=forged", "push"},
		{h.app + "/sandbox/clear", "", "push"},
	} {
		if h.has(who, act.right) {
			continue
		}
		if got := w.status(http.MethodPost, act.path, act.form); got != http.StatusForbidden {
			w.t.Errorf("%s: a forged POST %s is answered %d, want 403", who.name, act.path, got)
		}
	}
}

// nothingForged: afterwards the main user finds everything as it was.
func (h *household) nothingForged() {
	h.t.Helper()
	for page, words := range map[string]string{
		"/users": "管理", "/products": bundleID, "/im-apps": imName, h.app + "/plans": "计划 运营", h.app + "/config": "关闭完整推送", h.plan: account, h.app + "/sandbox": account,
	} {
		h.visit(page)
		h.shows(words)
		h.hides("forged")
	}
}

// contentAudited: who read the message stands in the log, and nobody else does.
func (h *household) contentAudited() {
	h.t.Helper()
	h.fast = false
	h.visit("/audit?kind=message")
	h.fast = true
	read := browser.Eval[string](h.Browser, `[...document.querySelectorAll("main tbody tr")].filter((r) => r.innerText.includes("查看内容")).map((r) => r.innerText.replace(/\s+/g, " ")).join("\n")`)
	for _, who := range crew() {
		if logged := strings.Contains(read, " "+who.name+" "); logged != (who.content && who.sees(productName)) {
			h.t.Errorf("%s stands among those who saw content: %v; the log says:\n%s", who.name, logged, read)
		}
	}
	if !strings.Contains(read, mainName) {
		h.t.Errorf("the main user is not among those who saw content:\n%s", read)
	}
}
