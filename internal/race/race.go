// Package race keeps tests apart that the race detector makes many times slower, or
// that measure what it multiplies.
package race

import "testing"

// Skip skips a test while the race detector is on. make test names these and runs them
// once without it.
func Skip(t testing.TB) {
	t.Helper()
	if enabled {
		t.Skip("runs without the race detector: see make test")
	}
}
