package push_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"hongyan/push"
)

func TestInBatches(t *testing.T) {
	ts := make([]push.Target, 25)
	for i := range ts {
		ts[i].Token = fmt.Sprint(i)
		if i%3 == 0 {
			n := 7
			ts[i].Badge = &n
		}
	}
	ts[4].Token = ""
	var mu sync.Mutex
	var sizes []int
	m := push.Message{}
	rs := push.InBatches(ts, 5, func(tg push.Target) (int, *push.Result) {
		return push.BadgeKey(&m, &tg, 99), push.OpaqueToken(tg.Token, 10)
	}, func(batch []push.Target) []push.Result {
		mu.Lock()
		sizes = append(sizes, len(batch))
		mu.Unlock()
		out := push.Fill(len(batch), push.Result{Outcome: push.Accepted})
		for i, tg := range batch {
			if (tg.Badge == nil) != (batch[0].Badge == nil) {
				t.Error("badges were mixed")
			}
			out[i].VendorID = tg.Token
		}
		return out
	})
	for i, r := range rs {
		if i == 4 {
			if r.Code != push.CodeBadToken {
				t.Errorf("%d: %+v", i, r)
			}
		} else if r.VendorID != fmt.Sprint(i) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if len(sizes) != 5 { // 9 with a badge and 15 without, 5 at a time
		t.Errorf("batches %v", sizes)
	}
}

func TestFit(t *testing.T) {
	build := func(body string) ([]byte, error) { return push.CompactJSON(map[string]string{"b": body}) }
	for _, body := range []string{"short", strings.Repeat("长", 100), strings.Repeat("\x01\"", 100), strings.Repeat("👩‍👩‍👧", 50)} {
		got, fault := push.Fit(body, 200, build)
		if fault != nil {
			t.Fatalf("%+v", fault)
		}
		p, _ := build(got)
		if len(p) > 200 || len(p) < 180 && got != body {
			t.Errorf("%d bytes", len(p))
		}
		if !utf8.ValidString(got) || !strings.HasPrefix(body, strings.TrimSuffix(got, "…")) {
			t.Errorf("%q", got)
		}
	}
	// A stump of a text is none.
	for body, most := range map[string]int{"a body": 5, "": 5, strings.Repeat("x", 200): 100} {
		if _, fault := push.Fit(body, most, build); fault == nil || fault.Code != push.CodeTooLarge {
			t.Errorf("%+v", fault)
		}
	}
}

func TestAlertText(t *testing.T) {
	for _, c := range []struct{ title, sub, body, wantTitle, wantBody string }{
		{"a", "", "b", "a", "b"},
		{"a", "s", "b", "a", "s\nb"},
		{"a", "s", "", "a", "s"},
		{"", "", "b", "b", "b"},
		{"a", "", " ", "a", "a"},
		{"abcdef", "", "b", "abc…", "b"},
	} {
		title, body, fault := push.AlertText(&push.Message{Title: c.title, Subtitle: c.sub, Body: c.body}, 4, 10)
		if fault != nil || title != c.wantTitle || body != c.wantBody {
			t.Errorf("%+v: %q %q %+v", c, title, body, fault)
		}
	}
	if _, _, fault := push.AlertText(&push.Message{}, 4, 10); fault == nil {
		t.Error("nothing was taken for a notification")
	}
}

func TestIntent(t *testing.T) {
	got, err := push.Intent("intent:#Intent;component=a/.B;end", map[string]any{"b": "x+y =;", "a": []int{1}})
	if want := "intent:#Intent;component=a/.B;S.a=%5B1%5D;S.b=x%2By%20%3D%3B;end"; err != nil || got != want {
		t.Errorf("%s, want %s (%v)", got, want, err)
	}
	if _, err := push.Intent("intent:#Intent;end", map[string]any{"c": make(chan int)}); err == nil {
		t.Error("a channel was taken")
	}
}

// TestVerifyCallback uses signatures made with OpenSSL:
// printf %s "${timestamp}${nonce}${user}" | openssl dgst -sha256 -hmac KEY -binary | base64
func TestVerifyCallback(t *testing.T) {
	now := time.UnixMilli(1563105451261)
	const plain = "timestamp=1563105451261; nonce=a07bfa17-6d82-4b53-a9a2-07cfef5ceef1; value=PLAIN"
	header := strings.Replace(plain, "PLAIN", callbackPlain, 1)
	if err := push.VerifyCallback(header, "hongyan", "secret", now); err != nil {
		t.Error(err)
	}
	key := base64.StdEncoding.EncodeToString([]byte("secret"))
	if err := push.VerifyCallback(header, "hongyan", key, now); err != nil {
		t.Errorf("base64 key: %v", err)
	}
	for name, c := range map[string]struct {
		header, user, key string
		now               time.Time
	}{
		"key": {header, "hongyan", "other", now}, "user": {header, "", "secret", now}, "no key": {header, "hongyan", "", now},
		"late": {header, "hongyan", "secret", now.Add(11 * time.Minute)}, "early": {header, "hongyan", "secret", now.Add(-11 * time.Minute)},
		"nonce": {strings.Replace(header, "a07b", "a07c", 1), "hongyan", "secret", now}, "empty": {"", "hongyan", "secret", now},
	} {
		if err := push.VerifyCallback(c.header, c.user, c.key, c.now); !errors.Is(err, push.ErrReceiptForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLooseText(t *testing.T) {
	var got struct{ A, B, C, D push.LooseText }
	if err := json.Unmarshal([]byte(`{"A":"1563105451261","B":1563105451,"C":null,"D":""}`), &got); err != nil {
		t.Fatal(err)
	}
	if !got.A.Unix().Equal(time.UnixMilli(1563105451261)) || !got.B.Unix().Equal(time.Unix(1563105451, 0)) || !got.C.Unix().IsZero() || !got.D.Unix().IsZero() {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{`{"A":{}}`, `{"A":[1]}`, `{"A":true}`} {
		if json.Unmarshal([]byte(bad), &got) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestTokenAnswer(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		status int
		body   string
		want   push.Outcome // Accepted stands for a token
		code   string
	}{
		{200, `{"access_token":"a\/b","expires_in":3600}`, push.Accepted, ""},
		{200, `{"access_token":"a","expires_in":"3600"}`, push.Accepted, ""},
		{200, `{"access_token":"a","expires_in":0}`, push.Retry, push.CodeBadReply},
		{200, `{"access_token":""}`, push.Retry, push.CodeBadReply},
		{200, `<html>`, push.Retry, push.CodeBadReply},
		{400, `{"error":1101,"sub_error":20042}`, push.BadCredential, "oauth_1101"},
		{401, `{"error":"invalid_client"}`, push.BadCredential, "oauth_invalid_client"},
		{401, `{"error":{"message":"do not show"}}`, push.BadCredential, "oauth_error"},
		{401, `<html>`, push.Retry, push.CodeBadReply},
		{429, `{"error":"slow_down"}`, push.Throttled, push.CodeBadReply},
		{500, `{"error":"server_error"}`, push.Retry, push.CodeBadReply},
	} {
		tok, fault := push.TokenAnswer(push.Reply{Status: c.status, Body: []byte(c.body)}, now)
		if c.want == push.Accepted {
			if fault != nil || tok.Value == "" || !tok.Expires.Equal(now.Add(time.Hour)) || strings.Contains(tok.Value, `\`) {
				t.Errorf("%s: %+v", c.body, fault)
			}
		} else if fault == nil || fault.Outcome != c.want || fault.Code != c.code {
			t.Errorf("%d %s: %+v", c.status, c.body, fault)
		}
	}
}

const callbackPlain = "hmdEEF8Y83M20t6Lht7R0sYwc86dxdgR/e7UYTeVhrY="
