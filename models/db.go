package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"modernc.org/sqlite"
)

// Dialect names a database engine; it is also the migrations folder.
type Dialect string

// The two engines.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// readerConns is the size of SQLite's pool of read-only connections.
const readerConns = 8

// defaultConns is the least number of Postgres connections: committers, recorder,
// lookups and River's listeners hold up to ten at once, and pages want theirs.
const defaultConns = 16

// DB is one database. On SQLite all writes go through one connection, shared
// with River; pages read from a pool of their own, so that a page never waits
// for a commit.
type DB struct {
	Dialect Dialect
	Now     func() time.Time

	w, r  *gorm.DB
	sqlW  *sql.DB
	sqlR  *sql.DB
	pool  *pgxpool.Pool // Postgres only
	queue *inserter
	keys  *Keyring
	hot   statements // SQLite only
	turns turns      // SQLite only
	log   *slog.Logger
}

// dbOptions says how to open a DB.
type dbOptions struct {
	// dsn is a postgres:// URL or a SQLite file's path.
	dsn      string
	maxConns int
	keys     *Keyring
	now      func() time.Time
	log      *slog.Logger
}

func openDB(ctx context.Context, o dbOptions) (*DB, error) {
	d := &DB{Now: o.now, keys: o.keys, log: o.log}
	var err error
	if strings.HasPrefix(o.dsn, "postgres://") || strings.HasPrefix(o.dsn, "postgresql://") {
		err = d.openPostgres(ctx, o)
	} else {
		err = d.openSQLite(ctx, o)
	}
	if err == nil {
		d.queue, err = newInserter(d)
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *DB) gormConfig() *gorm.Config {
	return &gorm.Config{
		NowFunc:                func() time.Time { return d.Now() },
		Logger:                 logger.Discard, // errors are returned, and SQL text carries content
		TranslateError:         true,
		SkipDefaultTransaction: true,
	}
}

// CheckDatabaseURL says what is wrong with a postgres:// URL, without connecting and
// without quoting it: it holds a password.
func CheckDatabaseURL(v string) error {
	_, err := pgxpool.ParseConfig(v)
	if err == nil {
		return nil
	}
	// Below the parser's error, which quotes the URL, lies one that names the setting.
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		var whole *url.Error
		if cause := errors.Unwrap(parse); cause != nil && !errors.As(cause, &whole) {
			return fmt.Errorf("not a valid postgres:// URL: %w", cause)
		}
	}
	return errors.New("not a valid postgres:// URL")
}

func (d *DB) openPostgres(ctx context.Context, o dbOptions) error {
	d.Dialect = Postgres
	if err := CheckDatabaseURL(o.dsn); err != nil {
		return fmt.Errorf("models: open: %w", err)
	}
	cfg, err := pgxpool.ParseConfig(o.dsn)
	if err != nil {
		return errors.New("models: open: not a valid postgres:// URL")
	}
	if o.maxConns > 0 {
		cfg.MaxConns = int32(o.maxConns) //nolint:gosec // a small configured number
	} else {
		cfg.MaxConns = max(cfg.MaxConns, defaultConns)
	}
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if d.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("models: open postgres: %w", err)
	}
	if err = d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("models: open postgres: %w", err)
	}
	d.sqlW = stdlib.OpenDBFromPool(d.pool)
	d.sqlR = d.sqlW
	if d.w, err = gorm.Open(postgres.New(postgres.Config{Conn: d.sqlW}), d.gormConfig()); err != nil {
		return fmt.Errorf("models: open postgres: %w", err)
	}
	d.r = d.w
	return nil
}

// sqliteFile names a file in SQLite's form, in which three characters of a path mean
// something else.
func sqliteFile(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// sqliteDSN returns the connection string that keeps times comparable (stored as
// UTC text of one shape), commits durable and transactions immediate.
func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{}
	for _, p := range []string{"busy_timeout(10000)", "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)", "cache_size(-65536)", "temp_store(MEMORY)", "wal_autocheckpoint(4000)"} {
		q.Add("_pragma", p)
	}
	q.Set("_time_format", "sqlite")
	q.Set("_timezone", "UTC")
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
	}
	// auto_vacuum must come first: it only takes on a database without tables.
	return sqliteFile(path) + "?_pragma=auto_vacuum(2)&" + q.Encode()
}

func (d *DB) openSQLite(ctx context.Context, o dbOptions) error {
	d.Dialect = SQLite
	// For its owner's eyes, also in a folder that others may read; the files beside
	// it (-wal, -shm) take its mode.
	f, err := os.OpenFile(o.dsn, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	if d.sqlW, err = sql.Open("sqlite", sqliteDSN(o.dsn, false)); err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	d.sqlW.SetMaxOpenConns(1)
	if err = d.sqlW.PingContext(ctx); err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	if d.sqlR, err = sql.Open("sqlite", sqliteDSN(o.dsn, true)); err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	d.sqlR.SetMaxOpenConns(readerConns)
	d.sqlR.SetMaxIdleConns(readerConns)
	if d.w, err = gorm.Open(sqliteDialect(d.sqlW), d.gormConfig()); err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	if d.r, err = gorm.Open(sqliteDialect(d.sqlR), d.gormConfig()); err != nil {
		return fmt.Errorf("models: open sqlite: %w", err)
	}
	return nil
}

// Close closes every connection.
func (d *DB) Close() error {
	var errs []error
	if d.sqlR != nil && d.sqlR != d.sqlW {
		errs = append(errs, d.sqlR.Close())
	}
	if d.sqlW != nil {
		errs = append(errs, d.sqlW.Close())
	}
	if d.pool != nil {
		d.pool.Close()
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.sqlR.PingContext(ctx) }

// read returns a session for queries outside a transaction.
func (d *DB) read(ctx context.Context) *gorm.DB { return d.r.WithContext(ctx) }

// Tx is one write transaction, seen through GORM and, for batch statements and
// River, through the engine's own handle.
type Tx struct {
	*gorm.DB
	db  *DB
	pgx pgx.Tx  // Postgres
	sql *sql.Tx // SQLite
}

// now is the transaction's clock.
func (t *Tx) now() time.Time { return t.db.Now() }

// write runs fn in one transaction and commits it when fn returns nil. Inside fn
// nothing may touch the database but through the Tx: SQLite has one writer.
func (d *DB) write(ctx context.Context, fn func(*Tx) error) error {
	return d.writeAs(ctx, false, fn)
}

// writeAs is write; on SQLite who is urgent writes before others that wait.
func (d *DB) writeAs(ctx context.Context, urgent bool, fn func(*Tx) error) error {
	if d.Dialect == SQLite {
		return d.writeSQLite(ctx, urgent, fn)
	}
	return d.writePostgres(ctx, fn)
}

func (d *DB) writeSQLite(ctx context.Context, urgent bool, fn func(*Tx) error) error {
	if err := d.turns.wait(ctx, urgent); err != nil {
		return fmt.Errorf("models: begin: %w", err)
	}
	defer d.turns.end()
	tx, err := d.sqlW.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("models: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit this is a no-op
	if err := fn(&Tx{DB: d.session(ctx, tx), db: d, sql: tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("models: commit: %w", err)
	}
	return nil
}

// writePostgres begins a pgx transaction on a connection taken from database/sql,
// so that GORM, batch statements and River's insert are one transaction.
func (d *DB) writePostgres(ctx context.Context, fn func(*Tx) error) error {
	conn, err := d.sqlW.Conn(ctx)
	if err != nil {
		return fmt.Errorf("models: begin: %w", err)
	}
	defer func() { _ = conn.Close() }()
	var raw *pgx.Conn
	// The connection is ours alone until Close, so its pgx side may be used
	// outside Raw, whose lock GORM's statements need.
	if err := conn.Raw(func(dc any) error { raw = dc.(*stdlib.Conn).Conn(); return nil }); err != nil {
		return fmt.Errorf("models: begin: %w", err)
	}
	tx, err := raw.Begin(ctx)
	if err != nil {
		return fmt.Errorf("models: begin: %w", err)
	}
	// The rollback must reach the server even when ctx has ended.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := fn(&Tx{DB: d.session(ctx, conn), db: d, pgx: tx}); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("models: commit: %w", err)
	}
	return nil
}

func (d *DB) session(ctx context.Context, pool gorm.ConnPool) *gorm.DB {
	g := d.w.Session(&gorm.Session{Context: ctx, NewDB: true, SkipDefaultTransaction: true})
	g.Statement.ConnPool = pool
	return g
}

// sqliteDialector is GORM's SQLite dialect over modernc's driver, whose errors
// GORM does not know.
type sqliteDialector struct{ *gormsqlite.Dialector }

func sqliteDialect(db *sql.DB) gorm.Dialector {
	return sqliteDialector{gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", Conn: db}).(*gormsqlite.Dialector)}
}

// SQLite's extended result codes, https://www.sqlite.org/rescode.html
const (
	sqliteUnique     = 2067
	sqlitePrimaryKey = 1555
	sqliteRowID      = 2579
	sqliteForeignKey = 787
)

// Translate maps modernc's constraint errors to GORM's.
func (sqliteDialector) Translate(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqliteUnique, sqlitePrimaryKey, sqliteRowID:
		return gorm.ErrDuplicatedKey
	case sqliteForeignKey:
		return gorm.ErrForeignKeyViolated
	}
	return err
}
