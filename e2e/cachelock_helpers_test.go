package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// patience bounds every wait of the cache's tests. It decides nothing: a test
// that needs it has failed.
const patience = 30 * time.Second

// cacheServer starts a server with the cache alone.
func cacheServer(t testing.TB, options ...holdfasttest.Option) *cache {
	t.Helper()
	all, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(path string) bool { return filepath.Base(path) == "cachelock.so" })
	s := holdfasttest.Server(t, append([]holdfasttest.Option{holdfasttest.WithModules(all[i])}, options...)...)
	return &cache{s, dialCache(t, s.Addr)}
}

// cache is a server with the cache, and a connection to it.
type cache struct {
	*holdfasttest.Instance
	*cacheConn
}

// cacheConn is one bare connection: what is sent and what is read are two steps, so
// that a test can park it without a goroutine and ten thousand are cheap.
type cacheConn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dialCache(t testing.TB, addr string) *cacheConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newConn(t, conn)
}

// newConn takes a connection over, until the end of the test.
func newConn(t testing.TB, conn net.Conn) *cacheConn {
	t.Cleanup(func() { _ = conn.Close() })
	return &cacheConn{conn, t, bufio.NewReaderSize(conn, 512)}
}

// another is one more connection to the same server.
func (c *cache) another() *cacheConn { return dialCache(c.cacheConn.t, c.Addr) }

// send sends a command written as one line, with % for arguments that are not
// words.
func (c *cacheConn) send(line string, args ...any) *cacheConn {
	c.t.Helper()
	all := cacheWords(line, args)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(all))
	for _, s := range all {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(s), s)
	}
	if _, err := io.WriteString(c.Conn, b.String()); err != nil {
		c.t.Fatalf("%s: %v", line, err)
	}
	return c
}

func cacheWords(line string, args []any) (all []string) {
	for _, w := range strings.Fields(line) {
		if w == "%" {
			w, args = fmt.Sprint(args[0]), args[1:]
		}
		all = append(all, w)
	}
	return all
}

// read reads one reply, as people write it: OK "bulk" 1 nil [a b] {k v}
// >[push] -ERR.
func (c *cacheConn) read() string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	s, err := c.tryRead()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return s
}

func (c *cacheConn) tryRead() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+', ':', ',':
		return rest, nil
	case '_':
		return "nil", nil
	case '-':
		return line[:len(line)-2], nil
	case '$', '=':
		n, _ := strconv.Atoi(rest)
		if n < 0 {
			return "nil", nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return "", err
		}
		if kind == '=' {
			return strconv.Quote(string(b[len("txt:"):n])), nil
		}
		return strconv.Quote(string(b[:n])), nil
	case '*', '%', '>':
		n, _ := strconv.Atoi(rest)
		if n < 0 {
			return "nil", nil
		}
		open, end := "[", "]"
		switch kind {
		case '%':
			open, end, n = "{", "}", 2*n
		case '>':
			open = ">["
		}
		all := make([]string, n)
		for i := range all {
			if all[i], err = c.tryRead(); err != nil {
				return "", err
			}
		}
		return open + strings.Join(all, " ") + end, nil
	}
	return "", fmt.Errorf("a reply that begins with %q", kind)
}

// do sends and reads.
func (c *cacheConn) do(line string, args ...any) string {
	c.t.Helper()
	return c.send(line, args...).read()
}

// wants sends a command and compares its reply.
func (c *cacheConn) wants(want, line string, args ...any) {
	c.t.Helper()
	if got := c.do(line, args...); got != want {
		c.t.Errorf("%s: %s, want %s", line, got, want)
	}
}

// hears reads a reply and compares it.
func (c *cacheConn) hears(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Errorf("heard %s, want %s", got, want)
	}
}

// loads sends a command that must be answered LOAD, and is the token.
func (c *cacheConn) loads(line string, args ...any) string {
	c.t.Helper()
	return c.isToLoad(c.do(line, args...))
}

// isToLoad is the token in a reply, which must tell to load.
func (c *cacheConn) isToLoad(reply string) string {
	c.t.Helper()
	fields := strings.Fields(strings.Trim(reply, "[]"))
	if len(fields) < 2 || fields[0] != `"LOAD"` {
		c.t.Fatalf("%s, want LOAD and a token", reply)
	}
	return fields[len(fields)-1]
}

// info is a number of INFO cachelock.
func (c *cacheConn) info(field string) int {
	c.t.Helper()
	text, _ := strconv.Unquote(c.do("INFO cachelock"))
	for _, line := range strings.Split(text, "\r\n") {
		if v, ok := strings.CutPrefix(line, "cachelock_"+field+":"); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	c.t.Fatalf("INFO cachelock has no %s:\n%s", field, text)
	return 0
}

// until waits for a number of INFO to become what it must.
func (c *cacheConn) until(field string, want int) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := c.info(field)
		if got == want {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("%s is %d, want %d, even after %v", field, got, want, patience)
		}
	}
}

// park makes n callers wait with this command, one behind the other.
func (c *cache) park(n int, line string, args ...any) []*cacheConn {
	c.cacheConn.t.Helper()
	before := c.info("waiting")
	all := make([]*cacheConn, n)
	for i := range all {
		all[i] = c.another().send(line, args...)
		c.until("waiting", before+i+1)
	}
	return all
}

// nobodyWaits checks that no waiter is left over, in the module or the server.
func (c *cacheConn) nobodyWaits() {
	c.t.Helper()
	c.until("waiting", 0)
	clients, _ := strconv.Unquote(c.do("INFO clients"))
	if !strings.Contains(clients, "\r\nblocked_clients:0\r\n") {
		c.t.Errorf("the server has blocked clients:\n%s", clients)
	}
}

// unload unloads the module, as soon as its timer has fired, and is where it came from.
func (c *cacheConn) unload() (path string) {
	c.t.Helper()
	for _, word := range strings.Fields(c.do("MODULE LIST")) {
		if word = strings.Trim(word, `[]"`); strings.HasSuffix(word, ".so") {
			path = word
		}
	}
	reply := ""
	for end := time.Now().Add(patience); reply != "OK"; {
		if reply = c.do("MODULE UNLOAD cachelock"); time.Now().After(end) {
			c.t.Fatalf("MODULE UNLOAD: %s, even after %v", reply, patience)
		}
	}
	return path
}
