package handlers

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/views/locale"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, apps := s.Product(owner, "蓝鲸企业聊")
		other, _ := s.Product(owner, "小满家校通")
		ops := s.Sub(owner, "chenmo", models.Rights{Role: models.RoleRead, Products: []int64{p.ID}})
		if _, err := s.Store.UpdateProduct(t.Context(), owner, other.ID, models.ProductInput{Name: "小满", Category: "education"}); err != nil {
			t.Fatal(err)
		}
		v := s.Login(owner)
		v.Get("/audit").Has("新建", "产品", "服务接入点 广州", "产品分类 企业办公", "应用 "+apps[0].AccessID(), "子账号", "权限 只读",
			"名称 原来： 小满家校通 → 现在： 小满", "产品分类 原来： 企业办公 → 现在： 教育学习", "192.0.2.9", "系统").
			HasNot("ap-guangzhou", "false", "null")

		// Filters stay in the address; one that finds nothing leads back.
		v.Get("/audit?kind=user").Has("chenmo").HasNot("小满家校通")
		v.Get("/audit?user=" + number(owner.UserID)).HasNot("系统 新建")
		today := s.Clock.Now().In(time.FixedZone("", 8*60*60)).Format(layoutDate)
		v.Get("/audit?from=" + today + "&to=" + today).Has("chenmo")
		v.Get("/audit?to=2020-01-01").Has("没有符合条件的操作").Link("/audit")
		v.Get("/audit?user=x&kind=nonsense&from=yesterday&after=y").Want(http.StatusOK)

		// A sub-account sees what concerns its products.
		s.Login(ops).Get("/audit").Has("蓝鲸企业聊").HasNot("小满", "子账号 权限")
	})
}

// The log is paged by key: no row is lost or shown twice, whatever is added meanwhile.
func TestAuditPages(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("linruoxi")
		p, _ := s.Product(owner, "p", models.PlatformIOS)
		rename := func(n int) {
			in := models.ProductInput{Name: "p" + number(int64(n)), Category: "office"}
			if _, err := s.Store.UpdateProduct(t.Context(), owner, p.ID, in); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 120 {
			rename(n + 1)
		}
		v := s.Login(owner)
		page := v.Get("/audit")
		seen := map[string]int{}
		pages := 0
		for {
			pages++
			for _, row := range page.All("tr") {
				if m := regexp.MustCompile(`现在：\s*(p\d+)`).FindStringSubmatch(nodeText(row)); m != nil {
					seen[m[1]]++
				}
			}
			next := pager(page, "下一页")
			if next == "" {
				break
			}
			rename(1000 + pages) // newer rows do not move the older pages
			page = v.Get(next)
		}
		if pages != 3 {
			t.Errorf("%d pages, want 3", pages)
		}
		for n := range 120 {
			if name := "p" + number(int64(n+1)); seen[name] != 1 {
				t.Errorf("%s stands %d times", name, seen[name])
			}
		}
		back := v.Get(pager(page, "上一页"))
		if pager(back, "下一页") == "" || pager(back, "上一页") == "" {
			t.Error("the page in the middle does not lead both ways")
		}
	})
}

// pager returns the address behind a pager's word.
func pager(p *page, word string) string {
	for _, a := range p.All("a") {
		if strings.TrimSpace(nodeText(a)) == word {
			return attribute(a, "href")
		}
	}
	return ""
}

// Every field, kind and action that models write into the log has its words.
func TestAuditWords(t *testing.T) {
	t.Parallel()
	c, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := func(key string) {
		if _, ok := c[locale.Chinese][key]; !ok {
			t.Errorf("no sentence for %s", key)
		}
	}
	for _, k := range models.AuditKinds() {
		want("auditlog.kind." + k)
	}
	for _, a := range models.AuditActions() {
		want("auditlog.action." + a)
	}
	files, err := filepath.Glob("../models/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	field, n := regexp.MustCompile(`"([a-z_0-9]+)":`), 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name) //nolint:gosec // our own sources
		if err != nil {
			t.Fatal(err)
		}
		for _, literal := range regexp.MustCompile(`facts\{[^}]*\}`).FindAllString(string(text), -1) {
			for _, m := range field.FindAllStringSubmatch(literal, -1) {
				n++
				want("auditlog.field." + m[1])
			}
		}
	}
	if n < 30 {
		t.Errorf("found only %d fields", n)
	}
}
