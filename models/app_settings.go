package models

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// Longest names of packages. Google states none beyond the file system's; Apple's
// is 155: https://developer.apple.com/documentation/bundleresources/information-property-list/cfbundleidentifier
const (
	maxAndroidPackage = 255
	maxAppleBundle    = 155
)

// CheckPackage applies the platform's rules to a package name or bundle id and
// returns it trimmed. Invalid (package_name).
//
// Android: at least two segments, each starting with a letter
// (https://developer.android.com/build/configure-app-module#set-application-id).
// Apple: letters, digits, hyphens and dots; an empty segment is always a typo.
func CheckPackage(platform, name string) (string, error) {
	name = strings.TrimSpace(name)
	rule, limit := `^[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)+$`, maxAndroidPackage
	missing, wrong := "errors.app.package_missing", "errors.app.package"
	if platform != PlatformAndroid {
		rule, limit = `^[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*$`, maxAppleBundle
		missing, wrong = "errors.app.bundle_missing", "errors.app.bundle"
	}
	if name == "" {
		return "", invalid("package_name", missing, nil)
	}
	if len(name) > limit {
		return "", invalid("package_name", "errors.text_long", map[string]any{"Max": limit})
	}
	if !regexp.MustCompile(rule).MatchString(name) {
		return "", invalid("package_name", wrong, nil)
	}
	return name, nil
}

// changeApp changes an app in one transaction: fn sets fields, whose columns are
// saved, and the service state follows.
func (s *Store) changeApp(ctx context.Context, who Actor, p Permission, act string, id int64, columns []string, fn func(t *Tx, a *App) error) (*App, error) {
	var a *App
	err := s.change(ctx, who, p, act, func(t *Tx) error {
		var err error
		if a, err = t.app(who, id); err != nil {
			return err
		}
		before := a.facts()
		if err := fn(t, a); err != nil {
			return err
		}
		a.UpdatedAt = t.now()
		if err := t.Select(append([]string{"updated_at"}, columns...)).Updates(a).Error; err != nil {
			return err
		}
		e := a.entry(ActionUpdate)
		e.before, e.after = before, a.facts()
		if err := t.audit(who, e); err != nil {
			return err
		}
		return t.resettle(a)
	})
	if err != nil {
		return nil, err
	}
	s.forgetApp(id)
	return a, nil
}

// resettle settles an app that the caller goes on using.
func (t *Tx) resettle(a *App) error {
	if err := t.settle(a.ID); err != nil {
		return err
	}
	return t.Model(&App{}).Where("id = ?", a.ID).Pluck("service_state", &a.ServiceState).Error
}

// RenameApp changes the app's own name, by which its deletion is confirmed; phones and
// most pages show the product's. Invalid (name); NotFound; Forbidden without PermConfigure.
func (s *Store) RenameApp(ctx context.Context, who Actor, id int64, name string) (*App, error) {
	name, err := label(name, "name", "errors.app.name_missing", MaxAppName)
	if err != nil {
		return nil, err
	}
	return s.changeApp(ctx, who, PermConfigure, "rename app", id, []string{"name"}, func(_ *Tx, a *App) error {
		a.Name = name
		return nil
	})
}

// SetPackage saves the Android package name or Apple bundle id. Invalid
// (package_name), also when a certificate in use is for another bundle; NotFound;
// Forbidden without PermConfigure.
func (s *Store) SetPackage(ctx context.Context, who Actor, id int64, name string) (*App, error) {
	return s.changeApp(ctx, who, PermConfigure, "set package", id, []string{"package_name"}, func(t *Tx, a *App) error {
		var err error
		if a.PackageName, err = CheckPackage(a.Platform, name); err != nil {
			return err
		}
		var rows []Credential
		if err := t.Where("owner_kind = ? AND owner_id = ?", ownerApp, id).Order("id").Find(&rows).Error; err != nil {
			return err
		}
		for i := range rows {
			bundle := rows[i].Facts().BundleID
			if bundle != "" && bundle != a.PackageName && rows[i].Environment != EnvironmentSandbox {
				return invalid("package_name", "errors.app.bundle_certificate", map[string]any{"Bundle": bundle})
			}
		}
		return nil
	})
}

// MaxMergeSeconds is the longest time for which messages of a conversation are merged.
const MaxMergeSeconds = 600

// SetDelivery chooses which of an account's devices get a message (Fanout…) and
// how much of its text the vendor sees (Text…), and for how long later messages of a
// conversation are merged, 0 for not. Invalid (fanout, text_mode, merge_seconds);
// NotFound; Forbidden without PermConfigure.
func (s *Store) SetDelivery(ctx context.Context, who Actor, id int64, fanout, textMode string, merge int64) (*App, error) {
	if !slices.Contains([]string{FanoutAll, FanoutPerPlatform, FanoutLatest}, fanout) {
		return nil, invalid("fanout", "errors.app.fanout", nil)
	}
	if !slices.Contains([]string{TextFull, TextSender, TextGeneric}, textMode) {
		return nil, invalid("text_mode", "errors.app.text_mode", nil)
	}
	if merge < 0 || merge > MaxMergeSeconds {
		return nil, invalid("merge_seconds", "errors.app.merge", map[string]any{"Max": MaxMergeSeconds})
	}
	return s.changeApp(ctx, who, PermConfigure, "set delivery", id, []string{"fanout", "text_mode", "merge_seconds"}, func(_ *Tx, a *App) error {
		a.Fanout, a.TextMode, a.MergeSeconds = fanout, textMode, merge
		return nil
	})
}

// SetSandbox switches an app between the vendors and the built-in simulators.
// NotFound; Forbidden without PermConfigure.
func (s *Store) SetSandbox(ctx context.Context, who Actor, id int64, on bool) (*App, error) {
	return s.changeApp(ctx, who, PermConfigure, "set sandbox", id, []string{"sandbox"}, func(_ *Tx, a *App) error {
		a.Sandbox = on
		return nil
	})
}

// SetFullPush opens or closes 完整推送 on an app that is authorized to an IM app.
// Conflict on one that is not, which may everything anyway; NotFound; Forbidden
// without PermMain.
func (s *Store) SetFullPush(ctx context.Context, who Actor, id int64, on bool) (*App, error) {
	return s.changeApp(ctx, who, PermMain, "set full push", id, []string{"full_push"}, func(_ *Tx, a *App) error {
		if a.ServiceState != ServiceIM {
			return conflict("errors.app.full_push_not_needed", nil)
		}
		a.FullPush = on
		return nil
	})
}

// SetBindRequired says whether binding an account to a device needs a signature by
// the customer's backend. Turning it on makes a key if there is none and returns
// it, once; otherwise key is "". NotFound; Forbidden without PermConfigure.
func (s *Store) SetBindRequired(ctx context.Context, who Actor, id int64, on bool) (a *App, key Secret, err error) {
	a, err = s.changeApp(ctx, who, PermConfigure, "set bind required", id, []string{"bind_required", "bind_key"}, func(_ *Tx, a *App) error {
		a.BindRequired = on
		if on && !a.HasBindKey() {
			key, err = s.newBindKey(a)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return a, key, nil
}

// RotateBindKey replaces the key of binding signatures and returns it, once. The
// old one stops working. NotFound; Forbidden without PermConfigure.
func (s *Store) RotateBindKey(ctx context.Context, who Actor, id int64) (key Secret, err error) {
	_, err = s.changeApp(ctx, who, PermConfigure, "rotate bind key", id, []string{"bind_key"}, func(t *Tx, a *App) error {
		if key, err = s.newBindKey(a); err != nil {
			return err
		}
		e := a.entry(ActionReset)
		e.after = facts{"key": "bind_key"}
		return t.audit(who, e)
	})
	if err != nil {
		return "", err
	}
	return key, nil
}

func (s *Store) newBindKey(a *App) (Secret, error) {
	key, err := randomText(secretKeyLength, base62)
	if err != nil {
		return "", err
	}
	a.SealedBindKey, err = s.keys.Seal([]byte(key), keyPlace("bind_key", a.ID))
	return Secret(key), err
}

// AccessKey returns the key that lies in the app on every phone. NotFound;
// Forbidden without PermView.
func (s *Store) AccessKey(ctx context.Context, who Actor, id int64) (Secret, error) {
	_, v, err := s.ScopeForApp(ctx, who, id)
	if err != nil {
		return "", err
	}
	key, err := s.keys.Open(v.SealedAccessKey, keyPlace("access_key", id))
	return Secret(key), err
}

// RevealSecretKey returns the SecretKey to the main user, who enters the password
// again. Unauthorized (password); TooMany; NotFound; Forbidden without PermMain.
func (s *Store) RevealSecretKey(ctx context.Context, who Actor, id int64, password string) (Secret, error) {
	if err := who.need(PermMain); err != nil {
		return "", err
	}
	if _, err := s.VerifyPassword(ctx, who, password); err != nil {
		return "", err
	}
	var key []byte
	err := s.change(ctx, who, PermMain, "reveal secret key", func(t *Tx) error {
		a, err := t.app(who, id)
		if err != nil {
			return err
		}
		if key, err = s.keys.Open(a.SealedSecretKey, keyPlace("secret_key", id)); err != nil {
			return err
		}
		e := a.entry(ActionReveal)
		e.after = facts{"key": "secret_key"}
		return t.audit(who, e)
	})
	if err != nil {
		return "", err
	}
	return Secret(key), nil
}

// ResetAccessKey replaces the AccessKey and returns the new one: phones with the
// old one can no longer register. NotFound; Forbidden without PermConfigure.
func (s *Store) ResetAccessKey(ctx context.Context, who Actor, id int64) (Secret, error) {
	return s.resetKey(ctx, who, PermConfigure, id, "access_key", []string{"access_key", "access_key_hash"}, s.newAccessKey)
}

// ResetSecretKey replaces the SecretKey and returns the new one. The main user
// enters the password again. Unauthorized (password); TooMany; NotFound; Forbidden
// without PermMain.
func (s *Store) ResetSecretKey(ctx context.Context, who Actor, id int64, password string) (Secret, error) {
	if err := who.need(PermMain); err != nil {
		return "", err
	}
	if _, err := s.VerifyPassword(ctx, who, password); err != nil {
		return "", err
	}
	return s.resetKey(ctx, who, PermMain, id, "secret_key", []string{"secret_key"}, s.newSecretKey)
}

func (s *Store) resetKey(ctx context.Context, who Actor, p Permission, id int64, name string, columns []string, renew func(*App) (string, error)) (Secret, error) {
	var key string
	_, err := s.changeApp(ctx, who, p, "reset key", id, columns, func(t *Tx, a *App) error {
		var err error
		if key, err = renew(a); err != nil {
			return err
		}
		e := a.entry(ActionReset)
		e.after = facts{"key": name}
		return t.audit(who, e)
	})
	if err != nil {
		return "", err
	}
	return Secret(key), nil
}
