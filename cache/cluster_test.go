package cache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
)

func TestOfAllWhoMissTogetherInAClusterOneLoads(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--cluster-enabled", "yes"))
	if err := s.ClusterAddSlotsRange(s.context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	s.until("the cluster is up", func() bool { return s.Set(s.context(), "up", 1, 0).Err() == nil })
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	defer rdb.Close()
	a, b := cache.New[string](rdb, cache.Options{}), cache.New[string](rdb, cache.Options{})
	defer a.Close()
	defer b.Close()
	g := newGate()
	first := s.fetch(s.context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.context(), b, "k", never(t))
	s.waiters("k", 1)
	g.answer <- result{"v", nil}
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
	if err := a.Invalidate(s.context(), "k", "in another slot"); err != nil {
		t.Error(err)
	}
}

func TestACacheOverARingLoadsOnceOnEachServer(t *testing.T) {
	s, other := start(t), holdfasttest.Server(t)
	ring := func() *redis.Ring {
		return redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": s.Addr, "b": other.Addr}})
	}
	ra, rb := ring(), ring()
	defer ra.Close()
	defer rb.Close()
	a, b := cache.New[string](ra, cache.Options{}), cache.New[string](rb, cache.Options{})
	defer a.Close()
	defer b.Close()
	for i := range 20 {
		key := fmt.Sprint("k", i)
		g := newGate()
		first := s.fetch(s.context(), a, key, g.load)
		<-g.called
		second := s.fetch(s.context(), b, key, never(t))
		g.answer <- result{"v", nil}
		for _, r := range []result{<-first, <-second} {
			if r.value != "v" || r.err != nil {
				t.Error(r)
			}
		}
	}
	if n, m := s.DBSize(s.context()).Val(), other.Client().DBSize(s.context()).Val(); n == 0 || m == 0 || n+m != 20 {
		t.Errorf("%d and %d values", n, m)
	}
}

func TestWhileOneServerOfAClusterIsDownTheOthersAreAsked(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 3, 0, holdfasttest.WithArgs("--cluster-require-full-coverage", "no"))
	c := cache.New[string](cluster.Client(), cache.Options{Codec: cache.Bytes, TTL: time.Hour})
	defer c.Close()
	load := func(context.Context) (string, error) { return "v", nil }
	dead := cluster.Primary("k0")
	var alive []string
	for i := range 20 {
		key := fmt.Sprint("k", i)
		s.get(c, key, load)
		if cluster.Primary(key) != dead {
			alive = append(alive, key)
		}
	}
	dead.Kill()
	for _, key := range alive {
		s.get(c, "k0", load)
		s.get(c, key, never(t))
	}
}
