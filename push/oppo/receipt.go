package oppo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// events are the values of a receipt's eventType. Only push_arrive is on OPPO's page;
// the others are what newer receipts were seen to carry.
func events() map[string]push.ReceiptEvent {
	return map[string]push.ReceiptEvent{
		"push_arrive":      push.EventArrived,
		"push_click":       push.EventClicked,
		"regid_invalid":    push.EventUninstalled,
		"user_daily_limit": push.EventDropped,
	}
}

// maxEvent bounds an eventType that is kept, in bytes.
const maxEvent = 32

// report is what OPPO says about one message.
type report struct {
	MessageID string          `json:"messageId"`
	Targets   string          `json:"registrationIds"`
	EventTime json.RawMessage `json:"eventTime"`
	Param     string          `json:"param"`
	EventType string          `json:"eventType"`
}

// ParseReceipt reads what OPPO posts to the receipt address: a JSON array of reports.
// OPPO signs nothing; the address is the secret.
func ParseReceipt(req push.ReceiptRequest) (push.ReceiptReport, error) {
	var reports []report
	if err := push.ReadReport(req.Body, &reports); err != nil || reports == nil {
		return push.ReceiptReport{}, fmt.Errorf("push/oppo: receipt: no list of reports: %w", push.ErrReceiptShape)
	}
	known := events()
	out := push.ReceiptReport{Answer: []byte(`{"code":0}`), ContentType: "application/json"} // OPPO looks at the status alone
	for _, r := range reports {
		x := push.Receipt{VendorID: push.SaneID(r.MessageID), Event: known[r.EventType], At: moment(r.EventTime)}
		if x.Event == "" {
			x.Event = push.EventOther
		}
		if len(r.EventType) <= maxEvent && push.Visible(r.EventType) {
			x.Code = r.EventType
		}
		if len(r.Param) <= push.MaxRef && push.Visible(r.Param) {
			x.Ref = r.Param
		}
		for id := range strings.SplitSeq(r.Targets, ",") {
			if id = strings.TrimSpace(id); goodToken(id) {
				x.Token = id
				if out.Receipts = append(out.Receipts, x); len(out.Receipts) > push.MaxReceipts {
					return push.ReceiptReport{}, fmt.Errorf("push/oppo: receipt: too many devices: %w", push.ErrReceiptShape)
				}
			}
		}
	}
	return out, nil
}

// moment reads milliseconds since 1970, as a number or as text; zero for anything
// else.
func moment(raw json.RawMessage) time.Time {
	ms, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || ms <= 0 || ms > 1<<43 { // the year 2248
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
