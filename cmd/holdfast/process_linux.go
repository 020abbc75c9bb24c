package main

import (
	"os/exec"
	"syscall"
)

// leash has the kernel kill the command when the thread that starts it ends, which is when this
// process ends, even by kill -9: a lock of a session is free then, and a task goes to another
// worker, so nothing may go on in their name.
func leash(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }
