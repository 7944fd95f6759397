package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hongyan/models"
)

// manifestFile says what a backup holds; restore trusts nothing without it.
const manifestFile = "manifest.json"

// manifest describes a backup folder.
type manifest struct {
	Program   string                     `json:"program"` // version that made it
	At        time.Time                  `json:"at"`
	Databases map[string]models.CopyInfo `json:"databases"` // by file name
	Key       bool                       `json:"key"`       // secret.key is in the folder
}

// databaseFile is one SQLite file of an installation and its name in a backup.
type databaseFile struct{ name, path string }

// databaseFiles lists the SQLite files of an installation, the main one first.
func databaseFiles(cfg Config) []databaseFile {
	out := []databaseFile{{"hongyan.db", cfg.Database()}}
	for _, r := range cfg.Regions {
		same := func(f databaseFile) bool { return f.path == r.Database }
		if r.Database != "" && !slices.ContainsFunc(out, same) {
			out = append(out, databaseFile{"region-" + r.ID + ".db", r.Database})
		}
	}
	return out
}

// backupCommand copies a SQLite installation, running or not, and reads the copy
// back from end to end. On Postgres it prints the commands that do this there.
func backupCommand(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("backup", flag.ContinueOnError)
	withoutKey := f.Bool("without-key", false, "leave the secret key out, to keep it elsewhere")
	if err := call.flags(f, 1); err != nil {
		return err
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	if !cfg.SQLite() {
		printDump(call, cfg)
		if f.NArg() > 0 {
			// Whoever names a folder expects something in it.
			return errors.New("nothing was copied: run the commands above")
		}
		return nil
	}
	dir := f.Arg(0)
	if dir == "" {
		dir = "hongyan-backup-" + time.Now().UTC().Format("20060102T150405Z")
	}
	m, err := writeBackup(ctx, call, cfg, dir, *withoutKey)
	if err != nil {
		return err
	}
	var rows int64
	for _, info := range m.Databases {
		for _, n := range info.Rows {
			rows += n
		}
	}
	fmt.Fprintf(call.out, "Backup in %s: %d database(s), schema %d, %d rows, read back and found whole.\n", dir, len(m.Databases), m.Databases["hongyan.db"].Schema, rows)
	if m.Key {
		fmt.Fprintf(call.out, "It holds the secret key (%s): whoever reads this folder can open every secret in it. Keep it as safe as the server.\n", keyFile)
	} else {
		fmt.Fprintln(call.out, "It does NOT hold the secret key. Without that key no secret in it can be opened: keep a copy of SECRET_KEY elsewhere.")
	}
	fmt.Fprintf(call.out, "Put it back with: hongyan restore %s\n", dir)
	return nil
}

func writeBackup(ctx context.Context, call invocation, cfg Config, dir string, withoutKey bool) (manifest, error) {
	m := manifest{Program: version(), At: time.Now().UTC().Truncate(time.Second), Databases: map[string]models.CopyInfo{}}
	if _, err := os.Stat(cfg.Database()); err != nil {
		return m, fmt.Errorf("there is nothing to back up: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return m, err
	}
	// Mkdir and not MkdirAll: never into a folder that holds something.
	if err := os.Mkdir(dir, 0o700); err != nil {
		return m, err
	}
	store, err := openStore(ctx, cfg, newLogger(cfg, call.err), false)
	if err != nil {
		return m, err
	}
	defer store.Close() //nolint:errcheck // it was only read
	files := databaseFiles(cfg)
	for i, d := range store.Databases() {
		target := filepath.Join(dir, files[i].name)
		if err := d.BackupTo(ctx, target); err != nil {
			return m, err
		}
		if m.Databases[files[i].name], err = models.InspectCopy(ctx, target); err != nil {
			return m, fmt.Errorf("the copy is not sound, do not use it: %w", err)
		}
	}
	// A key given by SECRET_KEY is the operator's to keep; only a generated one
	// exists nowhere else.
	if key, err := os.ReadFile(filepath.Join(cfg.DataDir, keyFile)); err == nil && !withoutKey && cfg.SecretKey == "" {
		if err := os.WriteFile(filepath.Join(dir, keyFile), key, 0o600); err != nil {
			return m, err
		}
		m.Key = true
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	// Last, so that a backup cut short is not taken for a whole one.
	if err := os.WriteFile(filepath.Join(dir, manifestFile), append(text, '\n'), 0o600); err != nil {
		return m, err
	}
	return m, syncDir(dir)
}

// printDump prints the exact commands for Postgres. The password is not printed:
// pg_dump asks for it, or takes PGPASSWORD or ~/.pgpass.
func printDump(call invocation, cfg Config) {
	fmt.Fprintln(call.out, "This installation keeps its data in Postgres. Back it up while it runs with:")
	for _, d := range postgresDatabases(cfg) {
		fmt.Fprintf(call.out, "\n  pg_dump --format=custom --file=%s.dump '%s'\n", d.name, d.path)
	}
	fmt.Fprintln(call.out, "\nand put it back, with every hongyan process stopped, with (the first line empties the database):")
	for _, d := range postgresDatabases(cfg) {
		// Not pg_restore --clean: it cannot drop what partitions inherit. One
		// transaction: all of it or nothing.
		fmt.Fprintf(call.out, "\n  psql --command='DROP SCHEMA IF EXISTS public CASCADE' --command='CREATE SCHEMA public' '%s'\n", d.path)
		fmt.Fprintf(call.out, "  pg_restore --no-owner --single-transaction --dbname='%s' %s.dump\n", d.path, d.name)
	}
	fmt.Fprintln(call.out, "\nKeep SECRET_KEY with the dump, apart from it: without that key no secret in it can be opened.")
}

// postgresDatabases lists each Postgres database once, without its password.
func postgresDatabases(cfg Config) []databaseFile {
	seen := map[string]bool{}
	var out []databaseFile
	add := func(name, raw string) {
		u, err := url.Parse(raw)
		if err != nil || seen[raw] {
			return // an address that does not parse never got past loadConfig
		}
		seen[raw] = true
		if u.User != nil {
			u.User = url.User(u.User.Username())
		}
		q := u.Query()
		q.Del("password")
		u.RawQuery = q.Encode()
		out = append(out, databaseFile{name, strings.ReplaceAll(u.String(), "'", "%27")})
	}
	add("hongyan", cfg.DatabaseURL)
	for _, r := range cfg.Regions {
		if r.Database != "" {
			add("region-"+r.ID, r.Database)
		}
	}
	return out
}

// exists reports whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
