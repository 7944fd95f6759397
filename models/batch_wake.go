package models

import (
	"context"
	"fmt"
	"time"
)

// ResumeBatches makes a credential's paused batches due at once and returns how
// many there were. Call it after the credential's own commit.
//
// rested says that its daily rest is over too, before its time: then what waited out
// the rest is due as well, as soon as every process knows. A process that does not
// would put it off for the rest again.
func (d *DB) ResumeBatches(ctx context.Context, credentialID int64, rested bool) (int, error) {
	n, err := d.makeDue(ctx, d.Now(), "due_at IS NULL AND credential_id = ? AND credential_id <> 0", credentialID)
	if err == nil && rested {
		var more int
		// Not what is due by itself: a process may have it in hand, and neither its lease
		// nor its results may be taken from it.
		at := d.Now().Add(restWake)
		more, err = d.makeDue(ctx, at, "rest_revision <> 0 AND owner = '' AND credential_id = ? AND due_at > ?", credentialID, at)
		n += more
	}
	if err != nil {
		return n, fmt.Errorf("models: resume batches: %w", err)
	}
	return n, nil
}

// DueExpired makes paused batches due in which a message has expired, so that
// the worker records it, and returns how many there were.
func (d *DB) DueExpired(ctx context.Context) (int, error) {
	n, err := d.makeDue(ctx, d.Now(), "due_at IS NULL AND expires_at <= ?", d.Now())
	if err != nil {
		return 0, fmt.Errorf("models: due expired: %w", err)
	}
	return n, nil
}

// restWake is when what waited out a rest is due that was ended: longer than any
// process believes old settings.
const restWake = cacheLife + cacheLife/2

func (d *DB) makeDue(ctx context.Context, at time.Time, cond string, args ...any) (n int, err error) {
	err = d.write(ctx, func(t *Tx) error {
		r := t.Exec("UPDATE batches SET due_at = ?, owner = '', lease_until = NULL, rest_revision = 0 FROM (SELECT id FROM batches WHERE "+
			cond+d.lockInOrder()+") l WHERE batches.id = l.id", append([]any{at}, args...)...)
		n = int(r.RowsAffected)
		return r.Error
	})
	return n, err
}

// Waiting is work that waits for a credential.
type Waiting struct {
	CredentialID int64
	// Paused: it waits for the credential to be repaired.
	Paused bool
	// RestRevision is the revision whose used-up quota it waits out, 0 for none.
	RestRevision int64
}

// WaitingWork returns what waits for a credential's repair or rest. The worker's
// upkeep resumes what has nothing to wait for any more: a batch may be recorded as
// waiting just after its credential was repaired.
func (d *DB) WaitingWork(ctx context.Context) (out []Waiting, err error) {
	// Two queries, each with an index of its own.
	for _, q := range []string{
		"SELECT DISTINCT credential_id, rest_revision, (1 = 1) AS paused FROM batches WHERE due_at IS NULL AND credential_id <> 0",
		"SELECT DISTINCT credential_id, rest_revision, (1 = 0) AS paused FROM batches WHERE rest_revision <> 0 AND owner = '' AND due_at IS NOT NULL",
	} {
		var some []Waiting
		if err := d.read(ctx).Raw(q).Scan(&some).Error; err != nil {
			return nil, fmt.Errorf("models: waiting work: %w", err)
		}
		out = append(out, some...)
	}
	return out, nil
}
