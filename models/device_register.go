package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
)

// Limits of a registration.
const (
	MaxRoutes           = 10
	MaxVendorTokenBytes = 4096
	maxPlatformBytes    = 16
	maxDeviceWordRunes  = 64
	maxPackageBytes     = 255
	maxChannelBytes     = 16
)

// deviceTokenBytes and deviceSecretBytes are how many random bytes are in a
// device's token (36 characters in hex) and secret.
const (
	deviceTokenBytes  = 18
	deviceSecretBytes = 32
)

// Codes of routes and devices that were retired by us rather than by a vendor.
const (
	RetiredMoved        = "hy_moved"        // the vendor token registered for another device
	RetiredReplaced     = "hy_replaced"     // the device registered without it
	RetiredUnregistered = "hy_unregistered" // the app said goodbye
)

// RetiredReceipt is what the code of a route begins with that a vendor's receipt calls
// dead; the receipt's status follows.
const RetiredReceipt = "receipt "

// RouteInput is one vendor address as a phone reports it.
type RouteInput struct {
	Channel     string
	Environment string
	PackageName string
	Token       string
}

// Registration is what a phone reports about itself. Token and Secret are empty
// for a device not known yet. Empty texts and NotifyUnknown leave what is known.
type Registration struct {
	Token  string
	Secret string

	Platform   string
	Brand      string
	Model      string
	OSVersion  string
	AppVersion string
	SDKVersion string
	Language   string
	TimeZone   string
	Notify     int
	Virtual    bool

	// Routes, when not nil, are all of the device's addresses: others it had are
	// retired.
	Routes []RouteInput
}

// Registered is the outcome of Register. Secret is set for a new device only,
// and never shown again.
type Registered struct {
	Device  Device
	Secret  Secret
	Created bool
}

// DeviceScope is the right to act as one device. Only AuthDevice makes one.
type DeviceScope struct {
	app      AppScope
	deviceID int64
	token    string
}

// DeviceID returns the device's id.
func (d DeviceScope) DeviceID() int64 { return d.deviceID }

// Register enters a new device or refreshes a known one, which must show its
// secret. A vendor token given here belongs to this device from now on, whatever
// device had it before, and is alive again if it had been retired.
//
// Invalid names the field at fault. Unauthorized: unknown token or wrong secret;
// the app should register anew.
func (s *Store) Register(ctx context.Context, app AppScope, r Registration) (Registered, error) {
	if err := r.check(); err != nil {
		return Registered{}, err
	}
	var out Registered
	err := app.db.writeHot(ctx, func(_ context.Context, t *Tx) error {
		var err error
		if out, err = t.registerDevice(app, &r); err != nil {
			return err
		}
		if r.Routes == nil {
			return nil
		}
		return t.setRoutes(app.appID, out.Device.ID, r.Routes)
	})
	if err != nil {
		return Registered{}, wrapUnlessError("models: register device", err)
	}
	return out, nil
}

// wrapUnlessError adds context to errors that are not already meant for people.
func wrapUnlessError(where string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%s: %w", where, err)
}

// AuthDevice checks a device's token and secret. Unauthorized when either is
// wrong, without saying which.
func (s *Store) AuthDevice(ctx context.Context, app AppScope, token string, secret Secret) (DeviceScope, error) {
	d, err := authDevice(app.db.read(ctx), app.appID, token, string(secret))
	if err != nil {
		return DeviceScope{}, wrapUnlessError("models: authenticate device", err)
	}
	return DeviceScope{app: app, deviceID: d.ID, token: d.Token}, nil
}

func authDevice(g *gorm.DB, appID int64, token, secret string) (*Device, error) {
	var d Device
	err := g.Take(&d, "app_id = ? AND token = ?", appID, storable(token)).Error
	if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, err
	}
	sum := sha256.Sum256([]byte(secret))
	if err != nil || subtle.ConstantTimeCompare(sum[:], d.SecretHash) != 1 {
		return nil, &Error{Kind: Unauthorized, Key: "device_secret"}
	}
	return &d, nil
}

func (t *Tx) registerDevice(app AppScope, r *Registration) (Registered, error) {
	now := t.now()
	if r.Token == "" {
		return t.createDevice(app, r, now)
	}
	d, err := authDevice(t.DB, app.appID, r.Token, r.Secret)
	if err != nil {
		return Registered{}, err
	}
	r.apply(d)
	d.LastSeenAt, d.RegisteredAt, d.RetiredAt, d.RetiredCode = now, now, nil, ""
	// Badge and secret are not this call's: the worker may be writing the badge.
	err = t.Model(d).Select("*").Omit("id", "app_id", "token", "secret_hash", "badge", "badge_revision", "is_virtual").Updates(d).Error
	return Registered{Device: *d}, err
}

func (t *Tx) createDevice(app AppScope, r *Registration, now time.Time) (Registered, error) {
	random := make([]byte, deviceTokenBytes+deviceSecretBytes)
	if _, err := rand.Read(random); err != nil {
		return Registered{}, err
	}
	secret := base64.RawURLEncoding.EncodeToString(random[deviceTokenBytes:])
	sum := sha256.Sum256([]byte(secret))
	d := Device{
		AppID: app.appID, Token: hex.EncodeToString(random[:deviceTokenBytes]), SecretHash: sum[:],
		RegisteredAt: now, LastSeenAt: now, IsVirtual: r.Virtual,
	}
	r.apply(&d)
	if err := t.Create(&d).Error; err != nil {
		return Registered{}, err
	}
	return Registered{Device: d, Secret: Secret(secret), Created: true}, nil
}

// apply copies what the phone said.
func (r *Registration) apply(d *Device) {
	for _, f := range r.words() {
		if *f.value != "" {
			*f.of(d) = *f.value
		}
	}
	if r.Notify != NotifyUnknown {
		d.Notify = r.Notify
	}
}

// word is one text of a registration, its limit and where it is kept.
type word struct {
	name  string
	value *string
	of    func(*Device) *string
}

func (r *Registration) words() []word {
	return []word{
		{"platform", &r.Platform, func(d *Device) *string { return &d.Platform }},
		{"brand", &r.Brand, func(d *Device) *string { return &d.Brand }},
		{"model", &r.Model, func(d *Device) *string { return &d.Model }},
		{"os_version", &r.OSVersion, func(d *Device) *string { return &d.OSVersion }},
		{"app_version", &r.AppVersion, func(d *Device) *string { return &d.AppVersion }},
		{"sdk_version", &r.SDKVersion, func(d *Device) *string { return &d.SDKVersion }},
		{"language", &r.Language, func(d *Device) *string { return &d.Language }},
		{"time_zone", &r.TimeZone, func(d *Device) *string { return &d.TimeZone }},
	}
}

// check refuses what is too long or malformed and cleans the rest.
func (r *Registration) check() error {
	for _, f := range r.words() {
		*f.value = strings.TrimSpace(storable(*f.value))
		if utf8.RuneCountInString(*f.value) > maxDeviceWordRunes {
			return invalid(f.name, "too_long", map[string]any{"Max": maxDeviceWordRunes})
		}
	}
	switch {
	case r.Token == "" && r.Platform == "":
		return invalid("platform", "required", nil)
	case r.Platform != "" && !isWord(r.Platform, maxPlatformBytes):
		return invalid("platform", "malformed", nil)
	case r.Notify < NotifyUnknown || r.Notify > NotifyOff:
		return invalid("notify", "malformed", nil)
	case len(r.Routes) > MaxRoutes:
		return invalid("routes", "too_many", map[string]any{"Max": MaxRoutes})
	}
	for i := range r.Routes {
		if err := r.Routes[i].check(i); err != nil {
			return err
		}
	}
	return nil
}

func (r *RouteInput) check(i int) error {
	field := func(name string) string { return fmt.Sprintf("routes[%d].%s", i, name) }
	r.Token = strings.TrimSpace(r.Token)
	long := len(r.Token) > MaxVendorTokenBytes
	if !long {
		// Before it is judged: JSON over several lines is a good subscription.
		r.Token = canonicalToken(r.Channel, r.Token)
	}
	switch {
	case !isWord(r.Channel, maxChannelBytes):
		return invalid(field("channel"), "malformed", nil)
	case !isEnvironment(r.Environment):
		return invalid(field("environment"), "malformed", nil)
	case len(r.PackageName) > maxPackageBytes:
		return invalid(field("package_name"), "too_long", map[string]any{"Max": maxPackageBytes})
	case r.PackageName != storable(r.PackageName):
		return invalid(field("package_name"), "malformed", nil)
	case r.Token == "":
		return invalid(field("token"), "required", nil)
	case long:
		return invalid(field("token"), "too_long", map[string]any{"Max": MaxVendorTokenBytes})
	case r.Token != storable(r.Token):
		return invalid(field("token"), "malformed", nil)
	}
	return nil
}

// canonicalToken returns the one spelling of a vendor token: APNs' are hex, a browser's
// are JSON.
func canonicalToken(channel, token string) string {
	switch channel {
	case "apns":
		return strings.ToLower(token)
	case channelWeb:
		if s, ok := CanonicalSubscription(token); ok {
			return s
		}
	}
	return token
}

// isEnvironment reports whether e is a vendor service that a route can be for.
func isEnvironment(e string) bool {
	return e == "production" || e == "development" || e == "sandbox"
}

// isWord reports whether s is 1 to limit lower-case letters, digits or underscores.
func isWord(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// setRoutes makes the given routes the device's, and the only ones.
func (t *Tx) setRoutes(appID, deviceID int64, routes []RouteInput) error {
	now := t.now()
	keep := make([]int64, 0, len(routes))
	for _, r := range routes {
		sum := sha256.Sum256([]byte(r.Token))
		id, err := t.takeRoute(Route{
			AppID: appID, DeviceID: deviceID, Channel: r.Channel, Environment: r.Environment, PackageName: r.PackageName,
			Token: r.Token, TokenHash: sum[:], RegisteredAt: now,
		})
		if err != nil {
			return err
		}
		keep = append(keep, id)
	}
	q := t.Model(&Route{}).Where("device_id = ? AND retired_at IS NULL", deviceID)
	if len(keep) > 0 {
		q = q.Where("id NOT IN ?", keep)
	}
	return q.Updates(map[string]any{"retired_at": now, "retired_code": RetiredReplaced}).Error
}

// takeRoute gives a vendor token to its device. The device that had it and has
// no other living address is retired: the install is gone.
func (t *Tx) takeRoute(r Route) (id int64, err error) {
	var before []int64
	err = t.Raw("SELECT device_id FROM routes WHERE token_hash = ? AND app_id = ? AND channel = ?", r.TokenHash, r.AppID, r.Channel).Scan(&before).Error
	if err != nil {
		return 0, err
	}
	err = t.Raw(`INSERT INTO routes (app_id, device_id, channel, environment, package_name, token, token_hash, registered_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (token_hash, app_id, channel) DO UPDATE SET device_id = excluded.device_id, environment = excluded.environment,
			package_name = excluded.package_name, registered_at = excluded.registered_at, retired_at = NULL, retired_code = ''
		RETURNING id`, r.AppID, r.DeviceID, r.Channel, r.Environment, r.PackageName, r.Token, r.TokenHash, r.RegisteredAt).Scan(&id).Error
	if err != nil || len(before) == 0 || before[0] == r.DeviceID {
		return id, err
	}
	return id, t.retireRoutelessDevice(before[0], RetiredMoved)
}

// retireRoutelessDevice retires a device that has no living address left.
func (t *Tx) retireRoutelessDevice(deviceID int64, code string) error {
	return t.Exec(`UPDATE devices SET retired_at = ?, retired_code = ? WHERE id = ? AND retired_at IS NULL
		AND NOT EXISTS (SELECT 1 FROM routes WHERE device_id = devices.id AND retired_at IS NULL)`, t.now(), code, deviceID).Error
}
