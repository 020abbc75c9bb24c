// Package conformance holds the clients of all languages to one list of promises.
package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// patience bounds each wait of a test. A test that waits longer hangs.
const patience = 30 * time.Second

// client is a process that runs a driver.
type client struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	mu      sync.Mutex
	changed sync.Cond
	lines   []line
	gone    bool
	next    int
	cancels bool
}

// line is one line that a driver wrote: the result of an operation, or an event.
type line struct {
	ID      int               `json:"id"`
	OK      map[string]any    `json:"ok"`
	Error   string            `json:"error"`
	Text    string            `json:"text"`
	Event   string            `json:"event"`
	Token   int64             `json:"token"`
	Task    string            `json:"task"`
	Payload string            `json:"payload"`
	Tries   int               `json:"tries"`
	Headers map[string]string `json:"headers"`
}

type args map[string]any

// start runs a driver, and connects its client to a server.
func (d driver) start(t *testing.T, addr string, o mode) *client {
	t.Helper()
	c := &client{t: t, cmd: exec.Command(d.command[0], d.command[1:]...)}
	c.changed.L = &c.mu
	c.cmd.Dir = d.dir
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in = in
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.read(out) }()
	t.Cleanup(func() {
		_ = in.Close()
		c.Kill()
		<-done
		_ = c.cmd.Wait()
		if t.Failed() {
			for _, l := range c.lines {
				t.Logf("%d said %+v", c.cmd.Process.Pid, l)
			}
		}
	})
	open := c.do("open", args{"addr": addr, "protocol": o.protocol, "cluster": o.cluster})
	c.cancels = open["cancel"] == true
	return c
}

func (c *client) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			l.Event, l.Text = "unreadable", lines.Text()
		}
		c.mu.Lock()
		c.lines = append(c.lines, l)
		c.changed.Broadcast()
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.gone = true
	c.changed.Broadcast()
	c.mu.Unlock()
}

// Kill kills the process.
func (c *client) Kill() { _ = c.cmd.Process.Kill() }

// begin starts an operation and returns its number.
func (c *client) begin(op string, a args) int {
	c.t.Helper()
	c.mu.Lock()
	c.next++
	id := c.next
	c.mu.Unlock()
	request, err := json.Marshal(map[string]any{"id": id, "op": op, "args": a})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(request, '\n')); err != nil {
		c.t.Fatalf("the driver is gone: %v", err)
	}
	return id
}

// await waits for the first line that want accepts.
func (c *client) await(what string, want func(line) bool) line {
	c.t.Helper()
	timer := time.AfterFunc(patience, func() { c.mu.Lock(); c.gone = true; c.changed.Broadcast(); c.mu.Unlock() })
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for seen := 0; ; {
		for ; seen < len(c.lines); seen++ {
			if want(c.lines[seen]) {
				return c.lines[seen]
			}
		}
		if c.gone {
			c.t.Fatalf("waited in vain for %s", what)
		}
		c.changed.Wait()
	}
}

// event waits for the nth event of a kind of an operation, counted from 1.
func (c *client) event(id int, kind string, nth int) line {
	c.t.Helper()
	return c.await(fmt.Sprintf("event %d %q of operation %d", nth, kind, id), func(l line) bool {
		if l.Event == kind && l.ID == id {
			nth--
		}
		return nth == 0 && l.Event == kind && l.ID == id
	})
}

// count counts the events of a kind of an operation so far.
func (c *client) count(id int, kind string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		if l.Event == kind && l.ID == id {
			n++
		}
	}
	return n
}

// answer waits for the result of an operation.
func (c *client) answer(id int) line {
	c.t.Helper()
	return c.await(fmt.Sprintf("the answer of operation %d", id), func(l line) bool { return l.ID == id && l.Event == "" })
}

// answered reports whether an operation has ended.
func (c *client) answered(id int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		if l.ID == id && l.Event == "" {
			return true
		}
	}
	return false
}

// do runs an operation that has to succeed, and returns its result.
func (c *client) do(op string, a args) map[string]any {
	c.t.Helper()
	l := c.answer(c.begin(op, a))
	if l.Error != "" {
		c.t.Fatalf("%s %v: %s: %s", op, a, l.Error, l.Text)
	}
	return l.OK
}

// fails waits for an operation that has to fail with this error.
func (c *client) fails(id int, want string) {
	c.t.Helper()
	if l := c.answer(id); l.Error != want {
		c.t.Fatalf("operation %d: %q (%s, %v), want %s", id, l.Error, l.Text, l.OK, want)
	}
}

func (c *client) let(id int)  { c.t.Helper(); c.do("let", args{"target": id}) }
func (c *client) stop(id int) { c.t.Helper(); c.do("stop", args{"target": id}) }
