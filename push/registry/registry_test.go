package registry_test

import (
	"strings"
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest"
	"hongyan/push/registry"
)

// Every documented code is in its channel's table, leads where its page says, and has
// a link to it.
func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	rows := pushtest.Documented()
	for _, spec := range registry.All() {
		if len(rows[spec.Channel]) == 0 {
			t.Errorf("%s: no codes", spec.Channel)
		}
		for outcome, list := range rows[spec.Channel] {
			for code := range strings.FieldsSeq(list) {
				info, ok := spec.Codes[code]
				if !ok || info.Outcome != outcome || !strings.HasPrefix(info.Doc, "https://") {
					t.Errorf("%s %s: %+v (in the table: %v), want %v and a link", spec.Channel, code, info, ok, outcome)
				}
			}
		}
	}
}

// receiptCase is one documented status in the vendor's own format.
type receiptCase struct {
	code  string
	event push.ReceiptEvent
}

// statuses are the statuses of receipts by the vendors' pages.
func statuses() map[push.Channel][]receiptCase {
	huawei := []receiptCase{
		{"0", push.EventArrived}, {"2", push.EventUninstalled}, {"5", push.EventUninstalled}, {"6", push.EventNotifyOff},
		{"10", push.EventExpired}, {"14", push.EventOther}, {"15", push.EventReplaced}, {"22", push.EventOther}, {"27", push.EventOther},
		{"31", push.EventOther}, {"51", push.EventOther}, {"102", push.EventDropped}, {"144", push.EventOther}, {"201", push.EventDropped},
	}
	harmony := append([]receiptCase{{"256", push.EventDropped}}, huawei...)
	for _, more := range []string{"151", "155", "156", "158", "188", "191", "259", "261", "262", "264", "265", "268", "269"} {
		harmony = append(harmony, receiptCase{more, push.EventOther})
	}
	return map[push.Channel][]receiptCase{
		push.Huawei: huawei, push.Harmony: harmony,
		// Honor publishes no list: one status is said to mean this.
		push.Honor: {{"40000002", push.EventArrived}, {"40000099", push.EventOther}},
		push.Xiaomi: {
			{"1", push.EventArrived}, {"2", push.EventClicked}, {"16", push.EventUninstalled}, {"32", push.EventNotifyOff},
			{"64", push.EventOther}, {"128", push.EventDropped}, {"1024", push.EventExpired},
		},
		push.OPPO: {
			{"push_arrive", push.EventArrived}, {"push_click", push.EventClicked}, {"regid_invalid", push.EventUninstalled}, {"user_daily_limit", push.EventDropped},
		},
		push.Vivo:  {{"0", push.EventArrived}, {"7", push.EventOther}},
		push.Meizu: {{"1", push.EventArrived}, {"2", push.EventClicked}, {"9", push.EventOther}},
	}
}
