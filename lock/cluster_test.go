package lock_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/lock"
)

// cluster makes a server a cluster of its own.
func (s *server) cluster() *redis.ClusterClient {
	s.t.Helper()
	if err := s.ClusterAddSlotsRange(s.context(), 0, 16383).Err(); err != nil {
		s.t.Fatal(err)
	}
	s.until("the cluster is up", func() bool { return s.Set(s.context(), "up", 1, 0).Err() == nil })
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
}

func TestALockOfAClusterIsHandedOver(t *testing.T) {
	s := start(t, holdfasttest.WithArgs("--cluster-enabled", "yes"))
	rdb := s.cluster()
	defer rdb.Close()
	a, b := lock.New(rdb, lock.Options{}), lock.New(rdb, lock.Options{})
	defer a.Close()
	defer b.Close()
	for i := range 5 {
		name := fmt.Sprint("x", i)
		l := s.acquire(a, name)
		got := make(chan *lock.Lock)
		go func() { got <- s.acquire(b, name) }()
		s.waiters(name, 1)
		s.killWaiters()
		s.waiters(name, 1)
		s.release(l)
		s.release(<-got)
	}
}

func TestARingIsRefused(t *testing.T) {
	s := start(t)
	rdb := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": s.Addr}})
	defer rdb.Close()
	c := lock.New(rdb, lock.Options{})
	defer c.Close()
	if _, err := c.Acquire(s.context(), "x"); err == nil || !strings.Contains(err.Error(), "Ring") {
		t.Error(err)
	}
}
