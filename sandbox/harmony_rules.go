package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
)

// harmonyRequest is a request to messages:send, [send].
type harmonyRequest struct {
	bulk
	pushType string
	extra    int // bytes of the body that are tokens
	content  json.RawMessage
	note     *harmonyNotice
	options  harmonyOptions
}

type harmonyNotice struct {
	Category     string       `json:"category"`
	Title        string       `json:"title"`
	Body         string       `json:"body"`
	Image        string       `json:"image"`
	Style        int          `json:"style"`
	BigTitle     string       `json:"bigTitle"`
	BigBody      string       `json:"bigBody"`
	Inbox        []string     `json:"inboxContent"`
	NotifyID     *int32       `json:"notifyId"`
	AppMessageID string       `json:"appMessageId"`
	ProfileID    string       `json:"profileId"`
	Click        *harmonyTap  `json:"clickAction"`
	Badge        *harmonyMark `json:"badge"`
	Sound        string       `json:"sound"`
	SoundSeconds *int         `json:"soundDuration"`
	Foreground   *bool        `json:"foregroundShow"`
}

type harmonyTap struct {
	Type   *int                       `json:"actionType"`
	Action string                     `json:"action"`
	URI    string                     `json:"uri"`
	Data   map[string]json.RawMessage `json:"data"`
}

type harmonyMark struct {
	Add *int `json:"addNum"`
	Set *int `json:"setNum"`
}

type harmonyOptions struct {
	Test       bool   `json:"testMessage"`
	TTL        *int64 `json:"ttl"`
	BiTag      string `json:"biTag"`
	ReceiptID  string `json:"receiptId"`
	Collapse   *int   `json:"collapseKey"`
	Background *int   `json:"backgroundMode"`
}

// parse reads the body and says what is wrong with its structure, "" for nothing.
func (q *harmonyRequest) parse(body []byte) string {
	var outer struct {
		Payload json.RawMessage `json:"payload"`
		Options harmonyOptions  `json:"pushOptions"`
		Target  json.RawMessage `json:"target"`
	}
	var target map[string]json.RawMessage
	if strictly(body, &outer) != nil || json.Unmarshal(outer.Target, &target) != nil || len(target) != 1 {
		return "80100003"
	}
	q.extra = len(target["token"])
	if json.Unmarshal(target["token"], &q.tokens) != nil {
		return "80100003"
	}
	q.options, q.ref, q.content, q.payload = outer.Options, outer.Options.BiTag, outer.Payload, outer.Payload
	return ""
}

// check applies the rules of [send] to a request of the right structure.
func (q *harmonyRequest) check(size int) string {
	most := harmonyTokens
	if q.pushType == "1" {
		most = harmonyForm
	}
	o := &q.options
	switch {
	case !slices.Contains(strings.Fields("0 1 2 6 7 10"), q.pushType):
		return "80100001"
	case len(q.tokens) == 0 || len(q.tokens) > most:
		return "80300010"
	case o.Test && len(q.tokens) > harmonyTest:
		return "80300030"
	case size-q.extra > harmonyPayload:
		return "80300008"
	case o.TTL != nil && *o.TTL > harmonyTTL:
		return "80100001"
	case o.TTL != nil && *o.TTL <= 0:
		return "80100004"
	case len(o.BiTag) > 64, o.Collapse != nil && (*o.Collapse < -1 || *o.Collapse > 100):
		return "80100001"
	}
	switch q.pushType {
	case "0":
		var p struct {
			Notification *harmonyNotice `json:"notification"`
		}
		if strictly(q.content, &p) != nil || p.Notification == nil {
			return "80100003"
		}
		q.note = p.Notification
		return p.Notification.check()
	case "6":
		var p struct {
			Extra string `json:"extraData"`
		}
		if strictly(q.content, &p) != nil || p.Extra == "" {
			return "80100003"
		}
	}
	return ""
}

// check applies the rules of [send] to a notification.
func (n *harmonyNotice) check() string {
	between := func(v *int, least, most int) bool { return v == nil || *v >= least && *v <= most }
	switch {
	case n.Category == "" || n.Title == "" || n.Body == "" || n.Click == nil || n.Click.Type == nil:
		return "80100003"
	case !slices.Contains(harmonyCategories(), n.Category):
		return "80100003"
	case !slices.Contains([]int{0, 1, 3, 5}, *n.Click.Type):
		return "80100003"
	case *n.Click.Type == 1 && n.Click.Action == "" && n.Click.URI == "":
		return "80100003"
	case n.Style != 0 && n.Style != 1 && n.Style != 3:
		return "80100003"
	case n.NotifyID != nil && *n.NotifyID < 0, len(n.AppMessageID) > 64:
		return "80100003"
	case n.Badge != nil && (!between(n.Badge.Add, 1, 99) || !between(n.Badge.Set, 0, 99)), !between(n.SoundSeconds, 1, 60):
		return "80100003"
	}
	return ""
}

func harmonyCategories() []string {
	return strings.Fields("IM VOIP SUBSCRIPTION TRAVEL HEALTH WORK ACCOUNT EXPRESS FINANCE DEVICE_REMINDER MAIL SYSTEM_REMINDER PLAY_VOICE MARKETING")
}
