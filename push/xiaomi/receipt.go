package xiaomi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// events are the values of a receipt's type,
// https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1558 (message receipts).
func events() map[string]push.ReceiptEvent {
	return map[string]push.ReceiptEvent{
		"1":       push.EventArrived,
		"2":       push.EventClicked,
		"16":      push.EventUninstalled,
		"32":      push.EventNotifyOff,
		"64":      push.EventOther, // the phone did not match the message's filter
		quotaType: push.EventDropped,
		"1024":    push.EventExpired,
	}
}

// report is what MiPush says about one message. Numbers come as such or as text.
type report struct {
	Param     scalar `json:"param"`
	Type      scalar `json:"type"`
	Targets   scalar `json:"targets"`
	Timestamp scalar `json:"timestamp"`
	Extra     struct {
		Ack   json.RawMessage `json:"ack"`
		Quota json.RawMessage `json:"quota"`
	} `json:"extra"`
}

// quotaType is the type of a quota that is exceeded: the app's day, or what the one
// device takes in a day.
const quotaType = "128"

// dayOver reports whether the report says that as much arrived today as may. Only that
// tells the app's day from a device's.
func (r *report) dayOver() bool {
	d := details{Quota: r.Extra.Quota, Acked: r.Extra.Ack}.quota()
	return r.Type == quotaType && d.Limit > 0 && d.Used >= d.Limit
}

// maxTag bounds a ClassTag.
const maxTag = 16

// scalar is a JSON string, or anything else as it was written.
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		text = string(data)
	}
	*s = scalar(text)
	return nil
}

// ParseReceipt reads what MiPush posts to the receipt address: a form whose field
// data is JSON, message id → report. MiPush signs nothing; the address is the secret.
func ParseReceipt(req push.ReceiptRequest) (push.ReceiptReport, error) {
	form, err := url.ParseQuery(string(req.Body))
	if err != nil || form.Get("data") == "" {
		return push.ReceiptReport{}, fmt.Errorf("push/xiaomi: receipt: no form field data: %w", push.ErrReceiptShape)
	}
	var reports map[string]report
	if err := push.ReadReport([]byte(form.Get("data")), &reports); err != nil || reports == nil {
		return push.ReceiptReport{}, fmt.Errorf("push/xiaomi: receipt: data: %w", push.ErrReceiptShape)
	}
	known := events()
	out := push.ReceiptReport{Answer: []byte(`{"result":"ok"}`), ContentType: "application/json"} // MiPush looks at the status alone
	for _, id := range slices.Sorted(maps.Keys(reports)) {
		r := reports[id]
		one := push.Receipt{VendorID: push.SaneID(id), Event: known[string(r.Type)], At: moment(r.Timestamp), DayOver: r.dayOver()}
		if one.Event == "" {
			one.Event = push.EventOther
		}
		if len(r.Type) <= maxCode && push.Visible(string(r.Type)) {
			one.Code = string(r.Type)
		}
		ref, tag, _ := strings.Cut(string(r.Param), tagMark)
		if len(ref) <= push.MaxRef && len(tag) <= maxTag && push.Visible(ref) && push.Visible(tag) {
			one.Ref, one.Class = ref, tag
		} else {
			one.DayOver = false // of nobody knows what
		}
		for token := range strings.SplitSeq(string(r.Targets), ",") {
			if token = strings.TrimSpace(token); goodToken(token) {
				one.Token = token
				if out.Receipts = append(out.Receipts, one); len(out.Receipts) > push.MaxReceipts {
					return push.ReceiptReport{}, fmt.Errorf("push/xiaomi: receipt: too many devices: %w", push.ErrReceiptShape)
				}
			}
		}
	}
	return out, nil
}

// moment reads milliseconds since 1970, zero for anything that is none.
func moment(n scalar) time.Time {
	ms, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || ms <= 0 || ms > 1<<43 { // the year 2248
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
