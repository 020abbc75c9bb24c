package lock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/lock"
)

// sendingConn tells when a request for a lock was sent.
type sendingConn struct {
	net.Conn
	sent func()
}

func (c *sendingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if bytes.Contains(bytes.ToUpper(b), []byte("LOCK.ACQUIRE")) {
		c.sent()
	}
	return n, err
}

func canceledDialer(dials *atomic.Int32) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, fmt.Errorf("the tunnel is down: %w", context.Canceled)
	}
}

func TestACycleOfOwnersIsADeadlockAtOnce(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	a, b := lock.Owner("task-a"), lock.Owner("task-b")
	x, y := s.acquire(c, "x", a), s.acquire(c, "y", b)
	got := make(chan *lock.Lock, 1)
	go func() { got <- s.acquire(c, "y", a) }()
	s.waiters("y", 1)
	if _, err := c.Acquire(s.Context(), "x", b); !errors.Is(err, lock.ErrDeadlock) {
		t.Errorf("who closes the cycle: %v", err)
	}
	s.release(y)
	y = <-got
	if y.Owner() != "task-a" {
		t.Errorf("the owner is %q", y.Owner())
	}
	s.release(y)
	s.release(x)
}

func TestALockIsHeldForMaxHoldAtMost(t *testing.T) {
	s := start(t)
	const lease, most = 600 * time.Millisecond, 1200 * time.Millisecond
	c := s.client(lock.Options{Lease: lease, MaxHold: most})
	began := time.Now()
	l := s.acquire(c, "x")
	got := make(chan *lock.Lock, 1)
	go func() { got <- s.acquire(s.client(lock.Options{}), "x") }()
	<-l.Context().Done()
	ended := time.Since(began)
	if cause := context.Cause(l.Context()); !errors.Is(cause, lock.ErrLost) {
		t.Error(cause)
	}
	next := <-got
	if ended > most+soon || time.Since(began) < lease {
		t.Errorf("its context ended after %v, it was another's after %v", ended, time.Since(began))
	}
	if s.Calls("lock.extend") == 0 {
		t.Error("it was not renewed in between")
	}
	s.release(next)
}

func TestALockIsKeptFromOthersForMinHold(t *testing.T) {
	s := start(t)
	const least = time.Second
	c := s.client(lock.Options{})
	began := time.Now()
	l := s.acquire(c, "job", lock.MinHold(least))
	s.release(l)
	if _, err := c.TryAcquire(s.Context(), "job"); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("another machine's clock is behind, and it got the lock: %v", err)
	}
	s.release(s.acquire(c, "job"))
	if took := time.Since(began); took < least || took > least+soon {
		t.Errorf("it was kept for %v", took)
	}
}

// While one waits, each of the others has the lock once at most, and nothing but the
// network stands between a release and the next holder's work.
func TestNobodyIsOvertakenWhileItWaits(t *testing.T) {
	s := start(t)
	const clients, turns = 8, 20
	var grants atomic.Int32
	var all sync.WaitGroup
	for range clients {
		var before atomic.Int32 // when the request was sent
		rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &sendingConn{c, func() { before.Store(grants.Load()) }}, err
		}})
		c := s.clientOver(rdb, lock.Options{})
		all.Go(func() {
			for range turns {
				l, err := c.Acquire(s.Context(), "x")
				if err != nil {
					t.Error(err)
					return
				}
				// Each may have been served once before the server read this request, once
				// before this client's turn, and once before it was counted.
				if meanwhile := grants.Add(1) - before.Load(); meanwhile > 3*clients {
					t.Errorf("%d grants while one of %d waited", meanwhile, clients)
				}
				time.Sleep(time.Millisecond) // the work
				s.release(l)
			}
		})
	}
	all.Wait()
}

// sameOwner are two clients, of two "processes", whose locks have one owner, and another
// one that loses replies.
func sameOwner(s *server, word string) (a, b, deaf *lock.Client, lose *atomic.Int32) {
	o := lock.Options{Owner: "me", Lease: time.Minute}
	rdb, lose := s.deaf(word)
	return s.client(o), s.client(o), s.clientOver(rdb, o), lose
}

func TestAWaitThatIsCalledOffReleasesNoLockOfTheSameOwner(t *testing.T) {
	s := start(t)
	a, b, _, _ := sameOwner(s, "")
	l := s.acquire(a, "x")
	for range 3 {
		ctx, cancel := context.WithCancel(s.Context())
		called := make(chan error, 1)
		go func() { _, err := b.Acquire(ctx, "x"); called <- err }()
		s.waiters("x", 1)
		cancel()
		if err := <-called; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.waiters("x", 0)
	}
	if err := b.Close(); err != nil { // which waits for what it does in the background
		t.Error(err)
	}
	if n := s.info("x", "holders"); n != 1 {
		t.Errorf("%d hold the lock", n)
	}
	s.release(l)
}

func TestALostLockIsNotReleasedNorRenewedOnceItIsTheSameOwnersAgain(t *testing.T) {
	s := start(t)
	// A release whose reply is late is asked for again, and then nobody knows who released: only a
	// short lease makes replies late.
	a, b := s.client(lock.Options{Owner: "me", Lease: time.Minute}), s.client(lock.Options{Owner: "me", Lease: time.Minute})
	short := s.client(lock.Options{Owner: "me", Lease: 3 * time.Second}) // renewed after a second
	lost := []*lock.Lock{s.acquire(a, "released"), s.acquire(short, "renewed")}
	var again []*lock.Lock
	for _, l := range lost {
		s.Do(s.Context(), "LOCK.BREAK", l.Name())
		again = append(again, s.acquire(b, l.Name()))
	}
	if err := lost[0].Release(s.Context()); !errors.Is(err, lock.ErrLost) {
		t.Errorf("a release of what is another's: %v", err)
	}
	<-lost[1].Context().Done()
	if cause := context.Cause(lost[1].Context()); !errors.Is(cause, lock.ErrLost) || !strings.Contains(cause.Error(), "somebody else") {
		t.Errorf("a renewal of what is another's: %v", cause)
	}
	for _, l := range again {
		s.release(l)
	}
}

func TestARepeatedReleaseReleasesNoLaterGrantOfTheSameOwner(t *testing.T) {
	s := start(t)
	a, _, deaf, lose := sameOwner(s, "LOCK.RELEASE")
	l := s.acquire(deaf, "x")
	next := make(chan *lock.Lock, 1)
	go func() { next <- s.acquire(a, "x") }()
	s.waiters("x", 1)
	lose.Store(1)
	s.release(l)
	if n := s.info("x", "holders"); n != 1 {
		t.Errorf("%d hold the lock", n)
	}
	s.release(<-next)
}

// What a lost reply granted is given back before the lock is tried again: it is no other's.
func TestATryWhoseReplyIsLostIsNotRefusedByItsOwnGrant(t *testing.T) {
	s := start(t)
	for _, owner := range []string{"", "me"} {
		rdb, lose := s.deaf("LOCK.ACQUIRE", "LOCK.RELEASE", "LOCK.INFO")
		c := s.clientOver(rdb, lock.Options{Owner: owner, Lease: time.Minute})
		lose.Store(1)
		l, err := c.TryAcquire(s.Context(), "x")
		if err != nil {
			t.Fatalf("owner %q: %v", owner, err)
		}
		s.release(l)
	}
}

func TestALostReplyOfAnAcquireWithAnOwnerLeavesNothingHeld(t *testing.T) {
	s := start(t)
	a, _, c, lose := sameOwner(s, "LOCK.ACQUIRE")
	for name, acquire := range map[string]func(context.Context, string, ...lock.Option) (*lock.Lock, error){"acquired": c.Acquire, "tried": c.TryAcquire} {
		lose.Store(2)
		l, err := acquire(s.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		s.release(l)
		s.release(s.acquire(a, name))
	}
	// What another process holds under the same name stays held.
	held := s.acquire(a, "x")
	lose.Store(1)
	ctx, cancel := context.WithCancel(s.Context())
	called := make(chan error, 1)
	go func() { _, err := c.Acquire(ctx, "x"); called <- err }()
	s.waiters("x", 1)
	cancel()
	<-called
	s.release(held)
}
