package handlers

import (
	"context"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// Languages of the snippets.
const (
	langSwift  = "swift"
	langKotlin = "kotlin"
	langArkTS  = "arkts"
	langWeb    = "web"
)

// clientLanguages are the languages that an app's page offers, its own first.
func clientLanguages(a *models.AppView) []c.Link {
	apple := []c.Link{{Label: "Swift", Current: true, Href: langSwift}}
	others := []c.Link{{Label: "Kotlin", Href: langKotlin}, {Label: "ArkTS", Href: langArkTS}}
	if models.ChannelFits(string(push.APNs), a.Platform) {
		return append(apple, others...)
	}
	// Browsers are reached through the keys of these apps.
	others[0].Current, apple[0].Current = true, false
	return append(append(others, c.Link{Label: "Web", Href: langWeb}), apple...)
}

// client is 客户端接入: snippets filled with the app's ids.
func (h *console) client(ctx echo.Context) error {
	p, err := h.app(ctx)
	if err != nil {
		return err
	}
	std := ctx.Request().Context()
	key, err := h.Store.AccessKey(std, p.Actor, p.App.ID)
	if err != nil {
		return err
	}
	v := views.ClientPage{
		Base: p.Base, AccessID: p.App.AccessID(), AccessKey: key.Reveal(), Server: h.publicURL(ctx), Bind: p.App.BindRequired,
	}
	v.Languages = clientLanguages(p.App)
	lang := v.Languages[0].Href
	for _, l := range v.Languages {
		if l.Href == ctx.QueryParam("lang") {
			lang = l.Href
		}
	}
	for i := range v.Languages {
		l := &v.Languages[i]
		l.Href, l.Current = p.Base+"/client?lang="+l.Href, l.Href == lang
	}
	v.Steps = clientSteps(std, lang, p.App, v)
	v.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Client(v))
}

// clientSteps are the snippets of a language, each under what it is for.
func clientSteps(ctx context.Context, lang string, a *models.AppView, v views.ClientPage) []views.ClientStep {
	t := func(key string) string { return locale.T(ctx, key) }
	code := snippets(lang, a, v)
	out := []views.ClientStep{
		{ID: "base", Title: t("client.base"), Text: t("client.base_text"), Code: code.base},
		{ID: "register", Title: t("client.register"), Text: t("client.register_text"), Code: code.register},
		{ID: "bind", Title: t("client.bind"), Text: t("client.bind_text"), Code: code.bind},
		{ID: "receipt", Title: t("client.receipt"), Text: t("client.receipt_text"), Code: code.receipt},
	}
	switch lang {
	case langWeb:
		out[0].Text, out[1].Text = t("client.web_base_text"), t("client.web_register_text")
		out[3].Title, out[3].Text = t("client.web_receipt"), t("client.web_receipt_text")
	case langKotlin:
		out[1].Text, out[3].Text = t("client.kotlin_register_text"), t("client.kotlin_receipt_text")
	}
	for _, n := range code.vendors {
		name := locale.T(ctx, "channels."+string(n.channel)) + " · " + string(n.channel)
		out[1].Parts = append(out[1].Parts, views.ClientPart{Name: name, Label: locale.T(ctx, "client.code_of", "Title", name), Code: n.code})
	}
	if v.Bind {
		out[2].Text = t("client.bind_signed_text")
		out = append(out, views.ClientStep{ID: "sign", Title: t("client.sign"), Text: t("client.sign_text"), Code: signSnippet})
	}
	for i := range out {
		out[i].Label = locale.T(ctx, "client.code_of", "Title", out[i].Title)
	}
	return out
}

// snippet is what a phone's app needs, in one language.
type snippet struct {
	base, register, bind, receipt string
	vendors                       []vendorSnippet // how each vendor's token is had
}

type vendorSnippet struct {
	channel push.Channel
	code    string
}

// snippets returns the code of a language with the app's ids and, when the app asks
// for them, binding signatures.
func snippets(lang string, a *models.AppView, v views.ClientPage) snippet {
	var s snippet
	switch lang {
	case langKotlin:
		s = kotlinSnippet(v.Bind)
	case langArkTS:
		s = arktsSnippet(v.Bind)
	case langWeb:
		s = webSnippet(v.Bind)
	default:
		s = swiftSnippet(v.Bind)
	}
	pack := a.PackageName
	if pack == "" {
		// Absent, it is the app's own, also once that is set. An example would be
		// copied, and a wrong topic pauses the credential.
		for _, part := range []*string{&s.base, &s.register, &s.bind, &s.receipt} {
			*part = strings.NewReplacer(`, "package": "{{PACKAGE}}"`, "", `.put("package", "{{PACKAGE}}")`, "", ` package: '{{PACKAGE}}',`, "").Replace(*part)
		}
	}
	fill := strings.NewReplacer("{{SERVER}}", v.Server, "{{ACCESS_ID}}", v.AccessID, "{{ACCESS_KEY}}", v.AccessKey, "{{PACKAGE}}", pack)
	return snippet{
		base: fill.Replace(s.base), register: fill.Replace(s.register), bind: fill.Replace(s.bind), receipt: fill.Replace(s.receipt), vendors: s.vendors,
	}
}

// signSnippet is for the customer's own server, which alone knows the binding key.
const signSnippet = `# On your own server. Never put the binding key into the app.
import hashlib, hmac, time

def bind_signature(bind_key: str, device_token: str, account: str) -> dict:
    now = int(time.time())
    text = f"{device_token}|{account}|{now}"
    mac = hmac.new(bind_key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"account": account, "time": now, "signature": mac}`

func pick(signed bool, with, without string) string {
	if signed {
		return with
	}
	return without
}

func swiftSnippet(signed bool) snippet {
	return snippet{
		base: `import Foundation

enum Hongyan {
    static let server = URL(string: "{{SERVER}}/device/v1/")!

    // Calls the device API. Keep token and secret in the keychain.
    static func call(_ path: String, _ body: [String: Any]) async throws -> [String: Any] {
        var r = URLRequest(url: server.appendingPathComponent(path))
        r.httpMethod = "POST"
        r.setValue("application/json", forHTTPHeaderField: "Content-Type")
        r.setValue("{{ACCESS_ID}}", forHTTPHeaderField: "X-Access-ID")
        r.setValue("{{ACCESS_KEY}}", forHTTPHeaderField: "X-Access-Key")
        if let token = Keychain.read("hongyan.token"), let secret = Keychain.read("hongyan.secret") {
            r.setValue(token, forHTTPHeaderField: "X-Device-Token")
            r.setValue(secret, forHTTPHeaderField: "X-Device-Secret")
        }
        r.httpBody = try JSONSerialization.data(withJSONObject: body)
        let (data, answer) = try await URLSession.shared.data(for: r)
        let status = (answer as! HTTPURLResponse).statusCode
        if status == 401 { Keychain.remove("hongyan.token"); Keychain.remove("hongyan.secret") }
        guard (200..<300).contains(status) else { throw URLError(.badServerResponse) }
        return data.isEmpty ? [:] : try JSONSerialization.jsonObject(with: data) as! [String: Any]
    }
}`,
		register: `func application(_ app: UIApplication, didRegisterForRemoteNotificationsWithDeviceToken token: Data) {
    #if DEBUG
    let environment = "development"
    #else
    let environment = "production"
    #endif
    Task {
        let settings = await UNUserNotificationCenter.current().notificationSettings()
        let r = try await Hongyan.call("register", [
            "routes": [[
                "channel": "apns", "environment": environment, "package": "{{PACKAGE}}",
                "token": token.map { String(format: "%02x", $0) }.joined(),
            ]],
            "brand": "Apple", "model": UIDevice.current.model, "os_version": UIDevice.current.systemVersion,
            "language": Locale.preferredLanguages.first ?? "", "time_zone": TimeZone.current.identifier,
            "notifications": settings.authorizationStatus == .authorized,
        ])
        Keychain.write("hongyan.token", r["device_token"] as! String)
        if let secret = r["device_secret"] as? String { Keychain.write("hongyan.secret", secret) } // the first time only
    }
}`,
		bind: pick(signed, `// signature and time come from your own server, which knows who is logged in.
let s = try await myServer.bindSignature(deviceToken: Keychain.read("hongyan.token")!)
_ = try await Hongyan.call("accounts/bind", ["account": s.account, "time": s.time, "signature": s.signature])`,
			`// After login. The account is the user's id in your IM.
_ = try await Hongyan.call("accounts/bind", ["account": userID])`) + `

// At logout, or the next person on this phone sees the messages of the last one.
_ = try await Hongyan.call("accounts/unbind", ["account": userID])`,
		receipt: `// Clicked: in userNotificationCenter(_:didReceive:). Arrived: in the notification service extension.
if let id = response.notification.request.content.userInfo["hy_mid"] as? String {
    _ = try await Hongyan.call("receipts", ["receipts": [["message_id": id, "status": "clicked"]]])
}`,
	}
}
