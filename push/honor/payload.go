package honor

import (
	"cmp"
	"strconv"
	"time"

	"hongyan/push"
)

// request is what sendMessage takes.
type request struct {
	Token   []string `json:"token"`
	Data    string   `json:"data,omitempty"`
	Android android  `json:"android"`
}

type android struct {
	TTL            string         `json:"ttl,omitempty"`
	BiTag          string         `json:"biTag,omitempty"`
	TargetUserType int            `json:"targetUserType"`
	Notification   *androidNotice `json:"notification,omitempty"`
}

type androidNotice struct {
	Title       string      `json:"title"`
	Body        string      `json:"body"`
	Importance  string      `json:"importance"`
	NotifyID    int32       `json:"notifyId,omitempty"`
	Group       string      `json:"group,omitempty"`
	ClickAction clickAction `json:"clickAction"`
	Badge       *badge      `json:"badge,omitempty"`
}

// Kinds of clickAction.
const (
	clickIntent = 1
	clickOpen   = 3
)

type clickAction struct {
	Type   int    `json:"type"`
	Intent string `json:"intent,omitempty"`
}

type badge struct {
	Set   int    `json:"setNum"`
	Class string `json:"badgeClass"`
}

// maxTitle and maxGroup bound texts, in bytes; Honor states no limit of its own.
const (
	maxTitle = maxPayload / 4
	maxGroup = 64
)

// build makes the request for targets that share a badge (-1 for none), without their
// tokens, of which first is the first.
func (s *Sender) build(m *push.Message, first *push.Target, badgeNumber int) (*request, *push.Result) {
	r := &request{Token: []string{}}
	if !m.ExpiresAt.IsZero() {
		ttl := push.TTL(m.ExpiresAt, s.http.Now(), time.Second, maxTTL)
		r.Android.TTL = strconv.Itoa(int(ttl/time.Second)) + "s"
	}
	if len(first.Ref) <= push.MaxRef {
		r.Android.BiTag = first.Ref
	}
	data := ""
	if len(m.Data) > 0 {
		b, err := push.CompactJSON(m.Data)
		if err != nil {
			return nil, push.BadContent("the message holds data that is not JSON")
		}
		data = string(b)
	}
	switch m.Kind {
	case push.Alert:
	case push.Silent:
		if r.Data = data; data == "" {
			r.Data = "{}"
		}
		return r, r.fit("")
	default:
		return nil, push.BadContent("Honor cannot do this without showing a notification")
	}
	title, body, fault := push.AlertText(m, 0, 0)
	if fault != nil {
		return nil, fault
	}
	class, fault := m.Class(push.Honor, fields)
	if fault != nil {
		return nil, fault
	}
	title = push.CutBytes(title, maxTitle)
	n := &androidNotice{
		Title: title, Importance: cmp.Or(class[fieldImportance], s.fields[fieldImportance]), Group: push.CutBytes(m.ThreadID, maxGroup),
		// A later message with the same key replaces this one; without a key a repeat
		// of this very message does.
		NotifyID:    push.NotifyID(m.CollapseKey),
		ClickAction: clickAction{Type: clickOpen},
	}
	if n.NotifyID == 0 {
		n.NotifyID = push.NotifyID(first.ID)
	}
	if address := s.fields[fieldClickIntent]; address != "" {
		intent, err := push.Intent(address, m.Data)
		if err != nil {
			return nil, push.BadContent("the message holds data that is not JSON")
		}
		n.ClickAction = clickAction{Type: clickIntent, Intent: intent}
	} else {
		r.Data = data
	}
	if badgeNumber >= 0 && s.fields[fieldBadgeClass] != "" {
		n.Badge = &badge{Set: badgeNumber, Class: s.fields[fieldBadgeClass]}
	}
	r.Android.Notification = n
	return r, r.fit(body)
}

// fit sets as much of the body as fits, nothing for a message without a notification.
func (r *request) fit(body string) *push.Result {
	set := func(body string) {
		if r.Android.Notification != nil {
			r.Android.Notification.Body = body
		}
	}
	body, fault := push.Fit(body, maxPayload, func(body string) ([]byte, error) {
		set(body)
		return push.CompactJSON(r)
	})
	set(body)
	return fault
}
