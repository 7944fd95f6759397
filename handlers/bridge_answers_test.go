package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// said is an answer: its status, and what its body holds.
type said struct {
	status int
	holds  string
}

func (a said) of(r reply) bool {
	return r.status == a.status && strings.Contains(strings.ReplaceAll(string(r.body), " ", ""), a.holds)
}

// answerCase is a bridge's row in the table of feedback: the same request with success,
// for a dead token, when nothing can be stored, and when the database is gone.
type answerCase struct {
	name, bridge string
	// request makes it for a device's token; users are called bob.
	request             func(t *testing.T, s *machineSite, token string) (path string, body []byte, header []string)
	success, dead       said // dead.status 0: the console owns the tokens
	transient, database said
	successAgain        string // what a repetition's answer holds, "" for the same
}

func answerCases() []answerCase {
	plain := func(path, file string) func(*testing.T, *machineSite, string) (string, []byte, []string) {
		return func(t *testing.T, s *machineSite, token string) (string, []byte, []string) {
			return s.im(path), atToken(fixture(t, file), token, "app"), nil
		}
	}
	return []answerCase{
		{
			name: "Matrix", bridge: "matrix", request: plain("/"+matrixPath, "matrix/dendrite_message.json"),
			success: said{200, `{"rejected":[]}`}, dead: said{200, `{"rejected":["TOKEN"]}`},
			transient: said{503, `"errcode":"M_UNKNOWN"`}, database: said{500, `"errcode":"M_UNKNOWN"`},
		},
		{
			name: "Mattermost", bridge: "mattermost", request: plain("/"+mattermostSend, "mattermost/message.json"),
			success: said{200, `{"status":"OK"}`}, dead: said{200, `{"status":"REMOVE"}`},
			transient: said{200, `"status":"FAIL"`}, database: said{200, `"status":"FAIL"`},
		},
		{
			name: "Rocket.Chat", bridge: "rocketchat", request: plain("/push/gcm/send", "rocketchat/message.json"),
			success: said{200, ""}, dead: said{406, ""}, transient: said{503, ""}, database: said{500, ""},
		},
		{
			name: "Zulip", bridge: "zulip", request: plain(zulipBase+"notify", "zulip/stream.json"),
			success: said{200, `"result":"success"`}, dead: said{200, `"deleted_devices":{"android_devices":["TOKEN"]`},
			transient: said{503, `"result":"error"`}, database: said{500, `"result":"error"`},
		},
		{
			name: "Tinode", bridge: "tinode", request: plain("/pushv1/demo", "tinode/message.json"),
			success: said{200, `"sent_count":1`}, dead: said{200, `"errcode":"UNREGISTERED"`},
			transient: said{503, `"errcode":"UNAVAILABLE"`}, database: said{500, `"errcode":"UNAVAILABLE"`},
		},
		{
			name: "XMPP", bridge: "xmpp", request: plain("/xmpp", "xmpp/prosody_message.xml"),
			success: said{200, `type="result"`}, dead: said{404, `<item-not-found`},
			transient: said{503, `type="wait"`}, database: said{500, `type="wait"`},
		},
		{
			name: "WuKongIM", bridge: "wukongim", request: plain("/wukongim?event=msg.offline", "wukongim/v2_person.json"),
			success: said{200, `"accepted":1`}, successAgain: `"duplicates":1`, transient: said{503, ""}, database: said{500, ""},
		},
		{
			name: "generic", bridge: "generic", request: plain("/messages", "generic/person.json"),
			success: said{202, `"accepted":1`}, successAgain: `"duplicates":1`, transient: said{503, ""}, database: said{500, ""},
		},
		{
			name: "OpenIM hook", bridge: "openim", request: plain("/openim/"+openIMBefore, "openim/hook_person.json"),
			success: said{200, `"nextCode":1`}, transient: said{503, `"nextCode":0`}, database: said{500, `"nextCode":0`},
		},
		{
			name: "OpenIM as Getui", bridge: "openim", request: getuiSingle,
			success: said{200, `"code":0`}, transient: said{200, `"code":50000`}, database: said{200, `"code":50000`},
		},
		{
			name: "OpenIM as JPush", bridge: "openim",
			request: func(t *testing.T, s *machineSite, _ string) (string, []byte, []string) {
				basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("hongyan:"+s.secret))
				return s.im("/openim/" + openIMJPush), fixture(t, "openim/jpush.json"), []string{"Authorization", basic}
			},
			success: said{200, `"sendno":"0"`}, transient: said{503, `"error"`}, database: said{500, `"error"`},
		},
		{
			name: "Tencent callback", bridge: "tencent",
			request: func(t *testing.T, s *machineSite, _ string) (string, []byte, []string) {
				return s.im("/tencent?SdkAppid=" + number(s.imApp.SDKAppID) + "&OptPlatform=RESTAPI"), fixture(t, "tencent/c2c.json"), nil
			},
			success: said{200, `"ErrorCode":0`}, transient: said{503, `"ActionStatus":"FAIL"`}, database: said{500, `"ActionStatus":"FAIL"`},
		},
		{
			name: "Tencent command", bridge: "tencent",
			request: func(t *testing.T, s *machineSite, _ string) (string, []byte, []string) {
				q := timQuery(t, s.secret, s.imApp.SDKAppID, s.clock())
				return s.im("/tencent/" + timSendMsg + "?" + q.Encode()), timMessageBody(t, nil), nil
			},
			success: said{200, `"ActionStatus":"OK"`}, transient: said{200, `"ErrorCode":91000`}, database: said{200, `"ActionStatus":"FAIL"`},
		},
	}
}

// getuiSingle signs in as OpenIM does and pushes to one user.
func getuiSingle(t *testing.T, s *machineSite, _ string) (string, []byte, []string) {
	ms := strconv.FormatInt(s.clock().UnixMilli(), 10)
	sum := sha256.Sum256([]byte("hongyan" + ms + s.secret))
	r := s.post(s.im("/openim/"+openIMGetuiIn), []byte(fmt.Sprintf(`{"sign":%q,"timestamp":%q,"appkey":"hongyan"}`, hex.EncodeToString(sum[:]), ms)))
	data, _ := r.json(t)["data"].(map[string]any)
	token, _ := data["token"].(string)
	return s.im("/openim/" + openIMSingle), fixture(t, "openim/getui_single.json"), []string{"token", token}
}

// Every bridge says in its own protocol that a message is stored, that a token is dead,
// and that it should be tried again; and a repetition of what was refused delivers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range answerCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachMachine(t, c.bridge, Rates{}, func(t *testing.T, s *machineSite) {
				s.contract = nil // what the disk is told here is in no description
				bob := registeredPhone(t, s, siteVendorToken)
				path, body, header := c.request(t, s, bob.token)
				ask := func(when string, want said) {
					t.Helper()
					want.holds = strings.ReplaceAll(want.holds, "TOKEN", bob.token)
					if r := s.post(path, body, header...); !want.of(r) {
						t.Errorf("%s: %d %s, want %d %s", when, r.status, r.body, want.status, want.holds)
					}
				}
				s.store.GuardDisk("/", 1<<62, nil)
				ask("nothing can be stored", c.transient)
				s.store.GuardDisk("/", 0, nil)
				if n := s.count("messages"); n != 0 {
					t.Errorf("%d messages of a refused request", n)
				}
				ask("repeated", c.success)
				stored := s.count("messages")
				again := c.success
				if c.successAgain != "" {
					again.holds = c.successAgain
				}
				ask("once more", again)
				s.advance(23 * time.Hour)
				if c.name == "OpenIM as Getui" || c.name == "Tencent command" { // who sign what they send by time
					path, _, header = c.request(t, s, bob.token)
				}
				ask("a day later", again)
				if n := s.count("messages"); n != stored || n == 0 {
					t.Errorf("%d messages after the repetitions, %d before", n, stored)
				}
				if c.dead.status != 0 {
					bob.unregister()
					ask("dead", c.dead)
				}
				s.exec("ALTER TABLE im_apps RENAME TO im_apps_away")
				s.advance(2 * time.Second) // an ingest is remembered for a second
				ask("the database is gone", c.database)
				s.exec("ALTER TABLE im_apps_away RENAME TO im_apps")
			})
		})
	}
}

// What an unknown app or server id is told is told for an unknown token, an IM app
// without authorization, and one that may not be used from here: byte for byte.
func TestNamedAnswersTellNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bridge, path, file, from string }{
		{"matrix", "/" + matrixPath, "matrix/dendrite_message.json", "com.example.im.android"},
		{"matrix", "/" + matrixPath, "matrix/dendrite_read.json", "com.example.im.android"},
		{"mattermost", "/" + mattermostSend, "mattermost/message.json", "server-1"},
		{"mattermost", "/" + mattermostSend, "mattermost/clear.json", "server-1"},
		{"rocketchat", "/push/apn/send", "rocketchat/message.json", "workspace-1"},
		{"rocketchat", "/push/gcm/send", "rocketchat/packed.json", "workspace-1"},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			eachMachine(t, c.bridge, Rates{}, func(t *testing.T, s *machineSite) {
				bob := registeredPhone(t, s, siteVendorToken)
				ask := func(token, name string) string {
					r := s.post(c.path, []byte(strings.ReplaceAll(string(atToken(fixture(t, c.file), token, c.from)), c.from, name)))
					r.header.Del("Date")
					r.header.Del("X-Request-Id")
					r.header.Del("Content-Security-Policy") // holds a nonce
					return fmt.Sprint(r.status, r.header, string(r.body))
				}
				want := ask("nobodys-token", "never-registered")
				same := func(when, got string) {
					t.Helper()
					if got != want {
						t.Errorf("%s: %s, want %s", when, got, want)
					}
				}
				same("a token of an id that is not registered", ask(bob.token, "never-registered"))
				s.name("registered-1")
				same("an unknown token", ask("nobodys-token", "registered-1"))
				if got := s.stats(); got["unknown"] != 1 {
					t.Errorf("counted %v", got)
				}
				s.imApp.AllowIPs = "198.51.100.7"
				s.name("registered-1")
				same("from an address that may not", ask(bob.token, "registered-1"))
				s.imApp.AllowIPs = ""
				s.name("registered-1")
				if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
					t.Fatal(err)
				}
				s.advance(2 * time.Second)
				same("without authorization", ask(bob.token, "registered-1"))
				if n := s.count("messages"); n != 0 {
					t.Errorf("%d messages stored", n)
				}
			})
		})
	}
}
