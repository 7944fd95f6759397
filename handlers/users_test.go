package handlers

import (
	"html"
	"net/http"
	"regexp"
	"testing"

	"hongyan/models"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, _ := s.Product(owner, "蓝鲸企业聊")
		s.Product(owner, "小满家校通")
		v := s.Login(owner)
		v.Get("/users").Has("还没有子账号", number(owner.AccountID), "http://console.example/login/sub")

		form := v.Submit("/users/new", "name", "chenmo", "password", "short", "role", "read").Want(http.StatusUnprocessableEntity)
		if form.FieldError("password") == "" {
			t.Error("no message under the password")
		}
		form = v.Submit("/users/new", "name", "chenmo", "password", testPassword, "scope", "some").Want(http.StatusUnprocessableEntity)
		if form.FieldError("scope") == "" {
			t.Error("no message for chosen products without a choice")
		}
		v.Submit("/users/new", "name", "chenmo", "password", testPassword, "role", "read", "scope", "some", "products", number(p.ID), "content", "1").
			To("/users").Has("已新建子账号 chenmo", "主账号 ID 是 "+number(owner.AccountID), "只读", "蓝鲸企业聊", "查看消息内容", "从未登录", "可登录")
		v.Submit("/users/new", "name", "chenmo", "password", testPassword).Want(http.StatusUnprocessableEntity)

		users, err := s.Store.Users(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		base := "/users/" + number(users[0].ID)
		sub := users[0].Actor("")
		w := s.Login(sub)
		w.Get("/products").Has("蓝鲸企业聊").HasNot("小满家校通")

		// Rights change at once, for the session that is there.
		edit := v.Get(base + "/edit")
		if len(edit.All("input", "name", "role", "value", "read", "checked", "")) != 1 || len(edit.All("input", "name", "content", "checked", "")) != 1 {
			t.Error("the form does not show the rights as they are")
		}
		v.Submit(base+"/edit", "name", "chenmo", "role", "full", "scope", "all", "content", "", "im", "1").To("/users").Has("已保存子账号 chenmo", "全读写", "全部产品").HasNot("指定产品 查看")
		w.Get("/products").Has("小满家校通").Link("/products/new").Link("/im-apps")

		// A new password and 停用 end the sessions.
		v.Submit(base+"/password", "password", "another long password").To("/users").Has("已重置 chenmo 的密码")
		w.Get("/products").Want(http.StatusSeeOther)
		w.Submit("/login/sub", "account", number(owner.AccountID), "name", "chenmo", "password", testPassword).Want(http.StatusUnprocessableEntity)
		w.Submit("/login/sub", "account", number(owner.AccountID), "name", "chenmo", "password", "another long password").To("/")
		v.Get("/users").Submit(base+"/disable").To("/users").Has("已停用 chenmo", "已停用")
		w.Get("/products").Want(http.StatusSeeOther)
		w.Submit("/login/sub", "account", number(owner.AccountID), "name", "chenmo", "password", "another long password").Want(http.StatusUnprocessableEntity).Has("停用")
		v.Get("/users").Submit(base + "/enable").To("/users").Has("已启用 chenmo")

		v.Get(base+"/delete").Has("立刻退出所有登录", "操作日志")
		v.Submit(base+"/delete", "name", "chen").Want(http.StatusUnprocessableEntity)
		v.Submit(base+"/delete", "name", "chenmo").To("/users").Has("已删除子账号 chenmo", "还没有子账号")
		v.Get(base + "/edit").Want(http.StatusNotFound)

		// The main user is nobody's sub-account.
		v.Get("/users/" + number(owner.UserID) + "/edit").Want(http.StatusNotFound)
		v.Post("/users/" + number(owner.UserID) + "/disable").Want(http.StatusNotFound)
	})
}

func TestMe(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, _ := s.Product(owner, "蓝鲸企业聊")
		sub := s.Sub(owner, "chenmo", models.Rights{Role: models.RoleOps, Products: []int64{p.ID}, CanIM: true})
		v, w := s.Login(sub), s.Login(sub)
		v.Get("/me").Has("运营", "蓝鲸企业聊", "IM 应用", number(owner.AccountID), "当前")

		for field, form := range map[string][]string{
			"current":  {"current", "wrong password", "password", "another long password", "again", "another long password"},
			"again":    {"current", testPassword, "password", "another long password", "again", "yet another password"},
			"password": {"current", testPassword, "password", "short", "again", "short"},
		} {
			page := v.Get("/me").Submit("/me/password", form...).Want(http.StatusUnprocessableEntity)
			if page.FieldError(field) == "" {
				t.Errorf("no message under %s:\n%s", field, page.Text())
			}
		}
		v.Get("/me").Submit("/me/password", "current", testPassword, "password", "another long password", "again", "another long password").
			To("/me").Has("密码已修改")
		w.Get("/me").Want(http.StatusSeeOther) // the other browser is out

		// Sessions are listed and revoked one by one and together.
		again := func() *visitor {
			b := s.Visitor()
			b.Submit("/login/sub", "account", number(owner.AccountID), "name", "chenmo", "password", "another long password").Want(http.StatusSeeOther)
			return b
		}
		b := again()
		list := v.Get("/me")
		revoke := list.All("button", "aria-label", "撤销：未知浏览器，192.0.2.1")
		if len(revoke) != 1 {
			t.Fatalf("%d sessions can be revoked, want 1:\n%s", len(revoke), list.Text())
		}
		list.Submit(attribute(revoke[0].Parent, "action")).To("/me").Has("已撤销登录")
		b.Get("/me").Want(http.StatusSeeOther)
		b, c := again(), again()
		v.Get("/me").Submit("/me/sessions/revoke-others").To("/me").Has("已撤销 2 个登录")
		b.Get("/me").Want(http.StatusSeeOther)
		c.Get("/me").Want(http.StatusSeeOther)
		v.Get("/me").Want(http.StatusOK)
		// Another user's session is not there to revoke.
		s.Login(owner)
		theirs, err := s.Store.Sessions(t.Context(), owner)
		if err != nil || len(theirs) != 1 {
			t.Fatal(theirs, err)
		}
		v.Post("/me/sessions/" + number(theirs[0].ID) + "/revoke").Want(http.StatusNotFound)
	})
}

func TestAccount(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		v := s.Login(owner)
		for field, form := range map[string][]string{
			"name":         {"name", ""},
			"content_days": {"content_days", "many"},
			"time_zone":    {"time_zone", "Moon/Sea"},
		} {
			if page := v.Submit("/account", form...).Want(http.StatusUnprocessableEntity); page.FieldError(field) == "" {
				t.Errorf("no message under %s:\n%s", field, page.Text())
			}
		}
		v.Submit("/account", "content_days", "91").Want(http.StatusUnprocessableEntity).Has("90")
		v.Submit("/account", "name", "蓝讯", "time_zone", "Europe/Berlin", "content_days", "7", "language", "en").
			To("/account").Has("账号设置已保存")
		a, err := s.Store.Account(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		if a.Name != "蓝讯" || a.TimeZone != "Europe/Berlin" || a.ContentDays != 7 || a.Language != "en" {
			t.Errorf("saved %+v", a)
		}
		v.Get("/audit").Has("Europe/Berlin", "内容保留 原来： 0", "7")
	})
}

// A form says everything that is wrong with it at once, one message per field.
func TestFormsNameEveryFault(t *testing.T) {
	s := newSite(t, models.SQLite)
	v := s.Login(s.Account("owner"))
	for _, c := range []struct {
		path   string
		form   []string
		fields []string
	}{
		{"/users/new", []string{"name", "", "password", "short", "role", "boss", "scope", "some"}, []string{"name", "password", "role", "scope"}},
		{"/users/new", []string{"name", "", "password", "short", "role", "read", "scope", "all"}, []string{"name", "password"}},
		{"/im-apps/new", []string{"name", "", "bridge", "generic", "sdk_app_id", "0", "allow_ips", "nowhere"}, []string{"name", "allow_ips"}},
	} {
		p := v.Post(c.path, c.form...).Want(http.StatusUnprocessableEntity)
		for _, field := range c.fields {
			if p.FieldError(field) == "" {
				t.Errorf("%s: nothing is said about %s", c.path, field)
			}
		}
	}
}

// After a refused form a change of the language leads back to a page that exists.
func TestLanguageAfterRefusedForm(t *testing.T) {
	s := newSite(t, models.SQLite)
	token, _, err := s.Store.NewSetupToken(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	back := func(p *page) string {
		t.Helper()
		m := regexp.MustCompile(`name="back" value="([^"]*)"`).FindSubmatch(p.Want(http.StatusUnprocessableEntity).Body)
		if m == nil {
			t.Fatal("no way back")
		}
		return html.UnescapeString(string(m[1]))
	}
	fresh := s.Visitor()
	path := back(fresh.Post("/setup", "token", token, "account", "", "name", "", "password", "x", "password2", "y"))
	fresh.Get(path).Want(http.StatusOK).Has("再输入一次密码")

	owner := s.Account("owner")
	_, apps := s.Product(owner, "Whale", models.PlatformIOS)
	v := s.Login(owner)
	for post, want := range map[string]string{
		"/me/password":                            "/me",
		appBase(apps[0].ID) + "/config/package":   appBase(apps[0].ID) + "/config",
		appBase(apps[0].ID) + "/sandbox/settings": appBase(apps[0].ID) + "/sandbox",
		"/users/new":                              "/users/new",
	} {
		path := back(v.Post(post, "package_name", "no good", "latency_ms", "x"))
		if path != want {
			t.Errorf("%s leads back to %s, want %s", post, path, want)
		}
		v.Get(path).Want(http.StatusOK)
	}
}
