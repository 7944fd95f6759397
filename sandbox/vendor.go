package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"
)

// What the vendors are built from.

// settingsOf returns the settings for a request to a token.
func (s *Simulator) settingsOf(ctx context.Context, token string) Settings {
	if s.cfg.SettingsFor != nil && token != "" {
		if set, ok := s.cfg.SettingsFor(ctx, token); ok {
			return set
		}
	}
	return *s.settings.Load()
}

// hold keeps an answer back as long as the settings say. When the caller is gone
// meanwhile it ends the handler.
func (s *Simulator) hold(ctx context.Context, set Settings) time.Duration {
	d := set.latency()
	if d <= 0 {
		return 0
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return d
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	// As in serveHTTP: nothing may be read as an answer.
	panic(http.ErrAbortHandler)
}

// tokenCode is what is wrong with a device token, "" for nothing.
func (s *Simulator) tokenCode(ctx context.Context, topic, token string) (TokenState, error) {
	return s.cfg.Tokens.Token(ctx, topic, token)
}

// issue hands out an access token for an account.
func (s *Simulator) issue(account string, life time.Duration) string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	token := hex.EncodeToString(b[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access[token] = access{account, s.cfg.Now().Add(life)}
	s.fetches++
	return token
}

// bearer returns whose access token this is; known is false for one that was never
// handed out, live for one that has ended.
func (s *Simulator) bearer(token string) (account string, known, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.access[token]
	return a.account, ok, ok && s.cfg.Now().Before(a.until)
}

// record notes a push; every one before its answer goes out.
func (s *Simulator) record(ctx context.Context, r Received) {
	r.Channel = s.cfg.Channel
	if r.At.IsZero() {
		r.At = s.cfg.Now().UTC()
	}
	if s.cfg.Recorder != nil {
		s.cfg.Recorder.Record(ctx, r)
	}
}
