//go:build unix && !linux

package redisserver

import (
	"os/exec"
	"syscall"
)

// leash keeps the terminal's signals from the server. Only Linux can also tie its life to ours.
func leash(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
