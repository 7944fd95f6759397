package harmony

import (
	"bytes"
	"strconv"

	"hongyan/push"
)

// maxStatuses bounds one report; Huawei says 100.
// https://developer.huawei.com/consumer/cn/doc/harmonyos-references/push-msg-receipt-v2
const maxStatuses = 1000

// outcome is what a report says about one message, in deliveryStatus or formStatus.
type outcome struct {
	Result    push.LooseText `json:"result"`
	Timestamp push.LooseText `json:"timestamp"`
}

// status is one entry of a report of version 2, the only one for HarmonyOS NEXT.
type status struct {
	Token     string   `json:"token"`
	BiTag     string   `json:"biTag"`
	RequestID string   `json:"requestId"`
	Delivery  *outcome `json:"deliveryStatus"`
	Form      *outcome `json:"formStatus"`
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
		o := s.Delivery
		if o == nil {
			o = s.Form
		}
		if o == nil {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		code := string(o.Result)
		if _, err := strconv.Atoi(code); err != nil {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		out.Receipts = append(out.Receipts, push.Receipt{
			Ref: s.BiTag, VendorID: s.RequestID, Token: s.Token, Event: event(code), Code: code, At: o.Timestamp.Unix(),
		})
	}
	return out, nil
}

// event is what Huawei's result means: the codes of HMS Core and more. Those that
// Huawei adds besides (151 to 269) say why a phone did not show the message and stay
// with their number.
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
	case "102", "201", "256": // frequency, controlled, over the day's number
		return push.EventDropped
	}
	return push.EventOther
}
