package handlers

import (
	"hongyan/models"
	"hongyan/web"
)

// What a page route asks of its user, besides the kit's Public and SignedIn. The
// main user has every right.
const (
	mayView      = web.Permission(models.PermView)      // every user, within his products
	mayPush      = web.Permission(models.PermPush)      // 全读写, 运营
	mayConfigure = web.Permission(models.PermConfigure) // 全读写
	mayIM        = web.Permission(models.PermIM)        // the right to IM apps and authorizations
	mayContent   = web.Permission(models.PermContent)   // the right to see what messages say
	mayAudit     = web.Permission(models.PermAudit)     // every user, what concerns him
	mayUsers     = web.Permission(models.PermUsers)     // the main user
	mayMain      = web.Permission(models.PermMain)      // the main user
)

// routes is the site map: what programs call, then every page of the console, area by
// area, each with what it asks of its user. GET shows, POST changes.
func (h *console) routes(s *web.Server) {
	// Programs: IM servers and the app in a phone. Their routes stand in machine.go.
	Machine{Ingest: h.Store, Devices: h.Store, Receipts: h.Store, Channels: h.Channels, PublicURL: h.PublicURL, Log: h.Log, Now: h.Now, Rates: h.Rates, Metrics: h.Metrics}.Mount(s)

	// People.
	g := s.Console()
	h.routesAuth(g)
	h.routesOwn(g)
	h.routesProducts(g)
	h.routesIM(g)
	h.routesConfig(g)
	h.routesAccount(g)
	h.routesPlans(g)
	h.routesTools(g)
	h.routesSandbox(g)
}

// routesAuth: signing in and out, and the first run.
func (h *console) routesAuth(g *web.Group) {
	g.GET("/setup", web.Public, h.setup)
	g.POST("/setup", web.Public, h.setUp)
	g.GET("/login", web.Public, h.login(loginMain))
	g.POST("/login", web.Public, h.signIn(loginMain))
	g.GET("/login/sub", web.Public, h.login(loginSub))
	g.POST("/login/sub", web.Public, h.signIn(loginSub))
	g.POST("/logout", web.Public, h.logout)
}

// routesOwn: the first page, 快速开始 and 个人设置, for everybody.
func (h *console) routesOwn(g *web.Group) {
	g.GET("/", web.SignedIn, h.home)
	g.GET("/start", mayView, h.start)
	g.GET("/me", web.SignedIn, h.me)
	g.POST("/me/password", web.SignedIn, h.changePassword)
	g.POST("/me/sessions/revoke-others", web.SignedIn, h.revokeOtherSessions)
	g.POST("/me/sessions/:session/revoke", web.SignedIn, h.revokeSession)
}

// routesProducts: 产品管理.
func (h *console) routesProducts(g *web.Group) {
	g.GET("/products", mayView, h.products)
	g.GET("/products/new", mayConfigure, h.newProduct)
	g.POST("/products/new", mayConfigure, h.createProduct)
	g.GET("/products/:product/edit", mayConfigure, h.editProduct)
	g.POST("/products/:product/edit", mayConfigure, h.saveProduct)
	g.GET("/products/:product/delete", mayConfigure, h.askDeleteProduct)
	g.POST("/products/:product/delete", mayConfigure, h.deleteProduct)
	g.GET("/products/:product/apps/new", mayConfigure, h.newApp)
	g.POST("/products/:product/apps/new", mayConfigure, h.createApp)
	g.GET("/apps/:app", mayView, h.redirectApp)
}

// routesIM: IM 应用 and 第三方服务授权.
func (h *console) routesIM(g *web.Group) {
	g.GET("/im-apps", mayIM, h.imApps)
	g.GET("/im-apps/new", mayIM, h.newIMApp)
	g.POST("/im-apps/new", mayIM, h.createIMApp)
	g.GET("/im-apps/:im", mayIM, h.imApp)
	g.GET("/im-apps/:im/edit", mayIM, h.editIMApp)
	g.POST("/im-apps/:im/edit", mayIM, h.saveIMApp)
	g.GET("/im-apps/:im/rotate", mayIM, h.askRotate)
	g.POST("/im-apps/:im/rotate", mayIM, h.rotate)
	g.GET("/im-apps/:im/drop", mayIM, h.askDrop)
	g.POST("/im-apps/:im/drop", mayIM, h.drop)
	g.GET("/im-apps/:im/delete", mayIM, h.askDeleteIMApp)
	g.POST("/im-apps/:im/delete", mayIM, h.deleteIMApp)
	g.GET("/im-apps/:im/live", mayIM, h.imArrivals)
	g.GET("/im-apps/:im/live/:arrival", mayIM, h.imArrival)
	g.POST("/im-apps/:im/content", mayIM, h.showContent) // and the right to see content
	g.GET("/im-apps/:im/sample", mayIM, h.newSample)     // and the right to push
	g.POST("/im-apps/:im/sample", mayIM, h.sendIMSample)
	g.GET("/im-apps/:im/sample/result", mayIM, h.sampleResult)
	h.routesCredentials(g, "/im-apps/:im", mayIM, h.imPlace)
	g.GET("/authorizations", mayView, h.authorizations) // without the right it says whom to ask
	g.POST("/authorizations/notice", mayIM, h.seenNotice)
	g.GET("/authorizations/new", mayIM, h.newAuthorization)
	g.POST("/authorizations/new", mayIM, h.authorize)
	g.GET("/authorizations/:authorization/release", mayIM, h.askRelease)
	g.POST("/authorizations/:authorization/release", mayIM, h.release)
}

// routesConfig: 基础配置 and 客户端接入 of one app.
func (h *console) routesConfig(g *web.Group) {
	g.GET("/apps/:app/config", mayView, h.config)
	g.POST("/apps/:app/config/package", mayConfigure, h.savePackage)
	g.POST("/apps/:app/config/delivery", mayConfigure, h.saveDelivery)
	g.GET("/apps/:app/config/bind", mayConfigure, h.askBind)
	g.POST("/apps/:app/config/bind", mayConfigure, h.setBind)
	g.POST("/apps/:app/config/sync", mayConfigure, h.sync)
	g.GET("/apps/:app/config/secret", mayMain, h.askSecret)
	g.POST("/apps/:app/config/secret", mayMain, h.showSecret)
	g.GET("/apps/:app/config/keys/reset", mayConfigure, h.askReset) // the SecretKey: main user only
	g.POST("/apps/:app/config/keys/reset", mayConfigure, h.reset)
	g.GET("/apps/:app/config/full", mayMain, h.askFull)
	g.POST("/apps/:app/config/full", mayMain, h.setFull)
	g.GET("/apps/:app/config/delete", mayConfigure, h.askDeleteApp)
	g.POST("/apps/:app/config/delete", mayConfigure, h.deleteApp)
	h.routesCredentials(g, "/apps/:app", mayConfigure, h.appPlace)
	g.POST("/apps/:app/credentials/:credential/receipts", mayConfigure, h.setReceipts)
	g.GET("/apps/:app/credentials/:credential/waiting", mayView, h.waiting)
	g.GET("/apps/:app/client", mayView, h.client)
}

// routesCredentials: certificates and keys of an app, and vendor settings of an IM app.
func (h *console) routesCredentials(g *web.Group, base string, may web.Permission, of place) {
	g.GET(base+"/credentials/:channel/new", may, h.newCredential(of))
	g.POST(base+"/credentials/:channel/new", may, h.saveCredential(of))
	g.POST(base+"/credentials/test", may, h.testCredentials(of))
	g.POST(base+"/credentials/:credential/test", may, h.testCredential(of))
	g.GET(base+"/credentials/:credential/delete", may, h.askDeleteCredential(of))
	g.POST(base+"/credentials/:credential/delete", may, h.deleteCredential(of))
}

// routesAccount: 子账号, 操作日志, 告警通知, 账号设置.
func (h *console) routesAccount(g *web.Group) {
	g.GET("/users", mayUsers, h.users)
	g.GET("/users/new", mayUsers, h.newUser)
	g.POST("/users/new", mayUsers, h.createUser)
	g.GET("/users/:user/edit", mayUsers, h.editUser)
	g.POST("/users/:user/edit", mayUsers, h.saveUser)
	g.GET("/users/:user/password", mayUsers, h.askPassword)
	g.POST("/users/:user/password", mayUsers, h.resetPassword)
	g.POST("/users/:user/disable", mayUsers, h.setDisabled(true))
	g.POST("/users/:user/enable", mayUsers, h.setDisabled(false))
	g.GET("/users/:user/delete", mayUsers, h.askDeleteUser)
	g.POST("/users/:user/delete", mayUsers, h.deleteUser)
	g.GET("/audit", mayAudit, h.audit)
	h.routesAlerts(g)
	g.GET("/account", mayMain, h.accountSettings)
	g.POST("/account", mayMain, h.saveAccount)
}

// routesAlerts: 告警通知.
func (h *console) routesAlerts(g *web.Group) {
	g.GET("/alerts", mayMain, h.alerts)
	g.GET("/alerts/new", mayMain, h.newAlertHook)
	g.POST("/alerts/new", mayMain, h.createAlertHook)
	g.GET("/alerts/:hook/edit", mayMain, h.editAlertHook)
	g.POST("/alerts/:hook/edit", mayMain, h.saveAlertHook)
	g.POST("/alerts/:hook/test", mayMain, h.testAlertHook)
	g.POST("/alerts/:hook/disable", mayMain, h.setAlertHook(false))
	g.POST("/alerts/:hook/enable", mayMain, h.setAlertHook(true))
	g.GET("/alerts/:hook/delete", mayMain, h.askDeleteAlertHook)
	g.POST("/alerts/:hook/delete", mayMain, h.deleteAlertHook)
}

// routesPlans: 推送计划 with its send records, and 消息轨迹.
func (h *console) routesPlans(g *web.Group) {
	g.GET("/apps/:app/plans", mayView, h.plans)
	g.GET("/apps/:app/plans/new", mayPush, h.newPlan)
	g.POST("/apps/:app/plans/new", mayPush, h.createPlan)
	g.GET("/apps/:app/plans/:plan", mayView, h.showPlan)
	g.GET("/apps/:app/plans/:plan/edit", mayPush, h.editPlan)
	g.POST("/apps/:app/plans/:plan/edit", mayPush, h.savePlan)
	g.GET("/apps/:app/plans/:plan/delete", mayPush, h.askDeletePlan)
	g.POST("/apps/:app/plans/:plan/delete", mayPush, h.deletePlan)
	g.GET("/apps/:app/messages/:message", mayView, h.message)
}

// routesTools: 排查工具 with 发送测试推送 and 删除用户数据, and the search box.
func (h *console) routesTools(g *web.Group) {
	g.GET("/search", mayView, h.search)
	g.GET("/apps/:app/tools", mayView, h.tools)
	g.GET("/apps/:app/tools/delete", mayConfigure, h.askDeleteUserData)
	g.POST("/apps/:app/tools/delete", mayConfigure, h.deleteUserData)
	g.GET("/apps/:app/devices/:device", mayView, h.device)
	g.GET("/apps/:app/test", mayPush, h.newTest)
	g.POST("/apps/:app/test", mayPush, h.sendTest)
}

// routesSandbox: 沙箱收件箱.
func (h *console) routesSandbox(g *web.Group) {
	g.GET("/apps/:app/sandbox", mayView, h.sandbox)
	g.POST("/apps/:app/sandbox/switch", mayConfigure, h.sandboxAct(h.switchSandbox))
	g.POST("/apps/:app/sandbox/key", mayConfigure, h.sandboxAct(h.makeSandboxKey))
	g.POST("/apps/:app/sandbox/phones", mayPush, h.sandboxAct(h.addPhone))
	g.POST("/apps/:app/sandbox/phones/:device/drop", mayPush, h.sandboxAct(h.dropPhone))
	g.POST("/apps/:app/sandbox/sample", mayPush, h.sandboxAct(h.sendSample))
	g.POST("/apps/:app/sandbox/pushes/:push/tap", mayPush, h.sandboxAct(h.ownSimulator(h.tapNotice)))
	g.POST("/apps/:app/sandbox/clear", mayPush, h.sandboxAct(h.ownSimulator(h.clearSandbox)))
	g.POST("/apps/:app/sandbox/settings", mayConfigure, h.sandboxAct(h.ownSimulator(h.saveSimulator)))
}
