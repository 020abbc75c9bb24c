package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"holdfast/holdfasttest"
)

// terminal is a pseudo terminal in which a program runs.
type terminal struct {
	*os.File
	t  *testing.T
	mu sync.Mutex
	// What was printed since the last press.
	screen bytes.Buffer
}

// openTerminal returns a terminal, and the file that a program in it has for its own.
func openTerminal(t *testing.T, columns, rows uint16) (*terminal, *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here:", err)
	}
	x := &terminal{File: master, t: t}
	var number uint32
	unlock := int32(0)
	x.control(syscall.TIOCGPTN, unsafe.Pointer(&number))
	x.control(syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x.size(columns, rows)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.screen.Write(b[:n])
			x.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = master.Close() })
	return x, slave
}

func (x *terminal) control(request uintptr, of unsafe.Pointer) {
	x.t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, x.Fd(), request, uintptr(of)); errno != 0 {
		x.t.Fatal(errno)
	}
}

func (x *terminal) size(columns, rows uint16) {
	x.control(syscall.TIOCSWINSZ, unsafe.Pointer(&[4]uint16{rows, columns}))
}

// shows waits until the program prints all of these.
func (x *terminal) shows(texts ...string) {
	x.t.Helper()
	until(x.t, fmt.Sprintf("the screen shows %q", texts), func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, text := range texts {
			if !strings.Contains(x.screen.String(), text) {
				return false
			}
		}
		return true
	})
}

// press types keys; what was shown before is forgotten.
func (x *terminal) press(keys string) {
	x.t.Helper()
	x.mu.Lock()
	x.screen.Reset()
	x.mu.Unlock()
	if _, err := x.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

func TestTopShowsAndSteersInATerminal(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb := s.Client()
	for _, command := range []string{
		"TASK.PUBLISH mail hello", "TASK.PUBLISH a:queue:whose:name:is:longer:than:the:terminal:is:wide:by:a:good:deal:so:that:it:must:be:cut hello",
		"LOCK.ACQUIRE nightly web-1:77 600000", "CACHE.FETCH user:7 60000 60000",
	} {
		if err := rdb.Do(t.Context(), fields(command)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	screen, slave := openTerminal(t, 80, 24)
	p := newTool(t, s.Addr, t.TempDir(), "top", "--every", "200ms")
	p.Stdin, p.Stdout, p.Stderr = slave, slave, slave
	p.Env = append(p.Env, "TERM=xterm-256color", "NO_COLOR=1")
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	p.start()
	slave.Close()
	screen.shows("[1 Queues 2]", "mail", "READY", "q leaves")
	screen.press("2")
	screen.shows("[2 Locks 1]", "nightly", "exclusive", "web-1:77")
	screen.press("\r")
	screen.shows("held by  web-1:77")
	screen.press("\x1b")
	screen.shows("exclusive")
	screen.press("3")
	screen.shows("[3 Loads 1]", "user:7")
	screen.press("1")
	screen.shows("mail")
	screen.press("/")
	screen.shows("/▏")
	screen.press("mai")
	screen.shows("/mai▏")
	screen.press("\r")
	screen.shows("q leaves")
	screen.press("p")
	screen.shows("Pause mail?", "y/n")
	screen.press("y")
	screen.shows("paused")
	until(t, "the queue is paused", func() bool {
		return strings.Contains(fmt.Sprint(rdb.Do(t.Context(), "TASK.STATS", "mail").Val()), "paused:1")
	})
	screen.press("r")
	screen.shows("Resume mail?")
	screen.press("n")
	screen.shows("nothing was done")
	screen.press("\x1b")
	screen.shows("a:queue:whose")
	screen.size(200, 60)
	_ = syscall.Kill(p.Process.Pid, syscall.SIGWINCH)
	screen.press("?")
	screen.shows("redrive the queue's dead letters")
	screen.press("\x1b")
	screen.shows("a:queue:whose:name:is:longer:than:the:terminal:is:wide:by:a:good:deal:so:that:it:must:be:cut")
	screen.press("q")
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
