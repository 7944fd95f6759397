package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"hongyan/models"
)

// restoreCommand puts a backup made by backupCommand into DATA_DIR. It needs the
// server to be stopped, verifies the backup before it touches anything, and moves
// what was there aside instead of deleting it.
func restoreCommand(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("restore", flag.ContinueOnError)
	force := f.Bool("force", false, "move the database that is there aside")
	if err := call.flags(f, 1); err != nil {
		return err
	}
	if f.NArg() != 1 {
		fmt.Fprintln(call.err, "hongyan restore: which backup folder?")
		return errUsage
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	if !cfg.SQLite() {
		printDump(call, cfg)
		return errors.New("nothing was restored: run the commands above")
	}
	m, err := verifyBackup(ctx, f.Arg(0))
	if err != nil {
		return err
	}
	unlock, err := lockDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	err = tryBackupKey(ctx, cfg, f.Arg(0), m)
	if err == nil {
		err = replaceData(cfg, f.Arg(0), m, *force, time.Now())
	}
	if err == nil {
		err = proveRestored(ctx, call, cfg)
	}
	if err = errors.Join(err, unlock()); err != nil {
		return err
	}
	fmt.Fprintf(call.out, "Restored the backup of %s into %s. Start the console again.\n", m.At.Format(time.RFC3339), cfg.DataDir)
	return nil
}

// verifyBackup reads a backup from end to end against its manifest.
func verifyBackup(ctx context.Context, dir string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, fmt.Errorf("not a backup, or one that was cut short: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestFile, err)
	}
	for name, want := range m.Databases {
		// The name becomes part of a path: it must not lead out of the folder.
		if name != filepath.Base(name) {
			return m, fmt.Errorf("%s names a file outside the folder", manifestFile)
		}
		got, err := models.InspectCopy(ctx, filepath.Join(dir, name))
		if err != nil {
			return m, fmt.Errorf("%s: %w", name, err)
		}
		if got.Schema != want.Schema || !maps.Equal(got.Rows, want.Rows) {
			return m, fmt.Errorf("%s does not hold what its manifest says", name)
		}
	}
	return m, nil
}

// tryBackupKey opens the backup with the key that it would be opened with once it is
// in place, before anything is touched.
func tryBackupKey(ctx context.Context, cfg Config, dir string, m manifest) error {
	if cfg.SecretKey == "" && m.Key {
		cfg.DataDir = dir
	}
	text := cfg.SecretKey.Reveal()
	if text == "" {
		file, err := os.ReadFile(filepath.Join(cfg.DataDir, keyFile))
		if err != nil {
			return fmt.Errorf("the backup does not hold its secret key: put the key there, or set SECRET_KEY: %w", err)
		}
		text = string(file)
	}
	keys, err := models.NewKeyring(text)
	if err != nil {
		return err
	}
	for name := range m.Databases {
		if err := models.TryCopyKey(ctx, filepath.Join(dir, name), keys); err != nil {
			return fmt.Errorf("nothing was touched; set SECRET_KEY to the key of the backup: %s: %w", name, err)
		}
	}
	return nil
}

// replaceData moves the present files aside and copies the backup's into place.
func replaceData(cfg Config, dir string, m manifest, force bool, now time.Time) error {
	files := databaseFiles(cfg)
	for _, f := range files {
		if _, ok := m.Databases[f.name]; !ok {
			return fmt.Errorf("the backup has no %s, which REGIONS names", f.name)
		}
	}
	if there, err := exists(cfg.Database()); err != nil || (there && !force) {
		return errors.Join(err, fmt.Errorf("%s is there already; -force moves it aside", cfg.Database()))
	}
	type move struct{ from, to string }
	moves := []move{}
	for _, f := range files {
		moves = append(moves, move{filepath.Join(dir, f.name), f.path})
	}
	if m.Key && cfg.SecretKey == "" {
		moves = append(moves, move{filepath.Join(dir, keyFile), filepath.Join(cfg.DataDir, keyFile)})
	}
	suffix := ".before-" + now.UTC().Format("20060102T150405Z")
	for _, mv := range moves {
		// -wal and -shm belong to the file beside them; left behind they would be
		// replayed into the restored one.
		for _, part := range []string{"", "-wal", "-shm"} {
			there, err := exists(mv.to + part)
			if err == nil && there {
				err = os.Rename(mv.to+part, mv.to+suffix+part)
			}
			if err != nil {
				return err
			}
		}
		if err := copyFile(mv.from, mv.to); err != nil {
			return err
		}
	}
	return syncDir(cfg.DataDir)
}

// copyFile copies a file durably, for its owner's eyes only.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}

// proveRestored opens what was restored with the key it will be opened with.
func proveRestored(ctx context.Context, call invocation, cfg Config) (err error) {
	store, err := openStore(ctx, cfg, newLogger(cfg, call.err), false)
	if err != nil {
		return fmt.Errorf("restored, but it does not open: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.CheckKey(ctx); err != nil {
		return fmt.Errorf("restored, but its key is another (set SECRET_KEY to the key of the backup): %w", err)
	}
	return nil
}
