// Package pgtest gives a test a real PostgreSQL database of its own.
//
// The first test of a process that asks starts one throw-away server (a second
// or so); every test then gets a fresh database on it, which is dropped when the
// test ends. The server lives in a directory under /tmp and is stopped and
// removed when the test process goes away, however it goes. Set
// HONGYAN_TEST_POSTGRES to the URL of a running server, with the right to create
// databases, to use that instead.
//
// Where there is neither, tests fail and say what to install: a model test that
// quietly ran on one engine only would prove half of what it claims.
//
// The package is for tests only and knows nothing of Hongyan's tables.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvURL names the environment variable that points at a running server.
const EnvURL = "HONGYAN_TEST_POSTGRES"

// adminTimeout bounds one CREATE or DROP DATABASE.
const adminTimeout = 30 * time.Second

// server is the one server of this process, started by the first caller. It is
// the only state of the package, and test processes are its only users.
var server = sync.OnceValues(start)

// New returns the URL of a new, empty database that belongs to this test alone
// and is dropped when the test ends.
func New(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

// Template is a prepared database that tests copy instead of preparing their
// own: a copy takes a fraction of the time that migrations take. Declare one per
// test package; the zero Template needs Prepare set.
type Template struct {
	// Prepare fills the template, usually by migrating it. It runs once per
	// process and must leave no connection open.
	Prepare func(ctx context.Context, databaseURL string) error

	once sync.Once
	name string
	err  error
}

// New returns the URL of a fresh copy of the template that belongs to this test
// alone and is dropped when the test ends.
func (p *Template) New(t testing.TB) string {
	t.Helper()
	p.once.Do(func() { p.name, p.err = p.prepare() })
	if p.err != nil {
		t.Fatalf("pgtest: template: %v", p.err)
	}
	return create(t, p.name)
}

// prepare makes the template database. On a server of our own it goes away with
// the server; on a borrowed one it stays behind, once per test process, because
// no test outlives the others to drop it.
func (p *Template) prepare() (string, error) {
	base, err := server()
	if err != nil {
		return "", err
	}
	name := "hongyan_template_" + strings.ToLower(rand.Text()[:10])
	if err := admin(base, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := p.Prepare(ctx, withDatabase(base, name)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	return name, nil
}

// create makes one database from a template and registers its removal.
func create(t testing.TB, template string) string {
	t.Helper()
	base, err := server()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := "hongyan_test_" + strings.ToLower(rand.Text()[:10])
	if err := admin(base, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		// FORCE, because a test may end with a pool that is still closing.
		if err := admin(base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return withDatabase(base, name)
}

// admin runs one statement on the maintenance database, on a connection of its
// own: CREATE DATABASE may not run in a transaction, and a pooled connection
// left on a template would block the next copy.
func admin(base, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement's own error is the one that matters
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// withDatabase returns the URL with its database name replaced.
func withDatabase(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		// start has parsed this very string.
		panic("pgtest: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}
