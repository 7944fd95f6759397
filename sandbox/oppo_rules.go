package sandbox

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// oppoMessage is one message of a request.
type oppoMessage struct {
	target       string
	notification map[string]any
}

// text is a text field of the notification.
func (m oppoMessage) text(name string) string {
	s, _ := m.notification[name].(string)
	return s
}

// oppoField is the type and bounds of a notification's field (id=11236).
type oppoField struct {
	kind byte  // s text, i whole number, b boolean
	max  int64 // characters of a text, or the largest number
	min  int64 // the smallest number
}

// oppoFields are the fields of a notification that unicast takes, by id=11236.
func oppoFields() map[string]oppoField {
	return map[string]oppoField{
		"app_message_id": {kind: 's', max: 256}, "style": {kind: 'i', min: 1, max: 3},
		"title": {kind: 's', max: 50}, "sub_title": {kind: 's', max: 10}, "content": {kind: 's', max: 200},
		"click_action_type":     {kind: 'i', max: 5},
		"click_action_activity": {kind: 's', max: 500}, "click_action_url": {kind: 's', max: 2000}, "action_parameters": {kind: 's', max: 4000},
		"show_time_type": {kind: 'i', max: 1}, "off_line": {kind: 'b'}, "off_line_ttl": {kind: 'i', min: 1, max: 864000},
		"network_type": {kind: 'i', max: 1}, "call_back_url": {kind: 's', max: 200}, "call_back_parameter": {kind: 's', max: 50},
		"channel_id": {kind: 's', max: 128}, "show_ttl": {kind: 'i', min: 21600, max: 172800}, "notify_id": {kind: 'i', min: -1 << 31, max: 1<<31 - 1},
		"badge_operation_type": {kind: 'i', max: 1}, "badge_message_count": {kind: 'i', max: 1 << 31},
		"category": {kind: 's', max: 32}, "notify_level": {kind: 'i', min: 1, max: 16},
	}
}

// oppoCategories are the classes of id=13189: communication and service, then
// content and marketing.
func oppoCategories() []string {
	return strings.Fields("IM ACCOUNT DEVICE_REMINDER ORDER TODO SUBSCRIPTION NEWS CONTENT MARKETING SOCIAL")
}

// oppoParse reads one message: target_type 2 (5, an alias, is not simulated), one
// target_value, and a notification with a title and a content.
func oppoParse(m map[string]any, a Account) (oppoMessage, string) {
	for name := range m {
		if !slices.Contains([]string{"target_type", "target_value", "verify_registration_id", "notification"}, name) {
			return oppoMessage{}, "41"
		}
	}
	kind, ok := m["target_type"].(json.Number)
	if !ok || kind != "2" {
		return oppoMessage{}, "41"
	}
	var out oppoMessage
	if out.target, ok = m["target_value"].(string); !ok || out.target == "" {
		return out, "40"
	}
	if out.notification, ok = m["notification"].(map[string]any); !ok {
		return out, "40"
	}
	fields := oppoFields()
	for name, v := range out.notification {
		f, known := fields[name]
		if !known || !f.takes(v) {
			return out, "41"
		}
	}
	if strings.TrimSpace(out.text("title")) == "" || strings.TrimSpace(out.text("content")) == "" {
		return out, "40"
	}
	return out, out.combined(a)
}

// takes reports whether a value has the field's type and keeps its bounds.
func (f oppoField) takes(v any) bool {
	switch f.kind {
	case 's':
		s, ok := v.(string)
		return ok && int64(utf8.RuneCountInString(s)) <= f.max
	case 'b':
		_, ok := v.(bool)
		return ok
	}
	number, ok := v.(json.Number)
	if !ok {
		return false
	}
	n, err := number.Int64()
	return err == nil && n >= f.min && n <= f.max
}

// combined are the rules over several fields: the parameters are a JSON object, the
// address is one, a level needs a category and is 1, 2 or 16, and the app's rights
// (Fields["category"], any when empty) hold the category.
func (m oppoMessage) combined(a Account) string {
	if p := m.text("action_parameters"); p != "" {
		var object map[string]any
		if !oppoDecode(p, &object) {
			return "41"
		}
	}
	if address := m.text("call_back_url"); address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "41"
		}
	} else if m.text("call_back_parameter") != "" {
		return "41"
	}
	category := m.text("category")
	if category != "" && !slices.Contains(oppoCategories(), category) {
		return "67"
	}
	if right := a.Fields["category"]; category != "" && right != "" && right != category {
		return "67"
	}
	if level, ok := m.notification["notify_level"].(json.Number); ok {
		if category == "" || !slices.Contains([]string{"1", "2", "16"}, level.String()) {
			return "67"
		}
	}
	return ""
}

// oppoTarget: a registration id has one to three parts between underscores (id=11235,
// how to tell phones in China).
func oppoTarget(id string) bool {
	parts := strings.Split(id, "_")
	for _, part := range parts {
		if part == "" || strings.Trim(part, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return len(parts) <= 3
}
