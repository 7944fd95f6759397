package handlers

import (
	"encoding/json"
	"net/http"

	"hongyan/models"
	"hongyan/push"
)

// notice is what a phone shows of a payload; id is the message's, "" when it did not
// come along.
type notice struct{ id, title, body string }

// noticeAt says where a vendor's payload has what a phone shows: each a way through
// objects, of which a step may also lead into JSON that is kept as text.
type noticeAt struct{ title, body, data []string }

// noticePlaces has the vendors; APNs, whose alert has two forms, is readAlert's.
func noticePlaces() map[push.Channel]noticeAt {
	at := func(keys ...string) []string { return keys }
	return map[push.Channel]noticeAt{
		push.Huawei:  {at("notification", "title"), at("notification", "body"), at("data")},
		push.Honor:   {at("android", "notification", "title"), at("android", "notification", "body"), at("data")},
		push.Xiaomi:  {at("title"), at("description"), at("payload")},
		push.OPPO:    {at("title"), at("content"), at("action_parameters")},
		push.Vivo:    {at("title"), at("content"), at("clientCustomMap")},
		push.Meizu:   {at("noticeBarInfo", "title"), at("noticeBarInfo", "content"), at("clickTypeInfo", "parameters")},
		push.Harmony: {at("notification", "title"), at("notification", "body"), at("notification", "clickAction", "data")},
		push.FCM:     {at("notification", "title"), at("notification", "body"), at("data")},
		push.WebPush: {at("title"), at("body"), at("data")},
	}
}

// readNotice reads what a phone shows of a push. What cannot be read shows nothing.
func readNotice(p *models.SandboxPush) notice {
	at, ok := noticePlaces()[push.Channel(p.Channel)]
	if !ok {
		return readAlert(p.Payload)
	}
	return notice{
		id:    wordAt(p.Payload, append(at.data, models.DataMessageID)...),
		title: wordAt(p.Payload, at.title...), body: wordAt(p.Payload, at.body...),
	}
}

// wordAt is the text at the end of a way through JSON, "" where it leads nowhere.
func wordAt(text []byte, way ...string) string {
	var word string
	if json.Unmarshal(text, &word) == nil {
		if len(way) == 0 {
			return word
		}
		text = []byte(word)
	}
	var object map[string]json.RawMessage
	if len(way) == 0 || json.Unmarshal(text, &object) != nil {
		return ""
	}
	return wordAt(object[way[0]], way[1:]...)
}

// readAlert reads an APNs payload.
func readAlert(payload []byte) notice {
	var p struct {
		Aps struct {
			Alert json.RawMessage `json:"alert"`
		} `json:"aps"`
		ID string `json:"hy_mid"` // models.DataMessageID
	}
	if json.Unmarshal(payload, &p) != nil {
		return notice{}
	}
	var alert struct{ Title, Body string }
	if json.Unmarshal(p.Aps.Alert, &alert) != nil {
		// A bare string is the body; anything else is no alert.
		_ = json.Unmarshal(p.Aps.Alert, &alert.Body)
	}
	return notice{id: p.ID, title: alert.Title, body: alert.Body}
}

// shownOn reports whether a push reached its phone: many vendors refuse a token within
// an answer of 200, and some say yes with another number.
func shownOn(p *models.SandboxPush) bool { return p.Reason == "" && p.Status/100 == 2 }

// throttled reports whether a push was refused because there were too many.
func (h *console) throttled(p *models.SandboxPush) bool {
	spec, ok := h.spec(p.Channel)
	return p.Status == http.StatusTooManyRequests || ok && p.Reason != "" && spec.Codes[p.Reason].Outcome == push.Throttled
}
