package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	controlBody = 64 << 10 // bytes of a request's body
	controlPage = 1000     // most pushes in one answer
)

// Control is the HTTP interface to a simulator that runs alone, for tests and for
// trying things out by hand. It must be served on loopback only: whoever reaches it
// commands the simulator.
//
//	GET  /                 address, certificate authority and counts
//	GET  /settings         the settings, times in milliseconds
//	PUT  /settings         replaces them
//	PUT  /freeze           {"on": true} stops answering, false goes on
//	POST /goaway           ends connections in good order
//	POST /disconnect       cuts them
//	POST /keys             makes a key: {"key_id", "team_id", "p8"}
//	PUT  /keys/{id}        registers one: {"team_id", "p8"}, where p8 may be the public half
//	PUT  /tokens/{token}   {"reason": "Unregistered", "since": "2026-01-02T03:04:05Z"}
//	GET  /received?from=0  what arrived: {"next": 7, "items": […]}
type Control struct {
	APNs *APNs
	// Keys are those the simulator was started with.
	Keys *MemoryKeys
	// Inbox is the simulator's recorder.
	Inbox *Memory
}

// controlSettings is Settings in JSON.
type controlSettings struct {
	LatencyMS    int64              `json:"latency_ms"`
	JitterMS     int64              `json:"jitter_ms"`
	Mix          map[string]float64 `json:"mix"`
	RetryAfterMS int64              `json:"retry_after_ms"`
	GoAwayEvery  int                `json:"goaway_every"`
}

// controlKey is a key in JSON.
type controlKey struct {
	KeyID  string `json:"key_id"`
	TeamID string `json:"team_id"`
	P8     string `json:"p8"`
}

// Handler returns the interface. It refuses requests that a browser makes for
// another site's page.
func (c *Control) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.about)
	mux.HandleFunc("GET /settings", c.getSettings)
	mux.HandleFunc("PUT /settings", c.putSettings)
	mux.HandleFunc("PUT /freeze", c.freeze)
	mux.HandleFunc("POST /goaway", func(w http.ResponseWriter, _ *http.Request) { c.APNs.GoAway(); done(w) })
	mux.HandleFunc("POST /disconnect", func(w http.ResponseWriter, _ *http.Request) { c.APNs.Disconnect(); done(w) })
	mux.HandleFunc("POST /keys", c.newKey)
	mux.HandleFunc("PUT /keys/{id}", c.putKey)
	mux.HandleFunc("PUT /tokens/{token}", c.putToken)
	mux.HandleFunc("GET /received", c.received)
	return http.NewCrossOriginProtection().Handler(mux)
}

func done(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// show writes v as JSON; a client that has gone is no matter.
func show(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// read decodes the body into v, or answers 400.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, controlBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func (c *Control) about(w http.ResponseWriter, _ *http.Request) {
	show(w, map[string]any{
		"url": c.APNs.URL(), "ca": string(c.APNs.CA().PEM()), "received": c.Inbox.Total(),
		"connections": c.APNs.Connections(), "accepted": c.APNs.Accepted(),
	})
}

func (c *Control) getSettings(w http.ResponseWriter, _ *http.Request) {
	s := c.APNs.Settings()
	show(w, controlSettings{
		LatencyMS: s.Latency.Milliseconds(), JitterMS: s.Jitter.Milliseconds(), Mix: s.Mix,
		RetryAfterMS: s.RetryAfter.Milliseconds(), GoAwayEvery: s.GoAwayEvery,
	})
}

func (c *Control) putSettings(w http.ResponseWriter, r *http.Request) {
	var s controlSettings
	if !read(w, r, &s) {
		return
	}
	err := c.APNs.Set(Settings{
		Latency: time.Duration(s.LatencyMS) * time.Millisecond, Jitter: time.Duration(s.JitterMS) * time.Millisecond,
		Mix: s.Mix, RetryAfter: time.Duration(s.RetryAfterMS) * time.Millisecond, GoAwayEvery: s.GoAwayEvery,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	done(w)
}

func (c *Control) freeze(w http.ResponseWriter, r *http.Request) {
	var f struct {
		On bool `json:"on"`
	}
	if read(w, r, &f) {
		c.APNs.Freeze(f.On)
		done(w)
	}
}

func (c *Control) newKey(w http.ResponseWriter, _ *http.Request) {
	f, k, err := NewKey()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c.Keys.Add(k)
	show(w, controlKey{KeyID: f.KeyID, TeamID: f.TeamID, P8: string(f.PEM)})
}

func (c *Control) putKey(w http.ResponseWriter, r *http.Request) {
	var k controlKey
	if !read(w, r, &k) {
		return
	}
	pub, err := ParsePublicKey([]byte(k.P8))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	c.Keys.Add(Key{ID: r.PathValue("id"), Team: k.TeamID, Public: pub})
	done(w)
}

func (c *Control) putToken(w http.ResponseWriter, r *http.Request) {
	var t struct {
		Reason string    `json:"reason"`
		Since  time.Time `json:"since"`
	}
	if !read(w, r, &t) {
		return
	}
	if err := c.APNs.SetToken(r.PathValue("token"), TokenState{Reason: t.Reason, Since: t.Since}); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	done(w)
}

func (c *Control) received(w http.ResponseWriter, r *http.Request) {
	from := 0
	if v := r.FormValue("from"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			http.Error(w, fmt.Sprintf("from: %q is no number", v), http.StatusBadRequest)
			return
		}
		from = n
	}
	items, next := c.Inbox.From(from, controlPage)
	if items == nil {
		items = []Received{}
	}
	show(w, map[string]any{"next": next, "items": items})
}
