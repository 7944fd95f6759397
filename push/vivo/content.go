package vivo

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"hongyan/push"
)

// Bounds of timeToLive. Versions of [api] differ on the least, 60 or 900 seconds; what
// all of them take is used.
const (
	leastTTL = 15 * time.Minute
	mostTTL  = 7 * 24 * time.Hour
)

// Values of notifyType, skipType and networkType.
const (
	notifySilently    = 1
	notifyRingVibrate = 4
	skipOpenApp       = 1
	networkAny        = -1
)

// content is what the bodies of /message/send and /message/saveListPayload share.
type content struct {
	AppID           json.Number       `json:"appId"`
	NotifyType      int               `json:"notifyType"`
	Title           string            `json:"title"`
	Content         string            `json:"content"`
	TimeToLive      int               `json:"timeToLive,omitempty"`
	SkipType        int               `json:"skipType"`
	NetworkType     int               `json:"networkType"`
	Classification  int               `json:"classification"`
	Category        string            `json:"category,omitempty"`
	ClientCustomMap map[string]string `json:"clientCustomMap,omitempty"`
	RequestID       string            `json:"requestId"`
	NotifyID        int32             `json:"notifyId,omitempty"`
	AddBadge        bool              `json:"addBadge,omitempty"`
	// Of /message/send only.
	RegID    string  `json:"regId,omitempty"`
	PushMode int     `json:"pushMode,omitempty"`
	Extra    *extras `json:"extra,omitempty"`
}

// extras ask for a receipt.
type extras struct {
	Callback string `json:"callback"`
	Param    string `json:"callback.param,omitempty"`
}

// list is the body of /message/pushToList.
type list struct {
	AppID     json.Number `json:"appId"`
	RegIDs    []string    `json:"regIds"`
	TaskID    string      `json:"taskId"`
	RequestID string      `json:"requestId"`
	PushMode  int         `json:"pushMode,omitempty"`
}

// compose makes the content that all targets share, or the result that they shall
// have because there is none.
func (s *Sender) compose(m push.Message) (content, *push.Result) {
	if m.Kind != push.Alert {
		return content{}, &push.Result{Outcome: push.BadMessage, Code: push.CodeBadContent, Text: "vivo shows notifications only; it wakes no app and sets no badge alone"}
	}
	title, body, fault := push.AlertText(&m, 0, 0)
	if fault != nil {
		return content{}, fault
	}
	custom, fault := dataLimits().Texts(m.Data)
	if fault != nil {
		return content{}, fault
	}
	class, refused := s.classFor(&m)
	if refused != nil {
		return content{}, refused
	}
	c := content{
		AppID: json.Number(s.appID), NotifyType: notifyRingVibrate, Title: push.CutWidth(title, titleWidth), Content: push.CutWidth(body, bodyWidth),
		SkipType: skipOpenApp, NetworkType: networkAny, Classification: class.classification, Category: class.category,
		ClientCustomMap: custom, NotifyID: push.NotifyID(m.CollapseKey),
	}
	if m.Sound == "" {
		c.NotifyType = notifySilently
	}
	if !m.ExpiresAt.IsZero() { // else vivo's own default, a day
		c.TimeToLive = int(push.TTL(m.ExpiresAt, s.http.Now(), leastTTL, mostTTL) / time.Second)
	}
	return c, nil
}

// goodRegID keeps out what cannot be a regId. [api] says 23 characters; other lengths
// are vivo's to judge.
func goodRegID(token string) bool {
	if len(token) < 8 || len(token) > 128 {
		return false
	}
	return strings.IndexFunc(token, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	}) < 0
}

// requestID makes vivo's id of a request, the same for every attempt to send to the
// same targets.
func requestID(targets []push.Target) string {
	if len(targets) == 1 && plainID(targets[0].ID) {
		return targets[0].ID
	}
	h, stable := sha256.New(), true
	for _, t := range targets {
		stable = stable && t.ID != ""
		_, _ = h.Write([]byte(t.ID + "\x00")) // never fails
	}
	if !stable {
		return rand.Text()
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

func plainID(id string) bool {
	ok, err := regexp.MatchString(`^[0-9A-Za-z-]+$`, id)
	return err == nil && ok && len(id) <= maxRequestID
}
