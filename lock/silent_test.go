package lock_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/lock"
)

// soon is how long what is prompt may take on a busy machine.
const soon = 2 * time.Second

// behindProxy is a client whose connections lead through a proxy.
func (s *server) behindProxy(o lock.Options) (*clienttest.Proxy, *lock.Client, *redis.Client) {
	p := clienttest.NewProxy(s.T, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr})
	return p, s.clientOver(rdb, o), rdb
}

// within fails the test if f takes longer.
func (s *server) within(most time.Duration, what string, f func()) {
	s.T.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > most {
		s.T.Errorf("%s took %v, want %v at most", what, took, most)
	}
}

func TestNoCallOutlivesItsContextOnASilentNetwork(t *testing.T) {
	s := start(t)
	proxy, c, rdb := s.behindProxy(lock.Options{})
	i := lock.Inspect(rdb)
	l, session := s.acquire(c, "held"), s.acquire(c, "session", lock.Session())
	s.release(s.acquire(c, "x")) // its connection is kept
	proxy.Freeze()
	for name, call := range map[string]func(context.Context) error{
		"Acquire":            func(ctx context.Context) error { _, err := c.Acquire(ctx, "x"); return err },
		"Acquire, a session": func(ctx context.Context) error { _, err := c.Acquire(ctx, "x", lock.Session()); return err },
		"TryAcquire":         func(ctx context.Context) error { _, err := c.TryAcquire(ctx, "x"); return err },
		"AcquireAll":         func(ctx context.Context) error { _, err := c.AcquireAll(ctx, []string{"x", "y"}); return err },
		"WithLock": func(ctx context.Context) error {
			return c.WithLock(ctx, "x", func(context.Context) error { return nil })
		},
		"Fence":           func(ctx context.Context) error { return c.Fence(ctx, "guard", 1) },
		"Inspector.Info":  func(ctx context.Context) error { _, err := i.Info(ctx, "x"); return err },
		"Inspector.List":  func(ctx context.Context) error { _, err := i.List(ctx, lock.ListOptions{}); return err },
		"Inspector.Stats": func(ctx context.Context) error { _, err := i.Stats(ctx); return err },
		"Inspector.Break": func(ctx context.Context) error { _, err := i.Break(ctx, "x", ""); return err },
		"Inspector.Observe": func(ctx context.Context) error {
			return i.Observe(ctx, "x", func(lock.Info) error { return nil })
		},
		"Release":            l.Release,
		"Release, a session": session.Release,
	} {
		ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		s.within(100*time.Millisecond+soon, name, func() {
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		})
		cancel()
	}
	proxy.Thaw()
	s.Until("nothing is left of it", func() bool { return s.info("x", "holders")+s.info("x", "waiters") == 0 })
}

// A session whose release was given up must not keep its connection, nor Close.
func TestAReleaseThatGivesUpClosesItsSession(t *testing.T) {
	s := start(t)
	proxy, c, _ := s.behindProxy(lock.Options{Outage: 100 * time.Millisecond})
	l := s.acquire(c, "s", lock.Session())
	proxy.Freeze()
	ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Release(ctx); err == nil {
		t.Error("released by a network that was silent")
	}
	s.within(4*time.Second+soon, "Close while the network is silent", func() { _ = c.Close() })
	proxy.Thaw()
	s.Until("the session's lock is free", func() bool { return s.info("s", "holders") == 0 })
}

// A user without +lock.release.
func TestReleasesThatAreRefusedLeaveNoConnections(t *testing.T) {
	s := start(t)
	if err := s.Do(s.Context(), "ACL", "SETUSER", "u", "on", "nopass", "~*", "+@all", "-lock.release").Err(); err != nil {
		t.Fatal(err)
	}
	c := s.clientOver(redis.NewClient(&redis.Options{Addr: s.Addr, Username: "u", Password: "x"}), lock.Options{})
	for i := range 20 {
		l := s.acquire(c, "x"+string(rune('a'+i)), lock.Session())
		if err := l.Release(s.Context()); err == nil || !strings.Contains(err.Error(), "+lock.release") {
			t.Fatal(err)
		}
	}
	s.Until("the connections are closed", func() bool { return strings.Count(s.ClientList(s.Context()).Val(), "user=u") <= 2 })
	s.within(soon, "Close", func() { _ = c.Close() })
}

func TestCloseReturnsWhateverTheServerDoes(t *testing.T) {
	for name, silence := range map[string]func(*server, *clienttest.Proxy){
		"frozen":    func(_ *server, p *clienttest.Proxy) { p.Freeze() },
		"forgotten": func(_ *server, p *clienttest.Proxy) { p.Forget() },
		"refused":   func(_ *server, p *clienttest.Proxy) { p.Refuse() },
		"dead":      func(s *server, _ *clienttest.Proxy) { s.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			proxy, c, _ := s.behindProxy(lock.Options{Lease: time.Second})
			s.acquire(c, "held", lock.Lease(300*time.Millisecond)) // it is renewed all the time
			s.acquire(c, "session", lock.Session())
			s.acquire(s.client(lock.Options{}), "x")
			waiting := make(chan error, 1)
			go func() { _, err := c.Acquire(s.Context(), "x"); waiting <- err }()
			s.waiters("x", 1)
			silence(s, proxy)
			trying := make(chan error, 1)
			go func() { _, err := c.Acquire(s.Context(), "y"); trying <- err }()
			s.Until("the try is under way", func() bool { return lock.Standing(c, "y") == 1 || len(trying) == 1 })
			s.within(4*time.Second+soon, "Close", func() { _ = c.Close() })
			if err := <-waiting; !errors.Is(err, lock.ErrClosed) {
				t.Errorf("a wait ended by %v", err)
			}
			proxy.Cut()
			if err := <-trying; err == nil && name != "forgotten" { // there new connections work
				t.Error("a try got a lock")
			}
		})
	}
}

func TestCloseReturnsSoonAfterTheServerComesBack(t *testing.T) {
	s := start(t)
	proxy, c, _ := s.behindProxy(lock.Options{})
	session := s.acquire(c, "session", lock.Session())
	s.acquire(c, "held", lock.Lease(300*time.Millisecond))
	proxy.Freeze()
	closed := make(chan struct{})
	go func() { defer close(closed); _ = c.Close() }()
	<-session.Context().Done() // Close is under way
	proxy.Thaw()
	s.within(2*time.Second, "Close after the thaw", func() { <-closed })
}

// The lease is over, so there is nothing left to release.
func TestWithLockEndsWithItsLeaseAndSaysThatItWasLost(t *testing.T) {
	s := start(t)
	proxy, c, _ := s.behindProxy(lock.Options{Lease: 500 * time.Millisecond})
	began := time.Now()
	err := c.WithLock(s.Context(), "w", func(ctx context.Context) error {
		proxy.Freeze()
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, lock.ErrLost) {
			t.Errorf("the context ended by %v", cause)
		}
		return ctx.Err()
	})
	if took := time.Since(began); took > 3*time.Second || !errors.Is(err, lock.ErrLost) {
		t.Errorf("%v after %v", err, took)
	}
	proxy.Thaw()

	// The server answers again in the last moment: a lock whose work was ended is lost
	// all the same.
	err = c.WithLock(s.Context(), "v", func(ctx context.Context) error {
		proxy.Freeze()
		<-ctx.Done()
		proxy.Thaw()
		return ctx.Err()
	})
	if !errors.Is(err, lock.ErrLost) || !errors.Is(err, context.Canceled) {
		t.Errorf("answered in the last moment: %v", err)
	}
}

func TestWithLockPassesItsCallersDeadlineOn(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
	defer cancel()
	want, _ := ctx.Deadline()
	err := c.WithLock(ctx, "x", func(ctx context.Context) error {
		if got, ok := ctx.Deadline(); !ok || !got.Equal(want) {
			t.Errorf("the deadline is %v, want %v", got, want)
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s.info("x", "holders") != 0 {
		t.Error("it was not released")
	}
}

// A NAT forgets the connections that were not used for long, of the caller's client
// too, and the server is well.
func TestALockOutlivesConnectionsThatTheNetworkForgot(t *testing.T) {
	s := start(t)
	proxy, c, rdb := s.behindProxy(lock.Options{Lease: 2 * time.Second})
	if err := rdb.Ping(s.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	l := s.acquire(c, "x")
	for range 3 {
		before := s.Calls("lock.extend")
		proxy.Forget()
		s.Until("it is renewed", func() bool { return s.Calls("lock.extend") > before+1 })
	}
	if cause := context.Cause(l.Context()); cause != nil {
		t.Fatal(cause)
	}
	proxy.Forget()
	s.release(l)
}

// All connections of the application are in use.
func TestALockNeedsNoneOfTheCallersConnections(t *testing.T) {
	s := start(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, PoolSize: 1, PoolTimeout: time.Minute})
	c := s.clientOver(rdb, lock.Options{Lease: 900 * time.Millisecond})
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	go rdb.BLPop(ctx, time.Minute, "nothing")
	s.Until("it waits", func() bool { return strings.Contains(s.ClientList(s.Context()).Val(), "cmd=blpop") })
	l := s.acquire(c, "x")
	before := s.Calls("lock.extend")
	s.Until("it is renewed", func() bool { return s.Calls("lock.extend") > before+5 })
	s.release(l)
}

// What the server refuses for a while is waited out.
func TestAServerThatRefusesWritesForAWhileIsWaitedFor(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	l := s.acquire(c, "held", lock.Lease(time.Second))
	clienttest.RefuseWrites(t, s.Instance)
	got := make(chan *lock.Lock, 1)
	go func() { got <- s.acquire(c, "x") }()
	s.Until("it is refused twice", func() bool {
		return s.Refused("lock.acquire") > 1
	})
	clienttest.AllowWrites(t, s.Instance)
	s.release(<-got)
	s.release(l)
}

func TestWaitsThatAreCalledOffAreNotLogged(t *testing.T) {
	s := start(t)
	var logged bytes.Buffer
	log.SetOutput(&logged) // where go-redis logs
	defer log.SetOutput(os.Stderr)
	c := s.client(lock.Options{})
	l := s.acquire(s.client(lock.Options{}), "x")
	for range 20 {
		ctx, cancel := context.WithCancel(s.Context())
		done := make(chan struct{})
		go func() { defer close(done); _, _ = c.Acquire(ctx, "x") }()
		s.waiters("x", 1)
		cancel()
		<-done
		s.waiters("x", 0)
	}
	s.release(l)
	if logged.Len() > 0 {
		t.Error(logged.String())
	}
}

// A Dialer that wraps context.Canceled is taken for what it is: an outage.
func TestADialThatFailsByACanceledContextIsPausedFor(t *testing.T) {
	s := start(t)
	var dials atomic.Int32
	c := s.clientOver(redis.NewClient(&redis.Options{Addr: s.Addr, Dialer: canceledDialer(&dials)}), lock.Options{Outage: 300 * time.Millisecond})
	if _, err := c.Acquire(s.Context(), "x"); err == nil {
		t.Error("acquired without a connection")
	}
	if n := dials.Load(); n < 2 || n > 50 {
		t.Errorf("%d dials", n)
	}
}
