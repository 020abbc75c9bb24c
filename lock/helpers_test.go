package lock_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"holdfast/holdfasttest"
	"holdfast/lock"
)

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = 30 * time.Second

// server is a server and what is asked of it beside the client that is tested.
type server struct {
	*holdfasttest.Instance
	*redis.Client
	t *testing.T
}

// start starts a server, and checks at the end that no goroutine is left.
func start(t *testing.T, options ...holdfasttest.Option) *server {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// The one thread that starts servers stays, and a client that found nobody to
		// connect to sleeps before it sees that it was closed.
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("holdfast/internal/redisserver.startPinned.func1.1"),
			goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	})
	s := holdfasttest.Server(t, options...)
	return &server{s, s.Client(), t}
}

// client is a client as users have it, of another "process".
func (s *server) client(o lock.Options) *lock.Client {
	return s.clientOver(redis.NewClient(&redis.Options{Addr: s.Addr}), o)
}

func (s *server) clientOver(rdb *redis.Client, o lock.Options) *lock.Client {
	c := lock.New(rdb, o)
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
		_ = rdb.Close()
	})
	return c
}

func (s *server) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *server) acquire(c *lock.Client, name string, options ...lock.Option) *lock.Lock {
	s.t.Helper()
	l, err := c.Acquire(s.context(), name, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *server) release(l *lock.Lock) {
	s.t.Helper()
	if err := l.Release(s.context()); err != nil {
		s.t.Fatal(err)
	}
}

// info is one part of LOCK.INFO: how many holders, or waiters.
func (s *server) info(name, part string) int {
	s.t.Helper()
	reply, err := s.Do(s.context(), "LOCK.INFO", name).Result()
	if err == redis.Nil {
		return 0
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return len(reply.(map[any]any)[part].([]any))
}

// until waits for something to become so.
func (s *server) until(what string, so func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}

func (s *server) waiters(name string, n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d wait for %s", n, name), func() bool { return s.info(name, "waiters") == n })
}

// calls is how often the server ran a command.
func (s *server) calls(command string) (n int) {
	s.t.Helper()
	for _, line := range strings.Split(s.Info(s.context(), "commandstats").Val(), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			_, _ = fmt.Sscanf(rest, "%d,", &n)
		}
	}
	return n
}

// killWaiters closes the connections that are parked.
func (s *server) killWaiters() (n int) {
	s.t.Helper()
	for _, line := range strings.Split(s.ClientList(s.context()).Val(), "\n") {
		var id int64
		if strings.Contains(line, "cmd=lock.acquire") && strings.Contains(line, "flags=b") {
			_, _ = fmt.Sscanf(line, "id=%d ", &id)
			n += int(s.ClientKillByFilter(s.context(), "ID", fmt.Sprint(id)).Val())
		}
	}
	return n
}

// deaf is a client whose connections lose the reply to the next command that has
// a word in it, as when a network fails between request and reply.
func (s *server) deaf(word string) (*redis.Client, *atomic.Int32) {
	lose := new(atomic.Int32)
	d := &net.Dialer{}
	return redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		return &deafConn{Conn: c, word: []byte(word), lose: lose}, err
	}}), lose
}

type deafConn struct {
	net.Conn
	word []byte
	lose *atomic.Int32
	deaf atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToUpper(b), c.word) && c.lose.Add(-1) >= 0 {
		c.deaf.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.deaf.Load() && n > 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// ids are the connections there are.
func (s *server) ids() map[string]bool {
	all := map[string]bool{}
	for _, line := range strings.Split(s.ClientList(s.context()).Val(), "\n") {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "id="), " "); ok {
			all[id] = true
		}
	}
	return all
}
