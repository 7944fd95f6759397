package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
	"hongyan/push"
)

func TestCompose(t *testing.T) {
	it := models.Item{
		Message: models.Message{ID: "m1", Kind: models.KindAlert, Conversation: "c1", ExpiresAt: time.Unix(1e9, 0)},
		Content: models.Content{Title: "Bob", Subtitle: "in the group", Body: "the secret", Sound: "ding.caf", Data: map[string]any{"x": 1, "aps": "of nobody but Apple"}},
	}
	base := push.Message{
		Kind: push.Alert, Sound: "ding.caf", CollapseKey: "m1", ThreadID: "c1", HighPriority: true, ExpiresAt: time.Unix(1e9, 0),
		Data: map[string]any{"x": 1, models.DataMessageID: "m1"},
	}
	text := func(title, subtitle, body string) push.Message {
		m := base
		m.Title, m.Subtitle, m.Body = title, subtitle, body
		return m
	}
	veiled := func(title, body string) push.Message {
		m := text(title, "", body)
		m.ThreadID, m.Data = "e6c96bef3e7ac10ff296f40542e3c8d8", map[string]any{models.DataMessageID: "m1"}
		return m
	}
	for _, c := range []struct {
		mode, lang string
		want       push.Message
	}{
		{models.TextFull, "zh", text("Bob", "in the group", "the secret")},
		{"", "zh", text("Bob", "in the group", "the secret")},
		{models.TextSender, "zh", veiled("Bob", "收到一条新消息")},
		{models.TextSender, "en", veiled("Bob", "You have a new message")},
		{models.TextGeneric, "zh", veiled("My app", "收到一条新消息")},
		{models.TextGeneric, "en-GB", veiled("My app", "You have a new message")},
	} {
		got := say(&it, &models.SendConfig{Name: "My app", TextMode: c.mode, Language: c.lang, HideKey: "k"})
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %s: %s", c.mode, c.lang, d)
		}
	}
	if models.DataMessageID != push.DataMessageID {
		t.Error("the message's id has two names")
	}
	if _, changed := it.Content.Data[models.DataMessageID]; changed {
		t.Error("the request's data was changed")
	}
	it.Content.CollapseKey, it.Content.ThreadID, it.Content.LowPriority, it.Content.Title = "k", "t", true, ""
	got := say(&it, &models.SendConfig{Name: "My app", TextMode: models.TextFull})
	if got.CollapseKey != "k" || !got.Collapses || got.ThreadID != "t" || got.HighPriority {
		t.Errorf("got %+v", got)
	}
	it.Content.ChannelIDs, it.Content.Classes = map[string]string{"oppo": "calls"}, map[string]map[string]string{"hw": {"importance": "LOW"}}
	got = say(&it, &models.SendConfig{Name: "My app", TextMode: models.TextGeneric, HideKey: "k"})
	if got.ChannelIDs[push.OPPO] != "calls" || got.Classes[push.Huawei]["importance"] != "LOW" {
		t.Errorf("got %+v", got)
	}
	it.Content.Title, it.Content.Speaker = "Your order 17", "Bob(Climbers)"
	if got := say(&it, &models.SendConfig{Name: "My app", TextMode: models.TextSender}); got.Title != "Bob(Climbers)" {
		t.Errorf("title %q, want the speaker", got.Title)
	}
}

// On phones whose vendors want a title nothing is shown twice, and it is said who speaks.
func TestTitles(t *testing.T) {
	for _, c := range []struct {
		platform             string
		title, speaker, body string
		want                 [2]string
	}{
		{"android", "", "", "hello", [2]string{"My app", "hello"}},
		{"android", " ", "", "hello", [2]string{"My app", "hello"}},
		{"android", "", "Bob", "hello", [2]string{"Bob", "hello"}},
		{"android", "", "Bob(Climbers)", "Bob(Climbers)：hello", [2]string{"Bob(Climbers)", "hello"}},
		{"android", "", "(Climbers)", "(Climbers):hello", [2]string{"(Climbers)", "hello"}},
		{"android", "", "Bob", "Bob：", [2]string{"Bob", "Bob："}},
		{"android", "", "Bob", "Bob", [2]string{"My app", "Bob"}},
		{"android", "Order 17", "", "", [2]string{"My app", "Order 17"}},
		{"android", "Order 17", "Bob", "hello", [2]string{"Order 17", "hello"}},
		{"android", "", "", "", [2]string{"", ""}},
		{"ios", "", "Bob", "Bob：hello", [2]string{"", "Bob：hello"}},
		{"macos", "Order 17", "", "", [2]string{"Order 17", ""}},
	} {
		it := models.Item{Message: models.Message{ID: "m", Kind: models.KindAlert}, Content: models.Content{Title: c.title, Speaker: c.speaker, Body: c.body}}
		got := compose(&it, &models.SendConfig{Name: "My app", Platform: c.platform, TextMode: models.TextFull}, "m")
		if [2]string{got.Title, got.Body} != c.want {
			t.Errorf("%s %q %q %q: %q, want %q", c.platform, c.title, c.speaker, c.body, []string{got.Title, got.Body}, c.want)
		}
	}
	it := models.Item{Message: models.Message{ID: "m", Kind: models.KindSilent}}
	if got := compose(&it, &models.SendConfig{Name: "My app", Platform: "android"}, "m"); got.Title != "" {
		t.Errorf("a silent push has the title %q", got.Title)
	}
}

// With the texts hidden, nothing that names a person or a group reaches the vendor,
// and phones still group and replace.
func TestComposeHidesConversations(t *testing.T) {
	item := func(conversation, thread, collapse string) *models.Item {
		return &models.Item{
			Message: models.Message{ID: "m1", Kind: models.KindAlert, Sender: "alice", Conversation: conversation},
			Content: models.Content{Title: "Bob", Body: "x", ThreadID: thread, CollapseKey: collapse, Data: map[string]any{"channel_id": "group-77"}},
		}
	}
	for _, mode := range []string{models.TextSender, models.TextGeneric} {
		cfg := &models.SendConfig{Name: "My app", TextMode: mode, HideKey: "key of one app"}
		a, b := say(item("alice", "alice", "call-13800138000"), cfg), say(item("group-77", "", ""), cfg)
		again := say(item("alice", "alice", "call-13800138000"), cfg)
		if a.ThreadID == "" || a.ThreadID != again.ThreadID || a.CollapseKey != again.CollapseKey || a.ThreadID == b.ThreadID {
			t.Errorf("%s: conversations are not told apart: %q %q %q", mode, a.ThreadID, again.ThreadID, b.ThreadID)
		}
		other := say(item("alice", "alice", ""), &models.SendConfig{TextMode: mode, HideKey: "key of another app"})
		if other.ThreadID == a.ThreadID {
			t.Errorf("%s: two apps hash alike", mode)
		}
		for _, m := range []push.Message{a, b} {
			if text := fmt.Sprintf("%+v", m); strings.Contains(text, "alice") || strings.Contains(text, "group-77") || strings.Contains(text, "13800138000") {
				t.Errorf("%s: the vendor is told %s", mode, text)
			}
			if m.Data[models.DataMessageID] != "m1" {
				t.Errorf("%s: the app cannot find the message: %v", mode, m.Data)
			}
		}
		it := item("group-77", "", "")
		it.Message.Kind = models.KindSilent
		if got := say(it, cfg); got.Data["channel_id"] != "group-77" || got.ThreadID == "group-77" {
			t.Errorf("%s: silent push %+v", mode, got)
		}
	}
	cfg := &models.SendConfig{TextMode: models.TextFull}
	if m := say(item("group-77", "", "c"), cfg); m.ThreadID != "group-77" || m.CollapseKey != "c" || m.Data["channel_id"] != "group-77" {
		t.Errorf("full text: %+v", m)
	}
}

// say is what a message says that is not one of a group.
func say(it *models.Item, cfg *models.SendConfig) push.Message {
	return compose(it, cfg, it.Message.ID)
}
