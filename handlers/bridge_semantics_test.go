package handlers

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// Who asks for no push is obeyed, also in other words than those of the fixtures.
func TestDoNotPush(t *testing.T) {
	t.Parallel()
	tencent := func(change map[string]any) ingestRequest { return timREST(t, timSendMsg, timMessageBody(t, change)) }
	for _, c := range []struct {
		name string
		p    protocol
		r    ingestRequest
	}{
		{"OpenIM notOfflinePush", openIM{}, oimRequest(openIMBefore, []byte(`{"userIDList":["bob"],"desc":"x","offlinePushInfo":{"notOfflinePush":1}}`))},
		{"Tencent PushFlag as text", tencentIM{}, tencent(map[string]any{"OfflinePushInfo": map[string]any{"PushFlag": "1", "Desc": "x"}})},
	} {
		got, err := c.p.parse(c.r)
		if err != nil || len(got.messages) != 0 || got.dropped[models.IngestSkipped] == 0 {
			t.Errorf("%s: %v %+v", c.name, err, got)
		}
	}
	for _, unwanted := range []bool{false, true} {
		body := bytes.Replace(fixture(t, "openim/hook_not_push.json"), []byte(`"notPush":true`), []byte(fmt.Sprintf(`"notPush":%v`, unwanted)), 1)
		if got, err := (openIM{}).parse(oimRequest(openIMBefore, body)); err != nil || (len(got.messages) == 0) != unwanted {
			t.Errorf("notPush %v: %v %+v", unwanted, err, got)
		}
	}
}

// The same words every day are a new push every day, though the command has no number
// of its own; the repetition of one request is none.
func TestTencentPushesWithoutNumber(t *testing.T) {
	t.Parallel()
	id := func(command, file, random string) string {
		t.Helper()
		r := timREST(t, command, fixture(t, "tencent/"+file))
		r.body = bytes.ReplaceAll(r.body, []byte(`"MsgRandom":3,`), nil)
		r.query.Set("random", random)
		got, err := tencentIM{}.parse(r)
		if err != nil {
			t.Fatal(file, err)
		}
		if call := got.extra.(*timCall); call.toAll {
			return call.base.SourceID + call.taskID
		} else {
			return got.messages[0].SourceID + call.taskID
		}
	}
	for command, file := range map[string]string{timPush: "rest_timpush_push.json", timPushBatch: "rest_timpush_batch.json"} {
		monday, repeated, tuesday := id(command, file, "7"), id(command, file, "7"), id(command, file, "8")
		if monday != repeated || monday == tuesday {
			t.Errorf("%s: %s, repeated %s, the next day %s", command, monday, repeated, tuesday)
		}
	}
	// With a number it is the number that counts, whatever the request's is.
	if a, b := id(timAll, "rest_all.json", "7"), id(timAll, "rest_all.json", "8"); a != b {
		t.Errorf("im_push: %s and %s", a, b)
	}
}

// A message lives as long as its command says, or as Tencent says where it does not.
func TestTencentLife(t *testing.T) {
	t.Parallel()
	for life, want := range map[any]time.Duration{nil: maxTimLife * time.Second, 60: time.Minute, maxTimLife: maxTimLife * time.Second} {
		got, err := tencentIM{}.parse(timREST(t, timSendMsg, timMessageBody(t, map[string]any{"MsgLifeTime": life})))
		if err != nil || len(got.messages) != 1 || !got.messages[0].ExpiresAt.Equal(testNow().Add(want)) {
			t.Errorf("MsgLifeTime %v: %v %+v, want %s", life, err, got.messages, want)
		}
	}
}

// A user's list of recipients and its compression are bounded, and a broken one costs
// that list alone.
func TestRecipientLimits(t *testing.T) {
	t.Parallel()
	packed := func(list []byte) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(list)
		_ = z.Close()
		return base64.StdEncoding.EncodeToString(b.Bytes())
	}
	ids := func(n int) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `,"u%d"`, i)
		}
		return append(append([]byte("["), b.Bytes()[1:]...), ']')
	}
	for _, c := range []struct {
		name, list string
		messages   int
		status     int
	}{
		{"as many as are taken", packed(ids(maxRecipients)), maxRecipients, 0},
		{"one more", packed(ids(maxRecipients + 1)), 0, 413},
		{"a bomb", packed(bytes.Repeat([]byte(" "), maxRecipientBytes+1)), 0, 413},
		{"a cut one", packed(ids(1000))[:200], 0, 0},
		{"no gzip", base64.StdEncoding.EncodeToString([]byte("[]")), 0, 0},
	} {
		got, err := wukongIM{}.parse(wkRequest(wkOffline, offline(map[string]any{"to_uids": nil, "compress": "gzip", "compress_to_uids": c.list})))
		switch {
		case c.status != 0:
			if err == nil || apiErrorOf(err).status != c.status {
				t.Errorf("%s: %v, want %d", c.name, err, c.status)
			}
		case err != nil || len(got.messages) != c.messages || (c.messages == 0) != (got.fault != ""):
			t.Errorf("%s: %v, %d messages, fault %q", c.name, err, len(got.messages), got.fault)
		}
	}
}

// The sender's own phone is not pushed to, whatever token the server has for it.
func TestSendersOwnDevice(t *testing.T) {
	t.Parallel()
	eachMachine(t, "matrix", Rates{}, func(t *testing.T, s *machineSite) {
		mine := registeredPhone(t, s, siteVendorToken)
		bobs := registeredPhone(t, s, strings.Replace(siteVendorToken, siteVendorToken[:4], "beef", 1))
		for p, account := range map[*phone]string{mine: "@alice:localhost", bobs: "@bob:localhost"} {
			p.must("/accounts/bind", map[string]any{"account": account}, 204)
		}
		for _, p := range []*phone{mine, bobs} {
			if r := s.post(s.im("/"+matrixPath), atToken(fixture(t, "matrix/dendrite_message.json"), p.token, "app")); r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if diff := cmp.Diff(map[string]int{"accepted": 1, "sender": 1}, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if n := s.count("messages WHERE account = '@bob:localhost'"); n != 1 {
			t.Errorf("%d messages for bob", n)
		}
	})
}

// Mattermost's acknowledgement may overtake the record of the send, and is only taken
// from where the IM app may be used.
func TestMattermostEarlyAck(t *testing.T) {
	t.Parallel()
	eachMachine(t, "mattermost", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		for _, file := range []string{"message", "id_loaded", "session"} {
			s.post(s.im("/"+mattermostSend), atToken(fixture(t, "mattermost/"+file+".json"), bob.token, ""))
		}
		ack := func(path, id string) {
			t.Helper()
			if r := s.post(path, []byte(`{"id":"`+id+`","received_at":0,"platform":"apple_rn","type":"message"}`)); r.status != 200 || r.json(t)["status"] != "OK" {
				t.Errorf("ack: %d %s", r.status, r.body)
			}
		}
		s.imApp.AllowIPs = "198.51.100.7"
		s.name("server-1")
		ack("/"+mattermostAck, "ack1") // answered as ever, and not believed
		s.imApp.AllowIPs = ""
		s.name("server-1")
		if n := s.count("early_receipts"); n != 0 {
			t.Fatalf("%d acknowledgements from elsewhere are kept", n)
		}
		ack("/"+mattermostAck, "ack4")
		ack(s.im("/"+mattermostAck), "ack5")
		ack(s.im("/"+mattermostAck), "ack5")
		if n := s.count("early_receipts"); n != 2 {
			t.Errorf("%d acknowledgements wait, want 2", n)
		}
		s.recordAll(t)
		if n := s.count("early_receipts"); n != 0 {
			t.Errorf("%d acknowledgements still wait", n)
		}
		if n := s.count("deliveries WHERE state = 'arrived'"); n != 2 {
			t.Errorf("%d arrived, want 2", n)
		}
		ack("/"+mattermostAck, "ack1") // in time
		if n := s.count("deliveries WHERE state = 'arrived'"); n != 3 {
			t.Errorf("%d arrived, want 3", n)
		}
	})
}

// timpush/batch names users and RegistrationIDs, which are devices' tokens.
func TestTencentRegistrationIDs(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		s := timSite{m, t}
		phone := registeredPhone(t, m, siteVendorToken)
		gone := registeredPhone(t, m, strings.Replace(siteVendorToken, siteVendorToken[:4], "dead", 1))
		gone.unregister()
		body, err := json.Marshal(map[string]any{
			"To_Account": []string{phone.token, "bob", gone.token}, "OfflinePushInfo": map[string]any{"Desc": "d"},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := s.rest(timPushBatch, body)
		if a["ActionStatus"] != "SomeError" || a["accepted"] != 2.0 || !strings.Contains(fmt.Sprint(a["ErrorList"]), gone.token) {
			t.Errorf("%v", a)
		}
		if n := s.count("messages WHERE account = 'bob'"); n != 1 || s.count("messages") != 2 {
			t.Errorf("%d for bob, %d in all", n, s.count("messages"))
		}
		if diff := cmp.Diff(map[string]int{"accepted": 2, "dead": 1}, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
	})
}

// A server that has an SDKAppID and a SecretKey keeps both; ApnsInfo's title is for
// phones of Apple.
func TestTencentSecretKey(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		const own = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
		set := func(in models.IMAppInput) {
			t.Helper()
			in.Name, in.Bridge = m.imApp.Name, m.imApp.Bridge
			if _, err := m.store.UpdateIMApp(t.Context(), m.who, m.imApp.ID, in, bridgeIDs()); err != nil {
				t.Fatal(err)
			}
			m.advance(2 * time.Second)
		}
		ask := func(key string, want any) {
			t.Helper()
			r := m.post(m.im("/tencent/"+timSendMsg+"?"+timQuery(t, key, m.imApp.SDKAppID, m.clock()).Encode()), fixture(t, "tencent/rest_sendmsg.json"))
			if got := r.json(t)["ErrorCode"]; got != want {
				t.Errorf("signed with %.4s: %s, want %v", key, r.body, want)
			}
		}
		ask(m.secret, 0.0)
		ask(own, 70009.0)
		set(models.IMAppInput{SDKKey: own})
		ask(own, 0.0)
		ask(m.secret, 70009.0)
		set(models.IMAppInput{}) // another field was edited
		ask(own, 0.0)
		set(models.IMAppInput{DropSDKKey: true})
		ask(m.secret, 0.0)
		if n := m.count("im_apps WHERE sdk_key IS NOT NULL"); n != 0 {
			t.Error("the SecretKey is still stored")
		}
		if strings.Contains(m.log.String(), own) {
			t.Error("the log holds the SecretKey")
		}
		bs, err := m.store.Databases()[0].ClaimDue(t.Context(), "w", time.Minute, 10)
		if err != nil || len(bs) != 1 || len(bs[0].Items) != 1 {
			t.Fatalf("%d batches %v", len(bs), err)
		}
		if c := bs[0].Items[0].Content; c.Title != "apns title" || c.Sound != "apns.mp3" {
			t.Errorf("an app on iOS gets %q, %q", c.Title, c.Sound)
		}
	})
}

// OpenIM must not push by itself what nobody, or only the sender, would get.
func TestOpenIMTakesWhatIsQuiet(t *testing.T) {
	t.Parallel()
	eachMachine(t, "openim", Rates{}, func(t *testing.T, s *machineSite) {
		for body, next := range map[string]float64{
			string(fixture(t, "openim/hook_not_push.json")):                                     1,
			string(fixture(t, "openim/hook_typing.json")):                                       1,
			`{"userIDList":["alice"],"sendID":"alice","desc":"x","clientMsgID":"1"}`:            1,
			`{"userIDList":["alice","\u0001"],"sendID":"alice","desc":"x","clientMsgID":"2"}`:   0,
			`{"userIDList":[],"sendID":"alice","desc":"x","clientMsgID":"3","contentType":101}`: 0,
		} {
			r := s.post(s.im("/openim/"+openIMBefore), []byte(body))
			if a := r.json(t); r.status != 200 || a["nextCode"] != next {
				t.Errorf("%.80s: %d %s, want %v", body, r.status, r.body, next)
			}
		}
		if n := s.count("messages"); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}
