package apns_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"

	"hongyan/push"
	"hongyan/sandbox"
	"hongyan/sandbox/sink"
)

const inFlight = 200

// run shares b.N pushes among goroutines and reports the process's CPU time for
// each, in which the sink's share is included.
func run(b *testing.B, inFlight int, one func(i int) bool) {
	b.Helper()
	var next, bad atomic.Int64
	var wg sync.WaitGroup
	before := cpu()
	b.ResetTimer()
	for range inFlight {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if !one(int(i)) {
					bad.Add(1)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "push/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/push")
	if n := bad.Load(); n > 0 {
		b.Errorf("%d of %d failed", n, b.N)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func startSink(b *testing.B, delay time.Duration) *sink.Sink {
	b.Helper()
	s, err := sink.Start(delay)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkSender is this package; compare it with BenchmarkBare.
func BenchmarkSender(b *testing.B) {
	s := startSink(b, 0)
	l := newLab(b, sandbox.APNsConfig{})
	o := l.options()
	o.Endpoint, o.RootCAs = s.URL(), s.RootCAs()
	sender := l.open(b, o)
	ctx := context.Background()
	ts := targets(inFlight)
	run(b, inFlight, func(i int) bool {
		return sender.Send(ctx, hello(), ts[i%len(ts):][:1])[0].Outcome == push.Accepted
	})
}

// BenchmarkSenderAt50ms is as many pushes under way as two connections carry, at an
// answer time of 50 ms; the ceiling is 36 000 a second.
func BenchmarkSenderAt50ms(b *testing.B) {
	s := startSink(b, 50*time.Millisecond)
	l := newLab(b, sandbox.APNsConfig{})
	o := l.options()
	o.Endpoint, o.RootCAs = s.URL(), s.RootCAs()
	sender := l.open(b, o)
	ctx := context.Background()
	ts := targets(inFlight)
	run(b, 2*900, func(i int) bool {
		return sender.Send(ctx, hello(), ts[i%len(ts):][:1])[0].Outcome == push.Accepted
	})
}

// BenchmarkBare is a plain loop over sideshow/apns2.
func BenchmarkBare(b *testing.B) {
	s := startSink(b, 0)
	l := newLab(b, sandbox.APNsConfig{})
	key, err := token.AuthKeyFromBytes(l.file.PEM)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.RootCAs())
	client := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: l.file.KeyID, TeamID: l.file.TeamID})
	client.Host = s.URL()
	client.HTTPClient = &http.Client{
		Timeout: apns2.HTTPClientTimeout,
		Transport: &http2.Transport{ //nolint:staticcheck // as apns2 itself does
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			ReadIdleTimeout: apns2.ReadIdleTimeout,
		},
	}
	ts := targets(inFlight)
	payload := []byte(`{"aps":{"alert":{"title":"hello","body":"there"}}}`)
	run(b, inFlight, func(i int) bool {
		t := ts[i%len(ts)]
		r, err := client.Push(&apns2.Notification{
			ApnsID: t.ID, DeviceToken: t.Token, Topic: topic, Priority: 10, PushType: apns2.PushTypeAlert, Payload: payload,
		})
		return err == nil && r.Sent()
	})
}
