package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
	"holdfast/lock"
)

func TestALockIsHeldForLongerThanItsLease(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{Lease: 900 * time.Millisecond}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	before := s.Calls("lock.extend")
	s.Until("it was renewed five times", func() bool { return s.Calls("lock.extend") >= before+5 })
	select {
	case <-got:
		t.Fatal("somebody else has a lock that is renewed")
	case <-l.Context().Done():
		t.Fatal(context.Cause(l.Context()))
	default:
	}
	s.release(l)
	s.release(<-got)
	after := s.Calls("lock.extend")
	if err := l.Release(s.Context()); err != nil || s.Calls("lock.extend") != after {
		t.Error("a released lock is renewed")
	}
}

func TestTheContextEndsBeforeTheLeaseCanHaveRunOut(t *testing.T) {
	s := start(t)
	const lease = 3 * time.Second
	// Timeouts shorter than the lease: a stopped server must not hang the test's end.
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: 100 * time.Millisecond, MaxRetries: -1})
	c := s.clientOver(rdb, lock.Options{Lease: lease})
	l := s.acquire(c, "x")
	s.Until("it was renewed", func() bool { return s.Calls("lock.extend") > 0 })
	at, err := s.PExpireTime(s.Context(), "x").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// A process that gets no processor ends nothing in time: what it oversleeps meanwhile is not
	// held against the lock, neither where the context is ended nor where that is seen.
	overslept := time.Duration(0)
	for over := false; !over; {
		due := time.Now().Add(10 * time.Millisecond)
		select {
		case <-l.Context().Done():
			over = true
		case <-time.After(time.Until(due)):
		}
		overslept = max(overslept, time.Since(due))
	}
	ended := time.Now()
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// At most one renewal more may have reached the server before it stood still,
	// which only moves the end of the lease further off.
	if late := ended.Sub(time.UnixMilli(at.Milliseconds())); late > 2*overslept {
		t.Errorf("the context ended %v after the lease", late)
	}
	if cause := context.Cause(l.Context()); !errors.Is(cause, lock.ErrLost) {
		t.Errorf("it ended by %v", cause)
	}
}

func TestALockGrantedLongAfterItWasAskedForHasItsWholeLease(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{Lease: time.Second})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	asked := time.Now()
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	s.Until("the wait is longer than the lease", func() bool { return time.Since(asked) > 1100*time.Millisecond })
	s.release(l)
	next := <-got
	if err := next.Context().Err(); err != nil {
		t.Fatal("a lock that was waited for longer than its lease was handed out as lost")
	}
	s.release(next)
}

func TestReleaseTellsALostLockFromAReleasedOne(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	l := s.acquire(c, "x")
	s.Do(s.Context(), "LOCK.BREAK", "x")
	for range 2 {
		if err := l.Release(s.Context()); !errors.Is(err, lock.ErrLost) {
			t.Fatalf("Release of a broken lock: %v", err)
		}
	}
}

func TestAHolderLearnsThatItsLockWasBroken(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{Lease: 300 * time.Millisecond})
	l := s.acquire(c, "x")
	s.Do(s.Context(), "LOCK.BREAK", "x")
	<-l.Context().Done()
	if cause := context.Cause(l.Context()); !errors.Is(cause, lock.ErrLost) {
		t.Error(cause)
	}
}

func TestALostReplyOfAReleaseIsNoLostLock(t *testing.T) {
	s := start(t)
	rdb, lose := s.deaf("LOCK.RELEASE")
	c := s.clientOver(rdb, lock.Options{})
	l := s.acquire(c, "x")
	lose.Store(2)
	if err := l.Release(s.Context()); err != nil {
		t.Errorf("released, but the replies were lost: %v", err)
	}
	l = s.acquire(c, "x")
	s.Do(s.Context(), "LOCK.BREAK", "x")
	if err := l.Release(s.Context()); !errors.Is(err, lock.ErrLost) {
		t.Errorf("broken, all replies heard: %v", err)
	}
}

func TestALostReplyOfAnAcquireLeavesNothingHeld(t *testing.T) {
	s := start(t)
	rdb, lose := s.deaf("LOCK.ACQUIRE")
	c := s.clientOver(rdb, lock.Options{})
	for _, acquire := range []func(context.Context, string, ...lock.Option) (*lock.Lock, error){c.Acquire, c.TryAcquire, c.Acquire} {
		lose.Store(2)
		l, err := acquire(s.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if n := s.info("x", "holders"); n != 1 {
			t.Errorf("%d hold it", n)
		}
		s.release(l)
	}
}

func TestAWaiterThatIsKilledWaitsAgain(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	go func() { got <- s.acquire(b, "x") }()
	for range 3 {
		s.waiters("x", 1)
		if n := s.killWaiters(); n != 1 {
			t.Fatalf("killed %d waiters", n)
		}
	}
	s.waiters("x", 1)
	s.release(l)
	s.release(<-got)
}

func TestAWaiterThatIsUnblockedWaitsAgain(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	// As it happens to all waiters when their server becomes a replica.
	r := holdfasttest.Server(t)
	host, port := "127.0.0.1", r.Addr[len("127.0.0.1:"):]
	if err := s.ReplicaOf(s.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	s.Until("nobody waits", func() bool { return s.info("x", "waiters") == 0 })
	if err := s.ReplicaOf(s.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	s.Until("it waits again, or has it", func() bool { return s.info("x", "waiters")+s.info("x", "holders") > 0 })
	_ = l.Release(s.Context()) // lost, if the replication came to its end meanwhile
	s.release(<-got)
}

func TestWaitersComeBackAfterTheServerWasKilled(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	s.Kill()
	s.Restart()
	s.waiters("x", 1)
	s.release(l)
	next := <-got
	if next.Token() <= l.Token() {
		t.Errorf("token %d after %d", next.Token(), l.Token())
	}
	s.release(next)
}

func TestAnOutageThatLastsIsAnError(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{Outage: 50 * time.Millisecond})
	l := s.acquire(c, "x")
	s.Kill()
	if _, err := c.Acquire(s.Context(), "x"); err == nil {
		t.Error("acquired from a dead server")
	}
	if err := l.Release(s.Context()); err == nil || errors.Is(err, lock.ErrLost) {
		t.Errorf("released by a dead server: %v", err)
	}
	s.Restart()
	if err := l.Release(s.Context()); err != nil && !errors.Is(err, lock.ErrLost) {
		t.Errorf("Release is not to be had again: %v", err)
	}
}

func TestASessionsLockIsFreeWhenItsConnectionCloses(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	before := s.ids()
	l := s.acquire(a, "x", lock.Session())
	got := make(chan *lock.Lock)
	var session string
	for id := range s.ids() {
		if !before[id] {
			session = id
		}
	}
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	if n, err := s.ClientKillByFilter(s.Context(), "ID", session).Result(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	next := <-got
	<-l.Context().Done()
	if cause := context.Cause(l.Context()); !errors.Is(cause, lock.ErrLost) {
		t.Error(cause)
	}
	if err := l.Release(s.Context()); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Release after the session's end: %v", err)
	}
	s.release(next)
	for range 3 { // and one that is released is not lost
		s.release(s.acquire(a, "x", lock.Session()))
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	session := s.acquire(b, "session", lock.Session())
	failed := make(chan error)
	go func() { _, err := b.Acquire(s.Context(), "x"); failed <- err }()
	s.waiters("x", 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, lock.ErrClosed) {
		t.Errorf("a wait ended by %v", err)
	}
	s.waiters("x", 0)
	if cause := context.Cause(session.Context()); !errors.Is(cause, lock.ErrClosed) {
		t.Error(cause)
	}
	if _, err := b.TryAcquire(s.Context(), "y"); !errors.Is(err, lock.ErrClosed) {
		t.Error(err)
	}
	_ = a.Close()
	if n := s.info("x", "holders"); n != 1 {
		t.Error("Close released a lock whose work may still run")
	}
	s.release(l) // which its holder may do
}

// Many processes on few locks, while waiters are killed all the time: nobody ever
// holds a lock beside another, and everybody gets it in the end.
func TestNoTwoHoldALockWhileWaitersAreKilled(t *testing.T) {
	s := start(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	const clients, each, rounds = 4, 4, 25
	names := []string{"a", "b"}
	var inside [2]atomic.Int32
	var last [2]atomic.Int64
	var done sync.WaitGroup
	for range clients {
		c := s.client(lock.Options{})
		for range each {
			done.Go(func() {
				for range rounds {
					i := rand.N(2)
					ctx, cancel := s.Context(), context.CancelFunc(func() {})
					if rand.N(4) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.N(3000))*time.Microsecond)
					}
					l, err := c.Acquire(ctx, names[i])
					cancel()
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						continue
					}
					if inside[i].Add(1) != 1 {
						t.Error("two hold a lock")
					}
					if before := last[i].Swap(l.Token()); before >= l.Token() {
						t.Errorf("token %d after %d", l.Token(), before)
					}
					time.Sleep(time.Duration(rand.N(500)) * time.Microsecond) // work
					inside[i].Add(-1)
					if err := l.Release(s.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	over := make(chan struct{})
	go func() { done.Wait(); close(over) }()
	for killed := 0; ; {
		select {
		case <-over:
			t.Logf("%d waiters were killed", killed)
			for _, name := range names {
				s.Until("all is given back", func() bool { return s.info(name, "holders")+s.info(name, "waiters") == 0 })
			}
			return
		case <-time.After(time.Duration(random.IntN(10)) * time.Millisecond):
			killed += s.killWaiters()
		}
	}
}

// The server is silent for longer than a caller has time; what it does when it speaks
// again leaves nothing held, and a Release that was in doubt is told from a lost lock.
func TestACallerDoesNotWaitForAServerThatIsSilent(t *testing.T) {
	s := start(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: 100 * time.Millisecond})
	c := s.clientOver(rdb, lock.Options{})
	l := s.acquire(c, "held")
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(context.Context) error{
		"Acquire":            func(ctx context.Context) error { _, err := c.Acquire(ctx, "x"); return err },
		"TryAcquire":         func(ctx context.Context) error { _, err := c.TryAcquire(ctx, "x"); return err },
		"Acquire, a session": func(ctx context.Context) error { _, err := c.Acquire(ctx, "x", lock.Session()); return err },
		"Release":            l.Release,
	} {
		ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
		if err := ask(ctx); err == nil || errors.Is(err, lock.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.Until("nothing is left of it", func() bool { return s.info("x", "holders")+s.info("x", "waiters") == 0 })
	s.release(l)
}

// The network breaks without a word while one waits.
func TestAWaitOnABrokenNetworkEndsWithItsContext(t *testing.T) {
	s := start(t)
	proxy := clienttest.NewProxy(t, s.Addr)
	b := s.clientOver(redis.NewClient(&redis.Options{Addr: proxy.Addr, ReadTimeout: 200 * time.Millisecond}), lock.Options{})
	l := s.acquire(s.client(lock.Options{}), "x")
	ctx, cancel := context.WithCancel(s.Context())
	failed := make(chan error, 1)
	go func() { _, err := b.Acquire(ctx, "x"); failed <- err }()
	s.waiters("x", 1)
	proxy.Freeze()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.release(l) // to who does not want it any more, which is told when the network is mended
	proxy.Thaw()
	s.Until("nothing is left of it", func() bool { return s.info("x", "holders")+s.info("x", "waiters") == 0 })
}
