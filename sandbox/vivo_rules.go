package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf16"
)

// vivoContent is the body of /message/send (2.2.1) and, without a target and what
// belongs to one, of /message/saveListPayload (2.3.1).
type vivoContent struct {
	AppID           int64             `json:"appId"`
	RegID           string            `json:"regId"`
	Alias           string            `json:"alias"`
	NotifyType      int               `json:"notifyType"`
	Title           string            `json:"title"`
	Content         string            `json:"content"`
	TimeToLive      *int              `json:"timeToLive"`
	SkipType        int               `json:"skipType"`
	SkipContent     string            `json:"skipContent"`
	NetworkType     *int              `json:"networkType"`
	Classification  *int              `json:"classification"`
	Category        string            `json:"category"`
	ClientCustomMap map[string]string `json:"clientCustomMap"`
	RequestID       string            `json:"requestId"`
	PushMode        int               `json:"pushMode"`
	Extra           struct {
		Callback   string `json:"callback"`
		CallbackID string `json:"callback.id"`
		Param      string `json:"callback.param"`
	} `json:"extra"`
	ForegroundShow bool   `json:"foregroundShow"`
	NotifyID       int32  `json:"notifyId"`
	AddBadge       bool   `json:"addBadge"`
	ProfileID      string `json:"profileId"`
	AuditReview    int    `json:"auditReview"`
}

// vivoDecode reads a body and returns the name of the member that is wrong, "" for
// none. Members that the document does not have are refused, so that a misspelt one
// is found here and not on a phone.
func vivoDecode(body []byte, into any) string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return wrong.Field
	case err != nil || d.More():
		return "请求体"
	}
	return ""
}

// vivoRegID: 23 characters.
func vivoRegID(s string) bool { return len(s) == 23 }

// vivoWidth counts as 2.2.1 does: "一个汉字等于两个英文字符，一个表情占一个字符",
// Chinese characters as two, all others as one.
func vivoWidth(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x2e80 && r <= 0xffdc {
			n++
		}
	}
	return n
}

// checkSingle returns the wrong member of a single push.
func (c *vivoContent) checkSingle() string {
	switch {
	case !vivoRegID(c.RegID) && c.Alias == "":
		return "regId"
	case c.PushMode != 0 && c.PushMode != 1:
		return "pushMode"
	case len(utf16.Encode([]rune(c.Extra.Callback))) > 128: // 1.4
		return "callback"
	case len(utf16.Encode([]rune(c.Extra.Param))) > 64: // 1.4
		return "callback.param"
	case c.Extra.Param != "" && c.Extra.Callback == "" && c.Extra.CallbackID == "":
		return "callback"
	}
	return c.checkContent()
}

// checkList returns the wrong member of a batch's content.
func (c *vivoContent) checkList() string {
	switch {
	case c.RegID != "" || c.Alias != "":
		return "regId"
	case c.Extra.Callback != "" || c.Extra.Param != "": // 1.4: single pushes only
		return "extra"
	}
	return c.checkContent()
}

// checkContent: the table of 2.2.1.
func (c *vivoContent) checkContent() string {
	system := []string{"", "IM", "ACCOUNT", "TODO", "DEVICE_REMINDER", "ORDER", "SUBSCRIPTION"}
	operations := []string{"", "NEWS", "CONTENT", "MARKETING", "SOCIAL"}
	classification := 0 // the default
	if c.Classification != nil {
		classification = *c.Classification
	}
	switch {
	case c.NotifyType < 1 || c.NotifyType > 4:
		return "notifyType"
	case c.Title == "" || vivoWidth(c.Title) > 40:
		return "title"
	case c.Content == "" || vivoWidth(c.Content) > 100:
		return "content"
	case c.TimeToLive != nil && (*c.TimeToLive < 900 || *c.TimeToLive > 7*24*3600):
		// Some versions of the document say 60; the stricter bound is kept here.
		return "timeToLive"
	case c.SkipType < 1 || c.SkipType > 4:
		return "skipType"
	case c.SkipType > 1 && c.SkipContent == "" || c.SkipType == 2 && len([]rune(c.SkipContent)) > 1000 || len([]rune(c.SkipContent)) > 1024:
		return "skipContent"
	case c.NetworkType != nil && *c.NetworkType != -1 && *c.NetworkType != 1:
		return "networkType"
	case classification != 0 && classification != 1:
		return "classification"
	case classification == 1 && !slices.Contains(system, c.Category), classification == 0 && !slices.Contains(operations, c.Category):
		return "category"
	case c.RequestID == "" || len(c.RequestID) > 64:
		return "requestId"
	case c.NotifyID < 0:
		return "notifyId"
	}
	return c.checkCustom()
}

// checkCustom: clientCustomMap, "最多10个，总长度不超过1024字符".
func (c *vivoContent) checkCustom() string {
	chars := 0
	for k, v := range c.ClientCustomMap {
		if k == "" {
			return "clientCustomMap"
		}
		chars += len(utf16.Encode([]rune(k))) + len(utf16.Encode([]rune(v)))
	}
	if len(c.ClientCustomMap) > 10 || chars > 1024 {
		return "clientCustomMap"
	}
	return ""
}
