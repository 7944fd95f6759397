package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

func TestSetup(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		token, _, err := s.Store.NewSetupToken(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		v := s.Visitor()
		v.Get("/login").To("/setup").Want(http.StatusUnauthorized).Has("还没有主账号", "hongyan user setup-link")
		v.Get("/setup?token=wrong").Want(http.StatusUnauthorized).Has("这个初始设置链接不能用")

		// Opening spends nothing, and neither does a form with a fault.
		path := "/setup?token=" + token
		v.Get(path).Want(http.StatusOK)
		p := v.Submit(path, "account", "蓝讯", "name", "linruoxi", "password", testPassword, "password2", "another password").Want(http.StatusUnprocessableEntity)
		if p.FieldError("password2") == "" {
			t.Error("no message under the second password")
		}
		p = v.Submit(path, "account", "", "name", "linruoxi", "password", "short", "password2", "short").Want(http.StatusUnprocessableEntity)
		if p.FieldError("account") == "" {
			t.Errorf("no message under the account's name:\n%s", p.Text())
		}
		v.Submit(path, "account", "蓝讯", "name", "linruoxi", "password", testPassword, "password2", testPassword).
			To("/start").Want(http.StatusOK).Has("快速开始", "linruoxi", "0/7")

		// Spent, and setup is over.
		s.Visitor().Get(path).To("/login").Want(http.StatusOK)
		s.Visitor().Post("/setup", "token", token, "account", "x", "name", "y", "password", testPassword, "password2", testPassword).To("/login")
	})
}

func TestLogin(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		main := s.Account("linruoxi")
		sub := s.Sub(main, "chenmo", models.Rights{Role: models.RoleOps, AllProducts: true})

		v := s.Visitor()
		v.Get("/products?q=x").To("/login?next=%2Fproducts%3Fq%3Dx").Link("/login/sub?next=%2Fproducts%3Fq%3Dx")
		p := v.Submit("/login?next=%2Fproducts%3Fq%3Dx", "name", "linruoxi", "password", "wrong password").Want(http.StatusUnprocessableEntity)
		if got := p.FieldError("password"); !strings.Contains(got, "还可以再试 4 次") {
			t.Errorf("message %q does not say how many tries remain", got)
		}
		// An unknown name gets the same sentence.
		q := s.Visitor().Submit("/login", "name", "nobody", "password", "wrong password").Want(http.StatusUnprocessableEntity)
		if p.FieldError("password") != q.FieldError("password") {
			t.Errorf("%q tells more than %q", p.FieldError("password"), q.FieldError("password"))
		}
		p.Submit("/login", "password", testPassword).To("/products?q=x").Want(http.StatusOK)

		// A sub-account is not a main account, and the other way round.
		s.Visitor().Submit("/login", "name", "chenmo", "password", testPassword).Want(http.StatusUnprocessableEntity)
		s.Visitor().Submit("/login/sub", "account", number(main.AccountID), "name", "linruoxi", "password", testPassword).Want(http.StatusUnprocessableEntity)
		s.Visitor().Submit("/login/sub", "account", "letters", "name", "chenmo", "password", testPassword).Want(http.StatusUnprocessableEntity).Has("主账号 ID 是一串数字")
		w := s.Login(sub)
		w.Get("/").To("/products").Want(http.StatusOK).Has("chenmo")

		// Signing out ends the session itself, not only the cookie.
		cookie := w.cookies["hongyan"]
		w.Post("/logout").To("/login")
		w.cookies["hongyan"] = cookie
		w.Get("/products").Want(http.StatusSeeOther)
	})
}

func TestLoginThrottle(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		main := s.Account("linruoxi")
		v := s.Visitor()
		for range 5 {
			v.Submit("/login", "name", "linruoxi", "password", "wrong password").Want(http.StatusUnprocessableEntity)
		}
		v.Submit("/login", "name", "linruoxi", "password", testPassword).Want(http.StatusUnprocessableEntity).Has("分钟")
		s.Clock.Advance(time.Minute)
		s.Login(main)
	})
}

// A session ends by idleness, and a page then leads to sign-in and back.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s *site) {
		v := s.Login(s.Account("linruoxi"))
		v.Get("/products").Want(http.StatusOK)
		s.Clock.Advance(models.SessionIdle + time.Minute)
		v.Get("/products").To("/login?next=%2Fproducts").Want(http.StatusOK)
		v.Post("/users/new", "name", "x").Want(http.StatusUnauthorized)
	})
}

// What another site makes a browser send is refused, whatever cookies it carries.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	v := s.Login(s.Account("linruoxi"))
	r := newForm(t, "/logout", "")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	v.send(r).Want(http.StatusForbidden)
	v.Get("/products").Want(http.StatusOK)
}

// Language and theme are chosen without script, before and after sign-in.
func TestPreferences(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	main := s.Account("linruoxi")
	v := s.Visitor()
	p := v.Get("/login").Submit("/preferences", "lang", "en")
	p.To("/login").Has("Sign in")
	v.Submit("/login", "name", "linruoxi", "password", testPassword).To("/").To("/products").Has("Products")
	v.Post("/preferences", "theme", "dark", "back", "/me").To("/me")
	if len(v.Get("/me").All("html", "data-theme", "dark", "lang", "en")) != 1 {
		t.Error("the page is not dark and English")
	}
	// Three forms lead there: the two of the top bar, and the page's own.
	v.Get("/me").Submit("/preferences", "theme", "system", "lang", "zh-CN").To("/me")
	if len(v.Get("/me").All("html", "lang", "zh-CN")) != 1 || len(v.Get("/me").All("html", "data-theme", "dark")) != 0 {
		t.Error("the page is not Chinese in the system's theme")
	}
	// The choice is the user's, on every browser.
	other := s.Visitor()
	other.Lang = "en"
	other.Submit("/login", "name", main.Name, "password", testPassword)
	if len(other.Get("/me").All("html", "lang", "zh-CN")) != 1 {
		t.Error("another browser does not know the user's language")
	}
	// An address of another site is no place to come back to.
	v.Post("/preferences", "theme", "dark", "back", "https://evil.example/").To("/")
}
