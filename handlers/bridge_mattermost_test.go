package handlers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func FuzzMattermost(f *testing.F) { fuzzTokens(f, mattermostProxy{}, "mattermost") }

func FuzzMattermostAck(f *testing.F) {
	f.Add([]byte(`{"id":"ack1","received_at":1795395377000,"platform":"apple_rn","type":"message","post_id":"p","is_id_loaded":false}`))
	f.Add([]byte(`{"id":"ack1","received_at":99999999999999999999}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, at, err := readMattermostReceipt(tokenRequest(body))
		if err == nil && at.After(testNow()) || err != nil && apiErrorOf(err).status != 400 {
			t.Fatalf("%q at %v: %v", id, at, err)
		}
	})
}

func TestMattermostFixtures(t *testing.T) {
	t.Parallel()
	badge := func(n int) *int { return &n }
	const bob = "token-of-bob"
	for file, want := range map[string]models.Incoming{
		"message": {
			SourceID: "ack1", Kind: models.KindAlert, Token: bob, Sender: "u-alice", Conversation: "chan1",
			Content: models.Content{
				Title: "产品组", Speaker: "@alice(产品组)", Body: "@alice: 你好", Badge: badge(4), Sound: "default", ThreadID: "chan1", Category: "CAN_REPLY",
				Data: map[string]any{
					"ack_id": "ack1", "server_id": "server-1", "post_id": "post1", "channel_id": "chan1", "team_id": "team1", "root_id": "",
					"type": "message", "is_id_loaded": false, "version": "v2", "signature": "eyJh.b.c", "channel_name": "产品组",
					"cont_ava": number1, "from_webhook": "", "is_crt_enabled": true, "override_icon_url": "", "override_username": "",
					"sender_id": "u-alice", "sender_name": "@alice", "sub_type": "",
				},
			},
		},
		"clear":        {SourceID: "ack2", Kind: models.KindBadge, Token: bob, Content: models.Content{Badge: badge(0)}},
		"update_badge": {SourceID: "ack3", Kind: models.KindBadge, Token: bob, Content: models.Content{Badge: badge(7)}},
		"id_loaded": {
			SourceID: "ack4", Kind: models.KindAlert, Token: bob, Conversation: "chan1",
			Content: models.Content{
				Body: "收到一条新消息", Badge: badge(1), ThreadID: "chan1",
				Data: map[string]any{
					"ack_id": "ack4", "server_id": "server-1", "post_id": "post4", "channel_id": "chan1", "type": "message", "is_id_loaded": true, "version": "v2",
				},
			},
		},
		"session": {
			SourceID: "ack5", Kind: models.KindAlert, Token: bob,
			Content: models.Content{
				Body: "会话已过期，请重新登录", Badge: badge(0), Sound: "default",
				Data: map[string]any{
					"ack_id": "ack5", "server_id": "server-1", "type": "session", "version": "v2",
					"a_new_field": map[string]any{"x": []any{number1, number2}},
				},
			},
		},
		"test": {
			SourceID: "ack6", Kind: models.KindAlert, Token: bob,
			Content: models.Content{
				Body: "test", Speaker: "机器人", Sound: "default",
				Data: map[string]any{"ack_id": "ack6", "server_id": "server-1", "type": "test", "override_username": "机器人", "sender_name": "@bot"},
			},
		},
	} {
		got, err := mattermostProxy{}.parse(tokenRequest(fixture(t, "mattermost/"+file+".json")))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if diff := cmp.Diff([]models.Incoming{want}, got.messages); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
		if diff := cmp.Diff([]string{"server-1"}, got.names); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func TestMattermostEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "mattermost", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		ask := func(path, file, token string, want string) {
			t.Helper()
			r := s.post(path, atToken(fixture(t, "mattermost/"+file+".json"), token, ""))
			if got, _ := r.json(t)["status"].(string); r.status != 200 || got != want || (got == "FAIL") != (r.json(t)["error"] != nil) {
				t.Errorf("%s: %d %s, want %s", file, r.status, r.body, want)
			}
		}
		root, secret := "/"+mattermostSend, s.im("/"+mattermostSend)
		ask(secret, "message", bob.token, "OK")
		ask(s.im(""), "message", bob.token, "OK") // a duplicate
		ask(root, "clear", bob.token, "FAIL")     // the server id is not registered
		s.name("server-1")
		ask(root, "clear", bob.token, "OK")
		ask(root, "update_badge", bob.token, "OK")
		ask(root, "id_loaded", bob.token, "OK")
		ask(root, "session", "nobody", "FAIL")
		ask(secret, "session", "nobody", "FAIL")
		for _, bad := range []string{"{", "[]", `{"device_id":7}`, `{"device_id":"a\u0000b"}`} {
			if r := s.post(root, []byte(bad)); r.status != 200 || r.json(t)["status"] != "FAIL" {
				t.Errorf("%s: %d %s", bad, r.status, r.body)
			}
		}
		if r := s.do("GET", s.im("/version"), nil); r.status != 200 {
			t.Errorf("version: %d %s", r.status, r.body)
		}
		s.acknowledge(t)
		bob.unregister()
		ask(secret, "test", bob.token, "REMOVE")
		ask(root, "test", bob.token, "REMOVE")
		want := map[string]int{"accepted": 2, "duplicate": 1, "badge": 2, "unknown": 2, "dead": 2}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), "你好") {
			t.Error("the log holds a token or a text")
		}
	})
}

// recordAll records everything that was accepted as sent.
func (s *machineSite) recordAll(t *testing.T) {
	t.Helper()
	db := s.store.Databases()[0]
	for {
		bs, err := db.ClaimDue(t.Context(), "w", time.Minute, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(bs) == 0 {
			return
		}
		for _, b := range bs {
			rec := models.Recording{Batch: b}
			for _, it := range b.Items {
				rec.Deliveries = append(rec.Deliveries, models.Delivery{
					MessageID: it.Message.ID, DeviceID: it.DeviceID, AppID: it.Message.AppID, PlanID: it.Message.PlanID,
					Channel: "apns", State: models.StateAccepted, At: s.clock(), ResolvedAt: s.clock(),
				})
			}
			if _, _, err := db.Record(t.Context(), "w", []models.Recording{rec}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// acknowledge records the sends of the two alerts and acknowledges each, under the
// secret and without.
func (s *machineSite) acknowledge(t *testing.T) {
	t.Helper()
	s.recordAll(t)
	arrived := func(want int) {
		t.Helper()
		if n := s.count("deliveries WHERE state = 'arrived'"); n != want {
			t.Errorf("%d arrived, want %d", n, want)
		}
	}
	for i, c := range []struct{ path, id string }{
		{s.im("/" + mattermostAck), "ack1"}, {s.im("/" + mattermostAck), "ack1"}, {"/" + mattermostAck, "ack4"}, {"/" + mattermostAck, "no such"},
	} {
		r := s.post(c.path, []byte(`{"id":"`+c.id+`","received_at":1795395377000,"platform":"apple_rn","type":"message","post_id":"p","is_id_loaded":false}`))
		if r.status != 200 || r.json(t)["status"] != "OK" {
			t.Errorf("ack: %d %s", r.status, r.body)
		}
		arrived([]int{1, 1, 2, 2}[i])
	}
	if r := s.post("/"+mattermostAck, []byte(`{}`)); r.json(t)["status"] != "FAIL" {
		t.Errorf("ack of nothing: %s", r.body)
	}
}
