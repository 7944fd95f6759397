package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// CertificateNoted is how long before a certificate's end people are told.
const CertificateNoted = 14 * 24 * time.Hour

// certificateReminder is how often the log repeats that a certificate ends.
const certificateReminder = 24 * time.Hour

// Certificate is a certificate with its key, read from two PEM files and read again
// when they change. Connections that are open keep what they were opened with.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]

	mu   sync.Mutex
	seen [sha256.Size]byte // of the files that current was read from
}

// LoadCertificate reads a certificate, with the intermediate ones after it, and its
// key. Both files are PEM.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again and takes what they hold when it is a pair; else
// it keeps what it has and says why. It reports whether the certificate is another.
func (c *Certificate) Reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	certPEM, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("web: certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("web: certificate: %w", err)
	}
	// Compared by content: times lie where a file is copied, mounted or swapped by
	// a link.
	sum := sha256.Sum256(bytes.Join([][]byte{certPEM, keyPEM}, []byte{0}))
	if sum == c.seen {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, fmt.Errorf("web: certificate: %s with %s: %w", c.certFile, c.keyFile, err)
	}
	c.seen = sum
	c.current.Store(&pair)
	return true, nil
}

// Leaf returns the certificate that is shown now.
func (c *Certificate) Leaf() *x509.Certificate { return c.current.Load().Leaf }

// Chain returns what is sent after the certificate.
func (c *Certificate) Chain() [][]byte { return c.current.Load().Certificate[1:] }

// Secure makes ln speak TLS 1.2 and up with whatever certificate is current when a
// connection opens, and offer HTTP/2.
func (c *Certificate) Secure(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	})
}

// Watch reads the files again every so often and whenever now receives something,
// until ctx ends. before runs ahead of each reading, for a certificate that this
// program makes itself; nil does nothing.
func (c *Certificate) Watch(ctx context.Context, every time.Duration, now <-chan os.Signal, before func() error, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	c.remind(log)
	reminded, fault := time.Now(), ""
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-now:
			asked = true
		case <-ticker.C:
		}
		changed, err := c.again(before)
		// The same fault is told once, unless somebody asked: a pair that is being
		// written is no pair for a moment, and a broken one stays broken.
		switch {
		case err != nil && (asked || err.Error() != fault):
			log.Error("the certificate was not read again; the one before stays in use", "err", err)
		case changed:
			log.Info("new certificate in use", "sha256", Fingerprint(c.Leaf()), "ends", c.Leaf().NotAfter)
		case asked && err == nil:
			log.Info("the certificate files hold what is in use already")
		}
		fault = ""
		if err != nil {
			fault = err.Error()
		}
		if changed || time.Since(reminded) > certificateReminder {
			c.remind(log)
			reminded = time.Now()
		}
	}
}

func (c *Certificate) again(before func() error) (bool, error) {
	if before != nil {
		if err := before(); err != nil {
			return false, err
		}
	}
	return c.Reload()
}

// remind says in the log that the certificate ends soon or is not valid now.
func (c *Certificate) remind(log *slog.Logger) {
	if err := CertificateTime(c.Leaf(), time.Now()); err != nil {
		log.Warn("certificate", "err", err, "file", c.certFile)
	}
}

// CertificateTime says that a certificate is not valid at a time, or ends within
// CertificateNoted of it.
func CertificateTime(leaf *x509.Certificate, now time.Time) error {
	const day = "2006-01-02 15:04 UTC"
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		return errors.New("valid only from " + leaf.NotBefore.UTC().Format(day))
	case left <= 0:
		return errors.New("ended on " + leaf.NotAfter.UTC().Format(day))
	case left <= CertificateNoted:
		return fmt.Errorf("ends on %s, in %d days", leaf.NotAfter.UTC().Format(day), int(left.Hours()/24))
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate, as browsers show it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
