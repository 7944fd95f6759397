package models

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSDKKey bounds the SecretKey of an IM app, in bytes.
const MaxSDKKey = 128

// HasSDKKey reports whether the IM server signs with a SecretKey of its own.
func (m *IMApp) HasSDKKey() bool { return len(m.SealedSDKKey) > 0 }

func checkSDKKey(key Secret) error {
	text := key.Reveal()
	bad := !utf8.ValidString(text) || strings.ContainsFunc(text, unprintable) || strings.ContainsAny(text, " \u3000") || len(text) > MaxSDKKey
	return unless(!bad, invalid("sdk_key", "errors.im_app.sdk_key", map[string]any{"Max": MaxSDKKey}))
}

// setSDKKey does what a form says about the SecretKey. The seal is bound to the row's
// id, which a new row has only after it was written.
func (s *Store) setSDKKey(m *IMApp, in IMAppInput) (err error) {
	if in.DropSDKKey {
		m.SealedSDKKey = nil
	}
	if in.SDKKey != "" {
		m.SealedSDKKey, err = s.keys.Seal([]byte(in.SDKKey.Reveal()), sdkKeyPlace(m.ID))
	}
	return err
}

func sdkKeyPlace(id int64) string { return fmt.Sprintf("im_apps.sdk_key/%d", id) }

// SDKKey returns the SecretKey that the IM server signs with, "" when that is the
// ingest secret.
func (i Ingest) SDKKey() Secret { return i.sdkKey }
