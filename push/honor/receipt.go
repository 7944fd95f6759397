package honor

import (
	"slices"
	"strconv"
	"strings"

	"hongyan/push"
)

// maxStatuses bounds one report; Honor states no number, Huawei 1000 at most.
const maxStatuses = 1000

// status is one entry of a report.
type status struct {
	BiTag     string         `json:"biTag"`
	AppID     push.LooseText `json:"appId"`
	Token     string         `json:"token"`
	Status    push.LooseText `json:"status"`
	Timestamp push.LooseText `json:"timestamp"`
	RequestID string         `json:"requestId"`
}

// ParseReceipt reads Honor's report of what became of messages. Honor signs nothing:
// the secret in the address is all that vouches for it. Its list of statuses was not
// found, so only what the operator entered means "arrived"; others stay with their
// number.
func ParseReceipt(r push.ReceiptRequest) (push.ReceiptReport, error) {
	out := push.ReceiptReport{Answer: []byte(`{"code":"0","message":"success"}`), ContentType: "application/json"}
	var report struct {
		Statuses []status `json:"statuses"`
	}
	if push.ReadReport(r.Body, &report) != nil || report.Statuses == nil || len(report.Statuses) > maxStatuses {
		return push.ReceiptReport{}, push.ErrReceiptShape
	}
	list := r.Fields[fieldArrivedStatus]
	if list == "" {
		list = arrivedDefault
	}
	arrived := strings.Split(list, ",")
	for _, s := range report.Statuses {
		if s.AppID != "" && string(s.AppID) != r.Fields[fieldAppID] {
			return push.ReceiptReport{}, push.ErrReceiptForged // of another app
		}
		code := string(s.Status)
		if _, err := strconv.Atoi(code); err != nil {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		event := push.EventOther
		if slices.Contains(arrived, code) {
			event = push.EventArrived
		}
		out.Receipts = append(out.Receipts, push.Receipt{
			Ref: s.BiTag, VendorID: s.RequestID, Token: s.Token, Event: event, Code: code, At: s.Timestamp.Unix(),
		})
	}
	return out, nil
}
