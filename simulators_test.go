package main

import (
	"testing"

	"hongyan/sandbox"
)

// Processes that share a secret key accept each other's sandbox key; others do not
// know it.
func TestSandboxKey(t *testing.T) {
	t.Parallel()
	a, public, err := sandboxKey("one secret")
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := sandboxKey("one secret")
	if err != nil {
		t.Fatal(err)
	}
	if string(a.PEM) != string(b.PEM) || a.KeyID != b.KeyID || a.TeamID != b.TeamID {
		t.Error("the same secret gives different keys")
	}
	if len(a.KeyID) != 10 || len(a.TeamID) != 10 || a.KeyID == a.TeamID || public.ID != a.KeyID {
		t.Errorf("ids %q and %q", a.KeyID, a.TeamID)
	}
	parsed, err := sandbox.ParsePublicKey(a.PEM)
	if err != nil || !parsed.Equal(public.Public) {
		t.Errorf("the file holds another key: %v", err)
	}
	other, _, err := sandboxKey("another secret")
	if err != nil {
		t.Fatal(err)
	}
	if string(other.PEM) == string(a.PEM) || other.KeyID == a.KeyID {
		t.Error("another secret gives the same key")
	}
}
