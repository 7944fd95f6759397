package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func FuzzUnifiedPush(f *testing.F) {
	for _, file := range []string{"json", "plain", "own"} {
		f.Add("token-of-bob", "", "high", "60", fixture(f, "unifiedpush/"+file+".txt"))
	}
	f.Add("token-of-bob", "aes128gcm", "very-low", "0", bytes.Repeat([]byte{0xff}, 4096))
	f.Add("a\x00b", "gzip", "", "-1", gzipped(f, strings.Repeat(" ", 1<<20)))
	f.Add("token", "", "", "99999999999999999999", []byte(strings.Repeat("[", 4096)))
	hostileSeeds(f, unifiedPush{}, "json", func(body []byte) { f.Add("token", "", "", "", body) })
	f.Fuzz(func(t *testing.T, device, encoding, urgency, ttl string, body []byte) {
		r := tokenRequest(body)
		r.device = device
		r.header.Set("Content-Encoding", encoding)
		r.header.Set("Urgency", urgency)
		r.header.Set("TTL", ttl)
		r.header.Set("Topic", ttl+urgency)
		checkParse(t, unifiedPush{}, r)
	})
}

func TestUnifiedPushMessages(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString
	sealed := bytes.Repeat([]byte{0x80, 0xfe}, 300)
	long := bytes.Repeat([]byte("a "), 2048)
	for _, c := range []struct {
		name        string
		body        []byte
		header      []string
		title, text string
		data        map[string]any
		low         bool
		life        time.Duration
		collapse    string
	}{
		{name: "a list", body: []byte(`[1]`), text: "收到一条新消息"},
		{name: "broken UTF-8", body: []byte("\xff\xfe"), text: "收到一条新消息"},
		{name: "control characters", body: []byte("a\x00b"), text: "收到一条新消息"},
		{
			name: "encrypted", body: sealed, header: []string{"Content-Encoding", "aes128gcm", "TTL", "60", "Urgency", "low", "Topic", "room-1"},
			text: "收到一条新消息", data: map[string]any{"up": b64(sealed), "up_encoding": "aes128gcm"}, low: true, life: time.Minute, collapse: "room-1",
		},
		{name: "now or never", body: []byte("x"), header: []string{"TTL", "0"}, text: "x", life: unifiedPushAtOnce},
		{name: "for ever", body: []byte("x"), header: []string{"TTL", "9999999999999"}, text: "x", life: models.MaxLife},
		{name: "no number", body: []byte("x"), header: []string{"TTL", "soon", "Topic", strings.Repeat("t", 33)}, text: "x"},
		{
			name: "longer than vendors take", body: long, text: strings.TrimSpace(string(long[:2*1024-1])) + "…",
			data: map[string]any{"up_size": json.Number("4096")},
		},
	} {
		r := tokenRequest(c.body)
		r.device = "token-of-bob"
		for i := 0; i+1 < len(c.header); i += 2 {
			r.header.Set(c.header[i], c.header[i+1])
		}
		if c.data == nil {
			c.data = map[string]any{"up": b64(c.body)}
		}
		want := models.Incoming{Kind: models.KindAlert, Token: "token-of-bob", Content: models.Content{
			Title: c.title, Speaker: c.title, Body: c.text, Sound: "default", MutableContent: true, LowPriority: c.low, CollapseKey: c.collapse, Data: c.data,
		}}
		if c.life > 0 {
			want.ExpiresAt = testNow().Add(c.life)
		}
		got, err := unifiedPush{}.parse(r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff([]models.Incoming{want}, got.messages); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestUnifiedPushEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "unifiedpush", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		endpoint := s.im("/up/" + bob.token)
		if r := s.do("GET", endpoint, nil); r.status != 200 || strings.TrimSpace(string(r.body)) != `{"unifiedpush":{"version":1}}` {
			t.Errorf("GET: %d %s", r.status, r.body)
		}
		ask := func(path string, body []byte, want int, header ...string) {
			t.Helper()
			r := s.post(path, body, header...)
			if r.status != want || (want == 201) != (r.header.Get("TTL") == "0") {
				t.Errorf("%d bytes: %d %s, want %d", len(body), r.status, r.body, want)
			}
		}
		ask(endpoint, []byte("hello"), 201)
		ask(endpoint, bytes.Repeat([]byte{0xfe}, 4096), 201, "Content-Encoding", "aes128gcm")
		ask(endpoint, gzipped(t, strings.Repeat(" ", 1<<20)), 201, "Content-Encoding", "gzip") // nobody unpacks it
		ask(endpoint, nil, 400)
		ask(endpoint, bytes.Repeat([]byte("x"), 4097), 413)
		ask(s.im("/up/nobody"), []byte("x"), 404)
		ask(s.im("/up"), []byte("x"), 404)
		ask("/im/nope/up/"+bob.token, []byte("x"), 404)
		if r := s.do("GET", "/im/nope/up/"+bob.token, nil); r.status != 404 {
			t.Errorf("GET of no endpoint: %d", r.status)
		}
		bob.unregister()
		ask(endpoint, []byte("x"), 404)
		want := map[string]int{"accepted": 3, "invalid": 3, "unknown": 1, "dead": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
			t.Fatal(err)
		}
		s.advance(2 * time.Second)
		ask(endpoint, []byte("x"), 403)
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), s.secret) {
			t.Error("the log holds an endpoint")
		}
	})
}
