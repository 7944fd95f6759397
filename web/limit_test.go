package web

import (
	"testing"
	"time"
)

func TestLimiterExhausted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	l := NewLimiter(time.Second, 2, func() time.Time { return now })
	if l.Exhausted("a") {
		t.Error("a new key is exhausted")
	}
	for range 2 {
		if l.Exhausted("a") || !l.Allow("a") {
			t.Error("refused within the limit")
		}
	}
	if !l.Exhausted("a") || l.Allow("a") || l.Exhausted("b") {
		t.Error("not refused over the limit, or another key is")
	}
	now = now.Add(time.Second)
	if l.Exhausted("a") || !l.Allow("a") {
		t.Error("refused after a rest")
	}
}

func TestAddressKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"203.0.113.7":          "203.0.113.7",
		"::ffff:203.0.113.7":   "203.0.113.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"nonsense":             "nonsense",
	} {
		if got := AddressKey(in); got != want {
			t.Errorf("AddressKey(%q) = %q, want %q", in, got, want)
		}
	}
}
