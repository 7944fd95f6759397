package handlers

import "hongyan/push"

// timClass is a field of AndroidInfo that says how a vendor is to classify the message.
type timClass struct {
	name   string
	vendor push.Channel
	key    string // of the vendor's credential
}

// timClassFields are the classes of Tencent's documents (OfflinePushInfo 说明).
func timClassFields() []timClass {
	return []timClass{
		{"HuaWeiImportance", push.Huawei, "importance"}, {"HuaWeiCategory", push.Huawei, "category"},
		{"VIVOClassification", push.Vivo, "classification"}, {"VIVOCategory", push.Vivo, "category"},
		{"OPPOCategory", push.OPPO, "category"}, {"OPPONotifyLevel", push.OPPO, "notify_level"},
		{"HonorImportance", push.Honor, "importance"}, {"MeiZuNoticeMsgType", push.Meizu, "notice_msg_type"},
	}
}

func timClassNames() []string {
	var out []string
	for _, c := range timClassFields() {
		out = append(out, c.name)
	}
	return out
}

// timClasses reads how a message wants to be classified, nil for as the console says. What
// is no class goes along as it was written: a message must not pass for another class
// than its sender's, so the vendor's channel refuses it and names the field, while phones
// of other vendors get theirs.
func timClasses(android jsonFields) map[string]map[string]string {
	var out map[string]map[string]string
	for _, c := range timClassFields() {
		value := android.text(c.name)
		if value == "" && android.has(c.name) {
			value = string(android[c.name])
		}
		if value = push.CutBytes(oneLine(value), maxWordBytes); value == "" || value == `""` {
			continue
		}
		if out == nil {
			out = map[string]map[string]string{}
		}
		if out[string(c.vendor)] == nil {
			out[string(c.vendor)] = map[string]string{}
		}
		out[string(c.vendor)][c.key] = value
	}
	return out
}
