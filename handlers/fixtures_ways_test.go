package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

// emitters lists how each IM server sends its fixtures, in the order of bridges.
func emitters() []emitter {
	return []emitter{
		{bridge: "wukongim", way: wukongIMSends},
		{bridge: "openim", way: openIMSends},
		{bridge: "tencent", way: tencentSends, after: map[string][]string{
			"group.json":                 {"group_create.json", "state_disconnect.json"},
			"group_online_only.json":     {"group_create.json"},
			"group_exit.json":            {"group_join.json"},
			"group_destroyed.json":       {"group_create.json"},
			"c2c_to_online.json":         {"state_login.json"},
			"state_logout.json":          {"state_login.json"},
			"rest_group.json":            {"group_add_member.json"},
			"group_msg_online_only.json": {"group_add_member.json"},
			"group_delete_member.json":   {"group_add_member.json"},
			"group_destroy.json":         {"group_add_member.json"},
		}},
		{bridge: "generic", way: func(x *exchange) { x.path = x.s.im("/messages") }},
		{bridge: "matrix", way: func(x *exchange) { x.path = x.s.im("/" + matrixPath) }},
		{bridge: "mattermost", way: mattermostSends, after: map[string][]string{"receipt.json": {"message.json"}}},
		{bridge: "rocketchat", way: rocketChatSends},
		{bridge: "unifiedpush", way: unifiedPushSends},
		{bridge: "zulip", way: zulipSends, after: map[string][]string{
			"unregister.txt":     {"register.txt"},
			"unregister_all.txt": {"register.json"},
			"user.json":          {"register.txt", "register.json"},
		}},
		{bridge: "tinode", way: tinodeSends, after: map[string][]string{
			"channel.json":     {"subscribe.json"},
			"unsubscribe.json": {"subscribe.json"},
		}},
		{bridge: "xmpp", way: func(x *exchange) { x.path = x.s.im("/xmpp") }},
	}
}

func wukongIMSends(x *exchange) {
	event := wkOffline
	switch {
	case strings.HasSuffix(x.file, "_notify.json"):
		event = wkNotify
	case strings.Contains(x.file, "_online"):
		event = wkOnline
	}
	x.path = x.s.im("/wukongim?event=" + event)
}

// openIMSends signs as OpenIM does where it takes us for a push service.
func openIMSends(x *exchange) {
	ms := strconv.FormatInt(x.s.clock().UnixMilli(), 10)
	sum := sha256.Sum256([]byte("hongyan" + ms + x.s.secret))
	below := map[string]string{
		"getui_token.json": openIMGetuiIn, "getui_single.json": openIMSingle, "getui_silent.json": openIMSingle,
		"getui_message.json": openIMTask, "getui_to_list.json": openIMList,
	}[x.file]
	switch {
	case strings.HasPrefix(x.file, "hook"):
		// The address ends with the name of the hook.
		f, _ := readFields(x.body) // a broken one names none
		below = f.text("callbackCommand")
	case strings.HasPrefix(x.file, "jpush"):
		below = openIMJPush
		x.header = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("hongyan:"+x.s.secret))}
	default:
		until := strconv.FormatInt(x.s.clock().Unix()+3600, 36)
		x.header = []string{"token", until + "." + signWord(x.s.secret, getuiTokenWord, until)}
		task := sealTask(getuiDraft{ID: "task-1", Title: "alice", Body: "大家好", Sound: defaultSound, TTL: 300_000}, x.s.secret)
		x.body = []byte(strings.NewReplacer("SIGN", hex.EncodeToString(sum[:]), "TIMESTAMP", ms, "TASK", task).Replace(string(x.body)))
	}
	x.path = x.s.im("/openim/" + below)
}

// tencentCommands says which REST command a fixture is; the others are callbacks.
func tencentCommands() map[string]string {
	out := map[string]string{
		"rest_sendmsg.json": timSendMsg, "rest_new_fields.json": timSendMsg, "rest_batch.json": timBatch, "rest_group.json": timSendGroup,
		"rest_all.json": timAll, "rest_timpush_batch.json": timPushBatch, "rest_timpush_push.json": timPush,
		"group_msg_online_only.json": timSendGroup, "group_msg_unknown.json": timSendGroup, "group_add_member.json": timGroupAdd,
		"group_delete_member.json": timGroupDelete, "group_destroy.json": timGroupEnd,
		"im_push_old.json": timAllOld, "im_push_condition.json": timAll, "im_push_online_only.json": timAll, "timpush_online_only.json": timPush,
		"im_set_attr.json": "v4/all_member_push/im_set_attr", "im_add_tag.json": "v4/all_member_push/im_add_tag",
		"im_get_push_report.json": "v4/openim/im_get_push_report",
	}
	for _, name := range []string{
		"online_only", "no_push", "client_words", "controls", "elements", "custom", "custom_silent", "custom_outside", "new_element", "bad_life",
	} {
		out["sendmsg_"+name+".json"] = timSendMsg
	}
	return out
}

func tencentSends(x *exchange) {
	if command := tencentCommands()[x.file]; command != "" {
		x.path = x.s.im("/tencent/" + command + "?" + timQuery(x.s.t, x.s.secret, x.s.imApp.SDKAppID, x.s.clock()).Encode())
		return
	}
	var body struct {
		CallbackCommand string
		Events          []struct{ CallbackCommand string }
	}
	if err := json.Unmarshal(x.body, &body); err != nil {
		x.s.t.Fatalf("%s: %v", x.file, err)
	}
	q := url.Values{"SdkAppid": {number(x.s.imApp.SDKAppID)}, "CallbackCommand": {body.CallbackCommand}, "contenttype": {"json"}}
	switch {
	case len(body.Events) > 0: // which have neither of the two below
		q.Set("CallbackCommand", body.Events[0].CallbackCommand)
	case body.CallbackCommand == timStateChange:
		q.Set("ClientIP", "192.0.2.1")
		q.Set("OptPlatform", "IOS") // spelt so there alone
	default:
		q.Set("ClientIP", "192.0.2.1")
		q.Set("OptPlatform", "RESTAPI")
	}
	x.path = x.s.im("/tencent?" + q.Encode())
	if x.file == "c2c_signed.json" {
		at := number(x.s.clock().Unix())
		sum := sha256.Sum256([]byte(x.s.secret + at))
		x.path += "&Sign=" + hex.EncodeToString(sum[:]) + "&RequestTime=" + at
	}
}

func mattermostSends(x *exchange) {
	x.path = x.s.im("/" + mattermostSend)
	if x.file == "receipt.json" {
		x.path = x.s.im("/" + mattermostAck)
	}
}

func rocketChatSends(x *exchange) {
	x.path = x.s.im("/push/gcm/send")
	if x.file == "direct.json" || x.file == "badge.json" {
		x.path = x.s.im("/push/apn/send")
	}
}

func unifiedPushSends(x *exchange) {
	x.path = x.s.im("/up/" + x.bob.token)
	x.header = map[string][]string{
		"json.txt":    {"TTL", "86400", "Urgency", "high"},
		"plain.txt":   {"TTL", "0", "Urgency", "low", "Content-Type", "text/plain"},
		"webpush.bin": {"TTL", "60", "Urgency", "very-low", "Topic", "room-1", "Content-Encoding", "aes128gcm", "Content-Type", "application/octet-stream"},
	}[x.file]
}

func zulipSends(x *exchange) {
	x.header = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("org-1:"+x.s.secret))}
	name, ext, _ := strings.Cut(x.file, ".")
	switch {
	case ext == "txt", strings.HasPrefix(name, "register"):
		x.path = zulipBase + strings.ReplaceAll(name, "_", "/")
	default:
		x.path = zulipBase + "notify"
	}
	if ext == "txt" {
		x.header = append(x.header, "Content-Type", "application/x-www-form-urlencoded")
	}
}

func tinodeSends(x *exchange) {
	x.path = "/pushv1/demo"
	if strings.HasSuffix(x.file, "subscribe.json") {
		x.path = "/sub/demo"
	}
	x.body = gzipped(x.s.t, string(x.body))
	x.header = []string{"Content-Encoding", "gzip", "Authorization", "Bearer " + x.s.secret}
}
