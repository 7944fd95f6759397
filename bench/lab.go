package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"

	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/sandbox/sink"
)

// bundle is the topic of every push.
const bundle = "com.example.im"

// lab is the vendor's stand-in and what pushes to it without a database.
type lab struct {
	sink    *sink.Sink
	key     sandbox.KeyFile
	private *ecdsa.PrivateKey
	targets [][]push.Target // one each
	sender  push.Sender
}

func newLab() (*lab, error) {
	s, err := sink.Start(0)
	if err != nil {
		return nil, err
	}
	l := &lab{sink: s}
	if l.key, _, err = sandbox.NewKey(); err != nil {
		return nil, err
	}
	if l.private, err = token.AuthKeyFromBytes(l.key.PEM); err != nil {
		return nil, err
	}
	for i := range inFlight {
		l.targets = append(l.targets, []push.Target{{Token: deviceToken(i), Topic: bundle, ID: uuid.NewString()}})
	}
	spec, ok := registry.New().Lookup(push.APNs)
	if !ok {
		return nil, errors.New("no apns channel")
	}
	l.sender, err = spec.Open(context.Background(), l.fields(), l.options())
	return l, err
}

func (l *lab) close() {
	if l.sender != nil {
		l.sender.Close()
	}
	l.sink.Close()
}

func (l *lab) fields() map[string]string {
	return map[string]string{"kind": "p8", "p8": string(l.key.PEM), "key_id": l.key.KeyID, "team_id": l.key.TeamID, "environments": "both"}
}

func (l *lab) options() push.Options {
	return push.Options{Endpoint: l.sink.URL(), RootCAs: l.sink.RootCAs(), Environment: push.Production, Topic: bundle}
}

func deviceToken(i int) string { return fmt.Sprintf("%064x", i+1) }

// loop has one called from inFlight goroutines for span.
func (l *lab) loop(span time.Duration, one func(i int) error) (sample, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	m := startMeter()
	end := m.began.Add(span)
	for g := range inFlight {
		wg.Go(func() {
			for i := g; time.Now().Before(end); i += inFlight {
				if err := one(i); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return sample{}, *err
	}
	return m.read(n.Load()), nil
}

// bare is a plain loop over sideshow/apns2, as its documentation has it, with the
// payload made beforehand.
func (l *lab) bare(span time.Duration) (sample, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.sink.RootCAs())
	transport := &http2.Transport{ //nolint:staticcheck // as apns2 itself does
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ReadIdleTimeout: apns2.ReadIdleTimeout,
	}
	defer transport.CloseIdleConnections()
	client := apns2.NewTokenClient(&token.Token{AuthKey: l.private, KeyID: l.key.KeyID, TeamID: l.key.TeamID})
	client.Host = l.sink.URL()
	client.HTTPClient = &http.Client{Timeout: apns2.HTTPClientTimeout, Transport: transport}
	payload := []byte(`{"aps":{"alert":{"title":"Alice","body":"Are you coming to the meeting at three?"},"badge":7,"sound":"default","thread-id":"c-100"},"hy_mid":"0199a0b0-0000-7000-8000-000000000001"}`)
	return l.loop(span, func(i int) error {
		t := &l.targets[i%inFlight][0]
		r, err := client.Push(&apns2.Notification{
			ApnsID: t.ID, DeviceToken: t.Token, Topic: bundle, Priority: apns2.PriorityHigh, PushType: apns2.PushTypeAlert, Payload: payload,
		})
		switch {
		case err != nil:
			return err
		case !r.Sent():
			return fmt.Errorf("answer %d", r.StatusCode)
		}
		return nil
	})
}

// push is our own sender in the same loop.
func (l *lab) push(span time.Duration) (sample, error) {
	badge := 7
	m := push.Message{
		Kind: push.Alert, Title: "Alice", Body: "Are you coming to the meeting at three?", Badge: &badge, Sound: "default", ThreadID: "c-100",
		HighPriority: true, Data: map[string]any{"hy_mid": "0199a0b0-0000-7000-8000-000000000001"},
	}
	return l.loop(span, func(i int) error {
		r := l.sender.Send(context.Background(), m, l.targets[i%inFlight])
		if r[0].Outcome != push.Accepted {
			return fmt.Errorf("%s %s", r[0].Outcome, r[0].Code)
		}
		return nil
	})
}
