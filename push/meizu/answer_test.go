package meizu

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"hongyan/push"
)

// TestSign: the worked example of Meizu's document, whose secret is "<APP_SECRET>".
func TestSign(t *testing.T) {
	t.Parallel()
	got := sign(map[string]string{
		"appId": "10000", "pushIds": "RA50c6348036344485d01776773577c64740465480a6b",
		"messageJson": `{"title":"title","content":"content","pushTimeInfo":{"offLine":1,"validTime":24}}`,
	}, "<APP_SECRET>")
	if want := "ac076ff25d9900015a681cb5172aa53b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRead: value in every shape that was seen, and what is no answer.
func TestRead(t *testing.T) {
	t.Parallel()
	const a, b = "J0476035d625e6c64567f71487e040e7d017f0558675b", "J0476045d625e6c64567f71487e040e7d017f0558675b"
	for _, c := range []struct {
		name, body string
		status     int
		code       string // "" when it is no answer
		bad        map[string]string
	}{
		{"nothing", `{"code":"200","value":{},"msgId":"m"}`, 200, "200", nil},
		{"empty", `{"code":"200","value":""}`, 200, "200", nil},
		{"no value", `{"code":200}`, 200, "200", nil},
		{"code to ids", `{"code":"200","value":{"110002":["` + a + `"],"110003":["` + b + `"]}}`, 200, "200", map[string]string{a: "110002", b: "110003"}},
		{"id to code", `{"code":"200","value":{"` + a + `":"110002","` + b + `":110003}}`, 200, "200", map[string]string{a: "110002", b: "110003"}},
		{"code to text", `{"code":"200","value":{"110002":"` + a + `, ` + b + `"}}`, 200, "200", map[string]string{a: "110002", b: "110002"}},
		{"switch off", `{"code":"200","value":{"110010":["` + a + `"]}}`, 200, "200", map[string]string{a: switchedOff}},
		{"switch off, id to code", `{"code":"200","value":{"` + a + `":"110010"}}`, 200, "200", map[string]string{a: switchedOff}},
		{"too fast", `{"code":"110010","message":"应用请求频率超过限制","value":"","redirect":""}`, 200, "110010", nil},
		{"value of a refusal", `{"code":"1005","value":[1]}`, 200, "1005", nil},
		{"unreadable value", `{"code":"200","value":{"x":[1]}}`, 200, "", nil},
		{"list", `{"code":"200","value":["x"]}`, 200, "", nil},
		{"no code", `{"value":{}}`, 200, "", nil},
		{"odd code", `{"code":"two"}`, 200, "", nil},
		{"a proxy's yes", `{"code":"200","value":{}}`, 502, "", nil},
		{"page", `<html>`, 502, "", nil},
	} {
		got, ok := read(push.Reply{Status: c.status, Body: []byte(c.body), Header: http.Header{}})
		if ok != (c.code != "") {
			t.Errorf("%s: readable %v", c.name, ok)
		}
		if ok && (got.code != c.code || !maps.Equal(got.bad, c.bad)) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestValidFor(t *testing.T) {
	t.Parallel()
	now := push.Message{}.ExpiresAt.AddDate(2025, 0, 0)
	for hours, want := range map[float64]pushTime{
		-1: {}, 0: {}, 0.1: {1, 1}, 1: {1, 1}, 1.01: {1, 2}, 72: {1, 72}, 1000: {1, 72},
	} {
		if got := validFor(now.Add(durationOf(hours)), now); got != want {
			t.Errorf("%g hours: %+v, want %+v", hours, got, want)
		}
	}
	if got := validFor(push.Message{}.ExpiresAt, now); got != (pushTime{1, 24}) {
		t.Errorf("no end: %+v", got)
	}
}

func durationOf(hours float64) time.Duration { return time.Duration(hours * float64(time.Hour)) }
