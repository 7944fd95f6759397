package apns

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"time"

	"github.com/sideshow/apns2/token"
	"software.sslmate.com/src/go-pkcs12"

	"hongyan/push"
)

// maxFile bounds an uploaded key or certificate, in bytes. Real ones are 0.3 to 10 KB.
const maxFile = 64 << 10

// Object ids in Apple's push certificates and in .p12 files, never changed.
var (
	oidUserID      = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}    // subject UID: the bundle id
	oidDevelopment = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1}    // development push service
	oidProduction  = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}    // production push service
	oidTopics      = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}    // list of topics
	oidData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}         // PKCS #7 data
	oidKeyBag      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1} // PKCS #12 keyBag
	oidShrouded    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2} // PKCS #12 pkcs8ShroudedKeyBag
)

// environments returns both of Apple's services.
func environments() []push.Environment {
	return []push.Environment{push.Production, push.Development}
}

// credential is an opened key (.p8) or certificate (.p12).
type credential struct {
	info          push.CredentialInfo
	key           *ecdsa.PrivateKey
	keyID, teamID string
	cert          tls.Certificate
}

// ParseP12 opens a .p12 file with an APNs certificate and its key, written by
// OpenSSL 3, by older tools or by Keychain Access. It returns the certificate ready
// for TLS and what it says about itself; dates are judged at now. The error is a
// *push.FieldError; the info is filled even when only the dates are wrong.
func ParseP12(data []byte, password string, now time.Time) (tls.Certificate, push.CredentialInfo, error) {
	info := push.CredentialInfo{Kind: kindP12}
	if code := checkFile(data); code != "" {
		return tls.Certificate{}, info, &push.FieldError{Field: fieldP12, Code: code}
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return tls.Certificate{}, info, p12Error(data, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, info, &push.FieldError{Field: fieldP12, Code: push.FieldNoPrivateKey}
	}
	leaf, chain = orderChain(signer, append([]*x509.Certificate{leaf}, chain...))
	if leaf == nil {
		return tls.Certificate{}, info, &push.FieldError{Field: fieldP12, Code: push.FieldKeyMismatch}
	}
	describe(&info, leaf)
	cert := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: signer, Leaf: leaf}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	switch {
	case now.After(leaf.NotAfter):
		return cert, info, &push.FieldError{Field: fieldP12, Code: push.FieldExpired}
	case now.Before(leaf.NotBefore):
		return cert, info, &push.FieldError{Field: fieldP12, Code: push.FieldNotYetValid}
	}
	return cert, info, nil
}

// ParseP8 opens a .p8 file, the PEM of an Apple signing key. The error is a
// *push.FieldError.
func ParseP8(data []byte) (*ecdsa.PrivateKey, push.CredentialInfo, error) {
	info := push.CredentialInfo{Kind: kindP8}
	if code := checkFile(data); code != "" {
		return nil, info, &push.FieldError{Field: fieldP8, Code: code}
	}
	// The cause is left out of the error: it may quote the file.
	key, err := token.AuthKeyFromBytes(data)
	if err != nil || key.Curve != elliptic.P256() {
		return nil, info, &push.FieldError{Field: fieldP8, Code: push.FieldNotP8}
	}
	info.Environments = environments()
	return key, info, nil
}

// MatchBundle returns a *push.FieldError when a credential is for another app than
// bundle. A credential that names no app, as .p8 keys do, fits every one.
func MatchBundle(info push.CredentialInfo, bundle string) error {
	if bundle == "" || info.BundleID == "" || info.BundleID == bundle {
		return nil
	}
	for _, t := range info.Topics {
		if t == bundle {
			return nil
		}
	}
	return &push.FieldError{Field: fieldP12, Code: push.FieldBundle}
}

func checkFile(data []byte) string {
	switch {
	case len(data) == 0:
		return push.FieldEmpty
	case len(data) > maxFile:
		return push.FieldTooLarge
	}
	return ""
}

// p12Error says in one word why a file is not a usable .p12.
func p12Error(data []byte, err error) error {
	fe := &push.FieldError{Field: fieldP12}
	var unsupported pkcs12.NotImplementedError
	keys, isP12 := countKeys(data)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		fe.Code = push.FieldWrongPassword
	case isCertificate(data):
		fe.Code = push.FieldNotP12
	case !isP12:
		fe.Code = push.FieldNotCert
	case errors.As(err, &unsupported):
		fe.Code = push.FieldNotP12
	case keys == 0:
		fe.Code = push.FieldNoPrivateKey
	case keys > 1:
		fe.Code = push.FieldManyKeys
	default:
		fe.Code = push.FieldNotP12
	}
	return fe
}

// isCertificate tells a bare certificate (.cer, .pem), which people upload when
// they forget to export the key with it.
func isCertificate(data []byte) bool {
	if b, _ := pem.Decode(data); b != nil {
		return true
	}
	_, err := x509.ParseCertificate(data)
	return err == nil
}

// The outer shape of a PKCS #12 file (RFC 7292 section 4).
type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		MacData  asn1.RawValue `asn1:"optional"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"set,optional"`
	}
)

// countKeys reads the part of a .p12 that is not encrypted as a whole, where keys
// are kept, and counts them; false if the bytes are no .p12. The library that opens
// the file reports a missing key only as text.
func countKeys(data []byte) (int, bool) {
	var p pfx
	if _, err := asn1.Unmarshal(data, &p); err != nil || !p.AuthSafe.Type.Equal(oidData) {
		return 0, false
	}
	var inner []byte
	var safes []contentInfo
	if _, err := asn1.Unmarshal(p.AuthSafe.Content.Bytes, &inner); err != nil {
		return 0, false
	}
	if _, err := asn1.Unmarshal(inner, &safes); err != nil {
		return 0, false
	}
	n := 0
	for _, s := range safes {
		var raw []byte
		var bags []safeBag
		if !s.Type.Equal(oidData) {
			continue
		}
		if _, err := asn1.Unmarshal(s.Content.Bytes, &raw); err != nil {
			continue
		}
		if _, err := asn1.Unmarshal(raw, &bags); err != nil {
			continue
		}
		for _, b := range bags {
			if b.ID.Equal(oidKeyBag) || b.ID.Equal(oidShrouded) {
				n++
			}
		}
	}
	return n, true
}

// orderChain finds the certificate that belongs to the key, wherever the exporting
// tool put it, and returns it and the others; nil if there is none.
func orderChain(key crypto.Signer, certs []*x509.Certificate) (*x509.Certificate, []*x509.Certificate) {
	var leaf *x509.Certificate
	var rest []*x509.Certificate
	for _, c := range certs {
		pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if leaf == nil && ok && pub.Equal(key.Public()) {
			leaf = c
			continue
		}
		rest = append(rest, c)
	}
	return leaf, rest
}

// describe reads Apple's conventions from a certificate. Without the extensions it
// is taken to be for both environments and its own bundle id.
func describe(info *push.CredentialInfo, c *x509.Certificate) {
	info.Subject = c.Subject.CommonName
	info.NotBefore, info.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
	for _, n := range c.Subject.Names {
		if s, ok := n.Value.(string); ok && n.Type.Equal(oidUserID) {
			info.BundleID = s
		}
	}
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(oidProduction):
			info.Environments = append(info.Environments, push.Production)
		case e.Id.Equal(oidDevelopment):
			info.Environments = append(info.Environments, push.Development)
		case e.Id.Equal(oidTopics):
			info.Topics = parseTopics(e.Value)
		}
	}
	if len(info.Environments) == 0 {
		info.Environments = environments()
	}
	if len(info.Topics) == 0 && info.BundleID != "" {
		info.Topics = []string{info.BundleID}
	}
}

// parseTopics reads the topics extension: a sequence of names, each followed by a
// sequence of kinds, which are skipped. What cannot be read gives no topics.
func parseTopics(der []byte) []string {
	var items []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &items); err != nil {
		return nil
	}
	var out []string
	for _, it := range items {
		if it.Class == asn1.ClassUniversal && it.Tag == asn1.TagUTF8String {
			out = append(out, string(it.Bytes))
		}
	}
	return out
}
