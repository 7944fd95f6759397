package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"hongyan/push"
)

// Object ids of Apple's push certificates.
var (
	oidUserID      = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidDevelopment = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1}
	oidProduction  = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
)

// CA is a certificate authority of a sandbox's own. It signs the simulators' server
// certificates and the app certificates the simulators accept.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority that is valid for ten years from now.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sandbox: new ca: %w", err)
	}
	t := template("Hongyan Sandbox CA", now, now.AddDate(10, 0, 0))
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sandbox: new ca: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sandbox: new ca: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// PEM returns the authority's certificate for clients to trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// ServerCertificate makes a certificate for loopback and any further names or addresses.
func (ca *CA) ServerCertificate(now time.Time, hosts ...string) (tls.Certificate, error) {
	t := template("localhost", now, now.AddDate(1, 0, 0))
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = []string{"localhost"}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if h != "" {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	cert, key, err := ca.issue(t)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// AppCertificate describes a push certificate to make.
type AppCertificate struct {
	BundleID string
	// Environments the certificate is for; empty for both.
	Environments        []push.Environment
	NotBefore, NotAfter time.Time
}

// P12 makes a push certificate with its key as a .p12 file, like those Apple issues
// for an app, that simulators with this authority accept.
func (ca *CA) P12(a AppCertificate, password string) ([]byte, error) {
	t := template("Apple Push Services: "+a.BundleID, a.NotBefore, a.NotAfter)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	t.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: a.BundleID}}
	null := []byte{5, 0}
	for _, e := range a.Environments {
		oid := oidProduction
		if e == push.Development {
			oid = oidDevelopment
		}
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oid, Value: null})
	}
	cert, key, err := ca.issue(t)
	if err != nil {
		return nil, err
	}
	out, err := pkcs12.Modern.Encode(key, cert, nil, password)
	if err != nil {
		return nil, fmt.Errorf("sandbox: p12: %w", err)
	}
	return out, nil
}

func (ca *CA) issue(t *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: issue: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: issue: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: issue: %w", err)
	}
	return cert, key, nil
}

func template(name string, from, to time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails, see crypto/rand
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: from.Add(-time.Hour), NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}
