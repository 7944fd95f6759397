package handlers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

func FuzzMattermost(f *testing.F) { fuzzTokens(f, mattermostProxy{}, "mattermost") }

func FuzzMattermostAck(f *testing.F) {
	f.Add([]byte(`{"id":"ack1","received_at":1795395377000,"platform":"apple_rn","type":"message","post_id":"p","is_id_loaded":false}`))
	f.Add([]byte(`{"id":"ack1","received_at":99999999999999999999}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, at, err := readMattermostReceipt(tokenRequest(body))
		if err == nil && at.After(testNow()) || err != nil && apiErrorOf(err).status != 400 {
			t.Fatalf("%q at %v: %v", id, at, err)
		}
	})
}

func TestMattermostEndToEnd(t *testing.T) {
	t.Parallel()
	eachMachine(t, "mattermost", Rates{}, func(t *testing.T, s *machineSite) {
		bob := registeredPhone(t, s, siteVendorToken)
		ask := func(path, file, token string, want string) {
			t.Helper()
			r := s.post(path, atToken(fixture(t, "mattermost/"+file+".json"), token, ""))
			if got, _ := r.json(t)["status"].(string); r.status != 200 || got != want || (got == "FAIL") != (r.json(t)["error"] != nil) {
				t.Errorf("%s: %d %s, want %s", file, r.status, r.body, want)
			}
		}
		root, secret := "/"+mattermostSend, s.im("/"+mattermostSend)
		ask(secret, "message", bob.token, "OK")
		ask(s.im(""), "message", bob.token, "OK") // a duplicate
		ask(root, "clear", bob.token, "FAIL")     // the server id is not registered
		s.name("server-1")
		ask(root, "clear", bob.token, "OK")
		ask(root, "update_badge", bob.token, "OK")
		ask(root, "id_loaded", bob.token, "OK")
		ask(root, "session", "nobody", "FAIL")
		ask(secret, "session", "nobody", "FAIL")
		for _, bad := range []string{"{", "[]", `{"device_id":7}`, `{"device_id":"a\u0000b"}`} {
			if r := s.post(root, []byte(bad)); r.status != 200 || r.json(t)["status"] != "FAIL" {
				t.Errorf("%s: %d %s", bad, r.status, r.body)
			}
		}
		if r := s.do("GET", s.im("/version"), nil); r.status != 200 {
			t.Errorf("version: %d %s", r.status, r.body)
		}
		s.acknowledge(t)
		bob.unregister()
		ask(secret, "test", bob.token, "REMOVE")
		ask(root, "test", bob.token, "REMOVE")
		want := map[string]int{"accepted": 2, "duplicate": 1, "badge": 2, "unknown": 2, "dead": 2}
		if diff := cmp.Diff(want, s.stats()); diff != "" {
			t.Errorf("counted (-want +got)\n%s", diff)
		}
		if strings.Contains(s.log.String(), bob.token) || strings.Contains(s.log.String(), "你好") {
			t.Error("the log holds a token or a text")
		}
	})
}

// recordAll records everything that was accepted as sent.
func (s *machineSite) recordAll(t *testing.T) {
	t.Helper()
	db := s.store.Databases()[0]
	for {
		bs, err := db.ClaimDue(t.Context(), "w", time.Minute, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(bs) == 0 {
			return
		}
		for _, b := range bs {
			rec := models.Recording{Batch: b}
			for _, it := range b.Items {
				rec.Deliveries = append(rec.Deliveries, models.Delivery{
					MessageID: it.Message.ID, DeviceID: it.DeviceID, AppID: it.Message.AppID, PlanID: it.Message.PlanID,
					Channel: "apns", State: models.StateAccepted, At: s.clock(), ResolvedAt: s.clock(),
				})
			}
			if _, _, err := db.Record(t.Context(), "w", []models.Recording{rec}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// acknowledge records the sends of the two alerts and acknowledges each, under the
// secret and without.
func (s *machineSite) acknowledge(t *testing.T) {
	t.Helper()
	s.recordAll(t)
	arrived := func(want int) {
		t.Helper()
		if n := s.count("deliveries WHERE state = 'arrived'"); n != want {
			t.Errorf("%d arrived, want %d", n, want)
		}
	}
	for i, c := range []struct{ path, id string }{
		{s.im("/" + mattermostAck), "ack1"}, {s.im("/" + mattermostAck), "ack1"}, {"/" + mattermostAck, "ack4"}, {"/" + mattermostAck, "no such"},
	} {
		r := s.post(c.path, []byte(`{"id":"`+c.id+`","received_at":1795395377000,"platform":"apple_rn","type":"message","post_id":"p","is_id_loaded":false}`))
		if r.status != 200 || r.json(t)["status"] != "OK" {
			t.Errorf("ack: %d %s", r.status, r.body)
		}
		arrived([]int{1, 1, 2, 2}[i])
	}
	if r := s.post("/"+mattermostAck, []byte(`{}`)); r.json(t)["status"] != "FAIL" {
		t.Errorf("ack of nothing: %s", r.body)
	}
}
