package models

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"gorm.io/gorm/clause"
)

// SimulatorSettings is how the simulators answer the pushes of one app.
type SimulatorSettings struct {
	LatencyMs    int    `json:"latency_ms"`
	ErrorPercent int    `json:"error_percent"`
	Mix          string `json:"mix"` // one of the Mix… words
	// Receipts has vendors that report report each push that they took as arrived.
	Receipts bool `json:"receipts"`
}

// Ways in which simulators refuse.
const (
	MixAll      = "mixed"
	MixThrottle = "throttle" // too many requests
	MixToken    = "token"    // the device is gone
	MixServer   = "server"   // the vendor's own fault
)

// Mixes lists the ways.
func Mixes() []string { return []string{MixAll, MixThrottle, MixToken, MixServer} }

// Limits of simulator settings.
const (
	MaxSimulatorLatency = 10_000 // ms
	maxPercent          = 100
)

func settingsKey(appID int64) string {
	return "sandbox:" + strconv.FormatInt(appID, 10) + ":settings"
}

func (x SimulatorSettings) facts() facts {
	return facts{"latency_ms": x.LatencyMs, "error_percent": x.ErrorPercent, "mix": x.Mix, "receipts": x.Receipts}
}

func (x SimulatorSettings) check() error {
	switch {
	case x.LatencyMs < 0 || x.LatencyMs > MaxSimulatorLatency:
		return invalid("latency_ms", "errors.sandbox.range", map[string]any{"Max": MaxSimulatorLatency})
	case x.ErrorPercent < 0 || x.ErrorPercent > maxPercent:
		return invalid("error_percent", "errors.sandbox.range", map[string]any{"Max": maxPercent})
	case !slices.Contains(Mixes(), x.Mix):
		return invalid("mix", "errors.sandbox.mix", nil)
	}
	return nil
}

// SimulatorSettings returns the settings of an app; without any, simulators answer
// at once, refuse nothing but what the vendor would, and report arrivals. Every process reads them
// from here, so that it does not matter which one simulates.
func (s *Store) SimulatorSettings(ctx context.Context, appID int64) (SimulatorSettings, error) {
	out := SimulatorSettings{Mix: MixAll, Receipts: true}
	var rows []metaRow
	if err := s.read(ctx).Where("key = ?", settingsKey(appID)).Limit(1).Find(&rows).Error; err != nil {
		return out, fmt.Errorf("models: simulator settings: %w", err)
	}
	for _, r := range rows {
		if err := json.Unmarshal(r.Value, &out); err != nil {
			return out, fmt.Errorf("models: simulator settings: %w", err)
		}
	}
	return out, nil
}

// SetSimulatorSettings changes how the simulators answer an app's pushes. Invalid
// (latency_ms, error_percent, mix); NotFound; Forbidden without PermConfigure.
func (s *Store) SetSimulatorSettings(ctx context.Context, who Actor, appID int64, set SimulatorSettings) error {
	if err := set.check(); err != nil {
		return err
	}
	before, err := s.SimulatorSettings(ctx, appID)
	if err != nil {
		return err
	}
	value, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("models: simulator settings: %w", err)
	}
	return s.change(ctx, who, PermConfigure, "set simulator settings", func(t *Tx) error {
		a, err := t.app(who, appID)
		if err != nil {
			return err
		}
		row := metaRow{Key: settingsKey(appID), Value: value, UpdatedAt: t.now()}
		if err := t.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error; err != nil {
			return err
		}
		e := a.entry(ActionUpdate)
		e.before, e.after = before.facts(), set.facts()
		return t.audit(who, e)
	})
}

// SimulatorFor returns the settings for a push to a vendor token: those of the app
// that FindSandboxRoute finds. NotFound for a token that nobody registered.
func (s *Store) SimulatorFor(ctx context.Context, channel, token string) (SimulatorSettings, error) {
	r, err := s.FindSandboxRoute(ctx, channel, token)
	if err != nil {
		return SimulatorSettings{}, err
	}
	return s.SimulatorSettings(ctx, r.AppID)
}

// SandboxReceipts returns what makes the receipt address of the app that a simulator's
// vendor token belongs to: its region, and the secret of its sandbox's credential.
// NotFound for a token that nobody registered, and for an app without such an address.
func (s *Store) SandboxReceipts(ctx context.Context, channel, token string) (region string, secret Secret, err error) {
	r, err := s.FindSandboxRoute(ctx, channel, token)
	if err != nil {
		return "", "", err
	}
	var c Credential
	err = s.read(ctx).Where("owner_kind = ? AND owner_id = ? AND channel = ? AND environment = ? AND package_name = ''",
		ownerApp, r.AppID, channel, EnvironmentSandbox).Take(&c).Error
	if err != nil {
		return "", "", found(err, "")
	}
	if secret, err = s.receiptSecret(&c); err != nil {
		return "", "", err
	}
	if secret == "" {
		return "", "", notFound("")
	}
	var a App
	if err := s.read(ctx).Where("id = ? AND deleted_at IS NULL", r.AppID).Take(&a).Error; err != nil {
		return "", "", found(err, "")
	}
	return a.Region, secret, nil
}

// SandboxPushByID returns one push of the app's inbox. NotFound when it left it.
func (s *Store) SandboxPushByID(ctx context.Context, app AppScope, id int64) (*SandboxPush, error) {
	var p SandboxPush
	if err := app.db.read(ctx).Where("app_id = ? AND id = ?", app.appID, id).Take(&p).Error; err != nil {
		return nil, found(err, "push")
	}
	var err error
	p.Payload, err = app.db.open(p.Payload, sandboxPlace)
	return &p, err
}

// ClearSandboxPushes empties the app's inbox; the messages' records stay.
func (s *Store) ClearSandboxPushes(ctx context.Context, app AppScope) error {
	err := app.db.write(ctx, func(t *Tx) error {
		return t.Exec("DELETE FROM sandbox_pushes WHERE app_id = ?", app.appID).Error
	})
	return wrapNil("models: clear sandbox", err)
}

// LogUserDataDeletion writes down that a person's data is deleted from an app, but
// not whose: the audit log outlives what was to be forgotten. It is called before
// DeleteUserData, so that no deletion goes unwritten. Forbidden without
// PermConfigure; NotFound.
func (s *Store) LogUserDataDeletion(ctx context.Context, who Actor, appID int64) error {
	return s.change(ctx, who, PermConfigure, "log user data deletion", func(t *Tx) error {
		a, err := t.app(who, appID)
		if err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionDelete, kind: AuditUserData, id: a.ID, name: a.Name, product: a.ProductID})
	})
}
