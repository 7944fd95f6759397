package models

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm/clause"
)

// Events that an account can be told of outside the console.
const (
	AlertPaused = "paused" // a vendor refused a credential
	AlertExpiry = "expiry" // a certificate or key ends soon
	AlertQuota  = "quota"  // a vendor's daily quota is used up
	AlertTest   = "test"   // 发送测试; always sent
)

// AlertEvents lists the events that a hook can be told of.
func AlertEvents() []string { return []string{AlertPaused, AlertExpiry, AlertQuota} }

// AlertDays are the days before its end at which a credential is spoken of, the
// nearest first.
func AlertDays() []int { return []int{1, 7, 30} }

// States of an alert.
const (
	AlertWaiting = "waiting" // not delivered yet, tried again at DueAt
	AlertSent    = "sent"    // the receiving side said yes
	AlertFailed  = "failed"  // given up
)

// Alert is one event told to one hook: the outbox while it waits, the log afterwards.
type Alert struct {
	ID        int64 `gorm:"primaryKey"`
	AccountID int64
	HookID    int64
	Event     string
	EventKey  string // names the occasion; a hook is told of each once
	Facts     string // AlertFacts as JSON
	State     string
	Tries     int
	ErrorCode string // of the last try: the receiving side's code, or one of ours
	ErrorText string // and its words, as far as they may be shown
	DueAt     time.Time
	CreatedAt time.Time
	DoneAt    *time.Time // when it was sent or given up
}

// AlertFacts is what an alert is about. Nothing in it is a secret.
type AlertFacts struct {
	AppID       int64      `json:"app_id,omitempty"`
	Product     string     `json:"product,omitempty"`
	Platform    string     `json:"platform,omitempty"`
	Channel     string     `json:"channel,omitempty"`
	Environment string     `json:"environment,omitempty"`
	PackageName string     `json:"package_name,omitempty"` // "" for the app's own
	Code        string     `json:"code,omitempty"`         // the vendor's
	Days        int        `json:"days,omitempty"`         // which of AlertDays was reached
	Until       *time.Time `json:"until,omitempty"`        // when it ends, or sends again
}

// Subject returns what the alert is about.
func (a *Alert) Subject() AlertFacts {
	var f AlertFacts
	_ = json.Unmarshal([]byte(a.Facts), &f) // we wrote it; at worst a fact is missing
	return f
}

// alert puts an event into the outbox of every hook that wants it, in the transaction
// of the change that it speaks of. What a hook was told already is left alone.
func (t *Tx) alert(accountID int64, event, key string, f AlertFacts) error {
	var hooks []AlertHook
	// Locked, so that none is deleted before its row is in.
	if err := t.locked().Where("account_id = ? AND enabled = ?", accountID, true).Order("id").Find(&hooks).Error; err != nil {
		return fmt.Errorf("models: alert: %w", err)
	}
	hooks = slices.DeleteFunc(hooks, func(h AlertHook) bool { return !h.Wants(event) })
	if len(hooks) == 0 {
		return nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("models: alert: %w", err)
	}
	now := t.now()
	rows := make([]Alert, len(hooks))
	for i, h := range hooks {
		rows[i] = Alert{
			AccountID: accountID, HookID: h.ID, Event: event, EventKey: key, Facts: string(text), State: AlertWaiting,
			DueAt: now, CreatedAt: now,
		}
	}
	if err := t.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows).Error; err != nil {
		return fmt.Errorf("models: alert: %w", err)
	}
	return nil
}

// credentialKey names an occasion of one credential at one revision.
func credentialKey(event string, c *Credential, at string) string {
	return strings.Join([]string{event, strconv.FormatInt(c.ID, 10), strconv.FormatInt(c.Revision, 10), at}, ":")
}

// credentialFacts says which credential an alert is about; false when its app is gone,
// or when it is one of the IM side, through which nothing is sent.
func (t *Tx) credentialFacts(c *Credential) (AlertFacts, bool, error) {
	if c.OwnerKind != ownerApp {
		return AlertFacts{}, false, nil
	}
	var rows []AlertFacts
	err := t.Raw(`SELECT a.id AS app_id, a.platform, p.name AS product FROM apps a JOIN products p ON p.id = a.product_id
		WHERE a.id = ? AND a.account_id = ? AND a.deleted_at IS NULL`, c.OwnerID, c.AccountID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return AlertFacts{}, false, err
	}
	f := rows[0]
	f.Channel, f.Environment, f.PackageName = c.Channel, c.Environment, c.PackageName
	return f, true, nil
}

// alertPaused tells of a credential that a vendor refused.
func (t *Tx) alertPaused(c *Credential) error {
	f, is, err := t.credentialFacts(c)
	if err != nil || !is {
		return err
	}
	f.Code = c.CauseCode
	return t.alert(c.AccountID, AlertPaused, credentialKey(AlertPaused, c, strconv.FormatInt(c.PausedAt.UnixMicro(), 10)), f)
}

// alertQuota tells of a vendor's quota that is used up: once for a day of the vendors,
// which ends at midnight in China, however often the rest is extended.
func (t *Tx) alertQuota(c *Credential) error {
	f, is, err := t.credentialFacts(c)
	if err != nil || !is {
		return err
	}
	f.Code, f.Until = c.RestCode, c.RestUntil
	day := t.now().In(time.FixedZone("CST", 8*3600)).Format(time.DateOnly)
	return t.alert(c.AccountID, AlertQuota, credentialKey(AlertQuota, c, day), f)
}

// AlertExpiring tells of every credential in use that ends within one of AlertDays,
// once per revision and step. It is upkeep that comes every hour. A credential that
// was saved late is spoken of at the nearest step only, and a hook that is newer than
// a step is told of it at once.
func (s *Store) AlertExpiring(ctx context.Context) error {
	now := s.Now()
	days := AlertDays()
	var ending []Credential
	err := s.read(ctx).Where("owner_kind = ? AND environment <> ? AND not_after > ? AND not_after <= ?",
		ownerApp, EnvironmentSandbox, now, now.AddDate(0, 0, days[len(days)-1])).
		Where("account_id IN (SELECT account_id FROM alert_hooks WHERE enabled = ?)", true).Order("id").Find(&ending).Error
	if err != nil {
		return failed("alert expiring", err)
	}
	for i := range ending {
		if err := s.alertExpiring(ctx, &ending[i], now); err != nil {
			return failed("alert expiring", err)
		}
	}
	return nil
}

func (s *Store) alertExpiring(ctx context.Context, seen *Credential, now time.Time) error {
	step := 0
	for _, d := range AlertDays() {
		if step == 0 && !seen.NotAfter.After(now.Add(time.Duration(d)*24*time.Hour)) {
			step = d
		}
	}
	return s.write(ctx, func(t *Tx) error {
		var rows []Credential
		// It may have been replaced since.
		if err := t.locked().Where("id = ? AND revision = ?", seen.ID, seen.Revision).Find(&rows).Error; err != nil || len(rows) == 0 {
			return err
		}
		f, is, err := t.credentialFacts(&rows[0])
		if err != nil || !is || step == 0 {
			return err
		}
		f.Days, f.Until = step, rows[0].NotAfter
		return t.alert(rows[0].AccountID, AlertExpiry, credentialKey(AlertExpiry, &rows[0], strconv.Itoa(step)), f)
	})
}

// AlertPage is one page of the log, newest first. Newer and Older are the ids to page
// from, 0 where there is nothing more.
type AlertPage struct {
	Rows         []Alert
	Newer, Older int64
}

// Alerts returns a page of the account's alerts: older than before or newer than after,
// when one is not 0. Forbidden without PermMain.
func (s *Store) Alerts(ctx context.Context, who Actor, before, after int64, limit int) (AlertPage, error) {
	if err := who.need(PermMain); err != nil {
		return AlertPage{}, err
	}
	q, order := s.read(ctx).Where("account_id = ?", who.AccountID), "id DESC"
	switch {
	case after > 0:
		q, order = q.Where("id > ?", after), "id"
	case before > 0:
		q = q.Where("id < ?", before)
	}
	limit = min(max(limit, 1), maxPage)
	var rows []Alert
	if err := q.Order(order).Limit(limit + 1).Find(&rows).Error; err != nil {
		return AlertPage{}, failed("alerts", err)
	}
	more := len(rows) > limit
	rows = rows[:min(len(rows), limit)]
	if after > 0 {
		slices.Reverse(rows)
	}
	p := AlertPage{Rows: rows}
	if len(rows) > 0 {
		if after > 0 || more {
			p.Older = rows[len(rows)-1].ID
		}
		if before > 0 && after == 0 || after > 0 && more {
			p.Newer = rows[0].ID
		}
	}
	return p, nil
}
