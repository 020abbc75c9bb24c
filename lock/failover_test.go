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

	"holdfast/holdfasttest"
	"holdfast/lock"
)

// replicated is a primary, or several, that can die.
type replicated struct {
	client func() redis.UniversalClient // a new one, of another "process"
	kill   func(key string)             // kills the primary of a key
}

// failovers runs a test over Sentinel and over a cluster.
func failovers(t *testing.T, test func(s *server, r replicated)) {
	t.Run("sentinel", func(t *testing.T) {
		s := start(t)
		r := holdfasttest.Sentinel(t, 1, 3)
		test(s, replicated{func() redis.UniversalClient { return r.Client() }, func(string) { r.Primary().Kill() }})
	})
	t.Run("cluster", func(t *testing.T) {
		s := start(t)
		r := holdfasttest.Cluster(t, 3, 1)
		test(s, replicated{func() redis.UniversalClient { return r.Client() }, func(key string) { r.Primary(key).Kill() }})
	})
}

// lock is a client of its own process.
func (r replicated) lock(s *server, o lock.Options) *lock.Client {
	c := lock.New(r.client(), o)
	s.t.Cleanup(func() { _ = c.Close() })
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
		ctx, cancel := context.WithCancel(s.context())
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
								s.t.Error(err)
							}
							return
						}
						rec := records[name]
						rec.mu.Lock()
						if l.Token() <= rec.token {
							s.t.Errorf("%s: token %d after %d", name, l.Token(), rec.token)
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
							s.t.Error(err)
						}
					}
				})
			}
		}
		often := func(from map[string]int) {
			for _, name := range names {
				s.until(name+" went from hand to hand", func() bool { return grants(name) > from[name]+30 })
			}
		}
		often(nil)
		r.kill(names[0])
		at := map[string]int{}
		for _, name := range names {
			at[name] = grants(name)
		}
		often(at)
		cancel()
		done.Wait()
		s.t.Logf("%d locks were lost, %d had two holders whose tokens told", lost.Load(), both.Load())
	})
}

// A lock that a replica has confirmed is there after the primary died: its holder
// keeps it, and who waited for it waits on and gets it when it is released.
func TestAConfirmedLockIsStillHeldAfterAFailover(t *testing.T) {
	failovers(t, func(s *server, r replicated) {
		a, b := r.lock(s, lock.Options{Lease: 20 * time.Second}), r.lock(s, lock.Options{})
		l := s.acquire(a, "x", lock.WithReplicas(1, 10*time.Second))
		got := make(chan *lock.Lock, 1)
		go func() { got <- s.acquire(b, "x") }()
		waits := func(r redis.UniversalClient) bool {
			if c, ok := r.(*redis.ClusterClient); ok {
				c.ReloadState(s.context())
			}
			reply, err := r.Do(s.context(), "LOCK.INFO", "x").Result()
			m, _ := reply.(map[any]any)
			waiters, _ := m["waiters"].([]any)
			return err == nil && len(waiters) == 1
		}
		watch := r.client()
		s.until("somebody waits", func() bool { return waits(watch) })
		r.kill("x")
		s.until("it waits at the new primary", func() bool { return waits(watch) })
		select {
		case <-l.Context().Done():
			s.t.Fatal(context.Cause(l.Context()))
		case <-got:
			s.t.Fatal("two hold a lock that a replica had confirmed")
		default:
		}
		s.release(l)
		next := <-got
		if next.Token() <= l.Token() {
			s.t.Errorf("token %d after %d", next.Token(), l.Token())
		}
		s.release(next)
	})
}
