package e2e

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// Valkey 9 moves slots in one step: their keys are copied to a node that does not serve
// them yet, and then it does. Who waits is sent on with the same answer as when a slot
// moves key by key, and what was copied fires on the new node alone, once.
func TestSlotsThatMoveInOneStepTakeWhatWaitsWithThem(t *testing.T) {
	all := func() *cache { s := holdfasttest.Server(t, inCluster); return &cache{s, dialCache(t, s.Addr)} }
	from, to := all(), all()
	if !strings.Contains(from.do("COMMAND DOCS cluster|migrateslots"), "migrateslots") {
		t.Skip("this server moves slots key by key alone")
	}
	cluster(t, from.Instance, to.Instance, "l")
	toID := unquote(t, to.do("CLUSTER MYID"))

	from.wants("1", "LOCK.ACQUIRE l holder 600000")
	from.wants("1", "LOCK.ACQUIRE soon holder 300")
	from.loads("CACHE.LOCK k 600000 600000 WITHTOKEN")
	var waiters []*cacheConn
	for _, line := range []string{
		"LOCK.ACQUIRE l next 60000 BLOCK 0", "CACHE.FETCH k 1000 1000 BLOCK 0", "TASK.CONSUME g c s 1 0",
	} {
		waiters = append(waiters, from.another().send(line))
	}
	await(t, "three to wait", func() bool { return strings.Contains(from.do("INFO clients"), "blocked_clients:3") })
	from.do("TASK.PUBLISH later due DELAY 500")
	for i := range 20_000 {
		from.send("SET filler:% %", i, i)
	}
	for range 20_000 {
		from.read()
	}
	// A node without any slot would become a replica of the other.
	from.wants("OK", "CLUSTER MIGRATESLOTS SLOTSRANGE 0 16382 NODE %", toID)
	for i, want := range []string{"lock's", "key's", "stream's"} {
		waiters[i].hears("-TRYAGAIN the " + want + " slot moves to another node")
	}
	await(t, "the slots to be there", func() bool { return to.do("EXISTS l") == "1" })

	to.wants("0", "LOCK.ACQUIRE l next 60000")
	next := to.another().send("LOCK.ACQUIRE l next 60000 BLOCK 0")
	await(t, "one to wait", func() bool { return strings.Contains(to.do("INFO clients"), "blocked_clients:1") })
	to.wants("1", "LOCK.RELEASE l holder")
	next.hears("1")
	to.wants("1", "LOCK.ACQUIRE soon next 60000 BLOCK 0")

	task := to.another().send("TASK.CONSUME g c later 1 0").read()
	if !strings.Contains(task, `"due"`) {
		t.Errorf("the delayed task: %s", task)
	}
	to.wants("1", "XLEN later")
	if got := from.do("XLEN later"); !strings.HasPrefix(got, "-MOVED") {
		t.Errorf("the old node still has it: %s", got)
	}
	for _, s := range []*cache{from, to} {
		if stats := s.do("INFO clients"); !strings.Contains(stats, "blocked_clients:0") {
			t.Errorf("somebody waits: %s", stats)
		}
	}
}

// A node of a Valkey cluster that becomes a replica unblocks only clients whose keys it
// knows, and those of modules waited for ever.
func TestWhoeverWaitsOnAPrimaryThatBecomesAReplicaIsTold(t *testing.T) {
	c := holdfasttest.Cluster(t, 1, 1)
	primary, replica := c.Nodes[0], c.Nodes[1]
	other := dialCache(t, primary.Addr)
	other.wants("1", "LOCK.ACQUIRE l holder 600000")
	other.loads("CACHE.LOCK k 600000 600000 WITHTOKEN")
	var waiters []*cacheConn
	for _, line := range []string{
		"LOCK.ACQUIRE l next 60000 BLOCK 0", "CACHE.FETCH k 1000 1000 BLOCK 0", "TASK.CONSUME g c s 1 0",
	} {
		waiters = append(waiters, dialCache(t, primary.Addr).send(line))
	}
	await(t, "three to wait", func() bool { return strings.Contains(other.do("INFO clients"), "blocked_clients:3") })
	dialCache(t, replica.Addr).wants("OK", "CLUSTER FAILOVER")
	for _, w := range waiters {
		_ = w.SetReadDeadline(time.Now().Add(patience))
		if got, err := w.tryRead(); err != nil && !errors.Is(err, io.EOF) || err == nil && !strings.HasPrefix(got, "-UNBLOCKED") {
			t.Errorf("a waiter hears %s, %v", got, err)
		}
	}
	await(t, "nobody to wait", func() bool { return strings.Contains(other.do("INFO clients"), "blocked_clients:0") })
}
