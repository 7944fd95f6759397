package worker

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	"hongyan/models"
	"hongyan/push"
)

// compose builds what a message says, cut down to what the app lets the vendor
// see.
func compose(it *models.Item, cfg *models.SendConfig, id string) push.Message {
	m, c := &it.Message, &it.Content
	out := push.Message{
		Kind: push.Kind(m.Kind), Title: c.Title, Subtitle: c.Subtitle, Body: c.Body, Sound: c.Sound,
		// A repeat of the same message replaces the first one on the phone.
		CollapseKey: id, ThreadID: m.Conversation, Category: c.Category, MutableContent: c.MutableContent,
		InterruptionLevel: c.InterruptionLevel, HighPriority: !c.LowPriority, ExpiresAt: m.ExpiresAt,
		Data: withMessageID(c.Data, id),
	}
	for vendor, id := range c.ChannelIDs {
		if out.ChannelIDs == nil {
			out.ChannelIDs = make(map[push.Channel]string, len(c.ChannelIDs))
		}
		out.ChannelIDs[push.Channel(vendor)] = id
	}
	for vendor, class := range c.Classes {
		if out.Classes == nil {
			out.Classes = make(map[push.Channel]map[string]string, len(c.Classes))
		}
		out.Classes[push.Channel(vendor)] = class
	}
	if c.CollapseKey != "" {
		out.CollapseKey, out.Collapses = c.CollapseKey, true
	}
	if c.ThreadID != "" {
		out.ThreadID = c.ThreadID
	}
	if cfg.TextMode == models.TextSender || cfg.TextMode == models.TextGeneric {
		veil(&out, m, cfg)
	}
	if m.Kind != models.KindAlert {
		return out
	}
	switch cfg.TextMode {
	case models.TextSender:
		// Who says it, as the bridge understood it; else the title, which names the
		// sender or the conversation; without either the app.
		out.Title, out.Subtitle, out.Body = cmp.Or(c.Speaker, c.Title, cfg.Name), "", models.GenericText(cfg.Language)
	case models.TextGeneric:
		out.Title, out.Subtitle, out.Body = cfg.Name, "", models.GenericText(cfg.Language)
	}
	titled(&out, c, cfg)
	return out
}

// titled gives an alert a title and a body of its own. Android's vendors want both and
// browsers a title; the one that is there would otherwise stand on the phone twice. What
// is missing is who says it, as far as that is known, else the app, as Apple's phones
// show by themselves: their alerts stay as they are.
func titled(out *push.Message, c *models.Content, cfg *models.SendConfig) {
	if cfg.Platform == models.PlatformIOS || cfg.Platform == models.PlatformMacOS {
		return
	}
	title, body := strings.TrimSpace(out.Title), strings.TrimSpace(out.Body)
	if body == "" {
		if title == "" {
			return // nothing to show
		}
		title, body = "", title
		out.Title, out.Body = "", body
	}
	if title != "" {
		return
	}
	out.Title = cfg.Name
	if c.Speaker == "" || c.Speaker == body {
		return
	}
	out.Title = c.Speaker
	// "昵称：text" and "(群名称):text" say it too.
	for _, colon := range []string{"：", ":"} {
		if text, ok := strings.CutPrefix(body, c.Speaker+colon); ok && strings.TrimSpace(text) != "" {
			out.Body = strings.TrimSpace(text)
		}
	}
}

// veil keeps from the vendor which conversation a message belongs to: with the texts
// hidden, the id of a group or of a person would still tell who talks to whom. Equal
// ids stay equal, so that phones go on grouping and replacing. Data is for the app, in
// words that only it and the IM server know, so none of an alert's goes along: the app
// finds the message by its id. A silent push is nothing but its data and keeps it.
func veil(out *push.Message, m *models.Message, cfg *models.SendConfig) {
	out.ThreadID = hidden(cfg, out.ThreadID)
	if out.CollapseKey != m.ID {
		out.CollapseKey = hidden(cfg, out.CollapseKey)
	}
	if m.Kind != models.KindSilent {
		out.Data = withMessageID(nil, m.ID)
	}
}

// hidden replaces an id by a hash of it that nobody without the app's key can guess.
func hidden(cfg *models.SendConfig, id string) string {
	if id == "" {
		return ""
	}
	h := hmac.New(sha256.New, []byte(cfg.HideKey.Reveal()))
	h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// withMessageID adds the message's id for the app's receipts. A request's map is
// shared with others and stays as it is. A key that would take the place of Apple's own
// dictionary is left out.
func withMessageID(data map[string]any, id string) map[string]any {
	if len(data) == 0 {
		return map[string]any{models.DataMessageID: id}
	}
	out := make(map[string]any, len(data)+1)
	maps.Copy(out, data)
	delete(out, "aps")
	out[models.DataMessageID] = id
	return out
}
