package interop_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
	"hongyan/sandbox"
)

// fcmJob is what fcm.js is told.
type fcmJob struct {
	Account string     `json:"account"`
	CA      string     `json:"ca"`
	Host    string     `json:"host"`
	Port    int        `json:"port"`
	Batches []fcmBatch `json:"batches"`
}

type fcmBatch struct {
	Messages []map[string]any `json:"messages"`
	DryRun   bool             `json:"dryRun"`
}

type fcmOutcome struct {
	Answers []struct{ ID, Code, Message string }
	Dialled []string
}

func fcmToken(n int) string { return fmt.Sprintf("d%07d:APA91b%s", n, strings.Repeat("y", 100)) }

// serviceAccount makes an account's file with a key of its own.
func serviceAccount(t *testing.T) []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file, err := sandbox.ServiceAccount("hongyan-demo", "https://oauth2.googleapis.com/token", key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// firebase-admin, Google's own SDK, understands the FCM simulator: tokens, messages, dry
// runs and what each refusal means. It goes over HTTP/1.1, because in its HTTP/2 it
// writes the scheme as "https:", which Google's servers forgive and Go's do not.
func TestFirebaseAdmin(t *testing.T) {
	install(t)
	file, stranger := serviceAccount(t), serviceAccount(t)
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: "hongyan-demo", Fields: map[string]string{"service_account": string(file)}})
	inbox := sandbox.NewMemory(1000)
	sim, err := sandbox.Start(sandbox.Config{Channel: push.FCM, Accounts: accounts, Recorder: inbox})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	// What firebase-admin calls each of the simulator's answers about a token.
	words := []struct{ state, code string }{
		{"", ""},
		{"UNREGISTERED", "messaging/registration-token-not-registered"},
		{"SENDER_ID_MISMATCH", "messaging/mismatched-credential"},
		{"INVALID_ARGUMENT:token", "messaging/invalid-argument"},
		{"INVALID_ARGUMENT:size", "messaging/invalid-argument"},
		{"QUOTA_EXCEEDED:device", "messaging/message-rate-exceeded"},
		{"THIRD_PARTY_AUTH_ERROR", "messaging/third-party-auth-error"},
		{"PERMISSION_DENIED", "messaging/mismatched-credential"},
	}
	full := map[string]any{
		"token": fcmToken(0), "notification": map[string]any{"title": "鸿雁", "body": "你好"}, "data": map[string]any{"from_client": "firebase-admin"},
		"android": map[string]any{
			"priority": "high", "ttl": 3600000, "collapseKey": "c1",
			"notification": map[string]any{"channelId": "im", "tag": "c1", "notificationCount": 3, "color": "#00ff00", "defaultSound": true, "visibility": "private", "priority": "high"},
		},
	}
	batches := []fcmBatch{{Messages: []map[string]any{full}}, {Messages: []map[string]any{full}, DryRun: true}, {}}
	for i, w := range words {
		if err := sim.SetToken(fcmToken(i), sandbox.TokenState{Reason: w.state}); err != nil {
			t.Fatal(err)
		}
		batches[2].Messages = append(batches[2].Messages, map[string]any{"token": fcmToken(i), "notification": map[string]any{"title": "x"}})
	}
	host, port := address(t, sim.URL())
	j := fcmJob{Account: string(file), CA: string(sim.CA().PEM()), Host: host, Port: port, Batches: batches}
	var got fcmOutcome
	node(t, "fcm.js", j, &got)
	if len(got.Answers) != 2+len(words) {
		t.Fatalf("%+v", got)
	}
	if got.Answers[0].ID == "" || got.Answers[1].ID != "projects/hongyan-demo/messages/fake_message_id" {
		t.Errorf("%+v", got.Answers[:2])
	}
	for i, w := range words {
		if a := got.Answers[2+i]; a.Code != w.code || (a.ID == "") != (w.code != "") {
			t.Errorf("%s: %+v, want %s", w.state, a, w.code)
		}
	}
	for _, name := range got.Dialled {
		if !strings.HasSuffix(name, ".googleapis.com") {
			t.Errorf("dialled %s", name)
		}
	}
	checkFCMInbox(t, inbox.List(), 1+len(words))
	if sim.Fetches() != 1 {
		t.Errorf("%d access tokens, want 1", sim.Fetches())
	}
	j.Account, j.Batches = string(stranger), batches[:1]
	got = fcmOutcome{}
	node(t, "fcm.js", j, &got)
	if len(got.Answers) != 1 || got.Answers[0].ID != "" || !strings.Contains(got.Answers[0].Message, "invalid_grant") {
		t.Errorf("a stranger's key: %+v", got)
	}
}

// checkFCMInbox: the simulator saw what that client meant.
func checkFCMInbox(t *testing.T, list []sandbox.Received, want int) {
	t.Helper()
	if len(list) != want {
		t.Fatalf("%d messages on record, want %d", len(list), want)
	}
	var p map[string]any
	if err := json.Unmarshal(list[0].Payload, &p); err != nil {
		t.Fatal(err)
	}
	meant := map[string]any{
		"notification": map[string]any{"title": "鸿雁", "body": "你好"}, "data": map[string]any{"from_client": "firebase-admin"},
		"android": map[string]any{
			"priority": "high", "ttl": "3600s", "collapse_key": "c1",
			"notification": map[string]any{
				"channel_id": "im", "tag": "c1", "notification_count": 3.0, "color": "#00ff00", "default_sound": true,
				"visibility": "PRIVATE", "notification_priority": "PRIORITY_HIGH",
			},
		},
	}
	if d := cmp.Diff(meant, p); d != "" {
		t.Error(d)
	}
}
