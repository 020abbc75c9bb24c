package main

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runUntil runs a command to its end. When ctx ends before, the command and all that it started get
// TERM, and KILL after grace. Should this process be killed, the command is killed too, on Linux.
func runUntil(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	group(cmd)
	// The kernel ties the command's life to the thread that starts it, so the thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leash(cmd)
	// Processes that the command left behind may hold its output open.
	cmd.WaitDelay = grace + time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		signalGroup(cmd, syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(grace):
			signalGroup(cmd, syscall.SIGKILL)
		}
	}()
	return cmd.Wait()
}

// group makes the command the head of a process group, so that a signal reaches all of it, and
// Ctrl-C on the terminal reaches us alone.
func group(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func signalGroup(cmd *exec.Cmd, s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) }

// signalOf is the number of the signal that ended a process.
func signalOf(err *exec.ExitError) int {
	if status, ok := err.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}

// lastLine passes output on and remembers its last line that is not empty.
type lastLine struct {
	to   io.Writer
	mu   sync.Mutex
	line []byte // the last bytes of the output, lastLineMost at most
}

const lastLineMost = 4096

func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, b...)
	if len(l.line) > lastLineMost {
		l.line = bytes.Clone(l.line[len(l.line)-lastLineMost:])
	}
	return l.to.Write(b)
}

func (l *lastLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(l.line), "")), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
