package handlers

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"hongyan/models"
)

func TestProducts(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		v := s.Login(s.Account("linruoxi"))
		v.Get("/products").Want(http.StatusOK).Has("还没有产品", "新建产品").Link("/products/new").Link("/start")

		// Every missing choice has its message, and what was typed stays.
		p := v.Submit("/products/new", "name", "小满家校通").Want(http.StatusUnprocessableEntity)
		for _, field := range []string{"category", "region"} {
			if p.FieldError(field) == "" {
				t.Errorf("no message under %s", field)
			}
		}
		if len(p.All("input", "name", "name", "value", "小满家校通")) != 1 {
			t.Error("the form forgot the name")
		}
		if len(p.All("input", "type", "radio", "name", "region")) != 4 {
			t.Error("the regions are not four choices")
		}
		p.Has("中国大陆可选广州、上海", "创建后不可更改", "确定", "取消")
		list := v.Submit("/products/new", "name", "小满家校通", "category", "education", "region", "ap-singapore", "description", "家长端").
			To("/products").Has("已新建产品 小满家校通", "教育学习", "服务接入点 新加坡", "家长端", "Android", "iOS", "待配置", "未配置凭证", "立即配置")
		if strings.Count(list.Text(), "复制 1") != 2 {
			t.Errorf("the AccessIDs of both apps cannot be copied:\n%s", list.Text())
		}
		v.Get("/products").HasNot("已新建产品") // shown once

		v.Submit("/products/new", "name", "小满家校通", "category", "education", "region", "ap-guangzhou").
			Want(http.StatusUnprocessableEntity).Has("小满家校通")

		// Search by name and AccessID, and the way back from nothing found.
		v.Get("/products?q=小满").Has("小满家校通")
		v.Get("/products?q=none").Has("没有匹配的产品", "none").Link("/products").HasNot("还没有产品")
	})
}

func TestProductEdit(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, _ := s.Product(owner, "蓝鲸企业聊", models.PlatformIOS)
		base := "/products/" + number(p.ID)
		v := s.Login(owner)

		v.Get(base + "/edit").Has("服务接入点是广州，创建后不可更改").HasNot("同时创建应用")
		v.Submit(base+"/edit", "name", "", "category", "office").Want(http.StatusUnprocessableEntity)
		v.Submit(base+"/edit", "name", "蓝鲸", "category", "social").To("/products").Has("已保存产品 蓝鲸", "社交通信")

		// 新增应用 offers what is missing; a platform that exists is named, not offered.
		form := v.Get(base + "/apps/new").Has("已有应用")
		if len(form.All("input", "name", "platform", "value", "ios", "disabled", "")) != 1 {
			t.Error("the platform that exists can be chosen")
		}
		v.Submit(base+"/apps/new", "platform", "android").To("/products").Has("已新增应用 蓝鲸 · Android")
		v.Post(base+"/apps/new", "platform", "android").Want(http.StatusUnprocessableEntity)
		v.Submit(base+"/apps/new", "platform", "macos").To("/products").NoLink(base + "/apps/new")
	})
}

func TestProductDelete(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, apps := s.Product(owner, "蓝鲸企业聊")
		im, _ := s.IMApp(owner, "蓝鲸 IM")
		a, err := s.Store.Authorize(t.Context(), owner, im.ID, p.ID, apps[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		path := "/products/" + number(p.ID) + "/delete"
		v := s.Login(owner)
		v.Get("/products").Has("仅限IM推送（免费）")
		v.Get(path).Has("已授权给 IM 应用", "请先解除授权").Link("/authorizations?view=im").NoLink(path)
		v.Post(path, "name", "蓝鲸企业聊").Want(http.StatusUnprocessableEntity).Has("解除授权")

		if err := s.Store.Release(t.Context(), owner, a.ID); err != nil {
			t.Fatal(err)
		}
		if got := v.Submit(path, "name", "蓝鲸").Want(http.StatusUnprocessableEntity).FieldError("name"); got == "" {
			t.Error("no message for another name")
		}
		v.Get(path).Has("2 个应用的 AccessID")
		v.Submit(path, "name", "蓝鲸企业聊").To("/products").Has("已删除产品 蓝鲸企业聊", "还没有产品")
		v.Get(path).Want(http.StatusNotFound)
	})
}

// What a role may not do is neither shown nor done.
func TestProductRights(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, _ := s.Product(owner, "蓝鲸企业聊")
		other, _ := s.Product(owner, "小满家校通")
		base := "/products/" + number(p.ID)
		for _, role := range []string{models.RoleOps, models.RoleRead} {
			v := s.Login(s.Sub(owner, role, models.Rights{Role: role, AllProducts: true}))
			v.Get("/products").Has("蓝鲸企业聊", "立即配置").
				NoLink("/products/new").NoLink(base + "/edit").NoLink(base + "/delete").NoLink(base + "/apps/new").
				NoLink("/users").NoLink("/account").NoLink("/im-apps")
			for _, path := range []string{"/products/new", base + "/edit", base + "/delete", base + "/apps/new"} {
				v.Get(path).Want(http.StatusForbidden).Has("全读写", "主账号")
				v.Post(path, "name", "蓝鲸企业聊").Want(http.StatusForbidden)
			}
			v.Get("/users").Want(http.StatusForbidden).Has("主账号")
			v.Get("/account").Want(http.StatusForbidden)
		}

		// Who sees chosen products changes these, sees no others and makes none.
		v := s.Login(s.Sub(owner, "chosen", models.Rights{Role: models.RoleFull, Products: []int64{p.ID}}))
		v.Get("/products").Has("蓝鲸企业聊").HasNot("小满家校通").NoLink("/products/new").Link(base + "/edit")
		v.Get("/products/new").Want(http.StatusForbidden).Has("全部产品")
		v.Get("/products/" + number(other.ID) + "/edit").Want(http.StatusNotFound)
		v.Submit(base+"/edit", "name", "蓝鲸").To("/products").Has("已保存产品")
	})
}

// A long list comes in pages, whichever way one walks them, also under a search.
func TestProductPages(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner := s.Account("main")
	const made = productsPerPage*2 + 5
	for i := range made {
		s.Product(owner, fmt.Sprintf("Whale %03d", i), models.PlatformIOS)
	}
	v := s.Login(owner)
	page := regexp.MustCompile(`Whale \d{3}`)
	read := func(path, shown string) (names map[string]bool, body string) {
		t.Helper()
		p := v.Get(path).Want(http.StatusOK).Has(shown)
		names = map[string]bool{}
		for _, n := range page.FindAllString(p.Text(), -1) {
			names[n] = true
		}
		return names, string(p.Body)
	}
	link := func(body, key string) string {
		t.Helper()
		m := regexp.MustCompile(`href="(/products\?` + key + `=[^"]*)"`).FindStringSubmatch(body)
		if m == nil {
			return ""
		}
		return html.UnescapeString(m[1])
	}
	seen := map[string]bool{}
	path, shown, last := "/products", "第 1–30 个，共 65 个产品", ""
	for _, next := range []string{"第 31–60 个", "第 61–65 个", ""} {
		names, body := read(path, shown)
		for n := range names {
			if seen[n] {
				t.Errorf("%s stands on two pages", n)
			}
			seen[n] = true
		}
		last = path
		path, shown = link(body, "after"), next
		if (path == "") != (next == "") {
			t.Fatalf("next page %q after %s", path, last)
		}
	}
	if len(seen) != made {
		t.Errorf("%d products on all pages", len(seen))
	}
	_, body := read(last, "第 61–65 个")
	_, body = read(link(body, "before"), "第 31–60 个")
	read(link(body, "before"), "第 1–30 个")
	v.Get("/products?q=Whale+0").Has("第 1–30 个，共 65 个产品").Link("/products?after=36&q=Whale+0")
	v.Get("/products?q=Whale+064").Has("Whale 064").HasNot("第 1–")
	v.Get("/products?after=nonsense").Has("第 1–30 个")
	v.Get("/products?after=1").Has("第 1–30 个")
}
