package models

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"
)

// Codes of ours on an alert that could not be delivered.
const (
	AlertCodeOff    = "hy_off"    // the hook was turned off while it waited
	AlertCodeSealed = "hy_sealed" // the stored address does not open
)

// How alerts are retried and kept.
const (
	alertLife    = 24 * time.Hour      // after which one is given up
	alertLog     = 90 * 24 * time.Hour // how long the log is kept
	alertTaken   = 2 * time.Minute     // a try whose process died is repeated after this
	alertFirst   = 30 * time.Second    // the first wait; each further one is twice as long
	alertLongest = time.Hour           // the longest
)

// AlertTarget is a hook opened for sending, with what the text needs of its account.
// It must not reach a page or a log.
type AlertTarget struct {
	Hook    AlertHook
	URL     Secret
	Secret  Secret
	Account Account
}

// DueAlert is an alert whose time has come. Target is nil when its hook does not open.
type DueAlert struct {
	Alert
	Target *AlertTarget
}

// DueAlerts returns alerts of hooks that are on and whose time has come, the oldest
// first, and so many of one hook at the most: one with a long queue does not keep the
// others from their turn. It is for the upkeep that delivers them.
func (s *Store) DueAlerts(ctx context.Context, limit, ofHook int) ([]DueAlert, error) {
	var rows []Alert
	err := s.read(ctx).Raw(`SELECT * FROM (
			SELECT a.*, ROW_NUMBER() OVER (PARTITION BY a.hook_id ORDER BY a.due_at, a.id) AS nth
			FROM alerts a JOIN alert_hooks h ON h.id = a.hook_id AND h.account_id = a.account_id
			WHERE a.state = ? AND a.due_at <= ? AND h.enabled = ?) due
		WHERE nth <= ? ORDER BY due_at, id LIMIT ?`, AlertWaiting, s.Now(), true, ofHook, limit).Scan(&rows).Error
	if err != nil {
		return nil, failed("due alerts", err)
	}
	opened := map[int64]*AlertTarget{}
	out := make([]DueAlert, len(rows))
	for i, a := range rows {
		t, done := opened[a.HookID]
		if !done {
			if t, err = s.AlertTarget(ctx, SystemActor(a.AccountID), a.HookID); err != nil {
				s.log.Warn("alert hook not opened", "hook", a.HookID, "error", err)
			}
			opened[a.HookID] = t
		}
		out[i] = DueAlert{Alert: a, Target: t}
	}
	return out, nil
}

// AlertTarget opens one of the account's hooks for sending. NotFound; Forbidden
// without PermMain.
func (s *Store) AlertTarget(ctx context.Context, who Actor, id int64) (*AlertTarget, error) {
	h, err := s.AlertHookByID(ctx, who, id)
	if err != nil {
		return nil, err
	}
	account, err := s.Account(ctx, who)
	if err != nil {
		return nil, err
	}
	address, err := s.keys.Open(h.SealedURL, hookPlace("url", h.ID))
	if err != nil {
		return nil, err
	}
	t := &AlertTarget{Hook: *h, URL: Secret(address), Account: *account}
	if h.Signed() {
		secret, err := s.keys.Open(h.SealedSecret, hookPlace("secret", h.ID))
		if err != nil {
			return nil, err
		}
		t.Secret = Secret(secret)
	}
	return t, nil
}

// TakeAlert notes a try before it is made and reports whether the alert is still to be
// sent: two processes never make the same one.
func (s *Store) TakeAlert(ctx context.Context, a *Alert) (bool, error) {
	var n int64
	err := s.write(ctx, func(t *Tx) error {
		r := t.Exec(`UPDATE alerts SET tries = tries + 1, due_at = ? WHERE id = ? AND account_id = ? AND state = ? AND tries = ?
			AND EXISTS (SELECT 1 FROM alert_hooks h WHERE h.id = alerts.hook_id AND h.enabled = ?)`,
			t.now().Add(alertTaken), a.ID, a.AccountID, AlertWaiting, a.Tries, true)
		n = r.RowsAffected
		return r.Error
	})
	if err != nil || n == 0 {
		return false, failed("take alert", err)
	}
	a.Tries++
	return true, nil
}

// AlertResult is what came of a try. Code and Text are empty for a yes; Text must be
// fit to be shown.
type AlertResult struct {
	OK         bool
	Code, Text string
	// Wait is what the receiving side asked for before the next try.
	Wait time.Duration
	// Final says that no further try can help.
	Final bool
}

// EndAlert records what came of a try that TakeAlert allowed: sent, tried again later,
// or given up after a day. It changes nothing when the alert moved on meanwhile.
func (s *Store) EndAlert(ctx context.Context, a *Alert, r AlertResult) error {
	return failed("end alert", s.write(ctx, func(t *Tx) error {
		now := t.now()
		row := map[string]any{"error_code": r.Code, "error_text": r.Text}
		next := now.Add(max(alertWait(a.Tries), min(r.Wait, alertLongest)))
		switch {
		case r.OK:
			row["state"], row["done_at"] = AlertSent, now
		case r.Final, next.After(a.CreatedAt.Add(alertLife)):
			row["state"], row["done_at"] = AlertFailed, now
		default:
			row["due_at"] = next
		}
		return t.Model(&Alert{}).Where("id = ? AND account_id = ? AND state = ? AND tries = ?", a.ID, a.AccountID, AlertWaiting, a.Tries).
			UpdateColumns(row).Error
	}))
}

// alertWait is how long to wait after so many tries, with up to a fifth at random, so
// that the hooks of one broken service do not come together.
func alertWait(tries int) time.Duration {
	d := alertFirst
	for range min(tries-1, 10) {
		d *= 2
	}
	d = min(d, alertLongest)
	return d + rand.N(d/5) //nolint:gosec // spread, not secrecy
}

// LogAlertTest writes down a test that was made: it is tried once. NotFound; Forbidden
// without PermMain.
func (s *Store) LogAlertTest(ctx context.Context, who Actor, hookID int64, r AlertResult) (*Alert, error) {
	var a *Alert
	err := s.change(ctx, who, PermMain, "log alert test", func(t *Tx) error {
		if _, err := t.hook(who, hookID); err != nil {
			return err
		}
		now := t.now()
		a = &Alert{
			AccountID: who.AccountID, HookID: hookID, Event: AlertTest, Facts: "{}", State: AlertFailed, Tries: 1,
			ErrorCode: r.Code, ErrorText: r.Text, DueAt: now, CreatedAt: now, DoneAt: &now,
		}
		if r.OK {
			a.State = AlertSent
		}
		key, err := randomText(8, base62)
		if err != nil {
			return err
		}
		a.EventKey = AlertTest + ":" + strconv.FormatInt(now.UnixMicro(), 10) + ":" + key
		return t.Create(a).Error
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// SweepAlerts deletes what has been in the log for long enough. It is upkeep.
func (s *Store) SweepAlerts(ctx context.Context) error {
	return failed("sweep alerts", s.write(ctx, func(t *Tx) error {
		return t.Where("state <> ? AND created_at <= ?", AlertWaiting, t.now().Add(-alertLog)).Delete(&Alert{}).Error
	}))
}
