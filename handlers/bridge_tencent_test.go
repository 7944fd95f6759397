package handlers

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// packUserSig is the other side of readUserSig.
func packUserSig(t testing.TB, u timUserSig) string {
	t.Helper()
	plain, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b.Bytes()))
}

func goodUserSig(key string, app int64, now time.Time) timUserSig {
	u := timUserSig{Version: "2.0", Identifier: "admin", SDKAppID: app, Expire: 180 * 86400, Time: now.Unix()}
	u.Sig = u.sign(key)
	return u
}

func timQuery(t testing.TB, key string, app int64, now time.Time) url.Values {
	t.Helper()
	return url.Values{
		"sdkappid": {strconv.FormatInt(app, 10)}, "identifier": {"admin"}, "usersig": {packUserSig(t, goodUserSig(key, app, now))},
		"random": {"1"}, "contenttype": {"json"},
	}
}

const testSDKAppID = 1400000001

func timREST(t testing.TB, command string, body []byte) ingestRequest {
	t.Helper()
	return ingestRequest{
		below: command, query: timQuery(t, testIngestSecret, testSDKAppID, testNow()), header: http.Header{}, body: body,
		now: testNow(), secret: testIngestSecret, sdkAppID: testSDKAppID,
	}
}

func timCallback(body []byte, query ...string) ingestRequest {
	q := url.Values{"SdkAppid": {strconv.Itoa(testSDKAppID)}, "contenttype": {"json"}, "OptPlatform": {"iOS"}}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	return ingestRequest{query: q, header: http.Header{}, body: body, now: testNow(), secret: testIngestSecret, sdkAppID: testSDKAppID}
}

// TestFixtures sees what an app on iOS gets; others get the other title and sound.
func TestTencentREST(t *testing.T) {
	t.Parallel()
	one, err := tencentIM{}.parse(timREST(t, timSendMsg, fixture(t, "tencent/rest_sendmsg.json")))
	if err != nil {
		t.Fatal(err)
	}
	want := models.Incoming{
		SourceID: one.messages[0].SourceID, Kind: models.KindAlert, Account: "bob", Sender: "alice", Conversation: "alice", ExpiresAt: testNow().Add(time.Hour),
		Content: models.Content{
			Title: "标题", Subtitle: "apns subtitle", Body: "这是推送内容", Sound: "android.mp3", MutableContent: true, KeepBadge: true, ThreadID: "alice",
			ChannelIDs: map[string]string{"hw": "im", "xm": "x1", "oppo": "o1", "fcm": "g1"},
			Classes:    map[string]map[string]string{"hw": {"importance": "LOW"}, "vivo": {"classification": "1"}},
			Data: map[string]any{
				"ext": `{"entity":{"k":"v"}}`, "sender": "alice", "image": "https://example.com/image.png", "cloud_custom_data": "your cloud custom data",
				"android": map[string]any{
					"HuaWeiChannelID": "im", "XiaoMiChannelID": "x1", "OPPOChannelID": "o1", "GoogleChannelID": "g1",
					"ExtAsHuaweiIntentParam": json.Number("1"), // Ext is an extra of the console's intent anyway
				},
			},
		},
		IOS: &models.Variant{Title: "apns title", Sound: "apns.mp3"}, // ApnsInfo.Title overrides the top Title
	}
	if d := cmp.Diff([]models.Incoming{want}, one.messages); d != "" {
		t.Errorf("sendmsg (-want +got)\n%s", d)
	}
	if !strings.HasPrefix(want.SourceID, "alice_1287657_") {
		t.Errorf("source id %q", want.SourceID)
	}
}

// TestTencentClasses: what is no class is kept for the vendor's channel to refuse, as
// short as one.
func TestTencentClasses(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]map[string]map[string]string{
		`{"HuaWeiCategory":"","VIVOClassification":null,"OPPOCategory":" "}`:               nil,
		`{"VIVOClassification":0,"HonorImportance":"LOW"}`:                                 {"vivo": {"classification": "0"}, "honor": {"importance": "LOW"}},
		`{"OPPONotifyLevel":"2","OPPOCategory":{"a":1}}`:                                   {"oppo": {"notify_level": "2", "category": `{"a":1}`}},
		`{"HuaWeiCategory":"` + strings.Repeat("类", 100) + `","MeiZuNoticeMsgType":false}`: {"hw": {"category": strings.Repeat("类", 21)}, "mz": {"notice_msg_type": "false"}},
	} {
		f, err := readFields([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, timClasses(f)); d != "" {
			t.Errorf("%.60s (-want +got)\n%s", body, d)
		}
	}
}

// timMessageBody is a sendmsg that a test changes.
func timMessageBody(t testing.TB, change map[string]any) []byte {
	t.Helper()
	m := map[string]any{
		"From_Account": "alice", "To_Account": "bob", "MsgRandom": 1,
		"MsgBody": []any{map[string]any{"MsgType": "TIMTextElem", "MsgContent": map[string]any{"Text": "hi"}}},
	}
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func timElem(kind string, content map[string]any) map[string]any {
	return map[string]any{"MsgType": kind, "MsgContent": content}
}

func TestTencentText(t *testing.T) {
	t.Parallel()
	custom := timElem("TIMCustomElem", map[string]any{"Data": "d", "Desc": "desc", "Ext": "e", "Sound": "s.caf"})
	text := timElem("TIMTextElem", map[string]any{"Text": "hi"})
	for _, c := range []struct {
		name string
		body []any
		info map[string]any
		want string // "" for no push
	}{
		{"text", []any{text}, nil, "hi"},
		{"two without separator", []any{text, timElem("TIMLocationElem", map[string]any{})}, nil, "hi[位置]"},
		{"face", []any{timElem("TIMFaceElem", map[string]any{})}, nil, "[表情]"},
		{"Desc overrides", []any{text}, map[string]any{"Desc": "other"}, "other"},
		{"do not push, in the client's words", []any{text}, map[string]any{"disablePush": true}, ""},
		{"blank", []any{timElem("TIMTextElem", map[string]any{"Text": " \u0007 "})}, nil, "收到一条新消息"},
	} {
		change := map[string]any{"MsgBody": c.body}
		if c.info != nil {
			change["OfflinePushInfo"] = c.info
		}
		got, err := tencentIM{}.parse(timREST(t, timSendMsg, timMessageBody(t, change)))
		if err != nil {
			t.Error(c.name, err)
			continue
		}
		if c.want == "" {
			if len(got.messages) != 0 || got.dropped["skipped"] != 1 {
				t.Errorf("%s: %+v", c.name, got)
			}
			continue
		}
		if len(got.messages) != 1 || got.messages[0].Content.Body != c.want {
			t.Errorf("%s: %+v, want %q", c.name, got.messages, c.want)
		}
	}
	// A custom element's own Ext and Sound count only without OfflinePushInfo.
	for _, with := range []bool{false, true} {
		change := map[string]any{"MsgBody": []any{custom}}
		sound, ext := "s.caf", any("e")
		if with {
			change["OfflinePushInfo"] = map[string]any{"ApnsInfo": map[string]any{"Sound": "push.no_sound"}}
			sound, ext = "", nil
		}
		got, err := tencentIM{}.parse(timREST(t, timSendMsg, timMessageBody(t, change)))
		if err != nil || got.messages[0].Content.Sound != sound || got.messages[0].Content.Data["ext"] != ext {
			t.Errorf("OfflinePushInfo %v: %v %+v", with, err, got)
		}
	}
}

// Each of Tencent's documented refusals has its number.
func TestTencentErrors(t *testing.T) {
	t.Parallel()
	tags := func(n int) []string { return strings.Split(strings.Repeat("t,", n-1)+"t", ",") }
	all := func(c map[string]any) []byte {
		return timMessageBody(t, map[string]any{"To_Account": nil, "Condition": c})
	}
	for _, c := range []struct {
		name, command string
		body          []byte
		number        int
	}{
		{"no JSON", timSendMsg, []byte("{"), 90001},
		{"no recipient", timSendMsg, timMessageBody(t, map[string]any{"To_Account": nil}), 90003},
		{"recipient of another type", timSendMsg, timMessageBody(t, map[string]any{"To_Account": map[string]any{}}), 90003},
		{"no MsgRandom", timSendMsg, timMessageBody(t, map[string]any{"MsgRandom": nil}), 90005},
		{"MsgTimeStamp", timSendMsg, timMessageBody(t, map[string]any{"MsgTimeStamp": "x"}), 90006},
		{"MsgBody no array", timSendMsg, timMessageBody(t, map[string]any{"MsgBody": 5}), 90007},
		{"From_Account", timSendMsg, timMessageBody(t, map[string]any{"From_Account": []int{}}), 90008},
		{"empty MsgBody", timSendMsg, timMessageBody(t, map[string]any{"MsgBody": []any{}}), 90010},
		{"element", timSendMsg, timMessageBody(t, map[string]any{"MsgBody": []any{5}}), 90010},
		{"501", timBatch, timMessageBody(t, map[string]any{"To_Account": strings.Split(strings.Repeat("a,", 500)+"a", ",")}), 90011},
		{"account", timSendMsg, timMessageBody(t, map[string]any{"To_Account": strings.Repeat("长", 200)}), 90012},
		{"lifetime", timSendMsg, timMessageBody(t, map[string]any{"MsgLifeTime": 604801}), 90026},
		{"SyncOtherMachine", timSendMsg, timMessageBody(t, map[string]any{"SyncOtherMachine": "x"}), 90031},
		{"lifetime's type", timSendMsg, timMessageBody(t, map[string]any{"MsgLifeTime": "x"}), 90044},
		{"8 KB", timSendMsg, timMessageBody(t, map[string]any{"x": strings.Repeat("x", maxTimBody)}), 93000},
		{"8 KB in a group", timSendGroup, timMessageBody(t, map[string]any{"x": strings.Repeat("x", maxTimBody)}), 80002},
		{"group", timSendGroup, timMessageBody(t, map[string]any{"Random": 1}), 10015},
		{"group's random", timSendGroup, timMessageBody(t, map[string]any{"GroupId": "g"}), 10004},
		{"no members", timGroupAdd, []byte(`{"GroupId":"g"}`), 10004},
		{"tag long", timAll, all(map[string]any{"TagsOr": []string{strings.Repeat("t", 51)}}), 90020},
		{"tag twice", timAll, all(map[string]any{"TagsOr": []string{"a"}, "TagsAnd": []string{"a"}}), 90022},
		{"11 tags", timAll, all(map[string]any{"TagsOr": tags(11)}), 90032},
		{"attribute", timAll, all(map[string]any{"AttrsOr": 5}), 90033},
		{"tags and attributes", timAll, all(map[string]any{"TagsOr": []string{"a"}, "AttrsAnd": map[string]any{"sex": "m"}}), 90039},
		{"empty tag", timAll, all(map[string]any{"TagsAnd": []string{""}}), 90040},
		{"condition", timAllOld, all(map[string]any{"TagsOr": []string{"a"}}), 90045},
		{"push without info", timPush, []byte(`{}`), 90001},
		{"unknown command", "v4/profile/portrait_set", []byte(`{}`), 60009},
	} {
		_, err := tencentIM{}.parse(timREST(t, c.command, c.body))
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		if n := timErrorCode(c.command, apiErrorOf(err)); n != c.number {
			t.Errorf("%s: %d (%v), want %d", c.name, n, err, c.number)
		}
	}
}

func TestTencentUserSig(t *testing.T) {
	t.Parallel()
	now := testNow()
	for _, c := range []struct {
		name   string
		change func(u *timUserSig, q url.Values)
		key    string
		number int
	}{
		{"good", func(*timUserSig, url.Values) {}, testIngestSecret, 0},
		{"with userbuf", func(u *timUserSig, _ url.Values) { u.UserBuf = "YWJj" }, testIngestSecret, 0},
		{"none", func(_ *timUserSig, q url.Values) { q.Set("usersig", "") }, testIngestSecret, 70003},
		{"garbage", func(_ *timUserSig, q url.Values) { q.Set("usersig", "eJw*") }, testIngestSecret, 70003},
		{"another key", func(*timUserSig, url.Values) {}, "another", 70009},
		{"another app", func(u *timUserSig, _ url.Values) { u.SDKAppID = 7 }, testIngestSecret, 70014},
		{"another app in the query", func(_ *timUserSig, q url.Values) { q.Set("sdkappid", "7") }, testIngestSecret, 60012},
		{"another user", func(_ *timUserSig, q url.Values) { q.Set("identifier", "bob") }, testIngestSecret, 70013},
		{"expired", func(u *timUserSig, _ url.Values) { u.Time = now.Unix() - 10; u.Expire = 9 }, testIngestSecret, 70001},
		{"overflow", func(u *timUserSig, _ url.Values) { u.Time = now.Unix() + 1e6; u.Expire = 1<<63 - 1 }, testIngestSecret, 70001},
		{"version", func(u *timUserSig, _ url.Values) { u.Version = "1.0" }, testIngestSecret, 70003},
	} {
		r := timREST(t, timSendMsg, timMessageBody(t, nil))
		u := goodUserSig(c.key, testSDKAppID, now)
		set := r.query.Get("usersig")
		c.change(&u, r.query)
		u.Sig = u.sign(c.key)
		if r.query.Get("usersig") == set {
			r.query.Set("usersig", packUserSig(t, u))
		}
		_, err := tencentIM{}.parse(r)
		if (err == nil) != (c.number == 0) || err != nil && timErrorCode(r.below, apiErrorOf(err)) != c.number {
			t.Errorf("%s: %v, want %d", c.name, err, c.number)
		}
	}
	// An IM app with a SecretKey of its own is signed for with that alone.
	for key, number := range map[string]int{"own-secret-key": 0, testIngestSecret: 70009} {
		r := timREST(t, timSendMsg, timMessageBody(t, nil))
		r.sdkKey = "own-secret-key"
		r.query.Set("usersig", packUserSig(t, goodUserSig(key, testSDKAppID, now)))
		if _, err := (tencentIM{}).parse(r); (err == nil) != (number == 0) || err != nil && timErrorCode(r.below, apiErrorOf(err)) != number {
			t.Errorf("with a key of its own, signed with %q: %v, want %d", key, err, number)
		}
	}
	// A small text that unpacks to a lot.
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	if _, ok := readUserSig(base64.StdEncoding.EncodeToString(b.Bytes())); ok {
		t.Error("a bomb is a UserSig")
	}
}

func TestTencentSign(t *testing.T) {
	t.Parallel()
	// Tencent's own example.
	at := time.Unix(1669872112, 0)
	r := timCallback(fixture(t, "tencent/c2c.json"), "CallbackCommand", timC2C, "RequestTime", "1669872112",
		"Sign", "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061")
	r.secret, r.now = "xxxxyyyy", at
	if got, err := (tencentIM{}).parse(r); err != nil || len(got.messages) != 1 {
		t.Error(err)
	}
	for name, change := range map[string]func(){
		"tim_sign_old":             func() { r.now = at.Add(61 * time.Second) },
		"tim_sign":                 func() { r.now = at; r.secret = "xxxxyyyz" },
		"tim_sdkappid":             func() { r.query.Set("SdkAppid", "7") },
		"tim_sdkappid without one": func() { r.query.Del("SdkAppid") },
		"tim_sign without one":     func() { r.query.Del("Sign") },
		"tim_sign without a time":  func() { r.query.Del("RequestTime") },
	} {
		name, _, _ = strings.Cut(name, " ")
		saved := r
		r.query = url.Values{}
		for k, v := range saved.query {
			r.query[k] = v
		}
		change()
		if _, err := (tencentIM{}).parse(r); err == nil || apiErrorOf(err).code != name {
			t.Errorf("%v, want %s", err, name)
		}
		// A callback before an act must not stop the act.
		r.query.Set("CallbackCommand", "C2C.CallbackBeforeSendMsg")
		if got, err := (tencentIM{}).parse(r); err != nil || got.dropped["skipped"] != 1 {
			t.Errorf("before: %v %+v", err, got)
		}
		r = saved
	}
	// Without a signature the secret in the address says who calls, and the app must be
	// right all the same.
	r.query.Del("Sign")
	r.query.Del("RequestTime")
	if got, err := (tencentIM{}).parse(r); err != nil || len(got.messages) != 1 {
		t.Error("unsigned:", err)
	}
	r.query.Del("SdkAppid")
	if _, err := (tencentIM{}).parse(r); err == nil || apiErrorOf(err).code != "tim_sdkappid" {
		t.Errorf("unsigned, of no app: %v", err)
	}
}

func TestTencentReachable(t *testing.T) {
	t.Parallel()
	now := testNow()
	on, lost, out := models.PresenceOnline, models.PresenceLost, models.PresenceLoggedOut
	p := func(platform string, s models.PresenceState, age time.Duration) models.Presence {
		return models.Presence{Platform: platform, State: s, Seen: now.Add(-age)}
	}
	for _, c := range []struct {
		name  string
		known []models.Presence
		want  bool
	}{
		{"unknown", nil, true},
		{"phone connected", []models.Presence{p("ios", on, 0)}, false},
		{"phone connected, notice of the end lost", []models.Presence{p("ios", on, 25*time.Hour)}, true},
		{"phone gone", []models.Presence{p("android", lost, 0)}, true},
		{"logged out", []models.Presence{p("android", out, 0)}, false},
		{"computer alone", []models.Presence{p("web", on, 0)}, true},
		{"computer connected, phone gone", []models.Presence{p("windows", on, 0), p("ios", lost, 0)}, true},
		{"computer connected, phone logged out", []models.Presence{p("mac", on, 0), p("ios", out, 0)}, false},
		{"one phone gone, one logged out", []models.Presence{p("ios", lost, 0), p("android", out, 0)}, true},
		{"one phone gone, one connected", []models.Presence{p("ios", lost, 0), p("ipad", on, 0)}, false},
	} {
		if got := timReachable(c.known, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
