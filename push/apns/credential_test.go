package apns

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"software.sslmate.com/src/go-pkcs12"

	"hongyan/push"
)

const bundle = "im.hongyan.demo"

var (
	certFrom = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	certTo   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	certNow  = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
)

// selfSigned makes a certificate in Apple's manner.
func selfSigned(t *testing.T, key crypto.Signer, extensions ...pkix.Extension) *x509.Certificate {
	t.Helper()
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: certFrom, NotAfter: certTo, ExtraExtensions: extensions,
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + bundle,
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: bundle}},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func extension(oid asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: oid, Value: []byte{5, 0}}
}

func pack(t *testing.T, e *pkcs12.Encoder, key any, cert *x509.Certificate, chain []*x509.Certificate, password string) []byte {
	t.Helper()
	out, err := e.Encode(key, cert, chain, password)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fieldCode is the code of a *push.FieldError, "" for none.
func fieldCode(t *testing.T, err error) string {
	t.Helper()
	var fe *push.FieldError
	if err != nil && !errors.As(err, &fe) {
		t.Fatalf("%v is no FieldError", err)
	}
	if fe == nil {
		return ""
	}
	return fe.Code
}

func TestParseP12Encodings(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*pkcs12.Encoder{
		"OpenSSL 3": pkcs12.Modern2023, "newest": pkcs12.Modern2026, "3DES": pkcs12.LegacyDES, "RC2": pkcs12.LegacyRC2,
	} {
		for _, key := range []crypto.Signer{rsaKey, ecKey(t)} {
			ca := selfSigned(t, ecKey(t))
			data := pack(t, e, key, selfSigned(t, key), []*x509.Certificate{ca}, "密码 pass")
			cert, info, err := ParseP12(data, "密码 pass", certNow)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if len(cert.Certificate) != 2 || cert.Leaf == nil {
				t.Errorf("%s: %d certificates", name, len(cert.Certificate))
			}
			want := push.CredentialInfo{
				Kind: "p12", Subject: "Apple Push Services: " + bundle, BundleID: bundle, Topics: []string{bundle},
				Environments: []push.Environment{push.Production, push.Development}, NotBefore: certFrom, NotAfter: certTo,
			}
			if d := cmp.Diff(want, info); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if _, _, err := ParseP12(data, "wrong", certNow); fieldCode(t, err) != push.FieldWrongPassword {
				t.Errorf("%s: wrong password: %v", name, err)
			}
			if _, _, err := ParseP12(data, "", certNow); fieldCode(t, err) != push.FieldWrongPassword {
				t.Errorf("%s: no password: %v", name, err)
			}
		}
	}
}

func TestParseP12Faults(t *testing.T) {
	key := ecKey(t)
	cert := selfSigned(t, key)
	good := pack(t, pkcs12.Modern, key, cert, nil, "pw")
	keyless, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{cert}, "pw")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		at   time.Time
		want string
	}{
		"good":               {good, certNow, ""},
		"nothing":            {nil, certNow, push.FieldEmpty},
		"too large":          {make([]byte, maxFile+1), certNow, push.FieldTooLarge},
		"a picture":          {[]byte("\x89PNG\r\n\x1a\n0000000000"), certNow, push.FieldNotCert},
		"text":               {[]byte("hello"), certNow, push.FieldNotCert},
		"half a file":        {good[:len(good)/2], certNow, push.FieldNotCert},
		"a .cer":             {cert.Raw, certNow, push.FieldNotP12},
		"a .pem":             {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), certNow, push.FieldNotP12},
		"certificate alone":  {keyless, certNow, push.FieldNoPrivateKey},
		"key of another":     {pack(t, pkcs12.Modern, ecKey(t), cert, nil, "pw"), certNow, push.FieldKeyMismatch},
		"expired":            {good, certTo.Add(time.Second), push.FieldExpired},
		"not yet":            {good, certFrom.Add(-time.Second), push.FieldNotYetValid},
		"leaf not the first": {pack(t, pkcs12.Modern, key, selfSigned(t, ecKey(t)), []*x509.Certificate{cert}, "pw"), certNow, ""},
	} {
		_, info, err := ParseP12(c.data, "pw", c.at)
		if got := fieldCode(t, err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if (c.want == push.FieldExpired || c.want == push.FieldNotYetValid) && info.BundleID != bundle {
			t.Errorf("%s: nothing is said about the file: %+v", name, info)
		}
	}
}

func TestCertificateExtensions(t *testing.T) {
	topics, err := asn1.Marshal([]asn1.RawValue{
		{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: []byte(bundle)},
		{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true},
		{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: []byte(bundle + ".voip")},
		{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ext    []pkix.Extension
		envs   []push.Environment
		topics []string
	}{
		"development": {[]pkix.Extension{extension(oidDevelopment)}, []push.Environment{push.Development}, []string{bundle}},
		"production":  {[]pkix.Extension{extension(oidProduction)}, []push.Environment{push.Production}, []string{bundle}},
		"both": {[]pkix.Extension{extension(oidDevelopment), extension(oidProduction), {Id: oidTopics, Value: topics}},
			[]push.Environment{push.Development, push.Production}, []string{bundle, bundle + ".voip"}},
		"odd topics": {[]pkix.Extension{{Id: oidTopics, Value: []byte("?")}}, environments(), []string{bundle}},
	} {
		key := ecKey(t)
		_, info, err := ParseP12(pack(t, pkcs12.Modern, key, selfSigned(t, key, c.ext...), nil, "pw"), "pw", certNow)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.envs, info.Environments); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(c.topics, info.Topics); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestParseP8(t *testing.T) {
	p8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := p8(ecKey(t))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"good":          {good, ""},
		"line ends":     {[]byte("\r\n" + strings.ReplaceAll(string(good), "\n", "\r\n") + "\r\n"), ""},
		"nothing":       {nil, push.FieldEmpty},
		"too large":     {make([]byte, maxFile+1), push.FieldTooLarge},
		"text":          {[]byte("hello"), push.FieldNotP8},
		"rsa":           {p8(rsaKey), push.FieldNotP8},
		"another curve": {p8(p384), push.FieldNotP8},
		"a certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), push.FieldNotP8},
	} {
		_, _, err := ParseP8(c.data)
		if got := fieldCode(t, err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestInspect(t *testing.T) {
	key := ecKey(t)
	p12 := string(pack(t, pkcs12.Legacy, key, selfSigned(t, key, extension(oidProduction)), nil, "pw"))
	for name, c := range map[string]struct {
		fields      map[string]string
		bundle      string
		field, code string
	}{
		"good":          {map[string]string{"kind": "p12", "p12": p12, "password": "pw"}, bundle, "", ""},
		"other app":     {map[string]string{"kind": "p12", "p12": p12, "password": "pw"}, "im.other", "p12", push.FieldBundle},
		"no app yet":    {map[string]string{"kind": "p12", "p12": p12, "password": "pw"}, "", "", ""},
		"environment":   {map[string]string{"kind": "p12", "p12": p12, "password": "pw", "environments": "development"}, bundle, "environments", push.FieldEnvironment},
		"no kind":       {map[string]string{"p12": p12}, bundle, "kind", push.FieldMissing},
		"other kind":    {map[string]string{"kind": "p7"}, bundle, "kind", push.FieldInvalid},
		"no file":       {map[string]string{"kind": "p12"}, bundle, "p12", push.FieldMissing},
		"no key id":     {map[string]string{"kind": "p8", "p8": "x", "team_id": "ABCDEFGHIJ"}, bundle, "key_id", push.FieldMissing},
		"short team":    {map[string]string{"kind": "p8", "p8": "x", "key_id": "ABCDEFGHIJ", "team_id": "ABC"}, bundle, "team_id", push.FieldInvalid},
		"leftover file": {map[string]string{"kind": "p12", "p12": p12, "password": "pw", "p8": "old", "key_id": "?"}, bundle, "", ""},
	} {
		_, err := Inspect(c.fields, c.bundle, certNow)
		var fe *push.FieldError
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.As(err, &fe) || fe.Field != c.field || fe.Code != c.code {
			t.Errorf("%s: %v, want %s %s", name, err, c.field, c.code)
		}
	}
}

// FuzzParseP12: nothing that is uploaded may panic or be an error without a code.
func FuzzParseP12(f *testing.F) {
	f.Add([]byte("0\x80"), "pw")
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		_, _, err := ParseP12(data, password, certNow)
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Code == "" {
			t.Fatalf("%v", err)
		}
	})
}
