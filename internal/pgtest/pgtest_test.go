package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Databases are separate, a template's content is in every copy, and what one
// test writes does not reach the next.
func TestTemplateAndIsolation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	prepared := 0
	tmpl := &Template{Prepare: func(ctx context.Context, databaseURL string) error {
		prepared++
		return exec1(ctx, databaseURL, "CREATE TABLE t (n int)")
	}}
	for range 2 {
		db := tmpl.New(t)
		if n := count(ctx, t, db); n != 0 {
			t.Errorf("fresh copy holds %d rows", n)
		}
		if err := exec1(ctx, db, "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
	}
	if prepared != 1 {
		t.Errorf("Prepare ran %d times", prepared)
	}
	if err := exec1(ctx, New(t), "SELECT 1 FROM t"); err == nil {
		t.Error("an empty database holds the template's table")
	}
}

// A database goes away with its test.
func TestDropped(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("inner", func(t *testing.T) { gone = New(t) })
	if err := ping(context.Background(), gone); err == nil {
		t.Error("the database is still there")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]int{
		"/usr/lib/postgresql/17/bin":              17,
		"/usr/lib/postgresql/9/bin":               9,
		"/usr/pgsql-16/bin":                       16,
		"/opt/homebrew/opt/postgresql@15/bin":     15,
		"/usr/local/bin":                          0,
		"/opt/homebrew/opt/postgresql@nothing/bi": 0,
	} {
		if got := version(dir); got != want {
			t.Errorf("version(%q) = %d, want %d", dir, got, want)
		}
	}
}

func exec1(ctx context.Context, databaseURL, sql string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	if cerr := conn.Close(ctx); err == nil {
		err = cerr
	}
	return err
}

func count(ctx context.Context, t *testing.T, databaseURL string) int {
	t.Helper()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // test
	var n int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
