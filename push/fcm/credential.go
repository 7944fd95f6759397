package fcm

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"regexp"

	"hongyan/push"
)

const kindServiceAccount = "service_account"

// account is what is used of a service account's file. Its addresses are not: see
// tokenBase.
type account struct {
	Type    string `json:"type"`
	Project string `json:"project_id"`
	KeyID   string `json:"private_key_id"`
	Key     string `json:"private_key"`
	Email   string `json:"client_email"`
}

// minKeyBits is the shortest RSA key taken; Google makes 2048.
const minKeyBits = 2048

// Shapes of what becomes part of an address or of a token:
// https://cloud.google.com/resource-manager/docs/creating-managing-projects
const (
	projectShape = `^(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`
	emailShape   = `^[A-Za-z0-9._-]{1,128}@[A-Za-z0-9.-]{1,255}$`
	keyIDShape   = `^[0-9A-Za-z_-]{1,128}$`
)

// parse checks the fields and opens the service account. Errors name the field and
// what is wrong with it, never what it holds.
func parse(fields map[string]string) (account, error) {
	var a account
	for _, f := range Spec().Fields {
		if err := f.Check(fields[f.Key]); err != nil {
			return a, err
		}
	}
	fail := func(code string) (account, error) {
		return account{}, &push.FieldError{Field: fieldAccount, Code: code}
	}
	if json.Unmarshal([]byte(fields[fieldAccount]), &a) != nil {
		return fail(push.FieldInvalid)
	}
	if a.Key == "" {
		return fail(push.FieldNoPrivateKey) // such as google-services.json, which is for the app
	}
	if a.Type != kindServiceAccount || !matches(projectShape, a.Project) || !matches(emailShape, a.Email) || !matches(keyIDShape, a.KeyID) {
		return fail(push.FieldInvalid)
	}
	if !goodKey(a.Key) {
		return fail(push.FieldNoPrivateKey)
	}
	return a, nil
}

func matches(shape, s string) bool { return regexp.MustCompile(shape).MatchString(s) }

// goodKey reports whether a PEM block is an RSA key that can sign.
func goodKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if k, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return false
		}
	}
	key, ok := k.(*rsa.PrivateKey)
	return ok && key.N.BitLen() >= minKeyBits && key.Validate() == nil
}
