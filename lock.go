package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errLocked means that another process has the data folder.
var errLocked = errors.New("another hongyan process is using this folder; SQLite serves one process (with DATABASE_URL=postgres://… any number may run)")

// lockDataDir makes the data folder if need be and takes it for this process until
// the returned function is called, or the process ends in whatever way. It fails
// with errLocked when another process has it.
func lockDataDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "hongyan.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	// flock and not a pid file: the kernel lets go of it when a process is killed.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, errLocked)
		}
		return nil, fmt.Errorf("data folder: lock: %w", err)
	}
	return f.Close, nil
}
