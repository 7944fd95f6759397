package models

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"hongyan/internal/pgtest"
)

// A database that does not answer is Unavailable, so that a caller repeats; what a
// database says about a statement is not.
func TestKindOfUnreachable(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.New(t)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	_, wrong := conn.Exec(ctx, "SELECT nothing FROM nowhere")
	_, ended := conn.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
	_, closed := conn.Exec(ctx, "SELECT 1")
	_, refused := pgx.Connect(ctx, "postgres://nobody@127.0.0.1:1/none")
	for _, c := range []struct {
		name string
		err  error
		want Kind
	}{
		{"a wrong statement", wrong, Internal},
		{"a server that ended the connection", ended, Unavailable},
		{"a closed connection", closed, Unavailable},
		{"no server", refused, Unavailable},
		{"any other", errors.New("boom"), Internal},
		{"one of ours", notFound("device"), NotFound},
	} {
		if got := KindOf(fmt.Errorf("models: act: %w", c.err)); c.err == nil || got != c.want {
			t.Errorf("%s (%v) is %s, want %s", c.name, c.err, got, c.want)
		}
	}
}
