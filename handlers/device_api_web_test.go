package handlers

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// Two key pairs, and a subscription.
const (
	vapidPublic   = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
	vapidSandbox  = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	vapidPrivate  = "private-key-that-no-answer-may-hold-1234567"
	browserTicket = `{"endpoint":"https://push.example.net/v2/one","keys":{"p256dh":"` + vapidPublic + `","auth":"tBHItJI5svbpez7KI4CCXg"}}`
)

// android makes an Android app and turns the site's phones to it.
func (s *machineSite) android() {
	s.t.Helper()
	ctx := context.Background()
	_, apps, err := s.store.CreateProduct(ctx, s.who, models.ProductInput{Name: "网页", Category: "social", Region: "ap-guangzhou", Platforms: []string{models.PlatformAndroid}})
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := s.store.AccessKey(ctx, s.who, apps[0].ID)
	if err != nil {
		s.t.Fatal(err)
	}
	s.appID, s.accessKey = apps[0].ID, key.Reveal()
}

func (s *machineSite) vapid(environment, packageName, public string) {
	s.t.Helper()
	_, err := s.store.SaveCredentials(context.Background(), s.who, models.AppOwner(s.appID), models.CredentialInput{
		Channel: "web", Environment: environment, PackageName: packageName, Kind: "vapid",
		Fields: map[string]string{"public_key": public, "private_key": vapidPrivate, "subject": "mailto:ops@example.com"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.advance(2 * time.Second) // what is known of an app may be a second old
}

func (s *machineSite) box(on bool) {
	s.t.Helper()
	if _, err := s.store.SetSandbox(context.Background(), s.who, s.appID, on); err != nil {
		s.t.Fatal(err)
	}
	s.advance(2 * time.Second)
}

func TestWebPushKey(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		ask := func(query string, header ...string) reply {
			return s.do(http.MethodGet, "/device/v1/web-push-key"+query, nil, append([]string{"X-Access-ID", strconv.FormatInt(s.appID, 10), "X-Access-Key", s.accessKey}, header...)...)
		}
		missing := func(lang, sentence string) {
			t.Helper()
			r := ask("", "Accept-Language", lang)
			code, _ := r.errorCode(t)
			if r.status != http.StatusNotFound || code != "no_web_push_credential" || !strings.Contains(string(r.body), sentence) {
				t.Errorf("%d %s, want it to say %q", r.status, r.body, sentence)
			}
		}
		given := func(query, key, environment string) {
			t.Helper()
			r := ask(query)
			if m := r.json(t); r.status != http.StatusOK || m["public_key"] != key || m["environment"] != environment || len(m) != 2 {
				t.Errorf("%s: %d %s, want %s of %s", query, r.status, r.body, key, environment)
			}
		}
		missing("zh-CN", "Android 应用的标识")
		missing("en", "the same product's Android app")
		s.android()
		missing("zh-CN", "基础配置 › 厂商通道")
		missing("en", "Add the Web Push key pair under App settings, Vendor channels")
		s.vapid(models.EnvironmentProduction, "", vapidPublic+"=") // as some tools write it
		given("", vapidPublic, "production")
		s.box(true)
		missing("zh-CN", "沙箱模式")
		missing("en", "sandbox mode")
		s.vapid(models.EnvironmentSandbox, "", vapidSandbox)
		given("", vapidSandbox, "sandbox")
		s.box(false)
		given("", vapidPublic, "production")
		s.vapid(models.EnvironmentProduction, "site.b", vapidSandbox)
		given("?package=site.b", vapidSandbox, "production")
		given("?package=site.c", vapidPublic, "production")
		given("", vapidPublic, "production")

		if r := s.do(http.MethodGet, "/device/v1/web-push-key", nil, "X-Access-ID", strconv.FormatInt(s.appID, 10), "X-Access-Key", "wrong"); r.status != http.StatusUnauthorized {
			t.Errorf("with a wrong key: %d %s", r.status, r.body)
		}
		if strings.Contains(s.log.String(), vapidPrivate) {
			t.Error("the log holds a private key")
		}
	})
}

// A page of any site may make every call of the device API and read every answer, and
// nothing else of this host.
func TestDeviceAPIFromOtherSites(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		origin := []string{"Origin", "https://im.example.com", "Cookie", "lang=en"}
		open := func(what string, r reply, status int) {
			t.Helper()
			h := r.header
			if r.status != status || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d, allowed for %q, want %d for every site", what, r.status, h.Get("Access-Control-Allow-Origin"), status)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Set-Cookie") != "" {
				t.Errorf("%s: deals in cookies: %v", what, h)
			}
		}
		asked := 0
		for _, route := range s.server.Routes() {
			if !strings.HasPrefix(route.Path, "/device/v1/") || route.Method == http.MethodOptions {
				continue
			}
			asked++
			r := s.do(http.MethodOptions, route.Path, nil, append(origin, "Access-Control-Request-Method", route.Method, "Access-Control-Request-Headers", "x-access-id")...)
			open("preflight of "+route.Path, r, http.StatusNoContent)
			names := strings.Split(r.header.Get("Access-Control-Allow-Headers"), ", ")
			slices.Sort(names)
			want := []string{"Content-Type", "X-Access-ID", "X-Access-Key", "X-Device-Secret", "X-Device-Token"}
			if !slices.Equal(names, want) || r.header.Get("Access-Control-Allow-Methods") != route.Method || r.header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("preflight of %s: %v", route.Path, r.header)
			}
		}
		if asked < 9 {
			t.Errorf("only %d paths", asked)
		}
		keys := append(origin, "X-Access-ID", strconv.FormatInt(s.appID, 10), "X-Access-Key", s.accessKey)
		open("register", s.post("/device/v1/register", []byte(`{}`), keys...), http.StatusCreated)
		open("a refusal", s.post("/device/v1/badge", []byte(`{}`), keys...), http.StatusUnauthorized)
		open("a bad body", s.post("/device/v1/register", []byte(`{"routes":7}`), keys...), http.StatusBadRequest)
		open("no key", s.do(http.MethodGet, "/device/v1/web-push-key", nil, keys...), http.StatusNotFound)
		open("the contract", s.do(http.MethodGet, "/device/v1/openapi.yaml", nil, origin...), http.StatusOK)
		open("no such path", s.do(http.MethodGet, "/device/v1/nothing", nil, origin...), http.StatusNotFound)
		open("a wrong method", s.do(http.MethodDelete, "/device/v1/register", nil, origin...), http.StatusMethodNotAllowed)

		for _, path := range []string{s.im("/messages"), "/healthz", "/device/v10/register"} {
			for _, method := range []string{http.MethodGet, http.MethodOptions} {
				if r := s.do(method, path, nil, origin...); r.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s is open to every site", method, path)
				}
			}
		}
	})
}

// A web page sends its subscription; anything else is refused by name.
func TestRegisterSubscription(t *testing.T) {
	t.Parallel()
	eachDeviceSite(t, func(t *testing.T, s *machineSite) {
		s.android()
		p := &phone{s: s}
		for _, text := range []string{"not JSON", `{"endpoint":"https://push.example.net/v2/one"}`, strings.Replace(browserTicket, "https", "http", 1)} {
			r := p.call("/register", map[string]any{"routes": []any{map[string]any{"channel": "web", "token": text}}})
			if code, field := r.errorCode(t); r.status != http.StatusBadRequest || code != "not_subscription" || field != "routes[0].token" {
				t.Errorf("%q: %d %s", text, r.status, r.body)
			}
		}
		for _, text := range []string{browserTicket, strings.ReplaceAll(browserTicket, `":"`, "\" :\n \"")} {
			if r := p.call("/register", map[string]any{"routes": []any{map[string]any{"channel": "web", "token": text}}}); r.status != http.StatusCreated {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if s.count("routes WHERE channel = 'web' AND retired_at IS NULL AND token = ?", browserTicket) != 1 || s.count("devices WHERE retired_at IS NULL") != 1 {
			t.Error("one subscription is not one route of one device")
		}
		if strings.Contains(s.log.String(), "push.example.net") {
			t.Error("the log holds a subscription")
		}
	})
}
