package worker

import (
	"cmp"
	"maps"
	"strings"

	"hongyan/models"
	"hongyan/push"
)

// compose builds what a message says, cut down to what the app lets the vendor
// see.
func compose(it *models.Item, cfg *models.SendConfig) push.Message {
	m, c := &it.Message, &it.Content
	out := push.Message{
		Kind: push.Kind(m.Kind), Title: c.Title, Subtitle: c.Subtitle, Body: c.Body, Sound: c.Sound,
		// A repeat of the same message replaces the first one on the phone.
		CollapseKey: m.ID, ThreadID: m.Conversation, Category: c.Category, MutableContent: c.MutableContent,
		InterruptionLevel: c.InterruptionLevel, HighPriority: !c.LowPriority, ExpiresAt: m.ExpiresAt,
		Data: withMessageID(c.Data, m.ID),
	}
	if c.CollapseKey != "" {
		out.CollapseKey = c.CollapseKey
	}
	if c.ThreadID != "" {
		out.ThreadID = c.ThreadID
	}
	if m.Kind != models.KindAlert {
		return out
	}
	switch cfg.TextMode {
	case models.TextSender:
		// Who says it, as the bridge understood it; else the title, which names the
		// sender or the conversation; without either the app.
		out.Title, out.Subtitle, out.Body = cmp.Or(c.Speaker, c.Title, cfg.Name), "", genericBody(cfg.Language)
	case models.TextGeneric:
		out.Title, out.Subtitle, out.Body = cfg.Name, "", genericBody(cfg.Language)
	}
	return out
}

// genericBody is the sentence that stands for a text the vendor shall not see, in
// the language of the app's account. It goes to a phone and not to a page, so it
// is no entry of the message catalog.
func genericBody(language string) string {
	if isEnglish(language) {
		return "You have a new message"
	}
	return "您收到一条新消息"
}

func isEnglish(language string) bool { return strings.HasPrefix(language, "en") }

// withMessageID adds the message's id for the app's receipts. A request's map is
// shared with others and stays as it is.
func withMessageID(data map[string]any, id string) map[string]any {
	if len(data) == 0 {
		return map[string]any{models.DataMessageID: id}
	}
	out := make(map[string]any, len(data)+1)
	maps.Copy(out, data)
	out[models.DataMessageID] = id
	return out
}
