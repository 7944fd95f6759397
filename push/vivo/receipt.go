package vivo

import (
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// ackDelivered is the only ackType that [api] 1.4 defines.
const ackDelivered = "0"

// ParseReceipt reads vivo's report: a map from task ids to what became of them
// ([api] 1.4). vivo does not sign it; the address's secret path is all that tells it
// from a forgery. What vivo wants to hear is not documented beyond the status.
func ParseReceipt(r push.ReceiptRequest) (push.ReceiptReport, error) {
	var tasks map[string]struct {
		Param   string `json:"param"`
		Targets string `json:"targets"`
		AckType text   `json:"ackType"`
		AckTime text   `json:"ackTime"`
	}
	report := push.ReceiptReport{ContentType: "text/plain; charset=utf-8"}
	if err := push.ReadReport(r.Body, &tasks); err != nil || tasks == nil {
		return report, push.ErrReceiptShape
	}
	for task, t := range tasks {
		if len(task) > maxVendorID || len(t.Param) > maxParam || len(t.AckType) > maxVendorID {
			return push.ReceiptReport{}, push.ErrReceiptShape
		}
		receipt := push.Receipt{Ref: t.Param, VendorID: task, Code: string(t.AckType), Event: push.EventOther}
		if t.AckType == ackDelivered {
			receipt.Event = push.EventArrived
		}
		if ms, err := strconv.ParseInt(string(t.AckTime), 10, 64); err == nil && ms > 0 {
			receipt.At = time.UnixMilli(ms).UTC()
		}
		for token := range strings.SplitSeq(t.Targets, ",") {
			if receipt.Token = strings.TrimSpace(token); receipt.Token == "" && receipt.Ref == "" {
				continue // about nobody
			}
			if report.Receipts = append(report.Receipts, receipt); len(report.Receipts) > push.MaxReceipts {
				return push.ReceiptReport{}, push.ErrReceiptShape
			}
		}
	}
	return report, nil
}
