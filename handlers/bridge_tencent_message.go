package handlers

import (
	"encoding/json"
	"strings"

	"hongyan/models"
	"hongyan/push"
)

// message reads what REST commands and callbacks have in common: who says what, and how
// it is to be shown. show is false for what is not to be pushed, which is then counted.
func (call *timCall) message(in *intake, f jsonFields, r ingestRequest) (m models.Incoming, show bool) {
	info := f.object("OfflinePushInfo")
	m = models.Incoming{Kind: models.KindAlert, Sender: oneLine(f.text("From_Account"))}
	words, custom := timWords(f, r.language)
	// Some servers hand on what a client of theirs said, in the client SDK's words.
	desc := cleanText(firstText(info.text("Desc"), info.text("desc")))
	body := firstText(desc, words, custom.desc)
	apns, android := info.object("ApnsInfo"), info.object("AndroidInfo")
	title := firstText(info.text("Title"), info.text("title"), apns.text("Title"))
	switch {
	case info.is("PushFlag", 1), info.is("DisablePush", 1), info.is("disablePush", 1),
		body == "" && custom.only: // nothing in it that a person could read
		in.drop(models.IngestSkipped, 1)
		return m, false
	case body == "" && title == "":
		body = models.GenericText(r.language)
	}
	ext := firstText(info.text("Ext"), info.text("ext"))
	ring, own := android.text("Sound"), firstText(apns.text("Sound"), info.text("iOSSound"))
	sound := timSound(firstText(ring, own))
	if info == nil {
		ext = custom.ext
		sound = timSound(custom.sound)
	}
	m.Content = models.Content{
		Title: title, Subtitle: apns.text("SubTitle"), Body: body, Sound: sound,
		MutableContent: apns.is("MutableContent", 1) || apns.text("Image") != "",
		KeepBadge:      apns.is("BadgeMode", 1) || info.is("ignoreIOSBadge", 1) || timControl(f, "NoUnread"),
		LowPriority:    timLow(android), ChannelIDs: timChannels(android), Classes: timClasses(android),
	}
	switch level := firstText(apns.text("InterruptionLevel"), info.text("iOSInterruptionLevel")); level {
	case "passive", "active", "time-sensitive", "critical":
		m.Content.InterruptionLevel = level
	}
	fitContent(&m.Content)
	in.note(timData(&m, f, info, ext))
	if other := apns.text("Title"); other != "" && other != title || own != "" && own != ring {
		m.IOS = &models.Variant{Title: cutRunes(oneLine(firstText(other, title)), models.MaxTitleRunes), Sound: timSound(firstText(own, ring))}
	}
	return m, true
}

// timData collects what the app gets beside the text: the sender's own data first, then
// everything that has no place of its own here, so that nothing is lost on the way.
func timData(m *models.Incoming, f, info jsonFields, ext string) string {
	apns, android := info.object("ApnsInfo"), info.object("AndroidInfo")
	var d appData
	d.add("ext", ext)
	d.add("msg_key", cutRunes(oneLine(f.text("MsgKey")), models.MaxSourceID))
	d.add("sender", cutRunes(m.Sender, maxNameRunes))
	d.add("group", cutRunes(oneLine(f.text("GroupId")), maxNameRunes))
	d.add("data_id", f.text("DataId"))
	d.add("image", apns.text("Image"))
	d.add("cloud_custom_data", f.text("CloudCustomData"))
	d.add("android", android.rest(append(timClassNames(), "Sound")...))
	d.add("apns", apns.rest("Sound", "Title", "SubTitle", "Image", "BadgeMode", "MutableContent", "InterruptionLevel"))
	d.add("tim", f.rest(timKnown()...))
	d.add("offline_push_info", info.rest("PushFlag", "Title", "Desc", "Ext", "title", "desc", "ext", "AndroidInfo", "ApnsInfo", "iOSSound",
		"iOSInterruptionLevel", "ignoreIOSBadge", "disablePush", "DisablePush"))
	m.Content.Data = d.m
	return d.fault()
}

// timKnown lists the fields of commands and callbacks that are read, shown or of no use
// to the app; it gets the others as they came.
func timKnown() []string {
	return []string{
		"CallbackCommand", "SyncOtherMachine", "From_Account", "Operator_Account", "To_Account", "MsgLifeTime", "MsgSeq", "MsgRandom", "Random", "MsgTimeStamp",
		"MsgTime", "MsgKey", "MsgId", "ForbidCallbackControl", "SendMsgControl", "MsgBody", "CloudCustomData", "OfflinePushInfo", "GroupId", "Type",
		"GroupAtInfo", "MsgPriority", "OnlineOnlyFlag", "SendMsgResult", "ErrorInfo", "UnreadMsgNum", "EventTime", "DataId", "Condition",
	}
}

// note keeps the first fault for the log.
func (in *intake) note(fault string) {
	if in.fault == "" {
		in.fault = fault
	}
}

// timChannels reads the notification channels that a message chooses. One that cannot
// be a channel's name leaves the console's in place.
func timChannels(android jsonFields) map[string]string {
	var out map[string]string
	for field, vendor := range map[string]push.Channel{
		"HuaWeiChannelID": push.Huawei, "XiaoMiChannelID": push.Xiaomi, "OPPOChannelID": push.OPPO, "GoogleChannelID": push.FCM,
	} {
		id := android.text(field)
		if id == "" || len(id) > maxWordBytes || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[string(vendor)] = id
	}
	return out
}

// timLow reports whether a message asks for a delivery that may wait.
func timLow(android jsonFields) bool {
	return strings.EqualFold(android.text("fcmPriority"), "normal") || strings.EqualFold(android.text("FCMPriority"), "normal")
}

// timSound reads a sound's name. The client's SDK has words for none and for the usual.
func timSound(name string) string {
	switch name = oneLine(name); name {
	case "push.no_sound":
		return ""
	case "":
		return defaultSound
	}
	return push.CutBytes(name, maxWordBytes)
}

// timControl reports whether SendMsgControl holds a word.
func timControl(f jsonFields, word string) bool {
	words, _ := textList(f["SendMsgControl"])
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// timCustom is what a message's custom elements say for its notification.
type timCustom struct {
	desc, ext, sound string
	only             bool // there is no other element
}

// timWords returns what a message's elements show as, one after the other without
// anything between, as Tencent does it.
func timWords(f jsonFields, language string) (string, timCustom) {
	var b strings.Builder
	items, _ := f.list("MsgBody")
	custom := timCustom{only: len(items) > 0}
	for _, raw := range items {
		var e jsonFields
		if json.Unmarshal(raw, &e) != nil {
			custom.only = false
			continue
		}
		content := e.object("MsgContent")
		kind := e.text("MsgType")
		if kind == "TIMCustomElem" {
			b.WriteString(content.text("Desc"))
			custom.desc = firstText(custom.desc, content.text("Desc"))
			custom.ext, custom.sound = firstText(custom.ext, content.text("Ext")), firstText(custom.sound, content.text("Sound"))
			continue
		}
		custom.only = false
		if kind == "TIMTextElem" {
			b.WriteString(content.text("Text"))
		} else {
			b.WriteString(timWord(kind, language))
		}
	}
	return cleanText(b.String()), custom
}

// timWord is what stands for an element that is no text.
func timWord(kind, language string) string {
	words := map[string][2]string{
		"TIMLocationElem": {"[位置]", "[Location]"}, "TIMFaceElem": {"[表情]", "[Face]"}, "TIMSoundElem": {"[语音]", "[Voice]"},
		"TIMImageElem": {"[图片]", "[Image]"}, "TIMFileElem": {"[文件]", "[File]"}, "TIMVideoFileElem": {"[视频]", "[Video]"},
		"TIMRelayElem": {"[聊天记录]", "[Chat history]"},
	}
	w := words[kind]
	if models.IsEnglish(language) {
		return w[1]
	}
	return w[0]
}
