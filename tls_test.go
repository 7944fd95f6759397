package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hongyan/web"
)

// pairIn makes a self-signed pair in a folder, as of a time, and returns the
// settings that name it and the certificate.
func pairIn(t *testing.T, dir string, at time.Time, hosts ...string) (map[string]string, *x509.Certificate) {
	t.Helper()
	settings := map[string]string{"TLS_CERT_FILE": filepath.Join(dir, "cert.pem"), "TLS_KEY_FILE": filepath.Join(dir, "key.pem")}
	if err := web.SelfSigned(settings["TLS_CERT_FILE"], settings["TLS_KEY_FILE"], hosts, at); err != nil {
		t.Fatal(err)
	}
	return settings, certificateIn(t, settings["TLS_CERT_FILE"])
}

func certificateIn(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM in " + file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// believing returns a client that believes these certificates alone. A fresh one
// opens a connection for each request.
func believing(fresh bool, certs ...*x509.Certificate) *http.Client {
	roots := x509.NewCertPool()
	for _, c := range certs {
		roots.AddCert(c)
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableKeepAlives: fresh,
	}}
}

// well asks for /healthz and returns what the answering connection was.
func well(ctx context.Context, client *http.Client, address string) (*tls.ConnectionState, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // test
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "ok\n" || res.ProtoMajor != 2 {
		return nil, fmt.Errorf("%s %s %q: %w", res.Proto, res.Status, body, err)
	}
	return res.TLS, nil
}

// The certificate of a running server is replaced twice, with SIGHUP and without,
// while requests go on over old and new connections: none fails.
func TestCertificateReloadUnderTraffic(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	env, first := pairIn(t, dirs[0], time.Now())
	_, second := pairIn(t, dirs[1], time.Now())
	_, third := pairIn(t, dirs[2], time.Now())
	env["DATA_DIR"], env["LISTEN"], env["SHUTDOWN_TIMEOUT"] = filepath.Join(t.TempDir(), "data"), freeAddress(t), "10s"
	env["TLS_LISTEN"] = freeAddress(t)
	said := newLastWords(saysTLS)
	hongyan := spawn(t, "hongyan", env, nil, nil, said, "serve")
	await(t, said, func() bool { return said.count(saysTLS) > 0 })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	var callers sync.WaitGroup
	for i := range 4 {
		client := believing(i%2 == 0, first, second, third)
		callers.Go(func() {
			for ctx.Err() == nil {
				if _, err := well(ctx, client, env["TLS_LISTEN"]); err != nil && ctx.Err() == nil {
					t.Errorf("a request during the reload: %v", err)
					return
				}
				asked.Add(1)
			}
		})
	}
	shows := func(want *x509.Certificate) func() bool {
		fresh := believing(true, first, second, third)
		return func() bool {
			state, err := well(t.Context(), fresh, env["TLS_LISTEN"])
			if err != nil {
				t.Fatal(err)
			}
			return state.PeerCertificates[0].Equal(want)
		}
	}
	if !shows(first)() {
		t.Error("another certificate is shown at first")
	}
	for i, want := range []*x509.Certificate{second, third} {
		for _, f := range []string{"key.pem", "cert.pem"} {
			if err := os.Rename(filepath.Join(dirs[i+1], f), filepath.Join(dirs[0], f)); err != nil {
				t.Fatal(err)
			}
		}
		if want == second {
			if err := hongyan.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		before := asked.Load()
		await(t, said, shows(want))
		await(t, said, func() bool { return asked.Load() >= before+20 })
	}
	cancel()
	callers.Wait()
	t.Logf("%d requests over two changes", asked.Load())
	hongyan.stop()
}

// await waits until done, at most a minute.
func await(t *testing.T, said *lastWords, done func() bool) {
	t.Helper()
	if !waitFor(time.Minute, done) {
		t.Fatalf("waited for a minute; the process said:\n%s", said)
	}
}

// With TLS_SELF_SIGNED=on the first start makes a pair, which whoever trusts it finds
// again after the next, under the name in PUBLIC_URL.
func TestSelfSignedStart(t *testing.T) {
	t.Parallel()
	pairs := installation(t, "sqlite")
	pairs["TLS_LISTEN"], pairs["TLS_SELF_SIGNED"], pairs["PUBLIC_URL"] = "127.0.0.1:0", "on", "https://push.example.com"
	if out := must(t, pairs, "doctor"); !strings.Contains(out, "the first start makes it") {
		t.Errorf("doctor says\n%s", out)
	}
	var made *x509.Certificate
	for range 2 {
		r := boot(t, pairs)
		_, address, _ := strings.Cut(r.printed, saysTLS)
		address, _, _ = strings.Cut(address, "\n")
		if made == nil {
			made = certificateIn(t, filepath.Join(pairs["DATA_DIR"], selfSignedCert))
		}
		client := believing(true, made)
		if _, err := well(t.Context(), client, address); err != nil {
			t.Error(err)
		}
		client.Transport.(*http.Transport).TLSClientConfig.ServerName = "push.example.com"
		if _, err := well(t.Context(), client, address); err != nil {
			t.Error(err)
		}
		if code, _ := get(t, "http://"+r.address+"/healthz"); code != http.StatusOK {
			t.Errorf("without TLS: %d", code)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
	if out := must(t, pairs, "doctor"); !strings.Contains(out, "it is self-signed") || !strings.Contains(out, web.Fingerprint(made)) {
		t.Errorf("doctor says\n%s", out)
	}
}

// A certificate that cannot be served ends the start, and doctor says what callers
// would object to.
func TestCertificateTrouble(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const host = "push.example.com"
	for name, c := range map[string]struct {
		at     time.Time
		host   string
		spoil  string // file whose content is replaced
		says   string
		starts bool
	}{
		"good":          {now, host, "", `ok +certificate .*SHA-256 [0-9a-f]{64}`, true},
		"ends soon":     {now.AddDate(0, 0, -720), host, "", `FAIL +certificate .* in 9 days`, true},
		"ended":         {now.AddDate(0, 0, -731), host, "", `FAIL +certificate .* ended on`, true},
		"not yet":       {now.AddDate(0, 0, 2), host, "", `FAIL +certificate .* valid only from`, true},
		"other name":    {now, "other.example.com", "", `FAIL +certificate +callers of https://push.example.com will refuse it`, true},
		"key of others": {now, host, "TLS_KEY_FILE", `FAIL +certificate .*key`, false},
		"no file":       {now, host, "TLS_CERT_FILE", `FAIL +certificate .*certificate`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pairs := installation(t, "sqlite")
			settings, _ := pairIn(t, t.TempDir(), c.at, c.host)
			for k, v := range settings {
				pairs[k] = v
			}
			pairs["TLS_LISTEN"], pairs["PUBLIC_URL"] = "127.0.0.1:0", "https://"+host
			if c.spoil != "" {
				if err := os.WriteFile(pairs[c.spoil], []byte("-----BEGIN NOTHING-----\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, code := do(t, pairs, "doctor")
			if !regexp.MustCompile(c.says).MatchString(out) || (code == exitOK) != (name == "good") {
				t.Errorf("doctor: exit %d, want %s in\n%s", code, c.says, out)
			}
			if c.starts {
				boot(t, pairs)
				return
			}
			refused(t, pairs, "web: certificate: ", "serve")
		})
	}
}

// A process that only works needs no certificate, so that all may share one
// configuration.
func TestWorkerServesNoTLS(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(env(map[string]string{
		"DATABASE_URL": "postgres://u:pw@db/x", "SECRET_KEY": testKey(), "ROLE": "worker",
		"TLS_LISTEN": ":8443", "TLS_CERT_FILE": "nowhere", "TLS_KEY_FILE": "nowhere",
	}))
	if err != nil || cfg.TLS() {
		t.Errorf("TLS %v, %v", cfg.TLS(), err)
	}
}
