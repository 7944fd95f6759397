package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/sandbox"
)

func TestControl(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	srv := httptest.NewServer((&sandbox.Control{APNs: l.sim, Keys: l.keys, Inbox: l.inbox}).Handler())
	t.Cleanup(srv.Close)
	call := func(method, path, body string, want int) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		out, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != want {
			t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, out, err)
		}
		return string(out)
	}

	call("PUT", "/settings", `{"latency_ms":3,"mix":{"Shutdown":25},"retry_after_ms":2000,"goaway_every":9}`, 204)
	want := sandbox.Settings{Latency: 3 * time.Millisecond, Mix: map[string]float64{"Shutdown": 25}, RetryAfter: 2 * time.Second, GoAwayEvery: 9}
	if d := cmp.Diff(want, l.sim.Settings()); d != "" {
		t.Error(d)
	}
	if got := call("GET", "/settings", "", 200); !strings.Contains(got, `"latency_ms":3`) {
		t.Error(got)
	}
	call("PUT", "/settings", `{"mix":{"Tired":1}}`, 422)
	call("PUT", "/settings", `{"speed":1}`, 400)
	call("PUT", "/settings", `{}`, 204)

	// A key made here and one registered here both open the door.
	var made struct {
		KeyID  string `json:"key_id"`
		TeamID string `json:"team_id"`
		P8     string `json:"p8"`
	}
	if err := json.Unmarshal([]byte(call("POST", "/keys", "", 200)), &made); err != nil {
		t.Fatal(err)
	}
	f := sandbox.KeyFile{PEM: []byte(made.P8), KeyID: made.KeyID, TeamID: made.TeamID}
	l.want(ask{client: l.client(), set: map[string]string{"authorization": l.jwt(f, l.now)}}, 200, "")
	own, _, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"team_id": own.TeamID, "p8": string(own.PEM)})
	if err != nil {
		t.Fatal(err)
	}
	call("PUT", "/keys/"+own.KeyID, string(body), 204)
	l.want(ask{client: l.client(), set: map[string]string{"authorization": l.jwt(own, l.now)}}, 200, "")
	call("PUT", "/keys/X", `{"p8":"nonsense"}`, 422)

	call("PUT", "/tokens/"+phone, `{"reason":"Unregistered","since":"2026-01-02T03:04:05Z"}`, 204)
	l.want(ask{}, 410, "Unregistered")
	call("PUT", "/tokens/"+phone, `{"reason":"Tired"}`, 422)
	call("PUT", "/tokens/"+phone, `{}`, 204)

	var page struct {
		Next  int
		Items []sandbox.Received
	}
	if err := json.Unmarshal([]byte(call("GET", "/received?from=2", "", 200)), &page); err != nil {
		t.Fatal(err)
	}
	if page.Next != 3 || len(page.Items) != 1 || page.Items[0].Reason != "Unregistered" {
		t.Errorf("%+v", page)
	}
	if got := call("GET", "/", "", 200); !strings.Contains(got, l.sim.URL()) || !strings.Contains(got, `"received":3`) {
		t.Error(got)
	}
	call("PUT", "/freeze", `{"on":true}`, 204)
	call("PUT", "/freeze", `{"on":false}`, 204)
	call("POST", "/goaway", "", 204)
	call("POST", "/disconnect", "", 204)
}

func TestControlRefusesOtherSites(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	h := (&sandbox.Control{APNs: l.sim, Keys: l.keys, Inbox: l.inbox}).Handler()
	req := httptest.NewRequest(http.MethodPost, "/disconnect", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}

func TestMemoryFrom(t *testing.T) {
	m := sandbox.NewMemory(3)
	for _, id := range []string{"0", "1", "2", "3", "4"} {
		m.Record(t.Context(), sandbox.Received{ID: id})
	}
	for _, c := range []struct {
		from, limit, next int
		ids               string
	}{{0, 9, 5, "234"}, {3, 9, 5, "34"}, {3, 1, 4, "3"}, {5, 9, 5, ""}, {99, 9, 5, ""}, {-1, 0, 2, ""}} {
		got, next := m.From(c.from, c.limit)
		ids := ""
		for _, r := range got {
			ids += r.ID
		}
		if ids != c.ids || next != c.next {
			t.Errorf("%+v: %q, next %d", c, ids, next)
		}
	}
}
