package models

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of hooks: whose message format and signature an address wants.
const (
	HookGeneric  = "generic"  // JSON of our own, documented in README.md
	HookWeCom    = "wecom"    // 企业微信群机器人
	HookDingTalk = "dingtalk" // 钉钉群机器人
	HookFeishu   = "feishu"   // 飞书群机器人
)

// HookKinds lists the kinds.
func HookKinds() []string { return []string{HookWeCom, HookDingTalk, HookFeishu, HookGeneric} }

// Limits of hooks.
const (
	MaxHooks      = 20 // of one account
	MaxHookName   = 60 // characters
	maxHookURL    = 1000
	maxHookSecret = 200
)

// AlertHook is an address outside that an account is told of alerts at. The address and
// the signing secret stay sealed.
type AlertHook struct {
	ID           int64 `gorm:"primaryKey"`
	AccountID    int64
	Name         string
	Kind         string
	SealedURL    []byte `gorm:"column:url" json:"-"`
	SealedSecret []byte `gorm:"column:secret" json:"-"` // nil without one
	Host         string // of the address, which is safe to show
	Events       string // apart by commas
	Enabled      bool
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// EventList returns the events that the hook is told of.
func (h *AlertHook) EventList() []string { return strings.Split(h.Events, ",") }

// Wants reports whether the hook is told of an event.
func (h *AlertHook) Wants(event string) bool { return slices.Contains(h.EventList(), event) }

// Signed reports whether the hook has a signing secret.
func (h *AlertHook) Signed() bool { return len(h.SealedSecret) > 0 }

func (h *AlertHook) facts() facts {
	return facts{"name": h.Name, "hook_kind": h.Kind, "host": h.Host, "events": h.EventList(), "signed": h.Signed(), "enabled": h.Enabled}
}

func (h *AlertHook) entry(action string) entry {
	return entry{action: action, kind: AuditAlertHook, id: h.ID, name: h.Name}
}

func hookPlace(column string, id int64) string {
	return "alert_hooks." + column + ":" + strconv.FormatInt(id, 10)
}

// AlertHookInput is a hook as a form gives it.
type AlertHookInput struct {
	Name string
	Kind string // only counts at creation
	// URL and Secret are "" to keep what is stored.
	URL    Secret
	Secret Secret
	// DropSecret forgets the stored secret.
	DropSecret bool
	Events     []string
}

// check applies the rules and returns the address' host, "" without an address.
func (in *AlertHookInput) check() (host string, err error) {
	name, err1 := label(in.Name, "name", "errors.alert.name_missing", MaxHookName)
	var err2 error
	if in.URL != "" {
		host, err2 = hookHost(in.Kind, in.URL.Reveal())
	}
	in.Name = name
	known := func(e string) bool { return slices.Contains(AlertEvents(), e) }
	secret := in.Secret.Reveal()
	fits := utf8.ValidString(secret) && !strings.ContainsFunc(secret, unprintable) && len(secret) <= maxHookSecret
	return host, errors.Join(
		err1,
		unless(slices.Contains(HookKinds(), in.Kind), invalid("kind", "errors.alert.kind", nil)),
		err2,
		unless(secret == "" || in.Kind != HookWeCom, invalid("secret", "errors.alert.secret_wecom", nil)),
		unless(fits, invalid("secret", "errors.alert.secret", map[string]any{"Max": maxHookSecret})),
		unless(len(in.Events) > 0 && !slices.ContainsFunc(in.Events, func(e string) bool { return !known(e) }), invalid("events", "errors.alert.events", nil)),
	)
}

// hookHost checks an address and returns its host. Where the address leads is judged
// when it is dialled, because a name can change its mind.
func hookHost(kind, address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(address) > maxHookURL,
		u.Scheme != "https" && u.Scheme != "http", !utf8.ValidString(address), strings.ContainsFunc(u.Host, unprintable):
		return "", invalid("url", "errors.alert.url", map[string]any{"Max": maxHookURL})
	case kind != HookGeneric && u.Scheme != "https":
		return "", invalid("url", "errors.alert.url_https", nil)
	}
	return u.Host, nil
}

// hook reads one of the account's hooks and keeps it unchanged.
func (t *Tx) hook(who Actor, id int64) (*AlertHook, error) {
	var h AlertHook
	if err := t.locked().Where("account_id = ? AND id = ?", who.AccountID, id).Take(&h).Error; err != nil {
		return nil, found(err, "")
	}
	return &h, nil
}

// AlertHooks returns the account's hooks by name. Forbidden without PermMain.
func (s *Store) AlertHooks(ctx context.Context, who Actor) ([]AlertHook, error) {
	if err := who.need(PermMain); err != nil {
		return nil, err
	}
	var rows []AlertHook
	err := s.read(ctx).Where("account_id = ?", who.AccountID).Order("name, id").Find(&rows).Error
	return rows, failed("alert hooks", err)
}

// AlertHookByID returns one of the account's hooks. NotFound; Forbidden without
// PermMain.
func (s *Store) AlertHookByID(ctx context.Context, who Actor, id int64) (*AlertHook, error) {
	if err := who.need(PermMain); err != nil {
		return nil, err
	}
	var h AlertHook
	if err := s.read(ctx).Where("account_id = ? AND id = ?", who.AccountID, id).Take(&h).Error; err != nil {
		return nil, failed("alert hook", found(err, ""))
	}
	return &h, nil
}

// CreateAlertHook creates a hook, which is on at once. Invalid (name, kind, url,
// secret, events); Conflict (name) when the account has it; Forbidden without PermMain.
func (s *Store) CreateAlertHook(ctx context.Context, who Actor, in AlertHookInput) (*AlertHook, error) {
	host, err := in.check()
	if err := errors.Join(err, unless(in.URL != "", invalid("url", "errors.alert.url_missing", nil))); err != nil {
		return nil, err
	}
	var h *AlertHook
	err = s.change(ctx, who, PermMain, "create alert hook", func(t *Tx) error {
		var n int64
		if err := t.Model(&AlertHook{}).Where("account_id = ?", who.AccountID).Count(&n).Error; err != nil {
			return err
		}
		if n >= MaxHooks {
			return conflict("errors.alert.many", map[string]any{"Max": MaxHooks})
		}
		now := t.now()
		h = &AlertHook{
			AccountID: who.AccountID, Kind: in.Kind, SealedURL: []byte{}, Enabled: true, CreatedAt: now,
		}
		return s.storeHook(t, who, h, in, host)
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// UpdateAlertHook saves a hook; what waits for it is tried at once. Its kind stays.
// Invalid, Conflict and Forbidden as CreateAlertHook; NotFound.
func (s *Store) UpdateAlertHook(ctx context.Context, who Actor, id int64, in AlertHookInput) (*AlertHook, error) {
	var h *AlertHook
	err := s.change(ctx, who, PermMain, "update alert hook", func(t *Tx) error {
		var err error
		if h, err = t.hook(who, id); err != nil {
			return err
		}
		in.Kind = h.Kind
		host, err := in.check()
		if err != nil {
			return err
		}
		if err := s.storeHook(t, who, h, in, host); err != nil {
			return err
		}
		return t.Model(&Alert{}).Where("hook_id = ? AND state = ?", h.ID, AlertWaiting).UpdateColumn("due_at", t.now()).Error
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// storeHook writes a hook with its secrets sealed. The seals are bound to the row's
// id, which a new row has only after it was written.
func (s *Store) storeHook(t *Tx, who Actor, h *AlertHook, in AlertHookInput, host string) error {
	before := h.facts()
	h.Name, h.UpdatedAt = in.Name, t.now()
	h.Events = strings.Join(slices.DeleteFunc(AlertEvents(), func(e string) bool { return !slices.Contains(in.Events, e) }), ",")
	action := ActionUpdate
	if h.ID == 0 {
		action, before = ActionCreate, nil
		if err := t.Create(h).Error; err != nil {
			if duplicate(err) {
				return conflictField("name", "errors.alert.name_taken")
			}
			return err
		}
	}
	var err error
	if host != "" {
		h.Host = host
		if h.SealedURL, err = s.keys.Seal([]byte(in.URL.Reveal()), hookPlace("url", h.ID)); err != nil {
			return err
		}
	}
	if in.DropSecret {
		h.SealedSecret = nil
	}
	if in.Secret != "" {
		if h.SealedSecret, err = s.keys.Seal([]byte(in.Secret.Reveal()), hookPlace("secret", h.ID)); err != nil {
			return err
		}
	}
	if err := t.Save(h).Error; err != nil {
		if duplicate(err) {
			return conflictField("name", "errors.alert.name_taken")
		}
		return err
	}
	e := h.entry(action)
	e.before, e.after = before, h.facts()
	if action == ActionUpdate && (in.URL != "" || in.Secret != "" || in.DropSecret) {
		// The secrets themselves are no facts, but that they changed is one.
		e.after["replaced"] = true
	}
	return t.audit(who, e)
}

// SetAlertHookEnabled turns a hook on or off. What waits for one that is turned off is
// given up. Conflict when it is so already; NotFound; Forbidden without PermMain.
func (s *Store) SetAlertHookEnabled(ctx context.Context, who Actor, id int64, on bool) (*AlertHook, error) {
	var h *AlertHook
	err := s.change(ctx, who, PermMain, "switch alert hook", func(t *Tx) error {
		var err error
		if h, err = t.hook(who, id); err != nil {
			return err
		}
		now := t.now()
		err = updated(t.Model(&AlertHook{}).Where("account_id = ? AND id = ? AND enabled = ?", who.AccountID, id, !on).
			UpdateColumns(map[string]any{"enabled": on, "updated_at": now}))
		if err != nil {
			return err
		}
		action := ActionEnable
		if h.Enabled = on; !on {
			action = ActionDisable
			err := t.Model(&Alert{}).Where("hook_id = ? AND state = ?", id, AlertWaiting).
				UpdateColumns(map[string]any{"state": AlertFailed, "error_code": AlertCodeOff, "error_text": "", "done_at": now}).Error
			if err != nil {
				return err
			}
		}
		return t.audit(who, h.entry(action))
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// DeleteAlertHook deletes a hook with its log; typed must be its name. Invalid (name);
// NotFound; Forbidden without PermMain.
func (s *Store) DeleteAlertHook(ctx context.Context, who Actor, id int64, typed string) error {
	return s.change(ctx, who, PermMain, "delete alert hook", func(t *Tx) error {
		h, err := t.hook(who, id)
		if err != nil {
			return err
		}
		if err := confirmName(typed, h.Name); err != nil {
			return err
		}
		if err := t.Where("account_id = ? AND hook_id = ?", who.AccountID, id).Delete(&Alert{}).Error; err != nil {
			return err
		}
		if err := t.Where("account_id = ? AND id = ?", who.AccountID, id).Delete(&AlertHook{}).Error; err != nil {
			return err
		}
		e := h.entry(ActionDelete)
		e.before = h.facts()
		return t.audit(who, e)
	})
}
