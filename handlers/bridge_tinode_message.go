package handlers

import (
	"encoding/json"
	"strings"
	"time"

	"hongyan/models"
)

// tinodeMessage is an FCM message as Tinode fills it, tolerant where a wrong type
// should not lose it.
type tinodeMessage struct {
	Token        looseText       `json:"token"`
	Topic        looseText       `json:"topic"`
	Data         json.RawMessage `json:"data"`
	Notification json.RawMessage `json:"notification"`
	Android      json.RawMessage `json:"android"`
	APNS         json.RawMessage `json:"apns"`
}

// tinodeData is the part of data that is understood here.
type tinodeData struct {
	What      looseText `json:"what"`
	Topic     looseText `json:"topic"`
	From      looseText `json:"xfrom"`
	At        looseText `json:"ts"`
	Seq       looseText `json:"seq"`
	Content   looseText `json:"content"`
	Silent    looseText `json:"silent"`
	WebRTC    looseText `json:"webrtc"`
	ModeWant  looseText `json:"modeWant"`
	ModeGiven looseText `json:"modeGiven"`
}

// Why an item is refused, as Tinode's server reads it.
const (
	tinodeBadToken = "message.token" // INVALID_ARGUMENT with it: the device is forgotten
	tinodeBadItem  = "message"
	tinodeBadTopic = "message.topic"
)

func (tinodeGateway) parse(r ingestRequest) (intake, error) {
	var in intake
	var items []json.RawMessage
	if err := decodeJSON(r.body, &items); err != nil {
		return in, err
	}
	if len(items) > maxTinodeMessages {
		return in, fieldLimit("too_many_items", "", maxTinodeMessages)
	}
	for i, item := range items {
		m, why, ok := readTinode(item, r)
		switch {
		case why != "":
			in.refuse(i, why)
			in.drop(models.IngestInvalid, 1)
		case !ok:
			in.drop(models.IngestSkipped, 1)
		default:
			in.at = append(in.at, len(in.messages))
			in.messages = append(in.messages, m)
			continue
		}
		in.at = append(in.at, -1)
	}
	return in, nil
}

// readTinode makes a message of an item. why says what makes it useless, and ok is
// false for one that asks for nothing.
func readTinode(item json.RawMessage, r ingestRequest) (m models.Incoming, why string, ok bool) {
	var f tinodeMessage
	if absent(item) || json.Unmarshal(item, &f) != nil {
		return m, tinodeBadItem, false
	}
	switch {
	case f.Token == "" && f.Topic != "":
		if !validToken(string(f.Topic)) || len(f.Topic) > models.MaxTopicBytes {
			return m, tinodeBadTopic, false
		}
	case !validToken(string(f.Token)):
		return m, tinodeBadToken, false
	}
	var fields map[string]json.RawMessage
	var d tinodeData
	if json.Unmarshal(f.Data, &fields) != nil || json.Unmarshal(f.Data, &d) != nil || fields == nil {
		return m, tinodeBadItem, false
	}
	if m, ok = f.message(&d, r); !ok {
		return m, "", false
	}
	if m.Token = string(f.Token); m.Token == "" {
		// Nobody knows what is unread for each of a channel's readers.
		if m.Topic, m.Content.Badge = string(f.Topic), nil; m.Kind == models.KindBadge {
			return m, "", false
		}
	}
	if m.Kind == models.KindAlert {
		delete(fields, "content") // it is the body
		passOn(&m.Content, fields, "what", "topic", "xfrom", "seq", "ts", "mime", "webrtc", "replace", "rc")
	}
	return m, "", true
}

// message is what an item says; false when it says nothing that would be shown or
// counted on an icon.
func (f *tinodeMessage) message(d *tinodeData, r ingestRequest) (models.Incoming, bool) {
	m := models.Incoming{Kind: models.KindAlert, Conversation: cutRunes(oneLine(string(d.Topic)), maxNameRunes)}
	c := &m.Content
	c.Badge = f.badge()
	text, alert := d.text(r.language)
	if !alert {
		// Received on another of the user's devices, or read there.
		m.Kind, m.Conversation = models.KindBadge, ""
		return m, c.Badge != nil
	}
	m.Sender = cutRunes(oneLine(string(d.From)), maxNameRunes)
	m.SourceID = d.sourceID()
	m.ExpiresAt = f.android(c, r.now)
	c.ThreadID, c.Sound = m.Conversation, defaultSound
	title, body := f.texts()
	c.Title = title
	if text == "" {
		text = body
	}
	if c.Body = cleanText(text); c.Body == "" {
		c.Body = models.GenericText(r.language)
	}
	fitContent(c)
	return m, true
}

// text is what shows; false for an event that must not alert.
func (d *tinodeData) text(language string) (text string, alert bool) {
	word := func(zh, en string) (string, bool) {
		if models.IsEnglish(language) {
			return en, true
		}
		return zh, true
	}
	switch {
	case d.Silent == "true" || d.What == "read":
		return "", false
	case d.What == "sub":
		if d.ModeWant == "N" || d.ModeGiven == "N" {
			return "", false // taken away
		}
		return word("邀请你加入聊天", "invited you to a chat")
	}
	switch d.WebRTC {
	case "":
		return string(d.Content), true
	case "started":
		return word("[通话]", "[Call]")
	case "missed":
		return word("[未接来电]", "[Missed call]")
	}
	return "", false // a call that goes on or is over
}

// sourceID names the event within its topic, so that one that comes again is known.
func (d *tinodeData) sourceID() string {
	switch {
	case d.Topic == "":
		return ""
	case d.Seq != "" && d.WebRTC != "":
		return oneLine(string(d.Topic + " " + d.Seq + " " + d.WebRTC))
	case d.Seq != "":
		return oneLine(string(d.Topic + " " + d.Seq))
	case d.At != "":
		return oneLine(string(d.Topic + " " + d.What + " " + d.At))
	}
	return ""
}

// badge is the count of unread messages, which only iOS devices are sent.
func (f *tinodeMessage) badge() *int {
	var a struct {
		Payload struct {
			APS struct {
				Badge looseCount `json:"badge"`
			} `json:"aps"`
		} `json:"payload"`
	}
	if json.Unmarshal(f.APNS, &a) != nil {
		return nil
	}
	return a.Payload.APS.Badge.badge()
}

// android takes priority and life from where FCM has them.
func (f *tinodeMessage) android(c *models.Content, now time.Time) (expires time.Time) {
	var a struct {
		Priority looseText `json:"priority"`
		TTL      looseText `json:"ttl"`
	}
	_ = json.Unmarshal(f.Android, &a) // without it an ordinary message
	c.LowPriority = strings.EqualFold(string(a.Priority), "NORMAL")
	if ttl, err := time.ParseDuration(string(a.TTL)); err == nil && ttl >= 0 {
		expires = now.Add(min(max(ttl, tinodeAtOnce), models.MaxLife))
	}
	return expires
}

// texts returns the title and the body that the server's configuration gave.
func (f *tinodeMessage) texts() (title, body string) {
	type shown struct {
		Title looseText `json:"title"`
		Body  looseText `json:"body"`
	}
	var common shown
	var android struct {
		Notification shown `json:"notification"`
	}
	_ = json.Unmarshal(f.Notification, &common) // usually there is none
	_ = json.Unmarshal(f.Android, &android)
	for _, s := range []shown{android.Notification, common} {
		if title == "" {
			title = oneLine(string(s.Title))
		}
		if body == "" {
			body = string(s.Body)
		}
	}
	return title, body
}
