package handlers

import (
	"net/http"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
)

// 快速开始 is ticked by facts: each thing done anywhere ticks its step, and the button
// of the first open one leads to the page where it is done.
func TestStart(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		v := s.Login(owner)
		step := func(done int, now string, links ...string) *page {
			t.Helper()
			p := v.Get("/start").Want(http.StatusOK)
			if got := len(p.All("li", "class", "done")); got != done {
				t.Errorf("%d steps are done, want %d:\n%s", got, done, p.Text())
			}
			for _, li := range p.All("li", "aria-current", "step") {
				if title := nodeText(li.FirstChild.NextSibling); !strings.Contains(title, now) {
					t.Errorf("the current step is %q, want %q", title, now)
				}
			}
			for _, l := range links {
				p.Link(l)
			}
			return p
		}
		step(0, "新建产品", "/products/new").Has("0/7", "已完成 0 / 7")
		// An Android app will do; beside it the guide prefers the iOS app.
		p, _ := s.Product(owner, "蓝鲸企业聊", models.PlatformAndroid)
		step(1, "创建 IM 应用", "/im-apps/new").Has("蓝鲸企业聊 · Android，服务接入点 广州")
		app, err := s.Store.AddApp(t.Context(), owner, p.ID, models.PlatformIOS, "")
		if err != nil {
			t.Fatal(err)
		}
		base := appBase(app.ID)
		step(1, "创建 IM 应用", "/im-apps/new").Has("蓝鲸企业聊 · iOS，服务接入点 广州")
		im, _ := s.IMApp(owner, "蓝鲸 IM")
		step(2, "授权给 IM 应用", "/authorizations?view=im", "/im-apps/"+number(im.ID))
		if _, err := s.Store.Authorize(t.Context(), owner, im.ID, p.ID, app.ID); err != nil {
			t.Fatal(err)
		}
		step(3, "打开沙箱", base+"/sandbox").Has("已授权给 蓝鲸 IM", "3/7")

		// Who may not do a step is told whom to ask.
		r := s.Login(s.Sub(owner, "chenmo", models.Rights{Role: models.RoleRead, AllProducts: true}))
		r.Get("/start").Has("需要全读写权限", "需要运营或全读写权限").NoLink("/im-apps/" + number(im.ID))
	})
}

// An Android app goes through the guide in the sandbox, or with a vendor's keys and a
// real phone.
func TestStartAndroid(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base := appBase(app.ID)
		v.Get("/start").Has("1/7", "添加虚拟手机").HasNot("注册一台手机")
		v.Submit(base+"/credentials/vivo/new", channelForm(channelValues(t)[push.Vivo])...).To(base + "/config")
		v.Get("/start").Has("2/7", "已有可用的凭证", "注册一台手机").Link(base + "/client").Link(base + "/config").HasNot("添加虚拟手机")
		im, _ := s.IMApp(owner, "Whale IM")
		v.Get("/start").Has("3/7").Link(imAppBase(im.ID))

		// Keys that the vendor refused are none.
		k, _ := s.channelRow(owner, models.AppOwner(app.ID), push.Vivo, "")
		if _, err := s.Store.CredentialTested(t.Context(), owner, models.AppOwner(app.ID), k.ID, k.Revision, "10000", "refused"); err != nil {
			t.Fatal(err)
		}
		v.Get("/start").Has("2/7", "添加虚拟手机").HasNot("注册一台手机")
	})
}
