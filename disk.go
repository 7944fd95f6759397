package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskFree returns the bytes that an unprivileged process may still write on the
// disk of a folder.
func diskFree(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("disk of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
