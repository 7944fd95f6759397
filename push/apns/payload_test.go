package apns

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
)

func num(n int) *int { return &n }

func TestPayload(t *testing.T) {
	for name, c := range map[string]struct {
		m     push.Message
		badge *int
		want  string
		err   error
	}{
		"alert": {
			m: push.Message{
				Kind: push.Alert, Title: "张三", Subtitle: "群", Body: "<你好> & \"再见\"", Badge: num(3), Sound: "default",
				ThreadID: "t", Category: "c", MutableContent: true, InterruptionLevel: "time-sensitive",
				Data: map[string]any{"b": 1, "a": map[string]any{"x": "<"}},
			},
			want: `{"aps":{"alert":{"title":"张三","subtitle":"群","body":"<你好> & \"再见\""},"badge":3,"sound":"default","thread-id":"t","category":"c","mutable-content":1,"interruption-level":"time-sensitive"},"a":{"x":"<"},"b":1}`,
		},
		"badge of the target": {m: push.Message{Kind: push.Alert, Title: "x", Badge: num(3)}, badge: num(0), want: `{"aps":{"alert":{"title":"x"},"badge":0}}`},
		"negative badge":      {m: push.Message{Kind: push.Badge, Badge: num(-3)}, want: `{"aps":{"badge":0}}`},
		"silent": {
			m:    push.Message{Kind: push.Silent, Title: "x", Sound: "x", Badge: num(1), Data: map[string]any{"k": "v"}},
			want: `{"aps":{"content-available":1},"k":"v"}`,
		},
		"badge only": {m: push.Message{Kind: push.Badge, Title: "x", Badge: num(7)}, want: `{"aps":{"badge":7}}`},
		"critical": {
			m:    push.Message{Kind: push.Alert, Title: "x", Sound: "bell", InterruptionLevel: "critical"},
			want: `{"aps":{"alert":{"title":"x"},"sound":{"critical":1,"name":"bell","volume":1},"interruption-level":"critical"}}`,
		},
		"badge without number": {m: push.Message{Kind: push.Badge}, err: errContent},
		"nothing to say":       {m: push.Message{Kind: push.Alert}, err: errContent},
		"no such level":        {m: push.Message{Kind: push.Alert, Title: "x", InterruptionLevel: "loud"}, err: errContent},
		"no such kind":         {m: push.Message{Kind: "x"}, err: errContent},
		"reserved key":         {m: push.Message{Kind: push.Alert, Title: "x", Data: map[string]any{"aps": 1}}, err: errContent},
		"title too long":       {m: push.Message{Kind: push.Alert, Title: strings.Repeat("x", 5000), Body: "y"}, err: errTooLarge},
		"data too long":        {m: push.Message{Kind: push.Silent, Data: map[string]any{"k": strings.Repeat("x", 5000)}}, err: errTooLarge},
	} {
		got, err := buildPayload(&c.m, c.badge)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: error %v, want %v", name, err, c.err)
		}
		if d := cmp.Diff(c.want, string(got)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestPayloadFillsTheLimit(t *testing.T) {
	for _, body := range []string{strings.Repeat("x", 9000), strings.Repeat("汉", 9000), strings.Repeat("\"", 9000), strings.Repeat("🐦", 9000)} {
		got, err := buildPayload(&push.Message{Kind: push.Alert, Title: "t", Body: body}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > maxPayload || len(got) < maxPayload-4 {
			t.Errorf("%.3q…: %d bytes", body, len(got))
		}
	}
	exact := push.Message{Kind: push.Alert, Body: strings.Repeat("x", maxPayload-len(`{"aps":{"alert":{"body":""}}}`))}
	if got, err := buildPayload(&exact, nil); err != nil || len(got) != maxPayload || bytes.Contains(got, []byte(ellipsis)) {
		t.Errorf("%d bytes, %v: what fits must not be cut", len(got), err)
	}
}

// FuzzPayload: any text gives JSON within the limit whose body is the given one or
// the longest start of it that fits, whole runes only.
func FuzzPayload(f *testing.F) {
	f.Add("title", "body", "key", uint16(10))
	f.Add("", strings.Repeat("鸿雁", 2000), "", uint16(1))
	f.Add("\xff", "a\xf0\x9f\x90", "\x00", uint16(3000))
	f.Add("👩‍👩‍👧", "\u2028\u2029\u007f\b\f\v", "é", uint16(500))
	f.Fuzz(func(t *testing.T, title, body, key string, times uint16) {
		m := push.Message{Kind: push.Alert, Title: title, Body: strings.Repeat(body, int(times%5000)+1), ThreadID: key, Data: map[string]any{key: body}}
		got, err := buildPayload(&m, nil)
		if err != nil {
			return
		}
		if len(got) > maxPayload || !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("%d bytes, valid %v", len(got), json.Valid(got))
		}
		var back struct {
			APS struct {
				Alert struct{ Title, Body string }
			}
		}
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(m.Body, "\ufffd")
		short, cutOff := strings.CutSuffix(back.APS.Alert.Body, ellipsis)
		whole := sanitize(m.Body)
		if back.APS.Alert.Body != whole && (!cutOff || !strings.HasPrefix(whole, short)) {
			t.Fatalf("body is no start of what was given (%d of %d bytes)", len(short), len(want))
		}
	})
}

// sanitize replaces each byte that is not UTF-8, as encoding/json does.
func sanitize(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// FuzzEncodedLen: the length counted for cutting is the length written.
func FuzzEncodedLen(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\x7f\"\\\b\f\n\r\t\u2028\u2029\xff\ufffd🐦")
	f.Fuzz(func(t *testing.T, s string) {
		n := 2
		for i, r := range s {
			n += encodedLen(r, s[i:])
		}
		out, err := push.CompactJSON(s)
		if err != nil || len(out) != n {
			t.Fatalf("counted %d, wrote %d (%v)", n, len(out), err)
		}
	})
}

func TestCollapseID(t *testing.T) {
	long := collapseID(strings.Repeat("x", 65))
	for in, want := range map[string]string{
		"": "", "conv-1": "conv-1", strings.Repeat("x", 64): strings.Repeat("x", 64), strings.Repeat("x", 65): long,
	} {
		if got := collapseID(in); got != want || len(got) > maxCollapse {
			t.Errorf("%.10q: %q", in, got)
		}
	}
	for _, odd := range []string{"会话", "a\r\nb", " x ", "\xff"} {
		if got := collapseID(odd); len(got) != 64 || !headerSafe(got) {
			t.Errorf("%q: %q", odd, got)
		}
	}
	if len(long) != 64 {
		t.Errorf("hash of %d bytes", len(long))
	}
}

func TestHeader(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := &Sender{topic: "im.app", now: func() time.Time { return now }}
	const id = "0198c0de-0000-7000-8000-000000000001"
	for name, c := range map[string]struct {
		m    push.Message
		t    push.Target
		want map[string]string
	}{
		"urgent": {
			push.Message{Kind: push.Alert, HighPriority: true, CollapseKey: "k", ExpiresAt: now.Add(time.Hour)}, push.Target{ID: id},
			map[string]string{"apns-topic": "im.app", "apns-push-type": "alert", "apns-priority": "10", "apns-id": id, "apns-collapse-id": "k", "apns-expiration": "1800003600"},
		},
		"do not store": {
			push.Message{Kind: push.Badge, ExpiresAt: now}, push.Target{Topic: "im.other", ID: strings.ToUpper(id)},
			map[string]string{"apns-topic": "im.other", "apns-push-type": "alert", "apns-priority": "5", "apns-id": id, "apns-expiration": "0"},
		},
		"background": {
			push.Message{Kind: push.Silent, HighPriority: true}, push.Target{},
			map[string]string{"apns-topic": "im.app", "apns-push-type": "background", "apns-priority": "5"},
		},
	} {
		h, err := s.header(&c.m, &c.t)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for k, v := range h {
			if len(v) != 1 {
				t.Errorf("%s: %s has %d values", name, k, len(v))
			}
			if k != "User-Agent" {
				got[k] = v[0]
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	a, b := messageID("not a uuid"), messageID("not a uuid")
	if a != b || !canonical(a) || a == messageID("another") {
		t.Errorf("%q and %q", a, b)
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"AB12": "ab12", "ab12": "ab12", "": "", "abc": "", "zz": "", "ab/1": "", " ab1": "", strings.Repeat("ab", 300): "",
	} {
		if got, ok := normalize(in); got != want || ok != (want != "") {
			t.Errorf("%.10q: %q %v", in, got, ok)
		}
	}
}
