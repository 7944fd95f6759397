//go:build !linux

package main

import "syscall"

// tiedToUs keeps Ctrl-C from reaching a child; only Linux can also tie its life to
// ours.
func tiedToUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
