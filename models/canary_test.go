package models

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"path/filepath"
	"sync"
	"testing"

	"hongyan/internal/pgtest"
)

func randomKeyring(t *testing.T) *Keyring {
	t.Helper()
	raw := make([]byte, rawKeyBytes)
	_, _ = rand.Read(raw)
	k, err := NewKeyring(base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The first start seals a proof, the same key opens it, another does not, and
// processes that boot at once agree.
func TestCheckKey(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "x.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			s, err := Open(ctx, Options{Database: dsn(t), Keys: randomKeyring(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.Migrate(ctx, false); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := s.CheckKey(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := s.TryKey(ctx); err != nil {
				t.Error(err)
			}
			other := &Store{DB: s.DB, unique: s.unique, keys: randomKeyring(t)}
			if err := other.CheckKey(ctx); KindOf(err) != Forbidden {
				t.Errorf("another key: %v", err)
			}
			if err := other.TryKey(ctx); KindOf(err) != Forbidden {
				t.Errorf("another key: %v", err)
			}
		})
	}
}
