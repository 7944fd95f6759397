package models

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
)

// okEvery is how often a success is noted on a credential at most.
const okEvery = time.Minute

// CredentialTested records what a vendor said to a test of a credential's fields at
// a revision: code "" for a yes, which resumes a paused one; else it pauses it. An
// answer about an older revision is Conflict. NotFound; Forbidden without
// PermConfigure, on the IM side PermIM.
func (s *Store) CredentialTested(ctx context.Context, who Actor, o CredentialOwner, id, revision int64, code, text string) (*Credential, error) {
	var c Credential
	err := s.change(ctx, who, o.permission(), "test credential", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		err = t.locked().Where("account_id = ? AND owner_kind = ? AND owner_id = ? AND id = ?", who.AccountID, o.kind, o.id, id).Take(&c).Error
		if err != nil {
			return found(err, "")
		}
		if c.Revision != revision {
			return conflict("errors.changed_meanwhile", nil)
		}
		now := t.now()
		if code == "" {
			c.resume(true, now)
		} else {
			c.State, c.CauseCode, c.CauseText = CredentialPaused, code, text
			if c.PausedAt == nil {
				c.PausedAt = &now
			}
		}
		if err := t.Select("state", "cause_code", "cause_text", "paused_at", "last_ok_at").Updates(&c).Error; err != nil {
			return err
		}
		return t.audit(who, entry{
			action: ActionTest, kind: AuditCredential, id: id, name: own.name, product: own.product,
			after: facts{"channel": c.Channel, "environment": c.Environment, "state": c.State, "code": code},
		})
	})
	if err != nil {
		return nil, err
	}
	s.resumed(ctx, o, c)
	return &c, nil
}

// ResumeCredential lets a paused credential try again, as its operator asks.
// NotFound; Conflict when it is not paused; Forbidden as CredentialTested.
func (s *Store) ResumeCredential(ctx context.Context, who Actor, o CredentialOwner, id int64) error {
	var c Credential
	err := s.change(ctx, who, o.permission(), "resume credential", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		err = t.locked().Where("account_id = ? AND owner_kind = ? AND owner_id = ? AND id = ?", who.AccountID, o.kind, o.id, id).Take(&c).Error
		if err != nil {
			return found(err, "")
		}
		if c.State != CredentialPaused {
			return conflict("errors.changed_meanwhile", nil)
		}
		before := facts{"state": c.State, "code": c.CauseCode}
		c.resume(false, t.now())
		if err := t.Select("state", "cause_code", "cause_text", "paused_at").Updates(&c).Error; err != nil {
			return err
		}
		return t.audit(who, entry{
			action: ActionUpdate, kind: AuditCredential, id: id, name: own.name, product: own.product,
			before: before, after: facts{"state": c.State, "code": ""},
		})
	})
	if err != nil {
		return err
	}
	s.resumed(ctx, o, c)
	return nil
}

// PauseCredential pauses a credential that a vendor refused, and reports whether it
// did. The revision guards it: a repaired key is not paused by an old refusal. It is
// for the worker, and stands in the audit log as the program's act.
func (s *Store) PauseCredential(ctx context.Context, id, revision int64, code, text string) (bool, error) {
	var rows []Credential
	err := s.write(ctx, func(t *Tx) error {
		now := t.now()
		err := t.Raw(`UPDATE credentials SET state = ?, cause_code = ?, cause_text = ?, paused_at = ?
			WHERE id = ? AND revision = ? AND state <> ? RETURNING *`,
			CredentialPaused, code, text, now, id, revision, CredentialPaused).Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		c := &rows[0]
		var app App
		if c.OwnerKind == ownerApp {
			if err := t.Where("id = ?", c.OwnerID).Take(&app).Error; err != nil {
				return found(err, "")
			}
		}
		if err := t.alertPaused(c); err != nil {
			return err
		}
		return t.audit(SystemActor(c.AccountID), entry{
			action: ActionPause, kind: AuditCredential, id: id, name: app.Name, product: app.ProductID,
			after: facts{"channel": c.Channel, "environment": c.Environment, "state": c.State, "code": code},
		})
	})
	if err != nil || len(rows) == 0 {
		return false, failed("pause credential", err)
	}
	s.forgetOwner(rows[0].Owner())
	return true, nil
}

// CredentialWorked notes that the vendor accepted something sent with the
// credential, at most once a minute. The revision guards it as above, and a paused
// one stays paused. quota is what the vendor said of it by the way. It is for the
// worker.
func (s *Store) CredentialWorked(ctx context.Context, id, revision int64, quota Quota) error {
	now := s.Now()
	// Read first: nearly always there is nothing to note, and a write would wait in
	// line with the messages.
	stale := func(q *gorm.DB) *gorm.DB {
		return q.Model(&Credential{}).
			Where("id = ? AND revision = ? AND state <> ?", id, revision, CredentialPaused).
			Where("state <> ? OR last_ok_at IS NULL OR last_ok_at <= ?", CredentialWorking, now.Add(-okEvery))
	}
	var n int64
	if err := stale(s.read(ctx)).Count(&n).Error; err != nil || n == 0 {
		return failed("credential worked", err)
	}
	return failed("credential worked", s.write(ctx, func(t *Tx) error {
		set := map[string]any{"state": CredentialWorking, "last_ok_at": now}
		if quota.Limit > 0 {
			set["quota_limit"], set["quota_used"], set["quota_at"] = quota.Limit, quota.Used, now
		}
		return stale(t.DB).UpdateColumns(set).Error
	}))
}

// forgetOwner makes this process see a change of an owner's credentials at once.
func (s *Store) forgetOwner(o CredentialOwner) {
	if o.kind == ownerApp {
		s.forgetApp(o.id)
	}
}

// resumed makes the work of credentials that are not paused due at once, and what
// waited out a rest unless the rest goes on. Should it fail, ResumeRepaired comes by later: the change itself is done.
func (s *Store) resumed(ctx context.Context, o CredentialOwner, credentials ...Credential) {
	s.forgetOwner(o)
	if o.kind != ownerApp {
		return
	}
	db, err := s.appDB(ctx, o.id)
	for _, c := range credentials {
		if err == nil && c.State != CredentialPaused {
			_, err = db.ResumeBatches(ctx, c.ID, c.RestUntil == nil)
		}
	}
	if err != nil {
		s.log.Warn("work of a resumed credential not woken", "error", err)
	}
}

// appDB returns the database that holds an app's data plane, also a deleted one's.
func (s *Store) appDB(ctx context.Context, appID int64) (*DB, error) {
	var regions []string
	err := s.read(ctx).Model(&App{}).Where("id = ?", appID).Pluck("region", &regions).Error
	if err != nil {
		return nil, err
	}
	if len(regions) == 0 {
		return nil, notFound("")
	}
	return s.region(regions[0])
}

// ResumeRepaired makes work due that waits for credentials which are no longer
// paused, do not rest any more because they were changed, or are gone. It closes the
// gap between a repair in the control plane and the waiting work in a region's
// database: another process may go on with the old settings for a second. The worker
// calls it now and then. It returns how many credentials had work woken.
func (s *Store) ResumeRepaired(ctx context.Context) (int, error) {
	woken := map[int64]bool{}
	for _, d := range s.unique {
		waiting, err := d.WaitingWork(ctx)
		if err != nil {
			return len(woken), failed("resume repaired", err)
		}
		if len(waiting) == 0 {
			continue
		}
		known, err := s.credentialsOf(ctx, waiting)
		if err != nil {
			return len(woken), failed("resume repaired", err)
		}
		now := s.Now()
		for _, w := range waiting {
			if c, ok := known[w.CredentialID]; ok && c.holds(w, now) {
				continue
			}
			if _, err := d.ResumeBatches(ctx, w.CredentialID, !w.Paused); err != nil {
				return len(woken), failed("resume repaired", err)
			}
			woken[w.CredentialID] = true
		}
	}
	return len(woken), nil
}

func (s *Store) credentialsOf(ctx context.Context, waiting []Waiting) (map[int64]*Credential, error) {
	ids := make([]int64, len(waiting))
	for i, w := range waiting {
		ids[i] = w.CredentialID
	}
	slices.Sort(ids)
	var rows []Credential
	err := s.read(ctx).Select("id", "revision", "state", "rest_until").Where("id IN ?", slices.Compact(ids)).Find(&rows).Error
	out := make(map[int64]*Credential, len(rows))
	for i := range rows {
		out[rows[i].ID] = &rows[i]
	}
	return out, err
}

// holds reports whether work still has to wait for the credential. A rest that ends
// by itself needs nobody to end it.
func (c *Credential) holds(w Waiting, now time.Time) bool {
	if w.Paused {
		return c.State == CredentialPaused
	}
	return c.Revision == w.RestRevision || c.State == CredentialPaused || c.RestUntil != nil && c.RestUntil.After(now)
}
