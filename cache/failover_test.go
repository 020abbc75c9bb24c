package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/internal/clienttest"
)

// replicated is a primary, or several, that can die.
type replicated struct{ clienttest.Primaries }

// failovers runs a test over Sentinel and over a cluster.
func failovers(t *testing.T, test func(s *server, r replicated)) {
	clienttest.Failovers(t, 1, func(t *testing.T, primaries func() clienttest.Primaries) {
		s := start(t)
		test(s, replicated{primaries()})
	})
}

func (r replicated) cache(s *server, o cache.Options) *cache.Cache[string] {
	c := patient(r.Client(), o)
	s.T.Cleanup(func() { _ = c.Close() })
	return c
}

// kept waits until values are kept again.
func (r replicated) kept(s *server, c *cache.Cache[string], key string) {
	s.T.Helper()
	rdb := r.Client()
	s.Until("values are kept", func() bool {
		if cluster, ok := rdb.(*redis.ClusterClient); ok {
			cluster.ReloadState(s.Context())
		}
		s.get(c, key, func(context.Context) (string, error) { return "v", nil })
		n, err := rdb.Exists(s.Context(), key).Result()
		return err == nil && n == 1
	})
}

// Fetch answers all the time, with the value or by loading it without Redis. What is
// near (in one of the processes) is not older than a change that the new primary took.
func TestFetchAnswersOverAFailover(t *testing.T) {
	failovers(t, func(s *server, r replicated) {
		const processes, each, keys = 3, 4, 20
		key := func(i int) string { return fmt.Sprint("k", i) }
		var fetches, loads, longest atomic.Int64
		over := make(chan struct{})
		var done sync.WaitGroup
		var all []*cache.Cache[string]
		for i := range processes {
			o := cache.Options{Codec: cache.Bytes, TTL: 50 * time.Millisecond}
			if i == 0 {
				o.TTL, o.Near = time.Hour, cache.NearOptions{Size: keys, MaxAge: time.Hour}
			}
			all = append(all, r.cache(s, o))
		}
		for _, c := range all {
			for range each {
				done.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						began := time.Now()
						v, err := c.Fetch(s.Context(), key(rand.N(keys)), func(context.Context) (string, error) {
							loads.Add(1)
							return "v", nil
						})
						if v != "v" || err != nil {
							s.T.Errorf("%q, %v", v, err)
							return
						}
						fetches.Add(1)
						longest.Store(max(longest.Load(), int64(time.Since(began))))
						time.Sleep(time.Duration(rand.N(200)) * time.Microsecond)
					}
				})
			}
		}
		some := func() {
			n := fetches.Load()
			s.Until("values are fetched", func() bool { return fetches.Load() > n+1000 })
		}
		some()
		r.Kill(key(0))
		some()
		for i, c := range all {
			for k := range 5 { // in several slots
				r.kept(s, c, fmt.Sprint("after", i, k))
			}
		}
		some()
		close(over)
		done.Wait()
		s.T.Logf("%d fetches, %d loads; the longest took %v", fetches.Load(), loads.Load(), time.Duration(longest.Load()))
		rdb := r.Client()
		for k := range keys {
			s.Until("the new primary takes a change", func() bool { return rdb.Set(s.Context(), key(k), "new", time.Hour).Err() == nil })
			s.becomes(all[0], key(k), "new")
		}
	})
}

func TestWhoWaitsForAValueGetsOneOverAFailover(t *testing.T) {
	failovers(t, func(s *server, r replicated) {
		a, b := r.cache(s, cache.Options{}), r.cache(s, cache.Options{})
		g := newGate()
		first := s.fetch(s.Context(), a, "k", g.load)
		<-g.called
		second := s.fetch(s.Context(), b, "k", func(context.Context) (string, error) { return "b's", nil })
		rdb := r.Client()
		s.Until("it waits", func() bool {
			reply, _ := rdb.Do(s.Context(), "CACHE.INFO", "k").Result()
			m, _ := reply.(map[any]any)
			return m["waiters"] == int64(1)
		})
		r.Kill("k")
		if v := <-second; v.value != "b's" || v.err != nil { // its own turn, or without Redis
			s.T.Error(v)
		}
		g.answer <- result{"a's", nil}
		if v := <-first; v.value != "a's" || v.err != nil { // for who loads, it is good
			s.T.Error(v)
		}
		r.kept(s, a, "after")
	})
}
