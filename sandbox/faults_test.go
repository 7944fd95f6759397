package sandbox

import (
	"testing"

	"hongyan/push"
)

// Every simulator knows the codes that the sandbox's page chooses from.
func TestFaults(t *testing.T) {
	t.Parallel()
	for c, v := range vendors() {
		f, known := Faults(c), v.codes()
		for _, code := range []string{f.Throttled, f.Token, f.Server} {
			if _, ok := known[code]; !ok {
				t.Errorf("%s: the simulator does not know %q", c, code)
			}
		}
	}
	f, known := Faults(push.APNs), Reasons()
	for _, code := range []string{f.Throttled, f.Token, f.Server} {
		if _, ok := known[code]; !ok {
			t.Errorf("apns: no reason %q", code)
		}
	}
}
