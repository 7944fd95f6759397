package kit

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"hongyan/internal/htmlcheck"
	"hongyan/static"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
)

// render draws a page as a browser would get it, in one language.
func render(t *testing.T, lang string, page templ.Component) string {
	t.Helper()
	bundle, err := locale.NewBundle(func(lang, key string) { t.Errorf("no sentence for %s in %s", key, lang) })
	if err != nil {
		t.Fatal(err)
	}
	assets, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	ctx := c.WithAssets(locale.With(t.Context(), bundle.Localizer(lang)), assets.URL)
	if err := page.Render(ctx, &buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func chrome(lang string) views.Chrome {
	ch := views.Chrome{
		Lang: lang, Path: "/kit?a=1&b=2", Version: "1.2.3",
		User:    &views.ChromeUser{Name: "林若溪", Main: true},
		Flashes: []c.Flash{{Tone: c.OK, Text: "已保存", Detail: "1,206 条消息开始续发"}},
	}
	Decorate("/kit", &ch)
	return ch
}

func pages(lang string) map[string]templ.Component {
	bare := views.Chrome{Lang: lang, Path: "/login", Version: "1.2.3"}
	wrong := c.FormErrors{"": "x", "name": "y", "password": "z", "account": "w", "password2": "v"}
	return map[string]templ.Component{
		"kit":        Page(chrome(lang), false),
		"kit dialog": Page(chrome(lang), true),
		"login":      views.Login(views.LoginPage{Chrome: bare, As: "main"}),
		"login sub":  views.Login(views.LoginPage{Chrome: bare, As: "sub", Account: "1", Name: "ops", Errors: wrong}),
		"setup":      views.Setup(views.SetupPage{Chrome: bare, Token: "t", Errors: wrong}),
		"error":      views.Error(views.ErrorPage{Chrome: chrome(lang), Status: 403, Title: "a", Text: "b"}),
		"error bare": views.Error(views.ErrorPage{Chrome: bare, Status: 500, Title: "a", Text: "b", RequestID: "r"}),
	}
}

func TestPagesAreSound(t *testing.T) {
	for _, lang := range []string{locale.Chinese, locale.English} {
		for name, page := range pages(lang) {
			t.Run(lang+" "+name, func(t *testing.T) {
				html := []byte(render(t, lang, page))
				for _, fault := range htmlcheck.Page(html) {
					t.Error(fault)
				}
				if lang == locale.English && !strings.Contains(name, "kit") && name != "error" {
					for _, text := range htmlcheck.Chinese(html) {
						t.Errorf("not translated: %s", text)
					}
				}
			})
		}
	}
}

func TestIconsExist(t *testing.T) {
	used := regexp.MustCompile(`sprite\.svg#([a-z0-9-]*)`)
	for name, page := range pages(locale.Chinese) {
		for _, m := range used.FindAllStringSubmatch(render(t, locale.Chinese, page), -1) {
			if !slices.Contains(static.Icons(), m[1]) {
				t.Errorf("%s uses icon %q, which static/icons.txt does not list", name, m[1])
			}
		}
	}
}

// The kit must show every component: one that is missing here is checked by nobody.
func TestKitIsComplete(t *testing.T) {
	html := render(t, locale.Chinese, Page(chrome(locale.Chinese), true))
	for _, class := range []string{
		"skip", "side", "top", "app-pick", "banner-sand", "page-head", "crumbs", "card-head", "stats", "table-cards",
		"filters", "pill", "chip-sand", "state", "tile", "btn-primary", "btn-danger", "seg", "tabs", "field", "req",
		"opt", "hint", "error", "pick-off", "check", "switch", "drop", "dialog-l", "dialog-foot", "banner-bad", "toast",
		"empty-s", "skel", "bar-warn", "meter", "chart", "legend", "spark", "funnel", "tl-bad", "explain", "copy",
		"codebox", "secret", "steps", "vendor", "pairs", "phone", "note", "menu-list", "pager",
	} {
		found := regexp.MustCompile(`class="[^"]*\b` + class + `\b[^"]*"`).MatchString(html)
		if !found {
			t.Errorf("no component with class %q", class)
		}
	}
}

func TestErrorsReachTheirFields(t *testing.T) {
	html := render(t, locale.English, views.Login(views.LoginPage{
		Chrome: views.Chrome{Lang: locale.English}, As: "main", Name: `"><b>`, Errors: c.FormErrors{"": "wrong"},
	}))
	for _, want := range []string{
		`aria-invalid="true"`, `id="f-password-error"`, `aria-describedby="f-password-error"`, `value="&#34;&gt;&lt;b&gt;"`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestSecretsAreNotEchoed(t *testing.T) {
	html := render(t, locale.English, c.Field(c.Input{Name: "p", Kind: "password", Label: "Password", Value: "hunter2"}))
	if strings.Contains(html, "hunter2") {
		t.Error("a password field shows its value")
	}
}
