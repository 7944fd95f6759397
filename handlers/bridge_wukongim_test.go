package handlers

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

func testNow() time.Time { return time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC) }

func wkRequest(event string, body []byte) ingestRequest {
	return ingestRequest{query: url.Values{"event": {event}}, header: http.Header{}, body: body, now: testNow()}
}

// offline is a msg.offline body that a test changes.
func offline(change map[string]any) []byte {
	m := map[string]any{
		"header":     map[string]any{"no_persist": 0, "red_dot": 1, "sync_once": 0},
		"message_id": 7, "message_idstr": "7", "from_uid": "alice", "channel_id": "g", "channel_type": 2,
		"payload": []byte(`{"type":1,"content":"hi"}`), "to_uids": []string{"bob"},
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
		panic(err)
	}
	return b
}

func TestWukongIMText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		payload string
		setting int
		want    string
	}{
		{`{"type":1,"content":"你好"}`, 0, "你好"},
		{`{"type":"1","content":"你好"}`, 0, "你好"},
		{`{"type":1,"content":"  "}`, 0, models.GenericText("")},
		{`{"type":1,"content":{"a":1}}`, 0, models.GenericText("")},
		{`{"type":1}`, 0, models.GenericText("")},
		{`{"type":1,"content":"a\u0000b\u0007c\nd"}`, 0, "abc\nd"},
		{`{"type":1,"content":"` + strings.Repeat("字", 3000) + `"}`, 0, strings.Repeat("字", models.MaxBodyRunes-1) + "…"},
		{`{"type":2}`, 0, "[图片]"}, {`{"type":3}`, 0, "[动图]"}, {`{"type":4}`, 0, "[语音]"},
		{`{"type":5}`, 0, "[视频]"}, {`{"type":6}`, 0, "[位置]"}, {`{"type":7}`, 0, "[名片]"},
		{`{"type":8}`, 0, "[文件]"}, {`{"type":11}`, 0, "[聊天记录]"}, {`{"type":12}`, 0, "[表情]"},
		{`{"type":1002,"content":"{0}邀请{1}"}`, 0, models.GenericText("")},
		{`hi`, 0, models.GenericText("")},
		{"\xff\xfe", 0, models.GenericText("")},
		{``, 0, models.GenericText("")},
		{`[1,2]`, 0, models.GenericText("")},
		{`{"type":1,"content":"secret"}`, 1 << 5, models.GenericText("")},
	} {
		got, err := wukongIM{}.parse(wkRequest("msg.offline", offline(map[string]any{"payload": []byte(c.payload), "setting": c.setting})))
		if err != nil || len(got.messages) != 1 {
			t.Errorf("%.60s: %v, %d messages", c.payload, err, len(got.messages))
			continue
		}
		if body := got.messages[0].Content.Body; body != c.want {
			t.Errorf("%.60s: body %q, want %q", c.payload, body, c.want)
		}
	}
}

func TestWukongIMDrops(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("长", models.MaxAccountRunes+1)
	for _, c := range []struct {
		name    string
		change  map[string]any
		n       int
		dropped map[string]int
	}{
		{"no_persist", map[string]any{"header": map[string]any{"no_persist": 1}}, 0, map[string]int{"skipped": 1}},
		{"sync_once", map[string]any{"header": map[string]any{"sync_once": true}}, 0, map[string]int{"skipped": 1}},
		{"command", map[string]any{"payload": []byte(`{"type":99,"cmd":"typing"}`)}, 0, map[string]int{"skipped": 1}},
		{"sender only", map[string]any{"to_uids": []string{"alice"}}, 0, map[string]int{"sender": 1}},
		{"twice", map[string]any{"to_uids": []string{"bob", "bob", "carol"}}, 2, map[string]int{"duplicate": 1}},
		{"bad accounts", map[string]any{"to_uids": []string{"", long, "a\x00b", "a\ufffdb", "bob"}}, 1, map[string]int{"invalid": 4}},
		{"unknown compression", map[string]any{"compress": "zstd", "compress_to_uids": "AAAA"}, 1, map[string]int{"invalid": 1}},
		{"compressed list is no JSON", map[string]any{"to_uids": nil, "compress": "gzip", "compress_to_uids": gzipped(t, "nope")}, 0, map[string]int{"invalid": 1}},
		{"nobody", map[string]any{"to_uids": []string{}}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := wukongIM{}.parse(wkRequest("msg.offline", offline(c.change)))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.messages) != c.n {
				t.Errorf("%d messages, want %d", len(got.messages), c.n)
			}
			if diff := cmp.Diff(c.dropped, got.dropped); diff != "" {
				t.Errorf("dropped (-want +got)\n%s", diff)
			}
		})
	}
}

func gzipped(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWukongIMRefuses(t *testing.T) {
	t.Parallel()
	if got, err := (wukongIM{}).parse(wkRequest("msg.future", offline(nil))); err != nil || got.dropped["skipped"] != 1 {
		t.Errorf("an event of the future: %v %+v", err, got) // refused, it would be repeated
	}
	many := make([]string, maxRecipients+1)
	for _, c := range []struct {
		name, event string
		body        []byte
		code, field string
	}{
		{"no event", "", offline(nil), "required", "event"},
		{"no JSON", "msg.offline", []byte("{"), "bad_json", ""},
		{"empty", "msg.offline", nil, "bad_json", ""},
		{"array", "msg.offline", []byte("[]"), "wrong_type", ""},
		{"wrong type", "msg.offline", offline(map[string]any{"from_uid": 5}), "wrong_type", "from_uid"},
		{"wrong type in list", "msg.offline", offline(map[string]any{"to_uids": []int{5}}), "wrong_type", "to_uids"},
		{"too many", "msg.offline", offline(map[string]any{"to_uids": many}), "too_many_items", "to_uids"},
		{"gzip bomb", "msg.offline", offline(map[string]any{"compress": "gzip", "compress_to_uids": gzipped(t, strings.Repeat(" ", maxRecipientBytes+1))}), "too_large", "compress_to_uids"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := wukongIM{}.parse(wkRequest(c.event, c.body))
			e := apiErrorOf(err)
			if err == nil || e.code != c.code || e.field != c.field {
				t.Errorf("%v, want %s in %q", err, c.code, c.field)
			}
		})
	}
}

func TestWukongIMSourceID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"message_idstr": "2124668323860844544"}, "2124668323860844544"},
		{map[string]any{"message_idstr": nil, "message_id": json.Number("2124668323860844544")}, "2124668323860844544"},
		{map[string]any{"message_idstr": nil, "message_id": 0, "client_msg_no": "c-1"}, "c-1"},
		{map[string]any{"message_idstr": nil, "message_id": nil}, ""},
	} {
		got, err := wukongIM{}.parse(wkRequest("msg.offline", offline(c.change)))
		if err != nil {
			t.Fatal(err)
		}
		if id := got.messages[0].SourceID; id != c.want {
			t.Errorf("%v: source id %q, want %q", c.change, id, c.want)
		}
	}
}

// What a message does not say itself is said in the account's language.
func TestBridgesSpeakTheAccountsLanguage(t *testing.T) {
	t.Parallel()
	wukong := func(payload string) ingestRequest {
		return wkRequest("msg.offline", offline(map[string]any{"payload": []byte(payload)}))
	}
	tencent := timREST(t, timSendMsg, timMessageBody(t, map[string]any{"MsgBody": []any{timElem("TIMImageElem", map[string]any{})}}))
	for _, c := range []struct {
		p      protocol
		r      ingestRequest
		zh, en string
	}{
		{openIM{}, oimRequest("", fixture(t, "openim/hook_group.json")), "[图片]", "[Image]"},
		{tencentIM{}, tencent, "[图片]", "[Image]"},
		{wukongIM{}, wukong(`{"type":2}`), "[图片]", "[Image]"},
		{wukongIM{}, wukong(`{"type":1002}`), "收到一条新消息", "You have a new message"},
		{genericBridge{}, genericRequest(`{"to":"b"}`), "收到一条新消息", "You have a new message"},
	} {
		for language, want := range map[string]string{models.LanguageChinese: c.zh, models.LanguageEnglish: c.en} {
			c.r.language = language
			got, err := c.p.parse(c.r)
			if err != nil || len(got.messages) == 0 {
				t.Errorf("%s: %v, %d messages", language, err, len(got.messages))
			} else if body := got.messages[0].Content.Body; body != want {
				t.Errorf("%s: %q, want %q", language, body, want)
			}
		}
	}
}

// The sample that the sandbox posts is one the bridge itself takes.
func TestSamplesParse(t *testing.T) {
	t.Parallel()
	for _, p := range bridges() {
		s := p.bridge().Sample("alice", "bob", "s-1", "hello", testNow())
		query, err := url.ParseQuery(s.Query)
		if err != nil {
			t.Fatal(err)
		}
		if s.SDKAppID != "" {
			query.Set(s.SDKAppID, strconv.Itoa(testSDKAppID))
		}
		// Only this address names the device.
		device := s.Path[strings.LastIndex(s.Path, "/")+1:]
		got, err := p.parse(ingestRequest{query: query, header: http.Header{}, body: s.Body, now: testNow(), device: device, sdkAppID: testSDKAppID})
		if err != nil || len(got.messages) != 1 {
			t.Errorf("%s: %v, %d messages", p.bridge().ID, err, len(got.messages))
			continue
		}
		m := got.messages[0]
		if p == (unifiedPush{}) { // which knows neither
			m.SourceID, m.Sender = "s-1", "alice"
		}
		if p == (tinodeGateway{}) { // whose ids are numbers within a topic
			m.SourceID = strings.TrimPrefix(m.SourceID, "alice ")
		}
		if p == (xmppPush{}) { // whose ids say nothing by themselves
			m.SourceID = "s-1"
		}
		if m.Account+m.Token != "bob" || m.SourceID != "s-1" || m.Sender != "alice" || !strings.Contains(m.Content.Body, "hello") {
			t.Errorf("%s: sample became %+v", p.bridge().ID, m)
		}
	}
}

// checkIntake holds for every intake of every bridge.
func checkIntake(t *testing.T, in intake) {
	t.Helper()
	for _, m := range in.messages {
		if err := m.Check(); err != nil {
			t.Fatalf("the store would refuse the whole request: %v", err)
		}
		if m.Token == "" && m.Topic == "" && m.Account == m.Sender {
			t.Fatalf("pushed back to the sender %q", m.Sender)
		}
		for _, s := range []string{m.SourceID, m.Sender, m.Conversation, m.Content.Title, m.Content.Body, m.Account} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Fatalf("text %q cannot be stored", s)
			}
		}
		if utf8.RuneCountInString(m.Content.Body) > models.MaxBodyRunes || utf8.RuneCountInString(m.Content.Title) > models.MaxTitleRunes {
			t.Fatal("text is too long")
		}
		if m.Kind == models.KindAlert && m.Content.Body == "" && m.Content.Title == "" {
			t.Fatal("an alert says nothing")
		}
	}
	for _, n := range in.at {
		if n < -1 || n >= len(in.messages) {
			t.Fatalf("answer points at message %d of %d", n, len(in.messages))
		}
	}
}

func FuzzWukongIM(f *testing.F) {
	files, err := filepath.Glob("testdata/wukongim/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("msg.offline", b)
	}
	f.Add("msg.offline", offline(map[string]any{"message_id": json.Number("1e400"), "expire": json.Number("99999999999999999999")}))
	f.Add("msg.offline", offline(map[string]any{"compress": "gzip", "compress_to_uids": gzipped(f, strings.Repeat("[", 100_000))}))
	f.Add("msg.offline", []byte("{\"from_uid\":\"\xff\xfe\",\"to_uids\":[\"\xff\"],\"payload\":\""+base64.StdEncoding.EncodeToString([]byte("{\"type\":1,\"content\":\"\xff\"}"))+"\"}"))
	f.Add("msg.offline", offline(map[string]any{"message_idstr": strings.Repeat("9", 5000), "channel_id": strings.Repeat("<", 5000)}))
	f.Add("msg.notify", []byte("null"))
	hostileSeeds(f, wukongIM{}, "", func(body []byte) { f.Add("msg.offline", body) })
	f.Fuzz(func(t *testing.T, event string, body []byte) { checkParse(t, wukongIM{}, wkRequest(event, body)) })
}
