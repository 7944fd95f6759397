package handlers

import (
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
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
)

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
	lang := ctx.QueryParam("lang")
	if lang != langSwift && lang != langKotlin && lang != langArkTS {
		lang = langSwift
		if p.App.Platform == models.PlatformAndroid {
			lang = langKotlin
		}
	}
	for _, l := range []struct{ id, name string }{{langSwift, "Swift"}, {langKotlin, "Kotlin"}, {langArkTS, "ArkTS"}} {
		v.Languages = append(v.Languages, c.Link{Label: l.name, Href: p.Base + "/client?lang=" + l.id, Current: l.id == lang})
	}
	bind := locale.T(std, "client.bind_text")
	if v.Bind {
		bind = locale.T(std, "client.bind_signed_text")
	}
	code := snippets(lang, p.App, v)
	v.Steps = []views.ClientStep{
		{ID: "base", Title: locale.T(std, "client.base"), Text: locale.T(std, "client.base_text"), Code: code.base},
		{ID: "register", Title: locale.T(std, "client.register"), Text: locale.T(std, "client.register_text"), Code: code.register},
		{ID: "bind", Title: locale.T(std, "client.bind"), Text: bind, Code: code.bind},
		{ID: "receipt", Title: locale.T(std, "client.receipt"), Text: locale.T(std, "client.receipt_text"), Code: code.receipt},
	}
	if v.Bind {
		v.Steps = append(v.Steps, views.ClientStep{
			ID: "sign", Title: locale.T(std, "client.sign"), Text: locale.T(std, "client.sign_text"), Code: signSnippet,
		})
	}
	for i := range v.Steps {
		v.Steps[i].Label = locale.T(std, "client.code_of", "Title", v.Steps[i].Title)
	}
	v.Chrome = web.Chrome(ctx)
	return web.Page(ctx, views.Client(v))
}

// snippet is what a phone's app needs, in one language.
type snippet struct{ base, register, bind, receipt string }

// snippets returns the code of a language with the app's ids and, when the app asks
// for them, binding signatures.
func snippets(lang string, a *models.AppView, v views.ClientPage) snippet {
	var s snippet
	switch lang {
	case langKotlin:
		s = kotlinSnippet(v.Bind)
	case langArkTS:
		s = arktsSnippet(v.Bind)
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
	return snippet{fill.Replace(s.base), fill.Replace(s.register), fill.Replace(s.bind), fill.Replace(s.receipt)}
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

func kotlinSnippet(signed bool) snippet {
	return snippet{
		base: `object Hongyan {
    private const val SERVER = "{{SERVER}}/device/v1/"
    private val http = OkHttpClient()

    // Calls the device API; not on the main thread. Keep token and secret in encrypted preferences.
    fun call(path: String, body: JSONObject): JSONObject {
        val r = Request.Builder().url(SERVER + path)
            .header("X-Access-ID", "{{ACCESS_ID}}")
            .header("X-Access-Key", "{{ACCESS_KEY}}")
            .post(body.toString().toRequestBody("application/json".toMediaType()))
        Store.token?.let { r.header("X-Device-Token", it).header("X-Device-Secret", Store.secret!!) }
        http.newCall(r.build()).execute().use { answer ->
            if (answer.code == 401) Store.clear()
            if (!answer.isSuccessful) throw IOException("hongyan: ${answer.code}")
            val text = answer.body!!.string()
            return if (text.isEmpty()) JSONObject() else JSONObject(text)
        }
    }
}`,
		register: `// channel and token are those of the phone's push service: fcm, hw, honor, xm, oppo, vivo, mz.
fun register(context: Context, channel: String, token: String) {
    val route = JSONObject().put("channel", channel).put("package", "{{PACKAGE}}").put("token", token)
    val r = Hongyan.call("register", JSONObject()
        .put("routes", JSONArray().put(route))
        .put("brand", Build.BRAND).put("model", Build.MODEL).put("os_version", Build.VERSION.RELEASE)
        .put("language", Locale.getDefault().toLanguageTag()).put("time_zone", TimeZone.getDefault().id)
        .put("notifications", NotificationManagerCompat.from(context).areNotificationsEnabled()))
    Store.token = r.getString("device_token")
    if (r.has("device_secret")) Store.secret = r.getString("device_secret") // the first time only
}`,
		bind: pick(signed, `// signature and time come from your own server, which knows who is logged in.
val s = myServer.bindSignature(Store.token!!)
Hongyan.call("accounts/bind", JSONObject().put("account", s.account).put("time", s.time).put("signature", s.signature))`,
			`// After login. The account is the user's id in your IM.
Hongyan.call("accounts/bind", JSONObject().put("account", userId))`) + `

// At logout, or the next person on this phone sees the messages of the last one.
Hongyan.call("accounts/unbind", JSONObject().put("account", userId))`,
		receipt: `// status: arrived, clicked or cleared. hy_mid is in the push's data.
val receipt = JSONObject().put("message_id", data.getString("hy_mid")).put("status", "clicked")
Hongyan.call("receipts", JSONObject().put("receipts", JSONArray().put(receipt)))`,
	}
}

func arktsSnippet(signed bool) snippet {
	return snippet{
		base: `import { http } from '@kit.NetworkKit';

export class Hongyan {
  static readonly server = '{{SERVER}}/device/v1/';
  static token = ''; // keep both in the asset store
  static secret = '';

  static async call(path: string, body: object): Promise<Record<string, string>> {
    const header: Record<string, string> = {
      'Content-Type': 'application/json', 'X-Access-ID': '{{ACCESS_ID}}', 'X-Access-Key': '{{ACCESS_KEY}}',
    };
    if (Hongyan.token) {
      header['X-Device-Token'] = Hongyan.token;
      header['X-Device-Secret'] = Hongyan.secret;
    }
    const request = http.createHttp();
    try {
      const r = await request.request(Hongyan.server + path, {
        method: http.RequestMethod.POST, header: header, extraData: JSON.stringify(body),
      });
      if (r.responseCode === 401) { Hongyan.token = ''; Hongyan.secret = ''; }
      if (r.responseCode >= 300) { throw new Error('hongyan: ' + r.responseCode); }
      return r.result ? JSON.parse(r.result as string) : {};
    } finally {
      request.destroy();
    }
  }
}`,
		register: `import { pushService } from '@kit.PushKit';
import { deviceInfo } from '@kit.BasicServicesKit';
import { notificationManager } from '@kit.NotificationKit';

const token = await pushService.getToken();
const r = await Hongyan.call('register', {
  routes: [{ channel: 'harmony', package: '{{PACKAGE}}', token: token }],
  brand: deviceInfo.brand, model: deviceInfo.productModel, os_version: deviceInfo.displayVersion,
  notifications: notificationManager.isNotificationEnabledSync(),
});
Hongyan.token = r['device_token'];
if (r['device_secret']) { Hongyan.secret = r['device_secret']; } // the first time only`,
		bind: pick(signed, `// signature and time come from your own server, which knows who is logged in.
const s = await myServer.bindSignature(Hongyan.token);
await Hongyan.call('accounts/bind', { account: s.account, time: s.time, signature: s.signature });`,
			`// After login. The account is the user's id in your IM.
await Hongyan.call('accounts/bind', { account: userId });`) + `

// At logout, or the next person on this phone sees the messages of the last one.
await Hongyan.call('accounts/unbind', { account: userId });`,
		receipt: `// status: arrived, clicked or cleared. hy_mid is in the push's data.
await Hongyan.call('receipts', { receipts: [{ message_id: data['hy_mid'], status: 'clicked' }] });`,
	}
}
