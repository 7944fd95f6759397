package pushtest

import (
	"context"
	"encoding/pem"
	"io"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"hongyan/push"
)

// Foreign sends to targets of which some belong to another app, at a vendor that then
// refuses the whole request without a word about which: those fail and are kept, the
// others are accepted, and finding them takes no more requests than halving needs.
// requests counts what the simulator was sent.
func Foreign(t *testing.T, s push.Sender, targets []push.Target, foreign map[int]bool, requests func() int) {
	t.Helper()
	before := requests()
	for i, r := range s.Send(context.Background(), hello(), targets) {
		if foreign[i] != (r.Outcome == push.BadTarget) || foreign[i] != r.KeepToken || !foreign[i] && r.Outcome != push.Accepted {
			t.Fatalf("target %d, foreign %v: %+v", i, foreign[i], r)
		}
	}
	// Each takes the way down to it alone and what stands beside that way.
	most := 2 + 2*(len(foreign)+1)*bits.Len(uint(len(targets)))
	if n := requests() - before; n > most {
		t.Errorf("%d requests, want %d at the most", n, most)
	}
}

// Nameless sends five targets at a vendor of access tokens that answers a request which
// holds the third with partly, a failure of some without a word about which, and every
// other with well: only that one has no answer, and all requests share one id to
// overwrite by, so that phones which got it before show it once. h needs Spec, Fields,
// Options and Target.
func Nameless(t *testing.T, h Harness, partly, well string) {
	t.Helper()
	var mu sync.Mutex
	ids := map[string]bool{}
	id := regexp.MustCompile(`"(notify_id|notifyId)":[0-9]+`)
	bad := h.Target(2)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what was cut short has no id
		answer := well
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			_, _ = io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
			return
		case strings.Contains(string(body), bad.Token):
			answer = partly
		}
		mu.Lock()
		ids[id.FindString(string(body))] = true
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer srv.Close()
	o := h.Options
	o.Endpoint, o.RootCAs = srv.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	s, err := h.Spec.Open(context.Background(), h.Fields, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var targets []push.Target
	for i := range 5 {
		targets = append(targets, h.Target(i))
	}
	for i, r := range s.Send(context.Background(), hello(), targets) {
		if i == 2 && r.Outcome != push.Retry || i != 2 && r.Outcome != push.Accepted {
			t.Errorf("target %d: %+v", i, r)
		}
	}
	if len(ids) != 1 || ids[""] {
		t.Errorf("sent as %v", ids)
	}
}
