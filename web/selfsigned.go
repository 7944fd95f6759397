package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A self-signed certificate is long enough for nobody to be surprised often, since
// everybody who trusts it must be given the next; and is replaced well before its end.
const (
	selfSignedLasts = 2 * 365 * 24 * time.Hour
	selfSignedRenew = 30 * 24 * time.Hour
)

// SelfSigned makes sure that the two files hold a certificate for these hosts (names
// or addresses; loopback is always among them) signed by its own key. A pair that
// is there is kept, unless it is not for all the hosts or ends within 30 days.
func SelfSigned(certFile, keyFile string, hosts []string, now time.Time) error {
	pair, err := LoadCertificate(certFile, keyFile)
	var unread *fs.PathError
	switch {
	case err == nil && covers(pair.Leaf(), hosts) && now.Before(pair.Leaf().NotAfter.Add(-selfSignedRenew)):
		return nil
	case errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("web: self-signed certificate: %w", err)
	}
	// Two files that do not fit are what a stop between their writings leaves: they
	// are of no use to anybody, and made anew like missing ones.
	certPEM, keyPEM, err := newSelfSigned(hosts, now)
	if err != nil {
		return fmt.Errorf("web: self-signed certificate: %w", err)
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{keyFile, keyPEM}, {certFile, certPEM}} {
		if err := replaceFile(f.name, f.text); err != nil {
			return fmt.Errorf("web: self-signed certificate: %w", err)
		}
	}
	return nil
}

func covers(leaf *x509.Certificate, hosts []string) bool {
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func newSelfSigned(hosts []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Hongyan"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLasts),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// No authority: who trusts it trusts this server and nothing that a thief
		// of the key might sign.
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// replaceFile writes a file that only its owner reads, whole or not at all.
func replaceFile(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
