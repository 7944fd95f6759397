package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// endpointBytes is how many random bytes are in an endpoint's name, 32 characters.
const endpointBytes = 24

// Endpoint is an address of one device for servers that have no key of ours: whoever
// knows it may push to that device and to nothing else. It ends with the device.
type Endpoint struct {
	DeviceID  int64 `gorm:"primaryKey;autoIncrement:false"`
	AppID     int64
	Hash      []byte // SHA-256 of the token
	Token     []byte // sealed
	CreatedAt time.Time
}

// TableName is GORM's hook.
func (Endpoint) TableName() string { return "device_endpoints" }

func (e *Endpoint) place() string {
	return "device_endpoints.token:" + strconv.FormatInt(e.DeviceID, 10)
}

// DeviceEndpoint returns the secret part of the device's endpoint: the one that it has,
// or with renew a new one, after which the old one is gone. bridge says which IM apps
// take endpoints. NotFound when the app is not authorized to one; Conflict for a device
// that was retired.
func (s *Store) DeviceEndpoint(ctx context.Context, dev DeviceScope, bridge string, renew bool) (Secret, error) {
	var n int
	err := s.read(ctx).Raw(`SELECT COUNT(*) FROM authorizations z JOIN im_apps i ON i.id = z.im_app_id
		WHERE z.app_id = ? AND z.released_at IS NULL AND i.bridge = ? AND i.deleted_at IS NULL`, dev.app.appID, bridge).Scan(&n).Error
	if err != nil {
		return "", fmt.Errorf("models: endpoint: authorization: %w", err)
	}
	if n == 0 {
		return "", notFound("im_app")
	}
	var out Secret
	err = dev.app.db.write(ctx, func(t *Tx) error {
		out, err = t.endpoint(s.keys, dev, renew)
		return err
	})
	return out, wrapNil("models: endpoint", err)
}

func (t *Tx) endpoint(keys *Keyring, dev DeviceScope, renew bool) (Secret, error) {
	var alive int
	if err := t.Raw("SELECT COUNT(*) FROM devices WHERE id = ? AND retired_at IS NULL", dev.deviceID).Scan(&alive).Error; err != nil {
		return "", err
	}
	if alive == 0 {
		return "", &Error{Kind: Conflict, Key: "device_retired"}
	}
	random := make([]byte, endpointBytes)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	token := base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	e := Endpoint{DeviceID: dev.deviceID, AppID: dev.app.appID, Hash: sum[:], CreatedAt: t.now()}
	var err error
	if e.Token, err = keys.Seal([]byte(token), e.place()); err != nil {
		return "", err
	}
	q := "DO NOTHING"
	if renew {
		q = "DO UPDATE SET hash = excluded.hash, token = excluded.token, created_at = excluded.created_at"
	}
	err = t.Exec("INSERT INTO device_endpoints (device_id, app_id, hash, token, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (device_id) "+q,
		e.DeviceID, e.AppID, e.Hash, e.Token, e.CreatedAt).Error
	if err != nil {
		return "", err
	}
	if err := t.Take(&e, "device_id = ?", dev.deviceID).Error; err != nil {
		return "", err
	}
	plain, err := keys.Open(e.Token, e.place())
	return Secret(plain), err
}

// IngestByEndpoint finds the device that an endpoint is of, by its device token, and the
// right to hand over messages for its app, which is not Authorized when no IM app of the
// bridge may push to it. NotFound for an endpoint that never was, or is no more; whether
// its device lives is for Locate to say.
func (s *Store) IngestByEndpoint(ctx context.Context, bridge, endpoint string) (in Ingest, device string, err error) {
	sum := sha256.Sum256([]byte(endpoint))
	var away error
	for _, d := range s.unique {
		var row struct {
			AppID int64
			Token string
		}
		err := d.read(ctx).Raw(`SELECT d.app_id, d.token FROM device_endpoints e JOIN devices d ON d.id = e.device_id
			WHERE e.hash = ?`, sum[:]).Take(&row).Error
		if errors.Is(err, gorm.ErrRecordNotFound) {
			continue
		}
		if err != nil {
			away = fmt.Errorf("models: endpoint: %w", err) // another region may have it
			continue
		}
		in, err := s.ingestOfApp(ctx, bridge, row.AppID)
		return in, row.Token, err
	}
	if away != nil {
		return Ingest{}, "", away
	}
	return Ingest{}, "", notFound("device")
}

// ingestOfApp is the right of the bridge's IM app that pushes to an app, for that app
// alone.
func (s *Store) ingestOfApp(ctx context.Context, bridge string, appID int64) (Ingest, error) {
	// No bridge's id begins like this, so that the key is no name's.
	key := sha256.Sum256([]byte("\x00endpoint\x00" + bridge + "\x00" + strconv.FormatInt(appID, 10)))
	in, err := s.cachedIngest(ctx, ingestKey{named: true, hash: key}, func(time.Time) (Ingest, error) {
		return s.loadIngest(ctx, `i.bridge = ? AND i.id IN (SELECT z.im_app_id FROM authorizations z WHERE z.app_id = ? AND z.released_at IS NULL)`, bridge, appID)
	})
	if KindOf(err) == NotFound && err != nil {
		return Ingest{bridge: bridge}, nil //nolint:nilerr // not authorized, which the caller says
	}
	var own []ingestTarget
	for _, t := range in.targets {
		if t.scope.appID == appID {
			own = append(own, t)
		}
	}
	in.targets, in.addressing = own, AddressDevice
	return in, err
}
