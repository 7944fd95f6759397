package main

import "syscall"

// tiedToUs makes the kernel end a child when the thread that started it goes.
func tiedToUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
