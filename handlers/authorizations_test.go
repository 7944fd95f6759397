package handlers

import (
	"net/http"
	"testing"

	"hongyan/models"
)

// The seed's flow: the switch, the dialog of the first visit, 新增授权, the effects,
// 解除授权.
func TestAuthorizationPages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		v := s.Login(owner)

		// No IM app: no switch, and a hint with a link.
		v.Get("/authorizations?view=im").Want(http.StatusOK).Has("还没有 IM 应用").HasNot("新增授权").
			Link("/im-apps/new").NoLink("/authorizations?view=im")
		v.Get("/authorizations/new").To("/authorizations")

		im, _ := s.IMApp(owner, "Chat")
		v.Get("/authorizations").Want(http.StatusOK).Has("TPNS应用授权", "云IM应用授权", "这里还没有可授权的服务").Link("/authorizations?view=im")

		// The first visit, once.
		first := v.Get("/authorizations?view=im").Has("授权后会发生什么", "仅限IM推送（免费）", "即时通信IM消息", "知道了")
		first.Submit("/authorizations/notice").To("/authorizations?view=im").HasNot("授权后会发生什么").Has("还没有授权")
		s.Login(owner).Get("/authorizations?view=im").HasNot("授权后会发生什么")

		v.Get("/authorizations/new").Has("还没有推送产品").Link("/products/new")
		whale, apps := s.Product(owner, "Whale")
		s.Product(owner, "Seal", models.PlatformIOS)
		ios := apps[1]

		// Another product is another list of apps, without an error.
		p := v.Get("/authorizations/new?app="+ios.AccessID()).Has("新增授权", "提交", "Whale · iOS", "厂商信息会同步")
		p.Submit("/authorizations/new", "product_id", number(whale.ID+1)).Want(http.StatusOK).Has("Seal · iOS").HasNot("Whale · iOS")

		list := p.Submit("/authorizations/new", "app_id", ios.AccessID()).To("/authorizations?view=im").
			Has("服务详情变为仅限IM推送（免费）", "即时通信IM消息", "Chat", number(im.SDKAppID), "Whale · iOS", ios.AccessID(), "main", "解除授权", "未配置凭证")
		_, app, err := s.Store.ScopeForApp(t.Context(), owner, ios.ID)
		if err != nil {
			t.Fatal(err)
		}
		release := "/authorizations/" + number(app.AuthorizationID) + "/release"
		list.Link(release).Link(appBase(ios.ID) + "/plans/" + number(app.IMPlanID))
		v.Get("/products").Has("仅限IM推送（免费）")

		// The app is listed, cannot be chosen, and says why and what to do.
		again := v.Get("/authorizations/new?app="+ios.AccessID()).Has("不可选择：已授权给「Chat」", "或创建新应用").Link(release)
		for _, n := range again.All("input", "value", ios.AccessID()) {
			if !hasAttribute(n, "disabled") {
				t.Error("an authorized app can be chosen")
			}
		}
		refused := v.Post("/authorizations/new", "im_app_id", number(im.ID), "product_id", number(whale.ID), "shown", number(whale.ID), "app_id", ios.AccessID()).
			Want(http.StatusUnprocessableEntity)
		if refused.FieldError("app_id") == "" {
			t.Error("an app was authorized twice")
		}
		v.Get(imAppBase(im.ID)).Has("Whale · iOS").HasNot("还没有授权。")
		v.Get(imAppBase(im.ID) + "/delete").Has("请先解除授权").NoLink(imAppBase(im.ID) + "/delete")
		v.Get(appBase(ios.ID) + "/config/delete").Has("请先解除授权").Link(release)

		// Open full push, so that its end with the authorization is announced.
		if _, err := s.Store.SetFullPush(t.Context(), owner, ios.ID, true); err != nil {
			t.Fatal(err)
		}
		v.Get(release).Has("已受理的消息会继续推送", "计入“未授权”", "标记为已解除", "服务详情恢复", "完整推送会一并关闭").
			Submit(release).To("/authorizations?view=im").Has("已解除 Whale · iOS 的授权", "服务详情恢复为“待配置”")
		// A page that was open meanwhile is told what happened.
		v.Get(release).Want(http.StatusConflict).Has("这个授权已经解除")
		v.Post(release).Want(http.StatusConflict).Has("这个授权已经解除")
		v.Get("/authorizations/new?app=" + ios.AccessID()).HasNot("不可选择").
			Submit("/authorizations/new").To("/authorizations?view=im").HasNot("已创建")
	})
}

// Vendor settings of the IM side are carried over by an authorization, and later
// changes are offered.
func TestAuthorizationSync(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		v := s.Login(owner)
		im, _ := s.IMApp(owner, "Chat")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		imNew, config := imAppBase(im.ID)+"/credentials/apns/new", appBase(apps[0].ID)+"/config"
		v.Upload(imNew, "AuthKey.p8", testP8(t), "key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E").To(imAppBase(im.ID)).Has("8Q4ZT2XKJ7", "生产环境", "开发环境")
		v.Get("/authorizations/new").Submit("/authorizations/new").To("/authorizations?view=im").Has("数据已自动同步")
		v.Get(config).Has("8Q4ZT2XKJ7", "从 IM 侧同步").HasNot("有更新的厂商信息")

		v.Upload(imNew, "AuthKey.p8", testP8(t), "key_id", "NEWKEY1234", "team_id", "L9WM3C5R2E").To(imAppBase(im.ID))
		offered := v.Get(config).Has("有更新的厂商信息", "Key ID NEWKEY1234", "8Q4ZT2XKJ7")
		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true}))
		read.Get(config).Has("有更新的厂商信息").NoLink(config + "/sync")
		offered.Submit(config+"/sync").To(config).Has("NEWKEY1234", "数据已同步：2 个凭证").HasNot("有更新的厂商信息", "8Q4ZT2XKJ7")
		v.Post(config + "/sync").Want(http.StatusConflict)
	})
}

// A sub-account without the IM right sees no switch and is told whom to ask; with it,
// only what concerns its products.
func TestAuthorizationRights(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, stranger := s.Account("main"), s.Account("other")
		im, _ := s.IMApp(owner, "Nightingale")
		whale, apps := s.Product(owner, "Whale")
		seal, _ := s.Product(owner, "Seal")
		z, err := s.Store.Authorize(t.Context(), owner, im.ID, whale.ID, apps[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		release := "/authorizations/" + number(z.ID) + "/release"

		full := s.Login(s.Sub(owner, "full", models.Rights{Role: models.RoleFull, AllProducts: true}))
		full.Get("/authorizations?view=im").Want(http.StatusOK).Has("没有“云IM应用授权”的权限", "联系主账号", "切换至主账号登录").
			HasNot("Nightingale", "新增授权").NoLink("/authorizations?view=im").NoLink("/im-apps/new")
		for _, path := range []string{"/authorizations/new", release} {
			full.Get(path).Want(http.StatusForbidden).Has("主账号")
		}
		full.Post(release).Want(http.StatusForbidden)
		full.Post("/authorizations/new", "im_app_id", number(im.ID), "product_id", number(whale.ID), "app_id", apps[1].AccessID()).Want(http.StatusForbidden)

		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, Products: []int64{seal.ID}, CanIM: true}))
		read.Get("/authorizations?view=im").Want(http.StatusOK).HasNot("Whale")
		read.Get("/authorizations/new").Has("Seal").HasNot("Whale")
		read.Get(release).Want(http.StatusNotFound)

		w := s.Login(stranger)
		w.Get(release).Want(http.StatusNotFound)
		w.Post(release).Want(http.StatusNotFound)
		s.IMApp(stranger, "Theirs")
		p := w.Post("/authorizations/new", "im_app_id", number(im.ID), "product_id", number(whale.ID), "shown", number(whale.ID), "app_id", apps[1].AccessID())
		p.Want(http.StatusUnprocessableEntity).HasNot("Whale", "Nightingale")
	})
}
