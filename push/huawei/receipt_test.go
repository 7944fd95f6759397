package huawei_test

import (
	"net/http"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/huawei"
	"hongyan/push/pushtest/lab"
	"hongyan/sandbox"
)

func TestReceipts(t *testing.T) {
	newLabAt(t, time.Now, lab.PostsReceipts).SignedReceipts(t, target(1), map[string]func(*push.ReceiptRequest){
		"other app": func(r *push.ReceiptRequest) { r.Fields["app_id"] = "2" },
	})
}

// TestSettingReceipts: with the setting on, an accepted push reports its arrival.
func TestSettingReceipts(t *testing.T) {
	url, got := lab.Mailbox(t)
	newLabWith(t, func(a *sandbox.Account) { a.ReceiptURL = url }, lab.ReportsAll).ArrivalReported(t, got, target(5))
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("", []byte(`{"statuses":[{"biTag":"a","appid":"1","token":"t","status":0,"timestamp":1563105451261,"requestId":"r"}]}`))
	f.Add("timestamp=1563105451261; nonce=a; value=AAAA", []byte(`{"statuses":[{"status":"x"}]}`))
	f.Add("timestamp=;;=; value", []byte("\xff"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		r := push.ReceiptRequest{Header: http.Header{}, Body: body, Now: time.UnixMilli(1563105451261), Fields: map[string]string{"receipt_key": "k"}}
		r.Header.Set(push.CallbackHeader, header)
		if rep, err := huawei.ParseReceipt(r); err == nil && len(rep.Receipts) > 0 {
			t.Fatal("an unsigned report was taken")
		}
	})
}
