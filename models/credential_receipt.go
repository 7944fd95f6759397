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

// Reporter is a vendor's authenticated right to report receipts for one credential.
// Only ReceiptsFrom makes one.
type Reporter struct {
	Channel string
	Fields  map[string]Secret // shared with other requests, not to be changed
	id      int64
	scope   AppScope
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
	return Reporter{Channel: channel, Fields: fields, id: c.ID, scope: scope}, err
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
