package models

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hongyan/internal/pgtest"
)

// testClock is a clock that tests move by hand. It starts at the real time,
// because leases on Postgres run by the database's own clock.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func newTestClock() *testClock { return &testClock{t: time.Now().UTC().Truncate(time.Microsecond)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance moves the clock on.
func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// testKeys is the keyring of every test store.
func testKeys(t testing.TB) *Keyring {
	t.Helper()
	k, err := NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, rawKeyBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pgTemplate is a migrated Postgres database that each test copies.
var pgTemplate = pgtest.Template{Prepare: func(ctx context.Context, dsn string) error { return migrateOnce(ctx, dsn) }}

// sqliteTemplate is a migrated SQLite file that each test copies.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hongyan-models")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	path := filepath.Join(dir, "template.db")
	if err := migrateOnce(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) //nolint:gosec // our own file
})

func migrateOnce(ctx context.Context, dsn string) error {
	s, err := Open(ctx, Options{Database: dsn})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx, false); err != nil {
		return err
	}
	return s.Close()
}

// testDSN returns a fresh, migrated database of the engine.
func testDSN(t testing.TB, engine Dialect) string {
	t.Helper()
	if engine == Postgres {
		return pgTemplate.New(t)
	}
	b, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// testRegions are the regions of a test store; all share its database.
var testRegions = []Region{
	{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou", Prefix: 0},
	{ID: "ap-shanghai", Zh: "上海", En: "Shanghai", Prefix: 8},
}

// openTestStore opens a store that is closed when the test ends.
func openTestStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Keys == nil {
		o.Keys = testKeys(t)
	}
	if o.Regions == nil {
		o.Regions = testRegions
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// eachDB runs a test on both engines, each time on a fresh, migrated database.
func eachDB(t *testing.T, fn func(t *testing.T, s *Store)) {
	t.Helper()
	eachDBClock(t, func(t *testing.T, s *Store, _ *testClock) { fn(t, s) })
}

// eachDBClock is eachDB for tests that move the clock.
func eachDBClock(t *testing.T, fn func(t *testing.T, s *Store, c *testClock)) {
	t.Helper()
	for _, engine := range []Dialect{SQLite, Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			c := newTestClock()
			fn(t, openTestStore(t, Options{Database: testDSN(t, engine), Now: c.Now}), c)
		})
	}
}
