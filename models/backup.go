package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// CopyInfo is what a copy of a SQLite database was found to hold.
type CopyInfo struct {
	// Schema is the number of its newest migration.
	Schema int64 `json:"schema"`
	// Rows counts the rows of each table.
	Rows map[string]int64 `json:"rows"`
}

// BackupTo writes a consistent copy of a SQLite database to a file that does not
// exist yet, while other connections and processes go on reading and writing. The
// copy holds everything committed before it began. On Postgres it fails with
// Invalid: pg_dump does that better.
func (d *DB) BackupTo(ctx context.Context, path string) error {
	if d.Dialect != SQLite {
		return invalid("", "backup_engine", nil)
	}
	// Not on the writer's one connection, which would stop every write meanwhile;
	// and not on a reader's, which are read-only.
	var file string
	if err := d.sqlR.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file); err != nil {
		return fmt.Errorf("models: backup: %w", err)
	}
	// VACUUM INTO takes an empty file, and leaves its mode alone.
	empty, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = empty.Close()
	}
	if err != nil {
		return fmt.Errorf("models: backup: %w", err)
	}
	conn, err := sql.Open("sqlite", sqliteFile(file)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("models: backup: %w", err)
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", path)
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("models: backup: %w", err)
	}
	return nil
}

// InspectCopy opens a SQLite file that nobody is using, checks it from end to end,
// and counts its rows. Any fault found in the file is an error.
func InspectCopy(ctx context.Context, path string) (info CopyInfo, err error) {
	// immutable: a file on a read-only disk can be inspected, and nothing is
	// created beside it.
	db, err := sql.Open("sqlite", sqliteFile(path)+"?mode=ro&immutable=1")
	if err != nil {
		return info, fmt.Errorf("models: inspect copy: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return info, fmt.Errorf("models: inspect copy: %w", err)
	}
	if verdict != "ok" {
		return info, fmt.Errorf("models: inspect copy: %s", verdict)
	}
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&info.Schema); err != nil {
		return info, fmt.Errorf("models: inspect copy: not a database of ours: %w", err)
	}
	info.Rows, err = countRows(ctx, db)
	return info, err
}

// TryCopyKey proves that a key opens what is sealed in a copy, as Store.TryKey does
// for a database that is in use.
func TryCopyKey(ctx context.Context, path string, keys *Keyring) (err error) {
	db, err := sql.Open("sqlite", sqliteFile(path)+"?mode=ro&immutable=1")
	if err != nil {
		return fmt.Errorf("models: try copy key: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var sealed []byte
	err = db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", canaryKey).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // never started: nothing was sealed
	}
	if err != nil {
		return fmt.Errorf("models: try copy key: %w", err)
	}
	return keys.openCanary(sealed)
}

func countRows(ctx context.Context, db *sql.DB) (map[string]int64, error) {
	var names string
	if err := db.QueryRowContext(ctx, "SELECT group_concat(name, '/') FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").Scan(&names); err != nil {
		return nil, fmt.Errorf("models: inspect copy: tables: %w", err)
	}
	rows := map[string]int64{}
	for name := range strings.SplitSeq(names, "/") {
		var n int64
		// The name comes from the schema itself, and is quoted.
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`).Scan(&n); err != nil {
			return nil, fmt.Errorf("models: inspect copy: %s: %w", name, err)
		}
		rows[name] = n
	}
	return rows, nil
}
