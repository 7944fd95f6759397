package models

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring seals secrets and message content before they reach a database.
type Keyring struct{ aead tink.AEAD }

// rawKeyBytes is the length of a key given as plain base64.
const rawKeyBytes = 32

// saltBytes is X-AES-256-GCM's key-derivation salt.
const saltBytes = 12

// NewKeyring reads a secret key: either 32 random bytes in base64 (what
// `openssl rand -base64 32` prints) or a Tink JSON keyset, whose rotation then
// works as Tink documents.
func NewKeyring(text string) (*Keyring, error) {
	text = strings.TrimSpace(text)
	var h *keyset.Handle
	var err error
	if strings.HasPrefix(text, "{") {
		// Tink's name warns that the keyset is not itself encrypted: whoever reads
		// the key file reads everything, as with any key file.
		h, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewBufferString(text)))
	} else {
		h, err = rawKeyset(text)
	}
	if err != nil {
		return nil, fmt.Errorf("models: secret key: %w", err)
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("models: secret key: %w", err)
	}
	return &Keyring{aead: a}, nil
}

func rawKeyset(text string) (*keyset.Handle, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != rawKeyBytes {
		return nil, errors.New("want 32 random bytes in base64, or a Tink JSON keyset")
	}
	params, err := xaesgcm.NewParameters(xaesgcm.VariantNoPrefix, saltBytes)
	if err != nil {
		return nil, err
	}
	key, err := xaesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), 0, params)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManager()
	id, err := m.AddKey(key)
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return m.Handle()
}

// Seal encrypts plain for one place, named like "credentials.fields:17", so that
// a sealed value copied elsewhere does not open.
func (k *Keyring) Seal(plain []byte, place string) ([]byte, error) {
	b, err := k.aead.Encrypt(plain, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("models: seal: %w", err)
	}
	return b, nil
}

// Open decrypts what Seal made for the same place.
func (k *Keyring) Open(sealed []byte, place string) ([]byte, error) {
	b, err := k.aead.Decrypt(sealed, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("models: open sealed %s: %w", place, err)
	}
	return b, nil
}

// Secret is a value that prints as hidden everywhere: %v, %#v, JSON, slog.
type Secret string

const hidden = "[hidden]"

// String hides the value.
func (Secret) String() string { return hidden }

// GoString hides the value.
func (Secret) GoString() string { return hidden }

// MarshalText hides the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal returns the value. Callers are the few places that must send it.
func (s Secret) Reveal() string { return string(s) }
