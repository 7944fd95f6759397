package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

// pair writes a self-signed pair for push.example.com into a folder.
func pair(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM, keyPEM, err := newSelfSigned([]string{"push.example.com", "192.0.2.7"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// over serves the handler over TLS with the certificate and returns the address.
func over(t *testing.T, cert *Certificate, h http.Handler) string {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, cert.Secure(ln), "tls", h, time.Minute, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// shown opens a connection that trusts leaf alone, under the name, and returns its
// state.
func shown(t *testing.T, address, name string, leaf *x509.Certificate, versions ...uint16) (tls.ConnectionState, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	config := &tls.Config{RootCAs: roots, ServerName: name}
	if len(versions) > 0 {
		config.MinVersion, config.MaxVersion = versions[0], versions[0]
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	state := conn.(*tls.Conn).ConnectionState()
	return state, conn.Close()
}

func TestSecure(t *testing.T) {
	t.Parallel()
	cert, err := LoadCertificate(pair(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	s.Console().GET("/in", Public, func(c echo.Context) error {
		SignIn(c, "token", false)
		return c.String(http.StatusOK, c.Request().Proto+" "+c.Scheme())
	})
	address := over(t, cert, s)
	for _, name := range []string{"push.example.com", "192.0.2.7", "localhost", "127.0.0.1", "::1"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if _, err := shown(t, address, name, cert.Leaf(), version); err != nil {
				t.Errorf("%s with version %x: %v", name, version, err)
			}
		}
	}
	if _, err := shown(t, address, "other.example.com", cert.Leaf()); err == nil {
		t.Error("the certificate is believed for another name")
	}
	if _, err := shown(t, address, "localhost", cert.Leaf(), tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf())
	for proto, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2, DisableKeepAlives: true,
		}}
		res, body := ask(t, client, "https://"+address+"/in")
		if body != proto+" https" {
			t.Errorf("answered over %q, want %s", body, proto)
		}
		if c := res.Header.Get("Set-Cookie"); !strings.Contains(c, "; Secure") {
			t.Errorf("the session's cookie over %s: its attributes lack Secure", proto)
		}
	}
}

func ask(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // test
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return res, body
}

// heard is a log that passes on what is said.
type heard chan string

func (h heard) Write(p []byte) (int, error) { h <- string(p); return len(p), nil }

// A pair that does not fit, or is gone, leaves the one in use; what asks for a
// reading is answered in the log; the next good pair is shown to new connections.
func TestCertificateWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, err := LoadCertificate(pair(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	address := over(t, cert, http.NotFoundHandler())
	first := cert.Leaf()
	said := make(heard, 16)
	now := make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cert.Watch(ctx, time.Hour, now, nil, slog.New(slog.NewTextHandler(said, nil)))
	}()
	t.Cleanup(func() { cancel(); <-done })
	expect := func(step, words string, leaf *x509.Certificate) {
		t.Helper()
		now <- syscall.SIGHUP
		if got := <-said; !strings.Contains(got, words) {
			t.Errorf("%s: the log says %q, want %q", step, got, words)
		}
		if _, err := shown(t, address, "localhost", leaf); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
	expect("nothing changed", "in use already", first)
	if err := os.Rename(cert.keyFile, cert.keyFile+".away"); err != nil {
		t.Fatal(err)
	}
	expect("no key", "stays in use", first)
	second := t.TempDir()
	certFile, keyFile := pair(t, second)
	if err := os.Rename(keyFile, cert.keyFile); err != nil {
		t.Fatal(err)
	}
	expect("the key of another", "private key does not match", first)
	if err := os.Rename(certFile, cert.certFile); err != nil {
		t.Fatal(err)
	}
	next, err := LoadCertificate(cert.certFile, cert.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	expect("another pair", "new certificate in use", next.Leaf())
	if _, err := shown(t, address, "localhost", first); err == nil {
		t.Error("the first certificate is still shown")
	}
}

func TestCertificateTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to time.Duration
		says     string
	}{
		{-time.Hour, 15 * 24 * time.Hour, ""},
		{-time.Hour, 14 * 24 * time.Hour, "in 14 days"},
		{-time.Hour, time.Minute, "in 0 days"},
		{-time.Hour, 0, "ended on 2026-11-25 08:00 UTC"},
		{time.Hour, 90 * 24 * time.Hour, "valid only from"},
	} {
		err := CertificateTime(&x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.to)}, now)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("ends in %s: %v, want %q", c.to, err, c.says)
		}
	}
}

// A self-signed pair stays, over starts, until it ends or is for other hosts.
func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	begin := time.Now()
	// made returns which pair is there after a start at that time.
	made := func(at time.Time, hosts ...string) string {
		t.Helper()
		if err := SelfSigned(certFile, keyFile, hosts, at); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCertificate(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			if err := c.Leaf().VerifyHostname(h); err != nil {
				t.Error(err)
			}
		}
		return Fingerprint(c.Leaf())
	}
	first := made(begin, "push.example.com")
	for _, f := range []string{certFile, keyFile} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	if made(begin.Add(selfSignedLasts-selfSignedRenew-time.Hour), "push.example.com") != first {
		t.Error("a pair that is good was replaced")
	}
	renewed := made(begin.Add(selfSignedLasts-selfSignedRenew+time.Hour), "push.example.com")
	other := made(begin, "other.example.com")
	if first == renewed || renewed == other {
		t.Error("a pair was kept near its end, or for another host")
	}
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if made(begin, "other.example.com") == other {
		t.Error("half a pair was kept")
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(keyFile, 0o700); err != nil {
		t.Fatal(err)
	}
	var unread *fs.PathError
	if err := SelfSigned(certFile, keyFile, nil, begin); !errors.As(err, &unread) {
		t.Errorf("a key that cannot be read: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.*")) // of temporary files
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
