package handlers

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func genericRequest(body string) ingestRequest {
	return ingestRequest{header: http.Header{}, body: []byte(body), now: testNow()}
}

func TestGenericText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, title, text string }{
		{`{"to":"b","body":"hi"}`, "", "hi"},
		{`{"to":"b","title":"T","body":"hi","from":{"id":"a","name":"A"}}`, "T", "hi"},
		{`{"to":"b","body":"hi","conversation":{"name":"G"}}`, "", "(G):hi"},
		{`{"to":"b","body":"hi","from":{"name":"A\nB"},"conversation":{"name":"G"}}`, "", "A B(G)：hi"},
		{`{"to":"b"}`, "", models.GenericText("")},
		{`{"to":"b","body":" \u0000 ","from":{"name":"A"}}`, "", "A：" + models.GenericText("")},
		{`{"to":"b","title":"` + strings.Repeat("字", 200) + `","body":"x"}`, strings.Repeat("字", models.MaxTitleRunes-1) + "…", "x"},
	} {
		got, err := genericBridge{}.parse(genericRequest(c.body))
		if err != nil {
			t.Errorf("%.60s: %v", c.body, err)
			continue
		}
		if m := got.messages[0].Content; m.Title != c.title || m.Body != c.text {
			t.Errorf("%.60s: %q %q, want %q %q", c.body, m.Title, m.Body, c.title, c.text)
		}
	}
}

func TestGenericFieldErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 3000)
	for _, c := range []struct{ body, code, field string }{
		{``, "bad_json", ""},
		{`nope`, "bad_json", ""},
		{`"x"`, "wrong_type", ""},
		{`{"to":"b"} x`, "bad_json", ""},
		{`[]`, "empty", ""},
		{`[` + strings.Repeat(`{"to":"b"},`, 100) + `{"to":"b"}]`, "too_many_messages", ""},
		{`[{"to":"b"},5]`, "wrong_type", "[1]"},
		{`[{"to":"b"},{"body":"x"}]`, "required", "[1].to"},
		{`{"body":"x"}`, "required", "to"},
		{`{"to":null}`, "required", "to"},
		{`{"to":[]}`, "required", "to"},
		{`{"to":["b",""]}`, "required", "to[1]"},
		{`{"to":["b",true]}`, "wrong_type", "to[1]"},
		{`{"to":{"id":"b"}}`, "wrong_type", "to"},
		{`{"to":"` + long[:101] + `"}`, "bad_account", "to"},
		{`{"to":["a\u0000b"]}`, "bad_account", "to[0]"},
		{"{\"to\":\"b\xff\"}", "bad_account", "to"},
		{`{"to":[` + strings.Repeat(`"b",`, 500) + `"b"]}`, "too_many_items", "to"},
		{`[{"to":[` + strings.Repeat(`"b",`, 499) + `"b"]},{"to":"b"}]`, "too_many_items", "to"},
		{`{"to":"b","id":"` + long[:129] + `"}`, "too_long", "id"},
		{`{"to":"b","id":["x"]}`, "wrong_type", "id"},
		{`{"to":"b","from":[1]}`, "wrong_type", "from"},
		{`{"to":"b","from":{"id":7}}`, "wrong_type", "from.id"},
		{`{"to":"b","from":"` + long[:101] + `"}`, "too_long", "from"},
		{`{"to":"b","account_type":-1}`, "out_of_range", "account_type"},
		{`{"to":"b","account_type":1e99}`, "wrong_type", "account_type"},
		{`{"to":"b","conversation":"g"}`, "wrong_type", "conversation"},
		{`{"to":"b","conversation":{"id":5}}`, "wrong_type", "conversation.id"},
		{`{"to":"b","body":5}`, "wrong_type", "body"},
		{`{"to":"b","kind":"loud"}`, "not_one_of", "kind"},
		{`{"to":"b","kind":"alert","silent":true}`, "contradicts", "silent"},
		{`{"to":"b","kind":"badge"}`, "required", "badge"},
		{`{"to":"b","badge":-1}`, "out_of_range", "badge"},
		{`{"to":"b","badge":"3"}`, "wrong_type", "badge"},
		{`{"to":"b","priority":"urgent"}`, "not_one_of", "priority"},
		{`{"to":"b","interruption_level":"loud"}`, "not_one_of", "interruption_level"},
		{`{"to":"b","collapse":"` + long[:65] + `"}`, "too_long", "collapse"},
		{`{"to":"b","ttl":0}`, "out_of_range", "ttl"},
		{`{"to":"b","ttl":604801}`, "out_of_range", "ttl"},
		{`{"to":"b","ttl":99999999999999999999}`, "wrong_type", "ttl"},
		{`{"to":"b","ttl":5,"expires_at":"2026-11-25T10:00:00Z"}`, "contradicts", "expires_at"},
		{`{"to":"b","expires_at":"tomorrow"}`, "bad_time", "expires_at"},
		{`{"to":"b","expires_at":"2026-11-24T01:59:59Z"}`, "in_the_past", "expires_at"},
		{`{"to":"b","data":[1]}`, "wrong_type", "data"},
		{`{"to":"b","data":{"aps":{}}}`, "reserved", "data.aps"},
		{`{"to":"b","data":{"hy_mid":"x"}}`, "reserved", "data.hy_mid"},
		{`{"to":"b","data":{"a":[{"b":9007199254740993}]}}`, "inexact_number", "data"},
		{`{"to":"b","data":{"a":1e999}}`, "inexact_number", "data"},
		{`{"to":"b","data":{"a":"` + long + `"}}`, "too_long", "data"},
	} {
		_, err := genericBridge{}.parse(genericRequest(c.body))
		if err == nil {
			t.Errorf("%.70s: accepted, want %s in %q", c.body, c.code, c.field)
			continue
		}
		if e := apiErrorOf(err); e.code != c.code || e.field != c.field || e.status < 400 || e.status > 499 {
			t.Errorf("%.70s: %d %s in %q, want %s in %q", c.body, e.status, e.code, e.field, c.code, c.field)
		}
	}
}

func TestGenericIdempotencyKey(t *testing.T) {
	t.Parallel()
	ids := func(body string) []string {
		r := genericRequest(body)
		r.header.Set("Idempotency-Key", "k")
		got, err := genericBridge{}.parse(r)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range got.messages {
			out = append(out, m.SourceID)
		}
		return out
	}
	if diff := cmp.Diff([]string{"k"}, ids(`{"to":"b"}`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"k#0", "own"}, ids(`[{"to":"b"},{"to":"b","id":"own"}]`)); diff != "" {
		t.Error(diff)
	}
	r := genericRequest(`{"to":"b"}`)
	r.header.Set("Idempotency-Key", strings.Repeat("k", models.MaxSourceID+1))
	if _, err := (genericBridge{}).parse(r); err == nil || apiErrorOf(err).field != "Idempotency-Key" {
		t.Errorf("long key: %v", err)
	}
}

func TestGenericLifeIsCut(t *testing.T) {
	t.Parallel()
	got, err := genericBridge{}.parse(genericRequest(`{"to":"b","expires_at":"2036-11-24T02:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	if at := got.messages[0].ExpiresAt; !at.Equal(testNow().Add(models.MaxLife)) {
		t.Errorf("expires %v", at)
	}
}

func FuzzGeneric(f *testing.F) {
	files, err := filepath.Glob("testdata/generic/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "")
	}
	f.Add([]byte(`{"to":"b","ttl":1e400,"badge":-0}`), "key")
	f.Add([]byte("{\"to\":\"\xff\xfe\",\"body\":\"\xff\",\"title\":\"\xc3\x28\"}"), "\xff")
	f.Add([]byte(`{"to":"b","data":{"a":-0e999999999,"b":[[[[1e-999999999]]]]}}`), "")
	f.Add([]byte(`{"to":["b","b","a"],"from":"a","conversation":{"id":"\u0000\ud800"}}`), "k\x00")
	f.Add([]byte(strings.Repeat("[", 20_000)), "")
	hostileSeeds(f, genericBridge{}, "", func(body []byte) { f.Add(body, "") })
	f.Fuzz(func(t *testing.T, body []byte, key string) {
		r := genericRequest(string(body))
		r.header.Set("Idempotency-Key", key)
		checkParse(t, genericBridge{}, r)
		if in, err := (genericBridge{}).parse(r); err == nil && (len(in.at) == 0 || len(in.at) > maxGenericRecipients) {
			t.Fatalf("%d answers", len(in.at))
		}
	})
}
