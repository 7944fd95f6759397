package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"hongyan/models"
	"hongyan/static"
)

// clockSkewNoted is how far this machine's clock may be from the database's: lease
// and expiry times are compared over processes.
const clockSkewNoted = 2 * time.Second

// doctorTimeout bounds the whole examination.
const doctorTimeout = 30 * time.Second

// errUnwell is doctor's verdict; the findings have been printed.
var errUnwell = errors.New("something is wrong, see above")

// findings prints one line per check and remembers the worst.
type findings struct {
	call invocation
	bad  bool
}

func (f *findings) ok(what, format string, args ...any)   { f.line("ok  ", what, format, args...) }
func (f *findings) note(what, format string, args ...any) { f.line("note", what, format, args...) }
func (f *findings) fail(what, format string, args ...any) {
	f.bad = true
	f.line("FAIL", what, format, args...)
}

func (f *findings) line(mark, what, format string, args ...any) {
	fmt.Fprintf(f.call.out, "%s  %-14s %s\n", mark, what, fmt.Sprintf(format, args...))
}

// doctorCommand examines the installation without changing it, and goes on after a
// finding, so that one run names everything.
func doctorCommand(ctx context.Context, call invocation) error {
	if err := call.flags(flag.NewFlagSet("doctor", flag.ContinueOnError), 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	f := &findings{call: call}
	fmt.Fprintln(call.out, "hongyan", version())
	cfg, err := loadConfig(call.env)
	var bad *configError
	switch {
	case errors.As(err, &bad):
		for _, p := range bad.problems {
			f.fail("configuration", "%s", p)
		}
		return errUnwell // the rest would be judged by half a configuration
	case err != nil:
		return err
	}
	f.ok("configuration", "%d settings, %d regions", len(cfg.dump), len(cfg.Regions))
	fmt.Fprint(call.out, cfg.Dump())
	checkAddresses(f, cfg)
	checkCertificate(f, cfg)
	checkDisk(f, cfg)
	checkAssets(f)
	checkDatabases(ctx, f, cfg)
	checkXMPP(ctx, f, cfg)
	if f.bad {
		return errUnwell
	}
	return nil
}

func checkAddresses(f *findings, cfg Config) {
	if cfg.PublicURL == "" {
		f.note("address", "PUBLIC_URL is not set: links and ingest addresses show whatever host a browser used")
	}
	if len(cfg.Proxies) == 0 && cfg.PublicURL != "" {
		f.note("address", "TRUSTED_PROXIES is not set: behind a proxy every visitor has the proxy's address, and throttling hits all at once")
	}
}

func checkDisk(f *findings, cfg Config) {
	if !cfg.SQLite() {
		return // the disk that matters is the database server's
	}
	there, err := exists(cfg.DataDir)
	if err == nil && !there {
		f.note("disk", "%s is not there yet; the first start makes it", cfg.DataDir)
		return
	}
	free, err := models.DiskFree(cfg.DataDir)
	switch {
	case err != nil:
		f.fail("disk", "%v", err)
	case free < cfg.DiskMinFree:
		f.fail("disk", "%d MB free in %s, DISK_MIN_FREE is %d MB: new messages are refused", free/1e6, cfg.DataDir, cfg.DiskMinFree/1e6)
	default:
		f.ok("disk", "%d MB free in %s", free/1e6, cfg.DataDir)
	}
}

func checkDatabases(ctx context.Context, f *findings, cfg Config) {
	if cfg.SQLite() {
		there, err := exists(cfg.Database())
		if err == nil && !there {
			f.note("database", "%s is not there yet; the first start makes it", cfg.Database())
			return
		}
	}
	store, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler), false)
	if err != nil {
		f.fail("database", "%v", err)
		return
	}
	defer store.Close() //nolint:errcheck // it was only read
	whole := true
	for i, d := range store.Databases() {
		whole = checkDatabase(ctx, f, fmt.Sprintf("database %d", i+1), d) && whole
	}
	if !whole {
		return // without its tables the key cannot be tried
	}
	if err := store.TryKey(ctx); err != nil {
		f.fail("secret key", "%v", err)
		return
	}
	f.ok("secret key", "opens what the database was sealed with")
}

// checkDatabase reports whether the database has this program's tables.
func checkDatabase(ctx context.Context, f *findings, name string, d *models.DB) (whole bool) {
	current, target, err := d.SchemaVersion(ctx)
	switch {
	case err != nil:
		f.fail(name, "%v", err)
		return false
	case current < target:
		f.fail(name, "%s answers; schema %d, this program needs %d: start it, or run `hongyan migrate`", d.Dialect, current, target)
	case current > target:
		f.fail(name, "%s answers; schema %d is newer than this program's %d: start a newer program", d.Dialect, current, target)
	default:
		f.ok(name, "%s answers; schema %d", d.Dialect, current)
	}
	whole = current == target
	before := time.Now()
	at, err := d.ServerTime(ctx)
	if err != nil {
		f.fail("clock", "%v", err)
		return whole
	}
	// The answer was made somewhere within the round trip.
	skew := at.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > clockSkewNoted {
		f.fail("clock", "the clock of %s is %s off this machine's: synchronise both (NTP)", name, skew)
		return whole
	}
	f.ok("clock", "%s off %s", skew, name)
	return whole
}

// checkAssets says whether this binary was built with the third-party browser files.
func checkAssets(f *findings) {
	assets, err := static.New()
	if err != nil {
		f.fail("pages", "%v", err)
		return
	}
	if missing := assets.Missing(); len(missing) > 0 {
		f.fail("pages", "built without %v: run `make assets` and build again", missing)
		return
	}
	f.ok("pages", "all browser files are in the program")
}
