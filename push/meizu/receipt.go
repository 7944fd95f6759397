package meizu

import (
	"net/url"
	"strings"

	"hongyan/push"
)

// Types of receipts.
const (
	typeArrived = "1"
	typeClicked = "2"
)

// ParseReceipt reads Meizu's report: the form field cb, a map from "<msgId>-<type>"
// to the devices ([api], 消息送达与回执). Meizu sends a token beside it and says
// nowhere how to check it; the address's secret path is all that tells a report from
// a forgery. What Meizu wants to hear is not documented beyond the status.
func ParseReceipt(r push.ReceiptRequest) (push.ReceiptReport, error) {
	report := push.ReceiptReport{ContentType: "text/plain; charset=utf-8"}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || len(form["cb"]) != 1 {
		return report, push.ErrReceiptShape
	}
	var messages map[string]struct {
		Param   string   `json:"param"`
		Type    word     `json:"type"`
		Targets []string `json:"targets"`
	}
	if push.ReadReport([]byte(form.Get("cb")), &messages) != nil || messages == nil {
		return report, push.ErrReceiptShape
	}
	for key, m := range messages {
		id, kind := key, string(m.Type)
		if i := strings.LastIndexByte(key, '-'); i >= 0 {
			id = key[:i]
			if kind == "" {
				kind = key[i+1:]
			}
		}
		if len(id) > maxWord || len(kind) > maxWord || len(m.Param) > maxParam {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		receipt := push.Receipt{Ref: m.Param, VendorID: id, Code: kind, Event: push.EventOther}
		switch kind {
		case typeArrived:
			receipt.Event = push.EventArrived
		case typeClicked:
			receipt.Event = push.EventClicked
		}
		for _, token := range m.Targets {
			if receipt.Token = strings.TrimSpace(token); receipt.Token == "" {
				continue
			}
			if report.Receipts = append(report.Receipts, receipt); len(report.Receipts) > push.MaxReceipts {
				return push.ReceiptReport{}, push.ErrReceiptShape
			}
		}
	}
	return report, nil
}
