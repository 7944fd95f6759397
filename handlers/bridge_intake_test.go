package handlers

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// The captured requests go in, and what the store has afterwards comes out.
func TestWukongIMEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "wukongim", Rates{}, func(t *testing.T, s *machineSite) {
		body := fixture(t, "wukongim/v2_person.json")
		// v2 appends "?event=" to the configured address.
		for i, want := range []string{`{"accepted":1,"duplicates":0,"status":"ok"}`, `{"accepted":0,"duplicates":1,"status":"ok"}`} {
			r := s.post(s.im("/wukongim?event=msg.offline"), body)
			if got := strings.TrimSpace(string(r.body)); r.status != 200 || got != want {
				t.Errorf("request %d: %d %s, want %s", i, r.status, got, want)
			}
		}
		s.post(s.im("/wukongim?event=msg.notify"), fixture(t, "wukongim/v2_notify.json"))
		s.post(s.im("/wukongim?event=user.onlinestatus"), fixture(t, "wukongim/v2_online.json"))
		s.post(s.im("?event=msg.offline"), fixture(t, "wukongim/v3_person.json"))                          // bare address
		s.post(s.im("/wukongim/?event=msg.offline"), gzipped(t, string(body)), "Content-Encoding", "gzip") // duplicate
		r := s.post(s.im("/?event=msg.offline"), fixture(t, "wukongim/v3_group_gzip.json"))                // 511 in two commits
		broken := s.post(s.im("/wukongim?event=msg.offline"), fixture(t, "wukongim/v2_broken_list.json"))  // nobody to reach
		if r.status != 200 || r.json(t)["accepted"] != 511.0 || broken.status != 200 {
			t.Errorf("%d %s, broken %d", r.status, r.body, broken.status)
		}
		if n := s.count("messages"); n != 513 {
			t.Errorf("%d messages stored, want 513", n)
		}
		if n := s.count("messages WHERE account = 'bob' AND sender = 'alice' AND conversation = 'alice' AND source = 'wukongim' AND kind = 'alert'"); n != 2 {
			t.Errorf("%d messages for bob, want 2", n)
		}
		want := map[string]int{"accepted": 513, "duplicate": 2, "sender": 2, "skipped": 2, "invalid": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		for _, private := range []string{s.secret, "你好", "alice", "2124668323860844544"} {
			if strings.Contains(s.log.String(), private) {
				t.Errorf("the log contains %q", private)
			}
		}
	})
}

func TestBridgeRefusals(t *testing.T) {
	t.Parallel()
	eachMachine(t, "wukongim", Rates{}, func(t *testing.T, s *machineSite) {
		good := fixture(t, "wukongim/v2_person.json")
		for _, c := range []struct {
			name, method, path string
			body               []byte
			header             []string
			status             int
			code               string
		}{
			{"unknown secret", "POST", "/im/nope/wukongim?event=msg.offline", good, nil, 404, "unknown_address"},
			{"unknown secret, bare", "POST", "/im/nope?event=msg.offline", good, nil, 404, "unknown_address"},
			{"other bridge", "POST", s.im("/messages"), good, nil, 404, "wrong_bridge"},
			{"no bridge", "POST", s.im("/matrix"), good, nil, 404, "not_found"},
			{"GET", "GET", s.im("/wukongim"), nil, nil, 405, "method_not_allowed"},
			{"no JSON", "POST", s.im("/wukongim?event=msg.offline"), []byte("{"), nil, 400, "bad_json"},
			{"no gzip", "POST", s.im("/wukongim?event=msg.offline"), good, []string{"Content-Encoding", "gzip"}, 400, "bad_gzip"},
			{"brotli", "POST", s.im("/wukongim?event=msg.offline"), good, []string{"Content-Encoding", "br"}, 415, "unsupported_encoding"},
			{"large", "POST", s.im("/wukongim?event=msg.offline"), bytes.Repeat([]byte(" "), maxBridgeBody+1), nil, 413, "too_large"},
			{"larger than the server takes", "POST", s.im("/wukongim?event=msg.offline"), bytes.Repeat([]byte(" "), 3<<20), nil, 413, "too_large"},
		} {
			r := s.do(c.method, c.path, c.body, c.header...)
			if code, _ := r.errorCode(t); r.status != c.status || code != c.code {
				t.Errorf("%s: %d %s, want %d %s", c.name, r.status, r.body, c.status, c.code)
			}
		}
		if n := s.count("messages"); n != 0 {
			t.Errorf("%d messages stored", n)
		}
		if strings.Contains(s.log.String(), s.secret) {
			t.Error("the log contains the secret")
		}
	})
}

func TestErrorLanguage(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		for lang, want := range map[string]string{
			"":               `{"error":{"code":"required","message":"缺少 to","field":"to"}}`,
			"en-GB,en;q=0.9": `{"error":{"code":"required","message":"to is required","field":"to"}}`,
			"zh-TW,zh;q=0.9": `{"error":{"code":"required","message":"缺少 to","field":"to"}}`,
		} {
			r := s.post(s.im("/messages"), []byte(`{"body":"x"}`), "Accept-Language", lang)
			if got := strings.TrimSpace(string(r.body)); r.status != 400 || got != want {
				t.Errorf("%q: %d %s, want %s", lang, r.status, got, want)
			}
		}
	})
}

// An IM app without authorization accepts nothing, says so, and counts it; after
// 新增授权 the next request goes through.
func TestUnauthorizedIMApp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bridge, path string
		body         []byte
		status       int
	}{
		{"wukongim", "/wukongim?event=msg.offline", offline(map[string]any{"to_uids": []string{"bob", "carol"}}), 200},
		{"generic", "/messages", []byte(`{"to":["bob","carol"],"body":"hi"}`), 409},
	} {
		t.Run(c.bridge, func(t *testing.T) {
			t.Parallel()
			eachMachine(t, c.bridge, Rates{}, func(t *testing.T, s *machineSite) {
				if err := s.store.Release(t.Context(), s.who, s.authorization); err != nil {
					t.Fatal(err)
				}
				s.advance(2 * time.Second) // an ingest is remembered for a second
				r := s.post(s.im(c.path), c.body)
				if code, _ := r.errorCode(t); r.status != c.status || code != "not_authorized" {
					t.Errorf("%d %s", r.status, r.body)
				}
				if n := s.count("messages"); n != 0 {
					t.Errorf("%d messages stored", n)
				}
				if diff := cmp.Diff(map[string]int{"unauthorized": 2}, s.stats()); diff != "" {
					t.Error(diff)
				}
				s.authorize()
				s.advance(2 * time.Second)
				if r := s.post(s.im(c.path), c.body); r.status/100 != 2 || s.count("messages") != 2 {
					t.Errorf("authorized again: %d %s", r.status, r.body)
				}
			})
		})
	}
}

func TestAllowList(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		for _, c := range []struct {
			list   string
			status int
		}{{"198.51.100.0/24", 403}, {"198.51.100.0/24, 127.0.0.1, ::1", 202}} {
			in := models.IMAppInput{Name: s.imApp.Name, SDKAppID: s.imApp.SDKAppID, Bridge: "generic", AllowIPs: c.list}
			if _, err := s.store.UpdateIMApp(t.Context(), s.who, s.imApp.ID, in, []string{"generic"}); err != nil {
				t.Fatal(err)
			}
			s.advance(2 * time.Second)
			if r := s.post(s.im("/messages"), []byte(`{"to":"bob"}`)); r.status != c.status {
				t.Errorf("%s: %d %s", c.list, r.status, r.body)
			}
		}
		if got := s.stats(); got["denied"] != 1 || got["accepted"] != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

// A stranger who tries addresses is slowed; an IM server that was good before
// goes through even from the stranger's own address.
func TestUnknownSecretsAreLimited(t *testing.T) {
	t.Parallel()
	rates := DefaultRates()
	rates.UnknownSecrets = Rate{Every: time.Hour, Burst: 3}
	eachMachine(t, "generic", rates, func(t *testing.T, s *machineSite) {
		good := func() int { return s.post(s.im("/messages"), []byte(`{"to":"bob"}`)).status }
		if got := good(); got != 202 {
			t.Fatalf("good secret: %d", got)
		}
		var got []int
		for i := range 5 {
			got = append(got, s.post(fmt.Sprintf("/im/guess-%d/messages", i), []byte(`{}`)).status)
		}
		if diff := cmp.Diff([]int{404, 404, 404, 429, 429}, got); diff != "" {
			t.Error(diff)
		}
		if got := good(); got != 202 {
			t.Errorf("good secret after the flood: %d", got)
		}
		s.advance(2 * time.Hour)
		if got := s.post("/im/guess-9/messages", []byte(`{}`)).status; got != 404 {
			t.Errorf("after a rest: %d", got)
		}
	})
}

func TestGenericEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		path := s.im("/messages")
		r := s.post(path, fixture(t, "generic/group.json"))
		first := r.json(t)
		ids, _ := first["ids"].([]any)
		if r.status != 202 || len(ids) != 4 || ids[1] != nil || ids[0] == nil || ids[0] != ids[3] || ids[0] == ids[2] {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if n := s.count("messages WHERE id = ? AND account = 'carol'", ids[2]); n != 1 {
			t.Errorf("carol's id is not her message's")
		}
		again := s.post(path, fixture(t, "generic/group.json")).json(t)
		if diff := cmp.Diff(first["ids"], again["ids"]); diff != "" || again["accepted"] != 0.0 || again["duplicates"] != 2.0 {
			t.Errorf("a repetition answers %v\n%s", again, diff)
		}
		s.post(path, fixture(t, "generic/badge.json"))
		// Without an id, the header makes the request safe to repeat.
		for range 2 {
			s.post(path, []byte(`[{"to":"bob","body":"a"},{"to":"bob","body":"b"}]`), "Idempotency-Key", "k-1")
		}
		if n := s.count("messages"); n != 5 {
			t.Errorf("%d messages, want 5", n)
		}
		// A refused request stores nothing of it.
		if r := s.post(path, []byte(`[{"to":"bob","body":"ok"},{"to":""}]`)); r.status != 400 || s.count("messages") != 5 {
			t.Errorf("%d, %d messages", r.status, s.count("messages"))
		}
		want := map[string]int{"accepted": 4, "badge": 1, "duplicate": 6, "sender": 2, "invalid": 1}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
	})
}

// When a commit is impossible the caller learns it, and it is counted.
func TestIntakeUnavailable(t *testing.T) {
	t.Parallel()
	eachMachine(t, "wukongim", Rates{}, func(t *testing.T, s *machineSite) {
		s.store.GuardDisk("/", 1<<62, nil)
		r := s.post(s.im("/wukongim?event=msg.offline"), fixture(t, "wukongim/v2_person.json"))
		if code, _ := r.errorCode(t); r.status != 503 || code != "unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", r.status, r.body)
		}
		if diff := cmp.Diff(map[string]int{"refused": 1}, s.stats()); diff != "" {
			t.Error(diff)
		}
		s.store.GuardDisk("/", 0, nil)
		if r := s.post(s.im("/wukongim?event=msg.offline"), fixture(t, "wukongim/v2_person.json")); r.status != 200 {
			t.Errorf("with room again: %d %s", r.status, r.body)
		}
	})
}

// halfStore accepts so many calls and then fails.
type halfStore struct {
	IngestStore
	calls  int
	counts map[string]int
}

func (s *halfStore) Accept(_ context.Context, _ models.Ingest, msgs []models.Incoming) (models.Accepted, error) {
	if s.calls--; s.calls < 0 {
		return models.Accepted{}, &models.Error{Kind: models.Unavailable}
	}
	return models.Accepted{IDs: make([]string, len(msgs)), New: len(msgs)}, nil
}

func (s *halfStore) CountIngest(_ int64, outcome string, n int) { s.counts[outcome] += n }

// hitchedStore does not find recipients.
type hitchedStore struct {
	IngestStore
	audience []models.AudienceMember
}

var errAway = &models.Error{Kind: models.Unavailable}

func (s *hitchedStore) Audience(context.Context, models.Ingest, int) ([]models.AudienceMember, error) {
	if s.audience == nil {
		return nil, errAway
	}
	return s.audience, nil
}

func (s *hitchedStore) EachSubscriber(context.Context, models.Ingest, string, int, func([]models.DeviceAt) error) error {
	return errAway
}

// A request that is refused while its recipients are looked for is counted: as ours to
// answer for when we could not look, as the caller's when it asks for too many.
func TestCountedWithoutRecipients(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tencent", Rates{}, func(t *testing.T, m *machineSite) {
		store := &hitchedStore{IngestStore: m.store}
		m.ingest = store
		m.serve(Rates{})
		s := timSite{m, t}
		if a := s.rest(timAll, fixture(t, "tencent/rest_all.json")); a["ActionStatus"] != "FAIL" {
			t.Errorf("nobody was found, answered %v", a)
		}
		if diff := cmp.Diff(map[string]int{"refused": 1}, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		store.audience = make([]models.AudienceMember, maxRecipients+1)
		if a := s.rest(timAll, fixture(t, "tencent/rest_all.json")); a["ErrorCode"] != 90045.0 {
			t.Errorf("too many, answered %v", a)
		}
		if diff := cmp.Diff(map[string]int{"refused": 1, "invalid": 1}, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
	})
}

func TestCountedWithoutSubscribers(t *testing.T) {
	t.Parallel()
	eachMachine(t, "tinode", Rates{}, func(t *testing.T, s *machineSite) {
		s.ingest = &hitchedStore{IngestStore: s.store}
		s.serve(Rates{})
		one := registeredPhone(t, s, strings.Repeat("ab", 32))
		tinodeSays(t, s, s.im("/sub/demo"), `{"channel":"chnNews","device":"`+one.token+`"}`)
		tinodeSays(t, s, s.im("/pushv1/demo"), channelMessage("chnNews", "1", ""))
		if diff := cmp.Diff(map[string]int{"refused": 1}, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
	})
}

// A list too long for one commit is stored commit by commit; when one fails, the
// request fails as a whole and what is stored is counted as stored.
func TestAcceptInParts(t *testing.T) {
	t.Parallel()
	msgs := make([]models.Incoming, 2*models.MaxBatch+200)
	for _, c := range []struct{ calls, stored int }{{0, 0}, {2, 2 * models.MaxBatch}, {3, len(msgs)}} {
		store := &halfStore{calls: c.calls, counts: map[string]int{}}
		h := newIngestHandler(Machine{Ingest: store, Now: testNow, Rates: DefaultRates()})
		done, err := h.accept(t.Context(), models.Ingest{}, msgs)
		h.countAccepted(models.Ingest{}, msgs, done)
		if (err == nil) != (c.stored == len(msgs)) || len(done.IDs) != c.stored || store.counts["accepted"] != c.stored {
			t.Errorf("%d calls: %v, %d ids, counted %v", c.calls, err, len(done.IDs), store.counts)
		}
	}
}
