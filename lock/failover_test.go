package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"
	"holdfast/lock"
)

// replicated is a primary, or several, that can die.
type replicated struct{ clienttest.Primaries }

// failovers runs a test over Sentinel and over a cluster.
func failovers(t *testing.T, test func(s *server, r replicated)) {
	clienttest.Failovers(t, 3, func(t *testing.T, primaries func() clienttest.Primaries) {
		s := start(t)
		test(s, replicated{primaries()})
	})
}

// lock is a client of its own process.
func (r replicated) lock(s *server, o lock.Options) *lock.Client {
	c := lock.New(r.Client(), o)
	s.T.Cleanup(func() { _ = c.Close() })
	return c
}

// Many processes on a few locks while a primary dies. Replication is not waited for,
// so a lock may be held by two; then the token of who came later is the greater. All
// who wait get their turn from the new primary, and nobody is told of the failover.
func TestOverAFailoverTokensGrowAndWaitersGetTheirTurn(t *testing.T) {
	failovers(t, func(s *server, r replicated) {
		const processes, each = 3, 4
		names := []string{"a", "b", "c", "d"}
		type record struct {
			mu     sync.Mutex
			token  int64
			holder context.Context
			grants int
		}
		records := map[string]*record{}
		for _, name := range names {
			records[name] = &record{holder: context.Background()}
		}
		grants := func(name string) int {
			records[name].mu.Lock()
			defer records[name].mu.Unlock()
			return records[name].grants
		}
		ctx, cancel := context.WithCancel(s.Context())
		defer cancel()
		var lost, both atomic.Int32
		var done sync.WaitGroup
		for range processes {
			c := r.lock(s, lock.Options{Lease: 2 * time.Second})
			for range each {
				done.Go(func() {
					for ctx.Err() == nil {
						name := names[rand.N(len(names))]
						l, err := c.Acquire(ctx, name)
						if err != nil {
							if ctx.Err() == nil {
								s.T.Error(err)
							}
							return
						}
						rec := records[name]
						rec.mu.Lock()
						if l.Token() <= rec.token {
							s.T.Errorf("%s: token %d after %d", name, l.Token(), rec.token)
						}
						if rec.grants > 0 && rec.holder.Err() == nil && l.Context().Err() == nil {
							both.Add(1)
						}
						rec.token, rec.holder = l.Token(), l.Context()
						rec.grants++
						rec.mu.Unlock()
						time.Sleep(rand.N(2 * time.Millisecond)) // work
						if err := l.Release(ctx); errors.Is(err, lock.ErrLost) {
							lost.Add(1)
						} else if err != nil && ctx.Err() == nil {
							s.T.Error(err)
						}
					}
				})
			}
		}
		often := func(from map[string]int) {
			for _, name := range names {
				s.Until(name+" went from hand to hand", func() bool { return grants(name) > from[name]+30 })
			}
		}
		often(nil)
		r.Kill(names[0])
		at := map[string]int{}
		for _, name := range names {
			at[name] = grants(name)
		}
		often(at)
		cancel()
		done.Wait()
		s.T.Logf("%d locks were lost, %d had two holders whose tokens told", lost.Load(), both.Load())
	})
}

// A lock that a replica has confirmed is there after the primary died: its holder
// keeps it, and who waited for it waits on and gets it when it is released.
func TestAConfirmedLockIsStillHeldAfterAFailover(t *testing.T) {
	failovers(t, func(s *server, r replicated) {
		a, b := r.lock(s, lock.Options{Lease: 20 * time.Second}), r.lock(s, lock.Options{})
		l := s.acquire(a, "x", lock.Replicas(1, 10*time.Second))
		got := make(chan *lock.Lock, 1)
		go func() { got <- s.acquire(b, "x") }()
		waits := func(r redis.UniversalClient) bool {
			if c, ok := r.(*redis.ClusterClient); ok {
				c.ReloadState(s.Context())
			}
			reply, err := r.Do(s.Context(), "LOCK.INFO", "x").Result()
			m, _ := reply.(map[any]any)
			waiters, _ := m["waiters"].([]any)
			return err == nil && len(waiters) == 1
		}
		watch := r.Client()
		s.Until("somebody waits", func() bool { return waits(watch) })
		r.Kill("x")
		s.Until("it waits at the new primary", func() bool { return waits(watch) })
		select {
		case <-l.Context().Done():
			s.T.Fatal(context.Cause(l.Context()))
		case <-got:
			s.T.Fatal("two hold a lock that a replica had confirmed")
		default:
		}
		s.release(l)
		next := <-got
		if next.Token() <= l.Token() {
			s.T.Errorf("token %d after %d", next.Token(), l.Token())
		}
		s.release(next)
	})
}
