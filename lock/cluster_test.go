package lock_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
	"holdfast/lock"
)

// cluster makes a server a cluster of its own.
func (s *server) cluster() *redis.ClusterClient {
	s.T.Helper()
	if err := s.ClusterAddSlotsRange(s.Context(), 0, 16383).Err(); err != nil {
		s.T.Fatal(err)
	}
	s.Until("the cluster is up", func() bool { return s.Set(s.Context(), "up", 1, 0).Err() == nil })
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
	if said := panics(func() { lock.New(rdb, lock.Options{}) }); !strings.Contains(said, "Ring") {
		t.Errorf("New said %q", said)
	}
}

// The slot moves while one holds the lock and others want it: before, in between,
// and after. None of them notices.
func TestALockIsHandedOverWhileItsSlotMoves(t *testing.T) {
	s := start(t)
	cluster := holdfasttest.Cluster(t, 2, 0)
	slot := clienttest.SlotOf(t, cluster, "x")
	from, to := slot.From, slot.To
	at := func(node *holdfasttest.Instance) *server {
		return &server{&clienttest.Server{Instance: node, Client: node.Client(), T: t, Patience: patience}}
	}
	// The outage is shorter than the migration: nothing may wait for its end.
	a, b := lock.New(cluster.Client(), lock.Options{Outage: 500 * time.Millisecond}), lock.New(cluster.Client(), lock.Options{Outage: 500 * time.Millisecond})
	defer a.Close()
	defer b.Close()

	l := s.acquire(a, "x")
	got := make(chan *lock.Lock, 1)
	go func() { got <- s.acquire(b, "x") }()
	at(from).waiters("x", 1)
	slot.Begin()
	if err := from.Client().Migrate(s.Context(), "127.0.0.1", strconv.Itoa(to.Port), "x", 0, 5*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	s.Until("the new node is asked, before it has the slot", func() bool { return at(to).Calls("lock.acquire") > 0 })
	s.release(l)
	l = <-got
	go func() { got <- s.acquire(a, "x") }()
	s.Until("somebody waits there", func() bool {
		return to.Client().InfoMap(s.Context(), "clients").Item("Clients", "blocked_clients") == "1"
	})
	if _, err := b.TryAcquire(s.Context(), "x"); !errors.Is(err, lock.ErrHeld) {
		t.Error(err)
	}
	s.release(l)
	s.release(<-got)

	l = s.acquire(a, "x")
	go func() { got <- s.acquire(b, "x") }()
	s.Until("somebody waits there", func() bool {
		return to.Client().InfoMap(s.Context(), "clients").Item("Clients", "blocked_clients") == "1"
	})
	slot.End()
	s.release(l)
	s.release(<-got)
	s.release(s.acquire(a, "x"))
}
