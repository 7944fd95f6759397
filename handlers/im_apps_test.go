package handlers

import (
	"net/http"
	"strings"
	"testing"

	"hongyan/models"
)

// The whole life of an IM app through its pages: the secret is shown once, on the page
// after it was made.
func TestIMAppPages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner := s.Account("main")
		v := s.Login(owner)
		v.Get("/im-apps").Want(http.StatusOK).Has("还没有 IM 应用").Link("/im-apps/new")

		p := v.Submit("/im-apps/new", "name", "", "sdk_app_id", "12x", "allow_ips", "203.0.113.0/24").Want(http.StatusUnprocessableEntity)
		if p.FieldError("name") == "" {
			t.Error("a missing name has no message")
		}
		p = p.Submit("/im-apps/new", "name", "Whale IM").Want(http.StatusUnprocessableEntity)
		if p.FieldError("sdk_app_id") == "" {
			t.Error("an SDKAppID of letters has no message")
		}
		p = p.Submit("/im-apps/new", "sdk_app_id", "1400582391", "allow_ips", "203.0.113.999").Want(http.StatusUnprocessableEntity)
		if got := p.FieldError("allow_ips"); !strings.Contains(got, "203.0.113.999") {
			t.Errorf("allow_ips: %q", got)
		}
		p = p.Submit("/im-apps/new", "allow_ips", "203.0.113.7/24").Want(http.StatusSeeOther)
		page := p.Header.Get("Location")
		first := v.Get(page).Want(http.StatusOK).Has("只显示这一次", "1400582391", "203.0.113.0/24", "还没有授权", "最近 7 天没有收到消息")
		address := copied(t, first, "http://console.example/im/")
		if !strings.Contains(first.Text(), "httpAddr: \""+address+"\"") {
			t.Error("the set-up instructions do not hold the address")
		}
		secret := strings.Split(strings.TrimPrefix(address, "http://console.example/im/"), "/")[0]
		second := v.Get(page).Has("••••••••••••", "密钥不再显示")
		if strings.Contains(string(second.Body), secret) {
			t.Error("the secret is shown twice")
		}
		first.HasNot("这里的密钥已隐藏")
		if _, err := s.Store.IngestBySecret(t.Context(), secret); err != nil {
			t.Errorf("the secret of the page: %v", err)
		}

		// A rotation: the new secret once, the old one for a day, or less.
		v.Submit(page+"/rotate").To(page).Has("只显示这一次", "更换前的地址在")
		if _, err := s.Store.IngestBySecret(t.Context(), secret); err != nil {
			t.Errorf("the old secret within its day: %v", err)
		}
		v.Submit(page + "/drop").To(page).HasNot("更换前的地址在")

		v.Submit(page+"/edit", "name", "Whale Chat", "bridge", "generic", "allow_ips", "").To(page).Has("Whale Chat", "未限制", "curl -X POST")

		// Every step whose code lacks the secret says so, with the way to a new one.
		for _, b := range Bridges() {
			masked := 0
			for _, step := range b.Setup("http://console.example/im/" + maskedSecret + "/" + b.Path) {
				if strings.Contains(step.Code, maskedSecret) {
					masked++
				}
			}
			shown := v.Submit(page+"/edit", "bridge", b.ID).To(page).Link(page + "/rotate")
			if n := strings.Count(shown.Text(), "这里的密钥已隐藏，照抄不能用。要再次复制，需 更换密钥"); n != masked || n == 0 && b.ID != "xmpp" {
				t.Errorf("%s: %d steps say that the secret is hidden, want %d", b.ID, n, masked)
			}
		}
		v.Submit(page+"/edit", "bridge", "generic").To(page)

		// A SecretKey goes in and is never shown again.
		p = v.Submit(page+"/edit", "sdk_key", "two words").Want(http.StatusUnprocessableEntity)
		if p.FieldError("sdk_key") == "" || strings.Contains(string(p.Body), "two words") {
			t.Error("a SecretKey with a space has no message, or is shown")
		}
		v.Submit(page+"/edit", "sdk_key", " existing-secret-key ").To(page).HasNot("existing-secret-key")
		v.Get(page + "/edit").Has("已保存，不再显示").HasNot("existing-secret-key")
		v.Submit(page+"/edit", "name", "Whale Chat").To(page)
		if m, err := s.Store.IMAppByID(t.Context(), owner, s.onlyIMApp(t, owner)); err != nil || !m.HasSDKKey() {
			t.Errorf("an empty field forgets the SecretKey: %v", err)
		}
		v.Submit(page+"/edit", "drop_key", "true").To(page)
		v.Get(page + "/edit").HasNot("已保存，不再显示")

		id := s.onlyIMApp(t, owner)
		s.Store.StartAccepting(nil)
		s.Store.CountIngest(id, models.IngestUnauthorized, 1234)
		s.Store.CountIngest(id, models.IngestAccepted, 5)
		if err := s.Store.StopAccepting(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Get(page).Has("未授权", "1,234", "1,239", "有消息因为没有授权而没有推送")

		p = v.Submit(page+"/delete", "name", "wrong").Want(http.StatusUnprocessableEntity)
		if p.FieldError("name") == "" {
			t.Error("a wrong name deletes")
		}
		p.Submit(page+"/delete", "name", "Whale Chat").To("/im-apps").Has("还没有 IM 应用")
	})
}

// onlyIMApp returns the id of the account's only IM app.
func (s *site) onlyIMApp(t *testing.T, owner models.Actor) int64 {
	t.Helper()
	all, err := s.Store.IMApps(t.Context(), owner)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d IM apps, %v", len(all), err)
	}
	return all[0].ID
}

// copied returns the value behind a copy button that starts as given.
func copied(t *testing.T, p *page, start string) string {
	t.Helper()
	for _, b := range p.All("button") {
		if v := attribute(b, "data-copy"); strings.HasPrefix(v, start) {
			return v
		}
	}
	t.Fatalf("%s: nothing to copy starts with %s", p.Path, start)
	return ""
}

// Without the IM right there are no IM apps, and the answer says who can grant it;
// another account's do not exist.
func TestIMAppRights(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, stranger := s.Account("main"), s.Account("other")
		im, _ := s.IMApp(owner, "Chat")
		base := imAppBase(im.ID)
		full := s.Sub(owner, "full", models.Rights{Role: models.RoleFull, AllProducts: true})
		read := s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true, CanIM: true})
		v := s.Login(full)
		for _, path := range []string{"/im-apps", "/im-apps/new", base, base + "/edit", base + "/rotate", base + "/delete", base + "/credentials/apns/new"} {
			v.Get(path).Want(http.StatusForbidden).Has("主账号")
		}
		v.Post(base + "/rotate").Want(http.StatusForbidden)
		v.Get("/products").NoLink("/im-apps")

		s.Login(read).Get(base).Want(http.StatusOK).Has("Chat").Link("/im-apps")
		w := s.Login(stranger)
		for _, path := range []string{base, base + "/edit", base + "/rotate", base + "/drop", base + "/delete", base + "/credentials/apns/new"} {
			w.Get(path).Want(http.StatusNotFound)
		}
		for _, path := range []string{"/edit", "/rotate", "/drop", "/delete"} {
			w.Post(base+path, "name", "Chat").Want(http.StatusNotFound)
		}
	})
}
