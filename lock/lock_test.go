package lock_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/lock"
)

func TestALockKeepsOthersOutUntilItIsReleased(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	if _, err := b.TryAcquire(s.Context(), "x"); !errors.Is(err, lock.ErrHeld) {
		t.Fatalf("TryAcquire of a held lock: %v", err)
	}
	if _, err := a.TryAcquire(s.Context(), "x"); !errors.Is(err, lock.ErrHeld) {
		t.Fatalf("TryAcquire of a lock that this client holds: %v", err)
	}
	s.release(l)
	if err := context.Cause(l.Context()); !errors.Is(err, lock.ErrReleased) {
		t.Errorf("the context of a released lock ended by %v", err)
	}
	if err := l.Release(s.Context()); err != nil {
		t.Errorf("a second Release: %v", err)
	}
	next, err := b.TryAcquire(s.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if next.Token() <= l.Token() {
		t.Errorf("token %d after %d", next.Token(), l.Token())
	}
	s.release(next)
}

func TestAReleaseHandsTheLockToTheWaiter(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	got := make(chan *lock.Lock)
	go func() { got <- s.acquire(b, "x") }()
	s.waiters("x", 1)
	s.release(l)
	s.release(<-got)
}

func TestThousandGoroutinesOnOneLockUseOneWaitingConnectionAndTwoCommandsEach(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	first := s.acquire(c, "x")
	const n = 1000
	var inside, most atomic.Int32
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			err := c.WithLock(s.Context(), "x", func(context.Context) error {
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	s.waiters("x", 1)
	if blocked := s.InfoMap(s.Context(), "clients").Item("Clients", "blocked_clients"); blocked != "1" {
		t.Errorf("%s connections wait for one lock", blocked)
	}
	before := s.Calls("lock.acquire") + s.Calls("lock.release")
	s.release(first)
	done.Wait()
	// And the release of the first. The first waiter's request was sent before, but
	// Redis 8 counts it when it is answered.
	if calls := s.Calls("lock.acquire") + s.Calls("lock.release") - before; calls > 2*n+1 {
		t.Errorf("%d locks took %d commands", n, calls)
	}
	if most.Load() != 1 {
		t.Errorf("%d held the lock at once", most.Load())
	}
}

func TestALockThatProcessesTakeInTurnCostsTwoCommandsEach(t *testing.T) {
	s := start(t)
	const clients, turns = 4, 600 // for longer than a client remembers that others had it
	var all sync.WaitGroup
	for range clients {
		c := s.client(lock.Options{})
		all.Go(func() {
			for range turns {
				l, err := c.Acquire(s.Context(), "x")
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond) // the work
				s.release(l)
			}
		})
	}
	all.Wait()
	// Each may have found out once that there are others, and once more after a halt.
	if asked, most := s.Calls("lock.acquire"), clients*turns+2*clients; asked > most {
		t.Errorf("%d locks took %d requests, want %d at most", clients*turns, asked, most)
	}
}

func TestTheCallersOfAProcessAreServedInOrder(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	first := s.acquire(c, "x")
	const n = 20
	order := make(chan int, n)
	var done sync.WaitGroup
	for i := range n {
		entered := make(chan struct{})
		done.Go(func() {
			close(entered)
			if err := c.WithLock(s.Context(), "x", func(context.Context) error { order <- i; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-entered
		s.Until("the caller stands in line", func() bool { return lock.Standing(c, "x") == i+1 })
	}
	s.release(first)
	done.Wait()
	for i := range n {
		if got := <-order; got != i {
			t.Fatalf("caller %d was served as number %d", got, i)
		}
	}
}

func TestAWaitThatIsCalledOffLeavesNoGhost(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	ctx, cancel := context.WithCancel(s.Context())
	failed := make(chan error)
	go func() { _, err := b.Acquire(ctx, "x"); failed <- err }()
	s.waiters("x", 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.waiters("x", 0)
	s.release(l)

	// At any moment: before the request is sent, while it waits, when it is granted.
	for i := range 300 {
		l := s.acquire(a, "x")
		ctx, cancel := context.WithCancel(s.Context())
		got := make(chan *lock.Lock)
		go func() { l, _ := b.Acquire(ctx, "x"); got <- l }()
		time.AfterFunc(time.Duration(i)*2*time.Microsecond, cancel)
		s.release(l)
		if l := <-got; l != nil {
			s.release(l)
		}
		cancel()
	}
	s.Until("the lock is free", func() bool { return s.info("x", "holders") == 0 })
}

func TestOneCallersCancelDoesNotCostTheOthersTheirPlace(t *testing.T) {
	s := start(t)
	a, b, c := s.client(lock.Options{}), s.client(lock.Options{}), s.client(lock.Options{})
	l := s.acquire(a, "x")
	ctx, cancel := context.WithCancel(s.Context())
	failed := make(chan error)
	go func() { _, err := b.Acquire(ctx, "x"); failed <- err }()
	s.waiters("x", 1)
	second, third := make(chan *lock.Lock), make(chan *lock.Lock)
	go func() { second <- s.acquire(b, "x") }()
	s.Until("two stand in b's line", func() bool { return lock.Standing(b, "x") == 2 })
	go func() { third <- s.acquire(c, "x") }()
	s.waiters("x", 2)
	cancel()
	<-failed
	s.release(l)
	s.release(<-second) // before the third, who came after the first of b
	s.release(<-third)
}

func TestSharedLocksAndSemaphores(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	held := func(name string, want int, options ...lock.Option) {
		t.Helper()
		var all []*lock.Lock
		for {
			l, err := c.TryAcquire(s.Context(), name, options...)
			if err != nil || len(all) == 10 {
				if err == nil {
					all = append(all, l)
				} else if !errors.Is(err, lock.ErrHeld) {
					t.Fatal(err)
				}
				break
			}
			all = append(all, l)
		}
		if len(all) != want {
			t.Errorf("%s: %d at once, want %d", name, len(all), want)
		}
		if _, err := c.TryAcquire(s.Context(), name, lock.Lease(time.Second)); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("%s: exclusively had beside them: %v", name, err)
		}
		for _, l := range all {
			s.release(l)
		}
	}
	held("semaphore", 3, lock.Limit(3))
	held("shared", 11, lock.Shared())
	held("exclusive", 1)
	if _, err := c.Acquire(s.Context(), "x", lock.Shared(), lock.Limit(2)); err == nil {
		t.Error("Shared with a Limit was accepted")
	}
}

func TestALockThatReplicasDidNotConfirmIsGivenBack(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--repl-diskless-sync-delay", "0"))
	c := s.client(lock.Options{})
	replicated := lock.Replicas(1, 20*time.Millisecond)
	if _, err := c.Acquire(s.Context(), "x", replicated); !errors.Is(err, lock.ErrNotReplicated) {
		t.Fatalf("without a replica: %v", err)
	}
	s.Until("the lock is free", func() bool { return s.info("x", "holders") == 0 })

	r := holdfasttest.Server(t)
	if err := r.Client().ReplicaOf(s.Context(), "127.0.0.1", strconv.Itoa(s.Port)).Err(); err != nil {
		t.Fatal(err)
	}
	s.Until("the replica follows", func() bool { return s.Wait(s.Context(), 1, time.Second).Val() == 1 })
	l := s.acquire(c, "x", lock.Replicas(1, 10*time.Second))
	if n := r.Client().Exists(s.Context(), "x").Val(); n != 1 {
		t.Errorf("the replica that confirmed the lock has %d of it", n)
	}
	s.release(l)
}

func TestWithLockTellsWhatWentWrong(t *testing.T) {
	s := start(t)
	c := s.client(lock.Options{})
	oops := errors.New("oops")
	err := c.WithLock(s.Context(), "x", func(ctx context.Context) error {
		if lock.FromContext(ctx).Name() != "x" {
			t.Error("the lock is not in its context")
		}
		s.Do(ctx, "LOCK.BREAK", "x")
		return oops
	})
	if !errors.Is(err, oops) || !errors.Is(err, lock.ErrLost) {
		t.Errorf("a failure under a broken lock: %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = c.WithLock(s.Context(), "x", func(context.Context) error { panic(oops) })
	}()
	if n := s.info("x", "holders"); n != 0 {
		t.Error("a panic left the lock held")
	}
	ctx, cancel := context.WithCancel(s.Context())
	err = c.WithLock(ctx, "x", func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	if !errors.Is(err, context.Canceled) || errors.Is(err, lock.ErrLost) {
		t.Errorf("called off: %v", err)
	}
	if n := s.info("x", "holders"); n != 0 {
		t.Error("a cancelled context kept the lock from being released")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s := start(t, holdfasttest.WithModules())
	_, err := s.client(lock.Options{}).Acquire(s.Context(), "x")
	if err == nil || !strings.Contains(err.Error(), "loadmodule") {
		t.Errorf("a server without the module: %v", err)
	}
	c := s.client(lock.Options{})
	if _, err := c.Acquire(s.Context(), "x", lock.Lease(-1)); err == nil || !strings.Contains(err.Error(), "Lease") {
		t.Errorf("a negative lease: %v", err)
	}
	if _, err := c.Acquire(s.Context(), ""); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("no name: %v", err)
	}
}

func TestWrongOptionsAreRefusedWhenAClientIsMade(t *testing.T) {
	for word, o := range map[string]lock.Options{
		"Lease": {Lease: -1}, "Limit": {Limit: -1}, "Outage": {Outage: -1}, "Replicas": {Replicas: -1},
		"ReplicasTimeout": {ReplicasTimeout: -1}, "MaxHold": {MaxHold: -1}, "MinHold": {MinHold: -1},
		"Shared": {Shared: true, Limit: 2}, "Session": {Session: true, MinHold: 1},
		"longer": {MinHold: 2 * time.Second, MaxHold: time.Second},
	} {
		err := o.Validate()
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		if said := panics(func() { lock.New(rdb, o) }); said != err.Error() {
			t.Errorf("New said %q", said)
		}
	}
	if err := (lock.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
