package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hongyan/models"
)

// The simulator alone: it prints where it listens and which key it takes, a push
// signed with that key is recorded, and it obeys orders.
func TestSandboxCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	caFile, record := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "pushes")
	ctx, stop := context.WithCancel(t.Context())
	orders, in := io.Pipe()
	out, printed := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, invocation{
			args: []string{"sandbox", "-listen", "127.0.0.1:0", "-ca", caFile, "-record", record},
			env:  env(nil), in: orders, out: printed, err: printed,
		})
	}()
	lines := bufio.NewScanner(out)
	next := func(pattern string) []string {
		t.Helper()
		for lines.Scan() {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); m != nil {
				return m
			}
		}
		t.Fatalf("no line like %s", pattern)
		return nil
	}
	key := next(`^signing key (\S+), key id (\S+), team id (\S+)$`)
	url := next(`^APNs simulator at (\S+)$`)[1]
	next(`^SANDBOX_APNS_ADDR=127\.0\.0\.1:\d+ SANDBOX_CA_FILE=` + regexp.QuoteMeta(caFile) + `$`)

	client := trusting(t, caFile)
	if status := pushOnce(t, client, url, key); status != http.StatusOK {
		t.Errorf("push answered %d", status)
	}
	text, err := os.ReadFile(record)
	if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), strings.Repeat("ab", 32)) {
		t.Errorf("recorded %q, %v", text, err)
	}
	if _, err := fmt.Fprintln(in, "mix InternalServerError=100"); err != nil {
		t.Fatal(err)
	}
	next(`^done: mix`)
	if status := pushOnce(t, client, url, key); status != http.StatusInternalServerError {
		t.Errorf("push answered %d with every answer a failure", status)
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// With a console's settings the simulator takes the key that the console's sandbox
// pages make; without them it says that it does not.
func TestSandboxTakesTheConsolesKey(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{testKey(), ""} {
		dir := t.TempDir()
		var out strings.Builder
		sim, record, err := startSandbox(
			invocation{env: env(map[string]string{"SECRET_KEY": secret, "DATA_DIR": dir}), out: &out, err: &out},
			sandboxFlags{channel: "apns", listen: "127.0.0.1:0", environment: "production", caFile: filepath.Join(dir, "ca.pem")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(sim.Close(), record.Close()); err != nil {
				t.Error(err)
			}
		})
		file, _, err := sandboxKey(models.Secret(testKey()))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "console.p8")
		if err := os.WriteFile(path, file.PEM, 0o600); err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		if secret == "" {
			want = http.StatusForbidden
		}
		if got := pushOnce(t, trusting(t, filepath.Join(dir, "ca.pem")), sim.URL(), []string{"", path, file.KeyID, file.TeamID}); got != want {
			t.Errorf("secret %t: push answered %d, want %d\n%s", secret != "", got, want, out.String())
		}
		if refuses := strings.Contains(out.String(), "refuses the sandbox key"); refuses != (secret == "") {
			t.Errorf("printed %s", out.String())
		}
	}
}

// trusting returns a client that trusts a CA file.
func trusting(t *testing.T, caFile string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the CA file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// pushOnce sends one alert, signed with the printed key, and returns the status.
func pushOnce(t *testing.T, client *http.Client, url string, key []string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/3/device/"+strings.Repeat("ab", 32), strings.NewReader(`{"aps":{"alert":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("authorization", "bearer "+providerToken(t, key[1], key[2], key[3]))
	req.Header.Set("apns-topic", "com.example.app")
	req.Header.Set("apns-push-type", "alert")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // test
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// providerToken signs an APNs provider token (ES256) with nothing of ours.
func providerToken(t *testing.T, file, keyID, teamID string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	body := part(map[string]string{"alg": "ES256", "kid": keyID}) + "." + part(map[string]any{"iss": teamID, "iat": time.Now().Unix()})
	sum := sha256.Sum256([]byte(body))
	r, s, err := ecdsa.Sign(rand.Reader, parsed.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return body + "." + base64.RawURLEncoding.EncodeToString(sig)
}
