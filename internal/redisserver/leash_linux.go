package redisserver

import (
	"os/exec"
	"syscall"
)

// leash makes the server go when we go, however we go.
func leash(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
