package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// noBullMQ says what is missing to run BullMQ, or nil.
func noBullMQ() error {
	_, program := exec.LookPath("node")
	_, pkg := os.Stat("bullmq/node_modules/bullmq")
	return cmp.Or(program, pkg)
}

// quietInBullMQ is quietTenant's wait in ms in one queue of BullMQ, whose worker is a process
// of Node.js.
func quietInBullMQ(s *Server, n int) float64 {
	s.run("FLUSHALL")
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "bullmq/quiet.mjs", strconv.Itoa(s.Port), strconv.Itoa(workers), strconv.Itoa(n), payload)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the process ends with this thread
	defer runtime.UnlockOSThread()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		fail(fmt.Errorf("BullMQ: %w: %s", cmp.Or(ctx.Err(), err), said.String()))
	}
	wait, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	must(err)
	return wait
}
