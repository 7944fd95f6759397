package handlers

import "hongyan/push"

func kotlinSnippet(signed bool) snippet {
	return snippet{
		vendors: kotlinVendors(),
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
		register: `// Each vendor's code below ends here. What fails, the next start of the app tries again.
fun onToken(context: Context, channel: String, token: String?) {
    if (token.isNullOrEmpty()) return
    thread {
        try {
            register(context.applicationContext, channel, token)
        } catch (e: IOException) {
            Log.w("hongyan", "register", e)
        }
    }
}

@Synchronized
fun register(context: Context, channel: String, token: String) {
    Store.routes = Store.routes.put(channel, token) // a JSONObject that is kept: a route left out is removed
    val routes = JSONArray()
    for (c in Store.routes.keys()) {
        routes.put(JSONObject().put("channel", c).put("package", "{{PACKAGE}}").put("token", Store.routes.getString(c)))
    }
    val r = Hongyan.call("register", JSONObject()
        .put("routes", routes)
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
		receipt: `// In the activity that the notification opens. hy_mid is an extra of its intent; Xiaomi's SDK puts the
// push's data, as JSON, into the content of the MiPushMessage under PushMessageHelper.KEY_MESSAGE.
val id = intent.getStringExtra("hy_mid")
val more = JSONObject(intent.getStringExtra("hy_more") ?: "{}") // data without keys of its own
if (id != null) thread {
    val receipt = JSONObject().put("message_id", id).put("status", "clicked") // or arrived, cleared
    try {
        Hongyan.call("receipts", JSONObject().put("receipts", JSONArray().put(receipt)))
    } catch (e: IOException) {
        Log.w("hongyan", "receipt", e)
    }
}`,
	}
}

// kotlinVendors are where each vendor's SDK hands out the token, with the channel's id
// that the route needs. Names of keys in capitals are the app's own at that vendor.
func kotlinVendors() []vendorSnippet { return append(kotlinServices(), kotlinReceivers()...) }

// kotlinServices are the SDKs that hand the token to a call or a service.
func kotlinServices() []vendorSnippet {
	return []vendorSnippet{
		{push.Huawei, `// At every start. An empty token comes later, through the service.
thread {
    try {
        val appId = AGConnectOptionsBuilder().build(context).getString("client/app_id")
        onToken(context, "hw", HmsInstanceId.getInstance(context).getToken(appId, "HCM"))
    } catch (e: ApiException) {
        Log.w("hongyan", "hms ${e.statusCode}")
    }
}

// In the manifest: com.huawei.push.action.MESSAGING_EVENT.
class HmsService : HmsMessageService() {
    override fun onNewToken(token: String?, bundle: Bundle?) = onToken(this, "hw", token)
}`},
		{push.Honor, `// At every start.
if (HonorPushClient.getInstance().checkSupportHonorPush(context)) {
    HonorPushClient.getInstance().init(context, false)
    HonorPushClient.getInstance().getPushToken(object : HonorPushCallback<String> {
        override fun onSuccess(token: String?) = onToken(context, "honor", token)
        override fun onFailure(code: Int, message: String?) { Log.w("hongyan", "honor $code $message") }
    })
}

// In the manifest: com.hihonor.push.action.MESSAGING_EVENT.
class HonorService : HonorMessageService() {
    override fun onNewToken(token: String?) = onToken(this, "honor", token)
}`},
		{push.OPPO, `// At every start.
HeytapPushManager.init(context, false)
if (HeytapPushManager.isSupportPush(context)) {
    HeytapPushManager.register(context, OPPO_APP_KEY, OPPO_APP_SECRET, object : ICallBackResultService {
        override fun onRegister(code: Int, id: String?, packageName: String?, miniPackage: String?) {
            if (code == 0) onToken(context, "oppo", id)
        }
        override fun onUnRegister(code: Int, packageName: String?, miniPackage: String?) {}
        override fun onSetPushTime(code: Int, time: String?) {}
        override fun onGetPushStatus(code: Int, status: Int) {}
        override fun onGetNotificationStatus(code: Int, status: Int) {}
        override fun onError(code: Int, message: String?, packageName: String?, miniPackage: String?) {
            Log.w("hongyan", "oppo $code $message")
        }
    })
}`},
		{push.FCM, `// At every start.
FirebaseMessaging.getInstance().token.addOnSuccessListener { token -> onToken(context, "fcm", token) }

// In the manifest: com.google.firebase.MESSAGING_EVENT.
class FcmService : FirebaseMessagingService() {
    override fun onNewToken(token: String) = onToken(this, "fcm", token)
}`},
	}
}

// kotlinReceivers are the SDKs that hand the token to a broadcast receiver.
func kotlinReceivers() []vendorSnippet {
	return []vendorSnippet{
		{push.Xiaomi, `// At every start.
MiPushClient.registerPush(context, XIAOMI_APP_ID, XIAOMI_APP_KEY)

class XiaomiReceiver : PushMessageReceiver() {
    override fun onReceiveRegisterResult(context: Context, result: MiPushCommandMessage) {
        if (result.command == MiPushClient.COMMAND_REGISTER && result.resultCode == ErrorCode.SUCCESS.toLong()) {
            onToken(context, "xm", result.commandArguments?.firstOrNull())
        }
    }
}`},
		{push.Vivo, `// At every start, after the user has agreed to the privacy policy.
val vivo = PushClient.getInstance(context)
vivo.initialize(PushConfig.Builder().agreePrivacyStatement(true).build())
vivo.turnOnPush { state ->
    if (state == 0) vivo.getRegId(object : IPushQueryActionListener {
        override fun onSuccess(id: String?) = onToken(context, "vivo", id)
        override fun onFail(code: Int) { Log.w("hongyan", "vivo $code") }
    })
}

class VivoReceiver : OpenClientPushMessageReceiver() {
    override fun onReceiveRegId(context: Context, id: String?) = onToken(context, "vivo", id)
}`},
		{push.Meizu, `// At every start.
PushManager.register(context, MEIZU_APP_ID, MEIZU_APP_KEY)

class MeizuReceiver : MzPushMessageReceiver() {
    override fun onRegisterStatus(context: Context, status: RegisterStatus?) = onToken(context, "mz", status?.pushId)
    override fun onUnRegisterStatus(context: Context, status: UnRegisterStatus?) {}
    override fun onPushStatus(context: Context, status: PushSwitchStatus?) {}
    override fun onSubTagsStatus(context: Context, status: SubTagsStatus?) {}
    override fun onSubAliasStatus(context: Context, status: SubAliasStatus?) {}
}`},
	}
}
