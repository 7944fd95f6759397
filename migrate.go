package main

import (
	"context"
	"flag"
	"fmt"
)

// migrateCommand brings every database to this program's schema, or with -check
// says whether it is there. It is what `serve` does at start, for installations
// that want it as a step of its own (MIGRATE=check).
func migrateCommand(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	check := f.Bool("check", false, "only say whether the schema is this program's")
	if err := call.flags(f, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	if cfg.SQLite() && !*check {
		unlock, err := lockDataDir(cfg.DataDir)
		if err != nil {
			return err
		}
		defer unlock() //nolint:errcheck // the process ends here
	}
	store, err := openStore(ctx, cfg, newLogger(cfg, call.err), !*check)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // every write was committed or reported
	if err := prepareStore(ctx, store, *check); err != nil {
		return err
	}
	for _, d := range store.Databases() {
		current, _, err := d.SchemaVersion(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(call.out, "%s: schema %d, up to date\n", d.Dialect, current)
	}
	return nil
}
