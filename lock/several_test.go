package lock_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/lock"
)

func TestSeveralLocksAreTakenAllOrNone(t *testing.T) {
	s := start(t)
	a, b := s.client(lock.Options{Lease: 900 * time.Millisecond}), s.client(lock.Options{})
	l, err := a.AcquireAll(s.Context(), []string{"x", "y", "z"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.Names(), []string{"x", "y", "z"}) {
		t.Error(l.Names())
	}
	before := s.Calls("lock.extend")
	s.Until("all are renewed", func() bool { return s.Calls("lock.extend") > before+3 })
	got := make(chan *lock.Lock, 1)
	go func() {
		l, err := b.AcquireAll(s.Context(), []string{"z", "w"})
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	s.waiters("z", 1)
	if n := s.info("w", "holders"); n != 0 {
		t.Error("who waits for several holds one")
	}
	s.release(l)
	next := <-got
	s.release(next)
	for _, name := range []string{"x", "y", "z", "w"} {
		if n := s.info(name, "holders"); n != 0 {
			t.Errorf("%s is held", name)
		}
	}

	// One of several that somebody took away is a lost lock.
	l, err = b.AcquireAll(s.Context(), []string{"x", "y"})
	if err != nil {
		t.Fatal(err)
	}
	s.Do(s.Context(), "LOCK.BREAK", "y")
	if err := l.Release(s.Context()); !errors.Is(err, lock.ErrLost) {
		t.Error(err)
	}
	if n := s.info("x", "holders"); n != 0 {
		t.Error("the other one is still held")
	}
	if _, err := b.AcquireAll(s.Context(), nil); err == nil {
		t.Error("no names were accepted")
	}

	// Random orders, and nobody waits for ever.
	var all sync.WaitGroup
	for _, names := range [][]string{{"a", "b", "c"}, {"c", "a"}, {"b", "c"}, {"c", "b", "a"}} {
		c := s.client(lock.Options{})
		all.Go(func() {
			for range 20 {
				l, err := c.AcquireAll(s.Context(), names)
				if err != nil {
					t.Error(err)
					return
				}
				s.release(l)
			}
		})
	}
	all.Wait()
}
