package models

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
)

// diskGuard refuses intake before the disk is so full that the records of what
// was already accepted could no longer be written.
type diskGuard struct {
	mu    sync.Mutex
	path  string
	floor uint64
	free  func(path string) (uint64, error)
	low   atomic.Bool
}

// DiskFree returns the bytes an ordinary user can still write at path.
func DiskFree(path string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("models: disk: %w", err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // block sizes are positive
}

// GuardDisk makes Accept refuse messages while fewer than floor bytes are free
// at path, looked at once a second. free is nil for DiskFree.
func (s *Store) GuardDisk(path string, floor uint64, free func(path string) (uint64, error)) {
	g := &s.intake.guard
	g.mu.Lock()
	g.path, g.floor, g.free = path, floor, free
	if free == nil {
		g.free = DiskFree
	}
	g.mu.Unlock()
	g.look()
}

// DiskLow reports whether intake is refused because the disk is nearly full.
func (s *Store) DiskLow() bool { return s.intake.guard.full() }

// look measures. When that fails the guard steps aside: a commit that fails
// refuses by itself.
func (g *diskGuard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == nil {
		return
	}
	free, err := g.free(g.path)
	g.low.Store(err == nil && free < g.floor)
}

func (g *diskGuard) full() bool { return g.low.Load() }
