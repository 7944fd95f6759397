// Package views holds the pages of the console, one file per section. A page takes
// one struct in which everything is ready to print; it asks nobody anything. Only
// the translator, the asset addresses and the CSP nonce come from the context.
package views

import (
	"context"

	c "hongyan/views/components"
	"hongyan/views/locale"
)

// Chrome is what stands around every page. It is built once per request.
type Chrome struct {
	Lang    string // "zh-CN" or "en"
	Theme   string // "light", "dark", or "" for the system's choice
	Path    string // path and query of this page, to come back to
	Version string
	User    *ChromeUser // nil before sign-in
	Nav     []NavGroup
	App     *ChromeApp // the app of an app page, else nil
	Apps    []c.Link   // what the app selector offers
	Flashes []c.Flash
}

// ChromeUser is who is signed in.
type ChromeUser struct {
	Name string
	Main bool
}

// ChromeApp is the app that the page speaks of.
type ChromeApp struct {
	Name       string // product · platform
	Platform   string // "android", "ios" or "harmony"
	State      string // 服务详情, in words
	StateTone  c.Tone
	Sandbox    bool   // a violet banner stands on every page of the app
	SandboxURL string // where the switch is; "" for who may not turn it
}

// NavGroup is a part of the sidebar; the first one has no label.
type NavGroup struct {
	Label string
	Items []NavItem
}

// NavItem is a line of the sidebar.
type NavItem struct {
	Label   string
	Href    string
	Icon    string
	Count   string // small figure at right, such as "5/7"
	Current bool
}

func (ch Chrome) appIcon() string {
	switch ch.App.Platform {
	case "ios":
		return "brand-apple"
	case "android":
		return "brand-android"
	default:
		return "device-mobile"
	}
}

// title is the window's title: the page, then the product.
func title(ctx context.Context, page string) string {
	return page + " · " + locale.T(ctx, "common.product")
}

// otherLang names the language to switch to, and its own name for itself.
func (ch Chrome) otherLang() (lang, name string) {
	if ch.Lang == locale.English {
		return locale.Chinese, "中文"
	}
	return locale.English, "English"
}

// languages offers the console's languages, each in its own name for itself.
func languages() []c.Option {
	return []c.Option{{Value: locale.Chinese, Label: "中文", Lang: locale.Chinese}, {Value: locale.English, Label: "English", Lang: locale.English}}
}

func (u ChromeUser) role(ctx context.Context) string {
	if u.Main {
		return locale.T(ctx, "common.main_user")
	}
	return locale.T(ctx, "common.sub_user")
}

// htmxConfig sets what the CSP needs (no injected style, no eval) and lets a form
// that failed with 422 show itself again.
const htmxConfig = `{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true,"historyCacheSize":0,` +
	`"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"422","swap":true},{"code":"[45]..","swap":false,"error":true}]}`
