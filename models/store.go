package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Region is a 服务接入点: where the data of its products lives and which address
// serves their API. Regions are configuration, not rows.
type Region struct {
	ID     string `json:"id"`
	Zh     string `json:"zh"`
	En     string `json:"en"`
	Public string `json:"public_url"`
	// Database is a database of the region's own; "" shares the main one.
	Database string `json:"database_url"`
	// Prefix is the middle of an AccessID's first three digits, which tell the
	// platform and the region (spec: 150 Guangzhou, 158 Shanghai, …).
	Prefix int `json:"prefix"`
}

// Options says how to open a Store.
type Options struct {
	// Database is a postgres:// URL or the path of a SQLite file.
	Database string
	Regions  []Region
	// MaxConns limits Postgres connections per database; 0 for 16, or the
	// number of CPUs if that is more.
	MaxConns int
	// CommitRows is the most messages of one accepting transaction and Committers how
	// many run at once for each database; 0 for what was measured to be best.
	CommitRows, Committers int
	// Keys seals secrets and content at rest.
	Keys *Keyring
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Store is everything that is kept. It is safe for concurrent use.
type Store struct {
	*DB // the control plane
	// Regions in configured order.
	Regions []Region

	byRegion map[string]*DB
	unique   []*DB // each database once
	keys     *Keyring
	intake   intake
	presence presenceWriter
	control  control
}

// Open opens the control database and each region's. It does not migrate.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	clock := o.Now
	if clock == nil {
		clock = time.Now
	}
	// Both engines keep microseconds: a time read back equals the time written.
	now := func() time.Time { return clock().UTC().Truncate(time.Microsecond) }
	open := func(dsn string) (*DB, error) {
		return openDB(ctx, dbOptions{dsn: dsn, maxConns: o.MaxConns, keys: o.Keys, now: now, log: o.Log})
	}
	main, err := open(o.Database)
	if err != nil {
		return nil, err
	}
	s := &Store{DB: main, Regions: o.Regions, byRegion: map[string]*DB{}, unique: []*DB{main}, keys: o.Keys, control: newControl()}
	s.intake.rows, s.intake.atOnce = o.CommitRows, o.Committers
	byDSN := map[string]*DB{"": main, o.Database: main}
	for _, r := range o.Regions {
		d, ok := byDSN[r.Database]
		if !ok {
			if d, err = open(r.Database); err != nil {
				return nil, errors.Join(fmt.Errorf("models: open region %s: %w", r.ID, err), s.Close())
			}
			byDSN[r.Database] = d
			s.unique = append(s.unique, d)
		}
		s.byRegion[r.ID] = d
	}
	return s, nil
}

// Databases returns every database once, the control plane's first.
func (s *Store) Databases() []*DB { return s.unique }

// Migrate migrates (or checks) every database.
func (s *Store) Migrate(ctx context.Context, check bool) error {
	for _, d := range s.unique {
		if err := d.Migrate(ctx, check); err != nil {
			return err
		}
	}
	return nil
}

// Close closes every database.
func (s *Store) Close() error {
	var errs []error
	for _, d := range s.unique {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// region is the one place that decides which database holds a region's data.
func (s *Store) region(id string) (*DB, error) {
	if d, ok := s.byRegion[id]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("models: region %q is not configured", id)
}

// AppScope is the right to touch one app's data-plane rows. Only authenticators
// and the account-scoped app lookup make one, so a query without an access
// check does not compile.
type AppScope struct {
	appID     int64
	accountID int64
	db        *DB
}

// AppID returns the app's AccessID.
func (a AppScope) AppID() int64 { return a.appID }

// AccountID returns the main account that owns the app.
func (a AppScope) AccountID() int64 { return a.accountID }
