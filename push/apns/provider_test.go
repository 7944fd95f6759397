package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"
)

func newProvider(t *testing.T) (*provider, *time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	return &provider{key: key, keyID: "KEY", teamID: "TEAM", now: func() time.Time { return now }}, &now
}

func TestProviderRenews(t *testing.T) {
	p, now := newProvider(t)
	first, err := p.bearer()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		same  bool
	}{{20 * time.Minute, true}, {44 * time.Minute, true}, {46 * time.Minute, false}} {
		*now = time.Unix(1_800_000_000, 0).Add(c.after)
		got, err := p.bearer()
		if err != nil || (got[0] == first[0]) != c.same {
			t.Errorf("after %v: same %v, %v", c.after, got[0] == first[0], err)
		}
	}
}

func TestProviderRefresh(t *testing.T) {
	p, now := newProvider(t)
	old, err := p.bearer()
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(19 * time.Minute)
	if _, ok, err := p.refresh(old); ok || err != nil {
		t.Errorf("refreshed within 20 minutes: %v %v", ok, err)
	}
	*now = now.Add(2 * time.Minute)
	var wg sync.WaitGroup
	got := make([]string, 20)
	for i := range got {
		wg.Go(func() {
			if h, ok, err := p.refresh(old); ok && err == nil {
				got[i] = h[0]
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		if g == "" || g == old[0] || g != got[0] {
			t.Fatal("not one new token for all")
		}
	}
	p.tooMany()
	fresh, err := p.bearer()
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(19 * time.Minute)
	if _, ok, _ := p.refresh(fresh); ok {
		t.Error("changed after Apple said too many")
	}
	if h, err := p.bearer(); err != nil || h[0] != fresh[0] {
		t.Error("did not keep the token")
	}
}

func TestProviderSigningError(t *testing.T) {
	p, _ := newProvider(t)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader) // not for ES256
	if err != nil {
		t.Fatal(err)
	}
	p.key = key
	if _, err := p.bearer(); !errors.Is(err, errSigning) {
		t.Errorf("%v", err)
	}
}
