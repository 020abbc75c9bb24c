package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = time.Minute

// until waits for something to become so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}

// process is the tool as a process of its own.
type process struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	done chan error

	mu  sync.Mutex
	out bytes.Buffer // standard output and standard error
}

// newTool is the tool as a process that is not started. TestMain puts this test's own program in PATH under
// the tool's name.
func newTool(t *testing.T, addr, dir string, args ...string) *process {
	p := &process{Cmd: exec.Command("holdfast", args...), t: t, dir: dir, done: make(chan error, 1)}
	p.Dir = dir
	p.Env = append(os.Environ(), "REDIS_URL=redis://"+addr, "XDG_CONFIG_HOME="+dir)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Stdout, p.Stderr = p, p
	p.WaitDelay = time.Second // a command that the tool left behind may hold the output open
	return p
}

// startTool starts the tool. What still runs at the end of the test is killed.
func startTool(t *testing.T, addr, dir string, args ...string) *process {
	t.Helper()
	p := newTool(t, addr, dir, args...)
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		err := p.Wait()
		close(ended)
		p.done <- err
	}()
	p.t.Cleanup(func() {
		_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
		<-ended
	})
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// said is what the process has printed.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.Process.Pid, s); err != nil {
		p.t.Error(err)
	}
}

// wait waits for the end and returns the exit code, 128 and the signal's number where a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case err := <-p.done:
		exit, ok := errors.AsType[*exec.ExitError](err)
		switch {
		case !ok:
			return 0
		case exit.ExitCode() < 0:
			return 128 + signalOf(exit)
		}
		return exit.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%v does not end:\n%s", p.Args, p.said())
		return -1
	}
}

// file waits until a file is there and returns its text.
func (p *process) file(name string) (text string) {
	p.t.Helper()
	until(p.t, name+" is there; the tool said "+p.said(), func() bool {
		b, err := os.ReadFile(filepath.Join(p.dir, name))
		text = strings.TrimSpace(string(b))
		return err == nil
	})
	return text
}
