package push

import (
	"net/http"
	"testing"
)

// A proxy would dial in our place, and no guard would see what.
func TestGuardedClientHasNoProxy(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{false, true} {
		var o Options
		if guarded {
			o.DialControl = Guard(nil)
		}
		h, err := NewHTTP(o)
		if err != nil {
			t.Fatal(err)
		}
		transport, ok := h.client.Transport.(*http.Transport)
		if !ok || (transport.Proxy == nil) != guarded {
			t.Errorf("guarded %v: a proxy from the environment would be used: %v", guarded, ok && transport.Proxy != nil)
		}
		h.Close()
	}
}
