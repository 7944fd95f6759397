package sink_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/sandbox/sink"
)

func TestSink(t *testing.T) {
	s, err := sink.Start(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.RootCAs())
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	post := func() {
		res, err := client.Post(s.URL()+"/3/device/x", "application/json", strings.NewReader(`{"aps":{}}`))
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 || res.ProtoMajor != 2 {
			t.Errorf("%s %s", res.Proto, res.Status)
		}
	}
	post()
	const delay = 50 * time.Millisecond
	s.SetDelay(delay)
	start := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(post)
	}
	wg.Wait()
	if d := time.Since(start); d < delay {
		t.Errorf("answered after %v", d)
	}
	if n := s.Count(); n != 21 {
		t.Errorf("counted %d", n)
	}
}
