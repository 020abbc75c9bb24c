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

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
	"holdfast/lock"
)

// patience bounds every wait. It decides nothing: a test that needs it has failed.
const patience = 30 * time.Second

// server is a server and what is asked of it beside the client that is tested.
type server struct{ *clienttest.Server }

// start starts a server, and checks at the end that no goroutine is left.
func start(t *testing.T, options ...holdfasttest.Option) *server {
	t.Helper()
	return &server{clienttest.Start(t, patience, options...)}
}

// panics is what f panics with.
func panics(f func()) (said string) {
	defer func() { said = fmt.Sprint(recover()) }()
	f()
	return ""
}

// client is a client as users have it, of another "process".
func (s *server) client(o lock.Options) *lock.Client {
	return s.clientOver(redis.NewClient(&redis.Options{Addr: s.Addr}), o)
}

func (s *server) clientOver(rdb *redis.Client, o lock.Options) *lock.Client {
	c := lock.New(rdb, o)
	s.T.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.T.Error(err)
		}
		_ = rdb.Close()
	})
	return c
}

func (s *server) acquire(c *lock.Client, name string, options ...lock.Option) *lock.Lock {
	s.T.Helper()
	l, err := c.Acquire(s.Context(), name, options...)
	if err != nil {
		s.T.Fatal(err)
	}
	return l
}

func (s *server) release(l *lock.Lock) {
	s.T.Helper()
	if err := l.Release(s.Context()); err != nil {
		s.T.Fatal(err)
	}
}

// info is one part of LOCK.INFO: how many holders, or waiters.
func (s *server) info(name, part string) int {
	s.T.Helper()
	reply, err := s.Do(s.Context(), "LOCK.INFO", name).Result()
	if err == redis.Nil {
		return 0
	}
	if err != nil {
		s.T.Fatal(err)
	}
	return len(reply.(map[any]any)[part].([]any))
}

func (s *server) waiters(name string, n int) {
	s.T.Helper()
	s.Until(fmt.Sprintf("%d wait for %s", n, name), func() bool { return s.info(name, "waiters") == n })
}

// killWaiters closes the connections that are parked.
func (s *server) killWaiters() int { return s.KillClients("cmd=lock.acquire", "flags=b") }

// deaf is a client whose connections lose the reply to the next command that has
// a word in it, as when a network fails between request and reply. Commands with a slow word
// are sent late.
func (s *server) deaf(word string, slow ...string) (*redis.Client, *atomic.Int32) {
	lose := new(atomic.Int32)
	d := &net.Dialer{}
	return redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		return &deafConn{Conn: c, word: []byte(word), slow: slow, lose: lose}, err
	}}), lose
}

type deafConn struct {
	net.Conn
	word []byte
	slow []string
	lose *atomic.Int32
	deaf atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToUpper(b), c.word) && c.lose.Add(-1) >= 0 {
		c.deaf.Store(true)
	}
	for _, word := range c.slow {
		if bytes.Contains(b, []byte(word)) {
			time.Sleep(200 * time.Millisecond)
		}
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
	for line := range strings.SplitSeq(s.ClientList(s.Context()).Val(), "\n") {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "id="), " "); ok {
			all[id] = true
		}
	}
	return all
}
