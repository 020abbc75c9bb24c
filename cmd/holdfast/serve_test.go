package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// runs is the tool at work in this process.
type runs struct {
	t     *testing.T
	lines *bufio.Scanner
	said  bytes.Buffer
	err   bytes.Buffer
	code  chan int
}

func start(t *testing.T, args ...string) *runs {
	t.Helper()
	out, in := io.Pipe()
	r := &runs{t: t, lines: bufio.NewScanner(out), code: make(chan int, 1)}
	go func() {
		r.code <- run(args, in, &r.err)
		in.Close()
	}()
	return r
}

// until reads what the tool prints up to a line that matches.
func (r *runs) until(pattern string) []string {
	r.t.Helper()
	for r.lines.Scan() {
		r.said.WriteString(r.lines.Text() + "\n")
		if m := regexp.MustCompile(pattern).FindStringSubmatch(r.lines.Text()); m != nil {
			return m
		}
	}
	r.t.Fatalf("it ended without %q; it printed\n%s%s", pattern, r.said.String(), r.err.String())
	return nil
}

// interrupt is Ctrl-C; it returns the exit code.
func (r *runs) interrupt() int {
	r.t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	for r.lines.Scan() {
	}
	return <-r.code
}

func TestTheTourPlaysTheGuideThenTheServerRunsUntilCtrlC(t *testing.T) {
	r := start(t, "serve", "--tour")
	addr := r.until(`is ready at (\S+)`)[1]
	for range 3 {
		if path := r.until(`^  loadmodule (.*)`)[1]; !filepath.IsAbs(path) {
			t.Errorf("%s is no absolute path", path)
		}
	}
	r.until(`^  > CACHE\.LOCK user:1234 5000 10000$`)
	r.until(`^  "LOAD"$`)
	r.until(`^  worker> LOCK\.RELEASE`)
	port := r.until(`In another terminal: redis-cli -p (\d+)`)[1]
	if !strings.HasSuffix(addr, ":"+port) {
		t.Errorf("the hint says port %s, the server is at %s", port, addr)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code := r.interrupt(); code != 0 || r.err.Len() > 0 {
		t.Errorf("Ctrl-C ends it with code %d: %s", code, r.err.String())
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the server is still there")
	}
}

func TestAGivenFolderKeepsTheData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for i, want := range []string{":1\r\n", ":0\r\n"} {
		r := start(t, "serve", "--dir", dir)
		addr := r.until(`is ready at (\S+)`)[1]
		r.until(`data is kept in ` + regexp.QuoteMeta(dir))
		r.until(`until Ctrl-C`)
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("LOCK.ACQUIRE deploy me 600000\r\n")); err != nil {
			t.Fatal(err)
		}
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || got != want {
			t.Errorf("start %d: the lock answers %q, %v, want %q", i+1, got, err, want)
		}
		conn.Close()
		if code := r.interrupt(); code != 0 {
			t.Errorf("code %d: %s", code, r.err.String())
		}
	}
}

func TestATakenPortIsAnErrorThatSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := start(t, "serve", "--port", port)
	for r.lines.Scan() {
	}
	if code := <-r.code; code != 1 || !strings.Contains(r.err.String(), "Try:   another --port, or none to take a free one") {
		t.Errorf("code %d: %s", code, r.err.String())
	}
}

func TestAServerThatIsShutDownEndsTheTool(t *testing.T) {
	r := start(t, "serve")
	addr := r.until(`is ready at (\S+)`)[1]
	r.until(`until Ctrl-C`)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("SHUTDOWN NOSAVE\r\n")); err != nil {
		t.Fatal(err)
	}
	r.until(`The server was shut down`)
	if code := <-r.code; code != 0 {
		t.Errorf("code %d: %s", code, r.err.String())
	}
}
