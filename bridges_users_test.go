package main

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// shape makes message n of one kind.
type shape = func(s *bridgeSide, n int, rng *rand.Rand) emission

// emitters are the IM servers by the bridge that they speak to.
func emitters() map[string]emitter {
	return map[string]emitter{
		"wukongim": wukongEmitter(), "openim": openIMEmitter(), "tencent": tencentEmitter(), "generic": genericEmitter(),
		"matrix": matrixEmitter(), "mattermost": mattermostEmitter(), "rocketchat": rocketChatEmitter(),
		"unifiedpush": unifiedPushEmitter(), "zulip": zulipEmitter(), "tinode": tinodeEmitter(), "xmpp": xmppEmitter(),
	}
}

func wukongEmitter() emitter {
	offline := func(s *bridgeSide, n int, path string, change func(m object)) emission {
		m := object{
			"header": object{"no_persist": 0, "red_dot": 1, "sync_once": 0}, "message_id": 2124668323860844544 + n,
			"message_idstr": strconv.Itoa(2124668323860844544 + n), "client_msg_no": fmt.Sprint("c-", n), "message_seq": n,
			"from_uid": s.sender.account, "channel_type": 1, "timestamp": time.Now().Unix(),
			"payload": base64.StdEncoding.EncodeToString(jsonOf(object{"type": 1, "content": text(n)})),
		}
		change(m)
		return emission{path: s.im(path + "?event=msg.offline"), body: jsonOf(m), taken: said(200, "status", "ok")}
	}
	person := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := offline(s, n, []string{"/wukongim", ""}[n%2], func(m object) { m["to_uids"], m["channel_id"] = accountsOf(to), to[0].account })
		e.what, e.to = "person", tokensOf(to)
		return e
	}
	group := func(s *bridgeSide, n int, rng *rand.Rand) emission { // v3 lists a sender without a connection
		to := s.some(3, rng)
		e := offline(s, n, "/wukongim", func(m object) {
			m["channel_type"], m["channel_id"], m["to_uids"] = 2, "g1", accountsOf(to, s.sender.account)
		})
		e.what, e.to = "group with the sender", tokensOf(to)
		return e
	}
	large := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(5, rng)
		e := offline(s, n, "/wukongim", func(m object) {
			m["channel_type"], m["compress"] = 2, "gzip"
			m["compress_to_uids"] = base64.StdEncoding.EncodeToString(zipped(jsonOf(accountsOf(to, "nobody"))))
		})
		e.what, e.to, e.lost = "compressed list", tokensOf(to), 1
		return e
	}
	silent := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := offline(s, n, "/wukongim", func(m object) {
			m["to_uids"] = accountsOf(to)
			switch n % 4 {
			case 0:
				m["header"] = object{"no_persist": 1}
			case 1:
				m["header"] = object{"sync_once": 1}
			case 2:
				m["payload"] = base64.StdEncoding.EncodeToString(jsonOf(object{"type": 99, "content": text(n)}))
			default:
				m["to_uids"] = []string{s.sender.account}
			}
		})
		e.what = "not for eyes"
		if n%8 == 7 {
			e.what, e.path = "another event", s.im("/wukongim?event=user.onlinestatus")
			e.body = jsonOf([]string{to[0].account + "-0-1-1-1-1"})
		}
		return e
	}
	return emitter{sender: "alice", shapes: []shape{person, person, group, large, silent}}
}

func genericEmitter() emitter {
	message := func(s *bridgeSide, n int, to any) object {
		return object{
			"id": fmt.Sprint("m-", n), "from": object{"id": s.sender.account, "name": "Alice"}, "to": to,
			"conversation": object{"id": "c1", "type": "group", "name": "组"}, "body": text(n),
		}
	}
	single := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		return emission{what: "person", path: s.im("/messages"), body: jsonOf(message(s, n, to[0].account)), to: tokensOf(to), taken: said(202, "", "")}
	}
	several := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(4, rng)
		m := message(s, n, accountsOf(to, s.sender.account, "nobody"))
		delete(m, "id")
		return emission{
			what: "several by key", path: s.im("/messages"), body: zipped(jsonOf(m)), to: tokensOf(to), lost: 1, taken: said(202, "", ""),
			header: map[string]string{"Idempotency-Key": fmt.Sprint("key-", n), "Content-Encoding": "gzip"},
		}
	}
	array := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(2, rng)
		second := message(s, n, to[1].account)
		second["id"] = fmt.Sprint("m-", n, "-2")
		return emission{
			what: "array", path: s.im("/messages"), to: tokensOf(to), taken: said(202, "", ""),
			body: jsonOf([]object{message(s, n, to[0].account), second}),
		}
	}
	badge := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		m := message(s, n, s.some(1, rng)[0].account)
		m["kind"], m["badge"] = "badge", n%50
		return emission{what: "badge", path: s.im("/messages"), body: jsonOf(m), taken: said(202, "", "")}
	}
	return emitter{sender: "alice", shapes: []shape{single, single, several, array, badge}}
}

func openIMEmitter() emitter {
	hook := func(s *bridgeSide, n int, to []string) object {
		return object{
			"callbackCommand": "callbackBeforeOfflinePushCommand", "operationID": fmt.Sprint("op-", n), "platformID": 1, "platform": "iOS",
			"userIDList": to, "title": "Alice", "desc": text(n), "ex": "", "clientMsgID": fmt.Sprint("oim-", n), "sendID": s.sender.account,
			"groupID": "", "contentType": 101, "sessionType": 1, "content": string(jsonOf(object{"content": text(n)})),
		}
	}
	person := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		return emission{what: "hook", path: s.im("/openim/callbackBeforeOfflinePushCommand"), body: jsonOf(hook(s, n, accountsOf(to))), to: tokensOf(to), taken: said(200, "nextCode", "1")}
	}
	group := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(3, rng)
		m := hook(s, n, accountsOf(to, s.sender.account))
		m["groupID"], m["sessionType"] = "g1", 3
		return emission{what: "hook of a group", path: s.im(""), body: jsonOf(m), to: tokensOf(to), taken: said(200, "nextCode", "1")}
	}
	typing := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		m := hook(s, n, accountsOf(s.some(1, rng)))
		m["contentType"] = 113
		if n%2 == 0 {
			m["contentType"], m["userIDList"] = 101, []string{s.sender.account}
		}
		return emission{what: "hook, not for eyes", path: s.im("/openim/callbackBeforeOfflinePushCommand"), body: jsonOf(m), taken: said(200, "actionCode", "0")}
	}
	return emitter{sender: "alice", setUp: getuiSignIn, shapes: []shape{person, group, typing, getuiSingle, getuiList, jpushAlias}}
}

// getuiSignIn gets the token that Getui's calls carry.
func getuiSignIn(s *bridgeSide) {
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	sum := sha256.Sum256([]byte("hongyan" + at + s.secret))
	a, err := s.run.send(&emission{path: s.im("/openim/getui/auth"), body: jsonOf(object{"sign": hex.EncodeToString(sum[:]), "timestamp": at, "appkey": "hongyan"})})
	s.run.must(err)
	data, _ := a.object()["data"].(object)
	s.token, _ = data["token"].(string)
	if s.token == "" {
		s.run.t.Fatalf("getui: no token: %d", a.status)
	}
	s.run.keep(s.token)
}

func getuiPush(n int) object {
	return object{
		"push_message": object{"notification": object{"title": "Alice", "body": text(n), "click_type": "startapp"}},
		"push_channel": object{"ios": object{"type": "notify", "aps": object{"sound": "default", "alert": object{"title": "Alice", "body": text(n)}}}},
		"settings":     object{"ttl": 3600000},
	}
}

func getuiSingle(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(1, rng)
	m := getuiPush(n)
	m["request_id"], m["audience"] = fmt.Sprint("gt-", n), object{"alias": accountsOf(to)}
	return emission{
		what: "getui", path: s.im("/openim/getui/push/single/alias"), body: jsonOf(m), header: map[string]string{"token": s.token},
		to: tokensOf(to), taken: said(200, "code", "0"),
	}
}

// getuiList makes the push once, as the server does, and then names its recipients.
func getuiList(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(3, rng)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[n] == "" {
		a, err := s.run.send(&emission{path: s.im("/openim/getui/push/list/message"), body: jsonOf(getuiPush(n)), header: map[string]string{"token": s.token}})
		if err != nil {
			s.run.t.Errorf("getui: %v", err)
		}
		data, _ := a.object()["data"].(object)
		s.tasks[n], _ = data["taskid"].(string)
	}
	return emission{
		what: "getui list", path: s.im("/openim/getui/push/list/alias"), header: map[string]string{"token": s.token},
		body: jsonOf(object{"audience": object{"alias": accountsOf(to)}, "taskid": s.tasks[n], "is_async": true}), to: tokensOf(to), taken: said(200, "code", "0"),
	}
}

func jpushAlias(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(2, rng)
	extras := object{"ClientMsgID": fmt.Sprint("jp-", n)}
	return emission{
		what: "jpush", path: s.im("/openim/jpush/v3/push"), to: tokensOf(to), taken: said(200, "sendno", "0"),
		header: map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("hongyan:"+s.secret))},
		body: jsonOf(object{
			"platform": "all", "audience": object{"alias": accountsOf(to)},
			"notification": object{"alert": text(n), "ios": object{"alert": object{"title": "Alice", "body": text(n)}, "sound": "default", "badge": "+1", "extras": extras}},
			"options":      object{"apns_production": true},
		}),
	}
}

// tencentEmitter sends commands of the REST API and callbacks, which need to know who is
// where.
func tencentEmitter() emitter {
	return emitter{sender: "alice", setUp: tencentSetUp, shapes: []shape{
		tencentSend, tencentSend, tencentBatch, tencentGroupSend, tencentC2C, tencentC2C, tencentGroup, tencentSilent, tencentRead,
	}}
}

const tencentGroupID = "@TGS#1"

func tencentSetUp(s *bridgeSide) {
	r := s.run
	tell := func(path string, body object) {
		a, err := r.send(&emission{path: path, body: jsonOf(body)})
		r.must(err)
		if !said(200, "ErrorCode", "0")(a) {
			r.t.Fatalf("tencent: %d %s", a.status, a.body)
		}
	}
	everybody := append(append([]person{}, s.people...), s.sender, s.online, s.logged)
	var members []object
	for _, p := range everybody {
		members = append(members, object{"Member_Account": p.account})
		action := "Disconnect"
		switch p.account {
		case s.online.account:
			action = "Login"
		case s.logged.account:
			action = "Logout"
		}
		tell(s.callback("State.StateChange", "IOS"), object{
			"CallbackCommand": "State.StateChange", "EventTime": time.Now().UnixMilli(),
			"Info": object{"Action": action, "To_Account": p.account, "Reason": "Register"},
		})
	}
	tell(s.rest("v4/group_open_http_svc/add_group_member", 1), object{"GroupId": tencentGroupID, "MemberList": members})
}

// callback is the address of a callback, signed with the secret as token.
func (s *bridgeSide) callback(command, platform string) string {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	sum := sha256.Sum256([]byte(s.secret + at))
	q := url.Values{
		"SdkAppid": {strconv.FormatInt(s.sdkAppID, 10)}, "CallbackCommand": {command}, "contenttype": {"json"}, "ClientIP": {"127.0.0.1"},
		"OptPlatform": {platform}, "RequestTime": {at}, "Sign": {hex.EncodeToString(sum[:])},
	}
	return s.im("/tencent?" + q.Encode())
}

// rest is the address of a command, with a signature made of the secret.
func (s *bridgeSide) rest(command string, n int) string {
	now := time.Now().Unix()
	plain := fmt.Sprintf("TLS.identifier:admin\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:3600\n", s.sdkAppID, now)
	m := hmac.New(sha256.New, []byte(s.secret))
	m.Write([]byte(plain))
	sig := jsonOf(object{
		"TLS.ver": "2.0", "TLS.identifier": "admin", "TLS.sdkappid": s.sdkAppID, "TLS.expire": 3600, "TLS.time": now,
		"TLS.sig": base64.StdEncoding.EncodeToString(m.Sum(nil)),
	})
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(sig) // a buffer takes everything
	_ = z.Close()
	q := url.Values{
		"sdkappid": {strconv.FormatInt(s.sdkAppID, 10)}, "identifier": {"admin"}, "random": {strconv.Itoa(n)}, "contenttype": {"json"},
		"usersig": {strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b.Bytes()))},
	}
	return s.im("/tencent/" + command + "?" + q.Encode())
}

func timBody(s *bridgeSide, n int) object {
	return object{
		"From_Account": s.sender.account, "MsgRandom": n, "MsgLifeTime": 3600,
		"MsgBody":         []object{{"MsgType": "TIMTextElem", "MsgContent": object{"Text": text(n)}}},
		"OfflinePushInfo": object{"PushFlag": 0, "Title": "Alice", "Desc": text(n), "Ext": `{"entity":{}}`, "ApnsInfo": object{"BadgeMode": 1}},
	}
}

func timTaken(a answered) bool {
	return a.status == http.StatusOK && fmt.Sprint(a.object()["ErrorCode"]) == "0" && a.object()["ActionStatus"] == "OK"
}

func tencentSend(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(1, rng)
	m := timBody(s, n)
	m["To_Account"] = to[0].account
	return emission{what: "sendmsg", path: s.rest("v4/openim/sendmsg", n), body: jsonOf(m), to: tokensOf(to), taken: timTaken}
}

func tencentBatch(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(4, rng)
	m := timBody(s, n)
	m["To_Account"] = accountsOf(to, s.sender.account, "nobody")
	return emission{what: "batchsendmsg", path: s.rest("v4/openim/batchsendmsg", n), body: jsonOf(m), to: tokensOf(to), lost: 1, taken: timTaken}
}

func tencentGroupSend(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(3, rng)
	m := timBody(s, n)
	delete(m, "MsgRandom")
	m["Random"], m["GroupId"], m["To_Account"] = n, tencentGroupID, accountsOf(to, s.sender.account)
	return emission{what: "send_group_msg", path: s.rest("v4/group_open_http_svc/send_group_msg", n), body: jsonOf(m), to: tokensOf(to), taken: timTaken}
}

func timCallbackBody(s *bridgeSide, n int, command string) object {
	return object{
		"CallbackCommand": command, "From_Account": s.sender.account, "MsgSeq": n, "MsgRandom": n, "MsgTime": s.run.began.Unix(), "MsgKey": fmt.Sprintf("%d_%d", n, n),
		"MsgId": fmt.Sprint(n), "OnlineOnlyFlag": 0, "SendMsgResult": 0, "ErrorInfo": "send msg succeed", "UnreadMsgNum": 1 + n%9, "EventTime": time.Now().UnixMilli(),
		"MsgBody": []object{{"MsgType": "TIMTextElem", "MsgContent": object{"Text": text(n)}}},
	}
}

func tencentC2C(s *bridgeSide, n int, rng *rand.Rand) emission {
	to := s.some(1, rng)
	m := timCallbackBody(s, n, "C2C.CallbackAfterSendMsg")
	m["To_Account"] = to[0].account
	return emission{what: "C2C callback", path: s.callback("C2C.CallbackAfterSendMsg", "RESTAPI"), body: jsonOf(m), to: tokensOf(to), taken: timTaken}
}

// tencentGroup is a callback after a message in the group: everybody who is offline.
func tencentGroup(s *bridgeSide, n int, rng *rand.Rand) emission {
	if n%10 != 0 { // it goes to all
		return tencentC2C(s, n, rng)
	}
	m := timCallbackBody(s, n, "Group.CallbackAfterSendMsg")
	m["GroupId"], m["Type"], m["Random"] = tencentGroupID, "Public", n
	return emission{what: "group callback", path: s.callback("Group.CallbackAfterSendMsg", "RESTAPI"), body: jsonOf(m), to: tokensOf(s.people), taken: timTaken}
}

// tencentSilent is for nobody's eyes, whoever it is for.
func tencentSilent(s *bridgeSide, n int, rng *rand.Rand) emission {
	m := timBody(s, n)
	m["To_Account"] = s.some(1, rng)[0].account
	c := timCallbackBody(s, n, "C2C.CallbackAfterSendMsg")
	c["To_Account"] = s.some(1, rng)[0].account
	e := emission{what: "not for eyes", path: s.rest("v4/openim/sendmsg", n), taken: timTaken}
	if n%6 >= 3 {
		e.path = s.callback("C2C.CallbackAfterSendMsg", "RESTAPI")
	}
	switch n % 6 {
	case 0:
		m["OfflinePushInfo"].(object)["PushFlag"] = 1
	case 1:
		m["MsgLifeTime"] = 0
	case 2:
		m["To_Account"] = s.sender.account
	case 3:
		c["OnlineOnlyFlag"] = 1
	case 4:
		c["To_Account"] = s.online.account
	case 5:
		c["To_Account"] = s.logged.account
	}
	e.body = jsonOf(m)
	if n%6 >= 3 {
		e.body = jsonOf(c)
	}
	return e
}

func tencentRead(s *bridgeSide, n int, rng *rand.Rand) emission {
	who := s.some(1, rng)[0].account
	return emission{what: "read", path: s.callback("C2C.CallbackAfterMsgReport", "RESTAPI"), taken: timTaken, body: jsonOf(object{
		"CallbackCommand": "C2C.CallbackAfterMsgReport", "Report_Account": who, "Peer_Account": s.sender.account, "LastReadTime": s.run.began.Unix() + int64(n), "UnreadMsgNum": n % 7,
	})}
}
