package handlers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func FuzzRocketChat(f *testing.F) { fuzzTokens(f, rocketChatGateway{}, "rocketchat") }

func TestRocketChatFixtures(t *testing.T) {
	t.Parallel()
	badge := func(n int) *int { return &n }
	const bob = "token-of-bob"
	packed := `{"host":"https://chat.example/","messageId":"m1","rid":"r1","sender":{"_id":"u-alice","username":"alice","name":"小艾"},"type":"c","name":"general"}`
	for file, want := range map[string]models.Incoming{
		"message": {
			SourceID: "m1", Kind: models.KindAlert, Token: bob, Sender: "u-alice", Conversation: "r1",
			Content: models.Content{
				Title: "#general", Speaker: "小艾(general)", Body: "小艾: 你好", Badge: badge(3), Sound: "default", ThreadID: "r1", Category: "MESSAGE",
				Data: map[string]any{"ejson": packed, "messageFrom": "push", "notId": json.Number("12345")},
			},
		},
		"packed": {
			SourceID: "m1", Kind: models.KindAlert, Token: bob, Sender: "u-alice", Conversation: "r1",
			Content: models.Content{
				Title: "#general", Speaker: "小艾(general)", Body: "收到一条新消息", ThreadID: "r1", Data: map[string]any{"ejson": packed},
			},
		},
		"direct": {
			SourceID: "m2", Kind: models.KindAlert, Token: bob, Sender: "u-alice", Conversation: "r2",
			Content: models.Content{
				Title: "alice", Speaker: "alice", Body: "hi", ThreadID: "r2",
				Data: map[string]any{"ejson": `{"messageId":"m2","rid":"r2","sender":{"_id":"u-alice","username":"alice"},"type":"d","name":"alice"}`},
			},
		},
		"badge": {
			SourceID: "2afc3e79", Kind: models.KindBadge, Token: bob, Content: models.Content{Badge: badge(2)},
		},
	} {
		got, err := rocketChatGateway{}.parse(tokenRequest(fixture(t, "rocketchat/"+file+".json")))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if file == "badge" { // a hash
			if len(got.messages[0].SourceID) != 64 {
				t.Errorf("source id %q", got.messages[0].SourceID)
			}
			want.SourceID = got.messages[0].SourceID
		}
		if diff := cmp.Diff([]models.Incoming{want}, got.messages); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
}

func TestRocketChatEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "rocketchat", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		ask := func(path, file, token string, want int) {
			t.Helper()
			r := s.post(path, atToken(fixture(t, "rocketchat/"+file+".json"), token, ""))
			if r.status != want || len(r.json(t)) == 0 {
				t.Errorf("%s: %d %s, want %d", file, r.status, r.body, want)
			}
		}
		const apn, gcm = "/push/apn/send", "/push/gcm/send"
		ask(s.im(gcm), "message", bob.token, 200)
		ask(s.im(apn), "message", bob.token, 200) // repeated
		ask(apn, "badge", bob.token, 422)         // the workspace is not registered
		s.name("workspace-1")
		ask(apn, "badge", bob.token, 200)
		ask(apn, "badge", bob.token, 200) // repeated: known by what it says
		ask(gcm, "direct", bob.token, 200)
		ask(gcm, "direct", "nobody", 422)
		ask(s.im(gcm), "direct", "nobody", 422)
		ask("/im/nope"+gcm, "direct", bob.token, 422)
		for _, bad := range []string{"{", "[]", `{"token":7}`, `{"token":"a"}`, `{"token":"a\u0000b","options":{}}`} {
			if r := s.post(s.im(gcm), []byte(bad)); r.status != 422 {
				t.Errorf("%s: %d %s", bad, r.status, r.body)
			}
		}
		s.store.GuardDisk("/", 1<<62, nil)
		ask(s.im(gcm), "direct", bob.token, 503) // to be repeated
		s.store.GuardDisk("/", 0, nil)
		bob.unregister()
		ask(s.im(apn), "message", bob.token, 406)
		ask(apn, "message", bob.token, 406)
		want := map[string]int{"accepted": 2, "duplicate": 2, "badge": 1, "unknown": 2, "dead": 2, "invalid": 5, "refused": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), "你好") {
			t.Error("the log holds a token or a text")
		}
	})
}
