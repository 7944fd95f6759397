package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"hongyan/models"
)

// keyFile is where a SQLite installation keeps its generated secret key.
const keyFile = "secret.key"

// keyBytes is the length of a generated key.
const keyBytes = 32

// secretKeyOf returns the installation's secret key. With SQLite it may be made
// here, once: make is true for a process that holds the data folder.
func secretKeyOf(cfg Config, make bool) (models.Secret, error) {
	if cfg.SecretKey != "" {
		return cfg.SecretKey, nil
	}
	path := filepath.Join(cfg.DataDir, keyFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		key := models.Secret(strings.TrimSpace(string(text)))
		if _, err := models.NewKeyring(key.Reveal()); err != nil {
			return "", fmt.Errorf("secret key: %s does not hold a key: put the file back, or set SECRET_KEY", path)
		}
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("secret key: %w", err)
	}
	// A new key beside an old database would open nothing that is sealed in it.
	if _, err := os.Stat(cfg.Database()); err == nil {
		return "", fmt.Errorf("secret key: the database %s is there, but its key %s is not: put the file back, or set SECRET_KEY", cfg.Database(), path)
	}
	if !make {
		return "", fmt.Errorf("secret key: %s is not there; has the console been started here yet?", path)
	}
	return newKeyFile(path)
}

// newKeyFile generates a key and writes it so that it survives a crash: a database
// whose key was lost could not be opened again.
func newKeyFile(path string) (models.Secret, error) {
	raw := [keyBytes]byte{}
	_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
	text := base64.StdEncoding.EncodeToString(raw[:])
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("secret key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return "", fmt.Errorf("secret key: %w", err)
	}
	return models.Secret(text), nil
}

// syncDir makes the names of new files in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openStore opens the databases without migrating them.
func openStore(ctx context.Context, cfg Config, log *slog.Logger, makeKey bool) (*models.Store, error) {
	key, err := secretKeyOf(cfg, makeKey)
	if err != nil {
		return nil, err
	}
	keys, err := models.NewKeyring(key.Reveal())
	if err != nil {
		return nil, err
	}
	return models.Open(ctx, models.Options{
		Database: cfg.Database(), Regions: cfg.Regions, MaxConns: cfg.MaxConns, Keys: keys, Log: log,
	})
}

// withStore opens a ready store for one of the commands that work beside a running
// server or before the first one, calls fn, and closes it. It migrates when no
// server holds the data folder, as serve would.
func withStore(ctx context.Context, cfg Config, log *slog.Logger, fn func(*models.Store) error) (err error) {
	check := cfg.CheckOnly
	if cfg.SQLite() {
		unlock, lerr := lockDataDir(cfg.DataDir)
		switch {
		case errors.Is(lerr, errLocked):
			check = true // the server that holds it has migrated
		case lerr != nil:
			return lerr
		default:
			defer func() { err = errors.Join(err, unlock()) }()
		}
	}
	store, err := openStore(ctx, cfg, log, !check)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := prepareStore(ctx, store, check); err != nil {
		return err
	}
	return fn(store)
}

// prepareStore migrates (or checks) every database and proves that the secret key
// is the one they were sealed with.
func prepareStore(ctx context.Context, store *models.Store, check bool) error {
	if err := store.Migrate(ctx, check); err != nil {
		return err
	}
	return store.CheckKey(ctx)
}

// newLogger returns the program's logger.
func newLogger(cfg Config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
