package huawei

import (
	"bytes"
	"strconv"

	"hongyan/push"
)

// maxStatuses bounds one report; Huawei's pages say 100, older ones 1000.
// https://developer.huawei.com/consumer/cn/doc/HMSCore-Guides/msg-receipt-guide-0000001050040176
const maxStatuses = 1000

// status is one entry of a report.
type status struct {
	BiTag     string         `json:"biTag"`
	AppID     push.LooseText `json:"appid"`
	Token     string         `json:"token"`
	Status    push.LooseText `json:"status"`
	Timestamp push.LooseText `json:"timestamp"`
	RequestID string         `json:"requestId"`
}

// ParseReceipt reads Huawei's report of what became of messages.
func ParseReceipt(r push.ReceiptRequest) (push.ReceiptReport, error) {
	out := push.ReceiptReport{Answer: []byte(`{"code":"0","message":"success"}`), ContentType: "application/json"}
	var report struct {
		Statuses []status `json:"statuses"`
	}
	err := push.ReadReport(r.Body, &report)
	signature := r.Header.Get(push.CallbackHeader)
	if signature == "" && (len(bytes.TrimSpace(r.Body)) == 0 || err == nil && len(report.Statuses) == 0) {
		// AppGallery Connect's 测试回执 asks without a signature and reports nothing.
		return out, nil
	}
	if err := push.VerifyCallback(signature, r.Fields[fieldReceiptUser], r.Fields[fieldReceiptKey], r.Now); err != nil {
		return push.ReceiptReport{}, err
	}
	if err != nil || len(report.Statuses) > maxStatuses {
		return push.ReceiptReport{}, push.ErrReceiptShape
	}
	for _, s := range report.Statuses {
		if s.AppID != "" && string(s.AppID) != r.Fields[fieldAppID] {
			return push.ReceiptReport{}, push.ErrReceiptForged // of another app, and the body is not signed
		}
		code := string(s.Status)
		if _, err := strconv.Atoi(code); err != nil {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		out.Receipts = append(out.Receipts, push.Receipt{
			Ref: s.BiTag, VendorID: s.RequestID, Token: s.Token, Event: event(code), Code: code, At: s.Timestamp.Unix(),
		})
	}
	return out, nil
}

// event is what Huawei's status means.
func event(code string) push.ReceiptEvent {
	switch code {
	case "0":
		return push.EventArrived
	case "2", "5": // uninstalled; the token is not this phone's any more
		return push.EventUninstalled
	case "6":
		return push.EventNotifyOff
	case "10": // not on the network for 30 days
		return push.EventExpired
	case "15": // by a later message, or because too many were waiting
		return push.EventReplaced
	case "102", "201", "256": // frequency, controlled, over the marketing limit
		return push.EventDropped
	}
	return push.EventOther
}
