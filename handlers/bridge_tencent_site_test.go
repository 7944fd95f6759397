package handlers

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// timSite posts to a site as Tencent and as a server that used to call Tencent.
type timSite struct {
	*machineSite
	t *testing.T
}

// callback posts a fixture as Tencent does; changes replace parts of it.
func (s timSite) callback(file, platform string, changes ...string) reply {
	s.t.Helper()
	body := fixture(s.t, "tencent/"+file)
	for i := 0; i+1 < len(changes); i += 2 {
		if !bytes.Contains(body, []byte(changes[i])) {
			s.t.Fatalf("%s holds no %s", file, changes[i])
		}
		body = bytes.ReplaceAll(body, []byte(changes[i]), []byte(changes[i+1]))
	}
	q := url.Values{"SdkAppid": {number(s.imApp.SDKAppID)}, "contenttype": {"json"}, "OptPlatform": {platform}}
	if strings.HasPrefix(file, "push_") {
		q.Set("CallbackCommand", "Push.OfflinePush") // the body holds it in each event alone
	}
	r := s.post(s.im("/tencent?"+q.Encode()), body)
	if a := r.json(s.t); r.status != 200 || a["ActionStatus"] != "OK" || a["ErrorCode"] != 0.0 {
		s.t.Errorf("%s: %d %s", file, r.status, r.body)
	}
	return r
}

func (s timSite) rest(command string, body []byte) map[string]any {
	s.t.Helper()
	r := s.post(s.im("/tencent/"+command+"?"+timQuery(s.t, s.secret, s.imApp.SDKAppID, s.clock()).Encode()), body)
	if r.status != 200 {
		s.t.Errorf("%s: %d %s", command, r.status, r.body)
	}
	return r.json(s.t)
}

// Callbacks say who came and went, and a message goes to who is away.
func TestTencentCallbacksEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		s := timSite{m, t}
		for i, step := range []struct {
			state, platform string
			key             string // of the message that follows
			pushed          bool
		}{
			{"", "", "k0", true}, // nothing is known
			{"state_login.json", "iOS", "k1", false},
			{"state_disconnect.json", "IOS", "k2", true}, // spelt as State.StateChange does
			{"state_logout.json", "iOS", "k3", false},
		} {
			if step.state != "" {
				s.callback(step.state, step.platform)
			}
			before := s.count("messages")
			for range 2 { // repeated once
				s.callback("c2c.json", "RESTAPI", "48374_2837546_1669872112", step.key)
			}
			if pushed := s.count("messages") > before; pushed != step.pushed || s.count("messages") > before+1 {
				t.Errorf("step %d: pushed %v, want %v", i, pushed, step.pushed)
			}
		}
		// An older notice changes nothing; the platforms that a login drove out are noted.
		s.callback("state_login.json", "iOS")
		if n := s.count("im_presence WHERE account = 'bob' AND platform = 'ios' AND state = 3"); n != 1 {
			t.Error("an older login overtook the logout")
		}
		if n := s.count("im_presence WHERE account = 'bob' AND state = 3"); n != 3 {
			t.Errorf("%d platforms logged out, want 3", n)
		}
		// Who writes is there, whatever notice was lost.
		s.callback("c2c.json", "Android", "48374_2837546_1669872112", "k4", `"From_Account":"alice","To_Account":"bob"`, `"From_Account":"bob","To_Account":"carol"`, "1669872112000", "1669872119000")
		s.callback("c2c.json", "iOS", "48374_2837546_1669872112", "k5")
		if n := s.count("messages WHERE source_id = 'k5'"); n != 0 || s.count("im_presence WHERE account = 'bob' AND platform = 'android' AND state = 1") != 1 {
			t.Error("who just wrote counts as away")
		}
		// The badge of who read on a computer, and of who had a message withdrawn.
		s.callback("state_disconnect.json", "iOS", "bob", "erin")
		s.callback("read.json", "Web", "bob", "erin")
		for range 2 {
			s.callback("withdraw.json", "iOS", `"bob"`, `"erin"`)
		}
		if n := s.count("messages WHERE account = 'erin' AND kind = 'badge'"); n != 2 {
			t.Errorf("%d badges, want 2", n)
		}
		for _, skip := range [][]string{{`"OnlineOnlyFlag":0`, `"OnlineOnlyFlag":1`}, {`"SendMsgResult":0`, `"SendMsgResult":20003`}} {
			s.callback("c2c.json", "RESTAPI", append(skip, `"bob"`, `"erin"`, "48374_2837546_1669872112", "k6")...)
		}
		s.callback("push_result.json", "")
		if n := s.count("messages WHERE source_id = 'k6'"); n != 0 {
			t.Error("a message for who is online, or one that failed, is pushed")
		}
		got := s.stats()
		if got["badge"] != 2 || got["invalid"] != 0 || got["refused"] != 0 {
			t.Errorf("counted %v", got)
		}
		for _, private := range []string{s.secret, "red packet", "alice", "bob", "erin"} {
			if strings.Contains(s.log.String(), private) {
				t.Errorf("the log contains %q", private)
			}
		}
	})
}

func TestTencentGroupsEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		s := timSite{m, t}
		// Nobody told of members: only who is mentioned is sure to be one.
		s.callback("group.json", "iOS")
		if n := s.count("messages WHERE account = 'dora' AND sender = 'alice'"); n != 1 || s.count("messages") != 1 {
			t.Errorf("%d messages for dora", n)
		}
		if !strings.Contains(s.log.String(), "unknown_group") {
			t.Error("the log does not say that the group is unknown")
		}
		s.callback("group_join.json", "iOS")
		s.callback("group_exit.json", "iOS")
		s.callback("state_login.json", "iOS")
		s.callback("group.json", "iOS", `"MsgSeq":123`, `"MsgSeq":124`) // bob is there, alice wrote it
		if n := s.count("messages"); n != 1 {
			t.Errorf("%d messages, want still 1", n)
		}
		s.callback("state_disconnect.json", "iOS")
		for range 2 {
			s.callback("group.json", "iOS", `"MsgSeq":123`, `"MsgSeq":125`)
		}
		if n := s.count("messages WHERE account = 'bob' AND conversation = '@TGS#2J4SZEAEL'"); n != 1 || s.count("messages") != 2 {
			t.Errorf("%d messages for bob", n)
		}
		// The same through REST, which asks nobody whether they are online.
		if a := s.rest(timSendGroup, fixture(t, "tencent/rest_group.json")); a["ErrorCode"] != 10010.0 || a["ActionStatus"] != "FAIL" {
			t.Errorf("unknown group: %v", a)
		}
		add := []byte(`{"GroupId":"@TGS#2C5SZEAEF","MemberList":[{"Member_Account":"alice"},{"Member_Account":"bob"},{"Member_Account":"carol"}]}`)
		if a := s.rest(timGroupAdd, add); a["ErrorCode"] != 0.0 || len(a["MemberList"].([]any)) != 3 {
			t.Errorf("members: %v", a)
		}
		for range 2 {
			if a := s.rest(timSendGroup, fixture(t, "tencent/rest_group.json")); a["ErrorCode"] != 0.0 || a["MsgSeq"] == nil || a["MsgTime"] == nil {
				t.Errorf("group: %v", a)
			}
		}
		if n := s.count("messages WHERE conversation = '@TGS#2C5SZEAEF'"); n != 2 {
			t.Errorf("%d messages in the group, want 2", n)
		}
		s.rest(timGroupDelete, []byte(`{"GroupId":"@TGS#2C5SZEAEF","MemberToDel_Account":["bob"]}`))
		s.rest(timGroupEnd, []byte(`{"GroupId":"@TGS#2J4SZEAEL"}`))
		if n := s.count("im_group_members"); n != 2 {
			t.Errorf("%d members kept, want alice and carol", n)
		}
	})
}

func TestTencentRESTEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		s := timSite{m, t}
		for range 2 {
			if a := s.rest(timSendMsg, fixture(t, "tencent/rest_sendmsg.json")); a["ActionStatus"] != "OK" || a["MsgKey"] != "93847636_1287657_1669872112" {
				t.Errorf("sendmsg: %v", a)
			}
		}
		a := s.rest(timBatch, fixture(t, "tencent/rest_batch.json"))
		if list, _ := a["ErrorList"].([]any); a["ActionStatus"] != "SomeError" || len(list) != 1 || cmp.Diff(map[string]any{"To_Account": "a\ufffdb", "ErrorCode": 70107.0}, list[0]) != "" {
			t.Errorf("batch: %v", a)
		}
		s.addDevice("frank")
		s.addDevice("grace")
		s.addDevice("admin") // the sender
		for range 2 {
			if a := s.rest(timAll, fixture(t, "tencent/rest_all.json")); a["ActionStatus"] != "OK" || a["TaskId"] == "" {
				t.Errorf("all: %v", a)
			}
		}
		if n := s.count("messages WHERE account IN ('frank', 'grace')"); n != 2 || s.count("messages") != 5 {
			t.Errorf("%d messages for everybody, %d in all", n, s.count("messages"))
		}
		if r := s.post(s.im("/tencent/"+timSendMsg), fixture(t, "tencent/rest_sendmsg.json")); r.status != 200 || r.json(t)["ErrorCode"] != 60012.0 {
			t.Errorf("without UserSig: %d %s", r.status, r.body)
		}
		if a := s.rest("v4/profile/portrait_get", []byte(`{}`)); a["ErrorCode"] != 60009.0 {
			t.Errorf("unknown command: %v", a)
		}
		if r := s.post("/im/nope/tencent/"+timSendMsg, []byte(`{}`)); r.status != 404 || r.json(t)["ActionStatus"] != "FAIL" {
			t.Errorf("unknown address: %d %s", r.status, r.body)
		}
		s.store.GuardDisk("/", 1<<62, nil)
		if a := s.rest(timSendMsg, timMessageBody(t, nil)); a["ErrorCode"] != 91000.0 {
			t.Errorf("disk full: %v", a)
		}
		s.store.GuardDisk("/", 0, nil)
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		if a := s.rest(timSendMsg, timMessageBody(t, nil)); a["ErrorCode"] != 90009.0 || a["ErrorInfo"] == "" {
			t.Errorf("not authorized: %v", a)
		}
		s.callback("c2c.json", "RESTAPI")
		if n := s.count("messages"); n != 5 {
			t.Errorf("%d messages, want 5", n)
		}
	})
}

// addDevice puts a device with an account into the database.
func (s timSite) addDevice(account string) {
	s.t.Helper()
	h := []string{"X-Access-ID", number(s.appID), "X-Access-Key", s.accessKey}
	r := s.post("/device/v1/register", []byte(`{}`), h...).json(s.t)
	token, _ := r["device_token"].(string)
	secret, _ := r["device_secret"].(string)
	h = append(h, "X-Device-Token", token, "X-Device-Secret", secret)
	if r := s.post("/device/v1/accounts/bind", []byte(`{"account":"`+account+`"}`), h...); r.status/100 != 2 {
		s.t.Fatalf("bind: %d %s", r.status, r.body)
	}
}
