package models

import (
	"context"
	"encoding/json"
	"time"
)

// MaxRate is the most targets a second that an operator may allow a credential.
const MaxRate = 100000

// MaxDailyQuota is the most messages a day that an operator may say a vendor takes.
const MaxDailyQuota = 10_000_000_000

// RestCredential notes that a vendor's daily quota is used up until a moment, so that
// every process stops asking: vendors lower the quota of those who go on. The
// revision guards it as in PauseCredential: replaced says that the credential was
// changed or deleted since, so that the rest is none of its. It is for the worker.
func (s *Store) RestCredential(ctx context.Context, id, revision int64, until time.Time, code string) (replaced bool, err error) {
	var rows []Credential
	err = s.write(ctx, func(t *Tx) error {
		err := t.Raw(`UPDATE credentials SET rest_until = ?, rest_code = ?
			WHERE id = ? AND revision = ? AND (rest_until IS NULL OR rest_until < ?) RETURNING *`,
			until.UTC(), code, id, revision, until.UTC()).Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		return t.alertQuota(&rows[0])
	})
	if err != nil {
		return false, failed("rest credential", err)
	}
	if len(rows) == 0 { // it rests already, or is not what it was
		var n int64
		err = s.read(ctx).Model(&Credential{}).Where("id = ? AND revision = ?", id, revision).Count(&n).Error
		return err == nil && n == 0, failed("rest credential", err)
	}
	s.forgetOwner(rows[0].Owner())
	return false, nil
}

// maxClassRests is the most classes of one credential that rest at once: a message says
// what class it has, so there could be any number. Beyond it each process asks for
// itself.
const maxClassRests = 64

// RestBatches stands among Credential.ClassRests for the batches of a vendor that takes
// only so many a day; no push.Message.ClassTag is that short.
const RestBatches = "batches"

// classRests reads Credential.ClassRests.
func classRests(text string) map[string]time.Time {
	var seconds map[string]int64
	if text == "" || json.Unmarshal([]byte(text), &seconds) != nil {
		return nil
	}
	out := make(map[string]time.Time, len(seconds))
	for class, s := range seconds {
		out[class] = time.Unix(s, 0)
	}
	return out
}

// ClassesRest reports whether messages of some class of their own rest at a moment, and
// until when the last of these classes does.
func (c *Credential) ClassesRest(now time.Time) (until time.Time, rest bool) {
	for class, end := range classRests(c.ClassRests) {
		if class != RestBatches && end.After(now) && end.After(until) {
			until, rest = end, true
		}
	}
	return until, rest
}

// RestClass is RestCredential for the messages alone that have a class of their own with
// that push.Message.ClassTag: the vendor counts a day for each.
func (s *Store) RestClass(ctx context.Context, id, revision int64, class string, until time.Time) (replaced bool, err error) {
	var c Credential
	err = s.write(ctx, func(t *Tx) error {
		var rows []Credential
		if err := t.locked().Where("id = ? AND revision = ?", id, revision).Find(&rows).Error; err != nil || len(rows) == 0 {
			replaced = err == nil
			return err
		}
		c = rows[0]
		now, seconds := t.now(), map[string]int64{}
		for class, until := range classRests(c.ClassRests) {
			if until.After(now) {
				seconds[class] = until.Unix()
			}
		}
		if _, known := seconds[class]; !known && len(seconds) >= maxClassRests {
			return nil
		}
		seconds[class] = max(seconds[class], until.Add(time.Second-1).Unix()) // never before
		text, err := json.Marshal(seconds)
		if err != nil {
			return err
		}
		return t.Model(&Credential{}).Where("id = ?", id).UpdateColumn("class_rests", string(text)).Error
	})
	if err != nil {
		return false, failed("rest class", err)
	}
	if c.ID != 0 {
		s.forgetOwner(c.Owner())
	}
	return replaced, nil
}

// VendorRests takes a vendor's report that the day's quota is used up of messages of a
// class, "" for the credential's own. It may be repeated.
func (s *Store) VendorRests(ctx context.Context, from Reporter, class string, until time.Time, code string) error {
	var err error
	if class == "" {
		_, err = s.RestCredential(ctx, from.id, from.revision, until, code)
	} else {
		_, err = s.RestClass(ctx, from.id, from.revision, class, until)
	}
	return err
}

// processLife is after how long without a sign a working process does not count.
const processLife = 10 * time.Second

// Beat notes that a process works on this database and returns how many do, itself
// included: each then takes its share of a vendor's rate. On SQLite there is one.
func (d *DB) Beat(ctx context.Context, owner string) (working int, err error) {
	if d.Dialect == SQLite {
		return 1, nil
	}
	err = d.pool.QueryRow(ctx, `WITH me AS (
			INSERT INTO processes (owner, seen_at) VALUES ($1, clock_timestamp())
			ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at),
		gone AS (DELETE FROM processes WHERE owner <> $1 AND seen_at < clock_timestamp() - 10 * $2::interval)
		SELECT 1 + count(*) FROM processes WHERE owner <> $1 AND seen_at > clock_timestamp() - $2::interval`, owner, processLife).Scan(&working)
	return working, failed("beat", err)
}

// Leave takes a process that stops out of the count.
func (d *DB) Leave(ctx context.Context, owner string) error {
	if d.Dialect == SQLite {
		return nil
	}
	_, err := d.pool.Exec(ctx, `DELETE FROM processes WHERE owner = $1`, owner)
	return failed("leave", err)
}
