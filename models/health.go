package models

import (
	"context"
	"fmt"
	"time"
)

// ServerTime asks the database for its clock, in UTC. Leases are kept by it, so a
// process whose own clock is far off misjudges expiry. SQLite's clock is ours.
func (d *DB) ServerTime(ctx context.Context) (time.Time, error) {
	if d.Dialect == SQLite {
		return d.Now(), nil
	}
	var at time.Time
	if err := d.sqlR.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("models: server time: %w", err)
	}
	return at.UTC(), nil
}
