package handlers

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/web"
)

// instantStore is a store whose commit takes no time, so that what a benchmark
// measures is the bridge.
type instantStore struct{ *models.Store }

// Accept implements IngestStore.
func (instantStore) Accept(_ context.Context, _ models.Ingest, msgs []models.Incoming) (models.Accepted, error) {
	return models.Accepted{IDs: make([]string, len(msgs)), New: len(msgs)}, nil
}

// BenchmarkBridge is one message through a bridge's whole path but for the commit: the
// route, the secret, parsing, counting, the answer, and what the IM app's page keeps.
func BenchmarkBridge(b *testing.B) {
	s := newBenchStore(b)
	server, err := web.New(web.Options{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, PublicURL: &url.URL{Scheme: "http", Host: "console.example"},
		CookieKeys: [2][]byte{make([]byte, 32), make([]byte, 32)}, Sessions: noSessions{},
	})
	if err != nil {
		b.Fatal(err)
	}
	Machine{Ingest: instantStore{s.store}, Devices: s.store}.Mount(server)
	body := []byte(`{"header":{"no_persist":0,"red_dot":1},"message_id":2124668323860844544,"message_idstr":"2124668323860844544","client_msg_no":"c-1","message_seq":1,"from_uid":"alice","channel_id":"bob","channel_type":1,"timestamp":1795395377,"payload":"eyJ0eXBlIjoxLCJjb250ZW50Ijoi5L2g5aW977yM56a757q/5raI5oGvIn0=","to_uids":["bob"]}`)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/im/"+s.secret+"/wukongim?event=msg.offline", bytes.NewReader(body))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// newBenchStore makes an IM app with an authorized app on SQLite, whose intake runs as
// in a process.
func newBenchStore(b *testing.B) *machineSite {
	b.Helper()
	s := &machineSite{t: b, log: &safeBuffer{}}
	s.open(testDatabase(b, models.SQLite))
	s.seed("wukongim")
	return s
}
