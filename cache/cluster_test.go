package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

func TestOfAllWhoMissTogetherInAClusterOneLoads(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--cluster-enabled", "yes"))
	if err := s.ClusterAddSlotsRange(s.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	s.Until("the cluster is up", func() bool { return s.Set(s.Context(), "up", 1, 0).Err() == nil })
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	defer rdb.Close()
	a, b := patient(rdb, cache.Options{}), patient(rdb, cache.Options{})
	defer a.Close()
	defer b.Close()
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.waiters("k", 1)
	g.answer <- result{"v", nil}
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
	if err := a.Invalidate(s.Context(), "k", "in another slot"); err != nil {
		t.Error(err)
	}
}

func TestNoReplicaIsAskedForAValueEvenIfTheClientWould(t *testing.T) {
	s := start(t)
	nodes := holdfasttest.Cluster(t, 1, 1).Nodes
	s.Until("the replica is listed, which it is when it was told something", func() bool {
		nodes[0].Client().Incr(s.Context(), "told")
		slots := nodes[0].Client().Do(s.Context(), "CLUSTER", "SLOTS").Val()
		return strings.Contains(fmt.Sprint(slots), fmt.Sprint(nodes[1].Port))
	})
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}, RouteRandomly: true})
	defer rdb.Close()
	c := patient(rdb, cache.Options{Codec: cache.Bytes})
	defer c.Close()
	if err := rdb.Set(s.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if v, err := c.Fetch(s.Context(), "k", never(t)); v != "v" || err != nil {
			t.Fatal(v, err)
		}
	}
	asked := func(what string) bool {
		return strings.Contains(nodes[1].Client().Info(s.Context(), "commandstats").Val(), "cmdstat_"+what)
	}
	s.Until("the client asks the replica what it likes", func() bool {
		rdb.Get(s.Context(), "k")
		return asked("get:")
	})
	if asked("cache.") {
		t.Error("the replica was asked for a value")
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
	a, b := patient(ra, cache.Options{}), patient(rb, cache.Options{})
	defer a.Close()
	defer b.Close()
	for i := range 20 {
		key := fmt.Sprint("k", i)
		g := newGate()
		first := s.fetch(s.Context(), a, key, g.load)
		<-g.called
		second := s.fetch(s.Context(), b, key, never(t))
		g.answer <- result{"v", nil}
		for _, r := range []result{<-first, <-second} {
			if r.value != "v" || r.err != nil {
				t.Error(r)
			}
		}
	}
	if n, m := s.DBSize(s.Context()).Val(), other.Client().DBSize(s.Context()).Val(); n == 0 || m == 0 || n+m != 20 {
		t.Errorf("%d and %d values", n, m)
	}
}

func TestWhileOneServerOfAClusterIsDownTheOthersAreAsked(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 3, 0, holdfasttest.WithArgs("--cluster-require-full-coverage", "no"))
	c := patient(cluster.Client(), cache.Options{Codec: cache.Bytes, TTL: time.Hour})
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

// The slot is being moved, and the value is not there any more: it is loaded once,
// and kept where it will be.
func TestAValueWhoseSlotMovesIsLoadedOnce(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 2, 0)
	slot := clienttest.SlotOf(t, cluster, "k")
	slot.Begin()
	var log bytes.Buffer
	o := cache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	a, b := patient(cluster.Client(), o), patient(cluster.Client(), o)
	defer a.Close()
	defer b.Close()
	g := newGate()
	first := s.fetch(s.Context(), a, "k", g.load)
	<-g.called
	second := s.fetch(s.Context(), b, "k", never(t))
	s.Until("it waits at the new node", func() bool {
		return slot.To.Client().InfoMap(s.Context(), "clients").Item("Clients", "blocked_clients") == "1"
	})
	g.answer <- result{"v", nil}
	for _, r := range []result{<-first, <-second} {
		if r.value != "v" || r.err != nil {
			t.Error(r)
		}
	}
	s.get(a, "k", never(t))
	if err := b.Invalidate(s.Context(), "k"); err != nil {
		t.Error(err)
	}
	_, _ = a.Close(), b.Close()
	if log.Len() > 0 {
		t.Errorf("the log says:\n%s", log.String())
	}
}
