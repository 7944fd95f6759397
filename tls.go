package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"hongyan/web"
)

// Files of the self-signed certificate in the data folder.
const (
	selfSignedCert = "tls-self-signed.crt"
	selfSignedKey  = "tls-self-signed.key"
)

// certificateEvery is how often the certificate files are looked at.
const certificateEvery = 5 * time.Second

// saysTLS stands before the address of the TLS listener in what the start prints.
const saysTLS = "HTTPS on "

// TLS reports whether this process serves HTTPS itself. One that only works has
// nothing there for anybody.
func (c Config) TLS() bool { return c.TLSListen != "" && c.Web() }

// certificateFiles returns where the certificate and its key lie.
func (c Config) certificateFiles() (cert, key string) {
	if c.TLSSelfSigned {
		return filepath.Join(c.DataDir, selfSignedCert), filepath.Join(c.DataDir, selfSignedKey)
	}
	return c.TLSCertFile, c.TLSKeyFile
}

// certificateHosts returns the names and addresses under which others are told to
// reach this installation over HTTPS.
func (c Config) certificateHosts() []string {
	var out []string
	add := func(address string) {
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" && u.Hostname() != "" {
			out = append(out, u.Hostname())
		}
	}
	add(c.PublicURL)
	for _, r := range c.Regions {
		add(r.Public)
	}
	if host, _, err := net.SplitHostPort(c.TLSListen); err == nil {
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tlsContradictions checks the TLS_ settings against each other.
func (c Config) tlsContradictions() []string {
	var out []string
	files := c.TLSCertFile != "" || c.TLSKeyFile != ""
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		out = append(out, "TLS_CERT_FILE: set it together with TLS_KEY_FILE, or neither")
	}
	switch {
	case c.TLSListen == "" && (files || c.TLSSelfSigned):
		out = append(out, "TLS_LISTEN: say where to serve HTTPS, for example :8443; the certificate settings do nothing without it")
	case c.TLSListen != "" && !files && !c.TLSSelfSigned:
		out = append(out, "TLS_LISTEN: needs TLS_CERT_FILE and TLS_KEY_FILE, or TLS_SELF_SIGNED=on")
	}
	if c.TLSSelfSigned && files {
		out = append(out, "TLS_SELF_SIGNED: set either it or TLS_CERT_FILE and TLS_KEY_FILE, not both")
	}
	if c.TLSSelfSigned && !files && !c.SQLite() {
		out = append(out, "TLS_SELF_SIGNED: not on Postgres, where every process would show a certificate of its own; give all of them the same TLS_CERT_FILE and TLS_KEY_FILE")
	}
	return out
}

// listenTLS binds TLS_LISTEN and begins to watch the certificate.
func (s *process) listenTLS(ctx context.Context) (net.Listener, error) {
	certFile, keyFile := s.cfg.certificateFiles()
	var before func() error
	if s.cfg.TLSSelfSigned {
		before = func() error {
			return web.SelfSigned(certFile, keyFile, s.cfg.certificateHosts(), time.Now())
		}
		if err := before(); err != nil {
			return nil, err
		}
	}
	cert, err := web.LoadCertificate(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	ln, err := web.Listen(ctx, s.cfg.TLSListen)
	if err != nil {
		return nil, err
	}
	s.con.log.Info("certificate", "file", certFile, "sha256", web.Fingerprint(cert.Leaf()), "ends", cert.Leaf().NotAfter)
	s.watchCertificate(ctx, cert, before)
	return cert.Secure(ln), nil
}

func (s *process) watchCertificate(ctx context.Context, cert *web.Certificate, before func() error) {
	// As with the web part, the end of ctx must not end this one out of turn.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cert.Watch(watching, certificateEvery, hangup, before, s.con.log)
	}()
	s.parts.started("certificate", shareQuick, func(ctx context.Context) error {
		signal.Stop(hangup)
		stop()
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// checkCertificate says what a caller would object to in the certificate.
func checkCertificate(f *findings, cfg Config) {
	const what = "certificate"
	if !cfg.TLS() {
		return
	}
	certFile, keyFile := cfg.certificateFiles()
	if cfg.TLSSelfSigned {
		if there, err := exists(certFile); err == nil && !there {
			f.note(what, "%s is not there yet; the first start makes it", certFile)
			return
		}
	}
	cert, err := web.LoadCertificate(certFile, keyFile)
	if err != nil {
		f.fail(what, "%v", err)
		return
	}
	leaf := cert.Leaf()
	if err := web.CertificateTime(leaf, time.Now()); err != nil {
		f.fail(what, "%s %v", certFile, err)
	} else {
		f.ok(what, "%s ends on %s, SHA-256 %s", certFile, leaf.NotAfter.UTC().Format(time.DateOnly), web.Fingerprint(leaf))
	}
	for _, host := range cfg.certificateHosts() {
		if err := leaf.VerifyHostname(host); err != nil {
			f.fail(what, "callers of https://%s will refuse it: %v", host, err)
		}
	}
	checkChain(f, what, cert)
}

// checkChain notes what a caller with this machine's authorities would not trust.
// Only a note: the callers may know an authority that this machine does not.
func checkChain(f *findings, what string, cert *web.Certificate) {
	intermediates := x509.NewCertPool()
	for _, der := range cert.Chain() {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	_, err := cert.Leaf().Verify(x509.VerifyOptions{Intermediates: intermediates})
	var unknown x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	switch {
	case errors.As(err, &roots):
		f.note(what, "this machine has no list of authorities to check it against")
	case selfIssued(cert.Leaf()):
		f.note(what, "it is self-signed: give it to whoever calls, as something to trust")
	case errors.As(err, &unknown):
		f.note(what, "no authority known here signed it: put the intermediate certificates after it in the file, or have callers trust your authority")
	}
}

// selfIssued reports whether a certificate names itself as its issuer and its own
// key signed it; CheckSignatureFrom asks more, namely an authority.
func selfIssued(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
