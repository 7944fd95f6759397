package registry_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/registry"
)

const (
	receiptToken = "token-of-bob-0123456789" //nolint:gosec // nobody's
	receiptRef   = "cmVmLW9mLWEtbWVzc2FnZQ"
	receiptKey   = "the key entered at the vendor"
)

// reported is a report of one status as the vendor posts it.
func reported(channel push.Channel, code string, at time.Time) push.ReceiptRequest {
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	r := push.ReceiptRequest{Header: http.Header{}, Now: at, Fields: map[string]string{"app_id": "7", "receipt_user": "hongyan", "receipt_key": receiptKey}}
	body := ""
	switch channel {
	case push.Huawei, push.Honor:
		body = `{"statuses":[{"biTag":"REF","appid":"7","token":"TOKEN","status":CODE,"timestamp":MS,"requestId":"m1"}]}`
	case push.Harmony:
		body = `{"statuses":[{"biTag":"REF","token":"TOKEN","pushType":0,"requestId":"m1","deliveryStatus":{"result":CODE,"timestamp":MS}}]}`
	case push.Xiaomi:
		body = "data=" + url.QueryEscape(`{"m1":{"param":"REF","type":CODE,"targets":"TOKEN","timestamp":MS}}`)
	case push.OPPO:
		body = `[{"messageId":"m1","registrationIds":"TOKEN","eventTime":"MS","param":"REF","eventType":"CODE"}]`
	case push.Vivo:
		body = `{"m1":{"param":"REF","targets":"TOKEN","ackType":"CODE","ackTime":MS}}`
	case push.Meizu:
		body = "cb=" + url.QueryEscape(`{"m1-CODE":{"param":"REF","type":CODE,"targets":["TOKEN"]}}`) + "&access_token=x"
	}
	r.Body = []byte(strings.NewReplacer("REF", receiptRef, "TOKEN", receiptToken, "CODE", code, "MS", ms).Replace(body))
	mac := hmac.New(sha256.New, []byte(receiptKey))
	mac.Write([]byte(ms + "n0nce" + "hongyan"))
	r.Header.Set("X-HUAWEI-CALLBACK-ID", "timestamp="+ms+"; nonce=n0nce; value="+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return r
}

// Every documented status of a receipt means what its vendor says, with the reference,
// device and vendor's number that lead to the message; an unsigned one is forged where
// the vendor signs, and garbage is nobody's report.
func TestDocumentedReceipts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	rows := statuses()
	for _, spec := range registry.All() {
		if (spec.ParseReceipt == nil) != (len(rows[spec.Channel]) == 0) {
			t.Errorf("%s: reads receipts: %v, statuses written down: %d", spec.Channel, spec.ParseReceipt != nil, len(rows[spec.Channel]))
		}
		for _, row := range rows[spec.Channel] {
			got, err := spec.ParseReceipt(reported(spec.Channel, row.code, now))
			if err != nil || len(got.Receipts) != 1 {
				t.Errorf("%s %s: %v, %d receipts", spec.Channel, row.code, err, len(got.Receipts))
				continue
			}
			want := push.Receipt{Ref: receiptRef, VendorID: "m1", Token: receiptToken, Event: row.event, Code: row.code, At: now}
			if spec.Channel == push.Meizu {
				want.At = time.Time{} // it does not say when
			}
			if got.Receipts[0] != want {
				t.Errorf("%s %s: %+v, want %+v", spec.Channel, row.code, got.Receipts[0], want)
			}
			forged := reported(spec.Channel, row.code, now)
			forged.Header.Del("X-HUAWEI-CALLBACK-ID")
			signs := spec.Channel == push.Huawei || spec.Channel == push.Harmony
			if _, err := spec.ParseReceipt(forged); errors.Is(err, push.ErrReceiptForged) != signs {
				t.Errorf("%s %s without a signature: %v", spec.Channel, row.code, err)
			}
			forged.Body = []byte("\xff{")
			if _, err := spec.ParseReceipt(forged); err == nil {
				t.Errorf("%s: garbage was read", spec.Channel)
			}
		}
	}
}
