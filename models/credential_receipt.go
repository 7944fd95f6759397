package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// HasReceipts reports whether a channel's vendor reports what became of messages, as
// the channel's push.Spec says by its ReceiptSetup.
func HasReceipts(channel string) bool {
	switch channel {
	case "hw", "harmony", "honor", "xm", "oppo", "vivo", "mz":
		return true
	}
	return false
}

// receiptBytes is the randomness in a receipt address: 160 bits.
const receiptBytes = 20

func receiptPlace(id int64) string { return "credentials.receipt_secret:" + strconv.FormatInt(id, 10) }

// newReceiptSecret gives a credential the secret of its receipt address. It stays
// over changes of the credential, because it is entered in the vendor's console.
func (s *Store) newReceiptSecret(c *Credential) error {
	var raw [receiptBytes]byte
	_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
	secret := base64.RawURLEncoding.EncodeToString(raw[:])
	sealed, err := s.keys.Seal([]byte(secret), receiptPlace(c.ID))
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(secret))
	c.SealedReceipt, c.ReceiptHash = sealed, hash[:]
	return nil
}

// receiptSecret opens the secret of a credential's receipt address, "" for none.
func (s *Store) receiptSecret(c *Credential) (Secret, error) {
	if len(c.SealedReceipt) == 0 {
		return "", nil
	}
	plain, err := s.keys.Open(c.SealedReceipt, receiptPlace(c.ID))
	return Secret(plain), err
}

// ReceiptSecret returns the secret of a credential's receipt address, to be shown to
// who may configure it: it is copied into the vendor's console. NotFound; Forbidden
// without PermConfigure.
func (s *Store) ReceiptSecret(ctx context.Context, who Actor, o CredentialOwner, id int64) (Secret, error) {
	if err := who.need(PermConfigure); err != nil {
		return "", err
	}
	c, err := s.CredentialByID(ctx, who, o, id)
	if err != nil {
		return "", err
	}
	return s.receiptSecret(c)
}

// SetReceipts is 点击激活, or takes it back: from now on messages carry the receipt
// address of a vendor that must know it first, as the operator says it does. NotFound;
// Conflict when it is so already, or for a channel without receipts; Forbidden without
// PermConfigure.
func (s *Store) SetReceipts(ctx context.Context, who Actor, appID, id int64, on bool) error {
	o := AppOwner(appID)
	err := s.change(ctx, who, PermConfigure, "set receipts", func(t *Tx) error {
		own, err := t.owner(who, o)
		if err != nil {
			return err
		}
		var c Credential
		err = t.locked().Where("account_id = ? AND owner_kind = ? AND owner_id = ? AND id = ?", who.AccountID, o.kind, o.id, id).Take(&c).Error
		if err != nil {
			return found(err, "")
		}
		if len(c.ReceiptHash) == 0 || on == (c.ReceiptOnAt != nil) {
			return conflict("errors.changed_meanwhile", nil)
		}
		c.ReceiptOnAt, c.ReceiptOnBy, c.ReceiptOffCode = nil, "", ""
		if now := t.now(); on {
			c.ReceiptOnAt, c.ReceiptOnBy = &now, who.Name
		}
		if err := t.Select("receipt_on_at", "receipt_on_by", "receipt_off_code").Updates(&c).Error; err != nil {
			return err
		}
		return t.audit(who, entry{
			action: ActionUpdate, kind: AuditCredential, id: id, name: own.name, product: own.product,
			before: facts{"channel": c.Channel, "receipt_active": !on}, after: facts{"channel": c.Channel, "receipt_active": on},
		})
	})
	if err == nil {
		s.forgetOwner(o)
	}
	return err
}

// ReceiptsRefused takes an activation back that the vendor contradicts: it refuses
// messages because of the address. The revision guards it as in PauseCredential. It is
// for the worker, and stands in the audit log as the program's act.
func (s *Store) ReceiptsRefused(ctx context.Context, id, revision int64, code string) error {
	var rows []Credential
	err := s.write(ctx, func(t *Tx) error {
		err := t.Raw(`UPDATE credentials SET receipt_on_at = NULL, receipt_on_by = '', receipt_off_code = ?
			WHERE id = ? AND revision = ? AND receipt_on_at IS NOT NULL RETURNING *`, code, id, revision).Scan(&rows).Error
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
		return t.audit(SystemActor(c.AccountID), entry{
			action: ActionUpdate, kind: AuditCredential, id: id, name: app.Name, product: app.ProductID,
			before: facts{"channel": c.Channel, "receipt_active": true}, after: facts{"channel": c.Channel, "receipt_active": false, "code": code},
		})
	})
	if err != nil || len(rows) == 0 {
		return failed("receipts refused", err)
	}
	s.forgetOwner(rows[0].Owner())
	return nil
}

// Reporter is a vendor's authenticated right to report receipts for one credential.
// Only ReceiptsFrom makes one.
type Reporter struct {
	Channel string
	Fields  map[string]Secret // shared with other requests, not to be changed
	id      int64
	// revision is the credential's.
	revision int64
	scope    AppScope
}

// App returns the app that receipts of this credential are about.
func (r Reporter) App() AppScope { return r.scope }

// loadReporter reads the credential of a channel whose receipt secret has that hash.
func (s *Store) loadReporter(ctx context.Context, channel string, hash []byte) (Reporter, error) {
	var c Credential
	err := s.read(ctx).Where("receipt_hash = ? AND channel = ? AND owner_kind = ?", hash, channel, ownerApp).Take(&c).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return Reporter{}, notFound("")
	}
	if err != nil {
		return Reporter{}, fmt.Errorf("models: receipts from: %w", err)
	}
	var a App
	if err := s.read(ctx).Where("id = ? AND deleted_at IS NULL", c.OwnerID).Take(&a).Error; err != nil {
		return Reporter{}, failed("receipts from", found(err, ""))
	}
	scope, err := s.scope(&a)
	if err != nil {
		return Reporter{}, err
	}
	fields, err := s.openFields(&c)
	return Reporter{Channel: channel, Fields: fields, id: c.ID, revision: c.Revision, scope: scope}, err
}

// ReceiptRef is what a vendor sends back with a receipt: a message on a device, in
// 32 characters of URL-safe base64.
func ReceiptRef(messageID string, device int64) string { return receiptRef(messageID, device) }

// SharedReceiptRef is ReceiptRef of the first target of a request to several devices:
// the receipt's token says which of them, and so whose message, a receipt is about.
func SharedReceiptRef(messageID string, device int64) string {
	return receiptRef(messageID, sharedRef(device))
}

func receiptRef(messageID string, device int64) string {
	id, err := uuid.Parse(messageID)
	if err != nil {
		return ""
	}
	var b [24]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[16:], uint64(device)) //nolint:gosec // a bit pattern, read back the same way
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseReceiptRef reads what ReceiptRef made, and for VendorReceipt what
// SharedReceiptRef made; false for anything else.
func ParseReceiptRef(ref string) (messageID string, device int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(ref)
	if err != nil || len(b) != 24 {
		return "", 0, false
	}
	id, err := uuid.FromBytes(b[:16])
	if err != nil {
		return "", 0, false
	}
	return id.String(), int64(binary.BigEndian.Uint64(b[16:])), true //nolint:gosec // as above
}
