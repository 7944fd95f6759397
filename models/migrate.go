package models

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations
var migrations embed.FS

// migrationLock is the Postgres advisory lock that goose's and River's
// migrations run under together: River's migrator is not safe when several
// processes boot at once. On SQLite the caller's lock on the data folder serves.
func migrationLock() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("hongyan migrations"))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

// Migrate brings the database to this program's schema, or only checks it when
// check is true. It refuses a database newer than the program: an old process
// must not write what it does not understand.
func (d *DB) Migrate(ctx context.Context, check bool) error {
	if d.Dialect == SQLite {
		return d.migrate(ctx, check)
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("models: migrate: lock: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock()); err != nil {
		return fmt.Errorf("models: migrate: lock: %w", err)
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock())
	}()
	return d.migrate(ctx, check)
}

func (d *DB) migrate(ctx context.Context, check bool) error {
	p, err := d.provider()
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("models: migrate: version: %w", err)
	}
	switch {
	case current > target:
		return fmt.Errorf("models: migrate: the database has schema %d, this program knows %d: start a newer program", current, target)
	case check && current < target:
		return fmt.Errorf("models: migrate: the database has schema %d, this program needs %d: run `hongyan migrate`", current, target)
	}
	if err := d.checkRiver(ctx, check); err != nil {
		return err
	}
	if check {
		return d.makePartitions(ctx)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("models: migrate: %w", err)
	}
	if err := d.migrateRiver(ctx); err != nil {
		return err
	}
	return d.makePartitions(ctx)
}

// SchemaVersion returns the database's schema version and the program's.
func (d *DB) SchemaVersion(ctx context.Context) (current, target int64, err error) {
	p, err := d.provider()
	if err != nil {
		return 0, 0, err
	}
	return p.GetVersions(ctx)
}

func (d *DB) provider() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations/"+string(d.Dialect))
	if err != nil {
		return nil, fmt.Errorf("models: migrate: %w", err)
	}
	dialect := goose.DialectSQLite3
	if d.Dialect == Postgres {
		dialect = goose.DialectPostgres
	}
	p, err := goose.NewProvider(dialect, d.sqlW, dir, goose.WithSlog(d.log))
	if err != nil {
		return nil, fmt.Errorf("models: migrate: %w", err)
	}
	return p, nil
}

// checkRiver refuses a database whose queue tables are newer than the program, as
// migrate does with our own, and with check also older ones.
func (d *DB) checkRiver(ctx context.Context, check bool) error {
	current := 0
	if d.r.Migrator().HasTable("river_migration") {
		if err := d.read(ctx).Raw("SELECT coalesce(max(version), 0) FROM river_migration WHERE line = ?", riverdriver.MigrationLineMain).Scan(&current).Error; err != nil {
			return fmt.Errorf("models: migrate river: version: %w", err)
		}
	}
	var known []rivermigrate.Migration
	var err error
	if d.Dialect == Postgres {
		var m *rivermigrate.Migrator[pgx.Tx]
		if m, err = d.riverPostgres(); err == nil {
			known = m.AllVersions()
		}
	} else {
		var m *rivermigrate.Migrator[*sql.Tx]
		if m, err = d.riverSQLite(); err == nil {
			known = m.AllVersions()
		}
	}
	if err != nil {
		return fmt.Errorf("models: migrate river: %w", err)
	}
	target := known[len(known)-1].Version
	switch {
	case current > target:
		return fmt.Errorf("models: migrate: the database has queue schema %d, this program knows %d: start a newer program", current, target)
	case check && current < target:
		return fmt.Errorf("models: migrate: the database has queue schema %d, this program needs %d: run `hongyan migrate`", current, target)
	}
	return nil
}

func (d *DB) riverPostgres() (*rivermigrate.Migrator[pgx.Tx], error) {
	return rivermigrate.New(riverpgxv5.New(d.pool), &rivermigrate.Config{Logger: RiverLog(d.log)})
}

func (d *DB) riverSQLite() (*rivermigrate.Migrator[*sql.Tx], error) {
	return rivermigrate.New(riversqlite.New(d.sqlW), &rivermigrate.Config{Logger: RiverLog(d.log)})
}

func (d *DB) migrateRiver(ctx context.Context) error {
	var err error
	if d.Dialect == Postgres {
		m, merr := d.riverPostgres()
		if merr == nil {
			_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		}
		err = errors.Join(merr, err)
	} else {
		m, merr := d.riverSQLite()
		if merr == nil {
			_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		}
		err = errors.Join(merr, err)
	}
	if err != nil {
		return fmt.Errorf("models: migrate river: %w", err)
	}
	return nil
}
