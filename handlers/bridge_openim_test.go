package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testIngestSecret = "ingest-secret"

// oimRequest is a request to the OpenIM bridge as OpenIM itself would authenticate it.
func oimRequest(below string, body []byte) ingestRequest {
	text := strconv.FormatInt(testNow().Add(time.Hour).Unix(), 36)
	header := http.Header{}
	header.Set("token", text+"."+signWord(testIngestSecret, getuiTokenWord, text))
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("hongyan:"+testIngestSecret)))
	return ingestRequest{below: below, header: header, body: body, now: testNow(), secret: testIngestSecret, sdkAppID: 1400000001}
}

func TestOpenIMWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind    int64
		content string
		want    string
	}{
		{101, `{"content":"hi"}`, "hi"}, {101, `nope`, "收到一条新消息"}, {101, `{"content":5}`, "收到一条新消息"},
		{106, `{"text":"@bob hi"}`, "@bob hi"}, {114, `{"text":"re"}`, "re"}, {117, `{"text":"rich"}`, "rich"},
		{102, ``, "[图片]"}, {103, ``, "[语音]"}, {104, ``, "[视频]"}, {105, ``, "[文件]"}, {107, ``, "[聊天记录]"},
		{108, ``, "[名片]"}, {109, ``, "[位置]"}, {115, ``, "[表情]"}, {110, `{"data":"secret"}`, "收到一条新消息"}, {1501, ``, "收到一条新消息"},
	} {
		if got := openIMWords(c.kind, c.content, ""); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.kind, c.content, got, c.want)
		}
	}
}

// A task is a push of its own each time that it is made.
func TestOpenIMTasks(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	for i := range 2 {
		r := oimRequest(openIMTask, fixture(t, "openim/getui_message.json"))
		r.now = r.now.Add(time.Duration(i) * time.Second)
		got, err := openIM{}.parse(r)
		if err != nil {
			t.Fatal(err)
		}
		made[got.extra.(getuiCall).task] = true
	}
	if len(made) != 2 {
		t.Error("the same text later is the same task")
	}
}

func TestOpenIMBadges(t *testing.T) {
	t.Parallel()
	for body, badge := range map[string]any{`"+1"`: nil, `3`: 3, `"4"`: 4} {
		got, err := openIM{}.parse(oimRequest(openIMJPush, []byte(`{"audience":{"alias":["b"]},"notification":{"alert":"x","ios":{"badge":`+body+`}}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if b := got.messages[0].Content.Badge; (b == nil) != (badge == nil) || b != nil && *b != badge {
			t.Errorf("badge %s became %v", body, b)
		}
	}
}

func TestOpenIMRefuses(t *testing.T) {
	t.Parallel()
	forged := sealTask(getuiDraft{Body: "x"}, "another secret")
	many := `["` + strings.Repeat(`a","`, maxGetuiAlias) + `b"]`
	for _, c := range []struct {
		name, below, body, header, value, code string
	}{
		{"no JSON", "", "{", "", "", "bad_json"},
		{"null", "", "null", "", "", "wrong_type"},
		{"no command", "", "{}", "", "", "required"},
		{"list of numbers in objects", openIMBefore, `{"userIDList":[{}]}`, "", "", "wrong_type"},
		{"too many", openIMBefore, `{"userIDList":[` + strings.Repeat(`"a",`, maxRecipients) + `"b"]}`, "", "", "too_many_items"},
		{"token", openIMSingle, `{}`, "token", "nope", "bad_push_token"},
		{"old token", openIMSingle, `{}`, "token", "1." + signWord(testIngestSecret, getuiTokenWord, "1"), "bad_push_token"},
		{"no message", openIMSingle, `{}`, "", "", "required"},
		{"no alias", openIMSingle, `{"push_message":{}}`, "", "", "required"},
		{"many aliases", openIMSingle, `{"push_message":{},"audience":{"alias":` + many + `}}`, "", "", "too_many_items"},
		{"forged task", openIMList, `{"taskid":"` + forged + `","audience":{"alias":["b"]}}`, "", "", "unknown_task"},
		{"master secret", openIMJPush, `{}`, "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("a:b")), "bad_push_sign"},
		{"everybody", openIMJPush, `{"audience":"all","notification":{"alert":"x"}}`, "", "", "required"},
		{"auth sign", openIMGetuiIn, `{"sign":"00","timestamp":"1","appkey":"a"}`, "", "", "bad_push_sign"},
		{"auth time", openIMGetuiIn, getuiAuthBody(testNow().Add(-time.Hour)), "", "", "bad_push_sign"},
	} {
		r := oimRequest(c.below, []byte(c.body))
		if c.header != "" {
			r.header.Set(c.header, c.value)
		}
		if _, err := (openIM{}).parse(r); err == nil || apiErrorOf(err).code != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

func getuiAuthBody(at time.Time) string {
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	sum := sha256.Sum256([]byte("hongyan" + ms + testIngestSecret))
	return fmt.Sprintf(`{"sign":%q,"timestamp":%q,"appkey":"hongyan"}`, hex.EncodeToString(sum[:]), ms)
}

// OpenIM's three ways over HTTP, with its own reading of the answers.
func TestOpenIMEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "openim", Rates{}, func(t *testing.T, s *machineSite) {
		hook := s.im("/openim/" + openIMBefore)
		for range 2 { // also a repeated one is taken
			if a := s.post(hook, fixture(t, "openim/hook_group.json")).json(t); a["nextCode"] != 1.0 || a["actionCode"] != 0.0 || a["errCode"] != 0.0 {
				t.Errorf("hook: %v", a)
			}
		}
		if a := s.post(s.im("/openim/callbackAfterSendSingleMsgCommand"), fixture(t, "openim/hook_other.json")).json(t); a["nextCode"] != 0.0 {
			t.Errorf("another hook: %v", a)
		}
		if a := s.post(s.im(""), fixture(t, "openim/hook_person.json")).json(t); a["nextCode"] != 1.0 {
			t.Errorf("bare address: %v", a)
		}
		type getui struct {
			Code int            `json:"code"`
			Data map[string]any `json:"data"`
		}
		call := func(path, token string, body []byte) (g getui) {
			t.Helper()
			r := s.post(s.im("/openim/"+path), body, "token", token)
			if err := json.Unmarshal(r.body, &g); err != nil || r.status != 200 {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
			return g
		}
		ms := strconv.FormatInt(s.clock().UnixMilli(), 10)
		sum := sha256.Sum256([]byte("hongyan" + ms + s.secret))
		auth := call(openIMGetuiIn, "", []byte(fmt.Sprintf(`{"sign":%q,"timestamp":%q,"appkey":"hongyan"}`, hex.EncodeToString(sum[:]), ms)))
		token, _ := auth.Data["token"].(string)
		expires, _ := auth.Data["expire_time"].(string)
		if ms, err := strconv.ParseInt(expires, 10, 64); auth.Code != 0 || token == "" || err != nil || ms <= s.clock().UnixMilli() {
			t.Fatalf("auth: %+v", auth)
		}
		for range 2 {
			if g := call(openIMSingle, token, fixture(t, "openim/getui_single.json")); g.Code != 0 {
				t.Errorf("single: %+v", g)
			}
		}
		if g := call(openIMSingle, "nope", fixture(t, "openim/getui_single.json")); g.Code != 10001 {
			t.Errorf("bad token: %+v", g)
		}
		task := call(openIMTask, token, fixture(t, "openim/getui_message.json"))
		id, _ := task.Data["taskid"].(string)
		body, err := json.Marshal(map[string]any{"audience": map[string]any{"alias": []string{"bob", "carol"}}, "taskid": id})
		if err != nil {
			t.Fatal(err)
		}
		if g := call(openIMList, token, body); g.Code != 0 {
			t.Errorf("list: %+v", g)
		}
		s.advance(25 * time.Hour)
		if g := call(openIMList, token, body); g.Code != 10001 {
			t.Errorf("a token of yesterday: %+v", g)
		}
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("hongyan:"+s.secret))
		r := s.post(s.im("/openim/"+openIMJPush), fixture(t, "openim/jpush.json"), "Authorization", basic)
		var texts map[string]string
		if err := json.Unmarshal(r.body, &texts); err != nil || texts["sendno"] != "0" || r.status != 200 {
			t.Errorf("jpush: %d %s", r.status, r.body)
		}
		if r := s.post(s.im("/openim/"+openIMJPush), fixture(t, "openim/jpush.json")); r.status != 401 || strings.Contains(string(r.body), "sendno") {
			t.Errorf("jpush without secret: %d %s", r.status, r.body)
		}
		want := map[string]int{"accepted": 8, "duplicate": 5, "sender": 2, "skipped": 1, "invalid": 3}
		if d := cmp.Diff(want, s.stats()); d != "" || s.count("messages") != 8 {
			t.Errorf("counted (-want +got)\n%s", d)
		}
		for _, private := range []string{s.secret, "你好", "alice"} {
			if strings.Contains(s.log.String(), private) {
				t.Errorf("the log contains %q", private)
			}
		}
		// Without authorization OpenIM is left to push by itself, and told so where it asked.
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		if a := s.post(hook, fixture(t, "openim/hook_person.json")).json(t); a["nextCode"] != 0.0 || a["actionCode"] != 0.0 {
			t.Errorf("unauthorized hook: %v", a)
		}
		if r := s.post(s.im("/openim/"+openIMJPush), fixture(t, "openim/jpush.json"), "Authorization", basic); strings.Contains(string(r.body), "sendno") {
			t.Errorf("unauthorized jpush: %s", r.body)
		}
		if r := s.post("/im/nope/openim/"+openIMBefore, []byte(`{}`)); r.status != 404 || r.json(t)["nextCode"] != 0.0 {
			t.Errorf("unknown: %d %s", r.status, r.body)
		}
	})
}

func FuzzOpenIM(f *testing.F) {
	files, err := filepath.Glob("testdata/openim/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, below := range []string{"", openIMSingle, openIMTask, openIMJPush} {
			f.Add(below, b)
		}
	}
	f.Add(openIMList, []byte(`{"audience":{"alias":["b"]},"taskid":"`+sealTask(getuiDraft{Body: "\xff"}, testIngestSecret)+`"}`))
	f.Add(openIMGetuiIn, []byte(getuiAuthBody(testNow())))
	f.Add(openIMBefore, []byte("{\"userIDList\":[\"\xff\",5,\"\"],\"ex\":\"\xfe\",\"content\":\"{\",\"clientMsgID\":\"\x00\"}"))
	hostileSeeds(f, openIM{}, "hook", func(body []byte) { f.Add("", body) })
	hostileSeeds(f, openIM{}, "getui_single", func(body []byte) { f.Add(openIMSingle, body) })
	hostileSeeds(f, openIM{}, "getui_message", func(body []byte) { f.Add(openIMTask, body) })
	hostileSeeds(f, openIM{}, "jpush", func(body []byte) { f.Add(openIMJPush, body) })
	f.Fuzz(func(t *testing.T, below string, body []byte) { checkParse(t, openIM{}, oimRequest(below, body)) })
}
