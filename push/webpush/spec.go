// Package webpush sends to browsers: Web Push (RFC 8030), with the message encrypted for
// one browser (RFC 8291) and signed by the application server's key (RFC 8292, VAPID).
//
// A target brings its own address: Target.Token is the browser's subscription as JSON,
// {"endpoint","keys":{"p256dh","auth"}}, which strangers write. So nothing is dialled
// that Options.DialControl has not judged, no redirect is followed, and only the push
// services of the known browsers are believed when they find fault with the key.
//
// What arrives in the service worker's push event is a JSON object: id, title, body,
// tag (what the notification replaces), badge (a number for setAppBadge), silent,
// thread, and data.
//
// Encryption and signature come from SherClockHolmes/webpush-go.
package webpush

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"hongyan/push"
)

// Keys of the credential's fields.
const (
	fieldPublic  = "public_key"
	fieldPrivate = "private_key"
	fieldSubject = "subject"
)

const (
	// maxPayload is the most plaintext in bytes. Push services must take 4096 bytes
	// encrypted (RFC 8030 section 7.2), of which RFC 8291 leaves 3993; some take less:
	// https://pushpad.xyz/blog/web-push-errors-explained-with-http-status-codes
	maxPayload = 3000
	// targetsPerSend bounds one Send. A request has one target, so this is only how
	// much work one call carries.
	targetsPerSend = 500
)

// Spec describes the channel: its key pair, its limits, its codes, and how to open a
// sender. No push service reports what became of a message, and none publishes a rate.
func Spec() push.Spec {
	return push.Spec{
		Channel: push.WebPush,
		Fields: []push.Field{
			{Key: fieldPublic, Kind: push.FieldText, Required: true, Pattern: `[A-Za-z0-9_-]{87}=?`, MaxBytes: 88},
			{Key: fieldPrivate, Kind: push.FieldSecret, Required: true, Pattern: `[A-Za-z0-9_-]{43}=?`, MaxBytes: 44},
			// Apple refuses keys without a real address to complain to.
			{Key: fieldSubject, Kind: push.FieldText, Required: true, Pattern: `mailto:[^\s@<>"]+@[^\s@<>"]+\.[^\s@<>".]+|https://[^\s/@<>"]+\.[^\s/@<>"]+(/[^\s<>"]*)?`, MaxBytes: 256},
		},
		Limits:       push.Limits{InFlight: push.HTTPInFlight, TargetsPerRequest: targetsPerSend, PayloadBytes: maxPayload},
		Environments: environments(),
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
	}
}

func environments() []push.Environment { return []push.Environment{push.Production} }

// Inspect reads the fields of a credential without a network. See push.Spec. Keys are
// for a web origin, so there is no bundle to compare.
func Inspect(fields map[string]string, _ string, _ time.Time) (push.CredentialInfo, error) {
	info := push.CredentialInfo{Environments: environments()}
	if err := check(fields); err != nil {
		return info, err
	}
	info.Kind, info.Subject = "vapid", fields[fieldSubject]
	return info, nil
}

// check checks every field, and that the two keys are a pair.
func check(fields map[string]string) error {
	for _, f := range Spec().Fields {
		if err := f.Check(fields[f.Key]); err != nil {
			return err
		}
	}
	public, err := decode(fields[fieldPublic])
	if err != nil {
		return &push.FieldError{Field: fieldPublic, Code: push.FieldInvalid}
	}
	if _, err := ecdh.P256().NewPublicKey(public); err != nil {
		return &push.FieldError{Field: fieldPublic, Code: push.FieldInvalid}
	}
	raw, err := decode(fields[fieldPrivate])
	if err != nil {
		return &push.FieldError{Field: fieldPrivate, Code: push.FieldInvalid}
	}
	private, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return &push.FieldError{Field: fieldPrivate, Code: push.FieldInvalid}
	}
	if !bytes.Equal(private.PublicKey().Bytes(), public) {
		return &push.FieldError{Field: fieldPrivate, Code: push.FieldKeyMismatch}
	}
	return nil
}

// decode reads base64 in any of the forms browsers and tools write it.
func decode(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return base64.RawURLEncoding.DecodeString(s)
}

// NewKeys makes a key pair in the form of the fields public_key and private_key.
func NewKeys() (public, private string, err error) {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("push/webpush: new keys: %w", err)
	}
	e := base64.RawURLEncoding
	return e.EncodeToString(k.PublicKey().Bytes()), e.EncodeToString(k.Bytes()), nil
}
