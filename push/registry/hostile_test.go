package registry_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
	"hongyan/push/registry"
)

const (
	hostileUser, hostileKey = "user", "a-key-of-the-console"
	// maxReport is the most that a receipt address hands to a parser.
	maxReport = 4 << 20
)

func receiptNow() time.Time { return time.UnixMilli(1_772_366_400_123).UTC() }

// reporting lists the channels whose vendors report.
func reporting(t testing.TB) []push.Spec {
	t.Helper()
	var out []push.Spec
	for _, s := range registry.All() {
		if s.ParseReceipt != nil {
			out = append(out, s)
		}
	}
	if len(out) < 7 {
		t.Fatalf("%d channels report", len(out))
	}
	return out
}

// signed is a report with every signature that any vendor wants.
func signed(body []byte) push.ReceiptRequest {
	at := "1772366400123"
	mac := hmac.New(sha256.New, []byte(hostileKey))
	mac.Write([]byte(at + "nonce" + hostileUser))
	h := http.Header{}
	h.Set(push.CallbackHeader, "timestamp="+at+"; nonce=nonce; value="+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return push.ReceiptRequest{Header: h, Body: body, Now: receiptNow(), Fields: map[string]string{
		"receipt_key": hostileKey, "receipt_user": hostileUser, "app_id": "1",
	}}
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// checkReport parses a report as one channel and holds the parser to what all promise.
// It returns what was allocated.
func checkReport(t *testing.T, spec push.Spec, body []byte) uint64 {
	t.Helper()
	before := allocated()
	report, err := spec.ParseReceipt(signed(body))
	used := allocated() - before
	if most := uint64(8<<20 + 64*len(body)); used > most {
		t.Errorf("%s: %d bytes were allocated for %d, at most %d are fair: %.40q", spec.Channel, used, len(body), most, body)
	}
	switch {
	case err != nil && !errors.Is(err, push.ErrReceiptShape) && !errors.Is(err, push.ErrReceiptForged):
		t.Errorf("%s: %v", spec.Channel, err)
	case err != nil && len(report.Receipts) > 0:
		t.Errorf("%s: %d receipts beside %v", spec.Channel, len(report.Receipts), err)
	case len(report.Receipts) > push.MaxReceipts:
		t.Errorf("%s: %d receipts", spec.Channel, len(report.Receipts))
	case err == nil && report.ContentType == "":
		t.Errorf("%s: an answer without a type", spec.Channel)
	}
	for _, r := range report.Receipts {
		if r.Event == "" || r.Token == "" && r.Ref == "" && r.VendorID == "" && r.Code == "" {
			t.Fatalf("%s: a receipt about nothing: %+v", spec.Channel, r)
		}
		for _, s := range []string{r.Ref, r.VendorID, r.Token, r.Code} {
			if !utf8.ValidString(s) {
				t.Fatalf("%s: text %q cannot be stored", spec.Channel, s)
			}
		}
	}
	return used
}

// goodReports are a report of each vendor.
func goodReports() []string {
	form := func(field, json string) string { return url.Values{field: {json}}.Encode() }
	return []string{
		`{"statuses":[{"biTag":"a","appid":"1","token":"t","status":0,"timestamp":1563105451261,"requestId":"r"}]}`,
		`{"statuses":[{"biTag":"a","token":"t","deliveryStatus":{"result":0,"timestamp":1563105451261}}]}`,
		`{"statuses":[{"biTag":"a","appId":"1","token":"t","status":"40000002","timestamp":1563105451261,"requestId":"r"}]}`,
		form("data", `{"m":{"param":"p","type":1,"targets":"a,b","timestamp":1772366400123}}`),
		`[{"messageId":"m","appId":"a","taskId":"t","registrationIds":"a,b","eventTime":"1772366400123","param":"p","eventType":"push_arrive"}]`,
		`{"121397329":{"param":"vivo","targets":"a,b","ackType":"0","ackTime":1501484120000}}`,
		form("cb", `{"m-1":{"param":"p","type":1,"targets":["id"]}}`) + "&access_token=x",
	}
}

// Reports as large as they may be, of as many parts as they can hold. Not parallel: it
// looks at what is allocated.
func TestHostileReports(t *testing.T) {
	fill := func(before, part, after string) string {
		return before + strings.Repeat(part, (maxReport-len(before)-len(after))/len(part)) + after
	}
	bodies := []string{
		fill(`{"statuses":[`, `{},`, `{}]}`), fill(`{"statuses":[`, `null,`, `null]}`), fill(`[`, `{},`, `{}]`), fill(`[`, `1,`, `1]`),
		fill(`[{"registrationIds":"`, `a,`, `"}]`), fill(`{"a":{"targets":"`, `a,`, `"}}`), fill(`{"a":{"param":"p","targets":"`, `,`, `"}}`),
		fill(`data={"a":{"targets":"`, `a,`, `"}}`), fill(`data={`, `"":{},`, `"":{}}`), fill(`cb={"a":{"targets":[`, `"a",`, `"a"]}}`), fill(`cb={`, `"":{},`, `"":{}}`),
		fill(`data=`, `%5B`, ``), fill(``, `a&`, ``), fill(``, `cb=&`, ``), fill(``, `[`, ``), fill(``, `{"a":`, ``), fill(`{"a":"`, `\u0000`, `"}`),
		fill(`{"statuses":[{"status":`, `9`, `}]}`), "\xff\xfe", "", "null", "{", `{"statuses":null}`, "data=null", "cb=null", "data=%ff", "cb=%zz",
	}
	worst, of := uint64(0), push.Channel("")
	for _, spec := range reporting(t) {
		for _, body := range bodies {
			if used := checkReport(t, spec, []byte(body)); used > worst {
				worst, of = used, spec.Channel
			}
		}
	}
	t.Logf("most allocated for a report of 4 MiB: %d MiB (%s)", worst>>20, of)
}

// FuzzReceipts gives every vendor's parser the same bodies, with good signatures.
func FuzzReceipts(f *testing.F) {
	for _, body := range goodReports() {
		f.Add([]byte(body))
		f.Add([]byte(body[:len(body)/2]))
		for _, hostile := range []string{"null", "[]", "{}", "-1", "1e400", "99999999999999999999", "\"\xff\xfe\"", `"\u0000"`, "[[[[[["} {
			f.Add([]byte(strings.Replace(body, `"t"`, hostile, 1)))
			f.Add([]byte(strings.Replace(body, `1563105451261`, hostile, 1)))
			f.Add([]byte(strings.Replace(body, `"a,b"`, hostile, 1)))
		}
	}
	specs := reporting(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxReport {
			return // is never handed over
		}
		for _, spec := range specs {
			checkReport(t, spec, body)
		}
	})
}
